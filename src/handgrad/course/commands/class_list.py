"""Who is in a class: the names of its students, who of them has not handed in, and who is not in the roster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from handgrad.course.commands.grade_class import report_store
from handgrad.course.course import Course
from handgrad.course.nbgrader.roster import people

__all__ = ["ClassList", "class_list"]


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
        A sentence for each hand-in that is nobody's of the roster.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[str] = ()
    unmatched: Sequence[str] = ()


def class_list(course: Course, assignment: str) -> ClassList:
    """The class of an assignment, from the roster and ``students.csv``; who has a stored report has handed in.

    Raises
    ------
    CourseError
        The gradebook, ``students.csv`` or the stored reports cannot be read.
    """
    students, handed_in = people(course, assignment), report_store(course).states(assignment).keys()
    absent = (name for name in students.enrolled - handed_in if not students.status(name, assignment))
    return ClassList(students.full_names(), sorted(absent), list(students.unmatched(handed_in)))
