"""Run notebook cells as IPython would, without a kernel.

The grader runs the instructor's cells with it in a trusted process, the sandbox runs a student's cells with it in a
child. A cell is transformed by IPython (so ``%%time``, ``!ls`` and ``%matplotlib inline`` mean what they mean in
Jupyter) and compiled once, however many passes run it.
"""

import ast
import base64
import builtins
import functools
import io
import linecache
import os
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell

from handgrad.notebook import tracebacks, untrusted_json
from handgrad.notebook.missing_packages import is_lacking, one_by_one, place_in, put_stand_ins, statements_after
from handgrad.notebook.shell import AWAIT, Shell, execute, the_shell, to_python, without_heading
from handgrad.notebook.syntax_trees import magic_in, parse

__all__ = [
    "CellError",
    "CompiledCell",
    "Outputs",
    "begin_session",
    "captured",
    "forbid_input",
    "keep_in_session",
    "new_namespace",
    "run_cell",
    "the_shell",
    "without_paths",
]

MAX_TEXT = 200_000
"""Characters of printed text kept for one cell; the rest is cut."""
MAX_RICH = 4_000_000
"""Characters of the largest rich output (a plot, a table) that is kept."""
MAX_ITEMS = 200
"""Rich outputs kept for one cell."""
MAX_MESSAGE = 2_000
"""Characters kept of an exception's message."""


@dataclass(frozen=True)
class CellError:
    """The exception of a cell: ``name`` of its class, its ``message``, and IPython's ``traceback`` lines.

    ``line`` is the number of the cell's line that raised it; 0 if there is none.
    """

    name: str
    message: str
    traceback: tuple[str, ...] = ()
    line: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data."""
        return {**vars(self), "traceback": list(self.traceback)}


@dataclass
class CompiledCell:
    """One code cell: its source, and its code objects after the first run."""

    source: str
    filename: str = "<cell>"
    _code: list[types.CodeType] | None = field(default=None, repr=False)
    _steps: dict[ast.stmt, types.CodeType] = field(default_factory=dict, repr=False)

    def _parsed(self) -> tuple[str, ast.Module]:
        """The cell as Python: unchanged or, if that is not Python, after IPython's transformation."""
        if tree := parse(self.source):
            return self.source, tree
        transformed = to_python(self.source)
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
            tracebacks.know_file(self.filename)
            linecache.cache[self.filename] = (len(transformed), None, transformed.splitlines(True), self.filename)
            parts: list[tuple[ast.Module | ast.Interactive, str]] = [(tree, "exec")]
            if tree.body and _shows_a_value(transformed, tree.body[-1]):
                parts = [(ast.Module(tree.body[:-1], []), "exec"), (ast.Interactive(tree.body[-1:]), "single")]
            self._code = [compile(part, self.filename, mode, AWAIT, dont_inherit=True) for part, mode in parts]
        return self._code

    def run(self, namespace: dict[str, Any]) -> None:
        """Run the cell; if a package is missing, what does not need it, and then raise what it raised first."""
        try:
            for code in self.code():
                execute(code, namespace)
        except BaseException as error:
            if is_lacking(error):
                self._go_on(namespace, error)
            raise

    def _go_on(self, namespace: dict[str, Any], error: BaseException) -> None:
        """Run the statements after the one that raised ``error``, one by one, also in the body of a cell magic."""
        text, tree = self._parsed()
        statements, depth = tree.body, 0
        if (body := _python_body(statements)) is not None:
            text, statements, depth = body, (parse(body) or tree).body, 1
        while (place := place_in(error, namespace, depth)) is not None:
            failed, statements = statements_after(statements, place)
            if several := one_by_one(failed):
                statements = [*several, *statements]
            elif failed is not None:
                put_stand_ins(failed, error, namespace)
            depth = 0
            try:
                while statements:
                    is_shown = len(statements) == 1 and _shows_a_value(text, statements[0])
                    execute(self._compiled(statements[0], is_shown), namespace)
                    del statements[0]
            except Exception as other:
                if not is_lacking(other):
                    raise
                error = other
            else:
                return

    def line_of(self, error: BaseException, namespace: dict[str, Any]) -> int:
        """The number of the line of the cell that raised ``error``; 0 if there is none."""
        above = 0
        if self._code is None or parse(self.source) is None:
            # IPython takes away what stands above a cell magic, and empty lines at the start
            text = without_heading(self.source)
            above = self.source.count("\n") - text.count("\n")
            above += (
                len(text[: len(text) - len(text.lstrip())].splitlines()) if not text.strip().startswith("%%") else 0
            )
        if isinstance(error, SyntaxError) and error.filename == self.filename:
            return above + (error.lineno or 0)
        place, inner = place_in(error, namespace), place_in(error, namespace, 1)
        if place and inner and without_heading(self.source).startswith("%%"):
            return above + 1 + inner[0]
        return above + place[0] if place else 0

    def _compiled(self, statement: ast.stmt, is_shown: bool) -> types.CodeType:
        """The code of a single statement; it is compiled once."""
        if statement not in self._steps:
            tree = ast.Interactive([statement]) if is_shown else ast.Module([statement], [])
            mode = "single" if is_shown else "exec"
            self._steps[statement] = compile(tree, self.filename, mode, AWAIT, dont_inherit=True)
        return self._steps[statement]


