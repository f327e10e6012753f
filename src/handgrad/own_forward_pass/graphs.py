"""The graphs of a notebook's losses: the part of the tape that ends in each, with the true gradients in it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.own_forward_pass.names import is_loss_name
from handgrad.own_forward_pass.replay import NOT_RUN, Replay
from handgrad.own_forward_pass.tape import NOW, State, Tape

__all__ = ["Graphs", "LossGraph"]

NOISE = 1e-12
"""A gradient below this share of the graph's largest is rounding: it is zero by construction."""
ROUNDING = 20
"""A right answer may be off by as many times the difference between float32 and float64."""
LARGE, MANY_TIMES = 2_000_000, 20
"""Elements of a graph that is left out, if it is as many times as large as another one: a whole data set's loss."""
SMALLEST = 3
"""Calls of the smallest graph: ``loss / n`` alone is no forward pass."""


@dataclass(eq=False)
class LossGraph:
    """The graph that ends in the tensor ``root``, as it is read ``before`` a position on the tape.

    ``is_called`` tells whether the notebook calls ``backward`` on it. ``calls`` make it; ``tensors`` are all
    floating-point tensors in it, by identity, in the order of the tape.
    """

    tape: Tape
    root: torch.Tensor
    before: int
    is_called: bool
    calls: list[int]
    tensors: dict[int, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index in self.calls:
            call = self.tape.calls[index]
            for tensor in (*call.inputs, *call.outputs):
                if tensor.is_floating_point() and id(tensor) not in self.tape.tensor_of_gradient:
                    self.tensors.setdefault(id(tensor), tensor)

    @cached_property
    def size(self) -> int:
        """Elements of all its tensors."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @cached_property
    def replay(self) -> Replay:
        """The graph in float64, with autograd."""
        return Replay(self.tape, self.calls, grad=True)

    @cached_property
    def true(self) -> dict[int, torch.Tensor]:
        """The gradient of every tensor that the loss depends on, float64; empty if the graph cannot be replayed."""
        try:
            return self._gradients(self.replay)
        except NOT_RUN:
            return {}

    @cached_property
    def values(self) -> dict[int, torch.Tensor]:
        """The values of the same tensors, float64."""
        return {key: self.replay.value(self.tensors[key], self.before).detach() for key in self.true}

    @cached_property
    def rounding(self) -> dict[int, float]:
        """How far the gradients of float32 are from those of float64, as the largest difference."""
        try:
            single = self._gradients(Replay(self.tape, self.calls, grad=True, double=False))
        except NOT_RUN:
            return {}
        return {key: scale_of(value.double() - self.true[key]) for key, value in single.items() if key in self.true}

    @cached_property
    def zero(self) -> set[int]:
        """The tensors whose gradient is zero by construction, up to rounding."""
        least = NOISE * max(self.scale, 1e-3)
        return {
            key
            for key, value in self.true.items()
            if not value.numel() or scale_of(value) < least * value.numel() ** 0.5
        }

    @cached_property
    def scale(self) -> float:
        """The largest absolute value of any gradient."""
        return max(map(scale_of, self.true.values()), default=0.0)

    def allowance(self, tensor: torch.Tensor) -> float:
        """The absolute difference that rounding explains."""
        return ROUNDING * self.rounding.get(id(tensor), 0.0)

    def _gradients(self, replay: Replay) -> dict[int, torch.Tensor]:
        found = {key: replay.value(tensor, self.before) for key, tensor in self.tensors.items()}
        found = {key: value for key, value in found.items() if value.requires_grad}
        root = replay.value(self.root, self.before)
        gradients = torch.autograd.grad(root.sum(), list(found.values()), allow_unused=True, retain_graph=True)
        return {
            key: (torch.zeros_like(value) if gradient is None else gradient).detach()
            for (key, value), gradient in zip(found.items(), gradients, strict=True)
        }


class Graphs:
    """All graphs of a tape, as far as it has been recorded."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        found = list(self._found())
        smallest = min((graph.size for graph in found), default=0)
        self.all = [graph for graph in found if graph.size <= max(LARGE, MANY_TIMES * smallest)]
        self.tensors: dict[int, torch.Tensor] = {}
        for graph in self.all:
            for key, tensor in graph.tensors.items():
                self.tensors.setdefault(key, tensor)

    def of(self, tensor: torch.Tensor, before: int | None = None, need: Collection[int] = ()) -> Iterator[LossGraph]:
        """The graphs that hold ``tensor`` and the tensors ``need``.

        The ones on which ``backward`` was called, and the last one before the position, come first.
        """
        now = NOW if before is None else before
        holding = [graph for graph in self.all if id(tensor) in graph.tensors and set(need) <= graph.tensors.keys()]

        def order(graph: LossGraph) -> tuple[bool, bool, int]:
            is_later = graph.before > now
            latest_first = before is not None and not is_later
            return is_later, not graph.is_called, -graph.before if latest_first else graph.before

        yield from (graph for graph in sorted(holding, key=order) if id(tensor) in graph.true)

    def first(self, tensor: torch.Tensor, before: int | None = None, need: Collection[int] = ()) -> LossGraph | None:
        """The first of these graphs."""
        return next(self.of(tensor, before, need), None)

    def _found(self) -> Iterator[LossGraph]:
        seen: set[int] = set()
        for root, before, is_called in self._roots():
            if id(root) in seen or root.numel() != 1 or not root.is_floating_point():
                continue
            if self.tape.producer(root) is None:
                continue
            seen.add(id(root))
            calls = self.tape.slice(root, before, self._stop(root))
            if len(calls) >= SMALLEST:
                yield LossGraph(self.tape, root, before, is_called, calls)

    def _roots(self) -> Iterator[tuple[torch.Tensor, int, bool]]:
        for gradient in self.tape.gradients:
            yield gradient.root, gradient.position, True
        for bound in self.tape.bindings:
            if is_loss_name(bound.name) and isinstance(bound.value, torch.Tensor):
                yield bound.value, bound.position, False

    def _stop(self, root: torch.Tensor) -> Callable[[torch.Tensor, int, State], bool]:
        """Where the graph of ``root`` ends: at parameters, and at what autograd would not follow."""
        follows = root.requires_grad

        def stop(tensor: torch.Tensor, before: int, _: State) -> bool:
            if tensor.requires_grad and tensor.is_leaf:
                return True
            if follows and not tensor.requires_grad and self.tape.producer(tensor) is not None:
                return True
            return self.tape.is_updated(tensor, before)

        return stop
