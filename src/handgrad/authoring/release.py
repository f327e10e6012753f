"""Release exercises: what students get, the worked solutions, and the wheel that students install.

The wheel of handgrad is part of every release: handgrad is not on a package index.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from handgrad import __version__
from handgrad.course.course import Course
from handgrad.course.course_lock import alone
from handgrad.course.files import private_mode, write_bytes
from handgrad.course.nbgrader import commands
from handgrad.course.nbgrader.configuration import what_is_missing
from handgrad.course.stop_signals import run_program
from handgrad.errors import CourseError, ExerciseError, HandgradError, OrdinaryAssignmentError
from handgrad.exercise.release_file import EXERCISE_FILE, WHEEL
from handgrad.student.installation import has_pip, origin, pip

__all__ = ["MATERIAL", "Released", "copy_for_students", "release", "wheel_in", "wheels"]

MATERIAL = "course_material"
"""The folder of the package with the material of a course; ``setup.py`` puts it into an instructor's wheel."""
_BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "src")
_KEPT = "wheel-"
"""How the names of the kept wheels begin."""


@dataclass(frozen=True)
class Released:
    """One assignment as it was released: the folder that students get, and that of the worked solution.

    ``wheel`` is the name of the wheel in ``folder``; empty for an assignment that is not a handgrad exercise.
    """

    assignment: str
    folder: Path
    solution: Path
    wheel: str = ""


def release(course: Course, assignments: Sequence[str] = ()) -> Iterator[Released]:
    """Release the ``assignments`` of a course (default: all of them), and yield each as soon as it is done.

    Raises
    ------
    CourseError
        The course has no such assignment or none at all, a file of its source is missing, its configuration lacks
        handgrad's steps, or there is no wheel: nothing is released. Or an assignment cannot be released: what was
        released of it before stays.
    """
    names = course.select(assignments)
    if (missing := what_is_missing(course)) and not all(_is_ordinary(course, name) for name in names):
        raise CourseError(missing)
    released = course.folder("release")
    with wheels([released / name for name in names], course.private_folder) as wheel, alone(course):
        for name in names:
            folder = released / name
            try:
                commands.release(course, name, [wheel])
            except HandgradError as error:
                stays = f" What was released before stays as it was: {folder}." if folder.exists() else ""
                raise CourseError(f"{name} is not released: {error}{stays}") from error
            is_ours = (folder / EXERCISE_FILE).is_file()
            yield Released(name, folder, course.folder("solution") / name, wheel.name if is_ours else "")


def _is_ordinary(course: Course, assignment: str) -> bool:
    """Whether nothing in the assignment is handgrad's; a faulty exercise is not ordinary."""
    try:
        course.exercise(assignment)
    except OrdinaryAssignmentError:
        return True
    except ExerciseError:
        return False
    return False


def wheel_in(folder: Path) -> Path | None:
    """The wheel of this version in ``folder``; None if there is none."""
    path = folder / WHEEL
    return path if path.is_file() else None


@contextmanager
def wheels(folders: Sequence[Path], kept_in: Path | None = None) -> Iterator[Path]:
    """The wheel of this version, in a temporary folder; if none can be built, that of one of the released ``folders``.

    What was built of a clone is kept in the folder ``kept_in`` (default: nowhere), and built again when a file of the
    clone has changed: this takes 4 s.

    Raises
    ------
    CourseError
        There is none, and handgrad was not installed from a folder or wheel on this machine; or the wheel cannot be
        built, or has another version.
    """
    source, released = origin(), next(filter(None, map(wheel_in, folders)), None)
    with tempfile.TemporaryDirectory(prefix="handgrad-") as name:
        folder = Path(name).resolve()
        # a folder of its own: the clone's wheel may have the same name
        for_students = folder / "for-students" / WHEEL
        for_students.parent.mkdir()
        kept = kept_in / f"{_KEPT}{_digest(source)}.whl" if kept_in and source and source.is_dir() else None
        if kept and kept.is_file():
            shutil.copy(kept, for_students)
            yield for_students
            return
        if source and source.is_dir():
            _build(source, folder)
        elif path := source or released:
            shutil.copy(path, folder)
        else:
            raise CourseError(
                "there is no wheel of handgrad for students to install: this handgrad was not installed from a folder "
                "or wheel that is still on this machine. "
                f"Run `{_to_build(folders[0], 'CLONE')}` with a clone of handgrad {__version__}, "
                "then run this command again."
            )
        wheel = wheel_in(folder)
        if wheel is None:
            built = ", ".join(path.name for path in folder.glob("*.whl")) or "nothing"
            raise CourseError(
                f"{source} gives {built}, but this is handgrad {__version__}: install that version "
                f"(`{pip()} {source}`), or restore the folder."
            )
        copy_for_students(wheel, for_students)
        if kept:
            _keep(for_students, kept)
        yield for_students


