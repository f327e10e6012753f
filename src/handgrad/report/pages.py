"""The HTML pages: of a class, and a student's feedback. Their templates, styles and scripts are next to this file."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from html import escape
from importlib.resources import files
from itertools import groupby, pairwise
from statistics import mean, median
from typing import TYPE_CHECKING

from handgrad.report import wording
from handgrad.report.class_charts import distribution, gradient_chart, item_chart, score_chart
from handgrad.report.class_summary import (
    ClassSummary,
    Example,
    attention,
    changed,
    find_common_mistakes,
    grouped,
    items,
    resubmitted,
    score_of,
    summarise,
)
from handgrad.report.graph import Node, draw, draw_by_part
from handgrad.report.names import alike, alike_sentence, called, shown
from handgrad.report.parts import FOLDED_FROM, by_part, verdicts_by_part
from handgrad.report.records import AcceptedAnswer, ForwardGraph, Report, ScoreEntry, Verdict, final_score
from handgrad.report.term import Term
from handgrad.report.wording import KINDS, LOOKS, isolation, lecture_line, number, one_line, part_progress

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["ClassContext", "Feedback", "Links", "Piece", "class_page", "feedback_page", "term_page"]

NAMED = 6
"""Gradients named in a student's row; the others are in the details."""
RATES = ((0.9, "90% or more"), (0.75, "75%"), (0.5, "50%"), (0.25, "25%"), (0.0, "less"))
"""Lower limits of the share that is right for each colour of a box, and their labels."""


@dataclass(frozen=True)
class Links:
    """Relative links from the class page to a student's feedback page and autograded notebook; empty if there is none.

    The feedback page shows the student's cells too, so the notebook is linked only where there is no page.
    """

    notebook: str = ""
    feedback: str = ""


@dataclass(frozen=True)
class ClassContext:
    """What is known of a class besides its reports."""

    graph: ForwardGraph | None = None
    """The exercise's forward graph; None if it is not available."""
    entries: Mapping[str, ScoreEntry] = field(default_factory=dict)
    """The gradebook's entry of each student."""
    examples: Mapping[tuple[str, str], Sequence[Example]] = field(default_factory=dict)
    """Cells with a mistake, by the mistake and its gradient."""
    links: Mapping[str, Links] = field(default_factory=dict)
    """The links to each student's files."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The students' names by their ids."""
    absent: Sequence[str] = ()
    """The ids of those who have not handed in."""
    first: Mapping[str, Report] = field(default_factory=dict)
    """For each student who handed in again, the report on the first hand-in."""
    accepted: Sequence[AcceptedAnswer] = ()
    """The log of accepted answers, the oldest first."""
    unmatched: Sequence[str] = ()
    """Sentences about hand-ins that are nobody's of the roster."""
    is_anonymous: bool = False
    """Whether the page is for showing in class: see :func:`.anonymity.without_names`."""


def class_page(reports: Sequence[Report], title: str, context: ClassContext | None = None) -> str:
    """A class on one self-contained page: loads nothing, suits paper and dark screens.

    Its one script sorts and filters; the page has the same content without it. The reports are listed in their order.
    """
    context = context or ClassContext()
    summary = summarise(reports, context.entries, context.names)
    analysis = items(reports)
    return _template("class.html").render(
        title=title,
        reports=reports,
        context=context,
        summary=summary,
        analysis=analysis,
        mistakes=find_common_mistakes(reports),
        graph=_class_graph(context.graph, summary, max((report.checks for report in reports), key=len))
        if context.graph and summary.scores
        else "",
        score_chart=score_chart(distribution(reports, context.entries)) if summary.scores else "",
        gradient_chart=gradient_chart(summary.gradients) if summary.gradients else "",
        item_chart=item_chart(analysis),
        isolations=sorted({isolation(report) for report in reports if report.outcome == "graded"}),
        same_names=[alike_sentence(group) for group in alike(report.student for report in reports)],
        differing=0
        if context.is_anonymous
        else sum(bool(changed(report, context.entries.get(report.student))) for report in reports),
        named=NAMED,
    )


def term_page(term: Term, title: str) -> str:
    """A class over all assignments on one self-contained page, of the same kind as :func:`class_page`."""
    return _template("term.html").render(
        term=term,
        title=title,
        totals=[student.total for student in term.students if student.total is not None],
        rate=lambda score, most: _rate(max(0.0, score / most)) if most else 0,
    )


