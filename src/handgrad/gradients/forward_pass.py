"""The forward pass of a notebook, read once: its tensors, true gradients, consumers, and what its loss cannot show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS, forward_tensors, is_zero, random_step, reaches
from handgrad.gradients.comparison import compare, scale_of

__all__ = ["BlindView", "Forward", "blind_view"]


@dataclass(frozen=True)
class BlindView:
    """How the student's ``cmp`` has to look at one gradient: the scale of its allowance, and what to say about it."""

    scale: float | None = None
    note: str = ""


def blind_view(name: str, tensor: torch.Tensor, namespace: Mapping[str, Any]) -> BlindView:
    """What the loss of a notebook can tell about the gradient of ``tensor``.

    Parameters
    ----------
    name, tensor
        The forward tensor and its name.
    namespace
        The notebook's variables: ``loss``, and the forward tensors whose ``.grad`` autograd has filled. Where they are
        not there, or the graph is gone, nothing is known and the plain comparison stands.
    """
    loss = namespace.get("loss")
    if not isinstance(loss, torch.Tensor) or loss.grad_fn is None or loss.numel() != 1:
        return BlindView()
    others = forward_tensors(namespace, loss)
    tensors = {name: tensor, **{other: value for other, value in others.items() if value is not tensor}}
    true = {other: value.grad.clone() for other, value in tensors.items() if value.grad is not None}
    try:
        step = random_step(loss, tensors, true, torch.Generator().manual_seed(0))
        zero = {other for other, gradient in step.gradients.items() if is_zero(true[other], gradient)}
        if name in zero:
            note = (
                f"the true gradient of {name} is zero on this loss, so many wrong formulas look right here: "
                "`handgrad check` can tell"
            )
            return BlindView(scale_of(step.gradients[name]), note)
        for other in zero:
            if reaches(tensors[other], name, tensors):
                note = (
                    f"what reaches {name} through {other} is zero on this loss, so this cell cannot tell whether you "
                    "have that branch: `handgrad check` can"
                )
                return BlindView(None, note)
    except (RuntimeError, KeyError):
        # the graph was freed or rebuilt in part: nothing can be asked, and the plain comparison is what there is
        return BlindView()
    return BlindView()


@dataclass(frozen=True)
class Forward:
    """The forward pass of a notebook.

    Attributes
    ----------
    loss, tensors
        The scalar at its end, and the named tensors; they must still have their graph.
    true
        Autograd's gradients.
    consumers
        For each tensor, what is computed directly from it.
    scales
        For each tensor whose gradient is zero on this loss, the yardstick of its comparisons.
    """

    loss: torch.Tensor
    tensors: Mapping[str, torch.Tensor]
    true: Mapping[str, torch.Tensor]
    consumers: Mapping[str, tuple[str, ...]]
    scales: Mapping[str, float]

    @classmethod
    def of(cls, namespace: Mapping[str, Any]) -> Self | None:
        """The forward pass in ``namespace``; None where there is no loss with a graph."""
        loss = namespace.get(LOSS)
        if not isinstance(loss, torch.Tensor) or loss.grad_fn is None or loss.numel() != 1:
            return None
        tensors = autograd_graph.forward_tensors(namespace, loss)
        true = {name: tensor.grad.clone() for name, tensor in tensors.items() if tensor.grad is not None}
        step = autograd_graph.random_step(loss, tensors, true, torch.Generator().manual_seed(0)).gradients
        tensors = {name: tensor for name, tensor in tensors.items() if name in step}
        zero = {name for name, gradient in step.items() if autograd_graph.is_zero(true[name], gradient)}
        scales = {name: scale_of(step[name]) for name in zero}
        return cls(loss, tensors, true, autograd_graph.consumers(loss, tensors, LOSS), scales)

    def fits(self, name: str, answer: torch.Tensor, reference: torch.Tensor) -> bool:
        """Whether ``answer`` is ``reference``, a gradient of the tensor called ``name``."""
        return compare(answer, reference, max(scale_of(reference), self.scales.get(name, 0.0))).approximate

    def expected(self, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """For each tensor its gradient as ``own`` makes it, and where that holds none, autograd's."""
        return autograd_graph.gradients_given(self.loss, self.tensors, {**self.true, **own})

    def is_sound(self, name: str, answer: torch.Tensor, expected: torch.Tensor) -> bool:
        """Whether ``answer`` is right, or right for what it was made from."""
        return self.fits(name, answer, self.true[name]) or self.fits(name, answer, expected)

    def below(self, name: str) -> list[str]:
        """Every tensor that the one called ``name`` is computed from."""
        return [other for other in self.consumers if name in autograd_graph.above(other, self.consumers)]
