"""What reads a student's text has a limit of time and memory, which leaves nothing behind."""

import signal
import sys
import threading
import time

import pytest

from handgrad.errors import TextLimitError
from handgrad.notebook.text_limits import limited

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither the timer nor the limits")
posix = pytest.importorskip("resource")


def _run_on() -> None:
    """Take processor time without end, and catch all that an ordinary parser would."""
    while True:
        try:
            sum(range(10_000))
        except Exception:
            continue


def _go_on_after(seconds: float) -> None:
    """Run on after an inner block has ended."""
    with pytest.raises(TextLimitError), limited(seconds):
        _run_on()
    _run_on()


def _state() -> tuple[object, ...]:
    timers = map(signal.getitimer, (signal.ITIMER_PROF, signal.ITIMER_VIRTUAL))
    return signal.getsignal(signal.SIGPROF), *timers, posix.getrlimit(posix.RLIMIT_AS)


def test_time() -> None:
    """A block is ended after its processor time, with a sentence; waiting takes none; nothing is left."""
    before = _state()
    started = time.process_time()
    with pytest.raises(TextLimitError, match=r"more than 0\.2 seconds of processor time"), limited(0.2, may_kill=True):
        _run_on()
    assert time.process_time() - started < 2
    with limited(0.2):
        time.sleep(0.4)
    assert _state() == before


def test_blocks_inside_each_other() -> None:
    """An inner block has its own time, but no more than is left of the outer one, which goes on counting."""
    before = _state()
    with limited(5):
        with pytest.raises(TextLimitError), limited(0.1):
            _run_on()
        assert 0 < signal.getitimer(signal.ITIMER_PROF)[0] < 5
    with pytest.raises(TextLimitError, match=r"0\.2 seconds"), limited(0.2):
        _go_on_after(60)
    assert _state() == before


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_memory() -> None:
    """A block that asks for too much memory is ended with a sentence."""
    before = _state()
    with pytest.raises(TextLimitError, match="more than 64 MiB of memory"), limited(mebibytes=64):
        bytearray(1 << 28)
    assert len(bytearray(1 << 28)) == 1 << 28
    assert _state() == before


def test_other_threads() -> None:
    """Where there are no signals nothing is limited, and everything works."""
    done: list[int] = []

    def work() -> None:
        with limited(0.001):
            done.append(sum(range(1_000_000)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [sum(range(1_000_000))]


def test_errors_pass() -> None:
    """What the block raises is raised."""
    with pytest.raises(ValueError, match="mine"), limited():
        raise ValueError("mine")
