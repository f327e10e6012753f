"""ForwardPass: what a plain Python script computes, statement by statement, and why it can be no exercise.

Runs the author's script in this process: never give it a student's.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from handgrad.errors import ExerciseError
from handgrad.gradients import autograd_graph
from handgrad.gradients.comparison import identical
from handgrad.notebook import execution

__all__ = ["LOSS", "TAKEN", "ForwardPass", "Statement"]

LOSS = "loss"
SEED = "seed"
TAKEN = ("cmp", "progress", "named_tensors", "prepare_backward")
"""Names that the notebook itself defines."""
LONGEST_NAME = 50
"""Characters of the longest name: grade_ids and cell ids are made of it."""


@dataclass(frozen=True)
class Statement:
    """One statement at the top level of the script.

    Attributes
    ----------
    line
        Number of its first line.
    source
        Its text, with the comments above it and behind it.
    code
        Its text alone.
    node
        Its syntax.
    """

    line: int
    source: str
    code: str
    node: ast.stmt

    @property
    def is_import(self) -> bool:
        """Whether it imports something."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))

    @property
    def constants(self) -> tuple[str, ...]:
        """The names to which it gives plain values (numbers, texts, tuples of them); empty where it does not."""
        match self.node:
            case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value):
                try:
                    ast.literal_eval(value)
                except ValueError:
                    return ()
                return tuple(node.id for node in ast.walk(target) if isinstance(node, ast.Name))
        return ()

    @property
    def is_assignment(self) -> bool:
        """Whether it gives a value to a name outside of any block."""
        return isinstance(self.node, (ast.Assign, ast.AnnAssign, ast.AugAssign))

    def names(self) -> list[str]:
        """Every name in it, in the order of the text."""
        named = [node for node in ast.walk(self.node) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(node.id for node in sorted(named, key=lambda one: (one.lineno, one.col_offset))))


@dataclass
class _Run:
    """One run of a script: its names, the lines that gave them their values, and what is wrong with it."""

    namespace: dict[str, Any]
    parameters: set[str] = field(default_factory=set)
    lines: dict[str, list[int]] = field(default_factory=dict)
    top: set[str] = field(default_factory=set)
    faults: list[tuple[int, str]] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, head: Sequence[Statement], body: Sequence[Statement], more: int = 0) -> Self:
        """Run a script, its seed ``more`` than it says; it ends at the first statement that raises."""
        run = cls(execution.new_namespace())
        ran = all(run.step(one, path) for one in head)
        run.parameters = {name for one in head for name in one.constants}
        if ran and isinstance(run.namespace.get(SEED), int):
            run.namespace[SEED] += more
        if ran:
            all(run.step(one, path) for one in body)
        return run

    def step(self, statement: Statement, path: Path) -> bool:
        """Run one statement and look at what it changed; whether it ran to its end."""
        before = dict(self.namespace)
        error = execution.run_cell(execution.CompiledCell(statement.code, f"<{path.name}>"), self.namespace)
        if error:
            self.faults.append((statement.line, f"raises {error.name}: {error.message}".rstrip(".")))
            return False
        changed = [name for name, value in self.namespace.items() if before.get(name, self) is not value]
        for name in changed:
            self._rebound(name, before.get(name), statement)
        for name, version in self.versions.items():
            if name not in changed and self.namespace[name]._version != version:
                self.faults.append((statement.line, f"changes {name} in place: give what it makes a name of its own"))
        named = {name: one for name, one in self.namespace.items() if _has_gradient(one)}
        self._filled(named, statement)
        self.versions = {name: one._version for name, one in named.items()}
        return True

    def _rebound(self, name: str, old: object, statement: Statement) -> None:
        if statement.is_assignment:
            self.top.add(name)
        if name in self.top and _has_gradient(old):
            self.faults.append(
                (statement.line, f"assigns {name} a second time: give each step a name of its own, or its loop a block")
            )
        self.lines.setdefault(name, []).append(statement.line)

    def _filled(self, named: Mapping[str, torch.Tensor], statement: Statement) -> None:
        """Note the line that filled a tensor which had no gradient until then: a loop may fill what zeros began."""
        for name, one in named.items():
            if name not in self.versions and not one.is_leaf and statement.line not in self.lines[name]:
                self.lines[name].append(statement.line)


