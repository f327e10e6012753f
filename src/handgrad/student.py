"""What a student's notebook imports: ``cmp``. Needs torch and the standard library, nothing else."""

import inspect
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch

from handgrad import graph
from handgrad.compare import compare
from handgrad.report import Comparison

__all__ = ["CheckFailed", "Recorder", "cmp", "recording", "silence"]


class CheckFailed(AssertionError):
    """A gradient is not right yet; the message says what is known about it."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks this method first: one sentence instead of a wall of frames
        return [f"{type(self).__name__}: {self}"]


@dataclass
class Recorder:
    """Takes the place of ``cmp`` in the grader: keeps what a check compares, prints nothing, raises nothing."""

    calls: deque[tuple[str, Any]] = field(default_factory=deque)


_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the calls of ``cmp`` inside the block."""
    recorder = Recorder()
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)


def silence() -> None:
    """Let ``cmp`` do nothing in this process from here on: in the sandbox there is nothing to compare with."""
    _recorder.set(Recorder(deque(maxlen=0)))


def cmp(name: str, answer: Any, tensor: torch.Tensor) -> None:
    """Compare your gradient with the one that autograd found.

    Prints the name, whether the two are the same bit for bit (``exact``), whether they agree up to rounding
    (``approximate``: this is what counts), and the largest difference.

    Parameters
    ----------
    name
        Name of the forward tensor, as you want it printed (``'probs'``).
    answer
        Your gradient (``dprobs``): a tensor of the shape of ``tensor``.
    tensor
        The forward tensor (``probs``), whose ``.grad`` autograd has filled.

    Raises
    ------
    CheckFailed
        The gradient is missing, not a tensor, of another shape, not finite or wrong: one sentence says which.
    """
    recorder = _recorder.get()
    if recorder is not None:
        recorder.calls.append((name, answer))
        return
    if answer is None or answer is ...:
        raise CheckFailed(f"d{name} is not written yet: put your formula into the cell above and run it.")
    if not isinstance(answer, torch.Tensor):
        raise CheckFailed(f"d{name} is not a tensor but a {type(answer).__name__}: a gradient is a tensor like {name}.")
    frame = inspect.currentframe()
    caller = frame.f_back.f_globals if frame and frame.f_back else {}
    reference = _gradient(name, tensor)
    view = graph.blind_view(name, tensor, caller)
    comparison = compare(answer.detach(), reference, view.scale)
    print(line(name, comparison))
    if (complaint := _complaint(name, comparison)) is not None:
        raise CheckFailed(complaint)
    if view.note:
        print(f"  {view.note}")


def line(name: str, comparison: Comparison) -> str:
    """The lecture's line about one comparison."""
    return (
        f"{name:15s} | exact: {comparison.exact!s:5s} | approximate: {comparison.approximate!s:5s} "
        f"| maxdiff: {'-' if comparison.maxdiff is None else comparison.maxdiff}"
    )


def _gradient(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not isinstance(tensor, torch.Tensor):
        raise CheckFailed(f"{name} is not a tensor any more: run the forward pass again, from the top.")
    gradient = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
    if gradient is None:
        raise CheckFailed(
            f"autograd has no gradient for {name} to compare with: run the cells from the top again, "
            "loss.backward(retain_graph=True) included."
        )
    return gradient


def _complaint(name: str, comparison: Comparison) -> str | None:
    """Why the comparison does not pass, in one sentence; None when it does."""
    if comparison.approximate:
        return None
    if comparison.shape != comparison.expected_shape:
        values = "its values are right, but " if comparison.reshaped else ""
        return (
            f"d{name}: {values}its shape is {comparison.shape} where {name} has {comparison.expected_shape}. "
            "A gradient always has the shape of its tensor."
        )
    if not comparison.finite:
        return f"d{name} holds NaN or infinity: look for a division by zero, a log of zero, or an overflow."
    if comparison.maxdiff is None:
        return f"d{name} does not hold real numbers."
    return f"d{name} is not right yet: its largest difference from autograd's gradient is {comparison.maxdiff:.3g}."
