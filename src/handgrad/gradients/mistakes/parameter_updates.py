"""Known mistakes in a parameter update: a value that is not a gradient, before and after its cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from handgrad.gradients.comparison import ratio, scale_of
from handgrad.gradients.mistakes.mistake import ENTRIES, told
from handgrad.report.records import Diagnosis

__all__ = ["ParameterUpdate", "diagnose_update"]


@dataclass(frozen=True)
class ParameterUpdate:
    """One value in one pass, float64: before its stub, after it, and after the instructor's solution.

    ``allowance`` is the largest absolute difference that is still right.
    """

    start: torch.Tensor
    answer: torch.Tensor
    expected: torch.Tensor
    allowance: float

    @property
    def is_right(self) -> bool:
        """Whether the value is that of the solution."""
        return self.is_at(self.expected)

    def is_at(self, value: torch.Tensor) -> bool:
        """Whether the answer is ``value``."""
        return scale_of(self.answer - value) <= self.allowance

    def factor(self) -> float | None:
        """The number ``k`` with which the value moved ``k`` times as far as it should; None if it went elsewhere."""
        wanted, went = self.expected - self.start, self.answer - self.start
        number = ratio(went, wanted)
        return number if scale_of(went - number * wanted) <= self.allowance * max(1.0, abs(number)) else None


told(
    "not-updated",
    "{gradient} is what it was before the cell of {stub} ran: nothing has changed it.",
    "Update {gradient} too in every step of {stub}.",
    "moves",
)
told(
    "wrong-way",
    "{gradient} moves as far as it should, in the opposite direction.",
    "A gradient points to where the loss grows; look at the sign with which {stub} uses that of {gradient}.",
    "moves",
)
told(
    "other-length",
    "{gradient} moves in the right direction, but {times} times as far as it should.",
    "Look for a factor: the step size in {stub}, or a mean or a sum over the minibatch in what it uses.",
    "moves",
)
told(
    "opposite-sign",
    "{gradient} has the wrong sign everywhere; its absolute values are right.",
    "Look for the minus sign in {stub}: what is subtracted from what?",
    "moves",
)
told(
    "other-size",
    "{gradient} is {times} times what it should be.",
    "Look for a factor in {stub}: what is multiplied or divided once too often, or not at all?",
    "moves",
)


def diagnose_update(name: str, stub: str, first: Sequence[ParameterUpdate]) -> Diagnosis | None:
    """The mistake that explains a value in all of the shortest passes, ``first``; None if none is certain."""
    if not first or any(update.is_right for update in first):
        return None
    if all(update.is_at(update.start) for update in first):
        return ENTRIES["not-updated"].diagnosis(name, {"stub": stub}, stub)
    factors = [factor for update in first if (factor := update.factor()) is not None]
    if len(factors) < len(first) or max(factors) - min(factors) > 0.01 * abs(factors[0]):
        return None
    # what begins at zero is made, and does not move
    is_made = not any(bool(update.start.any()) for update in first)
    if abs(factors[0] + 1) < 0.01:
        return ENTRIES["opposite-sign" if is_made else "wrong-way"].diagnosis(name, {"stub": stub}, stub)
    times = f"{factors[0]:.3g}" if abs(factors[0] - 1) > 0.01 else f"{factors[0]:.4f}"
    return ENTRIES["other-size" if is_made else "other-length"].diagnosis(name, {"stub": stub, "times": times}, stub)
