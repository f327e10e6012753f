"""Run notebook cells as IPython would, without a kernel.

The grader runs the instructor's cells with it in a trusted process, the sandbox runs a student's cells with it in a
child. A cell is transformed by IPython (so ``%%time``, ``!ls`` and ``%matplotlib inline`` mean what they mean in
Jupyter) and compiled once, however many passes run it.
"""

import ast
import asyncio
import base64
import builtins
import functools
import inspect
import io
import linecache
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from handgrad.notebook import untrusted_json

__all__ = [
    "CellError",
    "CompiledCell",
    "Outputs",
    "captured",
    "forbid_input",
    "new_namespace",
    "parse",
    "run_cell",
    "the_shell",
]

MAX_TEXT = 200_000
"""Characters of printed text kept for one cell; the rest is cut."""
MAX_RICH = 4_000_000
"""Characters of the largest rich output (a plot, a table) that is kept."""
MAX_ITEMS = 200
"""Rich outputs kept for one cell."""
MAX_MESSAGE = 2_000
"""Characters kept of an exception's message."""
MAX_TRACEBACK = 20_000
"""Characters kept of a formatted traceback."""
MAX_FRAMES = 10
"""Frames kept at each end of a long traceback."""
MAX_CACHED = 2_500
"""Characters of the longest text whose tree is cached: 256 trees are 3 MB of usual cells, 250 MB of `a=1` lines."""


class Shell(InteractiveShell):
    """IPython's shell without a terminal, a history file or the thread that writes it."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Ignore the event loop that a plotting magic starts: nothing is shown while a notebook is graded."""

    def system(self, cmd: str) -> None:
        """Run a shell command (``!pip install``, ``%pip``); without a shell, print a message to stderr."""
        try:
            super().system(cmd)
        except OSError:
            print(f"{cmd.strip()}: not run while a notebook is graded", file=sys.stderr)

    def use(self, namespace: dict[str, Any]) -> None:
        """Let magics read and write ``namespace``."""
        self.user_module = types.ModuleType("__main__")
        self.user_ns = namespace


def the_shell() -> InteractiveShell:
    """The process's IPython shell: the running one, or one that is created on the first call."""
    if InteractiveShell.initialized():
        return InteractiveShell.instance()
    hooks = sys.displayhook, sys.excepthook
    shell = Shell.instance(config=Config(HistoryManager={"enabled": False}, InteractiveShell={"autoindent": False}))
    sys.displayhook, sys.excepthook = hooks
    return shell


def parse(text: str) -> ast.Module | None:
    """The syntax tree of ``text``; None if it is not Python. It is shared by all callers: do not change it.

    Raises
    ------
    RecursionError, MemoryError
        It is nested too deeply.
    """
    return _tree(text) if len(text) <= MAX_CACHED else _tree.__wrapped__(text)


@functools.lru_cache(maxsize=256)
def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):  # a ValueError is a null byte
        return None


@dataclass(frozen=True)
class CellError:
    """The exception of a cell: ``name`` of its class, its ``message``, and IPython's ``traceback`` lines."""

    name: str
    message: str
    traceback: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data."""
        return {"name": self.name, "message": self.message, "traceback": list(self.traceback)}


@dataclass
class CompiledCell:
    """One code cell: its source, and its code objects after the first run."""

    source: str
    filename: str = "<cell>"
    _code: list[types.CodeType] | None = field(default=None, repr=False)

    def _parsed(self) -> tuple[str, ast.Module]:
        """The cell as Python: unchanged or, if that is not Python, after IPython's transformation."""
        if tree := parse(self.source):
            return self.source, tree
        transformed = the_shell().transform_cell(self.source)
        # the second call raises, with the name of this cell
        return transformed, parse(transformed) or ast.parse(transformed, self.filename)

    def code(self) -> list[types.CodeType]:
        """Code objects in order; the last expression of the cell is compiled so that its value is shown.

        Raises
        ------
        SyntaxError
            The cell is not Python, also after IPython's transformation.
        """
        if self._code is None:
            transformed, tree = self._parsed()
            linecache.cache[self.filename] = (len(transformed), None, transformed.splitlines(True), self.filename)
            parts: list[tuple[ast.Module | ast.Interactive, str]] = [(tree, "exec")]
            ends_in_value = tree.body and isinstance(tree.body[-1], ast.Expr)
            if ends_in_value and not DisplayHook.semicolon_at_end_of_expression(transformed):
                parts = [(ast.Module(tree.body[:-1], []), "exec"), (ast.Interactive(tree.body[-1:]), "single")]
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            self._code = [compile(part, self.filename, mode, flags, dont_inherit=True) for part, mode in parts]
        return self._code


def forbid_input() -> None:
    """Make ``input()`` raise in the whole process."""

    def refuse(prompt: object = "") -> str:
        raise StdinNotImplementedError("input() cannot be answered while a notebook is graded.")

    builtins.input = refuse


def new_namespace() -> dict[str, Any]:
    """An empty ``__main__`` namespace for a notebook's first cell."""
    namespace = types.ModuleType("__main__").__dict__
    namespace["__builtins__"] = __builtins__
    namespace["get_ipython"] = the_shell
    return namespace


