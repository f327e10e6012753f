"""The branches of every gradient: how large each one is, and upstream gradients that make them equally large.

A mistake in one branch can only be seen if that branch is a visible part of the sum. With the true upstream gradients
it may be as small as rounding: in a recurrent network the first time steps are. So the step pass scales its random
upstream gradients, one factor for each consumer, such that the branches of every tensor are of one size.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch

from handgrad.gradients.autograd_graph import LOSS, arriving
from handgrad.gradients.comparison import scale_of

__all__ = ["VISIBLE", "Branches", "all_branches"]

VISIBLE = 0.1
"""A branch is seen if its largest entry is at least this share of the largest branch's."""
_LARGEST = 60.0
"""Largest absolute logarithm of a scale: float32 holds e**88."""
_ITERATIONS = 30
_CLOSE = 0.05
"""A residual below this one, in logarithms, is good enough."""
_RIDGE = 1e-4
_ASIDE = 1e-6
"""Weight of the tensors that a solution may neglect."""
_LIVE = 1e-3
"""An entry of a branch is live if it is at least this share of the largest entry."""
FLAT = 1e-2
"""A local derivative between single numbers below this one is flat."""
_FEW = 8
"""Along a dimension of at most this size, each slice counts."""

Feature = tuple[str, str, str]
"""Something that a forward pass may or may not reach: a tensor, its consumer, and what is live between them."""


@dataclass(frozen=True)
class Branches:
    """The branches of one forward pass under noise of unit variance."""

    noise: Mapping[str, torch.Tensor]
    """For each named tensor random numbers of its shape and dtype: zero where the true gradient is zero, unless all of
    it is zero by construction."""
    sizes: Mapping[tuple[str, str], float]
    """For a tensor X and a consumer Y of it, the largest absolute entry of the branch of X through Y, if the gradient
    of Y is ``noise[Y]`` (1 for the loss)."""
    features: frozenset[Feature]
    """The sides of the kinks, and the slices, that something comes back to. A mistake on one that is missing here
    cannot be seen with these numbers."""
    flat: int = 0
    """How many local derivatives between single numbers are less than :data:`FLAT`. A saturated tanh leaves few digits
    of its slope in float32, and a single number has no larger entry beside it."""

    @classmethod
    def of(
        cls,
        loss: torch.Tensor,
        tensors: Mapping[str, torch.Tensor],
        true: Mapping[str, torch.Tensor],
        zero: Collection[str],
        generator: torch.Generator,
    ) -> Self:
        """Measure every branch, with one backward pass for each tensor.

        The graph of the scalar ``loss`` must not have been freed, and has all of ``tensors`` in it; ``true`` has their
        true gradients, those of the tensors ``zero`` are zero by construction.
        """
        noise: dict[str, torch.Tensor] = {}
        sizes: dict[tuple[str, str], float] = {}
        features: set[Feature] = set()
        flat = 0
        for name, tensor in tensors.items():
            values = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            noise[name] = values if name in zero else values * (true[name] != 0)
        for name, consumer, branch in all_branches(loss, tensors, {**noise, LOSS: torch.ones_like(loss)}):
            if (size := scale_of(branch)) > 0 and math.isfinite(size):
                sizes[name, consumer] = size
                found = _features(tensors[name].detach(), branch, noise.get(consumer))
                features.update((name, consumer, feature) for feature in found)
                upstream = noise.get(consumer)
                if upstream is not None and branch.numel() == upstream.numel() == 1:
                    flat += size < FLAT * scale_of(upstream)
        return cls(noise, sizes, frozenset(features), flat)

    def redrawn(self, generator: torch.Generator) -> Self:
        """The same branches under other noise: zero in the same entries, and a single number not near zero."""
        noise = {}
        for name, old in self.noise.items():
            new = torch.randn(old.shape, generator=generator, dtype=old.dtype)
            noise[name] = old * (0.5 + new.abs()) * new.sign() if old.numel() == 1 else new * (old != 0)
        return replace(self, noise=noise)

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """For each tensor, the consumers whose branch is not zero."""
        names: dict[str, list[str]] = {name: [] for name in self.noise}
        for name, consumer in self.sizes:
            names[name].append(consumer)
        return {name: tuple(consuming) for name, consuming in names.items()}

    def scales(self, of_interest: Collection[str], generator: torch.Generator) -> dict[str, float]:
        """A factor for the noise of each consumer that makes the branches of every tensor about equally large.

        With ``log s[Y] + log size[X, Y] = log m[X]`` for all branches and ``s[loss] = 1`` there are usually more
        equations than factors, so this is a least-squares solution. It is reweighted by the worst residual of each
        tensor: few tensors are missed by much rather than all of them by a little.

        The tensors ``of_interest`` count, the others hardly do. The factors of the ``generator`` are between 1/2 and 2:
        two branches of a scalar that are equally large might cancel.
        """
        if not self.sizes:
            return {}
        consumers = [name for name in self.noise if any(name == consumer for _, consumer in self.sizes)]
        summed = [name for name, consuming in self.consumers.items() if consuming]
        column = {name: number for number, name in enumerate(consumers)}
        level = {name: len(consumers) + number for number, name in enumerate(summed)}
        unknown = len(consumers) + len(summed)
        equations = torch.zeros(len(self.sizes), unknown, dtype=torch.float64)
        for row, (name, consumer) in enumerate(self.sizes):
            if consumer != LOSS:
                equations[row, column[consumer]] = 1
            equations[row, level[name]] = -1
        right = -torch.tensor(list(self.sizes.values()), dtype=torch.float64).log()
        tensor_of = torch.tensor([level[name] - len(consumers) for name, _ in self.sizes])
        weight = torch.tensor([1.0 if name in of_interest else _ASIDE for name, _ in self.sizes], dtype=torch.float64)
        ridge = _RIDGE * torch.eye(unknown, dtype=torch.float64)
        found, reweighted = torch.zeros(unknown, dtype=torch.float64), torch.ones_like(weight)
        for _ in range(_ITERATIONS):
            root = (weight * reweighted).sqrt()[:, None]
            system = torch.cat((equations * root, ridge))
            target = torch.cat((right * root[:, 0], torch.zeros(unknown, dtype=torch.float64)))
            found = torch.linalg.lstsq(system, target[:, None], driver="gelsd").solution[:, 0]
            residuals = (equations @ found - right).abs()
            worst = torch.zeros(len(summed), dtype=torch.float64).scatter_reduce(0, tensor_of, residuals, "amax")
            if float(worst.max()) < _CLOSE:
                break
            reweighted = 1 / (worst[tensor_of] + _CLOSE)
        logarithms = found[: len(consumers)].clamp(-_LARGEST, _LARGEST)
        factors = 2 ** (2 * torch.rand(len(consumers), generator=generator, dtype=torch.float64) - 1)
        return dict(zip(consumers, (logarithms.exp() * factors).tolist(), strict=True))

    def unseen(self, scales: Mapping[str, float]) -> set[str]:
        """The tensors with a branch that is less than :data:`VISIBLE` of the largest, with these ``scales``."""
        sizes = {
            name: [self.sizes[name, consumer] * scales.get(consumer, 1.0) for consumer in consuming]
            for name, consuming in self.consumers.items()
            if consuming
        }
        return {name for name, branches in sizes.items() if min(branches) < VISIBLE * max(branches)}

    def upstream(self, scales: Mapping[str, float]) -> dict[str, torch.Tensor]:
        """The random upstream gradients with these ``scales``; a tensor without consumers keeps its noise."""
        return {name: noise * scales.get(name, 1.0) for name, noise in self.noise.items()}


