"""Questions to the autograd graph about named tensors: consumers, and the gradients of single steps.

No code is parsed. A hook on every named tensor cuts the graph there, so that only the direct path from X to Y is left.
The student's ``cmp`` and the grader use the same functions.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard, TypeVar

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.report.records import distances

__all__ = [
    "LOSS",
    "ZERO",
    "StepGradients",
    "above",
    "arriving",
    "consumers",
    "distances",
    "forward_tensors",
    "forwards",
    "gradients_given",
    "gradients_kept",
    "is_scalar_loss",
    "is_zero",
    "random_step",
    "reaches",
    "unfilled",
]

_T = TypeVar("_T")
LOSS = "loss"
"""Name of the scalar at the end of every forward pass."""
ZERO = 1e-5
"""A true gradient below this share of the step gradient is zero by construction; what it holds is rounding."""


@dataclass(frozen=True)
class StepGradients:
    """Gradients of single steps: the gradient of each tensor under random upstream gradients."""

    upstream: Mapping[str, torch.Tensor]
    """For each named tensor, the random gradient that replaces the true one; shape and dtype of the tensor."""
    gradients: Mapping[str, torch.Tensor]
    """For each named tensor X, the sum over the consumers Y of the vector-Jacobian product of ``upstream[Y]`` from Y
    into X. If the loss is a consumer, its upstream gradient is 1."""


def is_zero(true: torch.Tensor, step: torch.Tensor) -> bool:
    """Whether ``true`` is zero by construction, measured by the scale of the step gradient ``step``."""
    return scale_of(true) < ZERO * scale_of(step)


def is_scalar_loss(value: object) -> TypeGuard[torch.Tensor]:
    """Whether ``value`` is a tensor of one element that has a graph to go back along."""
    return isinstance(value, torch.Tensor) and value.numel() == 1 and value.grad_fn is not None


def random_step(
    loss: torch.Tensor,
    tensors: Mapping[str, torch.Tensor],
    true: Mapping[str, torch.Tensor],
    generator: torch.Generator,
) -> StepGradients:
    """The step gradients of ``tensors`` under random upstream gradients, in one backward pass.

    A hook on each tensor records the upstream gradient (the sum over its consumers) and passes a random one on: at the
    scale of the true gradient, and zero where that is zero. If the true gradient is zero by construction, it is random
    everywhere, at the scale of the step gradient.

    The graph of the scalar ``loss`` must not have been freed (``retain_graph=True``), and has all of ``tensors`` in it;
    ``true`` has their true gradients.
    """
    upstream: dict[str, torch.Tensor] = {}

    def redirect(name: str, arriving: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(arriving.shape, generator=generator, dtype=arriving.dtype)
        if is_zero(true[name], arriving):
            upstream[name] = noise * _root_mean_square(arriving)
        else:
            upstream[name] = noise * _root_mean_square(true[name]) * (true[name] != 0)
        return upstream[name]

    return StepGradients(upstream, _backward(loss, tensors, redirect))


def gradients_given(
    loss: torch.Tensor, tensors: Mapping[str, torch.Tensor], upstream: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Each tensor's gradient if the gradients of its consumers were those of ``upstream``.

    A consumer that is not in ``upstream`` passes its own result on.
    """
    return _backward(loss, tensors, upstream.get)


def forward_tensors(namespace: Mapping[str, Any], loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The named tensors of a notebook that have a ``.grad``, each once, by its first name.

    Names that begin with an underscore are IPython's: ``_`` is the last output.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, value in namespace.items():
        if (
            isinstance(value, torch.Tensor)
            and not name.startswith("_")
            and not any(value is known for known in (loss, *tensors.values()))
            and (value.is_leaf or value.retains_grad)
            and value.grad is not None
        ):
            tensors[name] = value
    return tensors


def unfilled(namespace: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The named tensors of a notebook that retain their gradient and have none."""
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(value, torch.Tensor) and not name.startswith("_") and value.retains_grad and value.grad is None
    }


def above(name: _T, consumers: Mapping[_T, Iterable[_T]]) -> set[_T]:
    """Everything that is computed from what is called ``name``, directly or not, the loss included."""
    names: set[_T] = set()
    waiting = [name]
    while waiting:
        new = set(consumers.get(waiting.pop(), ())) - names
        names |= new
        waiting += new
    return names


def consumers(loss: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, ...]]:
    """For each named tensor, the named tensors (or the loss) computed directly from it, in the order of ``tensors``.

    Y is a consumer of X if a random gradient put on Y reaches X with every other named tensor cut. This takes one
    backward pass for each tensor.
    """
    consuming: dict[str, list[str]] = {name: [] for name in tensors}
    for name, tensor in [*tensors.items(), (LOSS, loss)]:
        others = {other: value for other, value in tensors.items() if other != name}
        for other in _reached(tensor, others):
            consuming[other].append(name)
    return {name: tuple(names) for name, names in consuming.items()}


def reaches(consumer: torch.Tensor, name: str, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether ``consumer``, one of ``tensors``, is computed directly from the tensor called ``name``."""
    return name in _reached(consumer, {other: value for other, value in tensors.items() if value is not consumer})


def _reached(tensor: torch.Tensor, others: Mapping[str, torch.Tensor]) -> set[str]:
    """The names among ``others`` that a gradient put on ``tensor`` reaches with all of them cut."""
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0), dtype=tensor.dtype)
    return {name for name, gradient in arriving(tensor, noise, others).items() if bool((gradient != 0).any())}


