"""Run a notebook statement by statement under the tape, so that one error costs one statement."""

import ast
import contextlib
import io
import re
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from traceback import walk_tb
from typing import Any

import numpy as np
import torch

from handgrad.notebook.execution import captured, new_namespace, the_shell, without_paths
from handgrad.notebook.shell import to_python
from handgrad.own_forward_pass.graphs import Graphs
from handgrad.own_forward_pass.marks import MARKS, assigned_names, marked
from handgrad.own_forward_pass.names import tensors_of_gradient
from handgrad.own_forward_pass.surroundings import Surroundings
from handgrad.own_forward_pass.tape import Binding, FunctionCall, Tape, tensors_in

__all__ = ["Cell", "NotebookRun", "Stop", "TimeLimits"]

MAX_MESSAGE = 120
"""Characters that are kept of an exception's message."""
MOST_ATTEMPTS = 6
"""Times that one statement is run, each time with one more gradient in place of a missing one."""
MOST_BROKEN_LINES = 15
"""Lines of a cell that are left out because they are not Python."""
_AGAIN = 0.5
"""Seconds after which the alarm rings again."""
MOST_KEYS = 100
"""Items of the largest dictionary whose tensors are bound one by one."""
_RECORDED = (torch.Tensor, np.ndarray, dict)
_PYTHON_MAGIC = re.compile(r"(\s*(#[^\n]*)?\n)*\s*%%(time|timeit|capture|prun|debug)\b[^\n]*\n?")
"""A cell magic that is followed by Python; Colab's form lines may stand above it."""
_OTHER_MAGIC = re.compile(r"(\s*(#[^\n]*)?\n)*\s*%%")
_TIMED = re.compile(r"^([ \t]*)%(time|timeit)[ \t]+(?:-\w+[ \t]+\d*[ \t]*)*", re.MULTILINE)
_UNDEFINED = re.compile(r"name '(\w+)' is not defined")


@dataclass(frozen=True)
class Cell:
    """A code cell: its ``number`` among the code cells, counted from 1, and its source."""

    number: int
    source: str


@dataclass(frozen=True)
class TimeLimits:
    """Wall-clock seconds for one cell, and for all of them."""

    cell: float = 20.0
    notebook: float = 60.0


@dataclass(frozen=True)
class Stop:
    """A statement that did not end: where, the exception, and the ``names`` that it assigns."""

    cell: int
    line: int
    error: str
    message: str
    names: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """``NameError: name 'x' is not defined``."""
        return f"{self.error}: {self.message}" if self.message else self.error


class _TooLong(BaseException):
    """The time of a cell is used up. Not an Exception: a notebook's own ``except`` must not catch it."""


