"""Write the files with which another service grades: an autograder for Gradescope or Classroom 50."""

import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from handgrad.authoring.locked_requirements import locked
from handgrad.authoring.release import copy_for_students, wheel_in, wheels
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.errors import CourseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import EXERCISE_FILE, read_released

__all__ = ["Service", "write_autograder"]

Service = Literal["gradescope", "classroom50"]
SETTINGS_FILE = "handgrad.json"
"""The course's marks and limits, read by ``handgrad check`` on the other service."""
_MOST = 3
"""Largest number of differences in an error message."""


def write_autograder(course: Course, service: Service, assignment: str, output: Path) -> list[Path]:
    """Write the files for ``service`` into the folder ``output`` and return their paths.

    They are the released files without the notebook, which the student hands in, handgrad's wheel, and the script that
    the service runs; for Gradescope also a zip of them, to be uploaded.

    Raises
    ------
    CourseError
        The assignment was not released, or its source has changed since; ``output`` is not empty; or there is no wheel
        of handgrad for the other service to install.
    """
    exercise = course.exercise(assignment)
    released = course.folder("release") / assignment
    if not (released / EXERCISE_FILE).is_file():
        raise CourseError(
            f"{assignment} was not released: {released / EXERCISE_FILE} is missing. "
            f"Run `handgrad release {assignment}` first."
        )
    if differences := list(_differences(exercise, read_released(released / EXERCISE_FILE))):
        more = f"; and {len(differences) - _MOST} more" if len(differences) > _MOST else ""
        raise CourseError(
            f"{released} differs from what the source gives now ({'; '.join(differences[:_MOST])}{more}): "
            f"run `handgrad release {assignment}` first."
        )
    if output.exists() and any(output.iterdir()):
        raise CourseError(f"{output} is not empty: choose another folder with --output, or empty it.")
    settings, present = course.settings_text(), wheel_in(released)
    with nullcontext(present) if present else wheels([released]) as wheel:
        output.mkdir(parents=True, exist_ok=True)
        copy_for_students(wheel, output / wheel.name)
    kept = [path for path in sorted(released.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    # not a wheel of another version
    kept = [path for path in kept if not path.match("handgrad-*.whl")]
    # the student hands in the notebook
    kept = [path for path in kept if path.suffix != ".ipynb" and not path.name.startswith("test_")]
    for path in kept:
        _copy(path, output / path.relative_to(released))
    write_text(output / "requirements.txt", f"./{wheel.name}[check]\n")
    # what grades there is what grades here
    write_text(output / "requirements.lock", f"{locked('check')}./{wheel.name}[check]\n")
    write_text(output / SETTINGS_FILE, settings)
    with as_file(files("handgrad.authoring") / "autograder_templates") as folder:
        for template in (folder / "setup.sh", *sorted((folder / service).iterdir())):
            target = output / template.name
            _copy(template, target)
            target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    written = [path for path in sorted(output.rglob("*")) if path.is_file()]
    if service == "gradescope":
        # the files without the folder around them
        with zipfile.ZipFile(output / "autograder.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in written:
                archive.write(path, path.relative_to(output))
        written.append(output / "autograder.zip")
    return written


def _differences(source: Exercise, released: Exercise) -> Iterator[str]:
    """Differences between a release and its source that change grading, a phrase each: checks, points, locked cells."""
    ours, theirs = ({check.id: check for check in exercise.checks} for exercise in (source, released))
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in theirs:
            yield f"{name} is not released"
        elif name not in ours:
            yield f"{name} is no longer in the source"
        elif ours[name].points != theirs[name].points:
            yield f"{name} is worth {ours[name].points:g} points, but {theirs[name].points:g} in the release"
        elif not ours[name].has_hidden_tests and ours[name].source != theirs[name].source:
            yield f"{name} has changed"
    locked, other = (
        {cell.name: cell.source for cell in exercise.cells if cell.kind == "locked"} for exercise in (source, released)
    )
    for name in dict.fromkeys((*locked, *other)):
        if locked.get(name) != other.get(name):
            yield f"the locked cell {name} has changed"


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
