"""A command reads in a process of its own: a text that ends or stops a parser costs one sentence."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from handgrad.course.workers.reader import Reader
from handgrad.errors import SubmissionError, TextLimitError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither the timer nor the limits")


def who() -> int:
    """The process."""
    return os.getpid()


def run_on() -> None:
    """Take processor time without end."""
    while True:
        pass


def run_on_in_c() -> int:
    """The same, without a return to Python."""
    signal.signal(signal.SIGPROF, signal.SIG_IGN)
    return 10**9**10**3


def refuse(text: str) -> None:
    """An error for users."""
    raise SubmissionError(text)


def fail() -> None:
    """What a parser may raise."""
    raise RecursionError("maximum recursion depth exceeded")


def end() -> None:
    """End the process."""
    os._exit(3)


def hoard() -> int:
    """Take all memory."""
    return len(bytearray(1 << 40))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """A reader whose calls have little time."""
    with Reader(0.5) as reader:
        yield reader


def test_it_is_another_process(reader: Reader) -> None:
    """It is started once."""
    first = reader(who)
    assert first != os.getpid()
    assert reader(who) == first


def test_errors(reader: Reader) -> None:
    """Errors for users are raised as they are; all others are a sentence, and the next call is answered."""
    with pytest.raises(SubmissionError, match="a sentence"):
        reader(refuse, "a sentence")
    with pytest.raises(TextLimitError, match=r"a parser fails at it \(RecursionError\)"):
        reader(fail)
    with pytest.raises(TextLimitError, match="ended, twice"):
        reader(end)
    with pytest.raises(TextLimitError, match="seconds of processor time"):
        reader(run_on)
    with pytest.raises(TextLimitError, match="MiB of memory"):
        reader(hoard)
    assert reader(who) != os.getpid()


@pytest.mark.slow
def test_the_system_ends_it() -> None:
    """A call that never returns to Python is ended by the system, and is not tried again."""
    with Reader(0.1) as reader, pytest.raises(TextLimitError, match="more processor time than it may"):
        reader(run_on_in_c)


def test_it_is_closed() -> None:
    """A reader that was never used has nothing to close; one that is closed starts again when it is asked."""
    unused = Reader()
    unused.close()
    with Reader() as reader:
        first = reader(who)
        reader.close()
        assert reader(who) != first


def test_each(reader: Reader) -> None:
    """Results come by name; an error is that of its own job only."""
    jobs = [("a", "one"), ("b", "two")]
    found = dict(reader.each(refuse, jobs))
    assert {name: (type(error), str(error)) for name, error in found.items()} == {
        "a": (SubmissionError, "one"),
        "b": (SubmissionError, "two"),
    }
    assert dict(reader.each(len, [(3, "abc"), (5, "hello")])) == {3: 3, 5: 5}
    for function, words in ((fail, "RecursionError"), (end, "the process that graded it ended")):
        ((name, error),) = reader.each(function, [("odd",)])
        assert name == "odd"
        assert isinstance(error, TextLimitError)
        assert words in str(error)
