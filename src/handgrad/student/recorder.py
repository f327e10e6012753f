"""Records the calls of ``cmp`` in the grader and in the sandbox, instead of printing and raising."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["current_recorder", "recording", "silence"]


current_recorder: ContextVar[deque[tuple[str, Any]] | None] = ContextVar("recorder", default=None)
"""The calls of ``cmp``, each the name of a tensor and the answer; None if they are not recorded."""


@contextmanager
def recording() -> Iterator[deque[tuple[str, Any]]]:
    """Record the calls of ``cmp`` inside the block."""
    calls = deque[tuple[str, Any]]()
    token = current_recorder.set(calls)
    try:
        yield calls
    finally:
        current_recorder.reset(token)


def silence() -> None:
    """Make ``cmp`` and ``progress`` do nothing in this process: the sandbox has no gradients to compare with."""
    current_recorder.set(deque(maxlen=0))
