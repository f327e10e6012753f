"""The map of an exercise: its forward graph as one SVG, and as text, with the state of every gradient."""

from handgrad.report.graph.forward_graph import ForwardGraph
from handgrad.report.graph.svg import Node, draw
from handgrad.student.progress import GradientStatus, Progress, Status
from handgrad.student.style import BLUE, COLOURS, SANS, SIGNS, block, escape

__all__ = ["html", "summary", "text"]

MEANINGS: dict[Status, str] = {
    "right": "agrees with autograd",
    "wrong": "does not agree with autograd",
    "carried": "right for the gradients that it was made from, but one of those is wrong",
    "not yet": "not written yet",
}


def summary(stock: Progress) -> str:
    """How many gradients are in which state, and the next one to do, in a sentence or two."""
    counts = [f"{number} {state}" for state in SIGNS if (number := stock.count(state))]
    said = f"Of {len(stock.statuses)} gradients: {', '.join(counts)}."
    return f"{said} {_advice(stock)}"


def text(stock: Progress) -> str:
    """The map for a reader without pictures: a line for each gradient, in the order of the work."""
    names = max(len(one.gradient) for one in stock.statuses)
    lines = [summary(stock)]
    for one in reversed(stock.statuses):
        pointer = "\u2192" if one.tensor == stock.next else " "
        lines.append(f"{pointer} {SIGNS[one.state]} {one.gradient:{names}s}  {one.state:7s}  {one.shape}")
    return "\n".join(lines)


def html(stock: Progress) -> str:
    """The map: a sentence, a legend and the graph."""
    legend = "".join(
        f'<span style="margin-right:16px;white-space:nowrap" title="{escape(MEANINGS[state])}">'
        f'<span style="color:{COLOURS[state]};font-weight:700" aria-hidden="true">{SIGNS[state]}</span> '
        f"{stock.count(state)} {state}</span>"
        for state in SIGNS
    )
    below = "Arrows follow the forward pass. You work against them, from the loss back."
    above = (
        f'<div style="margin-bottom:8px"><span style="font-weight:600">{escape(_advice(stock))}</span><br/>'
        f'<span style="opacity:0.85">{legend}</span></div>'
    )
    return block(
        f'{above}{_svg(stock)}<div style="opacity:0.75">{below}</div>', "margin:4px 0;max-width:1040px", "progress"
    )


def _advice(stock: Progress) -> str:
    if stock.next is None:
        return "All gradients are right. `handgrad check` looks at them on fresh data, as the grader will."
    state = next(one.state for one in stock.statuses if one.tensor == stock.next)
    return f"Next: d{stock.next}, which is {state}." if state == "wrong" else f"Next: d{stock.next}."


def _svg(stock: Progress) -> str:
    graph = ForwardGraph(
        {one.tensor: one.consumers for one in stock.statuses},
        frozenset(one.tensor for one in stock.statuses if one.leaf),
    )
    return draw(
        graph,
        {one.tensor: _node(one, one.tensor == stock.next) for one in stock.statuses},
        label=summary(stock),
        title="The forward pass, and how the gradient of each tensor stands",
        description=text(stock),
        style=SANS,
        ringed=stock.next,
        ring_colour=BLUE,
    )


def _node(one: GradientStatus, is_next: bool) -> Node:
    colour = COLOURS[one.state]
    remark = "; this loss cannot show much of it, its true gradient is zero" if one.blind else ""
    dashed = ' stroke-dasharray="4 3"' if one.state == "not yet" else ""
    return Node(
        middle=" \u00d7 ".join(str(size) for size in one.shape) or "one number",
        lowest=_word(one.state, is_next),
        title=f"{one.gradient}, {one.shape}: {MEANINGS[one.state]}{remark}{'. Next to do' if is_next else ''}",
        paint=(
            f'fill="{colour}" fill-opacity="{0.08 if one.state == "not yet" else 0.16}" stroke="{colour}" '
            f'stroke-width="1.5"{dashed}'
        ),
        data=f'data-state="{one.state}"',
    )


def _word(state: Status, is_next: bool) -> str:
    if is_next:
        return "\u2192 next" if state == "not yet" else f"{SIGNS[state]} {state} \u2192 next"
    return f"{SIGNS[state]} {state}"
