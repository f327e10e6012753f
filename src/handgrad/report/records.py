"""The records that grading produces and every format shows: comparisons, diagnoses, verdicts, reports, graphs.

They hold facts, not texts for one format. ``Report.to_dict`` is the JSON schema 1. Standard library only.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

__all__ = [
    "NEEDS_REVIEW",
    "SCHEMA",
    "AcceptedAnswer",
    "Comparison",
    "Diagnosis",
    "ForwardGraph",
    "GradeChange",
    "Outcome",
    "Report",
    "ReportOutcome",
    "ScoreEntry",
    "Verdict",
    "backward_order",
    "distances",
    "final_score",
]

SCHEMA = 1
"""Version of the JSON of a report."""

Outcome = Literal["passed", "partial", "failed", "held", "missing", "error", "timeout", "memory", "crashed", "tampered"]
NEEDS_REVIEW: tuple[Outcome, ...] = ("tampered", "held")
"""The outcomes that have no points until an instructor has looked at the code."""
ReportOutcome = Literal["graded", "unreadable", "not-submitted", "not-graded"]


@dataclass(frozen=True)
class Comparison:
    """One answer compared with one reference."""

    shape: tuple[int, ...]
    """Sizes of the answer."""
    expected_shape: tuple[int, ...]
    """Sizes of the reference."""
    exact: bool
    """Whether shapes and values are the same, bit for bit."""
    approximate: bool
    """Whether the shapes are the same and the largest difference is within the tolerance."""
    maxdiff: float | None
    """Largest absolute difference; None if shapes or dtypes cannot be subtracted."""
    relative: float | None
    """``maxdiff`` divided by the largest absolute value of the reference; None if either is unknown or that is 0."""
    finite: bool = True
    """Whether the answer has no NaN and no infinity."""
    reshaped: bool = False
    """Whether the values are right but the shape is not."""

    def to_dict(self) -> dict[str, Any]:
        """The six fields of the JSON; NaN and infinity, which JSON does not have, become None."""
        return {
            "shape": list(self.shape),
            "expected_shape": list(self.expected_shape),
            "exact": self.exact,
            "approximate": self.approximate,
            "maxdiff": _number(self.maxdiff),
            "relative": _number(self.relative),
        }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Diagnosis:
    """A recognised mistake: its slug, what happened, what to try, and the cell (a grade_id) that it is in."""

    mistake: str
    what: str
    advice: str
    cell: str

    def to_dict(self) -> dict[str, str]:
        """The diagnosis as plain data; the key of ``advice`` is ``try``."""
        return {"mistake": self.mistake, "what": self.what, "try": self.advice, "cell": self.cell}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check of one gradient."""

    id: str
    """The check's grade_id."""
    gradient: str
    """The student's variable."""
    outcome: Outcome
    points: float
    max_points: float
    comparison: Comparison | None = None
    """The answer against its reference; None if nothing was compared."""
    diagnosis: Diagnosis | None = None
    """The recognised mistake; None if there is none."""
    message: str = ""
    """One sentence about the outcome; empty if there is nothing to add."""
    tensor: str = ""
    """Of a notebook checked against its own forward pass, the tensor; else empty."""
    place: str = ""
    """Of such a notebook, where the answer is; else empty."""
    part: str = ""
    """The heading of the part of the exercise that it belongs to; empty if there are no parts."""

    @property
    def sentence(self) -> str:
        """What happened and what to try; empty if there is nothing to add."""
        if self.diagnosis is not None:
            return f"{self.diagnosis.what} {self.diagnosis.advice}"
        return self.message

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Verdict":
        """The verdict that :meth:`to_dict` gave."""
        comparison, diagnosis = data["comparison"], data["diagnosis"]
        if comparison is not None:
            shapes = {name: tuple(comparison[name]) for name in ("shape", "expected_shape")}
            comparison = Comparison(**{**comparison, **shapes})
        if diagnosis is not None:
            diagnosis = Diagnosis(diagnosis["mistake"], diagnosis["what"], diagnosis["try"], diagnosis["cell"])
        return cls(**{**data, "comparison": comparison, "diagnosis": diagnosis})

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data."""
        comparison = self.comparison and self.comparison.to_dict()
        found = {**vars(self), "comparison": comparison, "diagnosis": self.diagnosis and self.diagnosis.to_dict()}
        return {name: value for name, value in found.items() if value or name not in ("tensor", "place", "part")}


def final_score(score: float, penalty: float) -> float:
    """The score that counts, after the late penalty: at least 0."""
    return max(0.0, score - penalty)


@dataclass(frozen=True)
class ScoreEntry:
    """The gradebook's score of a student's notebook, with manual scores and the late penalty."""

    score: float
    """Points of all its cells: for each the manual score, or else the automatic one, plus extra credit."""
    max_score: float
    penalty: float = 0.0
    """Points taken off for handing in late."""
    by_hand: tuple[str, ...] = ()
    """The cells that were scored by hand."""
    waiting: bool = False
    """Whether the gradebook has a cell that needs manual grading."""
    is_scored: bool = True
    """Whether any cell has a score: a row without one, which nbgrader makes for what it cannot grade, is no zero."""

    @property
    def final(self) -> float:
        """The score after the late penalty, at least 0."""
        return final_score(self.score, self.penalty)


@dataclass(frozen=True)
class AcceptedAnswer:
    """One line of the log of accepted answers: an instructor gave points for a gradient, or took them back."""

    assignment: str
    gradient: str
    student: str
    mistake: str
    """The slug of the mistake for which it was accepted; empty if it was accepted for the student alone."""
    before: float | None
    """The points of the gradient before; None if there were none."""
    after: float | None
    """The points after; None if there were none."""
    reason: str
    by: str
    """The instructor's account."""
    at: str
    """When: ISO 8601, UTC."""
    undone: bool = False
    """Whether it was taken back later."""


