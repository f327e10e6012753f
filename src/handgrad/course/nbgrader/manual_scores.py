"""Write manual scores into nbgrader's gradebook."""

from collections.abc import Sequence
from contextlib import closing

from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy.exc import DatabaseError

from handgrad.course.course import Course
from handgrad.course.nbgrader.folders import Folders
from handgrad.errors import CourseError
from handgrad.report.names import shown

__all__ = ["give_all_points"]


def give_all_points(course: Course, assignment: str, cell: str, students: Sequence[str]) -> None:
    """Set the manual score of a graded cell to all its points, for every student or, if one fails, for nobody.

    Raises
    ------
    CourseError
        A student has a manual score for it already, or the gradebook cannot be read or written.
    """
    folders = Folders(course, assignment)
    folders.close_gradebook()
    address, course_id = folders.database
    try:
        with closing(Gradebook(address, course_id)) as gradebook:
            for student in students:
                grade = gradebook.find_grade(cell, assignment, assignment, student)
                if grade.manual_score is not None and not grade.needs_manual_grade:
                    raise CourseError(
                        f"{cell} of {shown(student)} has a manual score already ({grade.manual_score:g} of "
                        f"{grade.max_score:g} points): change it in the formgrader."
                    )
                grade.manual_score, grade.needs_manual_grade = grade.max_score, False
            gradebook.db.commit()
    except MissingEntry as error:
        raise CourseError(f"nbgrader's gradebook lacks a row: {error}. Run `handgrad grade {assignment}`.") from error
    except DatabaseError as error:
        raise CourseError(f"nbgrader's gradebook cannot be written ({error.orig}).") from error
