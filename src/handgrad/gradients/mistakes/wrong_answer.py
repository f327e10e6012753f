"""One wrong answer, and the questions that the catalogue asks about it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, ratio, reshaped, scale_of
from handgrad.gradients.mistakes.backward_context import BackwardContext, broadcast_dims

__all__ = ["WrongAnswer"]


@dataclass(frozen=True)
class WrongAnswer:
    """One answer in one pass: a gradient of the tensor ``name``, and what it may have been made from.

    The ``answer`` is of any shape and any dtype, the ``expected`` one is float64; the ``tolerance`` is a share of the
    largest absolute value. A ``blind`` answer looks right on the loss, which cannot show its mistake. The gradients of
    the ``zero`` tensors are zero by construction. An answer that ``skips`` may have been made from other gradients than
    those of its consumers.
    """

    context: BackwardContext
    name: str
    answer: torch.Tensor
    expected: torch.Tensor
    tolerance: float = RELATIVE_TOLERANCE
    blind: bool = False
    zero: frozenset[str] = frozenset()
    skips: bool = False

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

    def fits(self, candidate: torch.Tensor) -> bool:
        """Whether the answer has the shape and, up to the tolerance, the values of ``candidate``; zeros fit nothing."""
        return self.close(self.value, candidate) and bool(candidate.any())

    def close(self, value: torch.Tensor, candidate: torch.Tensor, tolerance: float | None = None) -> bool:
        """Whether ``value`` has the shape and, up to the tolerance, the values of ``candidate``."""
        allowance = (tolerance or self.tolerance) * scale_of(candidate)
        return value.shape == candidate.shape and scale_of(value - candidate) <= allowance

    def broadcast_to_expected(self) -> "WrongAnswer | None":
        """The same answer in the shape of the tensor; None unless only a broadcast or sizes of 1 differ."""
        answer = None if self.shape == self.expected_shape else reshaped(self.answer, self.expected_shape)
        return None if answer is None else replace(self, answer=answer)

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
        spread = scale_of(candidate - candidate.flatten()[:1])
        varies = spread > 100 * self.tolerance * scale_of(candidate)
        return self.factor(candidate, rest) if varies else None

    @cached_property
    def scales(self) -> dict[tuple[str, ...], float]:
        """The factors by which the gradient, or one branch of it, differs from what it should be; by the consumers."""
        whole = self.factor(self.expected)
        if whole is not None:
            return {self.consumers: whole}
        consumers = self.consumers if len(self.consumers) > 1 else ()
        factors = {
            (consumer,): self.factor(self.context.branch(self.name, consumer), self.other_branches(consumer))
            for consumer in consumers
        }
        return {consumers: number for consumers, number in factors.items() if number is not None}

    @property
    def is_right(self) -> bool:
        """Whether the answer is the gradient."""
        return self.fits(self.expected)

    def other_branches(self, consumer: str) -> torch.Tensor:
        """The sum of the contributions through the other consumers."""
        others = [self.context.branch(self.name, other) for other in self.consumers if other != consumer]
        return torch.stack(others).sum(0) if others else torch.zeros(self.expected_shape, dtype=torch.float64)

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
