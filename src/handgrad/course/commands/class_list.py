"""Who is in a class: the names of its students, who of them has not handed in, and who is not in the roster."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from handgrad.course.course import Course
from handgrad.course.nbgrader.collecting import in_archives
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.scores import entries
from handgrad.course.nbgrader.student_records import under_another_name
from handgrad.course.report_store import ReportStore
from handgrad.report.names import shown

__all__ = ["ClassList", "class_list", "second_hand_ins"]


@dataclass(frozen=True)
class ClassList:
    """The class of an assignment.

    Attributes
    ----------
    names
        The students' names by their ids, where they are known.
    absent
        The ids of those who should hand in and have not.
    unmatched
        A sentence for each hand-in that is nobody's of the roster, or a second one of somebody.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[str] = ()
    unmatched: Sequence[str] = ()


def class_list(course: Course, assignment: str) -> ClassList:
    """The class of an assignment, from the roster and ``students.csv``; who has a stored report has handed in."""
    folders = Folders(course, assignment)
    students = folders.people
    handed_in = ReportStore.of(course).states(assignment).keys()
    absent = (name for name in students.enrolled - handed_in if not students.status(name, assignment))
    called = {number: path.partition("_")[0] for number, path, _ in in_archives(course, assignment)}
    doubtful = [*students.unmatched(handed_in, called), *second_hand_ins(folders)]
    return ClassList(students.full_names(), sorted(absent), doubtful)


def second_hand_ins(folders: Folders) -> Iterator[str]:
    """A sentence for each student with two folders, or who was graded under two names: neither score is thrown away."""
    yield from folders.second_hand_ins()
    course, assignment = folders.course, folders.assignment
    if not (others := under_another_name(course)):
        return
    scored = {student for student, entry in entries(course, assignment).items() if entry.is_scored}
    for name, student in sorted(others.items()):
        if {name, student} <= scored:
            yield (
                f"{shown(name)} is {shown(student)}, and both were graded: the score of {shown(student)} counts. To "
                f"drop the other, run `nbgrader db student remove {shlex.quote(shown(name))} --force`."
            )
