"""What can go wrong, as exceptions that say what, where and what to do."""

__all__ = ["CourseError", "DataError", "ExerciseError", "HandgradError", "SandboxError", "SubmissionError"]


class HandgradError(Exception):
    """Base of every error that handgrad raises for its user; the command line prints it and exits with status 2."""


class CourseError(HandgradError, ValueError):
    """A course's folder or its settings are not what a command needs."""


class DataError(HandgradError, ValueError):
    """A data file is not what the exercise needs."""


class ExerciseError(HandgradError, ValueError):
    """An instructor notebook is not an exercise that can be graded."""


class SubmissionError(HandgradError, ValueError):
    """A file is not a notebook, or holds no answer to the exercise."""


class SandboxError(HandgradError, RuntimeError):
    """The grader's own processes failed: never the student's fault, never a zero."""
