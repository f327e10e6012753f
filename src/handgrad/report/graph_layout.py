"""Where the boxes and the arrows of a forward graph are: in rows, or in one column. Standard library only.

In rows, the columns are ordered by the longest path to the loss. Most of a forward pass is one long chain, too wide for
a page, so it is broken into rows, where few edges are cut. A leaf (a parameter) with only one consumer is placed on a
shelf above it. In one column, the loss is on top, and every tensor is below its consumers.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from handgrad.report.records import ForwardGraph, backward_order, distances

__all__ = ["Box", "Edge", "Layout", "in_one_column", "in_rows", "is_clear"]

WIDTH, HEIGHT = 114.0, 62.0
SHELF_WIDTH = 80.0
GAP = 20.0
LANE = 16.0
SHELF = 30.0
TRACK = 18.0
ROW = 44.0
MARGIN = 8.0
INDENT = 26.0
RAIL = 8.0
"""Distance between the lines of edges to different consumers, where they run side by side."""
COLUMN_WIDTH, COLUMN_HEIGHT, COLUMN_GAP = 220.0, 46.0, 18.0
"""The boxes of the one column; a wide page may make them wider."""
LEAST_SHARED = 12.0
"""From this length on, two lines that run along each other are taken for one."""
PORT = 10.0
"""In the one column, edges leave a box so far above its middle, and arrive so far below it."""


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


def is_clear(layout: Layout) -> bool:
    """Whether every arrow can be followed: none runs through another box, or along an arrow that it has no end with."""
    pieces = {ends: list(pairwise(_corners(edge.line))) for ends, edge in layout.edges.items()}
    for ends, own in pieces.items():
        others = [box for name, box in layout.boxes.items() if name not in ends]
        if any(_meets(box, *piece) for box in others for piece in own):
            return False
    return not any(
        _overlap(piece, other) >= LEAST_SHARED
        for (ends, own), (other_ends, others) in combinations(pieces.items(), 2)
        if ends[0] != other_ends[0] and ends[1] != other_ends[1]
        for piece in own
        for other in others
    )


def _corners(line: str) -> list["Point"]:
    """The corners of a path, its control points among them."""
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", line)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _meets(box: Box, start: "Point", end: "Point") -> bool:
    """Whether a straight piece runs through a box or along its frame."""
    (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    inside = left <= box.right + 2 and right >= box.left - 2 and top <= box.bottom + 2 and bottom >= box.top - 2
    if not inside or left == right or top == bottom:
        return inside
    # a slanted piece: at 50 places
    return any(
        box.left - 2 <= start[0] + (end[0] - start[0]) * step / 50 <= box.right + 2
        and box.top - 2 <= start[1] + (end[1] - start[1]) * step / 50 <= box.bottom + 2
        for step in range(51)
    )


def _overlap(piece: tuple["Point", "Point"], other: tuple["Point", "Point"]) -> float:
    """The length that two level or upright pieces on one line have in common."""
    for along, across in ((0, 1), (1, 0)):
        place = piece[0][across]
        if all(abs(point[across] - place) < 0.1 for point in (piece[1], *other)):
            (first, last), (start, end) = (sorted(point[along] for point in each) for each in (piece, other))
            return min(last, end) - max(first, start)
    return 0.0


def in_rows(graph: ForwardGraph, most: int) -> Layout:
    """Lay a graph out in rows of at most ``most`` columns; its last node (the loss) is only among the consumers."""
    consumers = graph.consumers
    shelf = _shelf(consumers, graph.leaves)
    columns = _columns(consumers, shelf)
    # above a box that is not the first in its column, the shelf is behind another box
    while low := [name for name, consumer in shelf.items() if all(names[0] != consumer for names in columns)]:
        shelf = {name: consumer for name, consumer in shelf.items() if name not in low}
        columns = _columns(consumers, shelf)
    rows = _rows(columns, consumers, most)
    places = {
        name: (row, column)
        for row, (first, last) in enumerate(rows)
        for column, names in enumerate(columns[first:last])
        for name in names
    }
    tracks, depths = _tracks(consumers, places)
    rails = _rails(_spans_of_rows(consumers, places))
    beside = RAIL * max(0, *rails.values(), 0)
    boxes: dict[str, Box] = {}
    gutters: list[float] = []
    y: float = MARGIN
    for row, (first, last) in enumerate(rows):
        top = y
        above = {name: consumer for name, consumer in shelf.items() if places[consumer][0] == row}
        y += HEIGHT + SHELF if above else 0.0
        lanes = max(len(names) for names in columns[first:last])
        middle = y + (lanes * (HEIGHT + LANE) - LANE) / 2
        for column, names in enumerate(columns[first:last]):
            x = MARGIN + beside + INDENT + WIDTH / 2 + column * (WIDTH + GAP)
            for lane, name in enumerate(names):
                boxes[name] = Box(x, middle + (lane - (len(names) - 1) / 2) * (HEIGHT + LANE))
        boxes |= _on_shelf(above, boxes, top + HEIGHT / 2, MARGIN + beside)
        y += lanes * (HEIGHT + LANE) - LANE + depths[row] * TRACK + (TRACK / 2 if depths[row] else 0.0)
        gutters.append(y + ROW / 2)
        y += ROW + beside
    router = _Router(boxes, places, gutters, tracks, rails, columns, rows)
    edges = {
        (name, consumer): router.edge(name, consumer, name in shelf)
        for name in consumers
        for consumer in consumers[name]
    }
    width = max(box.right for box in boxes.values()) + GAP / 2 + MARGIN + beside
    last_row = max((rail for name, rail in rails.items() if places[name] >= (len(rows) - 1, 1)), default=-1)
    below = gutters[-1] + RAIL * last_row if last_row >= 0 else gutters[-1] - ROW / 2
    return Layout(width, below + MARGIN, boxes, edges)


def in_one_column(graph: ForwardGraph, order: Sequence[str] = ()) -> Layout:
    """Lay a graph out in one column, the loss on top; nodes that may change places are in the given ``order``."""
    consumers = graph.consumers
    ends = dict.fromkeys(name for consuming in consumers.values() for name in consuming if name not in consumers)
    names = [*ends, *backward_order(consumers, order)]
    places = {name: place for place, name in enumerate(names)}
    skipping = {
        (name, consumer): (places[consumer], places[name])
        for name in consumers
        for consumer in consumers[name]
        if places[name] - places[consumer] > 1
    }
    spans: dict[str, tuple[int, int]] = {}
    for (_, consumer), (first, last) in skipping.items():
        spans[consumer] = (first, max(last, spans.get(consumer, (first, last))[1]))
    rails = _rails(spans)
    left = MARGIN + (RAIL * (max(rails.values()) + 1) + MARGIN if rails else 0.0)
    boxes = {
        name: Box(
            left + COLUMN_WIDTH / 2,
            MARGIN + COLUMN_HEIGHT / 2 + place * (COLUMN_HEIGHT + COLUMN_GAP),
            COLUMN_WIDTH,
            COLUMN_HEIGHT,
        )
        for name, place in places.items()
    }
    edges = {}
    for name in consumers:
        for consumer in consumers[name]:
            start, end = boxes[name], boxes[consumer]
            if (name, consumer) in skipping:
                rail = left - MARGIN - RAIL * (rails[consumer] + 0.5)
                out, into = start.y - PORT, end.y + PORT
                line = _bent((left, out), (rail, out), (rail, into), (left - 5, into))
                edges[name, consumer] = Edge(line, _ARROW.format(_at((left, into))))
            else:
                x = left + 24
                line = f"M{_at((x, start.top))}L{_at((x, end.bottom + 5))}"
                edges[name, consumer] = Edge(line, f"M{_at((x, end.bottom))}l-4 6h8")
    bottom = max(box.bottom for box in boxes.values())
    return Layout(left + COLUMN_WIDTH + MARGIN, bottom + MARGIN, boxes, edges)


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


def _rows(columns: list[list[str]], consumers: Mapping[str, tuple[str, ...]], most: int) -> list[tuple[int, int]]:
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
                for first in range(max(0, end - most), end)
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


def _spans_of_rows(
    consumers: Mapping[str, tuple[str, ...]], places: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """For each consumer with an input in another row, the gutters that its rail touches, the last one not included."""
    spans: dict[str, tuple[int, int]] = {}
    for name, consuming in consumers.items():
        for consumer in consuming:
            if name in places and places[name][0] < places[consumer][0]:
                # a box in the middle of a row is entered from the gutter below it
                first, end = places[name][0], places[consumer][0] + (places[consumer][1] > 0)
                spans[consumer] = (min(first, spans.get(consumer, (first, end))[0]), end)
    return spans


def _rails(spans: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """A rail for each span, short ones next to the boxes, such that spans which overlap have different rails."""
    rails: dict[str, int] = {}
    for name, (first, last) in sorted(spans.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
        taken = {rail for other, rail in rails.items() if spans[other][0] < last and first < spans[other][1]}
        rails[name] = next(rail for rail in range(len(rails) + 1) if rail not in taken)
    return rails


def _on_shelf(above: Mapping[str, str], boxes: Mapping[str, Box], y: float, rails: float) -> dict[str, Box]:
    """Boxes of the leaves of one row, right of the ``rails``, each as close to its consumer as the others allow."""
    step = SHELF_WIDTH + 12
    consuming = sorted(dict.fromkeys(above.values()), key=lambda consumer: boxes[consumer].x)
    placed: dict[str, Box] = {}
    least = rails + 10 + SHELF_WIDTH / 2
    for consumer in consuming:
        names = [name for name, other in above.items() if other == consumer]
        x = max(least, boxes[consumer].x - step * (len(names) - 1) / 2)
        for name in names:
            placed[name] = Box(x, y, SHELF_WIDTH)
            x += step
        least = x
    return placed


Point = tuple[float, float]
_ARROW = "M{}l-6 -4v8"


@dataclass(frozen=True)
class _Router:
    """Finds the paths of the edges between boxes in rows."""

    boxes: Mapping[str, Box]
    places: Mapping[str, tuple[int, int]]
    gutters: list[float]
    tracks: Mapping[tuple[str, str], int]
    rails: Mapping[str, int]
    columns: list[list[str]]
    rows: list[tuple[int, int]]

    def edge(self, name: str, consumer: str, from_shelf: bool) -> Edge:
        start, end = self.boxes[name], self.boxes[consumer]
        if from_shelf:
            # the edges of several leaves of a consumer arrive next to each other
            x = end.x + max(-24.0, min(24.0, (start.x - end.x) / 3))
            middle = (start.bottom + end.top) / 2
            line = _curve((start.x, start.bottom), (start.x, middle), (x, middle), (x, end.top - 5))
            return Edge(line, f"M{_at((x, end.top))}l-4 -6h8")
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
        """Out to the right, back between the rows, along the rail of the consumer, and in from the left.

        A box in the middle of a row is entered from below: there may be a shelf above.
        """
        start, end = self.boxes[name], self.boxes[consumer]
        (row, _), (onto, column) = self.places[name], self.places[consumer]
        aside = RAIL * self.rails[consumer]
        x, y = MARGIN + max(RAIL * rail for rail in self.rails.values()) - aside, self.gutters[row] + aside
        out = start.right + GAP / 2 + (aside if self._is_last(name) else min(aside, RAIL) / 2)
        points = [(start.right, start.y), (out, start.y), (out, y), (x, y)]
        if column:
            y = self.gutters[onto] + aside
            return self._arriving_from_below([*points, (x, y)], consumer, y)
        return Edge(_bent(*points, (x, end.y), (end.left - 5, end.y)), _ARROW.format(_at((end.left, end.y))))

    def _arriving_from_below(self, points: list[Point], consumer: str, y: float) -> Edge:
        end = self.boxes[consumer]
        if self._is_lowest(consumer):
            line = _bent(*points, (end.x - 14, y), (end.x - 14, end.bottom + 5))
            return Edge(line, f"M{_at((end.x - 14, end.bottom))}l-4 6h8")
        back = end.left - GAP / 2
        return Edge(
            _bent(*points, (back, y), (back, end.y), (end.left - 5, end.y)), _ARROW.format(_at((end.left, end.y)))
        )

    def _is_lowest(self, name: str) -> bool:
        """Whether the node is the lowest of its column."""
        row, column = self.places[name]
        return self.columns[self.rows[row][0] + column][-1] == name

    def _is_last(self, name: str) -> bool:
        """Whether the node is in the last column of its row."""
        row, column = self.places[name]
        return self.rows[row][0] + column + 1 == self.rows[row][1]


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
    return " ".join(f"{value:.1f}".removesuffix(".0") for value in point)
