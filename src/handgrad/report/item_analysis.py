"""Item analysis: the difficulty and the discrimination of each gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation, mean

from handgrad.report.records import Report

__all__ = ["Item", "items"]

FEWEST = 10
"""Smallest number of submissions for a correlation."""


@dataclass(frozen=True)
class Item:
    """The item statistics of one gradient.

    Attributes
    ----------
    difficulty
        Mean share of its points, 0 to 1: the smaller, the harder.
    discrimination
        Correlation of its points with the points of all other gradients, -1 to 1; None for fewer than ten submissions,
        or if all have the same points.
    """

    difficulty: float
    discrimination: float | None


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
    if len(shares) < FEWEST:
        return None
    try:
        return correlation(shares, others)
    except StatisticsError:
        # all values are the same
        return None