def all_branches(
    loss: torch.Tensor, tensors: Mapping[str, torch.Tensor], upstream: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Each tensor, consumer and branch if the consumer's gradient is that of ``upstream``, which has the loss's too.

    This takes one backward pass for each consumer.
    """
    for consumer, value in [*tensors.items(), (LOSS, loss)]:
        others = {name: tensor for name, tensor in tensors.items() if name != consumer}
        for name, branch in arriving(value, upstream[consumer], others).items():
            yield name, consumer, branch


def _features(values: torch.Tensor, branch: torch.Tensor, upstream: torch.Tensor | None) -> Iterator[str]:
    """What is live between a tensor with these ``values`` and its consumer, whose gradient is ``upstream``."""
    live = branch.abs() > _LIVE * branch.abs().max()
    # the other side of a hinge, wherever its kink is; a single number is zero there, and shows nothing
    if branch.numel() > 1 and bool((branch == 0).any()):
        yield "zero somewhere"
    for side, mask in (("positive", values > 0), ("negative", values < 0)):
        if bool((live & mask).any()):
            yield side
        if upstream is not None and upstream.shape == values.shape and bool(((upstream != 0) & mask).any()):
            yield f"asked where {side}"
    for dimension, size in enumerate(live.shape):
        if size <= _FEW:
            slices = live.movedim(dimension, 0).reshape(size, -1).any(1)
            yield from (f"{dimension}:{index}" for index in range(size) if bool(slices[index]))