def arriving(
    tensor: torch.Tensor, gradient: torch.Tensor, others: Mapping[str, torch.Tensor], only: str | None = None
) -> dict[str, torch.Tensor]:
    """The vector-Jacobian products of ``gradient`` from ``tensor`` directly into each of ``others``, or ``only`` one.

    ``gradient`` has the shape and dtype of ``tensor``. All the others are cut: nothing passes through one of them to
    another. The results have the shapes of their tensors; those that nothing reaches are left out.
    """
    if tensor.grad_fn is None:
        return {}
    # a notebook may have switched autograd off since its forward pass
    with torch.enable_grad(), gradients_kept([tensor]):
        # a sum: torch imports sympy, which takes 0.8 s, the first time that it is given grad_outputs
        begin = (tensor * gradient).sum()
        return _backward(begin, others, lambda _, arriving: torch.zeros_like(arriving), only)


def forwards(
    source: torch.Tensor, result: torch.Tensor, gradient: torch.Tensor, tensors: Iterable[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """What comes back of ``gradient`` from ``result`` to ``source``, and the Jacobian times it, not transposed.

    Both have the same shape. Nothing is cut, and the ``.grad`` of all ``tensors`` is kept. None if ``result`` does not
    depend on ``source``, or by an operation that has no second derivative.
    """
    with torch.enable_grad(), gradients_kept(tensors):
        # what comes back is linear in what has arrived, and its derivative is the transpose
        arrived = gradient.clone().requires_grad_()
        (back,) = torch.autograd.grad((result * arrived).sum(), source, create_graph=True, allow_unused=True)
        if back is None:
            return None
        try:
            (pushed,) = torch.autograd.grad((back * gradient).sum(), arrived)
        except RuntimeError:
            return None
    return back.detach(), pushed.detach()


def _backward(
    begin: torch.Tensor,
    tensors: Mapping[str, torch.Tensor],
    pass_on: Callable[[str, torch.Tensor], torch.Tensor | None],
    only: str | None = None,
) -> dict[str, torch.Tensor]:
    """What arrives at each of ``tensors`` in a backward pass from ``begin``; ``only`` as in :func:`arriving`.

    A tensor passes on what ``pass_on`` makes of its name and of what arrived.
    """
    arrived: dict[str, torch.Tensor] = {}

    def hook(name: str, gradient: torch.Tensor | None) -> torch.Tensor | None:
        # an operation with several outputs calls the hooks of all of them; None: nothing has arrived at this one
        if gradient is None:
            return None
        arrived[name] = gradient.detach().clone()
        return pass_on(name, gradient)

    wanted = [tensors[only]] if only else list(tensors.values())
    handles = [tensor.register_hook(partial(hook, name)) for name, tensor in tensors.items()]  # type: ignore[no-untyped-call]
    try:
        with gradients_kept(tensors.values()):
            torch.autograd.grad(begin, wanted, retain_graph=True, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return arrived


@contextlib.contextmanager
def gradients_kept(tensors: Iterable[torch.Tensor]) -> Iterator[None]:
    """Keep every ``.grad`` as it is: a tensor that retains its gradient changes it on every backward call."""
    kept = [(tensor, tensor.grad) for tensor in tensors if tensor.is_leaf or tensor.retains_grad]
    for tensor, _ in kept:
        tensor.grad = None
    try:
        yield
    finally:
        for tensor, gradient in kept:
            tensor.grad = gradient


def _root_mean_square(tensor: torch.Tensor) -> torch.Tensor:
    """Root mean square of the elements that are not zero; 0 if all are."""
    values = tensor[tensor != 0]
    return values.square().mean().sqrt() if values.numel() else torch.zeros((), dtype=tensor.dtype)
