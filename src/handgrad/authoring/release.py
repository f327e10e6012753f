"""Release exercises: what students get, the worked solutions, and the wheel that students install."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from handgrad.authoring.wheel import wheels
from handgrad.course.course import Course
from handgrad.course.nbgrader import commands
from handgrad.exercise.release_file import EXERCISE_FILE

__all__ = ["Released", "release"]


@dataclass(frozen=True)
class Released:
    """One assignment as it was released.

    Attributes
    ----------
    assignment
        Its name.
    folder
        What students get.
    solution
        The folder of the worked solution.
    wheel
        The name of the wheel in ``folder``; empty for an assignment that is not a handgrad exercise.
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
        The course has no such assignment or none at all, a file of its source is missing, or there is no wheel: nothing
        is released. Or nbgrader cannot release an assignment.
    """
    names = course.select(assignments)
    released = course.folder("release")
    with wheels([released / name for name in names]) as wheel:
        for name in names:
            commands.run("generate_assignment", course, name)
            commands.run("generate_solution", course, name)
            folder = released / name
            is_ours = (folder / EXERCISE_FILE).is_file()
            if is_ours:
                shutil.copy(wheel, folder)
            yield Released(name, folder, course.folder("solution") / name, wheel.name if is_ours else "")