def _shows_a_value(text: str, last: ast.stmt) -> bool:
    """Whether the value of the cell's last statement is shown."""
    return isinstance(last, ast.Expr) and not DisplayHook.semicolon_at_end_of_expression(text)


def _python_body(statements: Sequence[ast.stmt]) -> str | None:
    """The body of the cell magic that a cell consists of, as Python; None if it has none, or runs no Python."""
    match statements:
        case [ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_cell_magic")) as call)]:
            magic, body = magic_in(call)
            return to_python(body) if magic in ("time", "capture") else None
    return None


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


def begin_session(namespace: dict[str, Any]) -> None:
    """Let a student's cells run in ``namespace`` from here on: it gets IPython's ``_``, ``Out`` and the like."""
    if isinstance(shell := the_shell(), Shell):
        shell.begin(namespace)


def keep_in_session(name: str, value: Any) -> None:
    """Let ``name`` have this value after a ``%reset`` too."""
    if isinstance(shell := the_shell(), Shell):
        shell.lasting[name] = value


def run_cell(
    cell: CompiledCell, namespace: dict[str, Any], *, traceback: bool = False, in_sandbox: bool = False
) -> CellError | None:
    """Run ``cell`` in ``namespace``; the error it raised, or None.

    Everything that a cell can raise is caught, ``SystemExit`` included; earlier assignments stay in ``namespace``. A
    ``KeyboardInterrupt`` is the student's own ``in_sandbox``; anywhere else somebody stops the command, and it is not
    caught. With ``traceback`` the error has IPython's formatted lines.
    """
    shell = the_shell()
    if isinstance(shell, Shell):
        shell.use(namespace)
    try:
        cell.run(namespace)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not in_sandbox:
            raise
        return _describe(shell, error, traceback, cell, namespace)
    return None


@functools.cache
def _places() -> tuple[str, ...]:
    """The folders of Python, its packages and this one on this machine, the longest first."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {str(Path(__file__).parents[2]), *([sys.prefix] if sys.prefix != sys.base_prefix else [])}
    places |= {os.path.realpath(place) for place in places}
    return tuple(sorted((f"{place}{os.sep}" for place in places), key=len, reverse=True))


def without_paths(text: str) -> str:
    """``text`` with the paths of libraries as they are anywhere: ``torch/functional.py``."""
    for place in _places():
        text = text.replace(place, "")
    return text


def _describe(
    shell: InteractiveShell, error: BaseException, traceback: bool, cell: CompiledCell, namespace: dict[str, Any]
) -> CellError:
    name = type(error).__name__[:200]
    try:
        text = error.msg if isinstance(error, SyntaxError) and error.filename == cell.filename else error
        message = without_paths(str(text)[:MAX_MESSAGE])
    except BaseException as inner:
        message = f"(its message could not be read: {type(inner).__name__})"
    line = cell.line_of(error, namespace)
    lines: tuple[str, ...] = ()
    if traceback:
        try:
            lines = tracebacks.cut(
                [without_paths(str(part)) for part in tracebacks.formatted(shell, error, cell.filename)]
            )
        except BaseException:
            lines = ()
        lines = lines or (f"{name}: {message}",)
    return CellError(name, message, lines, line)


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
        # libraries warn with their paths
        if name == "stderr":
            text = without_paths(text)
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
    is_session = isinstance(shell, Shell)
    publisher = _Publisher(shell=shell)
    publisher.outputs_taken = outputs

    def show(value: Any) -> None:
        if value is None:
            return
        if is_session:
            shell.remember(value)
        if results:
            outputs.add("execute_result", *shell.display_formatter.format(value))

    before = shell.display_pub, sys.displayhook
    shell.display_pub, sys.displayhook = publisher, show
    try:
        with redirect_stdout(_Stream("stdout", outputs)), redirect_stderr(_Stream("stderr", outputs)):
            yield outputs
    finally:
        shell.display_pub, sys.displayhook = before
