"""A student's feedback page: the score, the graph of the gradients, and every cell with its verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from handgrad.report.graph.forward_graph import ForwardGraph
from handgrad.report.graph.svg import Node, draw
from handgrad.report.records import Report, Verdict
from handgrad.report.templates import read, template
from handgrad.report.wording import KINDS, LOOKS, number

__all__ = ["Feedback", "Piece", "feedback_page"]


@dataclass(frozen=True)
class Piece:
    """A cell as it is shown; its HTML is put into the page unchanged.

    Attributes
    ----------
    kind
        ``text``; ``locked`` for the instructor's code; ``code`` for a student's; ``answer`` for a stub; ``check``.
    name
        Its grade_id; empty if it has none.
    head
        The heading that it begins with, as plain text.
    body, outputs
        The rest of it, and its outputs, as HTML.
    remark
        The instructor's comment, as HTML.
    solution
        The instructor's solution, as HTML; empty unless it is shown.
    """

    kind: str
    name: str = ""
    head: str = ""
    body: str = ""
    outputs: str = ""
    remark: str = ""
    solution: str = ""


@dataclass(frozen=True)
class Feedback:
    """Everything on a student's page.

    Attributes
    ----------
    report
        The verdicts.
    student
        The student's name.
    graph
        The exercise's forward graph.
    pieces
        The cells of the notebook, in order.
    grades
        For each check, the gradebook's score and points.
    penalty
        Points taken off for handing in late.
    """

    report: Report
    student: str
    graph: ForwardGraph
    pieces: Sequence[Piece]
    grades: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    penalty: float = 0.0

    @property
    def score(self) -> float:
        """The final score, after the late penalty."""
        return max(0.0, sum(score for score, _ in self.grades.values()) - self.penalty)

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
    return template("feedback.html").render(
        feedback=feedback,
        style=read("page.css") + read("feedback.css"),
        graph=_graph(feedback, verdicts) if feedback.graph.consumers else "",
        verdicts=verdicts,
        not_right=[verdict for verdict in not_passed if verdict.outcome != "missing" or verdict.diagnosis],
        unwritten=[
            verdict.gradient for verdict in not_passed if verdict.outcome == "missing" and not verdict.diagnosis
        ],
        groups=_grouped(feedback.pieces),
        kinds_there=[kind for kind in KINDS if kind in there],
    )


def _grouped(pieces: Sequence[Piece]) -> list[tuple[str, list[Piece]]]:
    """The cells in order: each alone, but a run of the instructor's cells as one group under its first heading.

    The last text of a run stays alone: it is about the answer below.
    """
    groups: list[tuple[str, list[Piece]]] = []
    for instructors, run in groupby(pieces, lambda piece: piece.kind in ("text", "locked")):
        cells = list(run)
        if instructors and len(cells) > 2:
            last = cells.pop() if cells[-1].kind == "text" else None
            groups.append((next((piece.head for piece in cells if piece.head), "The exercise"), cells))
            cells = [last] if last else []
        groups += [("", [piece]) for piece in cells]
    return groups


def _graph(feedback: Feedback, verdicts: Mapping[str, Verdict]) -> str:
    nodes = {}
    for tensor in feedback.graph.consumers:
        verdict = verdicts.get(f"d{tensor}")
        if verdict is None:
            nodes[tensor] = Node("", "", f"d{tensor} is not graded", 'class="box"')
            continue
        score, points = feedback.grades.get(verdict.id, (verdict.points, verdict.max_points))
        nodes[tensor] = Node(
            middle=f"{number(score)} of {number(points)}",
            lowest=f"{LOOKS[verdict.outcome].mark} {verdict.outcome}",
            title=f"{verdict.gradient}: {verdict.outcome}",
            paint=f'class="box {LOOKS[verdict.outcome].kind}"',
            link=f"#{verdict.gradient}",
        )
    description = "; ".join(f"{verdict.gradient}: {verdict.outcome}" for verdict in verdicts.values())
    return draw(
        feedback.graph,
        nodes,
        label="The forward pass, with the verdict on each of your gradients",
        title="Your gradients",
        description=description,
        style="font-family:inherit",
    )
