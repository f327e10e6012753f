"""Make a course of an empty folder: its configuration, one exercise with solutions, and a page that says how to go on.

What it is made of is in the wheel that an instructor installs, or in the clone that handgrad was installed from. The
wheel that students get does not have it, since it holds the solutions.
"""

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from handgrad.authoring.release import MATERIAL
from handgrad.course.course import CONFIG, Course
from handgrad.errors import CourseError, closest
from handgrad.student.installation import origin

__all__ = ["course_material", "new_course"]

PACKAGE = Path(__file__).resolve().parents[1]
TEMPLATE = Path(__file__).resolve().parent / "course_template"


def course_material() -> Path | None:
    """The folder with the material of a course: that of the package, or a clone; None if there is neither."""
    clone = origin()
    places = (PACKAGE / MATERIAL, PACKAGE.parents[1], *([clone] if clone and clone.is_dir() else []))
    return next((place for place in places if (place / CONFIG).is_file() and (place / "source").is_dir()), None)


def new_course(folder: Path, exercise: str) -> Course:
    """Make a course with one exercise in ``folder``, which is new or empty, and give it.

    Hidden files, and the folders of virtual environments, may be in it. It is closed to other users of the machine.

    Raises
    ------
    CourseError
        There is something in the folder, it cannot be written, there is no such exercise, or this handgrad was
        installed from a wheel for students. Nothing is left half-written.
    """
    material = course_material()
    if material is None:
        raise CourseError(
            "this handgrad has no exercises with solutions to make a course of: it was installed from the wheel that "
            "students get. Install it from a clone, or from a wheel that `pip wheel --no-deps CLONE` has built."
        )
    names = sorted(path.parent.name for path in material.glob("source/*/*.ipynb") if path.stem == path.parent.name)
    if exercise not in names:
        raise CourseError(
            f"there is no exercise {exercise!r}.{closest(exercise, names)} There are: {', '.join(names)}."
        )
    if there := _visible(folder):
        raise CourseError(
            f"{folder} is not empty ({', '.join(there[:3])}{' ...' if len(there) > 3 else ''}): a course is made in a "
            "new or an empty folder. In a course that you have, `handgrad new` adds an exercise."
        )
    is_new = not folder.exists()
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with tempfile.TemporaryDirectory(prefix=".init-", dir=folder) as name:
            made = Path(name)
            _write(made, material, folder.resolve().name, exercise)
            # the configuration, which makes it a course, comes last
            for path in sorted(made.iterdir(), key=lambda path: path.name == CONFIG):
                if not (folder / path.name).exists():
                    path.rename(folder / path.name)
    except OSError as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise CourseError(f"{error.filename or folder} cannot be written: {error.strerror or error}.") from error
    return Course.at(folder, is_named=True)


def _visible(folder: Path) -> list[str]:
    """What stands in a folder, except hidden files and virtual environments; a CourseError if it cannot be read."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CourseError(f"{folder} cannot be a course: {error.strerror}.") from error
    return [path.name for path in paths if not path.name.startswith(".") and not (path / "pyvenv.cfg").is_file()]


def _write(made: Path, material: Path, name: str, exercise: str) -> None:
    """Write the files of a course called ``name`` into the folder ``made``."""
    # an id of nbgrader's exchange, which is the name of a folder
    course_id = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "course"
    config = (material / CONFIG).read_text(encoding="utf-8")
    config = config.replace('course_id = "handgrad"', f'course_id = "{course_id}"')
    (made / CONFIG).write_text(config, encoding="utf-8")
    for folder in ("source", "submitted", "downloaded"):
        (made / folder).mkdir(0o700)
    source = made / "source" / exercise
    source.mkdir(0o700)
    # the data of an exercise is in every wheel
    for place in (material / "source" / exercise, PACKAGE / "exercises" / exercise):
        for path in sorted(place.iterdir()):
            if path.is_file() and path.name != "exercise.json" and not (source / path.name).exists():
                shutil.copyfile(path, source / path.name)
    page = (TEMPLATE / "README.md").read_text(encoding="utf-8").format(course=name, exercise=exercise)
    (made / "README.md").write_text(page, encoding="utf-8")
    shutil.copyfile(TEMPLATE / "gitignore", made / ".gitignore")