_TEXTS = ("handgrad", "assignment", "notebook", "isolation", "student", "outcome", "message")
"""The texts of a report, in the order of its JSON."""


@dataclass(frozen=True)
class Report:
    """All verdicts of one submission."""

    assignment: str
    notebook: str
    outcome: ReportOutcome
    """Whether it was graded, and if not why."""
    handgrad: str
    """The version that graded it."""
    isolation: str = "none"
    """The isolation that was in force."""
    student: str = ""
    """Who handed it in; may be empty."""
    message: str = ""
    """What the report says besides its verdicts; empty if nothing."""
    seconds: float = 0.0
    """Time that grading took."""
    checks: tuple[Verdict, ...] = ()
    """The verdicts, in the order of the notebook."""
    forward_pass: Literal["exercise", "own"] = "exercise"
    """``own`` if the answers were checked against the notebook's own forward pass, not that of an exercise."""
    solution_cells: int = 0
    """How many of the instructor's own solution cells the notebook holds, if that is no chance; for instructors
    only."""

    @property
    def score(self) -> float:
        """Points earned."""
        return sum(verdict.points for verdict in self.checks)

    @property
    def max_score(self) -> float:
        """Points that can be earned."""
        return sum(verdict.max_points for verdict in self.checks)

    @property
    def passed(self) -> bool:
        """Whether the submission was graded and every check passed."""
        return self.outcome == "graded" and all(verdict.outcome == "passed" for verdict in self.checks)

    def verdicts(self) -> Mapping[str, Verdict]:
        """Verdicts by the id of their check."""
        return {verdict.id: verdict for verdict in self.checks}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        """The report that :meth:`to_dict` gave; a ValueError if the data have another schema."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"this report has schema {data.get('schema')!r}; this version of handgrad reads {SCHEMA}")
        checks = tuple(Verdict.from_dict(check) for check in data["checks"])
        own = {name: data[name] for name in ("forward_pass", "solution_cells") if name in data}
        return cls(**{name: data[name] for name in (*_TEXTS, "seconds")}, checks=checks, **own)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data: schema 1."""
        return {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in _TEXTS},
            "score": self.score,
            "max_score": self.max_score,
            "seconds": round(self.seconds, 4),
            "checks": [verdict.to_dict() for verdict in self.checks],
            **({"forward_pass": "own"} if self.forward_pass == "own" else {}),
            **({"solution_cells": self.solution_cells} if self.solution_cells else {}),
        }


