"""The marking rule: from the comparisons of one gradient in every pass to an outcome. Pure functions of facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from handgrad.report.records import Comparison

__all__ = ["Correctness", "Evidence", "Mark", "Policy", "StepEvidence", "correctness_of", "mark", "worst"]


@dataclass(frozen=True)
class Policy:
    """The instructor's settings of partial credit and tolerance."""

    partial_shape: float = 0.5
    """Share of the points for right values in another shape."""
    partial_invisible: float = 0.5
    """Share of the points for a mistake that the loss cannot show."""
    tolerance: float = 1e-4
    """Largest difference allowed, as a share of the reference's scale."""
    partial_later: float = 0.5
    """Share of the points for a value that is right at first and not after more steps."""


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
class StepEvidence:
    """The comparisons of one gradient in one step pass."""

    step: Comparison | None = None
    """With the step gradient: all upstream gradients are random."""
    read: Comparison | None = None
    """With what the chain rule gives from the upstream gradients that the answer reads, all others flowing from the
    loss; None if the answer is the step gradient, so that this is not asked, or if it would prove nothing."""


@dataclass(frozen=True)
class Evidence:
    """The comparisons of one gradient in one round of hidden passes."""

    steps: tuple[StepEvidence, ...] = ()
    as_written: tuple[Comparison | None, ...] = ()
    """Comparisons of the values at the stub's end and at the notebook's end with the true gradient; empty if a gradient
    that the answer reads is wrong there, as two mistakes might cancel, or if the step passes decided everything, so
    that this pass and the helped one were skipped."""
    helped: Comparison | None = None
    """Comparison with the true gradient, with true upstream gradients."""
    shows: tuple[frozenset[str], ...] = ()
    """Each of these two passes, or both together, whose numbers would show any mistake in the gradient."""


Reason = Literal["step", "read", "hidden", "invisible", "wrong"]


@dataclass(frozen=True)
class Mark:
    """The decision of the rule: the outcome, the share of the points, and the line of the rule."""

    outcome: Literal["passed", "partial", "failed"]
    share: float
    reason: Reason
    reshaped: bool = False


def mark(evidence: Evidence, policy: Policy) -> Mark:
    """Apply the rule to one round.

    1. In every step pass the value is right: passed.
    2. Else in every step pass it is right, or what the chain rule gives from the upstream gradients that it reads
       (closed forms and skipped steps), and a hidden value is right: passed.
    3. Else a hidden value is right in a pass, or in two, that would show any mistake: passed.
    4. Else a hidden value is right: a mistake that the loss cannot show, partial credit.
    5. Right in 1 to 3, but in another shape: partial credit.
    6. Otherwise failed.
    """
    hidden = {
        "as written": max(map(correctness_of, evidence.as_written), default=Correctness.WRONG),
        "helped": correctness_of(evidence.helped),
    }
    steps = [correctness_of(each.step) for each in evidence.steps]
    read = [max(correctness_of(each.step), correctness_of(each.read)) for each in evidence.steps]

    def accepted(least: Correctness) -> Reason | None:
        """The line of the rule, 1 to 3, that accepts an answer that is at least ``least``; None if none does."""
        if steps and min(steps) >= least:
            return "step"
        if read and min(read) >= least and max(hidden.values()) >= least:
            return "read"
        if any(min(hidden[kind] for kind in kinds) >= least for kinds in evidence.shows):
            return "hidden"
        return None

    if reason := accepted(Correctness.RIGHT):
        return Mark("passed", 1.0, reason)
    partial = []
    if max(hidden.values()) is Correctness.RIGHT:
        partial.append(Mark("partial", policy.partial_invisible, "invisible"))
    if reason := accepted(Correctness.RESHAPED):
        partial.append(Mark("partial", policy.partial_shape, reason, reshaped=True))
    return max(partial, key=lambda candidate: candidate.share, default=Mark("failed", 0.0, "wrong"))


def worst(marks: Iterable[Mark]) -> Mark:
    """The mark of several rounds of hidden passes: the lowest one."""
    return min(marks, key=lambda mark_: mark_.share)