@dataclass
class NotebookRun:
    """One run of a notebook, whose calls are on the ``tape``.

    ``stops`` are the statements that raised, in order. ``stand_ins`` are the names of gradients for which autograd's
    was put in, because their own statement had failed, with the cell and the line that needed them. ``loops_left`` has
    cell and line of each training loop that was left after one turn, ``out_of_time`` the cell in which the time of the
    whole notebook ended; 0 if it did not.
    """

    surroundings: Surroundings
    limits: TimeLimits
    before_cell: Callable[[int], None]
    tape: Tape = field(default_factory=Tape)
    stops: list[Stop] = field(default_factory=list)
    stand_ins: list[tuple[str, int, int]] = field(default_factory=list)
    stand_in_tensors: set[int] = field(default_factory=set)
    loops_left: list[tuple[int, int]] = field(default_factory=list)
    out_of_time: int = 0
    namespace: dict[str, Any] = field(default_factory=new_namespace)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run ``cells``, then the functions without arguments that none of them called."""
        self._entered: set[str] = set()
        self._turns: dict[str, int] = {}
        self._lost: set[str] = set()
        self._seen = (-1, -1)
        self._end = time.monotonic() + self.limits.notebook
        self.namespace["__file__"] = "notebook.py"
        marks = (self._bind, self._bind_owner, self._bind_item, self._call, self._turn, self._entered.add, _RECORDED)
        self.namespace.update(zip(MARKS, marks, strict=True))
        self.tape.supply = self._gradient_of
        with self.surroundings.installed(), _quiet(), _alarm():
            for cell in cells:
                if self.out_of_time:
                    break
                self.before_cell(cell.number)
                self._run_cell(cell)
            self._run_uncalled()

    def cause_of(self, stop: Stop) -> Stop:
        """The first statement that raised because of which this one lacks a name; the same one if it lacks none."""
        missing = _UNDEFINED.match(stop.message) if stop.error == "NameError" else None
        earlier = self.stops[: self.stops.index(stop)] if missing else []
        made = next((other for other in earlier if missing and missing[1] in other.names), None)
        return self.cause_of(made) if made else stop

    def first_causes(self) -> list[Stop]:
        """The statements that raised, without those that lack what an earlier one of them should have made."""
        stops = [stop for stop in self.stops if not (self.out_of_time and stop.error == "TimeLimit")]
        return [stop for stop in stops if self.cause_of(stop) is stop]

    def objects(self) -> dict[int, str]:
        """The names of the notebook's objects, and of those in its lists, by identity."""
        found: dict[int, str] = {}
        for name, value in self.namespace.items():
            if not name.startswith("_"):
                found.setdefault(id(value), name)
        for name, value in self.namespace.items():
            if isinstance(value, (list, tuple)) and not name.startswith("_") and len(value) <= MOST_KEYS:
                for index, item in enumerate(value):
                    found.setdefault(id(item), f"{name}[{index}]")
        return found

    # the cells

    def _run_cell(self, cell: Cell) -> None:
        source, end = cell.source, min(self._end, time.monotonic() + self.limits.cell)
        self.tape.cell = cell.number
        for statement in self._statements(cell.number, source):
            self.tape.line = statement.lineno
            names = frozenset(assigned_names(statement))
            error = self._run_until(end, partial(self._execute, statement, cell))
            if isinstance(error, _TooLong):
                self._out_of_time(cell.number, statement.lineno, names)
                return
            if error is not None:
                self._stopped(cell.number, statement.lineno, error, names)
        self._bind_unmarked(source.count("\n") + 1)

    def _bind_unmarked(self, line: int) -> None:
        """Bind what came into the namespace without an assignment: ``globals()['dW'] = ...``, a star import."""
        known = {bound.name: bound.value for bound in self.tape.bindings}
        for name, value in list(self.namespace.items()):
            if isinstance(value, (torch.Tensor, np.ndarray)) and name[:1] != "_" and known.get(name) is not value:
                self._bind(line, name, value)

    def _out_of_time(self, cell: int, line: int, names: frozenset[str]) -> None:
        if time.monotonic() >= self._end - 0.1:
            self.out_of_time = cell
        seconds = self.limits.notebook if self.out_of_time else self.limits.cell
        self.stops.append(Stop(cell, line, "TimeLimit", f"not done after {seconds:g} seconds", names))
        self._lost |= names

    def _stopped(self, cell: int, line: int, error: BaseException, names: frozenset[str]) -> None:
        try:
            message = without_paths(str(error).strip().split("\n")[0][:MAX_MESSAGE])
        except Exception:
            message = ""
        self.stops.append(Stop(cell, _line_of(error, cell) or line, type(error).__name__, message, names))
        self._lost |= names

    def _statements(self, number: int, source: str) -> list[ast.stmt]:
        """The statements of a cell; lines that are not Python are left out, and reported."""
        if magic := _PYTHON_MAGIC.match(source):
            source = "\n" * magic[0].count("\n") + source[magic.end() :]
        elif _OTHER_MAGIC.match(source):
            return []
        source = _TIMED.sub(r"\1", source)
        with contextlib.suppress(SyntaxError, ValueError):
            source = to_python(source)
        lines = source.split("\n")
        for _ in range(MOST_BROKEN_LINES):
            try:
                return ast.parse("\n".join(lines)).body
            except SyntaxError as error:
                line = error.lineno or 0
                if not any(stop.cell == number for stop in self.stops):
                    names = frozenset(re.findall(r"(?m)^\s*(\w+)\s*[-+*/]?=[^=]", source))
                    self.stops.append(Stop(number, line, "SyntaxError", error.msg, names))
                if not 0 < line <= len(lines):
                    break
                indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
                lines[line - 1] = "" if "unexpected indent" in error.msg else f"{indent}pass"
            except (ValueError, RecursionError, MemoryError):
                break
        return []

    def _execute(self, statement: ast.stmt, cell: Cell) -> None:
        """Run a statement; where a gradient is missing since its own statement failed, with autograd's in its place."""
        code = compile(marked(statement), f"<cell {cell.number}>", "exec", dont_inherit=True)
        for attempt in range(MOST_ATTEMPTS):
            try:
                self._on_tape(partial(exec, code, self.namespace))
                return
            except NameError as error:
                missing = _UNDEFINED.match(str(error))
                if not missing or missing[1] not in self._lost or attempt == MOST_ATTEMPTS - 1:
                    raise
                if not self._stand_in(missing[1], statement.lineno):
                    raise

    def _on_tape(self, action: Callable[[], object]) -> None:
        shell = the_shell()
        if hasattr(shell, "use"):
            shell.use(self.namespace)
        try:
            with self.tape:
                action()
        finally:
            # a `with torch.no_grad()` that was left by an exception restores itself; a plain call does not
            torch.set_grad_enabled(True)

    def _stand_in(self, name: str, line: int) -> bool:
        """Put autograd's gradient in place of the missing variable ``name``; whether its tensor is known."""
        for tensor_name in tensors_of_gradient(name):
            bound = next((binding for binding in reversed(self.tape.bindings) if binding.name == tensor_name), None)
            gradient = self._gradient_of(bound.value) if bound else None
            if bound and gradient is not None:
                self.tape.owns(gradient, bound.value)
                self.stand_in_tensors.add(id(gradient))
                self.stand_ins.append((name, self.tape.cell, line))
                self.namespace[name] = gradient
                return True
        return False

    def _gradient_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The gradient of a tensor whose ``.grad`` is None after ``backward``; None if there is none."""
        seen = len(self.tape.gradients), sum("loss" in bound.name.lower() for bound in self.tape.bindings)
        if seen != self._seen:
            self._graphs, self._seen = Graphs(self.tape), seen
        graph = self._graphs.first(tensor)
        # before backward() a parameter's .grad is None, as it should be
        if graph is None or (graph.root.requires_grad and not graph.is_called):
            return None
        return graph.true[id(tensor)].to(tensor.dtype).reshape(tensor.shape)

    def _run_uncalled(self) -> None:
        """Call the notebook's functions without arguments that nothing has called."""
        for name, function in list(self.namespace.items()):
            if (
                isinstance(function, types.FunctionType)
                and function.__code__.co_filename.startswith("<cell ")
                and function.__name__ == name
                and name not in self._entered
                and not self.out_of_time
                and function.__code__.co_argcount == 0
            ):
                self.tape.cell = int(function.__code__.co_filename[len("<cell ") : -1])
                self.tape.line = function.__code__.co_firstlineno
                end = min(self._end, time.monotonic() + self.limits.cell)
                if (error := self._run_until(end, partial(self._on_tape, function))) is not None:
                    self._stopped(self.tape.cell, self.tape.line, error, frozenset())

    def _run_until(self, end: float, action: Callable[[], None]) -> BaseException | None:
        """Run ``action``; what it raised, a :class:`_TooLong` if it did not end in time."""
        left = end - time.monotonic()
        if left <= 0.05:
            return _TooLong()
        try:
            _set_alarm(left)
            try:
                action()
            finally:
                _set_alarm(0)
        except BaseException as error:  # untrusted code raises what it likes
            return error
        return None

    # the marks

    def _bind(self, line: int, name: str, value: Any, owner: Any = None) -> None:
        self.tape.bindings.append(Binding(self.tape.position, self.tape.cell, line, name, value, owner))
        if type(value) is dict and len(value) <= MOST_KEYS:
            for key, item in list(value.items()):
                if isinstance(item, (torch.Tensor, np.ndarray)):
                    self._bind(line, f"{name}[{key!r}]", item, value)

    def _bind_owner(self, line: int, text: str, owner: Any, attribute: str) -> None:
        value = getattr(owner, attribute, None)
        if isinstance(value, _RECORDED) and not isinstance(owner, (torch.Tensor, types.ModuleType)):
            self._bind(line, f"{text}.{attribute}", value, owner)

    def _bind_item(self, line: int, text: str, container: Any, key: Any) -> None:
        if isinstance(container, (dict, list)):
            value = container[key]
            if isinstance(value, (torch.Tensor, np.ndarray)):
                self._bind(line, f"{text}[{key!r}]", value, container)

    def _call(self, line: int, names: Sequence[str | None], function: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = tensors_in((args, kwargs))
        is_own = isinstance(function, types.FunctionType) and (
            function.__code__.co_filename.startswith("<cell ") or function.__module__.startswith("handgrad.")
        )
        if len(tensors) > 1 and is_own:
            given = {id(arg): name for arg, name in zip(args, names, strict=False) if name}
            position, cell = self.tape.position, self.tape.cell
            call = FunctionCall(position, cell, line, function.__name__, given, tensors)
            self.tape.function_calls.append(call)
        return function(*args, **kwargs)

    def _turn(self, loop: str, start: int | None = None) -> bool:
        """Whether a training loop has had its turn; with ``start``, the count begins again."""
        key = f"{self.tape.cell}:{loop}"
        self._turns[key] = self._turns.get(key, 0) + 1 if start is None else start
        if self._turns[key] == 2:
            self.loops_left.append((self.tape.cell, int(loop.partition(":")[0])))
        return self._turns[key] > 1


def _line_of(error: BaseException, cell: int) -> int:
    """The line of the cell that raised; 0 if it is not known."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    frames = walk_tb(error.__traceback__)
    return next((line for frame, line in frames if frame.f_code.co_filename == f"<cell {cell}>"), 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Show nothing that the notebook prints or plots."""
    with warnings.catch_warnings(), captured(results=False), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        main = sys.modules.get("__main__")
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            if main is not None:
                sys.modules["__main__"] = main


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Let the alarm raise :class:`_TooLong`; without alarms (on Windows) the grader ends the process."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def _set_alarm(seconds: float) -> None:
    """Ring after so many seconds, and again: what is raised in a callback, or caught, does not end the cell."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN if seconds else 0)
