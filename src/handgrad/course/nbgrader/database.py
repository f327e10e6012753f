"""nbgrader's gradebook as a database: where it is, how it is opened, and what is said if it cannot be used."""

import copy
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import nbgrader.api
from alembic.script import ScriptDirectory
from nbformat import NotebookNode
from nbgrader.api import Assignment, Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.utils import is_grade, is_locked, is_solution, is_task
from sqlalchemy import Connection, Engine, Executable, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, SAWarning

from handgrad.course.course import Course
from handgrad.course.course_lock import LOG
from handgrad.course.file_access import holders
from handgrad.course.files import make_private_file
from handgrad.errors import CourseError
from handgrad.exercise.exercise import grade_id
from handgrad.notebook.untrusted_files import in_quotes

__all__ = [
    "address",
    "at_work",
    "close_gradebook",
    "connected",
    "course_directory",
    "get_ready",
    "gradebook_file",
    "is_locked_file",
    "is_own",
    "opened",
    "read",
    "refuse_other_cells",
    "refuse_other_course",
    "ways_out",
]


def _newest_revision() -> str:
    """The revision of the tables that this version of nbgrader makes."""
    return str(ScriptDirectory(ALEMBIC_DIR).get_current_head())


# to write this revision into a new gradebook, nbgrader starts the program `alembic`: that takes a second or more, and
# fails if the environment is not activated
nbgrader.api.get_alembic_version = _newest_revision


@contextmanager
def at_work() -> Iterator[None]:
    """Ignore SQLAlchemy's warnings about nbgrader's models, and turn a database error into a :class:`CourseError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        try:
            yield
        except DatabaseError as error:
            if is_locked_error(error.orig):
                raise CourseError(
                    "nbgrader's gradebook is locked by another program: `handgrad doctor` says who may hold it. Run "
                    "this again when that program has finished."
                ) from error
            raise CourseError(f"nbgrader's gradebook cannot be used ({error.orig}).") from error


def is_locked_error(error: BaseException | None) -> bool:
    """Whether a database error says that another program holds the database."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def wait_for_file(path: Path, seconds: float) -> None:
    """Wait until nobody else writes to the SQLite file of a gradebook; it is said who may.

    After so many ``seconds`` it is a CourseError. From then on each connection of this process waits for as long.
    """
    _patience[:] = [seconds]
    if not event.contains(Engine, "connect", _be_patient):
        event.listen(Engine, "connect", _be_patient)
    deadline, is_told = time.monotonic() + seconds, False
    while is_locked_file(path):
        if time.monotonic() >= deadline:
            raise CourseError(
                f"the gradebook {path} is locked by another program ({_holders(path)}), and has been so for "
                f"{seconds:g} seconds: end that program, or wait until it has finished, and run this again."
            )
        if not is_told:
            LOG.warning("%s is locked (%s): waiting up to %g seconds.", path, _holders(path), seconds)
            is_told = True
        time.sleep(0.2)


def _holders(path: Path) -> str:
    """Who may hold a file, as text."""
    return "; ".join(holders(path)) or "it is not known who holds it"


_patience = [60.0]
"""Seconds that a connection waits for a lock."""


def _be_patient(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {_patience[0] * 1000:.0f}")


def is_locked_file(path: Path) -> bool:
    """Whether another program writes to the SQLite file at ``path`` now."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return is_locked_error(error)
    return False


def course_directory(course: Course, assignment: str = "", **more: Any) -> CourseDirectory:
    """Nbgrader's own record of a course; the folder in its configuration is the course's."""
    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.root)
    return CourseDirectory(config=config, assignment_id=assignment, **more)


def address(course: Course) -> tuple[str, str]:
    """URL of the gradebook's database, and the course's id in it."""
    directory = course_directory(course)
    return directory.db_url, directory.course_id


def gradebook_file(course: Course) -> Path | None:
    """The file of a course's gradebook; None if it is in another database or in memory."""
    return _file_at(address(course)[0])


def _file_at(db_url: str) -> Path | None:
    url = make_url(db_url)
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if in_file else None


def is_own(course: Course) -> bool:
    """Whether the gradebook is a file in the course's folder, and so that of no other course."""
    file = gradebook_file(course)
    return file is not None and file.resolve().is_relative_to(course.root.resolve())


def close_gradebook(coursedir: CourseDirectory) -> None:
    """Let nobody but the instructors read a course's gradebook, if it is a file; an empty one is made if there is none.

    nbgrader fills an empty one; it would make one with the permissions that the shell allows.
    """
    if path := _file_at(coursedir.db_url):
        make_private_file(path, 0o660 if coursedir.groupshared else 0o600)


def get_ready(course: Course) -> None:
    """Close a course's gradebook to others, and wait for it if it is locked: see :func:`wait_for_file`."""
    directory = course_directory(course)
    close_gradebook(directory)
    if path := _file_at(directory.db_url):
        wait_for_file(path, course.wait_seconds)


@contextmanager
def opened(course: Course) -> Iterator[Gradebook]:
    """Nbgrader's gradebook of a course, made if there is none; a CourseError if it cannot be read or written."""
    get_ready(course)
    with at_work(), closing(Gradebook(*address(course))) as gradebook:
        yield gradebook


@contextmanager
def connected(course: Course, assignment: str = "") -> Iterator[Connection | None]:
    """A connection for statements that need none of nbgrader's objects; None without a gradebook, and none is made.

    If the gradebook is locked, it is waited for.

    Raises
    ------
    CourseError
        The gradebook cannot be read or written, or ``assignment`` is that of another course.
    """
    db_url, course_id = address(course)
    if path := _file_at(db_url):
        # an empty file is what a command leaves that was killed before nbgrader filled it
        if not path.is_file() or not path.stat().st_size:
            yield None
            return
        wait_for_file(path, course.wait_seconds)
    engine = create_engine(db_url)
    try:
        with at_work(), engine.connect() as connection:
            if assignment:
                refuse_other_course(connection, assignment, course_id, is_own=is_own(course))
            yield connection
    finally:
        engine.dispose()


def read(course: Course, /, *statements: Executable, assignment: str = "", **values: str) -> list[Sequence[Any]]:
    """The rows of each statement, with ``assignment`` and ``values`` for what is bound in it.

    There are no rows if there is no gradebook yet.
    """
    with connected(course, assignment) as connection:
        if connection is None:
            return [()] * len(statements)
        return [connection.execute(statement, {"assignment": assignment, **values}).all() for statement in statements]


def refuse_other_course(connection: Connection, assignment: str, course_id: str, *, is_own: bool) -> None:
    """Refuse, as a CourseError, an assignment that belongs to another course in a database that courses may share.

    nbgrader finds an assignment by its name alone, which is unique in a database. In a gradebook that ``is_own``, the
    file in a course's own folder, another id is only one that the course had before.
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
    """Refuse, as a CourseError, a source with other cells than the gradebook has, if there are submissions.

    ``saved`` is the ``notebook`` of the ``assignment`` as nbgrader would save its cells.
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
        f"cells of an assignment with submissions. {ways_out(assignment)}"
    )


def ways_out(assignment: str) -> str:
    """What to do about a source that has other cells or notebooks than what students handed in."""
    return (
        f"Undo that; or copy the folder source/{assignment} under another name, as a new assignment; or, to lose the "
        f"scores and grade everybody again, run `nbgrader db assignment remove {assignment} --force`."
    )
