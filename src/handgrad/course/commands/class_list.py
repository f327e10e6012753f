"""Who is in a class: the names of its students, and who of them has not handed in an assignment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from handgrad.course.commands.grade_class import report_store
from handgrad.course.course import Course
from handgrad.course.nbgrader import scores

__all__ = ["ClassList", "class_list", "full_names"]


@dataclass(frozen=True)
class ClassList:
    """The students' names by their ids, where they are known; and the ids of those who have not handed in."""

    names: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[str] = ()


def class_list(course: Course, assignment: str) -> ClassList:
    """The class of an assignment, from the gradebook's roster; who has a stored report has handed in.

    Raises
    ------
    CourseError
        The gradebook or the stored reports cannot be read.
    """
    roster = scores.roster(course, assignment)
    return ClassList(full_names(roster), sorted(roster.keys() - report_store(course).states(assignment).keys()))


def full_names(roster: Mapping[str, scores.RosterEntry]) -> dict[str, str]:
    """For each student of the roster who has a name: the first and the last name."""
    names = {student: " ".join(filter(None, (entry.first_name, entry.last_name))) for student, entry in roster.items()}
    return {student: name for student, name in names.items() if name}
