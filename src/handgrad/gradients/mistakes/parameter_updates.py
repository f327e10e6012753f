"""Known mistakes in a value that is no gradient: from where it started, where it is, and where it should be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.mistake import ENTRIES, mistake
from handgrad.gradients.mistakes.wording import TemplateValues
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

__all__ = ["ParameterUpdate", "diagnose_update"]


@dataclass(frozen=True)
class ParameterUpdate:
    """One value in one pass, in double precision: before its stub, after it, and after the worked solution.

    ``allowance`` is the largest difference that is still right.
    """

    start: torch.Tensor
    answer: torch.Tensor
    expected: torch.Tensor
    allowance: float

    @property
    def is_right(self) -> bool:
        """Whether the value is what the solution gives."""
        return self.is_at(self.expected)

    def is_at(self, place: torch.Tensor) -> bool:
        """Whether the value is ``place``."""
        return scale_of(self.answer - place) <= self.allowance

    def factor(self) -> float | None:
        """The number of times that the value went as far as it should have; None where it went elsewhere."""
        wanted, went = self.expected - self.start, self.answer - self.start
        size = float((wanted * wanted).sum())
        number = float((wanted * went).sum()) / size if size else 0.0
        return number if scale_of(went - number * wanted) <= self.allowance * max(1.0, abs(number)) else None


@mistake("moves")
def not_updated(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is what it was before the cell of {stub} ran: nothing has changed it.

    Try: Let every step of {stub} change {gradient} too.
    """
    yield from ()


@mistake("moves")
def wrong_way(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} goes as far as it should, in the opposite direction.

    Try: A gradient points to where the loss grows; look at the sign with which {stub} uses that of {gradient}.
    """
    yield from ()


@mistake("moves")
def other_length(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} goes in the right direction, and {times} times as far as it should.

    Try: Look for a factor: the size of the step in {stub}, a mean or a sum over the minibatch in what it uses.
    """
    yield from ()


def diagnose_update(name: str, stub: str, first: Sequence[ParameterUpdate]) -> Diagnosis | None:
    """The mistake in a value that shows in all of the passes that go the least way; None where none is certain."""
    if not first or any(move.is_right for move in first):
        return None
    if all(move.is_at(move.start) for move in first):
        return ENTRIES["not-updated"].diagnosis(name, {"stub": stub}, stub)
    found = [move.factor() for move in first]
    factors = [factor for factor in found if factor is not None]
    if len(factors) < len(found) or max(factors) - min(factors) > 0.01 * abs(factors[0]):
        return None
    if abs(factors[0] + 1) < 0.01:
        return ENTRIES["wrong-way"].diagnosis(name, {"stub": stub}, stub)
    return ENTRIES["other-length"].diagnosis(name, {"stub": stub, "times": f"{factors[0]:.3g}"}, stub)
