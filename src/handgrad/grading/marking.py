"""The marking rule: from the comparisons of one gradient in every pass to an outcome. Pure functions of facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from handgrad.report.records import Comparison

__all__ = ["Correctness", "Evidence", "Mark", "Policy", "correctness_of", "mark", "worst"]


@dataclass(frozen=True)
class Policy:
    """The instructor's settings of partial credit and tolerance.

    Attributes
    ----------
    partial_shape
        Share of the points for right values in another shape.
    partial_invisible
        Share of the points for a mistake that the loss cannot show.
    tolerance
        Largest difference allowed, as a share of the reference's scale.
    partial_later
        Share of the points for a value that is right at first and not after more steps.
    """

    partial_shape: float = 0.5
    partial_invisible: float = 0.5
    tolerance: float = 1e-4
    partial_later: float = 0.5


class Correctness(IntEnum):
    """How right one answer is."""

    WRONG = 0
    RESHAPED = 1
    RIGHT = 2


def correctness_of(comparison: Comparison | None) -> Correctness:
    """How right the answer of a comparison is; a missing answer counts as wrong."""
    if comparison is None:
        return Correctness.WRONG
    if comparison.approximate:
        return Correctness.RIGHT
    return Correctness.RESHAPED if comparison.reshaped else Correctness.WRONG


@dataclass(frozen=True)
class Evidence:
    """The comparisons of one gradient in one round of hidden passes.

    Attributes
    ----------
    as_written
        Comparisons of the values at the stub's end and at the notebook's end with the true gradient; empty if the step
        pass decided everything, so that this pass and the helped one were skipped.
    step
        Comparison with the step gradient, with random upstream gradients.
    helped
        Comparison with the true gradient, with true upstream gradients.
    step_against_true
        Comparison of the answer in the step pass with the true gradient of the loss there.
    zero
        Whether the true gradient is zero by construction.
    blind
        Whether the loss cannot show a mistake: the gradient of the tensor or of a consumer is zero by construction.
    """

    as_written: tuple[Comparison | None, ...] = ()
    step: Comparison | None = None
    helped: Comparison | None = None
    step_against_true: Comparison | None = None
    zero: bool = False
    blind: bool = False


Reason = Literal["step", "hidden", "loss", "invisible", "wrong"]


@dataclass(frozen=True)
class Mark:
    """The decision of the rule: the outcome, the share of the points, and the line of the rule."""

    outcome: Literal["passed", "partial", "failed"]
    share: float
    reason: Reason
    reshaped: bool = False


def mark(evidence: Evidence, policy: Policy) -> Mark:
    """Apply the rule to one round.

    1. The step value is right: passed.
    2. Else a hidden value is right and the gradient is not blind: passed.
    3. Else a hidden value is right, the gradient is not zero by construction, and the step value is the true gradient
       of the loss (it used no upstream gradient): passed.
    4. Else a hidden value is right: a mistake that the loss cannot show, partial credit.
    5. Right in 1 to 3, but in another shape: partial credit.
    6. Otherwise failed.
    """
    hidden = max(map(correctness_of, (*evidence.as_written, evidence.helped)))
    step, against_true = correctness_of(evidence.step), correctness_of(evidence.step_against_true)

    def accepted(least: Correctness) -> Reason | None:
        """The line of the rule, 1 to 3, that accepts an answer that is at least ``least``; None if none does."""
        if step >= least:
            return "step"
        if hidden >= least and not evidence.blind:
            return "hidden"
        if hidden >= least and not evidence.zero and against_true >= least:
            return "loss"
        return None

    if reason := accepted(Correctness.RIGHT):
        return Mark("passed", 1.0, reason)
    partial = []
    if hidden is Correctness.RIGHT:
        partial.append(Mark("partial", policy.partial_invisible, "invisible"))
    if reason := accepted(Correctness.RESHAPED):
        partial.append(Mark("partial", policy.partial_shape, reason, reshaped=True))
    return max(partial, key=lambda candidate: candidate.share, default=Mark("failed", 0.0, "wrong"))


def worst(marks: Iterable[Mark]) -> Mark:
    """The mark of several rounds of hidden passes: the lowest one."""
    return min(marks, key=lambda mark_: mark_.share)