def _has_gradient(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


@dataclass(frozen=True)
class ForwardPass:
    """A forward pass that an exercise can be made of.

    Attributes
    ----------
    path
        The script.
    about
        Its docstring; empty where it has none.
    parameters, imports, setup, steps
        Its statements: plain values at the top, the imports among them, what comes before the first step that autograd
        follows, and the rest.
    tensors
        The named tensors in the order of the script, leaves included.
    consumers
        For each of them, the tensors (or the loss) computed directly from it.
    lines
        For each name, the statements that gave it its value.
    """

    path: Path
    about: str
    parameters: tuple[Statement, ...]
    imports: tuple[Statement, ...]
    setup: tuple[Statement, ...]
    steps: tuple[Statement, ...]
    tensors: Mapping[str, torch.Tensor]
    consumers: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, tuple[Statement, ...]]

    @classmethod
    def read(cls, path: Path, directory: Path) -> Self:
        """The forward pass in the script at ``path``, run in ``directory``, where it finds its files.

        Raises
        ------
        ExerciseError
            No exercise can be made of it; every fault that was found is listed, with its line.
        """
        about, statements = _parsed(path)
        head, body = _parameters(statements)
        with chdir(directory), torch.enable_grad(), execution.captured():
            run, again, other = (_Run.of(path, head, body, more) for more in (0, 0, 1))
        loss, tensors = _named(path, run, statements)
        differing = [*_differences(run, again), *_no_use_of_seed(run, other, tensors)]
        _refuse(path, differing)
        by_line = {statement.line: statement for statement in statements}
        lines = {name: tuple(by_line[line] for line in run.lines[name]) for name in (*tensors, LOSS)}
        begin = min(
            run.lines[name][0] for name in (*(tensor for tensor in tensors if not tensors[tensor].is_leaf), LOSS)
        )
        return cls(
            path,
            about,
            tuple(one for one in head if not one.is_import),
            tuple(one for one in head if one.is_import),
            tuple(one for one in body if one.line < begin),
            tuple(one for one in body if one.line >= begin),
            tensors,
            autograd_graph.consumers(loss, tensors),
            lines,
        )

    def backwards(self) -> list[str]:
        """The named tensors from the loss back: the inputs of each step as its line names them, consumers first."""
        order: list[str] = []
        steps = [LOSS, *(name for name in reversed(list(self.tensors)) if not self.tensors[name].is_leaf)]
        for number, step in enumerate(steps):
            mentioned = [name for statement in self.lines[step] for name in statement.names()]
            inputs = [name for name, consuming in self.consumers.items() if step in consuming]
            # an input that the line does not name (it hides in a list, say) comes last
            inputs.sort(key=lambda name: mentioned.index(name) if name in mentioned else len(mentioned))
            done = steps[: number + 1]
            order += [name for name in inputs if name not in order and set(self.consumers[name]) <= set(done)]
        return order


def _parsed(path: Path) -> tuple[str, list[Statement]]:
    """The docstring of a script and its statements.

    Raises
    ------
    ExerciseError
        It cannot be read, is no Python, or has two statements on a line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except OSError as error:
        raise ExerciseError(f"{path} cannot be read: {error.strerror}.") from error
    except SyntaxError as error:
        raise ExerciseError(f"{path} is no Python: line {error.lineno}: {error.msg}.") from error
    except ValueError as error:
        raise ExerciseError(f"{path} is no Python: {error}.") from error
    rows = text.splitlines()
    about = ast.get_docstring(tree) or ""
    body = tree.body[1:] if about else tree.body
    end = tree.body[0].end_lineno or 0 if about else 0
    statements, faults = [], []
    for node in body:
        first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))
        if first <= end:
            faults.append((first, "holds two statements: give each a line of its own"))
            continue
        last = node.end_lineno or first
        source = "\n".join(rows[end:last])
        statements.append(Statement(first, source, "\n".join(rows[first - 1 : last]), node))
        end = last
    for line in _calls_of_backward(tree):
        faults.append((line, "calls backward: leave it out, the notebook does that"))
    _refuse(path, faults)
    return about, statements


def _calls_of_backward(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="backward")):
                yield node.lineno


def _parameters(statements: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
    """The plain values and imports at the top of a script, and what follows them."""
    number = next((at for at, one in enumerate(statements) if not one.is_import and not one.constants), len(statements))
    return list(statements[:number]), list(statements[number:])


def _named(path: Path, run: _Run, statements: Sequence[Statement]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a run and its named tensors; raises :class:`ExerciseError` with all that is wrong with them."""
    faults = run.faults or [*_fault_of_seed(run), *_fault_of_loss(run, statements)]
    _refuse(path, faults)
    loss = run.namespace[LOSS]
    named = {
        name: run.namespace[name]
        for name in sorted(run.top - {LOSS}, key=lambda name: run.lines[name][0])
        if not name.startswith("_") and _has_gradient(run.namespace[name])
    }
    faults = [fault for name in named for fault in _faults_of_name(name, named, run)]
    found = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    for name, gradient in zip(named, found, strict=True):
        if gradient is None:
            faults.append((run.lines[name][-1], f"{name} does not reach the loss.{_dead_end(name, run, statements)}"))
        elif not bool(gradient.any()) and not autograd_graph.consumers(loss, named)[name]:
            faults.append((run.lines[name][-1], f"nothing comes back to {name}, whatever arrives: leave it out"))
    faults += [(run.lines[name][-1], f"defines {name}, as the notebook does") for name in TAKEN if name in run.lines]
    _refuse(path, faults)
    return loss, named


