"""A connection to nbgrader's database, for statements that need none of its models' objects."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbgrader.coursedir import CourseDirectory
from sqlalchemy import Connection, Executable, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from handgrad.course.course import Course
from handgrad.errors import CourseError

__all__ = ["address", "connected", "read"]


def address(course: Course) -> tuple[str, str]:
    """URL of the gradebook's database, and the course's id in it."""
    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.root)
    directory = CourseDirectory(config=config)
    return directory.db_url, directory.course_id


@contextmanager
def connected(course: Course) -> Iterator[Connection | None]:
    """A connection to the gradebook; None if there is none yet, and none is made.

    Raises
    ------
    CourseError
        The gradebook cannot be read or written.
    """
    url = make_url(address(course)[0])
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        yield None
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except DatabaseError as error:
        raise CourseError(f"nbgrader's gradebook cannot be used ({error.orig}).") from error
    finally:
        engine.dispose()


def read(course: Course, /, *statements: Executable, **values: str) -> list[Sequence[Any]]:
    """The rows of each statement, with ``values`` for what is bound in it; no rows if there is no gradebook yet."""
    with connected(course) as connection:
        if connection is None:
            return [()] * len(statements)
        return [connection.execute(statement, values).all() for statement in statements]