def _digest(source: Path) -> str:
    """SHA-256 over the files of the clone ``source`` of which its wheel is built."""
    digest = hashlib.sha256()
    for path in _files(source):
        digest.update(f"{path.as_posix()}\n".encode() + (source / path).read_bytes())
    return digest.hexdigest()


def _files(source: Path) -> list[Path]:
    """The files of the clone ``source`` of which its wheel is built, relative to it."""
    found = (file for part in map(source.joinpath, _BUILT_FROM) for file in (part, *part.rglob("*")) if file.is_file())
    # setuptools writes into the folder that it builds, and includes files that an earlier build left there
    return sorted(
        path
        for path in (file.relative_to(source) for file in found)
        if not any(part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)
    )


def _keep(wheel: Path, path: Path) -> None:
    """Copy a wheel to ``path``, in place of those that were kept before."""
    write_bytes(path, wheel.read_bytes(), mode=private_mode(path.parent))
    for other in path.parent.glob(f"{_KEPT}*.whl"):
        if other != path:
            other.unlink(missing_ok=True)


def copy_for_students(wheel: Path, target: Path) -> None:
    """Copy a wheel without the material of a course, which has the solutions."""
    try:
        with zipfile.ZipFile(wheel) as file:
            entries = [(entry, file.read(entry)) for entry in file.infolist()]
    except zipfile.BadZipFile:
        # it is no wheel, and pip will say so
        shutil.copy(wheel, target)
        return
    material = f"handgrad/{MATERIAL}/"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for entry, content in entries:
            if entry.filename.startswith(material):
                continue
            if entry.filename.endswith(".dist-info/RECORD"):
                lines = content.decode("utf-8").splitlines(keepends=True)
                content = "".join(line for line in lines if not line.startswith(material)).encode()  # noqa: PLW2901
            file.writestr(entry, content)


def _to_build(folder: Path, clone: str | Path) -> str:
    """The command that builds the wheel of a clone into a folder."""
    return f"pip wheel --no-deps -w {folder} {clone}" if has_pip() else f"uv build --wheel -o {folder} {clone}"


def _build(source: Path, folder: Path) -> None:
    """Build the wheel of the clone ``source`` into ``folder``."""
    copy = folder / "clone"
    copy.mkdir()
    for path in _files(source):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, copy / path)
    if has_pip():
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--wheel-dir", str(folder), str(copy)]
    elif uv := shutil.which("uv"):
        # an environment that uv made has no pip
        command = [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(folder), str(copy)]
    else:
        raise CourseError(
            f"the wheel of {source} cannot be built: {sys.prefix} has no pip, and there is no uv in the PATH. "
            f"Run `{sys.executable} -m ensurepip`, then run this command again."
        )
    # their own temporary folders go with ours
    done = run_program(command, cwd=folder, env={**os.environ, "TMPDIR": str(folder)})
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = next(
            (line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "it printed nothing"
        )
        raise CourseError(f"the wheel of {source} cannot be built: `{_to_build(Path(), source)}` fails: {last}")
