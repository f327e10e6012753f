"""Read a forward pass from a plain Python script, and list the reasons if no exercise can be made of it.

Runs the author's script in this process: never pass it a student's.
"""

import ast
import itertools
import keyword
import re
import types
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from handgrad.authoring.passages import Passages
from handgrad.authoring.small_gradients import SEEDS
from handgrad.authoring.trace import Number, Trace, leaves, steps_between
from handgrad.errors import ExerciseError
from handgrad.exercise.new_weights import parts
from handgrad.gradients import autograd_graph
from handgrad.gradients.comparison import identical
from handgrad.gradients.mistakes.mistake import listed
from handgrad.notebook import execution

__all__ = ["LOSS", "TAKEN", "ForwardPass", "Statement"]

LOSS = "loss"
SEED = "seed"
TAKEN = ("cmp", "counterexample", "hint", "nudge", "progress", "named_tensors", "prepare_backward")
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

    @property
    def lines(self) -> range:
        """The numbers of its lines."""
        return range(self.line, self.line + len(self.code.splitlines()))

    def shapes(self, tensors: Mapping[str, torch.Tensor]) -> str:
        """The shapes of what it assigns, if it is one line without a comment that assigns named tensors only."""
        match self.node:
            case ast.Assign(targets=[ast.Name() as target]) | ast.AnnAssign(target=target):
                names = [target]
            case ast.Assign(targets=[ast.Tuple(elts=names)]):
                pass
            case _:
                names = []
        assigned = [tensors[ast.unparse(name)] for name in names if ast.unparse(name) in tensors]
        if len(self.lines) > 1 or "#" in self.code or len(assigned) < len(names):
            return ""
        return ", ".join(str(tuple(tensor.shape)) for tensor in assigned)

    def names(self) -> list[str]:
        """Every name in it, in the order of the source."""
        named = [node for node in ast.walk(self.node) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(node.id for node in sorted(named, key=lambda node: (node.lineno, node.col_offset))))


