"""Limits of processor time and memory for whatever reads, aligns, sanitizes or renders a student's text.

A parser may take hours for a short text that was made for it, or all memory. Processor time is limited, not time on the
clock: a machine that is busy with other things must not change a grade.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from handgrad.errors import TextLimitError

try:
    import resource
except ModuleNotFoundError:  # Windows has neither these limits nor the timer
    resource = None  # type: ignore[assignment]

__all__ = ["TEXT_MB", "TEXT_SECONDS", "limited"]

TEXT_SECONDS = 30.0
"""Seconds of processor time that the text of one submission may take, in all its steps together."""
TEXT_MB = 2048
"""MiB of memory that it may take beyond what the process has taken before."""
_AGAIN = 0.5
"""Seconds after which the timer fires again: code that catches everything must not run on."""


class _OutOfTime(BaseException):
    """The timer has fired: no Exception, since parsers catch those."""


@contextmanager
def limited(seconds: float = TEXT_SECONDS, mebibytes: int = TEXT_MB, *, may_kill: bool = False) -> Iterator[None]:
    """Limit what the block takes of this process: ``seconds`` of processor time, ``mebibytes`` more memory.

    Blocks can be nested; an inner one has at most the time that is left of the outer one. The time of C code that never
    returns to Python is limited only if the block ``may_kill`` this process, with the signal SIGVTALRM: only where
    another process starts it again. Outside the main thread, where there are no signals, and on Windows nothing is
    limited; on macOS only time is.

    Raises
    ------
    TextLimitError
        The block takes more.
    """
    if resource is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        with ExitStack() as limits:
            if may_kill:
                limits.enter_context(_killed_after(2 * seconds + 5))
            limits.enter_context(_memory(mebibytes))
            limits.enter_context(_timer(seconds))
            yield
    except _OutOfTime:
        raise TextLimitError.because(f"more than {seconds:g} seconds of processor time") from None
    except MemoryError:
        raise TextLimitError.because(f"more than {mebibytes} MiB of memory") from None


@contextmanager
def _timer(seconds: float) -> Iterator[None]:
    """Raise :class:`_OutOfTime` after so much processor time."""

    def fire(_signal: int, _frame: FrameType | None) -> None:
        raise _OutOfTime

    started, before = time.process_time(), signal.signal(signal.SIGPROF, fire)
    left, _ = signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN)
    if 0 < left < seconds:
        signal.setitimer(signal.ITIMER_PROF, left, _AGAIN)
    try:
        yield
    finally:
        if left:
            # an outer block whose time is up is ended at once
            signal.setitimer(signal.ITIMER_PROF, max(left - (time.process_time() - started), 1e-3), _AGAIN)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _memory(mebibytes: int) -> Iterator[None]:
    """Let this process take at most so much more address space; a limit that is lower already stays."""
    if sys.platform != "linux":
        yield
        return
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (taken + (mebibytes << 20), before, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


@contextmanager
def _killed_after(seconds: float) -> Iterator[None]:
    """Let the system kill this process after so much processor time, without the time that the system itself takes.

    A timer, which counts from now: ``RLIMIT_CPU`` counts the ticks since the start of the process, of which a process
    that sleeps and wakes up often had 5 seconds more than it had taken, and was killed at once.
    """
    left, _ = signal.getitimer(signal.ITIMER_VIRTUAL)
    given = min(left, seconds) if left else seconds
    signal.setitimer(signal.ITIMER_VIRTUAL, given)
    try:
        yield
    finally:
        taken = given - signal.getitimer(signal.ITIMER_VIRTUAL)[0]
        signal.setitimer(signal.ITIMER_VIRTUAL, max(left - taken, 1e-3) if left else 0)
