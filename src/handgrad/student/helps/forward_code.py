"""The forward pass of a notebook as its own cells write it: it can be run again, as a whole or one step of it.

The *step* of a tensor X are the lines that lead from X to its consumers. Run in a dictionary of its own, with the other
inputs of these lines and the upstream gradients free, it has a right gradient whatever these are.
"""

import ast
import contextlib
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, TypeGuard

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.forward_pass import ForwardPass, NoForwardPass
from handgrad.student.helps import function_body
from handgrad.student.helps.statements import BUILTINS, Statement, needed, statements_of

__all__ = ["ForwardCode", "NoHelp", "Setting", "Step", "in_double", "is_float", "is_whole"]

_SMALL = 10**4
"""Whole numbers of the parameters from here on are no sizes: seeds, for one."""
_LONG = 300
"""So many entries of a list of data are enough."""

Namespace = dict[str, Any]


class NoHelp(LookupError):
    """There is something to do first; the message says what."""


def is_float(value: object) -> TypeGuard[torch.Tensor]:
    """Whether ``value`` is a tensor of real numbers."""
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def is_whole(value: object) -> TypeGuard[torch.Tensor]:
    """Whether ``value`` is a tensor of whole numbers: labels, positions."""
    return isinstance(value, torch.Tensor) and not (
        value.is_floating_point() or value.is_complex() or value.dtype == torch.bool
    )


def in_double(value: Any) -> Any:
    """A copy of ``value`` without a graph, in double precision; what is no tensor of real numbers stays as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().double().clone() if value.is_floating_point() else value.detach().clone()


@contextlib.contextmanager
def undisturbed(dtype: torch.dtype = torch.float64) -> Iterator[None]:
    """Run cells in double precision, or in ``dtype``, without output, and leave random states as they are."""
    usual, state, python_state = torch.get_default_dtype(), torch.get_rng_state(), random.getstate()
    torch.set_default_dtype(dtype)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        torch.set_default_dtype(usual)
        torch.set_rng_state(state)
        random.setstate(python_state)


@dataclass(frozen=True)
class Step:
    """The step of one tensor: its lines, its consumers in the order of the lines, and what the lines read."""

    lines: tuple[Statement, ...]
    consumers: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def upstream(self) -> tuple[str, ...]:
        """The consumers that have a gradient of the student's: all but the loss."""
        return tuple(name for name in self.consumers if name != LOSS)


@dataclass(frozen=True)
class Setting:
    """The variables of a notebook that was run with other ``sizes``; whole-number data are below ``top``."""

    namespace: Mapping[str, Any]
    sizes: Mapping[str, int]
    top: int

    def with_values(self, values: Mapping[str, torch.Tensor]) -> Namespace:
        """The variables with copies of ``values`` in the place of some."""
        return {**self.namespace, **{name: value.clone() for name, value in values.items()}}


