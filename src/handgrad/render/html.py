"""A class on one page of HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from handgrad.render.summary import KINDS, attention, grouped, has_score, summarise
from handgrad.render.words import MARKS, headline, isolation, lines, number, one_line, out_of
from handgrad.report import Report

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["class_page"]

NAMED = 6
"""Gradients named in a student's row; the rest is in the details."""


@dataclass(frozen=True)
class Bar:
    """One bar of the score distribution: its label, how many, and its length in percent of the longest."""

    label: str
    count: int
    percent: float


def class_page(reports: Sequence[Report], title: str) -> str:
    """A class on one self-contained page: no script, nothing from the network, fit for paper and for a dark screen.

    Parameters
    ----------
    reports
        In the order in which they are to be listed.
    title
        Heading of the page.
    """
    return _template().render(
        title=title,
        reports=reports,
        summary=summarise(reports),
        bars=distribution(reports),
        kinds=tuple(dict.fromkeys(KINDS.values())),
        isolations=sorted({isolation(report) for report in reports if report.outcome == "graded"}),
        marks=MARKS,
        named=NAMED,
        attention=attention,
        grouped=grouped,
        has_score=has_score,
        headline=headline,
        lines=lines,
        number=number,
        one_line=one_line,
        out_of=out_of,
    )


def distribution(reports: Sequence[Report]) -> tuple[Bar, ...]:
    """Graded submissions by their share of the points, in tenths; full marks have a bar of their own."""
    counts = [0] * 11
    for report in reports:
        if report.outcome == "graded" and report.max_score > 0:
            # rounded before it is cut: ten times 0.1 add up to 0.9999999999999999
            counts[max(0, min(int(round(10 * report.score / report.max_score, 9)), 10))] += 1
    longest = max(*counts, 1)
    labels = [f"{10 * tenth} to {10 * tenth + 10}%" for tenth in range(10)] + ["100%"]
    return tuple(Bar(label, count, 100 * count / longest) for label, count in zip(labels, counts, strict=True))


@cache
def _template() -> "Template":
    # jinja2 comes with the instructor's installation; a student's `handgrad check` does without
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("handgrad.render").joinpath("class.html").read_text(encoding="utf-8")
    return environment.from_string(source)
