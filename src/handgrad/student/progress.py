"""How far a student is: the status of every gradient of the forward pass in the notebook's variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.forward_pass import ForwardPass
from handgrad.report.records import backward_order

__all__ = ["GradientStatus", "Progress", "Status", "answer_in", "answers_in", "is_unwritten", "progress_of"]

Status = Literal["right", "wrong", "carried", "old", "not yet"]


@dataclass(frozen=True)
class GradientStatus:
    """One tensor of the forward pass, and the status of its gradient.

    ``carried`` is right for its upstream gradients, some of which are wrong; ``old`` is not right, and older than the
    forward pass. ``consumers`` are the named tensors (or
    the loss) computed directly from it, a ``leaf`` is a parameter or an input, and of a ``blind`` one the true gradient
    is zero on this loss, which cannot show a mistake.
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
    """All gradients in the order of the forward pass, and the tensor to do next (None if all are right).

    Backwards, it is the order of the notebook, as far as its cells have been run.
    """

    statuses: tuple[GradientStatus, ...]
    next: str | None

    def count(self, state: Status) -> int:
        """How many gradients are in ``state``."""
        return sum(status.state == state for status in self.statuses)


def progress_of(namespace: Mapping[str, Any], is_old: Callable[[str], bool] = lambda name: False) -> Progress:
    """The status of every gradient; ``is_old`` tells of a tensor whether its gradient is older than the forward pass.

    ``namespace`` has ``loss``, the forward tensors whose ``.grad`` autograd has filled, and the student's gradients. It
    stays as it is.

    Raises
    ------
    NoForwardPass
        There is no loss, no forward tensor with a gradient, or their graph is gone.
    """
    forward = ForwardPass.of(namespace)
    tensors, consumers = forward.tensors, forward.consumers
    answers = answers_in(namespace, tensors)
    expected = forward.expected(answers)

    def state_of(name: str) -> Status:
        if is_unwritten(namespace.get(f"d{name}")):
            return "not yet"
        if name not in answers:
            return "wrong"
        if forward.fits(name, answers[name], forward.true[name]):
            return "right"
        if is_old(name):
            return "old"
        upstream_known = all(consumer in answers or consumer == LOSS for consumer in consumers[name])
        return "carried" if upstream_known and forward.fits(name, answers[name], expected[name]) else "wrong"

    # a stub that has been run has put its name into the namespace, even if it holds None
    written = [name[1:] for name in namespace if name.startswith("d")]
    statuses = tuple(
        GradientStatus(
            tensor=name,
            shape=tuple(tensors[name].shape),
            state=state_of(name),
            consumers=consumers[name],
            leaf=tensors[name].is_leaf,
            blind=name in forward.scales,
        )
        for name in reversed(backward_order(consumers, written))
    )
    return Progress(statuses, _next(statuses, namespace))


def is_unwritten(value: Any) -> bool:
    """Whether a student's variable is as the released notebook has it."""
    return value is None or value is ...


def answers_in(namespace: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The student's gradients of ``tensors``, by the tensors' names, without those that cannot be gradients."""
    answers = {name: answer_in(namespace, name, tensor) for name, tensor in tensors.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def answer_in(namespace: Mapping[str, Any], name: str, tensor: torch.Tensor) -> torch.Tensor | None:
    """The student's gradient of ``tensor``, in its dtype; None unless it is dense, real, finite and of its shape."""
    answer = namespace.get(f"d{name}")
    if (
        not isinstance(answer, torch.Tensor)
        or answer.shape != tensor.shape
        or answer.dtype.is_complex
        or (answer.layout, answer.device) != (tensor.layout, tensor.device)
    ):
        return None
    answer = answer.detach().to(tensor.dtype)
    return answer if bool(torch.isfinite(answer).all()) else None


def _next(statuses: tuple[GradientStatus, ...], namespace: Mapping[str, Any]) -> str | None:
    """The tensor to do next: the first, in the order of the cells run, whose consumers' gradients are all right."""
    right = {status.tensor for status in statuses if status.state == "right"} | {LOSS}
    ready = [
        status
        for status in reversed(statuses)
        if status.state in ("wrong", "old", "not yet") and right.issuperset(status.consumers)
    ]
    # a stub that has been run has put its name into the namespace, even if it holds None
    cells = {name: position for position, name in enumerate(namespace)}
    ready.sort(key=lambda status: (cells.get(status.gradient, len(cells)), status.leaf))
    return ready[0].tensor if ready else None
