"""What a wrong answer may have been made from in one pass: the forward pass and the upstream gradients.

Values only: no student code runs here. Needs torch only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of

__all__ = ["MOST_ELEMENTS", "BackwardContext", "broadcast_dims"]


MOST_ELEMENTS = 1 << 20
"""Elements of the largest tensor from which an answer is tried to be made."""


@dataclass(frozen=True)
class BackwardContext:
    """One pass: the forward pass, and the gradients that stood above every cell.

    Attributes
    ----------
    namespace
        Every name of the locked cells, ``loss`` among them; its graph must still be there.
    tensors
        The named tensors, in forward order.
    gradients
        For each of them, the gradient that was in place once its own cell had run.
    consumers
        For each of them, the tensors (or the loss) computed directly from it.
    lines
        For each name of the forward pass, the line that assigns it, where that is known.
    """

    namespace: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    consumers: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, str] = field(default_factory=dict)
    _branches: dict[tuple[str, str], torch.Tensor] = field(default_factory=dict, repr=False, compare=False)
    _unnamed_paths: dict[tuple[str, str], dict[str, torch.Tensor]] = field(
        default_factory=dict, repr=False, compare=False
    )

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

    @cached_property
    def sizes(self) -> dict[int, str]:
        """The sizes of the named tensors, beyond one, each with the shortest name that the notebook has for it."""
        sizes = {size: str(size) for tensor in self.tensors.values() for size in tensor.shape if size > 1}
        for name, value in sorted(self.namespace.items(), key=lambda item: (-len(item[0]), item[0])):
            if type(value) is int and value in sizes and not name.startswith("_"):
                sizes[value] = name
        return sizes

    @cached_property
    def indices(self) -> dict[str, torch.Tensor]:
        """The tensors of whole numbers, which may index another."""
        return {
            name: value
            for name, value in self.namespace.items()
            if isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.ndim
        }

    def gradient_of(self, name: str) -> torch.Tensor:
        """The gradient in place for ``name``, in double precision; that of the loss is 1."""
        return torch.ones((), dtype=torch.float64) if name == LOSS else self.gradients[name].double()

    def branch(self, name: str, consumer: str) -> torch.Tensor:
        """The share of ``name``'s gradient that comes back through ``consumer``; kept once it is known."""
        if (name, consumer) not in self._branches:
            self._branches[name, consumer] = self.vjp(name, consumer, self.gradient_of(consumer))
        return self._branches[name, consumer]

    def vjp(self, name: str, consumer: str, gradient: torch.Tensor) -> torch.Tensor:
        """What ``gradient``, put on ``consumer``, sends back to ``name`` by the direct way; in double precision."""
        tensor = self.namespace[LOSS] if consumer == LOSS else self.tensors[consumer]
        others = {other: value for other, value in self.tensors.items() if other != consumer}
        arrived = autograd_graph.arriving(tensor, gradient.to(tensor.dtype).expand_as(tensor), others, name)
        return arrived[name].double() if name in arrived else torch.zeros_like(self.tensors[name]).double()

    def unnamed_paths(self, name: str, consumer: str) -> dict[str, torch.Tensor]:
        """The shares of a branch that come back by way of tensors in between which are not named ones.

        A tensor through which all of the branch comes back, or nothing, is no way of its own. Of several with the same
        share the first one is named.
        """
        if (name, consumer) not in self._unnamed_paths:
            tensor = self.namespace[LOSS] if consumer == LOSS else self.tensors[consumer]
            gradient = self.gradient_of(consumer).to(tensor.dtype).expand_as(tensor)
            others = {other: value for other, value in self.tensors.items() if other != consumer}
            whole = self.branch(name, consumer)
            found: dict[str, torch.Tensor] = {}
            for way, value in self._between.items():
                arrived = autograd_graph.arriving(tensor, gradient, {**others, way: value})
                if way in arrived and name in arrived:
                    share = whole - arrived[name].double()
                    least = RELATIVE_TOLERANCE * scale_of(whole)
                    known = (torch.zeros_like(whole), whole, *found.values())
                    if all(scale_of(share - other) > least for other in known):
                        found[way] = share
            self._unnamed_paths[name, consumer] = found
        return self._unnamed_paths[name, consumer]

    @cached_property
    def _between(self) -> dict[str, torch.Tensor]:
        """The tensors of the graph that are neither named ones nor the loss, in the order in which they were made."""
        named = (*self.tensors.values(), self.namespace[LOSS])
        return {
            name: value
            for name, value in self.namespace.items()
            if isinstance(value, torch.Tensor) and value.grad_fn is not None and not any(value is one for one in named)
        }

    def parts(self, name: str, consumer: str) -> torch.Tensor:
        """The branch through ``consumer`` before anything is summed: which entry of ``consumer`` sends how much.

        ``name`` must have been stretched to the shape of ``consumer``, which is the shape of the result.
        """
        shape = self.tensors[consumer].shape
        gradient = self.gradient_of(consumer)
        dims = broadcast_dims(tuple(self.tensors[name].shape), tuple(shape))
        parts = torch.zeros(shape, dtype=torch.float64)
        count = 1
        for dim in dims:
            count *= shape[dim]
        for number in range(count):
            # one place along the stretched dimensions at a time
            mask = torch.zeros(shape, dtype=torch.bool)
            mask[self._place(number, dims, tuple(shape))] = True
            parts += mask * self.vjp(name, consumer, gradient * mask)
        return parts

    @staticmethod
    def _place(number: int, dims: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        place: list[Any] = [slice(None)] * len(shape)
        for dim in reversed(dims):
            number, place[dim] = divmod(number, shape[dim])
        return tuple(place)


def broadcast_dims(shape: tuple[int, ...], wide: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions of ``wide`` along which a tensor of ``shape`` is stretched to it; none where it cannot be."""
    padded = (1,) * (len(wide) - len(shape)) + shape
    if len(shape) > len(wide) or any(one not in (1, other) for one, other in zip(padded, wide, strict=True)):
        return ()
    return tuple(dim for dim, (one, other) in enumerate(zip(padded, wide, strict=True)) if one != other)
