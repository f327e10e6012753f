"""A connection to nbgrader's database, for statements that need none of its models' objects."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbgrader.coursedir import CourseDirectory
from sqlalchemy import Connection, Executable, create_engine
from sqlalchemy.engine import make_url

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import at_work, refuse_other_course, wait_for_file

__all__ = ["address", "connected", "gradebook_file", "is_own", "read"]


def address(course: Course) -> tuple[str, str]:
    """URL of the gradebook's database, and the course's id in it."""
    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.root)
    directory = CourseDirectory(config=config)
    return directory.db_url, directory.course_id


def gradebook_file(db_url: str) -> Path | None:
    """The file of a gradebook; None if it is in another database or in memory."""
    url = make_url(db_url)
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if in_file else None


def is_own(course: Course) -> bool:
    """Whether the gradebook is a file in the course's folder, and so that of no other course."""
    file = gradebook_file(address(course)[0])
    return file is not None and file.resolve().is_relative_to(course.root.resolve())


@contextmanager
def connected(course: Course, assignment: str = "") -> Iterator[Connection | None]:
    """A connection to the gradebook; None if there is none yet, and none is made. If it is locked, it is waited for.

    Raises
    ------
    CourseError
        The gradebook cannot be read or written, or ``assignment`` is that of another course.
    """
    db_url, course_id = address(course)
    if path := gradebook_file(db_url):
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
