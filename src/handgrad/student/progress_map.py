"""The map of an exercise: its forward graph with the status of every gradient, as HTML and as text."""

from collections.abc import Mapping, Sequence

from handgrad.report.graph import Node, draw, draw_by_part
from handgrad.report.parts import FOLDED_FROM, by_part
from handgrad.report.records import ForwardGraph
from handgrad.student.progress import GradientStatus, Progress, Status
from handgrad.student.style import BLUE, COLOURS, SIGNS, anchor, block, div, escape, in_ink, with_code

__all__ = ["html", "summary", "text"]

MEANINGS: dict[Status, str] = {
    "right": "agrees with autograd",
    "wrong": "does not agree with autograd",
    "carried": "right for its upstream gradients, one of which is wrong",
    "old": "older than the forward pass, which has run again since",
    "not yet": "not written yet",
}


def summary(progress: Progress) -> str:
    """How many gradients have which status, and which one is next, in two sentences."""
    counts = [f"{number} {state}" for state in SIGNS if (number := progress.count(state))]
    return f"Of {len(progress.statuses)} gradients: {', '.join(counts)}. {_advice(progress)}"


def text(progress: Progress, headings: Mapping[str, str]) -> str:
    """The map as text: a line for each gradient, in the order of the notebook, from the loss back.

    ``headings`` has the part of the exercise that each gradient belongs to.
    """
    names = max(len(status.gradient) for status in progress.statuses)
    lines = [summary(progress)]
    parts = _parts(progress, headings)
    first = {tensors[0]: title for title, tensors in parts.items()}
    for status in reversed(progress.statuses):
        if title := first.get(status.tensor):
            lines.append(f"{title}: {_count(progress, parts[title])}")
        pointer = "\u2192" if status.tensor == progress.next else " "
        lines.append(f"{pointer} {SIGNS[status.state]} {status.gradient:{names}s}  {status.state:7s}  {status.shape}")
    return "\n".join(lines)


def html(progress: Progress, headings: Mapping[str, str]) -> str:
    """The map as HTML: a sentence, a legend and the graph, of a large exercise part by part."""
    parts = _parts(progress, headings)
    legend = "".join(
        f'<span style="display:inline-block;margin-right:16px" title="{escape(MEANINGS[state])}">'
        f'<span style="{in_ink(COLOURS[state])};font-weight:700" aria-hidden="true">{SIGNS[state]}</span> '
        f"{progress.count(state)} {state}</span>"
        for state in SIGNS
    )
    advice = f'<span style="font-weight:600">{with_code(_advice(progress))}</span>'
    above = div("margin-bottom:8px", f'{advice}<br/><span style="opacity:0.85">{legend}</span>')
    note = (
        "Arrows follow the forward pass. You work against them, from the loss back. A click on a box goes to the check "
        "of its gradient, once that has been run."
    )
    below = div("opacity:0.8;margin-top:8px", note)
    if parts and len(progress.statuses) > FOLDED_FROM:
        return block(above + _graph(progress, parts) + below, "margin:4px 0", "progress")
    each = " \u00b7 ".join(f"{escape(title)}: {_count(progress, tensors)}" for title, tensors in parts.items())
    above += div("margin-bottom:8px;opacity:0.85", each) if parts else ""
    return block(above + _graph(progress, {}) + below, "margin:4px 0", "progress")


def _parts(progress: Progress, headings: Mapping[str, str]) -> dict[str, list[str]]:
    """The tensors of each part of the exercise, from the loss back; empty if there are not two parts."""
    known = {status.tensor: headings.get(status.gradient, "") for status in progress.statuses}
    return by_part((status.tensor for status in reversed(progress.statuses)), known) if any(known.values()) else {}


def _count(progress: Progress, tensors: Sequence[str]) -> str:
    right = sum(status.state == "right" for status in progress.statuses if status.tensor in tensors)
    return f"{right} of {len(tensors)} right"


def _advice(progress: Progress) -> str:
    if progress.next is None:
        return "All gradients are right. `handgrad check` checks them on fresh data, as the grader will."
    state = next(status.state for status in progress.statuses if status.tensor == progress.next)
    if state == "old":
        return f"Next: run your cells again from the cell of d{progress.next}, which is older than the forward pass."
    return f"Next: d{progress.next}, which is {state}." if state == "wrong" else f"Next: d{progress.next}."


def _graph(progress: Progress, parts: Mapping[str, Sequence[str]]) -> str:
    statuses = progress.statuses[::-1]
    graph = ForwardGraph(
        {status.tensor: status.consumers for status in statuses},
        frozenset(status.tensor for status in statuses if status.leaf),
    )
    nodes = {status.tensor: _node(status, status.tensor == progress.next) for status in statuses}
    label = "The tensors of the forward pass, from the loss back, with the status of each gradient"
    if not parts:
        return draw(graph, nodes, label=label, order=list(graph.consumers))
    to_look_at = {status.tensor for status in statuses if status.state in ("wrong", "carried", "old")} | {progress.next}
    opened = [title for title, tensors in parts.items() if to_look_at.intersection(tensors)]
    summaries = {title: _count(progress, tensors) for title, tensors in parts.items()}
    return draw_by_part(graph, nodes, parts, summaries, opened=opened, label=label)


def _node(status: GradientStatus, is_next: bool) -> Node:
    colour = COLOURS[status.state]
    remark = "; its true gradient is zero, so this loss cannot show much of it" if status.blind else ""
    frame = "dashed" if status.state == "not yet" else "solid"
    strength = 8 if status.state == "not yet" else 16
    ring = f";outline:2.5px solid {BLUE};outline-offset:3px" if is_next else ""
    return Node(
        middle=" \u00d7 ".join(str(size) for size in status.shape) or "one number",
        lowest=_word(status.state, is_next),
        title=f"{status.gradient}, {status.shape}: {MEANINGS[status.state]}{remark}{'. Next to do' if is_next else ''}",
        paint=f"border:1.5px {frame} {colour};background:color-mix(in srgb,{colour} {strength}%,transparent){ring}",
        data=f'data-state="{status.state}"',
        link=f"#{anchor(status.gradient)}",
    )


def _word(state: Status, is_next: bool) -> str:
    if is_next:
        return "\u2192 next" if state == "not yet" else f"{SIGNS[state]} {state} \u2192 next"
    return f"{SIGNS[state]} {state}"