def _digest(script: str) -> str:
    """The hash by which a page's policy allows its script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def strip(report: Report) -> list[tuple[str, str, str]]:
    """A report's verdicts in runs of the same kind: for each its kind, its signs, and the names of its gradients."""
    parts = []
    for kind, run in groupby(report.checks, lambda verdict: LOOKS[verdict.outcome].kind):
        verdicts = list(run)
        marks = "".join(LOOKS[verdict.outcome].mark for verdict in verdicts)
        parts.append((kind, marks, ", ".join(one_line(verdict.gradient) for verdict in verdicts)))
    return parts


def _class_graph(graph: ForwardGraph, summary: ClassSummary, verdicts: Sequence[Verdict]) -> str:
    """The forward graph; the colour of a tensor is the share of the class whose gradient of it is right."""
    nodes = {}
    for item in summary.gradients:
        share, wrong = item.share("right"), item.total - item.counts.get("right", 0)
        nodes[item.gradient] = Node(
            middle=f"{wrong} not" if wrong else "all",
            lowest=f"{share:.0%} right",
            title=f"{item.gradient}: {', '.join(f'{count} {kind}' for kind, count in item.counts.items())}",
            kind=f"box rate-{_rate(share)}",
            link=f"#{item.gradient}",
        )
    return _graph(
        graph,
        nodes,
        not_graded="not graded",
        label="The tensors of the forward pass, each with the share of the class whose gradient is right",
        verdicts=verdicts,
        summaries={},
    )


def _rate(share: float) -> int:
    return next(place for place, (least, _) in enumerate(RATES) if share >= least)


@dataclass(frozen=True)
class Piece:
    """A cell as it is shown; its HTML is put into the page unchanged."""

    kind: str
    """``text``; ``locked`` for the instructor's code; ``code`` for a student's; ``answer`` for a stub; ``check``;
    ``heading`` for a text of the instructor's of which its heading is shown; ``nothing`` for what is not shown."""
    name: str = ""
    """Its grade_id; empty if it has none."""
    head: str = ""
    """The heading that it begins with, as plain text."""
    body: str = ""
    """The rest of it, as HTML."""
    outputs: str = ""
    """Its outputs, as HTML."""
    remark: str = ""
    """The instructor's comment, as HTML."""
    solution: str = ""
    """The instructor's solution, as HTML; empty unless it is shown."""


@dataclass(frozen=True)
class Feedback:
    """Everything on a student's page.

    The verdicts, the student's id, the exercise's forward graph, the cells of the notebook in order; for each check
    the gradebook's score and points; the points taken off for handing in late; and the student's name, if it is known.
    """

    report: Report
    student: str
    graph: ForwardGraph
    pieces: Sequence[Piece]
    grades: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    penalty: float = 0.0
    name: str = ""

    @property
    def score(self) -> float:
        """The final score, after the late penalty."""
        return final_score(sum(score for score, _ in self.grades.values()), self.penalty)

    @property
    def max_score(self) -> float:
        """Points that can be earned."""
        return sum(points for _, points in self.grades.values())

    def by_hand(self, verdict: Verdict) -> bool:
        """Whether the gradebook has another score than the verdict's."""
        return abs(self.grades.get(verdict.id, (verdict.points, 0))[0] - verdict.points) > 1e-9


def feedback_page(feedback: Feedback) -> str:
    """A student's page: self-contained, without any script, loads nothing."""
    verdicts = {verdict.gradient: verdict for verdict in feedback.report.checks}
    not_passed = [verdict for verdict in feedback.report.checks if verdict.outcome != "passed"]
    there = {LOOKS[verdict.outcome].kind for verdict in feedback.report.checks}
    by_title = verdicts_by_part(feedback.report.checks)
    parts = {title: part_progress(verdicts_of_it, feedback.grades) for title, verdicts_of_it in by_title.items()}
    return _template("feedback.html").render(
        feedback=feedback,
        style_of=_used,
        graph=_feedback_graph(feedback, verdicts, parts) if feedback.graph.consumers else "",
        verdicts=verdicts,
        not_right=[verdict for verdict in not_passed if verdict.outcome != "missing" or verdict.diagnosis],
        unwritten=[
            verdict.gradient for verdict in not_passed if verdict.outcome == "missing" and not verdict.diagnosis
        ],
        pieces=_pieces(feedback),
        # a graph that is drawn part by part says it too
        parts={} if len(feedback.graph.consumers) > FOLDED_FROM else parts,
        line=_line,
        kinds_there=[kind for kind in KINDS if kind in there],
    )


