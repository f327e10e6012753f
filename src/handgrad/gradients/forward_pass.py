"""The forward pass of a notebook, read once from its variables for ``cmp``, its diagnosis and ``progress``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS, is_scalar_loss
from handgrad.gradients.comparison import compare, scale_of

__all__ = ["ForwardPass", "NoForwardPass", "times_of"]

MOST_TIMES = 100
"""Largest number of backward passes that is looked for."""


class NoForwardPass(RuntimeError):
    """The variables hold no forward pass that autograd can work on; the message gives the reason."""


def times_of(gradient: torch.Tensor, once: torch.Tensor) -> int:
    """How many backward passes have added up to ``gradient``, if one gives ``once``; 1 if it is no multiple."""
    if gradient.shape != once.shape or torch.equal(gradient, once) or not once.numel():
        return 1
    largest = int(once.abs().argmax())
    ratio = float(gradient.flatten()[largest] / once.flatten()[largest])
    times = round(ratio) if 1.5 < ratio < MOST_TIMES else 1
    return times if compare(gradient, times * once).approximate else 1


@dataclass(frozen=True)
class ForwardPass:
    """The forward pass of a notebook: its scalar ``loss`` and the named ``tensors`` that this is computed from.

    ``true`` are their gradients, as one backward pass fills them; ``step`` their step gradients (see
    :func:`.autograd_graph.random_step`). If several backward passes have added to the ``.grad`` of a tensor, ``times``
    says how many.
    """

    loss: torch.Tensor
    tensors: Mapping[str, torch.Tensor]
    true: Mapping[str, torch.Tensor]
    step: Mapping[str, torch.Tensor]
    times: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, namespace: Mapping[str, Any], named: Mapping[str, torch.Tensor] | None = None) -> Self:
        """The forward pass in ``namespace``, which stays as it is.

        It has ``loss``, and the forward tensors whose ``.grad`` autograd has filled. Those of ``named`` have these
        names whatever ``namespace`` calls them.

        Raises
        ------
        NoForwardPass
            There is no scalar loss with a graph, no tensor of the graph has a gradient, or the graph was freed.
        """
        loss = namespace.get(LOSS)
        if not is_scalar_loss(loss):
            raise NoForwardPass("there is no loss yet")
        tensors = autograd_graph.forward_tensors(namespace, loss)
        for name, tensor in (named or {}).items():
            # in its own place: the order of the names is the order in which consumers are listed
            tensors = {
                name if value is tensor else other: value
                for other, value in tensors.items()
                if other != name or value is tensor
            }
            tensors.setdefault(name, tensor)
        # every backward pass changes a tensor that retains its gradient, but for those it knows
        tensors |= autograd_graph.unfilled(namespace)
        true = {name: tensor.grad.clone() for name, tensor in tensors.items() if tensor.grad is not None}
        if not true:
            raise NoForwardPass("no tensor of the forward pass has a gradient")
        try:
            once = autograd_graph.gradients_given(loss, tensors, {})
            true = {**{name: once[name] for name in once.keys() - true}, **true}
            times = {name: number for name in once.keys() & true if (number := times_of(true[name], once[name])) > 1}
            true |= {name: once[name] for name in times}
            step = autograd_graph.random_step(loss, tensors, true, torch.Generator().manual_seed(0)).gradients
        except RuntimeError as error:
            changed = "inplace" in str(error)
            reason = "a tensor of the forward pass was changed in place" if changed else "the graph of the loss is gone"
            raise NoForwardPass(reason) from error
        return cls(loss, {name: tensor for name, tensor in tensors.items() if name in step}, true, step, times)

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """For each tensor, the tensors (or the loss) computed directly from it; one backward pass for each tensor."""
        return autograd_graph.consumers(self.loss, self.tensors)

    @cached_property
    def scales(self) -> Mapping[str, float]:
        """For each tensor whose true gradient is zero on this loss, the scale of its step gradient instead."""
        return {
            name: scale_of(gradient)
            for name, gradient in self.step.items()
            if autograd_graph.is_zero(self.true[name], gradient)
        }

    def zero_consumer(self, name: str) -> str | None:
        """A consumer of ``name`` whose true gradient is zero on this loss; None if there is none."""
        # for these few tensors only: a check that passes must not wait for all consumers
        return next(
            (zero for zero in self.scales if autograd_graph.reaches(self.tensors[zero], name, self.tensors)), None
        )

    def fits(self, name: str, answer: torch.Tensor, reference: torch.Tensor) -> bool:
        """Whether ``answer`` equals ``reference``, a gradient of the tensor ``name``, up to rounding."""
        return compare(answer, reference, max(scale_of(reference), self.scales.get(name, 0.0))).approximate

    def expected(self, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """For each tensor, its gradient if the upstream gradients are those of ``own`` (default: autograd's)."""
        return autograd_graph.gradients_given(self.loss, self.tensors, {**self.true, **own})

    def is_sound(self, name: str, answer: torch.Tensor, expected: torch.Tensor) -> bool:
        """Whether ``answer`` is right, or right for the upstream gradients that it was made from."""
        return self.fits(name, answer, self.true[name]) or self.fits(name, answer, expected)

    def below(self, name: str) -> list[str]:
        """Every tensor that the tensor ``name`` is computed from."""
        return [other for other in self.consumers if name in autograd_graph.above(other, self.consumers)]