@dataclass(frozen=True)
class _Script:
    """A script: its text, its docstring (may be empty), and its statements.

    The ``head`` is the literals and imports at its top, the ``body`` the rest.
    """

    path: Path
    text: str
    about: str
    head: tuple[Statement, ...]
    body: tuple[Statement, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and parse a script; raises :class:`ExerciseError`, also if two statements are on one line."""
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
        head = tuple(itertools.takewhile(lambda statement: statement.is_import or statement.constants, statements))
        return cls(path, text, about, head, tuple(statements[len(head) :]))

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All of them."""
        return self.head + self.body

    def at(self, line: int) -> Statement:
        """The statement at a line."""
        return max(
            (statement for statement in self.statements if statement.line <= line), key=lambda statement: statement.line
        )


@dataclass
class _Run:
    """One run of a script: its namespace, the lines that assigned each name, and its faults."""

    namespace: dict[str, Any]
    trace: Trace
    parameters: set[str] = field(default_factory=set)
    lines: dict[str, list[int]] = field(default_factory=dict)
    top: set[str] = field(default_factory=set)
    faults: list[tuple[int, str]] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, script: "_Script", seed: int | None = None, forced: Mapping[int, Sequence[Number]] = {}) -> Self:
        """Run a script (with another seed, and numbers ``forced`` on it) up to the first statement that raises."""
        run = cls(execution.new_namespace(), Trace(f"<{script.path.name}>", forced))
        ran = all(run.step(statement) for statement in script.head)
        run.parameters = {name for statement in script.head for name in statement.constants}
        if seed is not None and isinstance(run.namespace.get(SEED), int):
            run.namespace[SEED] = seed
        if ran:
            all(run.step(statement) for statement in script.body)
        return run

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Its named tensors in the order of the script."""
        names = sorted(self.namespace.keys() & self.top - {LOSS}, key=[*self.namespace].index)
        return {
            name: self.namespace[name]
            for name in sorted(names, key=lambda name: self.lines[name][0])
            if not name.startswith("_") and _has_gradient(self.namespace[name])
        }

    @cached_property
    def steps(self) -> dict[tuple[str, str], Counter[tuple[int, ...]]]:
        """For a named tensor and what is computed directly from it, how many steps autograd made at which lines."""
        return {
            (name, consumer): Counter(self.trace.lines.get(step, ()) for step in steps)
            for consumer in (*self.tensors, LOSS)
            if _has_gradient(self.namespace.get(consumer))
            for name, steps in steps_between(self.tensors, self.namespace[consumer]).items()
        }

    def inputs(self, name: str) -> str:
        """The named tensors that a name is computed from, for a sentence."""
        return listed([source for source, consumer in self.steps if consumer == name]) or "no named tensor"

    def step(self, statement: Statement) -> bool:
        """Run one statement and record what it changed; False if it raised."""
        before = dict(self.namespace)
        # with the line numbers of the script
        source = "\n" * (statement.line - 1) + statement.code
        with self.trace:
            error = execution.run_cell(execution.CompiledCell(source, self.trace.filename), self.namespace)
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
    """A forward pass that an exercise can be made of."""

    about: str
    """Its docstring; empty if it has none."""
    parameters: tuple[Statement, ...]
    """The literals at the top."""
    imports: tuple[Statement, ...]
    """The imports among them."""
    setup: tuple[Statement, ...]
    """Everything before the first step that autograd tracks."""
    steps: tuple[Statement, ...]
    """The rest."""
    tensors: Mapping[str, torch.Tensor]
    """The named tensors in the order of the script, leaves included."""
    consumers: Mapping[str, tuple[str, ...]]
    """For each of them, the tensors (or the loss) computed directly from it."""
    lines: Mapping[str, tuple[Statement, ...]]
    """For each name, the statements that assign it."""
    notes: tuple[str, ...]
    """What may be meant, but had better be known: a sentence each."""
    passages: Mapping[tuple[str, str], Collection[int]]
    """For a tensor and a consumer, the numbers of the lines that lead from one to the other."""
    script: Passages

    @classmethod
    def read(cls, path: Path, directory: Path) -> Self:
        """The forward pass in the script at ``path``, run in ``directory``, which holds the files that it reads.

        Raises
        ------
        ExerciseError
            No exercise can be made of it; all faults are listed with their lines.
        """
        script = _Script.read(path)
        with chdir(directory), torch.enable_grad(), execution.captured():
            run, second = (_Run.of(script) for _ in range(2))
            _refuse(path, run.faults or _faults_of_ends(run, script))
            other_seeds = _OtherSeeds.of(script, run)
        _refuse(path, other_seeds.branches)
        loss, tensors = _named(script, run)
        _refuse(path, [*_differences(run, second), *other_seeds.faults])
        lines = {name: tuple(script.at(line) for line in run.lines[name]) for name in (*tensors, LOSS)}
        made = {pair: {line for lines in steps for line in lines} for pair, steps in run.steps.items()}
        traced = {line for lines in run.trace.lines.values() for line in lines}
        cut = {*tensors, *(name for name, value in run.namespace.items() if isinstance(value, types.ModuleType))}
        text = Passages.of(script.text)
        passages = {
            (name, consumer): text.lines(name, on, [statement.lines for statement in lines[consumer]], traced, cut)
            for (name, consumer), on in made.items()
        }
        first = [line for steps in run.steps.values() for line, *_ in filter(None, steps)]
        first += [run.lines[name][0] for name in (*tensors, LOSS) if name == LOSS or not tensors[name].is_leaf]
        begin = script.at(min(first)).line
        return cls(
            script.about,
            tuple(statement for statement in script.head if not statement.is_import),
            tuple(statement for statement in script.head if statement.is_import),
            tuple(statement for statement in script.body if statement.line < begin),
            tuple(statement for statement in script.body if statement.line >= begin),
            tensors,
            autograd_graph.consumers(loss, tensors),
            lines,
            (*other_seeds.notes, *_unnamed(run)),
            passages,
            text,
        )

    def shown(self, name: str) -> str:
        """The lines that lead from a tensor to its consumers; one that assigns a named tensor ends with its shape."""
        lines = {line for consumer in self.consumers[name] for line in self.passages[name, consumer]}
        assigning = [(consumer, statement) for consumer in self.consumers[name] for statement in self.lines[consumer]]
        shapes = {
            statement.line: statement.shapes(self.tensors) for consumer, statement in assigning if consumer != LOSS
        }
        return self.script.shown(lines, {line: text for line, text in shapes.items() if text})

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


def _named(script: _Script, run: _Run) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a run and its named tensors; raises :class:`ExerciseError` with all faults."""
    path, loss, named = script.path, run.namespace[LOSS], run.tensors
    if not named:
        what = "no tensor with a gradient has a name: assign the weights and the steps to names of their own"
        _refuse(path, [(run.lines[LOSS][-1], f"{what}, not to entries of a list, a dictionary or a module")])
    faults = [fault for name in named for fault in _faults_of_name(name, named, run)]
    gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    for name, gradient in zip(named, gradients, strict=True):
        if gradient is None:
            faults.append(
                (run.lines[name][-1], f"{name} does not reach the loss.{_dead_end(name, run, script.statements)}")
            )
        elif not bool(gradient.any()) and not autograd_graph.consumers(loss, named)[name]:
            zeros = [other for other, tensor in named.items() if tensor.is_leaf and not bool(tensor.any())]
            what = f"the gradient of {name} is zero: leave it out, or change the seed if it is not zero with others"
            if zeros:
                what = f"the gradient of {name} is zero: let {listed(zeros)} begin with other numbers than zeros"
            faults.append((run.lines[name][-1], what))
    faults += [(run.lines[name][-1], f"defines {name}, as the notebook does") for name in TAKEN if name in run.lines]
    _refuse(path, faults)
    return loss, named


