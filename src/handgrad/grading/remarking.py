"""Mark a verdict again by other points, another tolerance or other shares, from the comparisons that were kept.

Pure functions of facts: nothing is run and nothing is compared anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from handgrad.grading.marking import Evidence, Policy, correctness_of, mark, worst
from handgrad.report.records import Comparison, Verdict

__all__ = ["asks_for_more", "evidence_from", "remarked", "repriced"]


def evidence_from(data: Mapping[str, Any]) -> Evidence:
    """One round of evidence, from the plain data that the store keeps."""
    compared = {name: _comparison(data[name]) for name in ("step", "helped", "step_against_true")}
    as_written = tuple(map(_comparison, data["as_written"]))
    return Evidence(as_written=as_written, **compared, zero=data["zero"], blind=data["blind"])


def _comparison(data: Mapping[str, Any] | None) -> Comparison | None:
    if data is None:
        return None
    facts = {one.name: data[one.name] for one in fields(Comparison)}
    return Comparison(**{**facts, "shape": tuple(data["shape"]), "expected_shape": tuple(data["expected_shape"])})


def asks_for_more(evidence: Evidence, tolerance: float) -> bool:
    """Whether the passes that were spared in a round, since its step was right, are needed with another tolerance."""
    return not evidence.as_written and correctness_of(evidence.step) > correctness_of(_judged(evidence, tolerance).step)


def remarked(verdict: Verdict, rounds: Sequence[Evidence], points: float, policy: Policy) -> Verdict:
    """The verdict as it is by ``points`` and ``policy``.

    Parameters
    ----------
    verdict
        As it was when the submission was graded.
    rounds
        The comparisons of every round of hidden passes, as they were then.
    points
        Points of the check.
    policy
        Shares and tolerance. An answer in another shape keeps its judgement: how far off it was is not kept.
    """
    before = worst(mark(one, policy) for one in rounds)
    after = worst(mark(_judged(one, policy.tolerance), policy) for one in rounds)
    # a further condition of the check that did not hold, or a cell that was tampered with: no comparison decided that
    if before.outcome != "failed" and verdict.outcome not in ("passed", "partial"):
        return replace(verdict, max_points=points)
    seen = verdict.comparison and _within(verdict.comparison, policy.tolerance)
    if after.outcome == before.outcome:
        return replace(verdict, points=after.share * points, max_points=points, comparison=seen)
    message = _MESSAGES[after.outcome].format(gradient=verdict.gradient, tolerance=policy.tolerance)
    return replace(
        verdict,
        outcome=after.outcome,
        points=after.share * points,
        max_points=points,
        comparison=seen,
        diagnosis=None,
        message=message,
    )


_MESSAGES = {
    "passed": "",
    "partial": "{gradient} is right in part, now that {tolerance:g} of the scale is the difference allowed.",
    "failed": "{gradient} is not right within {tolerance:g} of the scale, which is now the difference allowed.",
}


def repriced(verdict: Verdict, points: float) -> Verdict:
    """The same verdict by other points: what is judged otherwise than by the rule for gradients keeps its share."""
    share = verdict.points / verdict.max_points if verdict.max_points else 0.0
    return replace(verdict, points=share * points, max_points=points)


def _judged(evidence: Evidence, tolerance: float) -> Evidence:
    """The evidence as it is with another tolerance."""

    def judged(one: Comparison | None) -> Comparison | None:
        return one and _within(one, tolerance)

    return replace(
        evidence,
        as_written=tuple(map(judged, evidence.as_written)),
        step=judged(evidence.step),
        helped=judged(evidence.helped),
        step_against_true=judged(evidence.step_against_true),
    )


def _within(comparison: Comparison, tolerance: float) -> Comparison:
    """The comparison as it is with another tolerance; where nothing was measured it stays as it was."""
    if comparison.relative is None:
        return comparison
    return replace(comparison, approximate=comparison.finite and comparison.relative <= tolerance)
