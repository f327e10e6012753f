"""A forward graph as HTML: a list of its tensors, drawn as boxes with arrows. Standard library only.

The caller gives the texts and the colours of the boxes. The same list is drawn in rows of seven or four columns, or in
one column, whichever fits into the page: no script, no scaling. Without its style it is a plain list. It takes few
bytes: each student of a class gets a page with it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from handgrad.report.graph_layout import (
    COLUMN_GAP,
    COLUMN_HEIGHT,
    HEIGHT,
    MARGIN,
    WIDTH,
    Layout,
    in_one_column,
    in_rows,
    is_clear,
)
from handgrad.report.records import ForwardGraph

__all__ = ["Node", "draw", "draw_by_part", "layouts_of", "part_of"]

MOST_COLUMNS = (4, 7)
"""Columns of the layouts in rows, the narrowest first."""
LINE = 12.0
"""Font size of the lines below a name, in pixels: their digits are half as wide as they are high."""
WIDEST_COLUMN = 480
"""Pixels that the layout in one column takes at most."""
NAME = 14.0
"""Font size of a name that fits into its box, in pixels."""

_STYLE = f"""
@@{{position:relative;max-width:{WIDEST_COLUMN}px;--s0:block}}
@@>svg{{position:absolute;left:0;top:0;width:100%;height:100%!important}}
@@ path{{fill:currentColor;opacity:.65}}
@@ path:first-child{{fill:none;stroke:currentColor;stroke-width:1.5;opacity:.55}}
@@>ol{{list-style:none!important;margin:0!important;padding:{MARGIN:.0f}px 2px 0 var(--x)!important}}
@@ li{{position:relative;height:{COLUMN_HEIGHT:.0f}px;margin:0 0 {COLUMN_GAP:.0f}px!important}}
@@ li>*{{position:relative;display:grid;grid-template-columns:minmax(0,1fr) auto;column-gap:10px;flex-direction:column;
place-content:center;align-items:center;height:100%;box-sizing:border-box;padding:0 12px;
border-width:1.5px;border-style:solid;border-radius:9px;
font-size:{LINE:.0f}px;line-height:1.35;white-space:nowrap;overflow:hidden;
color:inherit!important;text-decoration:none!important;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
@@ b{{max-width:100%;overflow:hidden;text-overflow:ellipsis;font-size:{NAME:.0f}px;font-weight:600}}
@@ small{{grid-area:2/1;font-size:{LINE:.0f}px;opacity:.8}}
@@ li>* span{{grid-area:1/2/3/3}}
@@ i{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
@@ a:hover,@@ a:focus-visible{{outline:2px solid;outline-offset:2px}}
""".replace("@@", ".handgrad-graph").replace("\n", "")
"""Every graph in one column."""
_IN_ROWS = f"""
@@ li{{position:absolute;left:0;top:0;width:var(--w,{WIDTH:.0f}px);height:{HEIGHT:.0f}px}}
@@ li>*{{display:flex;padding:0 5px}}
@@ b{{font-size:var(--size,{NAME:.0f}px)}}
""".replace("\n", "")


@dataclass(frozen=True)
class Node:
    """The content of a tensor's box."""

    middle: str
    """The line below the tensor's name."""
    lowest: str
    """The line below that."""
    title: str = ""
    """The tooltip; empty for none."""
    paint: str = ""
    """CSS of its frame and background."""
    kind: str = ""
    """Its class; empty for none."""
    data: str = ""
    """HTML attributes of the whole item, which then has the tensor's name in ``data-tensor`` too."""
    link: str = ""
    """The target of a click; empty for none."""


def draw(graph: ForwardGraph, nodes: Mapping[str, Node], *, label: str, order: Sequence[str] = ()) -> str:
    """The graph as HTML in the text colour of the page, with the content of each tensor's box in ``nodes``.

    ``label`` says what the list is, for screen readers. It is in the ``order`` of the notebook, from the loss back, as
    far as each tensor can come after its consumers.
    """
    drawing = _drawing(tuple(graph.consumers.items()), graph.leaves, tuple(order))
    return _list(drawing, graph, nodes, label, f"<style>{_STYLE}{drawing.style}</style>")


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

    ``parts`` has the tensors of each part, by its heading, in the order of the notebook, and ``summaries`` what stands
    after a heading. The parts ``opened`` are not folded.
    """
    styles, pieces = {_STYLE: None}, []
    for title, names in parts.items():
        part = part_of(graph, names)
        drawing = _drawing(tuple(part.consumers.items()), part.leaves, tuple(names))
        styles[drawing.style] = None
        pieces.append(
            f'<details style="margin:6px 0"{" open" if title in opened else ""}><summary style="cursor:pointer">'
            f'<b>{escape(title)}</b> <span style="opacity:.8">{escape(summaries.get(title, ""))}</span></summary>'
            f"{_list(drawing, part, nodes, f'{title}: {label}')}</details>"
        )
    return f"<style>{''.join(styles)}</style>{''.join(pieces)}"


@dataclass(frozen=True)
class _Drawing:
    """All of a graph but its texts and colours."""

    style: str
    """Where its boxes are in rows, which :data:`_STYLE` has to precede."""
    start: str
    """Its HTML up to the list."""
    places: Mapping[str, str]
    """For each tensor, in the order of the list, the style of its item."""
    widths: Mapping[str, float]
    """For each tensor the width of its box, in pixels: the narrowest of all layouts."""


@lru_cache(maxsize=64)
def _drawing(
    consumers: tuple[tuple[str, tuple[str, ...]], ...], leaves: frozenset[str], order: tuple[str, ...]
) -> _Drawing:
    # the pages of a class draw the same graph again and again
    column, *rows = layouts = layouts_of(ForwardGraph(dict(consumers), leaves), order)
    scope = "-".join(["handgrad-in", *(f"{layout.width:.0f}" for layout in rows)])
    sizes = "".join(f";--h{number}:{layout.height:.0f}px" for number, layout in enumerate(rows, 1))
    left = next(iter(column.boxes.values())).left
    widths = {name: min(layout.boxes[name].width for layout in rows or layouts) for name in column.boxes}
    arrows = "".join(map(_arrows, range(len(layouts)), layouts))
    return _Drawing(
        style="".join(_style(number, layout, scope) for number, layout in enumerate(rows, 1)),
        start=f'<div class="handgrad-graph {scope}" style="--x:{left:.0f}px{sizes}">{arrows}',
        places={name: _places(name, rows, width) for name, width in widths.items()},
        widths=widths,
    )


def _style(number: int, layout: Layout, scope: str) -> str:
    """The style of a layout in rows, where the page is wide enough for it; the first has what others have too."""
    width, text = f"{layout.width:.0f}px", _IN_ROWS if number == 1 else ""
    text += f"@@{{max-width:{width};height:var(--h{number});--s{number - 1}:none;--s{number}:block}}"
    text += f"@@ li{{margin:var(--{number})!important}}"
    # one element more than in the style above: that of another graph may come later, and would win
    return f"@container (min-width:{width}){{{text.replace('@@', f'div.{scope}')}}}"


def _places(name: str, rows: Sequence[Layout], width: float) -> str:
    """The style of an item: its distance from the top and the left in each layout in rows, and what is not usual."""
    values = [
        f"--{number}:{layout.boxes[name].top:.0f}px 0 0 {layout.boxes[name].left:.0f}px"
        for number, layout in enumerate(rows, 1)
    ]
    if width != WIDTH and rows:
        values.append(f"--w:{width:.0f}px")
    # a letter is two thirds as wide as it is high
    if rows and (size := (width - 12) / (len(name) * 0.66)) < NAME:
        values.append(f"--size:{size:.1f}px")
    return f' style="{";".join(values)}"' if values else ""


def _arrows(number: int, layout: Layout) -> str:
    """All edges of a layout. Where edges to the same consumer run together, they are one line with one head."""
    lines = "".join(_in_short(edge.line) for edge in layout.edges.values())
    heads = "".join(dict.fromkeys(_in_short(edge.arrow) for edge in layout.edges.values()))
    return (
        # without a viewBox it is not scaled: the one column is as wide as the page, and its arrows are on the left
        f'<svg xmlns="http://www.w3.org/2000/svg" aria-hidden="true" style="display:var(--s{number},none)">'
        f'<path d="{lines}"/><path d="{heads}"/></svg>'
    )


def _in_short(path: str) -> str:
    """A path in whole pixels, relative to the point before; a level or upright line is one number."""
    x = y = 0
    short = ""
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        if command not in "MLQC":
            # the head of an arrow is relative already
            short += f"{command}{numbers.strip()}".replace(" -", "-")
            continue
        values = [round(float(value)) for value in numbers.split()]
        across, down = values[::2], values[1::2]
        if command == "M":
            short += f"M{across[0]} {down[0]}"
        elif {*down} == {y}:
            short += f"h{across[-1] - x}"
        elif {*across} == {x}:
            short += f"v{down[-1] - y}"
        else:
            moves = " ".join(f"{to_x - x} {to_y - y}" for to_x, to_y in zip(across, down, strict=True))
            short += f"{command.lower()}{moves}".replace(" -", "-")
        x, y = across[-1], down[-1]
    return short


def _list(drawing: _Drawing, graph: ForwardGraph, nodes: Mapping[str, Node], label: str, style: str = "") -> str:
    items = "".join(_item(name, nodes.get(name), graph, drawing) for name in drawing.places)
    return (
        f'<div style="container-type:inline-size">{style}{drawing.start}'
        f'<ol aria-label="{escape(label)}">{items}</ol></div></div>'
    )


def _item(name: str, node: Node | None, graph: ForwardGraph, drawing: _Drawing) -> str:
    """A tensor; the loss has no content."""
    start = f"<li{drawing.places[name]}"
    label = f"<b>{escape(name)}</b>"
    if node is None:
        paint = "border-color:transparent;border-radius:31px;background:rgba(128,128,128,0.2)"
        return f'{start}><span style="{paint}">{label}</span></li>'
    lines = "".join(
        f" <{tag}{_smaller(text, drawing.widths[name])}>{escape(text)}</{tag}>"
        for tag, text in (("small", node.middle), ("span", node.lowest))
        if text
    )
    # the end of an arrow into another part goes nowhere here
    into = graph.consumers.get(name, ())
    said = f" <i>goes into {escape(' and '.join(into))}</i>" if into else ""
    tag = "a" if node.link else "span"
    given = {"href": node.link, "class": node.kind, "title": node.title, "style": node.paint}
    attributes = "".join(f' {key}="{escape(value)}"' for key, value in given.items() if value)
    data = f' data-tensor="{escape(name)}" {node.data}' if node.data else ""
    return f"{start}{data}><{tag}{attributes}>{label}{lines}{said}</{tag}></li>"


def _smaller(text: str, width: float) -> str:
    """The style of a line that would not fit into a box of this width; empty if it does."""
    size = (width - 12) / (len(text) * 0.52)
    return f' style="font-size:{size:.1f}px"' if size < LINE else ""
