"""The mistakes of a class: what was found, where, how often, and what it looks like."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from handgrad.report.records import Report
from handgrad.report.wording import clean, one_line

__all__ = ["CommonMistake", "Example", "find_common_mistakes"]

MOST = 12
"""Mistakes that are listed: a class is taught from the frequent ones."""


@dataclass(frozen=True)
class Example:
    """A cell with a mistake, without what says whose it is, and how many students wrote it so."""

    source: str
    count: int


@dataclass(frozen=True)
class CommonMistake:
    """One mistake in one gradient.

    Attributes
    ----------
    mistake, gradient
        The mistake's slug, and the gradient in which it was made.
    cell
        The cell (a grade_id) that it stands in.
    what, advice
        The sentences that most of its students got.
    students
        Who made it.
    """

    mistake: str
    gradient: str
    cell: str
    what: str
    advice: str
    students: tuple[str, ...]


def find_common_mistakes(reports: Sequence[Report], most: int = MOST) -> tuple[CommonMistake, ...]:
    """The mistakes that were recognised in what was not right, the most frequent first."""
    students: dict[tuple[str, str], list[str]] = {}
    said: dict[tuple[str, str], Counter[tuple[str, str, str]]] = {}
    for report in reports:
        for verdict in report.checks:
            found = verdict.diagnosis
            if found and verdict.outcome != "passed":
                key = found.mistake, verdict.gradient
                students.setdefault(key, []).append(report.student)
                texts = found.cell, clean(found.what), clean(found.advice)
                said.setdefault(key, Counter())[texts] += 1
    often = sorted(students, key=lambda key: -len(students[key]))[:most]
    return tuple(
        CommonMistake(one_line(key[0]), one_line(key[1]), *said[key].most_common(1)[0][0], tuple(students[key]))
        for key in often
    )