def _faults_of_ends(run: _Run, script: _Script) -> Iterator[tuple[int, str]]:
    """Why a run has no seed to draw random numbers from, or no loss to call backward on."""
    if SEED not in run.parameters or not isinstance(run.namespace[SEED], int):
        what = "there is no integer `seed` among the literals at the top: add it, and draw all random numbers from it"
        if SEED in run.lines:
            what = "seed is not a literal at the top, such as `seed = 1`: the grader sets other seeds there"
        yield run.lines.get(SEED, [1])[0], what
    loss = run.namespace.get(LOSS)
    line = run.lines[LOSS][-1] if LOSS in run.lines else script.statements[-1].line if script.statements else 1
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


@dataclass
class _OtherSeeds:
    """What the runs with other seeds tell: faults, branches on data that make another graph, and other branches."""

    faults: list[tuple[int, str]] = field(default_factory=list)
    branches: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, script: _Script, run: _Run) -> Self:
        """Run a script with other seeds than that of ``run``, until one makes another graph."""
        found, same = cls(), True
        for seed in SEEDS:
            if seed == run.namespace[SEED]:
                continue
            other = _Run.of(script, seed)
            if other.faults:
                line, what = other.faults[0]
                return cls([(line, f"with another seed it {what}")])
            same = same and all(identical(value, other.namespace.get(name)) for name, value in run.tensors.items())
            if other.steps.keys() != run.steps.keys():
                return cls(branches=[_branch(script, run, other, seed)])
            if other.steps != run.steps and not found.notes:
                line, what = _branch(script, run, other, seed)
                found.notes.append(f"line {line}: {what}")
        if same:
            found.faults = [(run.lines[SEED][-1], "seed changes no tensor: draw the weights or the data from it")]
        return found


def _branch(script: _Script, run: _Run, other: _Run, seed: int) -> tuple[int, str]:
    """The line that decides what two runs do differently, and what that is."""
    pairs = [pair for pair in {**run.steps, **other.steps} if run.steps.get(pair) != other.steps.get(pair)]
    pairs.sort(key=lambda pair: pair in run.steps and pair in other.steps)
    name, consumer = pairs[0]
    line = next(_deciding(script, run, other, seed), None)
    what = f"`{script.text.splitlines()[(line or run.lines[consumer][-1]) - 1].strip()}` depends on the "
    what += f"{'data' if line else 'seed'}: {consumer} is computed from "
    if run.inputs(consumer) != other.inputs(consumer):
        what += f"{run.inputs(consumer)}, but with seed {seed} from {other.inputs(consumer)}. "
        what += "Compute the same for every seed, and choose with torch.where or a mask"
    else:
        what += f"{name} by other steps with seed {seed}. The text and the solution of d{name} must be right for both"
    return line or run.lines[consumer][-1], what


def _deciding(script: _Script, run: _Run, other: _Run, seed: int) -> Iterator[int]:
    """The lines that take numbers from tensors such that the graph would be another one with those of ``run``."""
    for line, numbers in other.trace.numbers.items():
        instead = run.trace.numbers.get(line, [])
        if numbers != instead and _Run.of(script, seed, {line: instead}).steps != other.steps:
            yield line


def _unnamed(run: _Run) -> Iterator[str]:
    """That weights without a name lead to the loss, unless what they are in has a name with an underscore."""
    named = {id(tensor) for tensor in run.tensors.values()}
    steps = {id(weight): step for weight, step in leaves(run.namespace[LOSS]) if id(weight) not in named}
    expressions = [
        (id(part), expression) for name, value in run.namespace.items() for expression, part in parts(name, value)
    ]
    found: dict[int, str] = {}
    for weight, expression in expressions:
        if weight in steps:
            found.setdefault(weight, expression)
    own = [expression for expression in found.values() if not expression.startswith("_")]
    hidden = len(steps) - len(found)
    if own or hidden:
        lines = [run.trace.lines.get(steps[weight]) for weight in steps if not found.get(weight, "").startswith("_")]
        line = min((line for line, *_ in filter(None, lines)), default=run.lines[LOSS][-1])
        unseen = [f"{hidden} more" if own else "some weights"] if hidden else []
        words = re.findall("[A-Za-z0-9]+", own[0].replace("get_parameter", "")) if own else []
        example = f" (`{'_'.join(words)} = {own[0]}`)" if own else ""
        yield (
            f"line {line}: nobody is asked for the gradients of {listed([*own, *unseen])}: they lead to the loss, but "
            f"have no names of their own. Name them above the forward pass{example}, call requires_grad_(False) on "
            "them, or begin the name of what they are in with an underscore"
        )


def _refuse(path: Path, faults: Iterable[tuple[int, str]]) -> None:
    """Raise :class:`ExerciseError` with all ``faults``, if there are any."""
    lines = [f"line {line}: {what.rstrip('.')}" for line, what in sorted(set(faults))]
    if lines:
        raise ExerciseError(f"no exercise can be made of {path}: {'; '.join(lines)}.")
