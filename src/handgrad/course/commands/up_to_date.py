"""Bring a gradebook up to date before it is read: one name for each student, and penalties that fit its dates."""

from handgrad.course.commands.grade_class import report_store
from handgrad.course.course import Course
from handgrad.course.course_lock import alone
from handgrad.course.nbgrader.scores import write_dates
from handgrad.course.nbgrader.student_records import join, under_another_name

__all__ = ["bring_up_to_date"]


def bring_up_to_date(course: Course, assignment: str) -> None:
    """Move what is under other names of students to their ids, and write late penalties; nothing is graded.

    Raises
    ------
    CourseError
        The gradebook cannot be read or written, or another process is grading while there is something to move.
    """
    store = report_store(course)
    if under_another_name(course, store):
        with alone(course):
            join(course, store)
    write_dates(course, assignment)
