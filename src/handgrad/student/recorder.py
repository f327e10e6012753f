"""Records the calls of ``cmp`` in the grader and in the sandbox, instead of printing and raising."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Recorder", "current_recorder", "recording", "silence"]


@dataclass
class Recorder:
    """The calls of ``cmp``: names of tensors, and answers."""

    calls: deque[tuple[str, Any]] = field(default_factory=deque)


current_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the calls of ``cmp`` inside the block."""
    recorder = Recorder()
    token = current_recorder.set(recorder)
    try:
        yield recorder
    finally:
        current_recorder.reset(token)


def silence() -> None:
    """Make ``cmp`` and ``progress`` do nothing in this process: the sandbox has no gradients to compare with."""
    current_recorder.set(Recorder(deque(maxlen=0)))
