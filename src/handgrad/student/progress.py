"""How far a student is: every gradient of the forward graph as it stands in the notebook's namespace."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import compare, scale_of

__all__ = ["GradientStatus", "NoForwardPass", "Progress", "Status", "answer_in", "is_unwritten", "progress_of"]

Status = Literal["right", "wrong", "carried", "not yet"]


class NoForwardPass(RuntimeError):
    """The namespace holds no forward graph that could be asked."""


@dataclass(frozen=True)
class GradientStatus:
    """One tensor of the forward pass and its gradient.

    Attributes
    ----------
    tensor
        The tensor's name; its gradient is called ``d`` and this.
    shape
        Its sizes.
    state
        ``carried`` is right for the upstream values that it was given, some of which are wrong.
    consumers
        The named tensors, or the loss, that are computed directly from it.
    leaf
        Whether it is a parameter or an input, and not computed.
    blind
        Whether this loss shows nothing of the gradient: it is zero whatever the data.
    """

    tensor: str
    shape: tuple[int, ...]
    state: Status
    consumers: tuple[str, ...]
    leaf: bool
    blind: bool = False

    @property
    def gradient(self) -> str:
        """The student's variable."""
        return f"d{self.tensor}"


@dataclass(frozen=True)
class Progress:
    """All gradients, in the order of the forward pass, and the one to do next (None where all are right)."""

    statuses: tuple[GradientStatus, ...]
    next: str | None

    def count(self, state: Status) -> int:
        """How many gradients are in ``state``."""
        return sum(one.state == state for one in self.statuses)


def progress_of(namespace: Mapping[str, Any]) -> Progress:
    """How every gradient stands.

    Parameters
    ----------
    namespace
        The notebook's variables: ``loss``, the forward tensors whose ``.grad`` autograd has filled, and the student's
        gradients. It stays as it is.

    Raises
    ------
    NoGraph
        There is no loss, no forward tensor with a gradient, or their graph is gone.
    """
    loss = namespace.get(LOSS)
    if not isinstance(loss, torch.Tensor) or loss.grad_fn is None or loss.numel() != 1:
        raise NoForwardPass("there is no loss yet")
    tensors = autograd_graph.forward_tensors(namespace, loss)
    if not tensors:
        raise NoForwardPass("no tensor of the forward pass has a gradient")
    true = {name: value.grad.clone() for name, value in tensors.items() if value.grad is not None}
    try:
        step = autograd_graph.random_step(loss, tensors, true, torch.Generator().manual_seed(0))
        tensors = {name: value for name, value in tensors.items() if name in step.gradients}
        consumers = autograd_graph.consumers(loss, tensors, LOSS)
        answers = {
            name: answer for name in tensors if (answer := answer_in(namespace, name, tensors[name])) is not None
        }
        given = autograd_graph.gradients_given(loss, tensors, answers)
    except RuntimeError as error:
        raise NoForwardPass("the graph of the loss is gone") from error
    zero = {name for name in tensors if autograd_graph.is_zero(true[name], step.gradients[name])}

    def state_of(name: str) -> Status:
        if is_unwritten(namespace.get(f"d{name}")):
            return "not yet"
        if name not in answers:
            return "wrong"
        # where the true gradient is rounding, it is measured by what would be there otherwise
        least = scale_of(step.gradients[name]) if name in zero else 0.0
        if _close(answers[name], true[name], least):
            return "right"
        known = all(one in answers or one == LOSS for one in consumers[name])
        return "carried" if known and _close(answers[name], given[name], least) else "wrong"

    order = _forward_order(consumers)
    standings = tuple(
        GradientStatus(
            name, tuple(tensors[name].shape), state_of(name), consumers[name], tensors[name].is_leaf, name in zero
        )
        for name in order
    )
    return Progress(standings, _next(standings, namespace))


def is_unwritten(value: Any) -> bool:
    """Whether a student's variable is as the released notebook has it."""
    return value is None or value is ...


def answer_in(namespace: Mapping[str, Any], name: str, tensor: torch.Tensor) -> torch.Tensor | None:
    """The student's gradient of ``tensor`` where it could be one: of its shape, real and finite."""
    value = namespace.get(f"d{name}")
    if not isinstance(value, torch.Tensor) or value.shape != tensor.shape or value.dtype.is_complex:
        return None
    value = value.detach().to(tensor.dtype)
    return value if bool(torch.isfinite(value).all()) else None


def _close(answer: torch.Tensor, reference: torch.Tensor, least: float) -> bool:
    return compare(answer, reference, max(least, scale_of(reference))).approximate


def _forward_order(consumers: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The names from the inputs to the loss, by the longest way to it."""
    distances = autograd_graph.distances(consumers)
    return sorted(consumers, key=lambda name: -distances[name])


def _next(standings: tuple[GradientStatus, ...], namespace: Mapping[str, Any]) -> str | None:
    """The gradient to do next: the first whose consumers' gradients are all right, in the order of the cells run."""
    right = {one.tensor for one in standings if one.state == "right"} | {LOSS}
    ready = [
        one for one in reversed(standings) if one.state in ("wrong", "not yet") and right.issuperset(one.consumers)
    ]
    # a stub that has been run has put its name into the namespace, even if it holds None
    cells = {name: place for place, name in enumerate(namespace)}
    ready.sort(key=lambda one: (cells.get(one.gradient, len(cells)), one.leaf))
    return ready[0].tensor if ready else None
