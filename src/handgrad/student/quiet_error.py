"""An error that a card says better: the cell fails with it, and nothing more is shown."""

from types import TracebackType
from typing import Any

__all__ = ["show_no_traceback"]


def show_no_traceback(shell: Any, error: Exception) -> None:
    """Let the cell that raises ``error`` fail without an error below its output.

    Only where a person works in the notebook. Whatever runs a notebook by itself (nbgrader, nbconvert) reads the errors
    among the outputs to know which checks have failed. ``shell`` is IPython's, of which others may have asked the same;
    their request stays.
    """
    if not _has_reader(shell) or shell.custom_exceptions:
        return

    def handler(shell: Any, kind: type[Exception], value: Exception, traceback: TracebackType, **_: Any) -> list[str]:
        shell.set_custom_exc((), None)
        if value is not error:
            shell.showtraceback((kind, value, traceback))
        return []

    shell.set_custom_exc((type(error),), handler)


def _has_reader(shell: Any) -> bool:
    """Whether the cell was run by a front end that would show a question of the cell (``input``) to somebody."""
    if not hasattr(shell, "get_parent"):
        return False
    return bool(shell.get_parent().get("content", {}).get("allow_stdin"))