def run_cell(cell: CompiledCell, namespace: dict[str, Any], *, traceback: bool = False) -> CellError | None:
    """Run ``cell`` in ``namespace``; the error it raised, or None.

    Everything that student code can raise is caught, ``SystemExit`` and ``KeyboardInterrupt`` included; earlier
    assignments stay in ``namespace``. With ``traceback`` the error has IPython's formatted lines.
    """
    shell = the_shell()
    if isinstance(shell, Shell):
        shell.use(namespace)
    try:
        for code in cell.code():
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, namespace))
            else:
                exec(code, namespace)
    except BaseException as error:
        return _describe(shell, error, traceback)
    return None


def _cut(lines: list[str]) -> tuple[str, ...]:
    """The lines of a traceback, cut if they are too long, but always with the last line: the exception."""
    kept: list[str] = []
    room = MAX_TRACEBACK
    for line in (lines[-1][:MAX_MESSAGE], *lines[:-1]):
        kept.append(line[:room])
        room -= len(kept[-1])
    return (*kept[1:], kept[0])


def _shorten(traceback: types.TracebackType | None) -> None:
    """Remove the middle of a long traceback: formatting the thousand frames of a recursion takes two seconds."""
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    if len(frames) > 2 * MAX_FRAMES:
        frames[MAX_FRAMES - 1].tb_next = frames[-MAX_FRAMES]


def _describe(shell: InteractiveShell, error: BaseException, traceback: bool) -> CellError:
    name = type(error).__name__[:200]
    try:
        message = str(error)[:MAX_MESSAGE]
    except BaseException as inner:
        message = f"(its message could not be read: {type(inner).__name__})"
    lines: tuple[str, ...] = ()
    if traceback:
        try:
            # skip the first frames: those of this module, and of the parser for a syntax error
            frames = error.__traceback__
            while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, ast.__file__):
                frames = frames.tb_next
            _shorten(frames)
            if frames is None:
                parts = shell.SyntaxTB.structured_traceback(type(error), error, [])
            else:
                parts = shell.InteractiveTB.structured_traceback(type(error), error, frames, tb_offset=0)
            lines = _cut([str(part) for part in parts])
        except BaseException:
            lines = (f"{name}: {message}",)
    return CellError(name, message, lines)


class Outputs:
    """Everything that cells print, show and display, in order, in nbformat's format and limited in size."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.room = MAX_TEXT

    def take(self) -> list[dict[str, Any]]:
        """The outputs since the last call."""
        items, self.items, self.room = self.items, [], MAX_TEXT
        return items

    def write(self, name: str, text: str) -> None:
        """Add ``text`` to the stream ``name``; text that does not fit is cut, with a message."""
        if not self.room:
            return
        if len(text) >= self.room:
            text = text[: self.room] + "\n... (cut: too much output)\n"
            self.room = 0
        else:
            self.room -= len(text)
        if self.items and self.items[-1].get("name") == name:
            self.items[-1]["text"] += text
        else:
            self.items.append({"output_type": "stream", "name": name, "text": text})

    def add(self, output_type: str, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Add rich output; binary data becomes base64 text, as Jupyter stores it."""
        data = {str(kind): _shown(str(kind), value) for kind, value in data.items()}
        size = sum(len(value) for value in data.values() if isinstance(value, str))
        if size > MAX_RICH:
            data = {"text/plain": f"(an output of {size:,} characters was left out)"}
        item: dict[str, Any] = {"output_type": output_type, "data": data, "metadata": metadata}
        if output_type == "execute_result":
            item["execution_count"] = None
        if len(self.items) < MAX_ITEMS:
            self.items.append(item)


def _shown(kind: str, value: Any) -> Any:
    """A value of rich output as a notebook may hold it: a string, or data if its MIME type is JSON."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if untrusted_json.is_json(kind) else str(value)


class _Stream(io.TextIOBase):
    def __init__(self, name: str, outputs: Outputs) -> None:
        self.name, self.outputs = name, outputs

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.outputs.write(self.name, str(text))
        return len(text)


class _Publisher(DisplayPublisher):
    outputs_taken: Outputs

    def publish(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, **_: Any) -> None:
        self.outputs_taken.add("display_data", data, metadata or {})

    def clear_output(self, wait: bool = False) -> None:
        self.outputs_taken.take()


@contextmanager
def captured(*, results: bool = True) -> Iterator[Outputs]:
    """Capture everything that cells run inside print, show and display; nothing reaches the terminal.

    Without ``results`` the value of a cell's last expression is ignored.
    """
    shell, outputs = the_shell(), Outputs()
    publisher = _Publisher(shell=shell)
    publisher.outputs_taken = outputs

    def show(value: Any) -> None:
        if value is not None and results:
            outputs.add("execute_result", *shell.display_formatter.format(value))

    before = shell.display_pub, sys.displayhook
    shell.display_pub, sys.displayhook = publisher, show
    try:
        with redirect_stdout(_Stream("stdout", outputs)), redirect_stderr(_Stream("stderr", outputs)):
            yield outputs
    finally:
        shell.display_pub, sys.displayhook = before
