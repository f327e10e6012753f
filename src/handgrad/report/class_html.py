"""The page of a class, as one HTML file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from handgrad.report.class_charts import distribution, gradient_chart, item_chart, score_chart
from handgrad.report.class_summary import (
    ClassSummary,
    Example,
    attention,
    changed,
    find_common_mistakes,
    grouped,
    items,
    score_of,
    summarise,
)
from handgrad.report.graph.forward_graph import ForwardGraph
from handgrad.report.graph.svg import Node, draw
from handgrad.report.records import Report, ScoreEntry
from handgrad.report.templates import read, template
from handgrad.report.wording import LOOKS, isolation, one_line

__all__ = ["ClassContext", "Links", "class_page"]

NAMED = 6
"""Gradients named in a student's row; the others are in the details."""
RATES = ((0.9, "90% or more"), (0.75, "75%"), (0.5, "50%"), (0.25, "25%"), (0.0, "less"))
"""Lower limits of the share that is right for each colour of a box, and their labels."""


@dataclass(frozen=True)
class Links:
    """Relative links from the class page to a student's notebook and feedback page; empty if there is none."""

    notebook: str = ""
    feedback: str = ""


@dataclass(frozen=True)
class ClassContext:
    """What is known of a class besides its reports.

    Attributes
    ----------
    graph
        The exercise's forward graph; None if it is not available.
    entries
        The gradebook's entry of each student.
    examples
        For a mistake and a gradient, cells with that mistake.
    links
        Links to each student's files.
    """

    graph: ForwardGraph | None = None
    entries: Mapping[str, ScoreEntry] = field(default_factory=dict)
    examples: Mapping[tuple[str, str], Sequence[Example]] = field(default_factory=dict)
    links: Mapping[str, Links] = field(default_factory=dict)


def class_page(reports: Sequence[Report], title: str, context: ClassContext | None = None) -> str:
    """A class on one self-contained page: loads nothing, suits paper and dark screens.

    Its one script sorts and filters; the page has the same content without it.

    Parameters
    ----------
    reports
        In the order in which they are to be listed.
    title
        Heading of the page.
    context
        What is known besides the reports.
    """
    context = context or ClassContext()
    summary = summarise(reports, context.entries)
    analysis = items(reports)
    script = read("class.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template("class.html").render(
        title=title,
        style=read("page.css") + read("class.css"),
        script=script,
        digest=digest,
        reports=reports,
        context=context,
        summary=summary,
        analysis=analysis,
        mistakes=find_common_mistakes(reports),
        rates=RATES,
        graph=_graph(context.graph, summary) if context.graph and summary.scores else "",
        score_chart=score_chart(distribution(reports, context.entries)) if summary.scores else "",
        gradient_chart=gradient_chart(summary.gradients) if summary.gradients else "",
        item_chart=item_chart(analysis),
        isolations=sorted({isolation(report) for report in reports if report.outcome == "graded"}),
        differing=sum(bool(changed(report, context.entries.get(report.student))) for report in reports),
        named=NAMED,
        attention=attention,
        changed=changed,
        grouped=grouped,
        score_of=score_of,
        strip=strip,
    )


def strip(report: Report) -> list[tuple[str, str, str]]:
    """A report's verdicts in runs of the same kind: for each its kind, its signs, and the names of its gradients."""
    parts = []
    for kind, run in groupby(report.checks, lambda verdict: LOOKS[verdict.outcome].kind):
        verdicts = list(run)
        marks = "".join(LOOKS[verdict.outcome].mark for verdict in verdicts)
        parts.append((kind, marks, ", ".join(one_line(verdict.gradient) for verdict in verdicts)))
    return parts


def _graph(graph: ForwardGraph, summary: ClassSummary) -> str:
    """The forward graph; the colour of a tensor is the share of the class whose gradient of it is right."""
    gradients = {item.gradient: item for item in summary.gradients}
    nodes = {}
    texts = []
    for tensor in graph.consumers:
        item = gradients.get(f"d{tensor}")
        if item is None:
            nodes[tensor] = Node("", "not graded", f"d{tensor} is not graded", 'class="box"')
            continue
        share, wrong = item.share("right"), item.total - item.counts.get("right", 0)
        kinds = ", ".join(f"{count} {kind}" for kind, count in item.counts.items())
        texts.append(f"{item.gradient}: {share:.0%} right")
        nodes[tensor] = Node(
            middle=f"{wrong} not" if wrong else "all",
            lowest=f"{share:.0%} right",
            title=f"{item.gradient}: {kinds}",
            paint=f'class="box rate-{_rate(share)}"',
            link=f"#{item.gradient}",
        )
    return draw(
        graph,
        nodes,
        label="The forward pass, each tensor with the share of the class whose gradient is right",
        title="Where the class got lost",
        description="; ".join(texts),
        style="font-family:inherit",
    )


def _rate(share: float) -> int:
    return next(place for place, (least, _) in enumerate(RATES) if share >= least)
