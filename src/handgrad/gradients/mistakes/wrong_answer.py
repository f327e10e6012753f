"""One wrong answer, and the questions that the catalogue asks about it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, ratio, reshaped, scale_of
from handgrad.gradients.mistakes.backward_context import MOST_ELEMENTS, BackwardContext, broadcast_dims, sizes_of

__all__ = ["WrongAnswer", "family"]

_Key = TypeVar("_Key")
_T = TypeVar("_T")
MOST_ROWS = 4096
"""Largest number of entries from which the numbers of a sum are found."""
MOST_COLUMNS = 64
"""Largest number of tensors whose sums are tried as an explanation."""
_INDEPENDENT = 1e-3
"""Tensors whose smallest singular value is this share of the largest are not told apart."""


@dataclass(frozen=True)
class WrongAnswer:
    """One answer in one pass: a gradient of the tensor ``name``, and what it may have been made from.

    The ``answer`` is of any shape and any dtype, the ``expected`` one is float64; the ``tolerance`` is a share of the
    largest absolute value. A ``blind`` answer looks right on the loss, which cannot show its mistake. The gradients of
    the ``zero`` tensors are zero by construction. An answer that ``skips`` may have been made from other gradients than
    those of its consumers. An explanation has to fit so many ``passes``.
    """

    context: BackwardContext
    name: str
    answer: torch.Tensor
    expected: torch.Tensor
    tolerance: float = RELATIVE_TOLERANCE
    blind: bool = False
    zero: frozenset[str] = frozenset()
    skips: bool = False
    passes: int = 1
    _known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def value(self) -> torch.Tensor:
        """The answer in float64; of a complex one only the shape, filled with NaN."""
        if self.answer.dtype.is_complex:
            return torch.full(self.answer.shape, float("nan"), dtype=torch.float64)
        return self.answer.detach().double()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the answer."""
        return tuple(self.answer.shape)

    @property
    def expected_shape(self) -> tuple[int, ...]:
        """Sizes of the tensor."""
        return tuple(self.expected.shape)

    @property
    def consumers(self) -> tuple[str, ...]:
        """The tensors (or the loss) computed directly from the tensor."""
        return self.context.consumers[self.name]

    @property
    def named_consumers(self) -> tuple[str, ...]:
        """The same without the loss."""
        return tuple(name for name in self.consumers if name != LOSS)

    @property
    def sources(self) -> list[str]:
        """The tensors that the tensor is computed from directly."""
        return [name for name, consumers in self.context.consumers.items() if self.name in consumers]

    def fits(self, candidate: torch.Tensor) -> bool:
        """Whether the answer has the shape and, up to the tolerance, the values of ``candidate``; zeros fit nothing."""
        return self.close(self.value, candidate) and bool(candidate.any())

    def close(self, value: torch.Tensor, candidate: torch.Tensor, tolerance: float | None = None) -> bool:
        """Whether ``value`` has the shape and, up to the tolerance, the values of ``candidate``."""
        allowance = (tolerance or self.tolerance) * scale_of(candidate)
        # an infinite candidate would allow any difference
        return value.shape == candidate.shape and scale_of(value - candidate) <= allowance < math.inf

    def broadcast_to_expected(self) -> "WrongAnswer | None":
        """The same answer in the shape of the tensor; None unless only a broadcast or sizes of 1 differ."""
        answer = None if self.shape == self.expected_shape else reshaped(self.answer, self.expected_shape)
        return None if answer is None else replace(self, answer=answer, _known={})

    def factor(self, candidate: torch.Tensor, rest: torch.Tensor | float = 0.0) -> float | None:
        """The number ``k`` with which the answer is ``rest + k * candidate``; None if there is none."""
        if tuple(candidate.shape) != self.shape or not bool(torch.isfinite(candidate).all()):
            return None
        number = ratio(self.value - rest, candidate)
        share = scale_of(number * candidate)
        # a share as small as the allowance would fit any number
        seen = share > 100 * self.tolerance * scale_of(self.value)
        return number if seen and self.fits(rest + number * candidate) else None

    def multiple(self, candidate: torch.Tensor, rest: torch.Tensor | float = 0.0) -> float | None:
        """Like :meth:`factor`, but None for a constant ``candidate``, which is a multiple of any constant."""
        if candidate.numel() == 1:
            number = self.factor(candidate, rest) if self.passes > 1 else None
            return number if number is not None and self._is_plain(number) else None
        spread = scale_of(candidate - candidate.flatten()[:1])
        varies = spread > 100 * self.tolerance * scale_of(candidate)
        return self.factor(candidate, rest) if varies else None

    @cached_property
    def coefficients(self) -> dict[str, float]:
        """The number by which each branch is multiplied in the answer, by consumer: 1 if it is right, 0 if missing.

        Empty if the answer is no such sum, or the numbers are not unique. A branch that is too small to tell has 1.
        """
        branches = {name: self.context.branch(self.name, name) for name in self.consumers}
        least = 100 * self.tolerance * scale_of(self.value)
        large = {name: branch for name, branch in branches.items() if scale_of(branch) > least}
        small = [branch for name, branch in branches.items() if name not in large]
        rest = torch.stack(small).sum(0) if small else torch.zeros_like(self.expected)
        found = self.combination(large, rest) or self._simple_coefficients(branches, list(large))
        return {**dict.fromkeys(branches, 1.0), **{name: found.get(name, 0.0) for name in large}} if found else {}

    def combination(self, columns: Mapping[_Key, torch.Tensor], rest: torch.Tensor | float = 0.0) -> dict[_Key, float]:
        """The numbers other than 0 with which the answer is ``rest`` plus the sum of the ``columns`` times them.

        Empty if there are none, or if they are not unique.
        """
        size = self.expected.numel()
        if self.shape != self.expected_shape or not columns or len(columns) > MOST_COLUMNS or size > MOST_ELEMENTS:
            return {}
        # of a large tensor every so many entries are enough to find the numbers; then they have to fit all
        step = -(-size // MOST_ROWS)
        matrix = torch.stack([column.flatten()[::step] for column in columns.values()], 1)
        scales = matrix.abs().amax(0)
        target = (self.value - rest).reshape(-1, 1)[::step]
        is_finite = bool(matrix.isfinite().all()) and bool(target.isfinite().all())
        if not is_finite or not bool(scales.all()) or 2 * len(columns) > len(matrix):
            return {}
        matrix = matrix / scales
        if int(torch.linalg.matrix_rank(matrix, rtol=_INDEPENDENT)) < len(columns):
            return {}
        solution = torch.linalg.lstsq(matrix, target).solution[:, 0]
        # the error of a number is that of the answer, relative to the column
        errors = 10 * self.tolerance * scale_of(self.value) / scales
        found: dict[_Key, float] = {}
        for key, number, error in zip(columns, (solution / scales).tolist(), errors.tolist(), strict=True):
            found[key] = next((simple for simple in (1.0, 0.0, -1.0) if abs(number - simple) <= error), number)
        fits = self.fits(rest + torch.stack([found[key] * column for key, column in columns.items()]).sum(0))
        return {key: number for key, number in found.items() if number} if fits else {}

    def _simple_coefficients(self, branches: dict[str, torch.Tensor], large: Sequence[str]) -> dict[str, float]:
        """The coefficients if one branch is missing, or has the wrong sign, or is alone; for answers of few numbers."""
        found = []
        for name in large if len(branches) > 1 else ():
            alone = {**dict.fromkeys(large, 0.0), name: 1.0}
            for changed in ({name: 0.0}, {name: -1.0}, *([alone] if len(large) > 2 else [])):
                candidate = {**dict.fromkeys(branches, 1.0), **changed}
                if self.fits(torch.stack([candidate[key] * branch for key, branch in branches.items()]).sum(0)):
                    found.append({key: number for key, number in candidate.items() if number})
        return found[0] if len(found) == 1 else {}

    def recalled(self, question: str, answer: Callable[["WrongAnswer"], _T]) -> _T:
        """What ``answer`` says of this wrong answer; computed once, by the name of the ``question``."""
        if question not in self._known:
            self._known[question] = answer(self)
        return cast("_T", self._known[question])

    def _is_plain(self, number: float) -> bool:
        """Whether a factor is 1, 2, 3, 4, a size of what the single number is computed from, or one of these parts.

        Any single number is a multiple of any other.
        """
        sizes = {size for name in self.sources for size in sizes_of(self.context.tensors[name])}
        plain = [part for count in {1, 2, 3, 4} | sizes for part in (count, 1 / count)]
        return any(abs(abs(number) / part - 1) <= self.tolerance for part in plain)

    @cached_property
    def scales(self) -> dict[tuple[str, ...], float]:
        """The factor by which the gradient, or one branch of it, differs from what it should be; by the consumers."""
        whole = self.factor(self.expected)
        if whole is not None and (self.expected.numel() > 1 or self._is_plain(whole)):
            return {self.consumers: whole}
        changed = {name: number for name, number in self.coefficients.items() if number != 1}
        if not self.coefficients and len(self.consumers) > 1:
            # there are too few numbers to tell the branches apart: each of them alone
            alone = {
                name: self.multiple(self.context.branch(self.name, name), self.other_branches(name))
                for name in self.consumers
            }
            changed = {name: number for name, number in alone.items() if number is not None}
        return {(name,): number for name, number in changed.items() if number and len(changed) == 1}

    @property
    def is_right(self) -> bool:
        """Whether the answer is the gradient."""
        return self.fits(self.expected)

    def other_branches(self, *consumers: str) -> torch.Tensor:
        """The sum of the contributions through all other consumers."""
        return self.context.other_branches(self.name, *consumers)

    def reduced_to(self, value: torch.Tensor) -> torch.Tensor | None:
        """``value`` summed or broadcast to the shape of the tensor; None if it cannot be."""
        if broadcast_dims(self.expected_shape, tuple(value.shape)):
            return value.sum_to_size(self.expected_shape)
        try:
            return value.expand(self.expected_shape)
        except RuntimeError:
            return None

    def other_variables(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every other value that a cell may have used, with its name: ``probs``, ``dprobs``."""
        yield from self.context.forward.items()
        for name in self.context.gradients:
            if name != self.name:
                yield f"d{name}", self.context.gradient_of(name)


def family(name: str) -> str:
    """A name without its digits: ``h1`` and ``h2`` are of one family."""
    return "".join(letter for letter in name if not letter.isdigit())
