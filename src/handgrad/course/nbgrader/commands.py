"""Run nbgrader's own commands in this process, which has imported nbgrader already, with the course's settings."""

import logging
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any, Literal

from nbgrader.converters import GenerateAssignment, GenerateFeedback, GenerateSolution, NbGraderException

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import course_directory, get_ready
from handgrad.course.nbgrader.release_folders import write_beside
from handgrad.errors import CourseError

__all__ = ["reason", "release", "run"]

LONGEST_LINE = 300
"""Characters quoted of a line that a command printed."""
_TRACEBACK = "Traceback (most recent call last):\n"
_FRAMES = re.compile(r"\A(?: .*\n)+")
_PACKAGES = re.compile(r"\A(?:\w+\.)+(?=\w+:)")
"""The packages of an error's class."""
Command = Literal["generate_assignment", "generate_solution", "generate_feedback"]
_CONVERTERS: dict[Command, Any] = {
    "generate_assignment": GenerateAssignment,
    "generate_solution": GenerateSolution,
    "generate_feedback": GenerateFeedback,
}


def run(command: Command, course: Course, assignment: str) -> None:
    """Run one of nbgrader's commands on an assignment; if it fails, its error is a CourseError.

    What a failing command would have written is not there, and what was released or solved before stays.
    """
    _start(command, _made(command, course, assignment), assignment)


def release(course: Course, assignment: str, beside: Sequence[Path] = ()) -> None:
    """Release and solve an assignment; both folders are replaced when both are written, and stay if a command fails.

    The files ``beside`` are released with an exercise of handgrad's.
    """
    commands: tuple[Command, ...] = ("generate_assignment", "generate_solution")
    with ExitStack() as stack:
        converters = []
        for command in commands:
            converter = _made(command, course, assignment)
            stack.callback(converter.clear_up)
            converter.is_held, converter.beside = True, beside
            _start(command, converter, assignment)
            converters.append(converter)
        for converter in converters:
            converter.replace()


def _made(command: Command, course: Course, assignment: str) -> Any:
    """The converter of a command."""
    log = logging.Logger("nbgrader")
    log.addHandler(BufferingHandler(sys.maxsize))
    coursedir = course_directory(course, assignment, log=log)
    get_ready(course)
    converter = write_beside(_CONVERTERS[command](coursedir=coursedir, config=coursedir.config, log=log))
    converter.force = True
    return converter


def _start(command: Command, converter: Any, assignment: str) -> None:
    """Let a converter do its work."""
    (printed,) = converter.log.handlers
    printed.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # nbgrader's own models make SQLAlchemy warn
            warnings.simplefilter("ignore")
            converter.start()
    except (NbGraderException, SystemExit) as error:
        if fault := getattr(converter, "fault", None):
            raise fault from error
        messages = [record.getMessage() for record in printed.buffer] or [str(error)]
        raise CourseError(f"`nbgrader {command} {assignment}` fails: {reason(messages)}") from error


def reason(messages: Sequence[str]) -> str:
    """Why a command failed, from the messages that it printed: its last error, first and last line.

    nbgrader prints a traceback, and then where to look for it.
    """
    told = next((text for text in reversed(messages) if _TRACEBACK in text), messages[-1])
    if _TRACEBACK in told:
        # without the packages of the error's class
        told = _PACKAGES.sub("", _FRAMES.sub("", told.split(_TRACEBACK)[-1]))
    lines = [line.strip()[:LONGEST_LINE] for line in told.splitlines() if line.strip()]
    return " ... ".join(dict.fromkeys((*lines[:1], *lines[-1:]))) or "it printed nothing"
