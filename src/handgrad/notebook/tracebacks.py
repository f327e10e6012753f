"""IPython's lines about an exception, as a notebook shows them: frames of its cells only, and not too many."""

import functools
import importlib
import inspect
import itertools
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

__all__ = ["cut", "formatted", "know_file", "prepare"]

MAX_TRACEBACK = 20_000
"""Characters kept of a formatted traceback."""
MAX_LAST = 2_000
"""Characters kept of its last line: the exception."""
MAX_FRAMES = 10
"""Frames kept at each end of a long traceback."""


def formatted(shell: InteractiveShell, error: BaseException, filename: str) -> list[str]:
    """IPython's lines about an error of the cell called ``filename``; empty if it comes from no cell."""
    for raised in _chain(error):
        raised.__traceback__ = _of_cells(raised.__traceback__)
        _shorten(raised.__traceback__)
    if error.__traceback__ is not None:
        with _cached_styles():
            return list(shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__, tb_offset=0))
    if isinstance(error, SyntaxError) and error.filename == filename:
        return list(shell.SyntaxTB.structured_traceback(type(error), error, []))
    return []


def cut(lines: list[str]) -> tuple[str, ...]:
    """The lines of a traceback, cut if they are too long, but always with the last line: the exception."""
    kept: list[str] = []
    room = MAX_TRACEBACK
    for line in (lines[-1][:MAX_LAST], *lines[:-1]):
        kept.append(line[:room])
        room -= len(kept[-1])
    return (*kept[1:], kept[0])


def know_file(filename: str) -> None:
    """Tell :mod:`inspect` which module a cell belongs to: else it asks all modules, 3 ms for each frame."""
    # not documented, and not in every Python
    getattr(inspect, "modulesbyfile", {})[filename] = "__main__"


def prepare(shell: InteractiveShell) -> None:
    """Import and compute what the first traceback needs, for all processes that are forked from here."""
    try:
        exec(compile("1 / 0", "<cell 0>", "exec"), {})
    except ZeroDivisionError as error:
        formatted(shell, error, "<cell 0>")


@contextmanager
def _cached_styles() -> Iterator[None]:
    """Let each traceback use the tables of pygments that the first one has computed: 3 ms instead of 9 ms.

    stack_data makes a new class of lexer for each frame, and IPython a new formatter for each exception.
    """
    before = [(owner, name, getattr(owner, name, False)) for owner, name, _ in _cached()]
    for owner, name, value in _cached():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


@functools.cache
def _cached() -> tuple[tuple[Any, str, Any], ...]:
    """What is replaced while a traceback is formatted: its owner, its name, and what it becomes."""
    stack_data: Any = importlib.import_module("stack_data")
    from pygments.formatters import terminal256  # noqa: PLC0415 - most notebooks have no traceback
    from pygments.lexers.python import PythonLexer  # noqa: PLC0415

    # a lexer with variants takes the tables of its class, which the first instance computes
    PythonLexer()
    return (
        (PythonLexer, "token_variants", True),
        (stack_data, "style_with_executing_node", functools.cache(stack_data.style_with_executing_node)),
        (terminal256, "Terminal256Formatter", functools.cache(terminal256.Terminal256Formatter)),
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An error, and those that led to it."""
    found = [error]
    while len(found) < MAX_FRAMES and (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(cause)
    return found


def _of_cells(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """The frames of a notebook's cells: others are files of the machine that grades, and no lines of the student's."""
    kept = [frame for frame in _frames(traceback) if frame.tb_frame.f_code.co_filename.startswith("<cell")]
    for frame, following in itertools.pairwise([*kept, None]):
        if frame is not None:
            frame.tb_next = following
    return kept[0] if kept else None


def _shorten(traceback: types.TracebackType | None) -> None:
    """Remove the middle of a long traceback: formatting the thousand frames of a recursion takes two seconds."""
    frames = _frames(traceback)
    if len(frames) > 2 * MAX_FRAMES:
        frames[MAX_FRAMES - 1].tb_next = frames[-MAX_FRAMES]


def _frames(traceback: types.TracebackType | None) -> list[types.TracebackType]:
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    return frames
