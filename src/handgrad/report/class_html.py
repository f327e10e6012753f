"""A class on one page of HTML."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from handgrad.report.class_charts import distribution, gradient_chart, item_chart, score_chart
from handgrad.report.class_summary import KINDS, ClassSummary, attention, changed, grouped, score_of, summarise
from handgrad.report.common_mistakes import Example, find_common_mistakes
from handgrad.report.graph.forward_graph import ForwardGraph
from handgrad.report.graph.svg import Node, draw
from handgrad.report.item_analysis import items
from handgrad.report.records import Report, ScoreEntry, Verdict
from handgrad.report.templates import read, template
from handgrad.report.wording import MARKS, clean, headline, isolation, lines, number, one_line, out_of

__all__ = ["ClassContext", "Links", "class_page"]

NAMED = 6
"""Gradients named in a student's row; the rest is in the details."""
RATES = ((0.9, "90% or more"), (0.75, "75%"), (0.5, "50%"), (0.25, "25%"), (0.0, "less"))
"""Steps of the share that is right, from which on a box of the graph has its colour."""


@dataclass(frozen=True)
class Links:
    """Where a student's notebook and feedback page are, as seen from the class's page; empty where there is none."""

    notebook: str = ""
    feedback: str = ""


@dataclass(frozen=True)
class ClassContext:
    """What is known of a class beside its reports.

    Attributes
    ----------
    graph
        The exercise's forward graph; None where there is none to be had.
    entries
        What the gradebook says of each student.
    examples
        For a mistake and a gradient, cells with it.
    links
        Where each student's files are.
    """

    graph: ForwardGraph | None = None
    entries: Mapping[str, ScoreEntry] = field(default_factory=dict)
    examples: Mapping[tuple[str, str], Sequence[Example]] = field(default_factory=dict)
    links: Mapping[str, Links] = field(default_factory=dict)


def class_page(reports: Sequence[Report], title: str, beside: ClassContext | None = None) -> str:
    """A class on one self-contained page: nothing from the network, fit for paper and for a dark screen.

    The one script in it sorts and filters; without it the page says the same.

    Parameters
    ----------
    reports
        In the order in which they are to be listed.
    title
        Heading of the page.
    beside
        What is known beside the reports.
    """
    beside = beside or ClassContext()
    summary = summarise(reports, beside.entries)
    kinds = tuple(dict.fromkeys(KINDS.values()))
    questions = items(reports)
    script = read("class.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template("class.html").render(
        title=title,
        style=read("page.css") + read("class.css"),
        script=script,
        digest=digest,
        reports=reports,
        beside=beside,
        summary=summary,
        kinds=kinds,
        questions=questions,
        findings=find_common_mistakes(reports),
        rates=RATES,
        graph=_graph(beside.graph, summary) if beside.graph and summary.scores else "",
        score_chart=score_chart(distribution(reports, beside.entries)) if summary.scores else "",
        gradient_chart=gradient_chart(summary.gradients, kinds) if summary.gradients else "",
        item_chart=item_chart(questions),
        isolations=sorted({isolation(report) for report in reports if report.outcome == "graded"}),
        differing=sum(bool(changed(one, beside.entries.get(one.student))) for one in reports),
        marks=MARKS,
        named=NAMED,
        attention=attention,
        changed=changed,
        clean=clean,
        grouped=grouped,
        headline=headline,
        lines=lines,
        number=number,
        one_line=one_line,
        out_of=out_of,
        score_of=score_of,
        strip=strip,
    )


def strip(report: Report) -> list[tuple[str, str, str]]:
    """A report's verdicts in a row: for each run of one kind its kind, its marks, and the names of its gradients."""
    runs = groupby(report.checks, lambda verdict: KINDS[verdict.outcome])
    return [(kind, *_run(list(verdicts))) for kind, verdicts in runs]


def _run(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    marks = "".join(MARKS[verdict.outcome] for verdict in verdicts)
    return marks, ", ".join(one_line(verdict.gradient) for verdict in verdicts)


def _graph(graph: ForwardGraph, summary: ClassSummary) -> str:
    """The forward graph, each tensor painted by the share of the class whose gradient of it is right."""
    found = {one.gradient: one for one in summary.gradients}
    nodes = {}
    told = []
    for tensor in graph.consumers:
        one = found.get(f"d{tensor}")
        if one is None:
            nodes[tensor] = Node("", "not graded", f"d{tensor} is not graded", 'class="box"')
            continue
        share, wrong = one.share("right"), one.total - one.counts.get("right", 0)
        kinds = ", ".join(f"{count} {kind}" for kind, count in one.counts.items())
        told.append(f"{one.gradient}: {share:.0%} right")
        nodes[tensor] = Node(
            middle=f"{wrong} not" if wrong else "all",
            lowest=f"{share:.0%} right",
            title=f"{one.gradient}: {kinds}",
            paint=f'class="box rate-{_rate(share)}"',
            link=f"#{one.gradient}",
        )
    return draw(
        graph,
        nodes,
        label="The forward pass, each tensor with the share of the class whose gradient is right",
        title="Where the class got lost",
        description="; ".join(told),
        style="font-family:inherit",
    )


def _rate(share: float) -> int:
    return next(place for place, (least, _) in enumerate(RATES) if share >= least)
