"""A forward graph as one SVG; the caller gives the texts and the colours of its boxes."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from handgrad.report.graph.forward_graph import ForwardGraph, distances
from handgrad.report.graph.layout import Box, Edge, Layout, lay_out, number

__all__ = ["Node", "draw"]


@dataclass(frozen=True)
class Node:
    """The content of a tensor's box.

    Attributes
    ----------
    middle, lowest
        The lines below the tensor's name.
    title
        The tooltip.
    paint
        SVG attributes of its frame: fill and stroke.
    data
        SVG attributes of the whole box.
    link
        The target of a click; empty for none.
    """

    middle: str
    lowest: str
    title: str
    paint: str
    data: str = ""
    link: str = ""


def draw(
    graph: ForwardGraph,
    nodes: Mapping[str, Node],
    *,
    label: str,
    title: str,
    description: str,
    style: str,
    ringed: str | None = None,
    ring_colour: str = "",
) -> str:
    """The graph as one SVG in the text colour of the page.

    Parameters
    ----------
    graph
        The graph to draw.
    nodes
        For each of its tensors, the content of its box.
    label, title, description
        Texts for screen readers: a sentence, a heading, and the whole content.
    style
        CSS of the SVG.
    ringed
        The tensor that gets a second frame in ``ring_colour`` (default: none).
    """
    layout = lay_out(graph.consumers, distances(graph.consumers), graph.leaves)
    edges = "".join(_edge(edge) for edge in layout.edges.values())
    # drawn first: the arrows end inside it
    ring = _ring(layout.boxes[ringed], ring_colour) if ringed else ""
    boxes = "".join(_node(name, nodes[name], layout.boxes[name]) for name in graph.consumers)
    ends = "".join(_end(name, layout) for name in layout.boxes if name not in graph.consumers)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {number(layout.width)} {number(layout.height)}" width="{number(layout.width)}" '
        f'style="display:block;max-width:100%;height:auto;color:inherit;{style}">'
        f"<title>{escape(title)}</title>"
        f"<desc>{escape(description)}</desc>{ring}{edges}{ends}{boxes}</svg>"
    )


def _edge(edge: Edge) -> str:
    return (
        f'<path d="{edge.line}" fill="none" stroke="currentColor" stroke-opacity="0.5" stroke-width="1.5"/>'
        f'<path d="{edge.arrow}" fill="currentColor" fill-opacity="0.6"/>'
    )


def _end(name: str, layout: Layout) -> str:
    """The box of the loss."""
    box = layout.boxes[name]
    return (
        f'<g><rect x="{number(box.left)}" y="{number(box.top)}" width="{number(box.width)}" '
        f'height="{number(box.height)}" rx="{number(box.height / 2)}" fill="currentColor" fill-opacity="0.1"/>'
        f"{_text(box.x, box.y + 5, name, 14, bold=True)}</g>"
    )


def _node(name: str, node: Node, box: Box) -> str:
    drawn = (
        f'<g data-tensor="{escape(name)}"{node.data and " " + node.data}><title>{escape(node.title)}</title>'
        f'<rect x="{number(box.left)}" y="{number(box.top)}" width="{number(box.width)}" height="{number(box.height)}" '
        f'rx="9" {node.paint}/>'
        f"{_text(box.x, box.y - 11, name, _fitting(name, box.width), bold=True)}"
        f"{_text(box.x, box.y + 5, node.middle, 12, opacity=0.7)}"
        f"{_text(box.x, box.y + 22, node.lowest, 12)}</g>"
    )
    return f'<a href="{escape(node.link)}">{drawn}</a>' if node.link else drawn


def _fitting(name: str, width: float) -> float:
    """The font size at which a name fits into its box: a letter is two thirds as wide as it is high."""
    return min(14.0, (width - 12) / (len(name) * 0.66))


def _ring(box: Box, colour: str) -> str:
    return (
        f'<rect x="{number(box.left - 4)}" y="{number(box.top - 4)}" width="{number(box.width + 8)}" '
        f'height="{number(box.height + 8)}" rx="13" fill="none" stroke="{colour}" stroke-width="2.5"/>'
    )


def _text(x: float, y: float, content: str, size: float, *, bold: bool = False, opacity: float = 1.0) -> str:
    weight = ' font-weight="600"' if bold else ""
    faint = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" text-anchor="middle" font-size="{number(size)}" fill="currentColor"'
        f"{weight}{faint}>{escape(content)}</text>"
    )