def _fault_of_seed(run: _Run) -> Iterator[tuple[int, str]]:
    if SEED not in run.parameters or not isinstance(run.namespace[SEED], int):
        yield 1, "no whole number `seed` stands among the plain values at the top: make all that is random from it"


def _fault_of_loss(run: _Run, statements: Sequence[Statement]) -> Iterator[tuple[int, str]]:
    """Why a run has no loss to go back from."""
    loss = run.namespace.get(LOSS)
    line = run.lines[LOSS][-1] if LOSS in run.lines else statements[-1].line if statements else 1
    if LOSS not in run.lines:
        yield line, "the script ends without a loss: assign a scalar tensor to `loss`"
    elif not isinstance(loss, torch.Tensor):
        yield line, f"loss is no tensor but {type(loss).__name__}"
    elif loss.dim():
        yield line, f"loss has the shape {tuple(loss.shape)}: it must be a scalar, such as a mean or a sum"
    elif not loss.is_floating_point():
        yield line, f"loss holds {_dtype(loss)}, which has no gradient: it must be a floating-point scalar"
    elif not loss.requires_grad:
        yield line, "nothing that loss is made from has a gradient: say requires_grad_() of the weights"
    elif not bool(loss.isfinite()):
        yield line, f"loss is {loss.item()}"


def _faults_of_name(name: str, named: Mapping[str, torch.Tensor], run: _Run) -> Iterator[tuple[int, str]]:
    """What is wrong with the name of a tensor, and with what it names."""
    line, tensor = run.lines[name][-1], named[name]
    for other in (*named, LOSS):
        if other == name:
            break
        if tensor is run.namespace[other]:
            yield line, f"{name} and {other} are one tensor: leave one name out"
    if tensor is run.namespace[LOSS]:
        yield line, f"{name} and {LOSS} are one tensor: leave one name out"
    if not name.isascii() or len(name) > LONGEST_NAME:
        yield line, f"{name} is no name for a cell: take at most {LONGEST_NAME} of the letters a to z, digits and _"
    if f"d{name}" in run.namespace:
        yield line, f"the gradient of {name} is called d{name}, but the script has a d{name} of its own: rename one"
    if tensor.is_complex():
        yield line, f"{name} holds {_dtype(tensor)}: gradients of complex numbers are not compared"


def _dead_end(name: str, run: _Run, statements: Sequence[Statement]) -> str:
    """What is made from a tensor and lets no gradient through, in a sentence."""
    ends = [
        f" {made} (line {statement.line}) is made from it and holds {_dtype(run.namespace[made])}, without a gradient."
        for statement in statements
        if name in statement.names()
        for made in run.top
        if statement.line in run.lines[made]
        and isinstance(run.namespace[made], torch.Tensor)
        and not run.namespace[made].requires_grad
    ]
    return "".join(ends) or " Use it, or call it by a name with an underscore in front."


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _differences(run: _Run, again: _Run) -> list[tuple[int, str]]:
    """The first tensor that a second run of the same script makes otherwise; the others may follow from it."""
    for name, value in run.namespace.items():
        if isinstance(value, torch.Tensor) and not identical(value, again.namespace.get(name)):
            what = f"{name} is not the same in a second run: make it with a generator that `seed` starts"
            return [(run.lines[name][-1], what)]
    return []


def _no_use_of_seed(run: _Run, other: _Run, tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[int, str]]:
    if other.faults:
        line, what = other.faults[0]
        yield line, f"with another seed it {what}"
    elif all(identical(value, other.namespace.get(name)) for name, value in tensors.items()):
        yield run.lines[SEED][-1], "seed changes no tensor: make the weights or the data from it"


def _refuse(path: Path, faults: Iterable[tuple[int, str]]) -> None:
    """Raise :class:`ExerciseError` with all ``faults``, if there are any."""
    said = [f"line {line}: {what}" for line, what in sorted(set(faults))]
    if said:
        raise ExerciseError(f"no exercise can be made of {path}: " + "; ".join(one.rstrip(".") for one in said) + ".")