@dataclass(frozen=True)
class ForwardCode:
    """The cells of a notebook that were run, and its variables.

    ``tensors`` are the named tensors of the forward pass, ``forward`` the positions of the statements that the loss is
    made by.
    """

    statements: Sequence[Statement]
    namespace: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    forward: tuple[int, ...]
    _steps: dict[str, Step] = field(default_factory=dict)
    _settings: dict[tuple[tuple[str, int], ...], Setting | None] = field(default_factory=dict)
    _errors: list[Exception] = field(default_factory=list)

    @classmethod
    def of(cls, cells: Sequence[str], namespace: Mapping[str, Any]) -> Self:
        """Read the forward pass from ``cells``, in the order in which they were run.

        Where it stands in a function, its body is one of the cells: see :mod:`.function_body`.

        Raises
        ------
        NoHelp
            There is no forward pass, or the cells that it was made by are not known.
        """
        loss = namespace.get(LOSS)
        if not autograd_graph.is_scalar_loss(loss) and (unfolded := function_body.unfolded(cells, namespace)):
            cells, namespace = unfolded
            loss = namespace[LOSS]
        if not autograd_graph.is_scalar_loss(loss):
            raise NoHelp("there is no loss yet: run the cells from the top first, loss.backward() included")
        statements = statements_of(cells)
        assigned = {name for statement in statements if not _is_loop(statement) for name in statement.binds}
        tensors = {
            name: tensor for name, tensor in autograd_graph.forward_tensors(namespace, loss).items() if name in assigned
        }
        ends = [position for position, statement in enumerate(statements) if _assigns(statement, LOSS)]
        if not ends or not tensors:
            raise NoHelp("the cells of the forward pass are not in the history of this session: run them again")
        return cls(statements, namespace, tensors, tuple(needed(statements, [LOSS], ends[-1])))

    @property
    def lines(self) -> Iterator[Statement]:
        """The statements that the loss is made by."""
        return (self.statements[position] for position in self.forward)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that the forward pass gives a value."""
        return frozenset(name for line in self.lines if not line.imports for name in line.binds)

    def name_of(self, asked: object) -> str:
        """The name of the tensor that is meant by its name, by the name of its gradient, or by the tensor itself.

        Raises
        ------
        NoHelp
            It is no named tensor of the forward pass.
        """
        if isinstance(asked, torch.Tensor):
            # a student's gradient may stand for its tensor as well
            for name, tensor in self.tensors.items():
                if asked is tensor or asked is self.namespace.get(f"d{name}"):
                    return name
            raise NoHelp("this is no tensor of the forward pass: give its name, as in hint('probs')")
        name = str(asked)
        if name in self.tensors:
            return name
        if name.startswith("d") and name[1:] in self.tensors:
            return name[1:]
        raise NoHelp(f"{name} is no tensor of the forward pass. These are: {', '.join(self.tensors)}")

    def check_unchanged(self, name: str, answer: Sequence[Statement] = ()) -> None:
        """Raise :class:`NoHelp` if a number or labels that the step or ``answer`` reads have another value now.

        The cells are run again only if one of the names was assigned after the loss. A name that ``answer`` gives a
        value before it reads it is its own.
        """
        after = self.statements[max(self.forward) + 1 :]
        suspects = {bound for statement in after if not statement.shows for bound in statement.binds & self.names}
        suspects &= {*self.step(name).inputs, *_read_first(answer)}
        suspects = {suspect for suspect in suspects if _is_exact(self.namespace.get(suspect))}
        if not suspects or self.is_trained:
            return
        before: Namespace = {}
        try:
            # in the notebook's own precision: a generator gives other numbers in another one
            with undisturbed(torch.get_default_dtype()):
                for line in self.lines:
                    exec(line.code, before)
        except Exception:
            # what the names were cannot be known
            return
        for suspect in sorted(suspects):
            was, now = before.get(suspect), self.namespace[suspect]
            if _is_exact(was) and not _same(was, now):
                values = f"was {was} in the forward pass and is {now} now" if type(was) is int else "has changed since"
                raise NoHelp(f"{suspect} {values}: run the cells from the top again")

    def check_made(self, made: Mapping[str, torch.Tensor]) -> None:
        """Raise :class:`NoHelp` if one of the named tensors ``made`` is not what it is in the notebook."""
        for name, tensor in made.items():
            known = in_double(self.tensors[name])
            if tensor.shape != known.shape or not torch.allclose(tensor, known, rtol=1e-3, atol=1e-5):
                raise NoHelp(f"{name} is not what its cell makes now: run the cells from the top again")

    def step(self, name: str) -> Step:
        """The step of the tensor ``name``."""
        if name not in self._steps:
            self._steps[name] = self._find_step(name)
        return self._steps[name]

    def _find_step(self, name: str) -> Step:
        born = self._born(name)
        dependent, found, consumers = {name}, [], []
        for position in self.forward:
            line = self.statements[position]
            if position <= born or dependent.isdisjoint(line.reads) or not line.assigns:
                continue
            found.append(line)
            for bound in sorted(line.binds):
                if bound == LOSS or (bound in self.tensors and bound != name):
                    consumers.append(bound)
                elif isinstance(value := self.namespace.get(bound), torch.Tensor) and value.requires_grad:
                    dependent.add(bound)
        wanted, lines = set(consumers), list[Statement]()
        for line in reversed(found):
            if not wanted.isdisjoint(line.binds):
                lines.insert(0, line)
                wanted |= line.reads
        inputs: dict[str, None] = {}
        made: set[str] = set()
        for line in lines:
            inputs |= dict.fromkeys(sorted(line.reads - made - BUILTINS))
            made |= line.binds
        kept = [consumer for consumer in consumers if any(consumer in line.binds for line in lines)]
        return Step(tuple(lines), tuple(dict.fromkeys(kept)), tuple(inputs))

    def _born(self, name: str) -> int:
        """Position of the statement that ``name`` was made by; -1 if none is in the forward pass."""
        return max((place for place in self.forward if name in self.statements[place].replaces), default=-1)

    def run_step(self, name: str, namespace: Namespace) -> dict[str, torch.Tensor]:
        """Run the step of ``name`` in ``namespace``: the consumers, each cut off for the lines after it."""
        step = self.step(name)
        outputs: dict[str, torch.Tensor] = {}
        with torch.enable_grad(), undisturbed():
            for line in step.lines:
                exec(line.code, namespace)
                for consumer in line.binds.intersection(step.consumers):
                    outputs[consumer] = namespace[consumer]
                    namespace[consumer] = namespace[consumer].detach()
        return outputs

    def gradient(self, name: str, namespace: Namespace, upstream: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """The right gradient of ``name`` in ``namespace`` for these upstream gradients; None if nothing reaches it.

        ``namespace`` holds the inputs of the step, and gets what its lines make.
        """
        leaf = namespace[name] = in_double(namespace[name]).requires_grad_()
        outputs = self.run_step(name, namespace)
        namespace[name] = leaf.detach()
        total = sum(
            ((output if consumer == LOSS else output * upstream[consumer].reshape(output.shape)).sum())
            for consumer, output in outputs.items()
        )
        if not isinstance(total, torch.Tensor) or not total.requires_grad:
            return None
        gradient: torch.Tensor | None = torch.autograd.grad(total, leaf, allow_unused=True)[0]
        return gradient

    def in_double(self) -> Namespace:
        """The notebook's variables for another run of the forward pass: what that reads is copied, in double precision.

        Data that only the lines before the first named tensor read stay as they are: they may be large.
        """
        copied = set(self.tensors)
        for line in self.lines:
            if line.assigns and (not line.reads.isdisjoint(self.tensors) or any(map(self._is_live, line.binds))):
                copied |= line.reads | line.touches
        return {name: in_double(value) if name in copied else value for name, value in self.namespace.items()}

    @cached_property
    def forward_pass(self) -> ForwardPass:
        """The same forward pass, as ``cmp`` reads it.

        Raises
        ------
        NoHelp
            Its graph is gone.
        """
        try:
            return ForwardPass.of(self.namespace)
        except NoForwardPass as reason:
            raise NoHelp(
                f"{reason}: run the cells from the top again, loss.backward(retain_graph=True) included"
            ) from None

    def given(self, name: str) -> torch.Tensor | None:
        """The student's gradient of the tensor ``name``; None if it is no tensor of real numbers."""
        given = self.namespace.get(f"d{name}")
        return given.detach() if isinstance(given, torch.Tensor) and not given.dtype.is_complex else None

    def is_right(self, name: str, gradient: object) -> bool:
        """Whether ``gradient`` is the true one of the tensor ``name``, as ``cmp`` would say."""
        true = self.forward_pass.true[name]
        return (
            isinstance(gradient, torch.Tensor)
            and gradient.shape == true.shape
            and not gradient.dtype.is_complex
            and self.forward_pass.fits(name, gradient.detach(), true)
        )

    def is_hidden(self, name: str) -> bool:
        """Whether the loss cannot show all of the gradient of ``name``: its own, or a consumer's, is zero on it."""
        return not self.forward_pass.scales.keys().isdisjoint((name, *self.step(name).consumers))

    def is_done(self, name: str) -> bool:
        """Whether the student's gradient of ``name`` is right, and the loss shows all of it."""
        return not self.is_hidden(name) and self.is_right(name, self.namespace.get(f"d{name}"))

    # -- other sizes

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The names of sizes and their values: whole numbers of the parameters, and lengths of what a tensor counts."""
        dimensions = {size for tensor in self.tensors.values() for size in tensor.shape}
        found = {}
        for line in self.lines:
            for name in line.binds if line.assigns and len(line.binds) == 1 else ():
                value = self.namespace.get(name)
                is_length = line.text.startswith(f"{name} = len(") and value in dimensions
                if type(value) is int and value < _SMALL and (is_length or line.text == f"{name} = {value}"):
                    found[name] = value
        return found

    def setting(self, sizes: Mapping[str, int]) -> Setting | None:
        """The variables of the forward pass run with other ``sizes``; None if it does not run with them."""
        key = tuple(sorted(sizes.items()))
        if key not in self._settings:
            self._settings[key] = next(
                (setting for top in (3, 2, 1) if (setting := self._set_up(sizes, top)) is not None), None
            )
        return self._settings[key]

    @property
    def setting_error(self) -> Exception | None:
        """Why the forward pass runs in no other sizes; None if it does in some."""
        runs = any(setting is not None for setting in self._settings.values())
        return None if runs or not self._errors else self._errors[-1]

    @cached_property
    def is_trained(self) -> bool:
        """Whether a loop of the forward pass changes one of its tensors: that is not run again."""
        loops = (line for line in self.lines if isinstance(line.node, ast.For | ast.While))
        return any(not self.tensors.keys().isdisjoint(line.binds | line.touches) for line in loops)

    def _set_up(self, sizes: Mapping[str, int], top: int) -> Setting | None:
        namespace: Namespace = {}
        if self.is_trained:
            self._errors.append(RuntimeError("a loop changes its tensors"))
            return None
        try:
            with undisturbed():
                for line in self.lines:
                    self._run_in(namespace, line)
                    self._shrink(namespace, line, sizes, top)
        except Exception as error:
            # any error: these sizes do not fit the notebook's cells
            self._errors.append(error)
            return None
        return Setting(namespace, dict(sizes), top)

    @staticmethod
    def _run_in(namespace: Namespace, line: Statement) -> None:
        try:
            exec(line.code, namespace)
        except ZeroDivisionError:
            # 1/(n-1) with n = 1: only the shape is wanted here
            larger = {name: namespace[name] + 1 for name in line.reads if type(namespace.get(name)) is int}
            others = {**namespace, **larger}
            exec(line.code, others)
            namespace.update({name: others[name] for name in line.binds})

    def _shrink(self, namespace: Namespace, line: Statement, sizes: Mapping[str, int], top: int) -> None:
        """Put sizes and small data in the place of what ``line`` has made."""
        for name in line.binds:
            value = namespace.get(name)
            if name in sizes:
                namespace[name] = sizes[name]
            elif type(value) is list and len(value) > _LONG:
                namespace[name] = value[:_LONG]
            elif isinstance(value, torch.Tensor):
                if name in self.tensors and not value.numel():
                    raise ValueError(f"{name} is empty")
                if is_whole(value) and value.numel() < 2000 and is_whole(self.namespace.get(name)):
                    namespace[name] = value % top

    # -- the student's cell

    def answer(self, name: str) -> tuple[Statement, ...]:
        """The statements that make the gradient of ``name``, the forward pass and all other gradients given.

        Raises
        ------
        NoHelp
            No cell that was run makes it.
        """
        gradient = f"d{name}"
        made = [
            position
            for position, statement in enumerate(self.statements)
            if gradient in statement.binds | statement.touches and not statement.shows
        ]
        if not made:
            raise NoHelp(f"{gradient} is not written yet: no cell that was run makes it")
        given = {f"d{other}" for other in self.tensors if other != name} | self.tensors.keys() | self.names
        return tuple(self.statements[position] for position in needed(self.statements, [gradient], made[-1], given))

    def run_answer(self, name: str, lines: Sequence[Statement], namespace: Namespace) -> Any:
        """What ``lines`` make of the gradient of ``name`` in ``namespace``, in the precision of the notebook.

        A cell that says ``.float()`` would not run in another one. The tensors that ``lines`` read are copied first: a
        cell may write in place.
        """
        dtype = self.tensors[name].dtype
        for other in {read for line in lines for read in line.reads | line.touches}:
            if isinstance(value := namespace.get(other), torch.Tensor):
                namespace[other] = value.detach().to(dtype if is_float(value) else value.dtype, copy=True)
        with torch.no_grad(), undisturbed(torch.get_default_dtype()):
            for line in lines:
                exec(line.code, namespace)
        return namespace[f"d{name}"]

    # -- the pass from one tensor on

    def rerun(self, name: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the forward pass makes with ``value`` in the place of the tensor ``name``: all that depends on it."""
        namespace = {**self._doubled, name: value}
        born, dependent = self._born(name), {name}
        found: dict[str, torch.Tensor] = {}
        with torch.no_grad(), undisturbed():
            for position in self.forward:
                line = self.statements[position]
                if position <= born or dependent.isdisjoint(line.reads) or line.shows or not line.assigns:
                    continue
                # what needs no gradient stays as it is: a target made from the input is no part of the graph
                live = [bound for bound in sorted(line.binds) if self._is_made_again(bound)]
                if live:
                    exec(line.code, namespace)
                for bound in live:
                    if self.namespace[bound].requires_grad:
                        dependent.add(bound)
                        found[bound] = namespace[bound]
        return found

    @cached_property
    def _doubled(self) -> Namespace:
        return self.in_double()

    def _is_live(self, name: str) -> bool:
        return bool(getattr(self.namespace.get(name), "requires_grad", False))

    def _is_made_again(self, name: str) -> bool:
        """Whether a name may change with the tensors: indices and masks that were found in them as well."""
        value = self.namespace.get(name)
        return isinstance(value, torch.Tensor) and (value.requires_grad or not value.is_floating_point())


def _is_loop(statement: Statement) -> bool:
    return statement.text.startswith("for ")


def _assigns(statement: Statement, name: str) -> bool:
    return statement.assigns and name in statement.replaces


def _read_first(lines: Sequence[Statement]) -> set[str]:
    """The names that ``lines`` read before they give them a value."""
    own: set[str] = set()
    read: set[str] = set()
    for line in lines:
        if _is_loop(line):
            own |= line.binds
        read |= line.reads - own
        own |= line.binds
    return read


def _is_exact(value: object) -> bool:
    """Whether ``value`` is a number or a tensor of whole numbers: the same in any precision."""
    return type(value) in (int, float) or is_whole(value)


def _same(first: Any, other: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(first, other)
    return type(first) is type(other) and bool(first == other)
