"""The known mistake of a local derivative that is taken at the values of a wrong variable."""

from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.mistake import mistake
from handgrad.gradients.mistakes.template_values import TemplateValues, lines, part
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["slope_elsewhere"]

NEAR = 1 / 20
"""Between two points the local derivative is interpolated if they are this share of the whole range apart or less."""
AGREED = 0.02
"""Largest difference of two equal local derivatives, as a share of the largest: they are interpolated."""
FEWEST = 16
"""Points at which the local derivative must be known."""


@mistake("values")
def slope_elsewhere(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} takes the local derivative at {used} instead of at {tensor}.

    Try: Look at {lines}: the local derivative is taken at the value that the forward pass has there.
    """
    for consumer in wrong.consumers if wrong.shape == wrong.expected_shape and not wrong.is_scaled else ():
        if consumer == LOSS or wrong.context.tensors[consumer].shape != wrong.expected_shape:
            continue
        points = wrong.context.forward[wrong.name].flatten()
        slopes = wrong.context.vjp(wrong.name, consumer, torch.ones((), dtype=torch.float64)).flatten()
        upstream = wrong.context.gradient_of(consumer).flatten()
        taken = (wrong.value - wrong.other_branches(consumer)).flatten() / upstream
        # a small upstream gradient leaves only rounding of the local derivative
        readable = upstream.abs() > 1e-2 * scale_of(upstream)
        if not _is_function(points, slopes):
            continue
        for used, value in wrong.other_variables():
            if used != wrong.name and tuple(value.shape) == wrong.expected_shape:
                known, interpolated = _interpolate(points, slopes, value.flatten())
                if _agree(taken[readable & known], interpolated[readable & known], scale_of(slopes)):
                    yield {"part": part(wrong, consumer), "used": used, "lines": lines(wrong, (consumer,))}


def _is_function(points: torch.Tensor, slopes: torch.Tensor) -> bool:
    """Whether every second slope is interpolated by its neighbours: the step is elementwise and smooth."""
    order = points.argsort()
    points, slopes = points[order], slopes[order]
    if len(points) <= 2 * FEWEST:
        return False
    (known, interpolated), inner = _interpolate(points[::2], slopes[::2], points[1::2]), slopes[1::2]
    return _agree(inner[known], interpolated[known], scale_of(slopes))


def _interpolate(points: torch.Tensor, slopes: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """At which of the values ``at`` a slope is known, and the slopes there, by linear interpolation."""
    order = points.argsort()
    points, slopes = points[order], slopes[order]
    right = torch.searchsorted(points, at.contiguous()).clamp(1, len(points) - 1)
    width = points[right] - points[right - 1]
    share = (at - points[right - 1]) / width
    inside = (share >= 0) & (share <= 1) & (width <= NEAR * (points[-1] - points[0]))
    return inside, slopes[right - 1] + share * (slopes[right] - slopes[right - 1])


def _agree(slopes: torch.Tensor, reference: torch.Tensor, scale: float) -> bool:
    """Whether two lists of slopes are the same, and long and varied enough to tell."""
    return (
        len(slopes) >= FEWEST
        and scale_of(slopes - reference) <= AGREED * scale
        and float(reference.max() - reference.min()) > 10 * AGREED * scale
    )
