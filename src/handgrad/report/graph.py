"""A forward graph as one SVG; the caller gives the texts and the colours of its boxes. Standard library only.

Its columns are ordered by the longest path to the loss. Most of a forward pass is one long chain, too wide for a page,
so it is broken into rows, where few edges are cut. A leaf (a parameter) with only one consumer is placed on a shelf
above it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from html import escape

from handgrad.report.records import ForwardGraph, distances

__all__ = ["Node", "draw", "lay_out"]

WIDTH, HEIGHT = 114.0, 62.0
SHELF_WIDTH = 80.0
GAP = 20.0
LANE = 16.0
SHELF = 30.0
TRACK = 18.0
ROW = 44.0
MARGIN = 12.0
INDENT = 34.0
MOST_COLUMNS = 7


@dataclass(frozen=True)
class Box:
    """The box of a node: its centre, and its size."""

    x: float
    y: float
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def left(self) -> float:
        """Where edges arrive."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Where edges leave."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """Where edges from the shelf arrive."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """Where edges that skip columns leave and arrive."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Edge:
    """An edge as two SVG paths: its line, and the arrow at the end of it."""

    line: str
    arrow: str


@dataclass(frozen=True)
class Layout:
    """The positions of all boxes, by name, and the paths of all edges, by the two names they join."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    edges: Mapping[tuple[str, str], Edge]


def _number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def lay_out(graph: ForwardGraph) -> Layout:
    """Lay a graph out; its last node (the loss) is only among the consumers."""
    consumers = graph.consumers
    shelf = _shelf(consumers, graph.leaves)
    columns = _columns(consumers, shelf)
    rows = _rows(columns, consumers)
    places = {
        name: (row, column)
        for row, (first, last) in enumerate(rows)
        for column, names in enumerate(columns[first:last])
        for name in names
    }
    tracks, depths = _tracks(consumers, places)
    boxes: dict[str, Box] = {}
    tops: list[float] = []
    y = MARGIN
    for row, (first, last) in enumerate(rows):
        tops.append(y)
        above = {name: consumer for name, consumer in shelf.items() if places[consumer][0] == row}
        y += HEIGHT + SHELF if above else 0.0
        lanes = max(len(names) for names in columns[first:last])
        middle = y + (lanes * (HEIGHT + LANE) - LANE) / 2
        for column, names in enumerate(columns[first:last]):
            x = MARGIN + INDENT + WIDTH / 2 + column * (WIDTH + GAP)
            for lane, name in enumerate(names):
                boxes[name] = Box(x, middle + (lane - (len(names) - 1) / 2) * (HEIGHT + LANE))
        boxes |= _on_shelf(above, boxes, tops[-1] + HEIGHT / 2)
        y += lanes * (HEIGHT + LANE) - LANE + depths[row] * TRACK + (TRACK / 2 if depths[row] else 0.0) + ROW
    router = _Router(boxes, places, [top - ROW / 2 for top in [*tops[1:], y]], tracks, columns, rows)
    edges = {
        (name, consumer): router.edge(name, consumer, name in shelf)
        for name in consumers
        for consumer in consumers[name]
    }
    width = max(box.right for box in boxes.values()) + GAP / 2 + MARGIN
    return Layout(width, y - ROW / 2 + MARGIN / 2, boxes, edges)


def _shelf(consumers: Mapping[str, tuple[str, ...]], leaves: Collection[str]) -> dict[str, str]:
    """The leaves placed above their only consumer, which must have another input that is not a leaf."""
    inner = {consumer for name, consuming in consumers.items() if name not in leaves for consumer in consuming}
    return {
        name: consuming[0]
        for name, consuming in consumers.items()
        if name in leaves and len(consuming) == 1
        if consuming[0] in inner
    }


def _columns(consumers: Mapping[str, tuple[str, ...]], shelf: Collection[str]) -> list[list[str]]:
    """Nodes of the same distance in a column, the farthest first; within a column, in the order of their consumers."""
    nodes = dict.fromkeys([name for name in consumers if name not in shelf])
    nodes |= dict.fromkeys(consumer for consuming in consumers.values() for consumer in consuming)
    steps = distances(consumers)
    longest = max(steps.get(name, 0) for name in nodes)
    columns: list[list[str]] = [[] for _ in range(longest + 1)]
    for name in nodes:
        columns[longest - steps.get(name, 0)].append(name)
    height: dict[str, float] = {}
    for names in reversed(columns):
        wanted = {
            name: sum(height[consumer] for consumer in consumers.get(name, ())) / max(1, len(consumers.get(name, ())))
            for name in names
        }
        names.sort(key=lambda name: wanted[name])
        height |= {name: lane - (len(names) - 1) / 2 for lane, name in enumerate(names)}
    return columns


def _rows(columns: list[list[str]], consumers: Mapping[str, tuple[str, ...]]) -> list[tuple[int, int]]:
    """The ranges of columns that form the rows: few rows, and breaks that cut few edges.

    The cost of a break is the square of the edges that it cuts, the cost of a row 1; ties go to even rows.
    """
    column = {name: index for index, names in enumerate(columns) for name in names}
    spans = [
        (column[name], column[consumer])
        for name, consuming in consumers.items()
        if name in column
        for consumer in consuming
    ]
    cut = [sum(start < place <= end for start, end in spans) for place in range(len(columns) + 1)]
    best: list[tuple[float, list[tuple[int, int]]]] = [(0.0, [])]
    for end in range(1, len(columns) + 1):
        best.append(
            min(
                (best[first][0] + cut[first] ** 2 + 1 + ((end - first) / 1000) ** 2, [*best[first][1], (first, end)])
                for first in range(max(0, end - MOST_COLUMNS), end)
            )
        )
    return best[-1][1]


def _tracks(
    consumers: Mapping[str, tuple[str, ...]], places: Mapping[str, tuple[int, int]]
) -> tuple[dict[tuple[str, str], int], dict[int, int]]:
    """For each edge that skips columns of its row, its track below the row; and the number of tracks of each row."""
    skipping = [
        (places[consumer][1] - places[name][1], name, consumer)
        for name, consuming in consumers.items()
        if name in places
        for consumer in consuming
        if places[consumer][0] == places[name][0] and places[consumer][1] - places[name][1] > 1
    ]
    tracks: dict[tuple[str, str], int] = {}
    for _, name, consumer in sorted(skipping):
        row, (start, end) = places[name][0], (places[name][1], places[consumer][1])
        taken = {
            track
            for (other, end_of_other), track in tracks.items()
            if places[other][0] == row and places[other][1] < end and start < places[end_of_other][1]
        }
        tracks[name, consumer] = next(track for track in range(len(tracks) + 1) if track not in taken)
    rows = {row for row, _ in places.values()}
    depths = {
        row: 1 + max((track for (name, _), track in tracks.items() if places[name][0] == row), default=-1)
        for row in rows
    }
    return tracks, depths


def _on_shelf(above: Mapping[str, str], boxes: Mapping[str, Box], y: float) -> dict[str, Box]:
    """Boxes of the leaves of one row, each as close to its consumer as the others allow."""
    step = SHELF_WIDTH + 12
    consuming = sorted(dict.fromkeys(above.values()), key=lambda consumer: boxes[consumer].x)
    placed: dict[str, Box] = {}
    # to the right of the line that enters from the row above
    least = MARGIN + 10 + SHELF_WIDTH / 2
    for consumer in consuming:
        names = [name for name, other in above.items() if other == consumer]
        x = max(least, boxes[consumer].x - step * (len(names) - 1) / 2)
        for name in names:
            placed[name] = Box(x, y, SHELF_WIDTH)
            x += step
        least = x
    return placed


Point = tuple[float, float]
_ARROW = "M{}l-6 -3.5v7z"


@dataclass(frozen=True)
class _Router:
    """Finds the paths of the edges between placed boxes."""

    boxes: Mapping[str, Box]
    places: Mapping[str, tuple[int, int]]
    gutters: list[float]
    tracks: Mapping[tuple[str, str], int]
    columns: list[list[str]]
    rows: list[tuple[int, int]]

    def edge(self, name: str, consumer: str, from_shelf: bool) -> Edge:
        start, end = self.boxes[name], self.boxes[consumer]
        if from_shelf:
            # the edges of several leaves of a consumer arrive next to each other
            x = end.x + max(-24.0, min(24.0, (start.x - end.x) / 3))
            middle = (start.bottom + end.top) / 2
            line = _curve((start.x, start.bottom), (start.x, middle), (x, middle), (x, end.top - 5))
            return Edge(line, f"M{_at((x, end.top))}l-3.5 -6h7z")
        if (name, consumer) in self.tracks:
            return self._below(name, consumer)
        if self.places[name][0] == self.places[consumer][0]:
            middle = (start.right + end.left) / 2
            line = _curve((start.right, start.y), (middle, start.y), (middle, end.y), (end.left - 5, end.y))
            return Edge(line, _ARROW.format(_at((end.left, end.y))))
        return self._to_another_row(name, consumer)

    def _below(self, name: str, consumer: str) -> Edge:
        """Down, along a track below the row, and up again."""
        first, _ = self.rows[self.places[name][0]]
        between = self.columns[first + self.places[name][1] : first + self.places[consumer][1] + 1]
        floor = max(self.boxes[node].bottom for names in between for node in names)
        y = floor + TRACK * (self.tracks[name, consumer] + 1)
        start = self.boxes[name]
        if self._is_lowest(name):
            leaving = [(start.x + 14, start.bottom), (start.x + 14, y)]
        else:
            out = start.right + GAP / 2
            leaving = [(start.right, start.y), (out, start.y), (out, y)]
        return self._arriving_from_below(leaving, consumer, y)

    def _to_another_row(self, name: str, consumer: str) -> Edge:
        """Out to the right, back between the rows, and in from the left.

        A box in the middle of a row is entered from below: there may be a shelf above.
        """
        start, end = self.boxes[name], self.boxes[consumer]
        (row, _), (onto, column) = self.places[name], self.places[consumer]
        out = start.right + GAP / 2
        points = [(start.right, start.y), (out, start.y), (out, self.gutters[row]), (MARGIN, self.gutters[row])]
        if column:
            return self._arriving_from_below([*points, (MARGIN, self.gutters[onto])], consumer, self.gutters[onto])
        return Edge(_bent(*points, (MARGIN, end.y), (end.left - 5, end.y)), _ARROW.format(_at((end.left, end.y))))

    def _arriving_from_below(self, points: list[Point], consumer: str, y: float) -> Edge:
        end = self.boxes[consumer]
        if self._is_lowest(consumer):
            line = _bent(*points, (end.x - 14, y), (end.x - 14, end.bottom + 5))
            return Edge(line, f"M{_at((end.x - 14, end.bottom))}l-3.5 6h7z")
        back = end.left - GAP / 2
        return Edge(
            _bent(*points, (back, y), (back, end.y), (end.left - 5, end.y)), _ARROW.format(_at((end.left, end.y)))
        )

    def _is_lowest(self, name: str) -> bool:
        """Whether the node is the lowest of its column."""
        row, column = self.places[name]
        return self.columns[self.rows[row][0] + column][-1] == name


def _curve(start: Point, leaving: Point, arriving: Point, end: Point) -> str:
    return f"M{_at(start)}C{_at(leaving)} {_at(arriving)} {_at(end)}"


def _bent(*points: Point) -> str:
    """A path of straight lines with round corners."""
    radius = 12.0
    path = f"M{_at(points[0])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        path += f"L{_at(_towards(corner, before, radius))}Q{_at(corner)} {_at(_towards(corner, after, radius))}"
    return f"{path}L{_at(points[-1])}"


def _towards(point: Point, other: Point, by: float) -> Point:
    """The point at distance ``by`` from ``point`` towards ``other``, half way at most."""
    x, y = other[0] - point[0], other[1] - point[1]
    length = (x**2 + y**2) ** 0.5
    share = min(by, length / 2) / length if length else 0.0
    return point[0] + x * share, point[1] + y * share


def _at(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


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
    layout = lay_out(graph)
    edges = "".join(_edge(edge) for edge in layout.edges.values())
    # drawn first: the arrows end inside it
    ring = ""
    if ringed:
        box = layout.boxes[ringed]
        around = Box(box.x, box.y, box.width + 8, box.height + 8)
        ring = _rect(around, 13, f'fill="none" stroke="{ring_colour}" stroke-width="2.5"')
    boxes = "".join(_node(name, nodes[name], layout.boxes[name]) for name in graph.consumers)
    ends = "".join(_end(name, layout) for name in layout.boxes if name not in graph.consumers)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {_number(layout.width)} {_number(layout.height)}" width="{_number(layout.width)}" '
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
    frame = _rect(box, box.height / 2, 'fill="currentColor" fill-opacity="0.1"')
    return f"<g>{frame}{_text(box.x, box.y + 5, name, 14, bold=True)}</g>"


def _node(name: str, node: Node, box: Box) -> str:
    drawn = (
        f'<g data-tensor="{escape(name)}"{node.data and " " + node.data}><title>{escape(node.title)}</title>'
        f"{_rect(box, 9, node.paint)}"
        f"{_text(box.x, box.y - 11, name, _fitting(name, box.width), bold=True)}"
        f"{_text(box.x, box.y + 5, node.middle, 12, opacity=0.7)}"
        f"{_text(box.x, box.y + 22, node.lowest, 12)}</g>"
    )
    return f'<a href="{escape(node.link)}">{drawn}</a>' if node.link else drawn


def _fitting(name: str, width: float) -> float:
    """The font size at which a name fits into its box: a letter is two thirds as wide as it is high."""
    return min(14.0, (width - 12) / (len(name) * 0.66))


def _rect(box: Box, radius: float, paint: str) -> str:
    return (
        f'<rect x="{_number(box.left)}" y="{_number(box.top)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" rx="{_number(radius)}" {paint}/>'
    )


def _text(x: float, y: float, content: str, size: float, *, bold: bool = False, opacity: float = 1.0) -> str:
    weight = ' font-weight="600"' if bold else ""
    faint = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="middle" font-size="{_number(size)}" fill="currentColor"'
        f"{weight}{faint}>{escape(content)}</text>"
    )
