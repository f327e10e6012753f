"""Run nbgrader's own commands in this process, which has imported nbgrader already, with the course's settings."""

import copy
import logging
import os
import sys
import warnings
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any, Literal

from nbgrader.converters import GenerateAssignment, GenerateFeedback, GenerateSolution, NbGraderException
from nbgrader.coursedir import CourseDirectory

from handgrad.course.course import Course
from handgrad.errors import CourseError

__all__ = ["run", "search_path"]

Command = Literal["generate_assignment", "generate_solution", "generate_feedback"]
_CONVERTERS: dict[Command, Any] = {
    "generate_assignment": GenerateAssignment,
    "generate_solution": GenerateSolution,
    "generate_feedback": GenerateFeedback,
}


def search_path() -> str:
    """``PATH`` with this environment's programs first: nbgrader runs ``alembic`` by name, activated or not."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def run(command: Command, course: Course, assignment: str) -> None:
    """Run one of nbgrader's commands on an assignment.

    Raises
    ------
    CourseError
        The command fails; the message has its last error.
    """
    os.environ["PATH"] = search_path()
    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.root)
    errors, log = BufferingHandler(sys.maxsize), logging.Logger("nbgrader")
    errors.setLevel(logging.ERROR)
    log.addHandler(errors)
    coursedir = CourseDirectory(config=config, assignment_id=assignment, log=log)
    converter = _CONVERTERS[command](coursedir=coursedir, config=config, log=log)
    converter.force = True
    try:
        with warnings.catch_warnings():
            # nbgrader's own models make SQLAlchemy warn
            warnings.simplefilter("ignore")
            converter.start()
    except (NbGraderException, SystemExit) as error:
        message = errors.buffer[-1].getMessage() if errors.buffer else error
        raise CourseError(f"`nbgrader {command} {assignment}` fails: {message}") from error
