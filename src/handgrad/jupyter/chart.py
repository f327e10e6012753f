"""The map of an exercise: its forward graph as one SVG, and as text, with the state of every gradient."""

from handgrad import graph
from handgrad.jupyter.layout import Box, Edge, Layout, lay_out
from handgrad.jupyter.style import BLUE, COLOURS, SANS, SIGNS, block, escape, number
from handgrad.scenes import LOSS
from handgrad.standing import Standing, State, Stock

__all__ = ["html", "summary", "text"]

MEANINGS: dict[State, str] = {
    "right": "agrees with autograd",
    "wrong": "does not agree with autograd",
    "carried": "right for the gradients that it was made from, but one of those is wrong",
    "not yet": "not written yet",
}


def summary(stock: Stock) -> str:
    """How many gradients are in which state, and the next one to do, in a sentence or two."""
    counts = [f"{number} {state}" for state in SIGNS if (number := stock.count(state))]
    said = f"Of {len(stock.standings)} gradients: {', '.join(counts)}."
    return f"{said} {_advice(stock)}"


def text(stock: Stock) -> str:
    """The map for a reader without pictures: a line for each gradient, in the order of the work."""
    names = max(len(one.gradient) for one in stock.standings)
    lines = [summary(stock)]
    for one in reversed(stock.standings):
        pointer = "\u2192" if one.tensor == stock.next else " "
        lines.append(f"{pointer} {SIGNS[one.state]} {one.gradient:{names}s}  {one.state:7s}  {one.shape}")
    return "\n".join(lines)


def html(stock: Stock) -> str:
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


def _advice(stock: Stock) -> str:
    if stock.next is None:
        return "All gradients are right. `handgrad check` looks at them on fresh data, as the grader will."
    state = next(one.state for one in stock.standings if one.tensor == stock.next)
    return f"Next: d{stock.next}, which is {state}." if state == "wrong" else f"Next: d{stock.next}."


def _svg(stock: Stock) -> str:
    consumers = {one.tensor: one.consumers for one in stock.standings}
    leaves = {one.tensor for one in stock.standings if one.leaf}
    layout = lay_out(consumers, graph.distances(consumers), leaves)
    edges = "".join(_edge(edge) for edge in layout.edges.values())
    # below the arrows, which end inside it
    ring = _ring(layout.boxes[stock.next]) if stock.next else ""
    nodes = "".join(_node(one, layout.boxes[one.tensor], one.tensor == stock.next) for one in stock.standings)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(summary(stock))}" '
        f'viewBox="0 0 {number(layout.width)} {number(layout.height)}" width="{number(layout.width)}" '
        f'style="display:block;max-width:100%;height:auto;color:inherit;{SANS}">'
        f"<title>The forward pass, and how the gradient of each tensor stands</title>"
        f"<desc>{escape(text(stock))}</desc>{ring}{edges}{_loss(layout)}{nodes}</svg>"
    )


def _edge(edge: Edge) -> str:
    return (
        f'<path d="{edge.line}" fill="none" stroke="currentColor" stroke-opacity="0.5" stroke-width="1.5"/>'
        f'<path d="{edge.arrow}" fill="currentColor" fill-opacity="0.6"/>'
    )


def _loss(layout: Layout) -> str:
    box = layout.boxes[LOSS]
    return (
        f'<g><rect x="{number(box.left)}" y="{number(box.top)}" width="{number(box.width)}" '
        f'height="{number(box.height)}" rx="{number(box.height / 2)}" fill="currentColor" fill-opacity="0.1"/>'
        f"{_text(box.x, box.y + 5, LOSS, 14, bold=True)}</g>"
    )


def _node(one: Standing, box: Box, is_next: bool) -> str:
    colour = COLOURS[one.state]
    remark = "; this loss cannot show much of it, its true gradient is zero" if one.blind else ""
    title = f"{one.gradient}, {one.shape}: {MEANINGS[one.state]}{remark}{'. Next to do' if is_next else ''}"
    dashed = ' stroke-dasharray="4 3"' if one.state == "not yet" else ""
    shape = " \u00d7 ".join(str(size) for size in one.shape) or "one number"
    return (
        f'<g data-tensor="{escape(one.tensor)}" data-state="{one.state}"><title>{escape(title)}</title>'
        f'<rect x="{number(box.left)}" y="{number(box.top)}" width="{number(box.width)}" height="{number(box.height)}" '
        f'rx="9" fill="{colour}" fill-opacity="{0.08 if one.state == "not yet" else 0.16}" stroke="{colour}" '
        f'stroke-width="1.5"{dashed}/>'
        f"{_text(box.x, box.y - 11, one.tensor, _fitting(one.tensor, box.width), bold=True)}"
        f"{_text(box.x, box.y + 5, shape, 12, opacity=0.7)}"
        f"{_text(box.x, box.y + 22, _word(one.state, is_next), 12)}</g>"
    )


def _word(state: State, is_next: bool) -> str:
    if is_next:
        return "\u2192 next" if state == "not yet" else f"{SIGNS[state]} {state} \u2192 next"
    return f"{SIGNS[state]} {state}"


def _fitting(name: str, width: float) -> float:
    """The size in which a name fits into its box, a letter being two thirds as wide as it is high."""
    return min(14.0, (width - 12) / (len(name) * 0.66))


def _ring(box: Box) -> str:
    """The frame around the next gradient to do."""
    return (
        f'<rect x="{number(box.left - 4)}" y="{number(box.top - 4)}" width="{number(box.width + 8)}" '
        f'height="{number(box.height + 8)}" rx="13" fill="none" stroke="{BLUE}" stroke-width="2.5"/>'
    )


def _text(x: float, y: float, content: str, size: float, *, bold: bool = False, opacity: float = 1.0) -> str:
    weight = ' font-weight="600"' if bold else ""
    faint = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" text-anchor="middle" font-size="{number(size)}" fill="currentColor"'
        f"{weight}{faint}>{escape(content)}</text>"
    )
