"""The frequent mistakes of a class: what, where, how often, with example cells."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from handgrad.report.records import Report
from handgrad.report.wording import clean, one_line

__all__ = ["CommonMistake", "Example", "find_common_mistakes"]

MOST = 12
"""Mistakes that are listed at most."""


@dataclass(frozen=True)
class Example:
    """A cell with a mistake, made anonymous, and the number of students who wrote it."""

    source: str
    count: int


@dataclass(frozen=True)
class CommonMistake:
    """One mistake in one gradient.

    Attributes
    ----------
    mistake, gradient
        The mistake's slug, and the gradient that has it.
    cell
        The cell (a grade_id) that it is in.
    what, advice
        The sentences that most of these students got.
    students
        The students who made it.
    """

    mistake: str
    gradient: str
    cell: str
    what: str
    advice: str
    students: tuple[str, ...]


def find_common_mistakes(reports: Sequence[Report], most: int = MOST) -> tuple[CommonMistake, ...]:
    """The recognised mistakes in gradients that did not pass, the most frequent first."""
    students: dict[tuple[str, str], list[str]] = {}
    texts: dict[tuple[str, str], Counter[tuple[str, str, str]]] = {}
    for report in reports:
        for verdict in report.checks:
            diagnosis = verdict.diagnosis
            if diagnosis and verdict.outcome != "passed":
                key = diagnosis.mistake, verdict.gradient
                students.setdefault(key, []).append(report.student)
                text = diagnosis.cell, clean(diagnosis.what), clean(diagnosis.advice)
                texts.setdefault(key, Counter())[text] += 1
    frequent = sorted(students, key=lambda key: -len(students[key]))[:most]
    return tuple(
        CommonMistake(one_line(key[0]), one_line(key[1]), *texts[key].most_common(1)[0][0], tuple(students[key]))
        for key in frequent
    )
