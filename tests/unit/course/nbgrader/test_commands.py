"""Why one of nbgrader's commands failed, from what it printed."""

import traceback

from handgrad.course.nbgrader.commands import reason
from handgrad.errors import ExerciseError

AFTER = "Please see the the above traceback for details on the specific errors on the above failures."


def _printed(error: Exception) -> str:
    """The traceback of an error that was raised while another one was handled."""
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise error  # noqa: B904 - as in code that fails to handle an error
    except Exception:
        return traceback.format_exc()


def test_the_error_of_a_traceback() -> None:
    """The reason is the error at the end of the last traceback, and not the message that points to it."""
    missing = FileNotFoundError(2, "No such file or directory", "source/header.ipynb")
    found = reason(["There was an error", _printed(missing), AFTER])
    assert found == "FileNotFoundError: [Errno 2] No such file or directory: 'source/header.ipynb'"
    assert reason([_printed(ExerciseError("it has no stub"))]) == "ExerciseError: it has no stub"
    cell = (
        "An error occurred in this cell:\n---\n  1/0\n---\nTraceback (most recent call last)\nZeroDivisionError: zero"
    )
    assert reason([_printed(ValueError(cell)), AFTER]) == (
        "ValueError: An error occurred in this cell: ... ZeroDivisionError: zero"
    )


def test_without_a_traceback() -> None:
    """Else it is the last message; a program may also have printed nothing."""
    assert reason(["Wait", "No notebooks were matched by 'a'"]) == "No notebooks were matched by 'a'"
    assert reason([""]) == "it printed nothing"