@dataclass(frozen=True)
class GradeChange:
    """What a grading would give one student."""

    before: Report | None
    """The stored report; None if there is none."""
    after: Report
    """The report as it would be; the same if nothing would be graded again."""
    reason: str = ""
    """Why it would be graded again; empty if it would not be."""
    entry: ScoreEntry | None = None
    """The gradebook's score as it is; None if it has none."""
    entry_after: ScoreEntry | None = None
    """The score as it would be; None if there would be none."""

    def gradients(self) -> dict[str, tuple[str, str]]:
        """The gradients whose outcome or points change: what they were and what they would be, as text."""
        old = {verdict.gradient: verdict for verdict in self.before.checks} if self.before else {}
        pairs = {new.gradient: (old[new.gradient], new) for new in self.after.checks if new.gradient in old}
        texts = {name: (_points_of(was, now), _points_of(now, was)) for name, (was, now) in pairs.items()}
        return {name: (was, now) for name, (was, now) in texts.items() if was != now}


def _points_of(verdict: Verdict, other: Verdict) -> str:
    """Outcome and points of a verdict; with the points that can be earned if ``other`` has others."""
    of = "" if verdict.max_points == other.max_points else f" of {verdict.max_points:g}"
    return f"{verdict.outcome}, {verdict.points:g}{of}"


@dataclass(frozen=True)
class ForwardGraph:
    """Which tensor is computed from which."""

    consumers: Mapping[str, tuple[str, ...]]
    """For each named tensor, in forward order, the tensors (or the loss) computed directly from it."""
    leaves: frozenset[str] = frozenset()
    """Tensors without inputs: parameters."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The graph that :meth:`to_dict` gave."""
        consumers = {name: tuple(names) for name, names in data["consumers"].items()}
        return cls(consumers, frozenset(data["leaves"]))

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data."""
        consumers = {name: list(names) for name, names in self.consumers.items()}
        return {"consumers": consumers, "leaves": sorted(self.leaves)}


def distances(consumers: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """For each name, the number of steps on the longest path to the loss."""
    known: dict[str, int] = {}

    def distance(name: str) -> int:
        if name not in known:
            known[name] = 1 + max((distance(consumer) for consumer in consumers.get(name, ())), default=-1)
        return known[name]

    return {name: distance(name) for name in consumers}


def backward_order(consumers: Mapping[str, tuple[str, ...]], preferred: Iterable[str] = ()) -> list[str]:
    """The tensors such that each comes after its consumers; ``preferred`` decides among those that may come next.

    Tensors that are not in ``preferred`` come just before the first one that needs them, or as near to the loss as they
    are.
    """
    ranks: dict[str, float] = {}
    for rank, name in enumerate(preferred):
        ranks[name] = rank
        needed = [*consumers.get(name, ())]
        while needed:
            consumer = needed.pop()
            if consumer not in ranks:
                ranks[consumer] = rank - 0.5
                needed += consumers.get(consumer, ())
    steps = distances(consumers)
    waiting = sorted(consumers, key=lambda name: (ranks.get(name, len(ranks)), steps[name]))
    order: dict[str, None] = {}
    while waiting:
        following = next(
            name
            for name in waiting
            if all(consumer in order or consumer not in consumers for consumer in consumers[name])
        )
        order[following] = None
        waiting.remove(following)
    return list(order)
