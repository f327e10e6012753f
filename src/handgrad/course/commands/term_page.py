"""Write the page and the csv of a term: all assignments of a course."""

from pathlib import Path

from handgrad.course.commands.class_page import link_from
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.student_records import bring_up_to_date
from handgrad.course.people import EXEMPT, WITHDRAWN
from handgrad.errors import CourseError
from handgrad.report.pages import term_page
from handgrad.report.term import Term, TermAssignment, term_csv

__all__ = ["write_term"]


def write_term(course: Course, output: Path | None = None) -> tuple[Term, Path, Path]:
    """Write the page of a term (default: ``term.html`` in the course), and beside it the csv of the same name.

    The result is the term, and the paths of both.

    Raises
    ------
    CourseError
        Nothing was graded, a file cannot be written, or the gradebook cannot be read.
    """
    page = (output or course.root / "term.html").resolve()
    table = page.with_suffix(".csv")
    if table == page:
        raise CourseError(f"{page} is the name of the csv too: give the page another name, such as term.html.")
    names = course.select()
    assignments = [found for name in names if (found := _assignment(course, name, page.parent)).scores]
    if not assignments:
        raise CourseError("no submission of any assignment has been graded: run `handgrad grade` first.")
    students = people(course)
    enrolled = [student for student in students.enrolled if students.status(student, "") != WITHDRAWN]
    term = Term(assignments, students.full_names(), enrolled)
    write_text(page, term_page(term, "The term"), mode=course.file_mode)
    write_text(table, term_csv(term), mode=course.file_mode)
    return term, page, table


def _assignment(course: Course, name: str, start: Path) -> TermAssignment:
    """An assignment with its reports, scores and the links from the folder ``start`` to the feedback pages."""
    bring_up_to_date(course, name)
    students = people(course)
    reports = {report.student: report for report in stored_reports(course, name)}
    entries = {
        student: entry
        for student, entry in scores.entries(course, name).items()
        if entry.is_scored and students.counts(student, name)
    }
    folders = Folders(course, name)
    links = {student: link_from(start, folders.feedback(student)) for student in {*reports, *entries}}
    exempt = [student for student in students.enrolled if students.status(student, name) == EXEMPT]
    return TermAssignment(name, reports, entries, {student: link for student, link in links.items() if link}, exempt)
