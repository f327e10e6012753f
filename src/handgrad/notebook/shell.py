"""IPython's shell without a kernel: what turns a cell into Python, and what its magics and shell commands do."""

import asyncio
import inspect
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.utils.text import LSString, SList
from traitlets.config import Config

__all__ = ["AWAIT", "Shell", "execute", "the_shell", "to_python", "without_heading"]

AWAIT = 0x2000
"""The compiler's flag ``ast.PyCF_ALLOW_TOP_LEVEL_AWAIT``."""
_HEADING = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)+(?=[ \t]*%%)")
"""Comments and blank lines above a cell magic; in Colab, they are the settings of its form."""
_MAGIC = re.compile(r"^[ \t]*[!%?/,;]|=[ \t]*[!%]|\?[ \t]*$", re.MULTILINE)
"""Where IPython may find something to transform: too often at worst, in a text."""
MAX_TRANSFORMED = 500_000
"""Largest number of characters that IPython reads for one cell: it reads the whole cell again for each magic."""
_EXPANDED = 30
"""Characters by which the call that IPython writes for a magic is longer."""
_RUN_PYTHON = frozenset(("time", "timeit", "capture", "prun", "run", "code_wrap"))
"""Magics that run Python: what that raises is an error of the cell."""
_CLEAR = frozenset(("reset", "reset_selective", "xdel"))
"""Magics that delete names."""
_SHOWN = ("_", "__", "___")
"""The names of the last values that were shown, the newest first."""


def without_heading(source: str) -> str:
    """``source`` without the comments and blank lines above a cell magic; unchanged if it has no cell magic."""
    heading = _HEADING.match(source)
    return source[heading.end() :] if heading else source


def to_python(source: str) -> str:
    """A cell after IPython's transformation.

    Raises
    ------
    SyntaxError, ValueError
        IPython cannot read it, or it has so many magics that this would take too long.
    """
    text = without_heading(source)
    # the body of a cell magic is a string
    magics = 0 if text.startswith("%%") else len(_MAGIC.findall(text))
    if magics * (len(text) + _EXPANDED * magics) > MAX_TRANSFORMED:
        raise SyntaxError(f"the cell has {magics} lines with magics or shell commands, which are too many to read.")
    try:
        return str(the_shell().transform_cell(text))
    # IPython gives up after 500 magics
    except RuntimeError as error:
        raise SyntaxError(f"IPython cannot read the cell: {error}") from error


def execute(code: types.CodeType, namespace: dict[str, Any]) -> None:
    """Run ``code``, which may wait for a coroutine at its top level."""
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, namespace))
    else:
        exec(code, namespace)


class Shell(InteractiveShell):
    """IPython's shell without a terminal, a history file or the thread that writes it.

    ``lasting`` are the names, with their values, that a ``%reset`` does not clear.
    """

    def __init__(self, **settings: Any) -> None:
        self.lasting: dict[str, Any] = {}
        self._shown: tuple[Any, ...] = ()
        self._lacks_extension = False
        super().__init__(**settings)

    def enable_gui(self, gui: str | None = None) -> None:
        """Ignore the event loop that a plotting magic starts: nothing is shown while a notebook is graded."""

    def system(self, cmd: str) -> None:
        """Run a shell command (``!pip install``, ``%pip``); without a shell, print a message to stderr."""
        try:
            super().system(cmd)
        except OSError:
            _not_run(cmd)

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        """The output of a shell command (``files = !ls``); without a shell none, and a message to stderr."""
        try:
            return super().getoutput(cmd, split, depth + 1)
        except OSError:
            _not_run(cmd)
            return SList() if split else LSString("")

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        """Run a line magic; one that cannot work here, such as ``%load_ext``, prints a message to stderr."""
        if self._lacks_extension and self.find_line_magic(magic_name) is None:
            return _not_run(f"%{magic_name}")
        with self._forgiving(magic_name):
            return super().run_line_magic(magic_name, line, _stack_depth + 1)

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """Run a cell magic; one that cannot work here, such as ``%%bash``, prints a message to stderr."""
        with self._forgiving(magic_name):
            return super().run_cell_magic(magic_name, line, cell)

    @contextmanager
    def _forgiving(self, name: str) -> Iterator[None]:
        """Let nothing that a magic raises end its cell, except for what is the cell's own fault."""
        try:
            yield
        except Exception as error:
            if type(error) is Exception and name == "run":
                raise UsageError(str(error)) from error
            if name in _RUN_PYTHON or isinstance(error, UsageError):
                raise
            self._lacks_extension |= name == "load_ext"
            _not_run(f"%{name}", f" ({type(error).__name__})")
        finally:
            if name in _CLEAR:
                self.user_ns.update({**self.lasting, **self.user_ns})

    def run_cell(self, raw_cell: str, *_: Any, **__: Any) -> ExecutionResult:
        """Run the body of a ``%%capture``: what it raises is an error of the cell."""
        execute(compile(to_python(raw_cell), "<body>", "exec", AWAIT, dont_inherit=True), self.user_ns)
        return ExecutionResult(None)

    def reset(self, new_session: bool = True, aggressive: bool = False) -> None:
        """Clear the names that the notebook's own cells made (``%reset -f``)."""
        for name in self.user_ns.keys() - self.lasting.keys():
            del self.user_ns[name]
        self.user_ns.update(self.lasting)

    def use(self, namespace: dict[str, Any]) -> None:
        """Let magics read and write ``namespace``."""
        self.user_module = types.ModuleType("__main__")
        self.user_ns = namespace

    def begin(self, namespace: dict[str, Any]) -> None:
        """Begin a student's session: give ``namespace`` IPython's own names, and keep what is in it from a reset."""
        self.use(namespace)
        self._shown = ("", "", "")
        inputs, shown = [""], dict[int, Any]()
        self.user_ns.update(_dh=[str(Path.cwd())], _ih=inputs, In=inputs, _oh=shown, Out=shown)
        self.user_ns.update(zip(_SHOWN, self._shown, strict=True))
        self.lasting = dict(namespace)

    def remember(self, value: Any) -> None:
        """Keep a shown value as ``_``, unless the notebook uses this name for something else."""
        if self._shown and all(self.user_ns.get(name) is kept for name, kept in zip(_SHOWN, self._shown, strict=True)):
            self._shown = (value, *self._shown[:2])
            self.user_ns.update(zip(_SHOWN, self._shown, strict=True))


def _not_run(command: str, why: str = "") -> None:
    print(f"{command.strip()}: not run while a notebook is graded{why}", file=sys.stderr)


def the_shell() -> InteractiveShell:
    """The process's IPython shell: the running one, or one that is created on the first call."""
    if InteractiveShell.initialized():
        return InteractiveShell.instance()
    hooks = sys.displayhook, sys.excepthook
    shell = Shell.instance(config=Config(HistoryManager={"enabled": False}, InteractiveShell={"autoindent": False}))
    sys.displayhook, sys.excepthook = hooks
    return shell
