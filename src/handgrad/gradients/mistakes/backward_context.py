"""What a wrong answer may have been made from in one pass: forward tensors and upstream gradients."""

import ast
import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of

__all__ = ["MOST_ELEMENTS", "BackwardContext", "broadcast_dims", "sizes_of", "stretches", "with_last_dims"]

_T = TypeVar("_T")

MOST_ELEMENTS = 1 << 20
"""Elements of the largest forward tensor that is tried as an explanation."""
_MOST_OF_PART = 1 << 16
"""The same for a part of a line: there are many, and they are kept for the class."""


@dataclass(frozen=True)
class BackwardContext:
    """One pass: the forward pass, and the upstream gradients of every cell.

    The ``namespace`` has every name of the locked cells, ``loss`` among them, whose graph must still be there. Of each
    of the named ``tensors``, in forward order, ``gradients`` has the one in place after its own cell, and ``consumers``
    the tensors (or the loss) computed directly from it. ``lines`` are those that assign the names, if known.
    """

    namespace: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    consumers: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, str] = field(default_factory=dict)
    _known: dict[tuple[Hashable, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    def recalled(self, compute: Callable[[], _T], *question: Hashable) -> _T:
        """What ``compute`` gives, which depends on this pass and the ``question`` only; computed once.

        A class asks the same questions for each wrong answer: half of the time of a diagnosis went into vector-Jacobian
        products that were known from another submission.
        """
        if question not in self._known:
            self._known[question] = compute()
        return cast("_T", self._known[question])

    @cached_property
    def forward(self) -> dict[str, torch.Tensor]:
        """The floating-point tensors of the forward pass, in double precision; the loss is not among them."""
        return {
            name: value.detach().double()
            for name, value in self.namespace.items()
            if isinstance(value, torch.Tensor)
            and value.is_floating_point()
            and name != LOSS
            and value.numel() <= MOST_ELEMENTS
        }

    def words_of(self, names: Iterable[str]) -> set[str]:
        """The words in the lines that assign the ``names``."""
        return set(re.findall(r"\w+", " ".join(self.lines.get(name, "") for name in names)))

    @cached_property
    def expressions(self) -> dict[str, torch.Tensor]:
        """What a formula may use besides the names of the forward pass, float64, by its text.

        Parts of a line that are plain arithmetic on tensors, less than the line and more than a name; the products of
        two tensors of a line; and the rows of a table at any index. Calls are left out: they may draw random numbers.
        """
        found: dict[str, torch.Tensor] = {}
        for line in dict.fromkeys(self.lines.values()):
            try:
                statements = ast.parse(line).body
            except SyntaxError:
                # the header of a block
                continue
            whole = [statement.value for statement in statements if isinstance(statement, ast.Assign)]
            nodes = [node for value in whole for node in ast.walk(value) if node is not value]
            names = dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name) and node.id in self.forward)
            for node in nodes:
                if isinstance(node, ast.BinOp) and (value := self._evaluated(node)) is not None:
                    found[ast.unparse(node)] = value
            small = [name for name in names if self.forward[name].numel() <= _MOST_OF_PART]
            for first, second in itertools.combinations(small, 2):
                if self.forward[first].shape == self.forward[second].shape:
                    found[f"{first} * {second}"] = self.forward[first] * self.forward[second]
        tables = [name for name, tensor in self.tensors.items() if tensor.is_leaf and name in self.forward]
        for table, (name, index) in itertools.product(tables, self.indices.items()):
            rows = self.forward[table]
            # the training data may be an index too
            if not rows.ndim or not 0 < index.numel() * rows[:1].numel() <= _MOST_OF_PART:
                continue
            if int(index.min()) >= 0 and int(index.max()) < len(rows):
                found[f"{table}[{name}]"] = rows[index]
        return found

    def _evaluated(self, expression: ast.expr) -> torch.Tensor | None:
        """The value of an expression of the forward pass; None if it is more than plain arithmetic, or no tensor."""
        plain = (ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.expr_context)
        nodes = list(ast.walk(expression))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        if not all(isinstance(node, plain) for node in nodes) or not names <= self.namespace.keys():
            return None
        powers = [node for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)]
        if any(isinstance(power.right, ast.BinOp) for power in powers):
            # a power of a power of whole numbers may never end
            return None
        values = {name: self.forward.get(name, self.namespace[name]) for name in names}
        if not all(isinstance(value, torch.Tensor | int | float) for value in values.values()):
            return None
        try:
            value = eval(compile(ast.Expression(expression), "<part>", "eval"), {"__builtins__": {}}, values)
        except (RuntimeError, TypeError, ArithmeticError):
            # names may have been assigned again since
            return None
        usable = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() <= _MOST_OF_PART
        return value.detach().double() if usable and bool(value.isfinite().all()) else None

    @cached_property
    def sizes(self) -> dict[int, list[str]]:
        """The sizes above 1 of the named tensors, each with the names that it has in the notebook."""
        names: dict[int, list[str]] = {
            size: [] for tensor in self.tensors.values() for size in sizes_of(tensor) if size > 1
        }
        for name, value in self.namespace.items():
            if type(value) is int and value in names and not name.startswith("_"):
                names[value].append(name)
        return names

    @cached_property
    def indices(self) -> dict[str, torch.Tensor]:
        """The int64 tensors, which may be indices."""
        return {
            name: value
            for name, value in self.namespace.items()
            if isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.ndim
        }

    def gradient_of(self, name: str) -> torch.Tensor:
        """The gradient in place for ``name``, in double precision; that of the loss is 1."""
        return torch.ones((), dtype=torch.float64) if name == LOSS else self.gradients[name].double()

    def branch(self, name: str, consumer: str) -> torch.Tensor:
        """The contribution to ``name``'s gradient through ``consumer``, float64."""
        return self.recalled(lambda: self.vjp(name, consumer, self.gradient_of(consumer)), "branch", name, consumer)

    def other_branches(self, name: str, *consumers: str) -> torch.Tensor:
        """The sum of the contributions to ``name``'s gradient through all other consumers, float64."""

        def added() -> torch.Tensor:
            others = [self.branch(name, other) for other in self.consumers[name] if other not in consumers]
            return torch.stack(others).sum(0) if others else torch.zeros_like(self.tensors[name]).double()

        return self.recalled(added, "other branches", name, *consumers)

    def slopes(self, name: str, consumer: str) -> torch.Tensor:
        """What comes back to ``name`` of an upstream gradient of ones in ``consumer``, float64."""
        ones = torch.ones((), dtype=torch.float64)
        return self.recalled(lambda: self.vjp(name, consumer, ones), "slopes", name, consumer)

    def vjp(self, name: str, consumer: str, gradient: torch.Tensor) -> torch.Tensor:
        """The vector-Jacobian product of ``gradient`` from ``consumer`` directly into ``name``, float64."""
        arrived = self._arriving(consumer, gradient, {}, name)
        return arrived[name].double() if name in arrived else torch.zeros_like(self.tensors[name]).double()

    def is_elementwise(self, name: str, consumer: str) -> bool:
        """Whether the step multiplies the consumer's gradient by its slopes, entry by entry."""

        def found() -> bool:
            branch, entries = self.branch(name, consumer), self.gradient_of(consumer) * self.slopes(name, consumer)
            return scale_of(branch - entries) <= RELATIVE_TOLERANCE * scale_of(branch)

        same = consumer in self.gradients and self.gradients[consumer].shape == self.tensors[name].shape
        return same and self.recalled(found, "elementwise", name, consumer)

    def sent(self, name: str, consumer: str, what: str, value: torch.Tensor) -> torch.Tensor:
        """What comes back to ``name`` of the ``value`` put on ``consumer``, float64; ``what`` is the value's name."""
        if self.is_elementwise(name, consumer):
            return value.double() * self.slopes(name, consumer)
        known, back = self.recalled(lambda: (value, self.vjp(name, consumer, value)), "sent", name, consumer, what)
        # a tensor of the forward pass may have the name of a gradient
        return back if torch.equal(known, value) else self.vjp(name, consumer, value)

    def unnamed_paths(self, name: str, consumer: str) -> dict[str, torch.Tensor]:
        """The contributions to a branch through each unnamed tensor between ``name`` and ``consumer``.

        A tensor that carries all of the branch, or nothing, is left out. Of several with the same contribution, the
        first is kept.
        """
        return self.recalled(lambda: self._paths(name, consumer), "unnamed paths", name, consumer)

    def _paths(self, name: str, consumer: str) -> dict[str, torch.Tensor]:
        whole = self.branch(name, consumer)
        paths: dict[str, torch.Tensor] = {}
        for between, value in self._between.items():
            arrived = self._arriving(consumer, self.gradient_of(consumer), {between: value})
            if between in arrived and name in arrived:
                share = whole - arrived[name].double()
                least = RELATIVE_TOLERANCE * scale_of(whole)
                known = (torch.zeros_like(whole), whole, *paths.values())
                if all(scale_of(share - other) > least for other in known):
                    paths[between] = share
        return paths

    def _arriving(
        self, consumer: str, gradient: torch.Tensor, unnamed: dict[str, torch.Tensor], only: str | None = None
    ) -> dict[str, torch.Tensor]:
        """What arrives of a ``gradient`` put on ``consumer`` if all other named tensors and ``unnamed`` are cut."""
        tensor = self.namespace[LOSS] if consumer == LOSS else self.tensors[consumer]
        others = {name: value for name, value in self.tensors.items() if name != consumer} | unnamed
        return autograd_graph.arriving(tensor, gradient.to(tensor.dtype).expand_as(tensor), others, only)

    @cached_property
    def _between(self) -> dict[str, torch.Tensor]:
        """The unnamed tensors of the graph without the loss, in the order in which they were made."""
        named = {id(tensor) for tensor in (*self.tensors.values(), self.namespace[LOSS])}
        return {
            name: value
            for name, value in self.namespace.items()
            if isinstance(value, torch.Tensor) and value.grad_fn is not None and id(value) not in named
        }

    def parts(self, name: str, consumer: str) -> torch.Tensor:
        """The contribution of each entry of ``consumer`` to the branch through it, before anything is summed.

        ``name`` must have been broadcast to the shape of ``consumer``, which is the shape of the result.
        """
        return self.recalled(lambda: self._parts(name, consumer), "parts", name, consumer)

    def _parts(self, name: str, consumer: str) -> torch.Tensor:
        shape = tuple(self.tensors[consumer].shape)
        gradient = self.gradient_of(consumer)
        dims = broadcast_dims(tuple(self.tensors[name].shape), shape)
        parts = torch.zeros(shape, dtype=torch.float64)
        # one position along the broadcast dimensions at a time
        positions: list[Any] = [range(size) if dim in dims else [slice(None)] for dim, size in enumerate(shape)]
        for position in itertools.product(*positions):
            mask = torch.zeros(shape, dtype=torch.bool)
            mask[position] = True
            parts += mask * self.vjp(name, consumer, gradient * mask)
        return parts


def sizes_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The sizes of a tensor, and the number of its rows, which are what several dimensions count together."""
    return (*tensor.shape, tensor.shape[:-1].numel())


def broadcast_dims(shape: tuple[int, ...], wide: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions of ``wide`` along which a tensor of ``shape`` is broadcast to it; none if it cannot be."""
    padded = (1,) * (len(wide) - len(shape)) + shape
    if len(shape) > len(wide) or any(size not in (1, target) for size, target in zip(padded, wide, strict=True)):
        return ()
    return tuple(dim for dim, (size, target) in enumerate(zip(padded, wide, strict=True)) if size != target)


def stretches(shape: tuple[int, ...], wide: tuple[int, ...]) -> bool:
    """Whether a tensor of ``shape`` has the sizes of ``wide``, or can be broadcast to them."""
    return shape == wide or bool(broadcast_dims(shape, wide))


def with_last_dims(tensor: torch.Tensor, ndim: int) -> torch.Tensor:
    """A tensor with sizes of 1 for the last of ``ndim`` dimensions, which a sum along them has dropped."""
    return tensor[(..., *[None] * (ndim - tensor.ndim))]
