"""nbgrader's own commands, run in this process, which has loaded them already: the same steps, the same settings."""

import copy
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

from nbgrader.converters import GenerateAssignment, GenerateFeedback, GenerateSolution, NbGraderException
from nbgrader.coursedir import CourseDirectory

from handgrad.course.course import Course
from handgrad.errors import CourseError

__all__ = ["run"]

Command = Literal["generate_assignment", "generate_solution", "generate_feedback"]
_CONVERTERS: dict[Command, Any] = {
    "generate_assignment": GenerateAssignment,
    "generate_solution": GenerateSolution,
    "generate_feedback": GenerateFeedback,
}


class _Said(logging.Handler):
    """Keeps the last thing that a command says of what went wrong."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.last = record.getMessage()


def run(command: Command, course: Course, assignment: str) -> None:
    """Run one command of nbgrader's on an assignment.

    Raises
    ------
    CourseError
        It fails; the message has what it said last.
    """
    # nbgrader asks for the program alembic by name, also where the environment is not activated
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.root)
    said, log = _Said(logging.ERROR), logging.Logger("nbgrader")
    log.addHandler(said)
    coursedir = CourseDirectory(config=config, assignment_id=assignment, log=log)
    converter = _CONVERTERS[command](coursedir=coursedir, config=config, log=log)
    converter.force = True
    try:
        with warnings.catch_warnings():
            # nbgrader's own models make SQLAlchemy warn
            warnings.simplefilter("ignore")
            converter.start()
    except (NbGraderException, SystemExit) as error:
        raise CourseError(f"`nbgrader {command} {assignment}` fails: {said.last or error}") from error
