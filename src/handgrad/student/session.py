"""The session in which a check runs: which cells have run, what each of them changed, and what it raised.

IPython announces each cell before and after it runs. A script has no such history: its session is empty, and nothing is
said of what is not known. The student's variables are never changed, and their tensors are not kept alive.
"""

import ast
import functools
import re
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from traceback import walk_tb
from typing import Any, NamedTuple, Self

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS, is_scalar_loss
from handgrad.notebook.syntax_trees import bound_in, root_of, tree_of

__all__ = [
    "CellRun",
    "ForwardRun",
    "Raised",
    "Seen",
    "Session",
    "compared_in",
    "listen",
    "listen_to",
    "names_in",
    "running_shell",
    "session_of",
]

MAX_NODES = 100_000
"""Largest number of operations of a graph that is looked through."""
MAX_KEPT = 20_000_000
"""Largest number of entries of which gradients are kept."""
_PLAIN = (int, float, complex, str, bytes, type(None), range)
_TEXT = 40


@dataclass(frozen=True)
class Seen:
    """How a variable stood at one moment.

    ``reference`` is a weak reference to a tensor (or to any other object that allows one), else the value itself;
    ``version`` counts the changes of a tensor in place.
    """

    reference: Any
    version: int | None
    text: str

    @classmethod
    def of(cls, value: object) -> Self:
        """The present state of a variable."""
        if isinstance(value, torch.Tensor):
            version = None if value.is_inference() else value._version
            return cls(weakref.ref(value), version, f"a tensor of shape {tuple(value.shape)}")
        if isinstance(value, _PLAIN):
            text = repr(value)
            return cls(value, None, text if len(text) <= _TEXT else f"a {type(value).__name__}")
        try:
            return cls(weakref.ref(value), None, f"a {type(value).__name__}")
        except TypeError:
            return cls(id(value), None, f"a {type(value).__name__}")

    def is_same(self, other: "Seen") -> bool:
        """Whether the variable was neither assigned nor changed in place between two moments."""
        return self.is_same_object(other) and self.version == other.version

    def is_same_object(self, other: "Seen") -> bool:
        """Whether the variable was not assigned between two moments, or to an equal number or text."""
        mine, others = self.reference, other.reference
        if isinstance(mine, weakref.ref) and isinstance(others, weakref.ref):
            return mine() is not None and mine() is others()
        return type(mine) is type(others) and (mine is others or bool(mine == others))


class Names(NamedTuple):
    """The variables of a cell, by its syntax."""

    bound: frozenset[str]
    """Those that it assigns, imports or defines."""
    modified: frozenset[str]
    """Those that it changes in place: ``x += 1``, ``x[0] = 1``, ``x.add_(1)``."""
    loaded: frozenset[str]
    """Those that it reads."""
    calls_backward: bool = False


