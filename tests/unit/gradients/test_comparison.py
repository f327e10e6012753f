"""Comparisons: shape, then values; broadcasting never decides."""

import itertools
import random

import pytest
import torch

from handgrad.gradients.comparison import RELATIVE_TOLERANCE, compare, identical, scale_of
from helpers.inputs import named

GENERATOR = torch.Generator().manual_seed(11)
REFERENCE = torch.randn(32, 64, generator=GENERATOR)


def _biggest_difference(answer: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest absolute difference, by a loop over Python's own numbers."""
    pairs = zip(answer.flatten().tolist(), reference.flatten().tolist(), strict=True)
    return max((abs(value - expected) for value, expected in pairs), default=0.0)


def test_values() -> None:
    """Equal means within a ten-thousandth of the largest value, at any scale."""
    for share in [0.0, 1e-7, 1e-5, 0.99e-4, 1.01e-4, 1e-3, 1.0, -0.5]:
        for size in [1e-30, 1e-9, 1.0, 1e9]:
            with named(share, size):
                reference = REFERENCE.double() * size
                largest = max(abs(value) for value in reference.flatten().tolist())
                answer = reference.clone()
                answer[3, 5] += share * largest
                seen = compare(answer, reference)
                difference = _biggest_difference(answer, reference)
                assert seen.shape == seen.expected_shape == (32, 64)
                assert seen.maxdiff == difference
                assert seen.relative == difference / largest
                assert seen.approximate == (difference <= RELATIVE_TOLERANCE * largest)
                assert seen.exact == (share == 0)
                assert seen.finite
                assert not seen.reshaped


def test_scale_and_tolerance() -> None:
    """A scale or a tolerance of the caller's own takes the place of the reference's."""
    answer = REFERENCE + 0.5
    assert not compare(answer, REFERENCE).approximate
    assert compare(answer, REFERENCE, tolerance=1.0).approximate
    assert compare(answer, REFERENCE, scale=1e5).approximate
    assert compare(answer, REFERENCE, scale=1e5).relative == pytest.approx(0.5e-5, rel=1e-5)
    assert not compare(REFERENCE * (1 + 1e-6), REFERENCE, scale=1e-6).approximate


def test_scale_of() -> None:
    """The scale is the largest absolute value, and nothing has none."""
    assert scale_of(REFERENCE) == max(abs(value) for value in REFERENCE.flatten().tolist())
    assert scale_of(-REFERENCE) == scale_of(REFERENCE)
    assert scale_of(torch.empty(0, 3)) == 0.0


def test_zero_reference() -> None:
    """Zeros are right where the reference is zero, and the smallest number more is wrong."""
    zeros = torch.zeros(3, 4)
    assert compare(zeros, zeros).exact
    assert compare(-zeros, zeros).exact
    assert compare(zeros, zeros).relative is None
    assert not compare(zeros + 1e-30, zeros).approximate
    assert compare(zeros + 1e-30, zeros, scale=1.0).approximate


SHAPES = [(), (1,), (4,), (1, 4), (4, 1), (1, 1, 4), (3, 4), (4, 3), (1, 3, 4), (12,), (3, 1), (0,), (3, 0), (2, 3, 4)]


def test_no_shape_but_its_own() -> None:
    """Whatever broadcasting would make of it, an answer of another shape is never right."""
    for shape, expected in list(itertools.product(SHAPES, SHAPES)):
        with named(shape, expected):
            seen = compare(torch.ones(shape), torch.ones(expected))
            assert seen.exact == seen.approximate == (shape == expected)
            assert (seen.shape, seen.expected_shape) == (shape, expected)
            if shape != expected:
                assert (seen.maxdiff, seen.relative) == (None, None)
                squeezed = torch.ones(shape).squeeze().shape == torch.ones(expected).squeeze().shape
                try:
                    broadcast = torch.broadcast_shapes(shape, expected) == expected
                except RuntimeError:
                    broadcast = False
                assert seen.reshaped == (squeezed or broadcast)


def test_reshaped_needs_right_values() -> None:
    """Right values in another shape are told from wrong values in that shape."""
    for change, shape in [
        (lambda row: row.squeeze(0), (64,)),
        (lambda row: row.expand(32, 64), (32, 64)),
        (lambda row: row.unsqueeze(0), (1, 1, 64)),
        (lambda row: row.T, (64, 1)),
    ]:
        with named(change, shape):
            row = REFERENCE[:1]
            answer = change(row)  # type: ignore[operator]
            assert answer.shape == shape
            assert not compare(answer * 1.01, row).reshaped
            # a gradient with more elements than its tensor is not the same values in another shape
            assert compare(answer, row).reshaped == (answer.numel() == row.numel())
            assert compare(row, answer.contiguous()).reshaped


def test_not_finite() -> None:
    """NaN and infinity are never right, not even where the reference has them, and are said to be there."""
    for value in [float("nan"), float("inf"), float("-inf")]:
        for everywhere in [True, False]:
            with named(value, everywhere):
                answer = torch.full_like(REFERENCE, value) if everywhere else REFERENCE.clone()
                answer[0, 0] = value
                for reference in (REFERENCE, answer):
                    for shaped in (answer, answer.unsqueeze(0)):
                        seen = compare(shaped, reference)
                        assert not seen.finite
                        assert (seen.exact, seen.approximate, seen.reshaped) == (False, False, False)


def test_dtypes() -> None:
    """Values count, not the dtype in which they come."""
    for dtype in [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]:
        with named(dtype):
            reference = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
            assert compare(reference.to(dtype), reference).exact
            assert not compare((~reference.bool()).to(dtype), reference).approximate


def test_double_keeps_its_digits() -> None:
    """A float64 answer that rounds to the reference is exact, and its difference is not rounded away."""
    seen = compare(REFERENCE.double() * (1 + 1e-9), REFERENCE)
    assert seen.exact
    assert seen.maxdiff is not None
    assert 0 < seen.maxdiff < 1e-8


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex(dtype: torch.dtype) -> None:
    """A complex answer is wrong, also without an imaginary part."""
    seen = compare(REFERENCE.to(dtype), REFERENCE)
    assert (seen.exact, seen.approximate, seen.reshaped) == (False, False, False)
    assert seen.maxdiff is None


def test_layout_does_not_matter() -> None:
    """A transposed, expanded or sliced answer is compared by its values."""
    assert compare(REFERENCE.T.contiguous().T, REFERENCE).exact
    assert compare(torch.stack([REFERENCE, REFERENCE])[1], REFERENCE).exact
    row = REFERENCE[:1]
    assert compare(row.expand(5, 64), torch.cat([row] * 5)).exact


def test_inputs_are_left_alone() -> None:
    """Comparing changes neither side."""
    answer, reference = REFERENCE + 1, REFERENCE.clone()
    before = answer.clone(), reference.clone()
    compare(answer, reference)
    assert torch.equal(answer, before[0])
    assert torch.equal(reference, before[1])


def test_nearer_is_never_worse() -> None:
    """Of two answers the one that is nearer everywhere is right if the other is."""
    draw = random.Random(4)
    for _ in range(200):
        error = torch.randn(REFERENCE.shape, generator=GENERATOR) * 10 ** draw.uniform(-6, -2)
        far, near = compare(REFERENCE + error, REFERENCE), compare(REFERENCE + error * draw.random() * 0.9, REFERENCE)
        assert near.approximate >= far.approximate


def test_identical() -> None:
    """What two runs make is the same in shape, dtype and every value, NaN and infinity included."""
    for other, same in [
        (torch.tensor([1.0, float("nan"), -float("inf")]), True),
        (torch.tensor([1.0 + 1e-7, float("nan"), -float("inf")]), False),
        (torch.tensor([1.0, 2.0, -float("inf")]), False),
        (torch.tensor([[1.0, float("nan"), -float("inf")]]), False),
        (torch.tensor([1.0, float("nan"), -float("inf")], dtype=torch.float64), False),
        (None, False),
    ]:
        with named(other, same):
            assert identical(torch.tensor([1.0, float("nan"), -float("inf")]), other) is same
            assert identical(torch.tensor([True, False]), torch.tensor([True, False]))
            assert not identical(torch.tensor([True, False]), torch.tensor([True, True]))
            assert not identical(torch.tensor([1, 2]), torch.tensor([1, 3]))
