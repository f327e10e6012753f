"""Takes the place of ``cmp`` in the grader and in the sandbox: records its calls, prints nothing."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Recorder", "recording", "silence"]


@dataclass
class Recorder:
    """Takes the place of ``cmp`` in the grader: keeps what a check compares, prints nothing, raises nothing."""

    calls: deque[tuple[str, Any]] = field(default_factory=deque)


_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the calls of ``cmp`` inside the block."""
    recorder = Recorder()
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)


def silence() -> None:
    """Let ``cmp`` do nothing in this process from here on: in the sandbox there is nothing to compare with."""
    _recorder.set(Recorder(deque(maxlen=0)))