@functools.lru_cache(maxsize=512)
def names_in(source: str) -> Names | None:
    """The variables of a cell; None if it is not Python."""
    tree = tree_of(source)
    if tree is None:
        return None
    modified: set[str] = set()
    loaded: set[str] = set()
    calls_backward = False
    for node in ast.walk(tree):
        match node:
            case ast.AugAssign(target=target):
                modified.add(root_of(target))
                loaded.add(root_of(target))
            case ast.Subscript(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
                modified.add(root_of(node))
            case ast.Call(func=ast.Attribute(attr=method, value=value)):
                calls_backward |= method == "backward"
                if method.endswith("_") and not method.endswith("__"):
                    modified.add(root_of(value))
            case ast.Name(id=name, ctx=ast.Load()):
                loaded.add(name)
    bound = frozenset(bound_in(tree, augmented=False))
    return Names(bound, frozenset(modified - {""}), frozenset(loaded), calls_backward)


@dataclass(frozen=True)
class Raised:
    """What ended a cell: the name of the exception, its message in one line, and the cell's line (0: not known)."""

    kind: str
    message: str
    line: int

    @classmethod
    def of(cls, error: BaseException, namespace: Mapping[str, Any]) -> Self:
        """What an exception says."""
        line = 0
        for frame, number in walk_tb(error.__traceback__):
            # %%time runs the cell's body under a name of its own, and counts from there
            if frame.f_globals is namespace and frame.f_code.co_name.startswith("<"):
                line = 0 if frame.f_code.co_filename.startswith("<timed") else number
                break
        if isinstance(error, SyntaxError):
            line = error.lineno or 0
        message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        return cls(type(error).__name__, message if len(message) <= 200 else f"{message[:200]} ...", line)

    def sentence(self, cell: str) -> str:
        """``The cell of dprobs stopped with RuntimeError in line 2: ...``."""
        where = f" in line {self.line}" if self.line else ""
        if self.kind == "KeyboardInterrupt":
            return f"{cell} was interrupted{where}."
        message = self.message.rstrip(".")
        return f"{cell} stopped with {self.kind}{where}{f': {message}' if message else ''}."


@dataclass
class CellRun:
    """One run of a cell, which is ``source`` as Python, and In [``number``] in Jupyter.

    ``names`` are its variables; None if it is not Python. ``before`` has how the variables that it reads stood when it
    began, ``changed`` how those that it has changed stand after it. ``raised`` is what ended it; None if it ran to its
    end, or still runs.
    """

    number: int
    source: str
    names: Names | None
    before: Mapping[str, Seen] = field(default_factory=dict, repr=False)
    changed: Mapping[str, Seen] = field(default_factory=dict, repr=False)
    raised: Raised | None = None

    def writes(self, name: str) -> bool:
        """Whether it assigns a variable or changes it in place, if it runs to its end."""
        return self.assigns(name) or (self.names is not None and name in self.names.modified)

    def assigns(self, name: str) -> bool:
        """Whether it assigns a variable, if it runs to its end."""
        if self.names is None:
            return re.search(rf"^\s*{re.escape(name)}\b[^\n=]*=(?!=)", self.source, re.MULTILINE) is not None
        return name in self.names.bound

    def adds_to(self, name: str) -> bool:
        """Whether it changes what the variable held before, and does not assign it."""
        return self.names is not None and name in self.names.modified and name not in self.names.bound

    def title(self, gradients: Iterable[str] = ()) -> str:
        """``the cell of dh``, or ``In [12]`` with its first line."""
        for gradient in gradients:
            if self.names and gradient in self.names.bound:
                return f"the cell of {gradient}"
        lines = [line.strip() for line in self.source.splitlines() if line.strip()]
        first = lines[0] if lines else ""
        return f"In [{self.number}] (`{first if len(first) <= _TEXT else first[:_TEXT] + ' ...'}`)"


@dataclass
class ForwardRun:
    """The forward pass of the session: the loss that is there, and how all variables stood when it was computed.

    ``run`` is the cell that computed it; ``tensors`` are the names of the tensors that it is computed from;
    ``gradients`` those that autograd filled first, by the ids of their tensors.
    """

    run: CellRun
    loss: "weakref.ref[torch.Tensor]"
    variables: Mapping[str, Seen] = field(repr=False)
    tensors: frozenset[str] = frozenset()
    gradients: dict[int, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def number(self) -> int:
        """The number of that cell."""
        return self.run.number


class Session:
    """The history of a session; empty where there is no IPython."""

    def __init__(self, namespace: Mapping[str, Any] | None = None) -> None:
        self.namespace = {} if namespace is None else namespace
        self.runs: list[CellRun] = []
        self.forward: ForwardRun | None = None
        self._all: dict[str, Seen] = {}
        self._returned: dict[str, tuple[Any, int]] = {}

    def keep_returned(self, name: str, answer: Any) -> None:
        """Keep an answer that has no name of its own: what a function returned to the check that runs now."""
        if self.namespace.get(name) is not answer:
            self._returned[name] = answer, len(self.runs)

    def variables(self) -> dict[str, Any]:
        """The variables of the notebook, and the gradients that its functions have returned to a check.

        A gradient is left out once a cell has changed what the check read: the function, or its arguments.
        """
        returned = {}
        for name, (answer, number) in self._returned.items():
            names = self.runs[number - 1].names if number else None
            later = {changed for run in self.runs[number:] for changed in run.changed}
            if not names or later.isdisjoint(names.loaded):
                returned[name] = answer
        return {**returned, **self.namespace}

    def begin(self, number: int, source: str) -> None:
        """A cell begins to run."""
        self._all = self._variables()
        names = names_in(source)
        self.runs.append(CellRun(number, source, names, {name: self._all[name] for name in self._read_by(names)}))

    def end(self, error: BaseException | None) -> None:
        """The cell that began last has ended."""
        if not self.runs:
            return
        run, after = self.runs[-1], self._variables()
        run.changed = {
            name: seen for name, seen in after.items() if name not in self._all or not seen.is_same(self._all[name])
        }
        run.raised = Raised.of(error, self.namespace) if error is not None else None
        loss = self.namespace.get(LOSS)
        if LOSS in run.changed and is_scalar_loss(loss) and not self._has_same_tensors(after):
            self.forward = ForwardRun(run, weakref.ref(loss), after, _computed_from(loss, self.namespace))
        self._keep_gradients(loss)

    def _has_same_tensors(self, after: Mapping[str, Seen]) -> bool:
        """Whether the tensors of the forward pass are still there: then another loss is no other forward pass."""
        tensors = self.forward.tensors - {LOSS} if self.forward else set()
        before = self.forward.variables if self.forward else {}
        return bool(tensors) and all(name in after and after[name].is_same_object(before[name]) for name in tensors)

    def _variables(self) -> dict[str, Seen]:
        return {name: Seen.of(value) for name, value in self.namespace.items() if not name.startswith("_")}

    def _read_by(self, names: Names | None) -> set[str]:
        """The variables that a cell reads, those of the notebook's own functions that it calls included."""
        found: set[str] = set()
        waiting = set(names.loaded) if names else set()
        while waiting:
            found |= waiting
            code = (getattr(self.namespace.get(name), "__code__", None) for name in waiting)
            waiting = {name for part in code if part is not None for name in part.co_names} - found
        return found & self._all.keys()

    def _keep_gradients(self, loss: object) -> None:
        forward = self.forward
        if forward is None or forward.gradients or loss is not forward.loss() or not is_scalar_loss(loss):
            return
        tensors = autograd_graph.forward_tensors(self.namespace, loss).values()
        if sum(tensor.numel() for tensor in tensors) <= MAX_KEPT:
            gradients = ((id(tensor), tensor.grad) for tensor in tensors)
            forward.gradients = {key: gradient.clone() for key, gradient in gradients if gradient is not None}

    def kept_gradients(self, loss: object) -> Mapping[int, torch.Tensor]:
        """The gradients that autograd filled first for this loss, by the ids of their tensors."""
        return self.forward.gradients if self.forward and self.forward.loss() is loss else {}

    def last_to_write(self, name: str) -> CellRun | None:
        """The last run of a cell that assigns a variable or changes it, even if it stopped before that."""
        return next((run for run in reversed(self.runs) if run.writes(name)), None)

    def last_to_change(self, name: str) -> CellRun | None:
        """The last run that has changed a variable."""
        return next((run for run in reversed(self.runs) if name in run.changed), None)

    def of_the_forward_pass(self) -> set[str]:
        """The variables that the cells of the forward pass read or assign."""
        if self.forward is None:
            return set()
        tensors = self.forward.tensors
        found: set[str] = set()
        for run in self.runs:
            if run.number <= self.forward.number and run.names and tensors & run.names.bound:
                found |= run.names.bound | run.names.loaded
        return found & self.forward.variables.keys()


def _computed_from(loss: torch.Tensor, namespace: Mapping[str, Any]) -> frozenset[str]:
    """The names of the tensors in the graph of a loss. A student's gradients have graphs as well, but are not in it."""
    nodes: set[Any] = set()
    leaves: set[int] = set()
    waiting = [loss.grad_fn]
    while waiting and len(nodes) < MAX_NODES:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            # the end of a way, at a leaf
            leaves.add(id(getattr(node, "variable", None)))
            waiting += [following for following, _ in node.next_functions]
    return frozenset(
        name
        for name, value in namespace.items()
        if isinstance(value, torch.Tensor)
        and not name.startswith("_")
        and (value.grad_fn in nodes if value.grad_fn is not None else id(value) in leaves)
    )


_session: list[Session] = []
"""The session of this kernel, once IPython tells of it."""
_script: list[Session] = []
"""That of the script which called last."""


def session_of(namespace: Mapping[str, Any]) -> Session:
    """The session whose variables are ``namespace``; one without cells if nothing is known of it."""
    for session in (*_session, *_script):
        if session.namespace is namespace:
            return session
    _script[:] = [Session(namespace)]
    return _script[0]


def running_shell() -> Any:
    """IPython's shell; None if IPython is not running."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def listen() -> None:
    """Ask IPython, if it runs, to tell of each cell."""
    shell = running_shell()
    if shell is not None and hasattr(shell, "events") and not _session:
        listen_to(shell)


def compared_in(source: str) -> Iterator[tuple[str, ast.expr]]:
    """The gradients that a cell gives to ``cmp``: ``dx`` and ``f(dy, x)[0]`` of ``cmp('x', f(dy, x)[0], x)``."""
    for node in ast.walk((tree_of(source) if "cmp" in source else None) or ast.Module([], [])):
        match node:
            case ast.Call(func=ast.Name("cmp"), args=[ast.Constant(str(name)), answer, *_]):
                yield f"d{name}", answer


def listen_to(shell: Any) -> None:
    """Ask an IPython shell to tell of each cell from now on.

    A gradient without a value is None while a check of it runs: so the check can say why it has none.
    """
    session = Session(shell.user_ns)
    _session[:] = [session]
    without_value: list[str] = []

    # whatever goes wrong here must not show up between the student's outputs
    def begin(info: Any) -> None:
        with suppress(Exception):
            if info.store_history:
                source = shell.transform_cell(info.raw_cell)
                session.begin(shell.execution_count, source)
                checked = [name for name, answer in compared_in(source) if getattr(answer, "id", None) == name]
                without_value[:] = [name for name in checked if name not in shell.user_ns]
                shell.user_ns.update(dict.fromkeys(without_value))

    def end(result: Any) -> None:
        with suppress(Exception):
            for name in without_value:
                if shell.user_ns.get(name) is None:
                    shell.user_ns.pop(name, None)
            without_value.clear()
            if result.info.store_history:
                session.end(result.error_before_exec or result.error_in_exec)

    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
