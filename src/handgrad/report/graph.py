"""A forward graph as HTML: a list of its tensors, drawn as boxes with arrows. Standard library only.

The caller gives the texts and the colours of the boxes. The same list is drawn in rows of seven or four columns, or in
one column, whichever fits into the page: no script, no scaling. Without its style it is a plain list.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from handgrad.report.graph_layout import COLUMN_HEIGHT, HEIGHT, Box, Layout, in_one_column, in_rows, is_clear
from handgrad.report.records import ForwardGraph

__all__ = ["Node", "draw", "draw_by_part", "layouts_of", "part_of"]

MOST_COLUMNS = (4, 7)
"""Columns of the layouts in rows, the narrowest first."""
LINE = 12.0
"""Font size of the lines below a name, in pixels: their digits are half as wide as they are high."""
WIDEST_COLUMN = 480
"""Pixels that the layout in one column takes at most."""

_STYLE = """
.handgrad-graph{position:relative}
.handgrad-graph>ol{list-style:none!important;margin:0!important;padding:0!important}
.handgrad-graph>ol>li{position:absolute;margin:0!important}
.handgrad-box{position:relative;display:flex;flex-direction:column;align-items:center;justify-content:center;
width:100%;height:100%;box-sizing:border-box;padding:0 5px;border-width:1.5px;border-style:solid;border-radius:9px;
font-size:12px;line-height:1.35;white-space:nowrap;overflow:hidden;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
.handgrad-name{max-width:100%;overflow:hidden;text-overflow:ellipsis;font-size:var(--size);font-weight:600}
.handgrad-soft{opacity:.8}
.handgrad-said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
a.handgrad-box:hover,a.handgrad-box:focus-visible{outline:2px solid;outline-offset:2px}
"""
_IN_ONE_COLUMN = """
@@{max-width:WIDESTpx;height:var(--h0)}
@@>ol>li{left:var(--x0);right:2px;top:var(--y0);height:COLUMN_HEIGHTpx}
@@ .handgrad-box{display:grid;grid-template-columns:minmax(0,1fr) auto;column-gap:10px;justify-content:stretch;
align-content:center;padding:0 12px}
@@ .handgrad-name{font-size:14px;grid-area:1/1}@@ .handgrad-soft{grid-area:2/1;justify-self:start}
@@ .handgrad-word{grid-area:1/2/3/3}
@@>svg:first-of-type{display:block!important}
"""
_IN_ROWS = """
@container (min-width:WIDTHpx){
@@{max-width:none;width:WIDTHpx;height:var(--hN)}
@@>ol>li{left:var(--xN);right:auto;top:var(--yN);width:var(--wN);height:HEIGHTpx}
@@ .handgrad-box{display:flex;justify-content:center;padding:0 5px}
@@ .handgrad-name{font-size:var(--size)}
@@>svg:nth-of-type(n){display:none!important}@@>svg:nth-of-type(NTH){display:block!important}}
"""


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
        CSS of its frame and background.
    kind
        Its class; empty for none.
    data
        HTML attributes of the whole box.
    link
        The target of a click; empty for none.
    """

    middle: str
    lowest: str
    title: str
    paint: str = ""
    kind: str = ""
    data: str = ""
    link: str = ""


def draw(graph: ForwardGraph, nodes: Mapping[str, Node], *, label: str, order: Sequence[str] = ()) -> str:
    """The graph as HTML in the text colour of the page.

    Parameters
    ----------
    graph
        The graph to draw.
    nodes
        For each of its tensors, the content of its box.
    label
        What the list is, for screen readers.
    order
        The tensors in the order of the notebook, from the loss back: that of the list, as far as each tensor can come
        after its consumers.
    """
    layouts = layouts_of(graph, order)
    scope = "-".join(["handgrad", *(f"{layout.width:.0f}" for layout in layouts)])
    sizes = "".join(f"--h{number}:{layout.height:.0f}px;" for number, layout in enumerate(layouts))
    items = "".join(_item(name, nodes.get(name), graph, layouts) for name in layouts[0].boxes)
    return (
        f'<div style="container-type:inline-size"><style>{_style(layouts, f".{scope}")}</style>'
        f'<div class="handgrad-graph {scope}" style="{sizes}">{"".join(map(_arrows, layouts))}'
        f'<ol aria-label="{escape(label)}">{items}</ol></div></div>'
    )


def layouts_of(graph: ForwardGraph, order: Sequence[str] = ()) -> list[Layout]:
    """The layouts in which a graph is drawn, the narrowest first: in rows only if every arrow can be followed there."""
    return [in_one_column(graph, order), *_rows(tuple(graph.consumers.items()), graph.leaves)]


@lru_cache(maxsize=64)
def _rows(consumers: tuple[tuple[str, tuple[str, ...]], ...], leaves: frozenset[str]) -> tuple[Layout, ...]:
    # the pages of a class draw the same graph again and again
    few, many = (in_rows(ForwardGraph(dict(consumers), leaves), most) for most in MOST_COLUMNS)
    return tuple(layout for layout in ([few] if few.width == many.width else [few, many]) if is_clear(layout))


def part_of(graph: ForwardGraph, names: Collection[str]) -> ForwardGraph:
    """Some tensors of a graph; their consumers in other parts are ends of arrows, as the loss is."""
    own = {name: consumers for name, consumers in graph.consumers.items() if name in names}
    return ForwardGraph(own, graph.leaves.intersection(own))


def draw_by_part(
    graph: ForwardGraph,
    nodes: Mapping[str, Node],
    parts: Mapping[str, Sequence[str]],
    summaries: Mapping[str, str],
    *,
    opened: Collection[str],
    label: str,
) -> str:
    """A large graph part by part, each folded under its heading; a part also has the boxes to which its arrows lead.

    Parameters
    ----------
    graph, nodes, label
        As for :func:`draw`.
    parts
        The tensors of each part, by its heading, in the order of the notebook.
    summaries
        What stands after each heading.
    opened
        The headings of the parts that are not folded.
    """
    pieces = []
    for title, names in parts.items():
        drawn = draw(part_of(graph, names), nodes, label=f"{title}: {label}", order=names)
        pieces.append(
            f'<details style="margin:6px 0"{" open" if title in opened else ""}><summary style="cursor:pointer">'
            f'<b>{escape(title)}</b> <span class="handgrad-soft">{escape(summaries.get(title, ""))}</span></summary>'
            f"{drawn}</details>"
        )
    return "".join(pieces)


def _style(layouts: Sequence[Layout], scope: str) -> str:
    """The style of the boxes, and for each layout the positions of the boxes where the page is wide enough for it."""
    parts = [_STYLE, _IN_ONE_COLUMN.replace("WIDEST", str(WIDEST_COLUMN))]
    for number, layout in enumerate(layouts[1:], 1):
        text = _IN_ROWS.replace("WIDTH", f"{layout.width:.0f}").replace("NTH", str(number + 1))
        parts.append(text.replace("N)", f"{number})"))
    text = "".join(parts).replace("COLUMN_HEIGHT", f"{COLUMN_HEIGHT:.0f}").replace("HEIGHT", f"{HEIGHT:.0f}")
    return text.replace("@@", scope).replace("\n", "")


def _arrows(layout: Layout) -> str:
    """All edges of a layout. Where edges to the same consumer run together, they are one line."""
    lines = "".join(f'<path d="{edge.line}"/>' for edge in layout.edges.values())
    heads = "".join(f'<path d="{edge.arrow}"/>' for edge in layout.edges.values())
    # without a viewBox it is not scaled: the one column is as wide as the page, and its arrows are on the left
    size = f"width:100%;max-width:{layout.width:.0f}px;height:{layout.height:.0f}px"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" aria-hidden="true" '
        f'style="display:none;position:absolute;left:0;top:0;{size}">'
        f'<g fill="none" stroke="currentColor" stroke-width="1.5" opacity="0.55">{lines}</g>'
        f'<g fill="currentColor" opacity="0.65">{heads}</g></svg>'
    )


