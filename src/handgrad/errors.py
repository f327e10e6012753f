"""The exceptions of handgrad; each message gives what happened, where, and what to do."""

import difflib
from typing import Any, Self

__all__ = [
    "CourseError",
    "DataError",
    "ExerciseError",
    "HandgradError",
    "IsolationError",
    "OrdinaryAssignmentError",
    "RenameError",
    "SandboxError",
    "SubmissionError",
    "TextLimitError",
    "closest",
]


class HandgradError(Exception):
    """Base of all errors for the user; the command line prints the message and exits with status 2."""


class CourseError(HandgradError, ValueError):
    """A course's folder or its settings are invalid for a command."""


class DataError(HandgradError, ValueError):
    """A data file is missing or invalid."""


class ExerciseError(HandgradError, ValueError):
    """An instructor notebook is not an exercise that can be graded."""


class OrdinaryAssignmentError(ExerciseError):
    """An instructor notebook has nothing of handgrad: it is an ordinary assignment of nbgrader's."""


class RenameError(HandgradError, ValueError):
    """A name that is to be read as another, or that other name, does not exist."""


class SubmissionError(HandgradError, ValueError):
    """A file is not a notebook, or has no answer to the exercise."""


class TextLimitError(HandgradError, ValueError):
    """A student's text takes more time or memory to read than it may."""

    @classmethod
    def because(cls, reason: str) -> Self:
        """The error with what it took, and what to do."""
        return cls(
            f"reading this notebook takes {reason}, so it was not graded. Look at what was handed in: "
            "very long or deeply nested text takes so much."
        )


class SandboxError(HandgradError, RuntimeError):
    """The grader's own processes failed: never the student's fault, never a zero."""


class IsolationError(SandboxError):
    """An untrusted submission cannot be isolated from the files and the network of this machine."""

    @classmethod
    def because(cls, reason: str) -> Self:
        """The error with its reason, and what to do."""
        return cls(
            f"this machine cannot isolate a submission from its files and its network: {reason}. "
            "Grade on Linux 5.13 or newer, in a container if need be; or, for code that you trust, "
            "say --trust-submissions, or set c.Handgrad.trust_submissions = True in nbgrader_config.py."
        )

    @classmethod
    def required(cls, wanted: str, found: str) -> Self:
        """The error of a check for which more isolation was required than was found."""
        return cls(
            f"this check requires isolation {wanted!r}, and this machine offers {found}: nobody is graded, and nothing "
            "of the submission was run. Grade on Linux 5.13 or newer; in a container, allow landlock or user "
            'namespaces. For code that you would run yourself, write "trust_submissions": true into the settings '
            "(handgrad.json)."
        )


def closest(name: str, names: Any) -> str:
    """A sentence that suggests the most similar of ``names``; empty if none is similar."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""
