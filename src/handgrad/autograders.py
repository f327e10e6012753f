"""Write what another service needs to grade with handgrad: an autograder for Gradescope, a workflow for GitHub."""

import shutil
import stat
import zipfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from handgrad import __version__
from handgrad.course import Course, write_text
from handgrad.errors import CourseError
from handgrad.releasing import EXERCISE_FILE

__all__ = ["Service", "write_autograder"]

Service = Literal["gradescope", "github"]
EXECUTABLE = ("run_autograder", "setup.sh")


def write_autograder(course: Course, service: Service, assignment: str, output: Path) -> list[Path]:
    """Write the files for ``service`` into the folder ``output``; their paths.

    For Gradescope these are the autograder's files and a zip of them, to be uploaded; for GitHub the student's
    repository, which is the released folder with a workflow.

    Raises
    ------
    CourseError
        The assignment was not released, or ``output`` holds something already.
    """
    course.exercise(assignment)
    released = course.folder("release") / assignment
    if not (released / EXERCISE_FILE).is_file():
        raise CourseError(
            f"{assignment} was not released: {released / EXERCISE_FILE} is not there. "
            f"Run `nbgrader generate_assignment {assignment}` first."
        )
    if output.exists() and any(output.iterdir()):
        raise CourseError(f"{output} is not empty: name another folder with --output, or empty it.")
    output.mkdir(parents=True, exist_ok=True)
    kept = [path for path in sorted(released.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    if service == "gradescope":
        # the student's own notebook is what is handed in
        kept = [path for path in kept if path.suffix != ".ipynb" and not path.name.startswith("test_")]
    for path in kept:
        target = output / path.relative_to(released)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    write_text(output / "requirements.txt", _requirements(output))
    with as_file(files("handgrad") / "templates" / service) as folder:
        for template in sorted(folder.iterdir()):
            _copy(template, output / (".github/workflows" if service == "github" else ".") / template.name)
    written = [path for path in sorted(output.rglob("*")) if path.is_file()]
    return [*written, _zipped(output, written)] if service == "gradescope" else written


def _requirements(folder: Path) -> str:
    """What ``pip`` installs: the wheel beside it where there is one, else this version."""
    wheel = next(folder.glob("handgrad-*.whl"), None)
    return f"./{wheel.name}[check]\n" if wheel else f"handgrad[check]=={__version__}\n"


def _copy(template: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, target)
    if template.name in EXECUTABLE:
        target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _zipped(folder: Path, paths: list[Path]) -> Path:
    """A zip of the files, without the folder around them."""
    target = folder / "autograder.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.relative_to(folder))
    return target
