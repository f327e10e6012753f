"""What can go wrong, as exceptions that say what, where and what to do."""

import difflib
from typing import Any, Self

__all__ = [
    "CourseError",
    "DataError",
    "ExerciseError",
    "HandgradError",
    "IsolationError",
    "RenameError",
    "SandboxError",
    "SubmissionError",
    "closest",
]


class HandgradError(Exception):
    """Base of every error that handgrad raises for its user; the command line prints it and exits with status 2."""


class CourseError(HandgradError, ValueError):
    """A course's folder or its settings are not what a command needs."""


class DataError(HandgradError, ValueError):
    """A data file is not what the exercise needs."""


class ExerciseError(HandgradError, ValueError):
    """An instructor notebook is not an exercise that can be graded."""


class RenameError(HandgradError, ValueError):
    """A name is to be read as another, and one of the two is not there."""


class SubmissionError(HandgradError, ValueError):
    """A file is not a notebook, or holds no answer to the exercise."""


class SandboxError(HandgradError, RuntimeError):
    """The grader's own processes failed: never the student's fault, never a zero."""


class IsolationError(SandboxError):
    """Nothing on this machine keeps a submission from its files and its network, and it is not trusted."""

    @classmethod
    def because(cls, reason: str) -> Self:
        """The error, with what can be done about it."""
        return cls(
            f"nothing on this machine keeps a submission from its files and its network: {reason}. "
            "Grade on Linux 5.13 or newer, in a container if need be; or, for code that you trust, "
            "say --trust-submissions, or set c.Handgrad.trust_submissions = True in nbgrader_config.py."
        )


def closest(name: str, names: Any) -> str:
    """A half sentence that suggests the likeliest of ``names``; empty where none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""
