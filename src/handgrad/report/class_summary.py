"""A class in figures: outcomes, scores, how each gradient went, and which submissions a person has to look at."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from handgrad.report.records import Outcome, Report, ReportOutcome, ScoreEntry
from handgrad.report.wording import headline, number, one_line

__all__ = [
    "KINDS",
    "ClassSummary",
    "GradientSummary",
    "attention",
    "changed",
    "grouped",
    "has_score",
    "score_of",
    "summarise",
]

KINDS: Mapping[Outcome, str] = {
    "passed": "right",
    "partial": "partial",
    "failed": "wrong",
    "error": "stopped",
    "timeout": "stopped",
    "memory": "stopped",
    "crashed": "stopped",
    "tampered": "stopped",
    "missing": "missing",
}
"""Outcomes of a check as a class sees them; ``stopped`` is a cell that raised or did not come to its end."""


@dataclass(frozen=True)
class GradientSummary:
    """How one gradient went: submissions of each kind, and the mistake that was found most often, with its count."""

    gradient: str
    counts: Mapping[str, int]
    mistake: str
    mistaken: int

    @property
    def total(self) -> int:
        """Submissions in which the gradient was graded."""
        return sum(self.counts.values())

    def share(self, kind: str) -> float:
        """Share of the submissions of a kind, 0 to 1."""
        return self.counts.get(kind, 0) / self.total if self.total else 0.0


@dataclass(frozen=True)
class ClassSummary:
    """A class's reports, summed up.

    Attributes
    ----------
    outcomes
        Reports by outcome.
    scores
        Scores of the graded submissions only, as the gradebook has them: what is missing or unreadable is counted, not
        averaged.
    max_score
        Points that can be earned.
    perfect
        Graded submissions in which every check passed.
    gradients
        In the order of the checks.
    given_up
        For the gradients from which on students wrote nothing any more, how many; the most frequent first.
    people
        Student and reason of every submission that a person has to look at.
    """

    outcomes: Mapping[ReportOutcome, int]
    scores: tuple[float, ...]
    max_score: float
    perfect: int
    gradients: tuple[GradientSummary, ...]
    given_up: tuple[tuple[str, int], ...]
    people: tuple[tuple[str, str], ...]

    @property
    def mean(self) -> float | None:
        """Mean score; None where nothing was graded."""
        return mean(self.scores) if self.scores else None

    @property
    def median(self) -> float | None:
        """Median score; None where nothing was graded."""
        return median(self.scores) if self.scores else None


def summarise(reports: Sequence[Report], entries: Mapping[str, ScoreEntry] | None = None) -> ClassSummary:
    """Sum up a class, whose scores are those of the gradebook's ``entries`` where it has any."""
    entries = entries or {}
    graded = [report for report in reports if report.outcome == "graded"]
    counts: dict[str, Counter[str]] = {}
    mistakes: dict[str, Counter[str]] = {}
    # the most complete report first: its order of checks is the graph's
    for report in sorted(graded, key=lambda one: -len(one.checks)):
        for verdict in report.checks:
            counts.setdefault(verdict.gradient, Counter())[KINDS[verdict.outcome]] += 1
            found = mistakes.setdefault(verdict.gradient, Counter())
            if verdict.diagnosis and verdict.outcome != "passed":
                found[verdict.diagnosis.mistake] += 1
    gradients = []
    for gradient, count in counts.items():
        mistake, mistaken = next(iter(mistakes[gradient].most_common(1)), ("", 0))
        gradients.append(GradientSummary(gradient, count, mistake, mistaken))
    return ClassSummary(
        outcomes=Counter(report.outcome for report in reports),
        scores=tuple(score_of(report, entries.get(report.student)) or 0.0 for report in graded),
        max_score=max((report.max_score for report in reports), default=0.0),
        perfect=sum(report.passed for report in graded),
        gradients=tuple(gradients),
        given_up=tuple(Counter(filter(None, map(_given_up, graded))).most_common()),
        people=tuple(
            (one_line(report.student), why)
            for report in reports
            if (why := attention(report, entries.get(report.student)))
        ),
    )


def _given_up(report: Report) -> str:
    """The gradient from which on a student wrote nothing; empty where something stands in the last one."""
    start = ""
    for verdict in report.checks:
        start = (start or verdict.gradient) if verdict.outcome == "missing" else ""
    return start


def attention(report: Report, entry: ScoreEntry | None = None) -> str:
    """Why a person has to look at a submission; empty where nobody has to."""
    if report.outcome in ("unreadable", "not-graded") or report.message:
        return headline(report)
    seen = entry.by_hand if entry and not entry.waiting else ()
    tampered = [
        one_line(verdict.gradient)
        for verdict in report.checks
        if verdict.outcome == "tampered" and verdict.id not in seen
    ]
    if tampered:
        many = len(tampered) > 1
        return (
            f"The cell{'s' if many else ''} of {', '.join(tampered)} reach{'' if many else 'es'} around the grader: "
            "read the code before you publish the score."
        )
    if entry and entry.waiting:
        if entry.by_hand:
            cells = ", ".join(_cells(report, entry))
            return f"It was graded again after a person had scored it ({cells}): see whether that score still holds."
        return "The gradebook has a cell of it for a person to score."
    return ""


def score_of(report: Report, entry: ScoreEntry | None = None) -> float | None:
    """The score that counts: the gradebook's, or else the report's; None where there is none."""
    if entry and (report.outcome == "graded" or entry.score or entry.by_hand):
        return entry.final
    return report.score if has_score(report) else None


def changed(report: Report, entry: ScoreEntry | None) -> str:
    """What was done to a score after handgrad gave it; empty where nothing was."""
    if entry is None:
        return ""
    told = [f"by hand: {', '.join(_cells(report, entry))}"] if entry.by_hand else []
    if entry.penalty:
        told.append(f"late: {number(entry.penalty)} point{'' if entry.penalty == 1 else 's'} off")
    if report.outcome == "graded" and abs(entry.final - report.score) > 1e-9:
        told.append(f"handgrad gave {number(report.score)}")
    elif report.outcome != "graded" and score_of(report, entry) is not None:
        told.append("the score is of an earlier grading")
    return "; ".join(told)


def _cells(report: Report, entry: ScoreEntry) -> list[str]:
    """The cells that a person has scored, by their gradients."""
    gradients = {verdict.id: verdict.gradient for verdict in report.checks}
    return [one_line(gradients.get(cell, cell)) for cell in entry.by_hand]


def has_score(report: Report) -> bool:
    """Whether a score may be shown: never where the grader failed, nor where there was nothing to score."""
    return report.outcome == "graded" or (report.outcome != "not-graded" and report.max_score > 0)


def grouped(report: Report, names: int) -> str:
    """The gradients not passed, grouped by outcome: how many of each, and the first ``names`` of them all."""
    groups: dict[Outcome, list[str]] = {}
    for verdict in report.checks:
        if verdict.outcome != "passed":
            groups.setdefault(verdict.outcome, []).append(one_line(verdict.gradient))
    parts = []
    for outcome, gradients in groups.items():
        named = gradients[:names]
        names -= len(named)
        more = ["…"] if named and len(named) < len(gradients) else []
        parts.append(f"{len(gradients)} {outcome}" + (": " + ", ".join(named + more) if named else ""))
    return "; ".join(parts)
