"""Read a forward pass from a plain Python script, and list the reasons if no exercise can be made of it.

Runs the author's script in this process: never pass it a student's.
"""

import ast
import itertools
import keyword
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from handgrad.errors import ExerciseError
from handgrad.gradients import autograd_graph
from handgrad.gradients.comparison import identical
from handgrad.gradients.mistakes.mistake import listed
from handgrad.notebook import execution

__all__ = ["LOSS", "TAKEN", "ForwardPass", "Statement"]

LOSS = "loss"
SEED = "seed"
TAKEN = ("cmp", "progress", "named_tensors", "prepare_backward")
"""Names that the notebook itself defines."""
LONGEST_NAME = 50
"""Largest number of characters of a name: grade_ids and cell ids are made of it."""


@dataclass(frozen=True)
class Statement:
    """One statement at the top level of the script, and the number of its first line.

    ``source`` is its text with the comments before and after it, ``code`` its text without them.
    """

    line: int
    source: str
    code: str
    node: ast.stmt

    @property
    def is_import(self) -> bool:
        """Whether it is an import."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))

    @property
    def constants(self) -> tuple[str, ...]:
        """The names to which it assigns literals (numbers, strings, tuples of them); empty for any other statement."""
        match self.node:
            case (
                ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value)
                | ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value)
            ):
                try:
                    ast.literal_eval(value)
                except ValueError:
                    return ()
                return tuple(node.id for node in ast.walk(target) if isinstance(node, ast.Name))
        return ()

    def names(self) -> list[str]:
        """Every name in it, in the order of the source."""
        named = [node for node in ast.walk(self.node) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(node.id for node in sorted(named, key=lambda node: (node.lineno, node.col_offset))))


@dataclass
class _Run:
    """One run of a script: its namespace, the lines that assigned each name, and its faults."""

    namespace: dict[str, Any]
    parameters: set[str] = field(default_factory=set)
    lines: dict[str, list[int]] = field(default_factory=dict)
    top: set[str] = field(default_factory=set)
    faults: list[tuple[int, str]] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, head: Sequence[Statement], body: Sequence[Statement], shift: int = 0) -> Self:
        """Run a script with ``shift`` added to its seed, up to the first statement that raises."""
        run = cls(execution.new_namespace())
        ran = all(run.step(statement, path) for statement in head)
        run.parameters = {name for statement in head for name in statement.constants}
        if ran and isinstance(run.namespace.get(SEED), int):
            run.namespace[SEED] += shift
        if ran:
            all(run.step(statement, path) for statement in body)
        return run

    def step(self, statement: Statement, path: Path) -> bool:
        """Run one statement and record what it changed; False if it raised."""
        before = dict(self.namespace)
        error = execution.run_cell(execution.CompiledCell(statement.code, f"<{path.name}>"), self.namespace)
        if error:
            self.faults.append((statement.line, f"raises {error.name}: {error.message}".rstrip(".")))
            return False
        changed = [name for name, value in self.namespace.items() if before.get(name, self) is not value]
        if isinstance(statement.node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            self.top |= set(changed)
        for name in changed:
            if name in self.top and _has_gradient(before.get(name)):
                what = f"assigns {name} a second time: use a new name for each step, or a loop"
                self.faults.append((statement.line, what))
            self.lines.setdefault(name, []).append(statement.line)
        for name in self.versions.keys() - self.namespace.keys():
            self.faults.append((statement.line, f"deletes {name}, which the checks of the notebook need: keep it"))
            self.top.discard(name)
        for name, version in self.versions.items():
            if name in before and name in self.namespace and name not in changed and before[name]._version != version:
                self.faults.append((statement.line, f"changes {name} in place: assign the result to a new name"))
        named = {name: value for name, value in self.namespace.items() if _has_gradient(value)}
        for name, tensor in named.items():
            # this line filled a tensor that had no gradient so far, such as zeros that a loop fills
            if name not in self.versions and not tensor.is_leaf and statement.line not in self.lines[name]:
                self.lines[name].append(statement.line)
        self.versions = {name: tensor._version for name, tensor in named.items()}
        return True


def _has_gradient(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


@dataclass(frozen=True)
class ForwardPass:
    """A forward pass that an exercise can be made of.

    Attributes
    ----------
    about
        Its docstring; empty if it has none.
    parameters, imports, setup, steps
        Its statements: literals at the top, imports among them, everything before the first step that autograd tracks,
        and the rest.
    tensors
        The named tensors in the order of the script, leaves included.
    consumers
        For each of them, the tensors (or the loss) computed directly from it.
    lines
        For each name, the statements that compute it.
    """

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
        """The forward pass in the script at ``path``, run in ``directory``, which holds the files that it reads.

        Raises
        ------
        ExerciseError
            No exercise can be made of it; all faults are listed with their lines.
        """
        about, statements = _parsed(path)
        # the literals and imports at the top of the script
        head = list(itertools.takewhile(lambda statement: statement.is_import or statement.constants, statements))
        body = statements[len(head) :]
        with chdir(directory), torch.enable_grad(), execution.captured():
            run, second, reseeded = (_Run.of(path, head, body, shift) for shift in (0, 0, 1))
        loss, tensors = _named(path, run, statements)
        differing = [*_differences(run, second), *_no_use_of_seed(run, reseeded, tensors)]
        _refuse(path, differing)
        by_line = {statement.line: statement for statement in statements}
        lines = {name: tuple(by_line[line] for line in run.lines[name]) for name in (*tensors, LOSS)}
        begin = min(
            run.lines[name][0] for name in (*(tensor for tensor in tensors if not tensors[tensor].is_leaf), LOSS)
        )
        return cls(
            about,
            tuple(statement for statement in head if not statement.is_import),
            tuple(statement for statement in head if statement.is_import),
            tuple(statement for statement in body if statement.line < begin),
            tuple(statement for statement in body if statement.line >= begin),
            tensors,
            autograd_graph.consumers(loss, tensors),
            lines,
        )

    def backwards(self) -> list[str]:
        """The named tensors in backward order: consumers first, the inputs of a step in the order of its source."""
        order: list[str] = []
        steps = [LOSS, *(name for name in reversed(list(self.tensors)) if not self.tensors[name].is_leaf)]
        for number, step in enumerate(steps):
            mentioned = [name for statement in self.lines[step] for name in statement.names()]
            inputs = [name for name, consuming in self.consumers.items() if step in consuming]
            # an input that the line does not name (it may be in a list) comes last
            inputs.sort(key=lambda name: mentioned.index(name) if name in mentioned else len(mentioned))
            done = steps[: number + 1]
            order += [name for name in inputs if name not in order and set(self.consumers[name]) <= set(done)]
        return order


def _parsed(path: Path) -> tuple[str, list[Statement]]:
    """The docstring of a script and its statements; two of them on one line are a fault."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except OSError as error:
        raise ExerciseError(f"{path} cannot be read: {error.strerror}.") from error
    except SyntaxError as error:
        raise ExerciseError(f"{path} is not valid Python: line {error.lineno}: {error.msg}.") from error
    except ValueError as error:
        raise ExerciseError(f"{path} is not valid Python: {error}.") from error
    rows = text.splitlines()
    about = ast.get_docstring(tree) or ""
    body = tree.body[1:] if about else tree.body
    end = tree.body[0].end_lineno or 0 if about else 0
    statements, faults = [], []
    for node in body:
        first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
        if first <= end:
            faults.append((first, "has two statements: put each on its own line"))
            continue
        last = node.end_lineno or first
        source = "\n".join(rows[end:last])
        statements.append(Statement(first, source, "\n".join(rows[first - 1 : last]), node))
        end = last
    for part in ast.walk(tree):
        match part:
            case ast.Call(func=ast.Attribute(attr="backward")):
                faults.append((part.lineno, "calls backward: delete it, the notebook does that"))
    _refuse(path, faults)
    return about, statements


