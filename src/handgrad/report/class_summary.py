"""The statistics of a class: outcomes, scores, each gradient, frequent mistakes, and what needs manual review."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import StatisticsError, correlation, mean, mode

from handgrad.report.names import called, few
from handgrad.report.records import NEEDS_REVIEW, Diagnosis, Outcome, Report, ReportOutcome, ScoreEntry, Verdict
from handgrad.report.wording import LOOKS, clean, headline, number, one_line

__all__ = [
    "ClassSummary",
    "CommonMistake",
    "Example",
    "GradientSummary",
    "Item",
    "attention",
    "changed",
    "find_common_mistakes",
    "grouped",
    "has_score",
    "is_earlier",
    "items",
    "max_score_of",
    "resubmitted",
    "score_of",
    "scored_by_hand",
    "summarise",
]

FEWEST = 10
"""Smallest number of submissions for a correlation."""
MOST = 12
"""Mistakes that are listed at most."""
FEW = 6
"""Gradients that are named of a resubmission."""


@dataclass(frozen=True)
class GradientSummary:
    """One gradient: the number of submissions of each kind, and its most frequent mistake with its count."""

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
    """The summary of a class's reports."""

    outcomes: Mapping[ReportOutcome, int]
    """Reports by outcome."""
    scores: tuple[float, ...]
    """Scores of the graded submissions only, from the gradebook: missing and unreadable ones are counted, not
    averaged."""
    max_score: float
    perfect: int
    """Graded submissions in which every check passed."""
    gradients: tuple[GradientSummary, ...]
    """In the order of the checks."""
    given_up: tuple[tuple[str, int], ...]
    """The gradients from which on students wrote nothing, with the number of students; the most frequent first."""
    needs_review: tuple[tuple[str, str], ...]
    """Student and reason of every submission that needs manual review."""


def summarise(
    reports: Sequence[Report],
    entries: Mapping[str, ScoreEntry] | None = None,
    names: Mapping[str, str] | None = None,
) -> ClassSummary:
    """Summarise a class; the scores are those of the gradebook's ``entries``, or else of the reports.

    Whose submission needs review is shown with the student's name in ``names``, if it has one.
    """
    entries, names = entries or {}, names or {}
    graded = [report for report in reports if report.outcome == "graded"]
    counts: dict[str, Counter[str]] = {}
    mistakes: dict[str, Counter[str]] = {}
    # the most complete report first: its order of checks is the graph's
    for report in sorted(graded, key=lambda report: -len(report.checks)):
        for verdict in report.checks:
            counts.setdefault(verdict.gradient, Counter())[LOOKS[verdict.outcome].kind] += 1
            mistakes_of_it = mistakes.setdefault(verdict.gradient, Counter())
            if verdict.diagnosis and verdict.outcome != "passed":
                mistakes_of_it[verdict.diagnosis.mistake] += 1
    gradients = []
    for gradient, count in counts.items():
        mistake, mistaken = next(iter(mistakes[gradient].most_common(1)), ("", 0))
        gradients.append(GradientSummary(gradient, count, mistake, mistaken))
    return ClassSummary(
        outcomes=Counter(report.outcome for report in reports),
        scores=tuple(score_of(report, entries.get(report.student)) or 0.0 for report in graded),
        max_score=max((max_score_of(report, entries.get(report.student)) for report in reports), default=0.0),
        perfect=sum(report.passed for report in graded),
        gradients=tuple(gradients),
        given_up=tuple(Counter(filter(None, map(_given_up, graded))).most_common()),
        needs_review=tuple(
            (called(report.student, names), reason)
            for report in reports
            if (reason := attention(report, entries.get(report.student)))
        ),
    )


def _given_up(report: Report) -> str:
    """The gradient from which on a student wrote nothing; empty if the last one is written."""
    start = ""
    for verdict in report.checks:
        start = (start or verdict.gradient) if verdict.outcome == "missing" else ""
    return start


def unreviewed(report: Report, entry: ScoreEntry | None = None) -> list[Verdict]:
    """The verdicts that have no points until an instructor has looked at the code, and that nobody has scored yet."""
    seen = entry.by_hand if entry and not entry.waiting else ()
    return [verdict for verdict in report.checks if verdict.outcome in NEEDS_REVIEW and verdict.id not in seen]


def attention(report: Report, entry: ScoreEntry | None = None) -> str:
    """Why a submission needs manual review; empty if it does not."""
    if report.outcome in ("unreadable", "not-graded") or report.message:
        return headline(report)
    waiting = unreviewed(report, entry)
    tampered = [one_line(verdict.gradient) for verdict in waiting if verdict.outcome == "tampered"]
    held = [one_line(verdict.gradient) for verdict in waiting if verdict.outcome == "held"]
    said = []
    if tampered:
        many = len(tampered) > 1
        said.append(
            f"The cell{'s' if many else ''} of {', '.join(tampered)} tamper{'' if many else 's'} with the grader"
        )
    if held:
        said.append(f"{', '.join(held)} {'are' if len(held) > 1 else 'is'} right, but held for review")
    if said:
        return f"{'; '.join(said)}: read the code before you publish the score."
    if entry and entry.waiting:
        if entry.by_hand:
            cells = ", ".join(scored_by_hand(report, entry))
            return f"It was graded again after manual scoring ({cells}): check whether that score is still right."
        return "The gradebook has a cell of it that needs manual grading."
    return ""