def _item(name: str, node: Node | None, graph: ForwardGraph, layouts: Sequence[Layout]) -> str:
    """A tensor; the loss has no content."""
    boxes = [layout.boxes[name] for layout in layouts]
    places = "".join(_place(number, box) for number, box in enumerate(boxes))
    size = f"--size:{min(_fitting(name, box.width) for box in boxes[1:] or boxes):.1f}px"
    start = f'<li style="{places}{size}"'
    label = f'<span class="handgrad-name">{escape(name)}</span>'
    if node is None:
        paint = "border-color:transparent;border-radius:31px;background:rgba(128,128,128,0.2)"
        return f'{start}><span class="handgrad-box" style="{paint}">{label}</span></li>'
    widths = [box.width for box in boxes[1:] or boxes]
    lines = "".join(
        f' <span class="{kind}"{_smaller(text, widths)}>{escape(text)}</span>'
        for kind, text in (("handgrad-soft", node.middle), ("handgrad-word", node.lowest))
        if text
    )
    # the end of an arrow into another part goes nowhere here
    into = graph.consumers.get(name, ())
    said = f' <span class="handgrad-said">goes into {escape(" and ".join(into))}</span>' if into else ""
    attributes = f'class="handgrad-box{node.kind and " " + escape(node.kind)}" title="{escape(node.title)}"'
    if node.link:
        # a page colours and underlines its links
        tag, attributes = "a", f'href="{escape(node.link)}" {attributes}'
        paint = f"color:inherit;text-decoration:none;{node.paint}"
    else:
        tag, paint = "span", node.paint
    return (
        f'{start} data-tensor="{escape(name)}"{node.data and " " + node.data}>'
        f'<{tag} {attributes} style="{paint}">{label}{lines}{said}</{tag}></li>'
    )


def _smaller(text: str, widths: Sequence[float]) -> str:
    """The style of a line that would not fit into the narrowest box of a tensor; empty if it does."""
    size = min((width - 12) / (len(text) * 0.52) for width in widths)
    return f' style="font-size:{size:.1f}px"' if size < LINE else ""


def _place(number: int, box: Box) -> str:
    """Where a box is in a layout; the boxes of the one column begin and end at the same places."""
    place = f"--x{number}:{box.left:.1f}px;--y{number}:{box.top:.1f}px;"
    return place + (f"--w{number}:{box.width:.1f}px;" if number else "")


def _fitting(name: str, width: float) -> float:
    """The font size at which a name fits into its box: a letter is two thirds as wide as it is high."""
    return min(14.0, (width - 12) / (len(name) * 0.66))
