"""nbgrader's gradebook as a database: what is said if it cannot be used, and which cells it has of a notebook."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nbformat import NotebookNode
from nbgrader.api import Assignment, Gradebook, MissingEntry
from nbgrader.utils import is_grade, is_locked, is_solution, is_task
from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError, SAWarning

from handgrad.errors import CourseError
from handgrad.exercise.exercise import grade_id
from handgrad.notebook.untrusted_files import in_quotes

__all__ = ["at_work", "refuse_other_cells", "refuse_other_course"]


@contextmanager
def at_work() -> Iterator[None]:
    """Ignore SQLAlchemy's warnings about nbgrader's models, and turn a database error into a :class:`CourseError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        try:
            yield
        except DatabaseError as error:
            raise CourseError(f"nbgrader's gradebook cannot be used ({error.orig}).") from error


def refuse_other_course(connection: Connection, assignment: str, course_id: str, *, is_own: bool) -> None:
    """Refuse an assignment that belongs to another course in a database that courses may share.

    nbgrader finds an assignment by its name alone, which is unique in a database. In a gradebook that ``is_own``, the
    file in a course's own folder, another id is only one that the course had before.

    Raises
    ------
    CourseError
        The assignment is that of another course.
    """
    if is_own:
        return
    other = connection.execute(select(Assignment.course_id).where(Assignment.name == assignment)).scalar()
    if other is not None and other != course_id:
        raise CourseError(
            f"the gradebook's {assignment} belongs to the course {other!r}, and this one is {course_id!r}. If it is "
            f"the same course, set c.CourseDirectory.course_id = {other!r} in nbgrader_config.py; if not, give this "
            "one a database of its own, c.CourseDirectory.db_url."
        )


def refuse_other_cells(gradebook: Gradebook, saved: NotebookNode, assignment: str, notebook: str) -> None:
    """Refuse a source with other cells than the gradebook has, if there are submissions.

    ``saved`` is the ``notebook`` of the ``assignment`` as nbgrader would save its cells.

    Raises
    ------
    CourseError
        Graded or locked cells, or questions, were added or removed since submissions were graded.
    """
    try:
        known = gradebook.find_notebook(notebook, assignment)
    except MissingEntry:
        return
    submissions = len(known.submissions)
    if not submissions:
        return
    now = {
        kind: {grade_id(cell) for cell in saved.cells if is_of(cell)}
        for kind, is_of in (
            ("grade", is_grade),
            ("solution", is_solution),
            ("task", is_task),
            ("source", lambda cell: is_grade(cell) or is_solution(cell) or is_locked(cell) or is_task(cell)),
        )
    }
    before = {kind: {cell.name for cell in getattr(known, f"{kind}_cells")} for kind in now}
    every, all_before = (set().union(*cells.values()) for cells in (now, before))
    others = {name for kind in now for name in now[kind] ^ before[kind]}
    changes = (
        ("added", every - all_before),
        ("removed", all_before - every),
        ("made cells of another kind", others & every & all_before),
    )
    said = " and ".join(f"{', '.join(map(in_quotes, sorted(names)))} {what}" for what, names in changes if names)
    if not said:
        return
    number = "1 submission was" if submissions == 1 else f"{submissions} submissions were"
    raise CourseError(
        f"cells of {notebook}.ipynb were changed since {number} graded ({said}), and nbgrader's gradebook keeps the "
        f"cells of an assignment with submissions. Undo that; or copy the folder source/{assignment} under another "
        "name, as a new assignment; or, to lose the scores and grade everybody again, run `nbgrader db assignment "
        f"remove {assignment} --force`."
    )