def score_of(report: Report | None, entry: ScoreEntry | None = None) -> float | None:
    """The score that counts: the gradebook's after the late penalty, or else the report's; None if there is none."""
    if entry is not None:
        return entry.final if entry.is_scored else None
    return report.score if report and has_score(report) else None


def max_score_of(report: Report | None, entry: ScoreEntry | None = None) -> float:
    """The points that can be earned: the gradebook's, with the cells that a human marks, or else the report's."""
    return entry.max_score if entry else report.max_score if report else 0.0


def changed(report: Report, entry: ScoreEntry | None) -> str:
    """How a score was changed after handgrad gave it; empty if it was not."""
    if entry is None:
        return ""
    changes = [f"by hand: {', '.join(scored_by_hand(report, entry))}"] if entry.by_hand else []
    if entry.penalty:
        changes.append(f"late: {number(entry.penalty)} point{'' if entry.penalty == 1 else 's'} off")
    if report.outcome == "graded" and abs(entry.final - report.score) > 1e-9:
        changes.append(f"handgrad gave {number(report.score)}")
    elif is_earlier(report, entry):
        changes.append("the score is from an earlier hand-in")
    return "; ".join(changes)


def is_earlier(report: Report | None, entry: ScoreEntry | None) -> bool:
    """Whether the score is from an earlier hand-in: the last one could not be graded."""
    return report is not None and report.outcome != "graded" and entry is not None and entry.is_scored


def resubmitted(first: Report, now: Report) -> str:
    """What a resubmission changed since the first hand-in: scores, and the gradients that are right now or no longer.

    The scores are handgrad's own, before manual scores and late penalties.
    """
    scores = [number(report.score) if has_score(report) else report.outcome for report in (first, now)]
    before, after = (
        {one_line(verdict.gradient): verdict.outcome == "passed" for verdict in report.checks}
        for report in (first, now)
    )
    gained = [name for name, is_right in after.items() if is_right and not before.get(name)]
    lost = [name for name, was_right in before.items() if was_right and not after.get(name)]
    parts = [f"first {scores[0]}, now {scores[1]}"]
    parts += [
        f"{said}: {few(found, FEW)}" for said, found in (("now right", gained), ("no longer right", lost)) if found
    ]
    return "; ".join(parts)


def scored_by_hand(report: Report, entry: ScoreEntry) -> list[str]:
    """The gradients whose cells were scored by hand."""
    gradients = {verdict.id: verdict.gradient for verdict in report.checks}
    return [one_line(gradients.get(cell, cell)) for cell in entry.by_hand]


def has_score(report: Report) -> bool:
    """Whether a score may be shown: not if the grader failed or there was nothing to score."""
    return report.outcome == "graded" or (report.outcome != "not-graded" and report.max_score > 0)


def grouped(report: Report, names: int) -> str:
    """The gradients that did not pass, by outcome: their numbers, and the first ``names`` of all names."""
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


@dataclass(frozen=True)
class Item:
    """The item statistics of one gradient."""

    difficulty: float
    """Mean share of its points, 0 to 1: the smaller, the harder."""
    discrimination: float | None
    """Correlation of its points with the points of all other gradients, -1 to 1; None for fewer than ten submissions,
    or if all have the same points."""


def items(reports: Sequence[Report]) -> dict[str, Item]:
    """The item statistics of each gradient, by its name; graded submissions only."""
    earned: dict[str, list[float]] = {}
    others: dict[str, list[float]] = {}
    for report in reports:
        if report.outcome != "graded":
            continue
        score = report.score
        for verdict in report.checks:
            share = verdict.points / verdict.max_points if verdict.max_points else 0.0
            earned.setdefault(verdict.gradient, []).append(share)
            others.setdefault(verdict.gradient, []).append(score - verdict.points)
    return {name: Item(mean(shares), _correlation(shares, others[name])) for name, shares in earned.items()}


def _correlation(shares: Sequence[float], others: Sequence[float]) -> float | None:
    if len(shares) >= FEWEST:
        # raised if all values are the same
        with suppress(StatisticsError):
            return correlation(shares, others)
    return None


@dataclass(frozen=True)
class Example:
    """A cell with a mistake, made anonymous, and the number of students who wrote it."""

    source: str
    count: int


@dataclass(frozen=True)
class CommonMistake:
    """One mistake in one gradient: its slug, the gradient, and the cell (a grade_id) that it is in.

    ``what`` and ``advice`` are the sentences that most of the ``students`` who made it got.
    """

    mistake: str
    gradient: str
    cell: str
    what: str
    advice: str
    students: tuple[str, ...]


def find_common_mistakes(reports: Sequence[Report]) -> tuple[CommonMistake, ...]:
    """The recognised mistakes in gradients that did not pass, the most frequent first."""
    made: dict[tuple[str, str], list[tuple[str, Diagnosis]]] = {}
    for report in reports:
        for verdict in report.checks:
            if verdict.diagnosis and verdict.outcome != "passed":
                key = verdict.diagnosis.mistake, verdict.gradient
                made.setdefault(key, []).append((report.student, verdict.diagnosis))
    found = []
    for (mistake, gradient), those in sorted(made.items(), key=lambda item: -len(item[1]))[:MOST]:
        texts = mode((each.cell, clean(each.what), clean(each.advice)) for _, each in those)
        found.append(
            CommonMistake(one_line(mistake), one_line(gradient), *texts, tuple(student for student, _ in those))
        )
    return tuple(found)