def _named(path: Path, run: _Run, statements: Sequence[Statement]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a run and its named tensors; raises :class:`ExerciseError` with all faults."""
    _refuse(path, run.faults or _faults_of_ends(run, statements))
    loss = run.namespace[LOSS]
    named = {
        name: run.namespace[name]
        for name in sorted(run.top - {LOSS}, key=lambda name: run.lines[name][0])
        if not name.startswith("_") and _has_gradient(run.namespace[name])
    }
    if not named:
        what = "no tensor with a gradient has a name: assign the weights and the steps to names of their own"
        _refuse(path, [(run.lines[LOSS][-1], f"{what}, not to entries of a list, a dictionary or a module")])
    faults = [fault for name in named for fault in _faults_of_name(name, named, run)]
    gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    for name, gradient in zip(named, gradients, strict=True):
        if gradient is None:
            faults.append((run.lines[name][-1], f"{name} does not reach the loss.{_dead_end(name, run, statements)}"))
        elif not bool(gradient.any()) and not autograd_graph.consumers(loss, named)[name]:
            zeros = [other for other, tensor in named.items() if tensor.is_leaf and not bool(tensor.any())]
            what = f"the gradient of {name} is always zero: leave it out"
            if zeros:
                what = f"the gradient of {name} is zero: let {listed(zeros)} begin with other numbers than zeros"
            faults.append((run.lines[name][-1], what))
    faults += [(run.lines[name][-1], f"defines {name}, as the notebook does") for name in TAKEN if name in run.lines]
    _refuse(path, faults)
    return loss, named


def _faults_of_ends(run: _Run, statements: Sequence[Statement]) -> Iterator[tuple[int, str]]:
    """Why a run has no seed to draw random numbers from, or no loss to call backward on."""
    if SEED not in run.parameters or not isinstance(run.namespace[SEED], int):
        what = "there is no integer `seed` among the literals at the top: add it, and draw all random numbers from it"
        if SEED in run.lines:
            what = "seed is not a literal at the top, such as `seed = 1`: the grader sets other seeds there"
        yield run.lines.get(SEED, [1])[0], what
    loss = run.namespace.get(LOSS)
    line = run.lines[LOSS][-1] if LOSS in run.lines else statements[-1].line if statements else 1
    if LOSS not in run.lines:
        yield line, "the script ends without a loss: assign a scalar tensor to `loss`"
    elif not isinstance(loss, torch.Tensor):
        yield line, f"loss is not a tensor but {type(loss).__name__}"
    elif loss.dim():
        yield line, f"loss has the shape {tuple(loss.shape)}: it must be a scalar, such as a mean or a sum"
    elif not loss.is_floating_point():
        yield line, f"loss holds {_dtype(loss)}, which has no gradient: it must be a floating-point scalar"
    elif not loss.requires_grad:
        yield line, "loss has no gradient: call requires_grad_() on the weights"
    elif not bool(loss.isfinite()):
        yield line, f"loss is {loss.item()}"


def _faults_of_name(name: str, named: Mapping[str, torch.Tensor], run: _Run) -> Iterator[tuple[int, str]]:
    """Faults of the name of a tensor, and of the tensor."""
    line, tensor = run.lines[name][-1], named[name]
    for other in (*itertools.takewhile(lambda other: other != name, named), LOSS):
        if tensor is run.namespace[other]:
            yield line, f"{name} and {other} are the same tensor: use one name"
    if not name.isascii() or len(name) > LONGEST_NAME:
        yield line, f"{name} cannot be the name of a cell: use at most {LONGEST_NAME} letters a to z, digits and _"
    if f"d{name}" in run.namespace:
        yield line, f"the gradient of {name} is called d{name}, but the script has its own d{name}: rename one"
    if keyword.iskeyword(f"d{name}"):
        yield line, f"the gradient of {name} would be called d{name}, which is a word of Python: rename {name}"
    if tensor.dtype in (torch.float16, torch.bfloat16):
        coarse = f"{torch.finfo(tensor.dtype).eps:.1g} of a number"
        yield line, f"{name} holds {_dtype(tensor)}, which is exact to {coarse} only, less than a check: use float32"
    if tensor.is_complex():
        yield line, f"{name} holds {_dtype(tensor)}: gradients of complex numbers are not compared"


def _dead_end(name: str, run: _Run, statements: Sequence[Statement]) -> str:
    """The tensors that are computed from this one and pass no gradient on, in a sentence."""
    ends = [
        f" {made} (line {statement.line}) is computed from it and holds {_dtype(run.namespace[made])}: no gradient."
        for statement in statements
        if name in statement.names()
        for made in run.top
        if statement.line in run.lines[made]
        and isinstance(run.namespace[made], torch.Tensor)
        and not run.namespace[made].requires_grad
    ]
    return "".join(ends) or " Use it, or begin its name with an underscore."


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _differences(run: _Run, second: _Run) -> list[tuple[int, str]]:
    """The first tensor that differs in a second run of the script; later differences may follow from it."""
    for name, value in run.namespace.items():
        if isinstance(value, torch.Tensor) and not identical(value, second.namespace.get(name)):
            what = f"{name} differs in a second run: draw it from a generator seeded with `seed`"
            return [(run.lines[name][-1], what)]
    return []


def _no_use_of_seed(run: _Run, reseeded: _Run, tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[int, str]]:
    if reseeded.faults:
        line, what = reseeded.faults[0]
        yield line, f"with another seed it {what}"
    elif all(identical(value, reseeded.namespace.get(name)) for name, value in tensors.items()):
        yield run.lines[SEED][-1], "seed changes no tensor: draw the weights or the data from it"


def _refuse(path: Path, faults: Iterable[tuple[int, str]]) -> None:
    """Raise :class:`ExerciseError` with all ``faults``, if there are any."""
    lines = [f"line {line}: {what.rstrip('.')}" for line, what in sorted(set(faults))]
    if lines:
        raise ExerciseError(f"no exercise can be made of {path}: {'; '.join(lines)}.")
