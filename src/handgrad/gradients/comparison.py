"""Compare an answer with its reference: shape, then values, in that order; broadcasting never decides."""

import math

import torch

from handgrad.report.records import Comparison

__all__ = ["RELATIVE_TOLERANCE", "ROUNDING", "compare", "identical", "is_rounded", "scale_of"]

RELATIVE_TOLERANCE = 1e-4
"""Largest difference allowed, as a share of the reference's scale.

Right answers in float32 stay within 2e-6, and the smallest real mistake (1/n for 1/(n-1)) is 3.4e-3 away.
"""

ROUNDING = 5e-6
"""Right answers stay within this share of the scale; what is further off was not rounded alone."""


def scale_of(reference: torch.Tensor) -> float:
    """The largest absolute value of ``reference``, the yardstick of its comparisons; 0.0 for an empty tensor."""
    return float(reference.abs().max()) if reference.numel() else 0.0


def is_rounded(comparison: Comparison) -> bool:
    """Whether what differs is rounding alone."""
    return (comparison.relative or 0.0) <= ROUNDING


def identical(one: torch.Tensor, other: object) -> bool:
    """Whether ``other`` is a tensor of the same shape, dtype and values; NaN is the same as NaN here."""
    return (
        isinstance(other, torch.Tensor)
        and one.shape == other.shape
        and one.dtype == other.dtype
        and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    )


def compare(
    answer: torch.Tensor,
    reference: torch.Tensor,
    scale: float | None = None,
    tolerance: float = RELATIVE_TOLERANCE,
) -> Comparison:
    """Facts about ``answer`` against ``reference``.

    Parameters
    ----------
    answer
        A dense tensor of any shape and any dtype.
    reference
        The right gradient, floating point.
    scale
        Yardstick of the allowance; the reference's largest absolute value unless told (a gradient that is zero by
        construction is measured by the scale of its step gradient).
    tolerance
        Allowance as a share of ``scale``.
    """
    if scale is None:
        scale = scale_of(reference)
    shape, expected = tuple(answer.shape), tuple(reference.shape)
    if answer.dtype.is_complex:
        return Comparison(shape, expected, False, False, None, None)
    same_shape = shape == expected
    laid_over = answer if same_shape else _laid_over(answer, reference)
    if laid_over is None:
        return Comparison(shape, expected, False, False, None, None, _is_finite(answer))
    exact = same_shape and torch.equal(answer.to(reference.dtype), reference)
    if exact and answer.dtype == reference.dtype and math.isfinite(scale):
        return Comparison(shape, expected, True, True, 0.0, 0.0 if scale else None, True)
    # in double precision: a float64 answer keeps its digits, and the subtraction adds no rounding of its own
    maxdiff = scale_of(laid_over.double() - reference)
    # the reference is finite, so the difference says it too, in a fraction of the time
    finite = math.isfinite(maxdiff) or _is_finite(answer)
    close = finite and maxdiff <= tolerance * scale
    if not same_shape:
        return Comparison(shape, expected, False, False, None, None, finite, reshaped=close)
    return Comparison(shape, expected, finite and exact, close, maxdiff, maxdiff / scale if scale else None, finite)


def _is_finite(answer: torch.Tensor) -> bool:
    return bool(torch.isfinite(answer).all())


def _laid_over(answer: torch.Tensor, reference: torch.Tensor) -> torch.Tensor | None:
    """The values of ``answer`` in the reference's shape, where only sizes of one stand between the two."""
    if [size for size in answer.shape if size != 1] == [size for size in reference.shape if size != 1]:
        return answer.reshape(reference.shape)
    try:
        return answer.expand(reference.shape)
    except RuntimeError:
        return None