def _line(verdict: Verdict) -> str:
    """The lecture's line as HTML, letter by letter; the page's style lets it be broken at its bars only."""
    return escape(lecture_line(verdict)).replace("| ", "|<i> </i>")


def _pieces(feedback: Feedback) -> list[Piece]:
    """The cells in order; a heading only where a cell stands below it, before the next heading."""
    pieces = [*(piece for piece in feedback.pieces if piece.kind != "nothing"), Piece("heading")]
    return [piece for piece, below in pairwise(pieces) if {piece.kind, below.kind} != {"heading"}]


def _feedback_graph(feedback: Feedback, verdicts: Mapping[str, Verdict], parts: Mapping[str, str]) -> str:
    nodes = {}
    for verdict in verdicts.values():
        score, points = feedback.grades.get(verdict.id, (verdict.points, verdict.max_points))
        nodes[verdict.gradient] = Node(
            middle=f"{number(score)} of {number(points)}",
            lowest=f"{LOOKS[verdict.outcome].mark} {verdict.outcome}",
            kind=f"box {LOOKS[verdict.outcome].kind}",
            link=f"#{verdict.gradient}",
        )
    return _graph(
        feedback.graph,
        nodes,
        not_graded="",
        label="The tensors of the forward pass, with the verdict on each of your gradients",
        verdicts=feedback.report.checks,
        summaries=parts,
    )


def _graph(
    graph: ForwardGraph,
    nodes: Mapping[str, Node],
    *,
    not_graded: str,
    label: str,
    verdicts: Sequence[Verdict],
    summaries: Mapping[str, str],
) -> str:
    """The forward graph with a node for each gradient that was graded, in the order of ``nodes``.

    ``not_graded`` is in the boxes of the others. A large graph is drawn part by part, as the ``verdicts`` have them; a
    part in which all are right is folded.
    """
    boxes = {
        tensor: nodes.get(f"d{tensor}") or Node("", not_graded, f"d{tensor} is not graded", kind="box")
        for tensor in graph.consumers
    }
    parts = verdicts_by_part(verdicts)
    if parts and len(boxes) > FOLDED_FROM:
        titles = {verdict.gradient.removeprefix("d"): title for title, group in parts.items() for verdict in group}
        tensors = by_part([*titles, *(name for name in boxes if name not in titles)], titles)
        passed = [title for title, group in parts.items() if all(verdict.outcome == "passed" for verdict in group)]
        # a class has no verdict of its own
        opened = parts.keys() - (passed if summaries else [])
        return draw_by_part(graph, boxes, tensors, summaries, opened=opened, label=label)
    return draw(graph, boxes, label=label, order=[gradient.removeprefix("d") for gradient in nodes])


def _read(name: str) -> str:
    """The text of a file of this package."""
    return files("handgrad.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _style(*names: str) -> str:
    """Style sheets without comments and white space."""
    text = re.sub(r"/\*.*?\*/|\s+", " ", "".join(map(_read, names)), flags=re.DOTALL)
    # a space before a colon is between two selectors
    return re.sub(r" *([{};,>]) *|(:) ", r"\1\2", text).replace(";}", "}")


def _used(page: str) -> str:
    """The style of a student's page: the rules for what is on it."""
    return _for_classes(frozenset(" ".join(re.findall(r'class="([^"]*)"', page)).split()))


@lru_cache(maxsize=64)
def _for_classes(there: frozenset[str]) -> str:
    def kept(rule: re.Match[str]) -> str:
        is_used = any(there.issuperset(re.findall(r"\.([a-z][\w-]*)", selector)) for selector in rule[1].split(","))
        return rule[0] if is_used else ""

    return re.sub(r"([^{}]+){[^{}]*}", kept, _style("page.css", "feedback.css"))


@cache
def _template(name: str) -> "Template":
    """A template that knows these functions and ``wording``, and escapes all that is not marked as ``safe``."""
    # jinja2 is part of the instructor's installation only; a student's `handgrad check` does not need it
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update({name: getattr(wording, name) for name in wording.__all__})
    known = (attention, called, changed, grouped, mean, median, resubmitted, score_of, shown, strip)
    environment.globals.update({function.__name__: function for function in known})
    environment.globals.update(style=_style, digest=_digest, script=_read("class.js"), rates=RATES)
    return environment.get_template(name)
