"""The marking rule: from the comparisons of one gradient in every pass to an outcome.

A pure function of facts, so that a class can be marked again, with another policy, without running any code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from handgrad.report.records import Comparison

__all__ = ["Correctness", "Evidence", "Mark", "Policy", "correctness_of", "mark", "worst"]


@dataclass(frozen=True)
class Policy:
    """What an instructor may decide about marks.

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
    """How right the answer of a comparison is; no answer is wrong."""
    if comparison is None:
        return Correctness.WRONG
    if comparison.approximate:
        return Correctness.RIGHT
    return Correctness.RESHAPED if comparison.reshaped else Correctness.WRONG


@dataclass(frozen=True)
class Evidence:
    """What one round of hidden passes says about one gradient.

    Attributes
    ----------
    as_written
        Comparisons of the values at the stub's end and at the notebook's end with the true gradient; empty where the
        step settled everything, so that neither this pass nor the helped one was run.
    step
        Comparison with the step gradient, upstream gradients being random.
    helped
        Comparison with the true gradient, upstream gradients being true.
    step_against_true
        Comparison of the answer in the step pass with the true gradient of the loss there.
    zero
        Whether the true gradient is zero by construction.
    blind
        Whether the loss cannot see a mistake: the tensor, or one of its consumers, is zero in that sense.
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
    """What the rule decides: the outcome, the share of the points, and which line of the rule it was."""

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

    def accepted(wanted: Correctness) -> Reason | None:
        """The line of the rule, 1 to 3, that accepts what is at least ``wanted``."""
        if step >= wanted:
            return "step"
        if hidden >= wanted and not evidence.blind:
            return "hidden"
        if hidden >= wanted and not evidence.zero and against_true >= wanted:
            return "loss"
        return None

    if reason := accepted(Correctness.RIGHT):
        return Mark("passed", 1.0, reason)
    partial = []
    if hidden is Correctness.RIGHT:
        partial.append(Mark("partial", policy.partial_invisible, "invisible"))
    if reason := accepted(Correctness.RESHAPED):
        partial.append(Mark("partial", policy.partial_shape, reason, reshaped=True))
    return max(partial, key=lambda mutant: mutant.share, default=Mark("failed", 0.0, "wrong"))


def worst(marks: Iterable[Mark]) -> Mark:
    """The mark that several rounds of hidden passes come to: the least favourable one."""
    ordered: Sequence[Mark] = sorted(marks, key=lambda mark_: mark_.share)
    return ordered[0]
