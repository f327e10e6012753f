"""The entry of the catalogue for a slope that is taken at the values of a wrong variable."""

from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.mistake import mistake
from handgrad.gradients.mistakes.wording import TemplateValues, lines, part
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["slope_elsewhere"]

NEAR = 1 / 20
"""Between two known points, a slope is known if they are no further apart than this share of all of them."""
AGREED = 0.02
"""Largest difference of two slopes that are the same, as a share of the largest: they are read between points."""
FEWEST = 16
"""Points at which a slope must be known."""


@mistake("values")
def slope_elsewhere(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} has the slope of the step at {used}, where it belongs at {tensor}.

    Try: Look at {lines}: the slope is taken at the point through which the forward pass went.
    """
    for consumer in view.consumers if view.shape == view.expected_shape and not view.is_scaled else ():
        if consumer == LOSS or view.context.tensors[consumer].shape != view.expected_shape:
            continue
        points = view.context.forward[view.name].flatten()
        slopes = view.context.vjp(view.name, consumer, torch.ones((), dtype=torch.float64)).flatten()
        sent = view.context.gradient_of(consumer).flatten()
        taken = (view.value - view.other_branches(consumer)).flatten() / sent
        # a small upstream gradient leaves no more than rounding of the slope
        readable = sent.abs() > 1e-2 * scale_of(sent)
        if not _is_function(points, slopes):
            continue
        for used, value in view.other_variables():
            if used != view.name and tuple(value.shape) == view.expected_shape:
                known, there = _between(points, slopes, value.flatten())
                if _agree(taken[readable & known], there[readable & known], scale_of(slopes)):
                    yield {"part": part(view, consumer), "used": used, "lines": lines(view, (consumer,))}


def _is_function(points: torch.Tensor, slopes: torch.Tensor) -> bool:
    """Whether each slope is what its neighbours make of it: the step works entry by entry, and smoothly."""
    order = points.argsort()
    points, slopes = points[order], slopes[order]
    if len(points) <= 2 * FEWEST:
        return False
    (known, there), inner = _between(points[::2], slopes[::2], points[1::2]), slopes[1::2]
    return _agree(inner[known], there[known], scale_of(slopes))


def _between(points: torch.Tensor, slopes: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """At which of the places ``at`` a slope is known, and the slopes there, on straight lines from point to point."""
    order = points.argsort()
    points, slopes = points[order], slopes[order]
    right = torch.searchsorted(points, at.contiguous()).clamp(1, len(points) - 1)
    width = points[right] - points[right - 1]
    share = (at - points[right - 1]) / width
    inside = (share >= 0) & (share <= 1) & (width <= NEAR * (points[-1] - points[0]))
    return inside, slopes[right - 1] + share * (slopes[right] - slopes[right - 1])


def _agree(ones: torch.Tensor, others: torch.Tensor, scale: float) -> bool:
    """Whether two rows of slopes are the same, and long and varied enough to tell."""
    return (
        len(ones) >= FEWEST
        and scale_of(ones - others) <= AGREED * scale
        and float(others.max() - others.min()) > 10 * AGREED * scale
    )
