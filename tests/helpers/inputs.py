"""Tests that try one rule on many inputs: a failure names the input."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def named(*inputs: object) -> Iterator[None]:
    """Add ``inputs`` to whatever fails inside."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"input: {', '.join(f'{text:.500}' for text in map(repr, inputs))}")
        raise
