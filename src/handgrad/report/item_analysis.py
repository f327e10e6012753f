"""How each gradient did as a question: how many got it, and whether those who got it are those who got the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation, mean

from handgrad.report.records import Report

__all__ = ["Item", "items"]

FEWEST = 10
"""Submissions below which a correlation says nothing."""


@dataclass(frozen=True)
class Item:
    """One gradient as a question.

    Attributes
    ----------
    difficulty
        Mean share of its points, 0 to 1: the smaller, the harder.
    discrimination
        Correlation of its points with the points of all other gradients, -1 to 1; None for fewer than ten submissions,
        and where all have the same points.
    """

    difficulty: float
    discrimination: float | None


def items(reports: Sequence[Report]) -> dict[str, Item]:
    """Each gradient of the graded submissions as a question, by its name."""
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
    if len(shares) < FEWEST:
        return None
    try:
        return correlation(shares, others)
    except StatisticsError:
        # all the same: nothing to compare
        return None
