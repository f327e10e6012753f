"""Where the nodes and edges of a forward graph stand: columns by the longest way to the loss, broken into rows.

Most of a forward pass is one long chain, which no page is wide enough for. So it is broken where the fewest edges are
cut. What has no input of its own (a parameter) sits on a shelf above the one node that uses it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["Box", "Edge", "Layout", "lay_out", "number"]

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
    """The place of a node: its middle, and its size."""

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
    """A drawing without ink: the boxes by name, and the edges by the names that they join."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    edges: Mapping[tuple[str, str], Edge]


def number(value: float) -> str:
    """A number of a picture, as short as it can be."""
    return f"{value:.1f}".removesuffix(".0")


def lay_out(consumers: Mapping[str, tuple[str, ...]], distances: Mapping[str, int], leaves: Collection[str]) -> Layout:
    """Lay a graph out.

    Parameters
    ----------
    consumers
        For each node, what follows it; the last node (the loss) is among the consumers only.
    distances
        For each of them, the steps of the longest way to the last node.
    leaves
        Nodes without input.
    """
    shelf = _shelf(consumers, leaves)
    columns = _columns(consumers, distances, shelf)
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
        above = {name: user for name, user in shelf.items() if places[user][0] == row}
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
    edges = {(name, user): router.edge(name, user, name in shelf) for name in consumers for user in consumers[name]}
    width = max(box.right for box in boxes.values()) + GAP / 2 + MARGIN
    return Layout(width, y - ROW / 2 + MARGIN / 2, boxes, edges)


def _shelf(consumers: Mapping[str, tuple[str, ...]], leaves: Collection[str]) -> dict[str, str]:
    """The leaves that sit above their only consumer, which has an input that is none."""
    inner = {user for name, users in consumers.items() if name not in leaves for user in users}
    return {
        name: users[0] for name, users in consumers.items() if name in leaves and len(users) == 1 if users[0] in inner
    }


def _columns(
    consumers: Mapping[str, tuple[str, ...]], distances: Mapping[str, int], shelf: Collection[str]
) -> list[list[str]]:
    """Nodes of the same distance in a column, the farthest first; in a column they stand as their consumers do."""
    nodes = dict.fromkeys([name for name in consumers if name not in shelf])
    nodes |= dict.fromkeys(user for users in consumers.values() for user in users)
    longest = max(distances.get(name, 0) for name in nodes)
    columns: list[list[str]] = [[] for _ in range(longest + 1)]
    for name in nodes:
        columns[longest - distances.get(name, 0)].append(name)
    height: dict[str, float] = {}
    for names in reversed(columns):
        wanted = {
            name: sum(height[user] for user in consumers.get(name, ())) / max(1, len(consumers.get(name, ())))
            for name in names
        }
        names.sort(key=lambda name: wanted[name])
        height |= {name: lane - (len(names) - 1) / 2 for lane, name in enumerate(names)}
    return columns


def _rows(columns: list[list[str]], consumers: Mapping[str, tuple[str, ...]]) -> list[tuple[int, int]]:
    """Where the columns are broken into rows: few rows, and breaks that cut few edges.

    The cost of a break is the square of the edges that it cuts, the cost of a row 1; ties go to even rows.
    """
    column = {name: index for index, names in enumerate(columns) for name in names}
    spans = [(column[name], column[user]) for name, users in consumers.items() if name in column for user in users]
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
    """For each edge that skips columns of its row, the track below the row that it takes; and each row's tracks."""
    skipping = [
        (places[user][1] - places[name][1], name, user)
        for name, users in consumers.items()
        if name in places
        for user in users
        if places[user][0] == places[name][0] and places[user][1] - places[name][1] > 1
    ]
    tracks: dict[tuple[str, str], int] = {}
    for _, name, user in sorted(skipping):
        row, (start, end) = places[name][0], (places[name][1], places[user][1])
        taken = {
            track
            for (other, behind), track in tracks.items()
            if places[other][0] == row and places[other][1] < end and start < places[behind][1]
        }
        tracks[name, user] = next(track for track in range(len(tracks) + 1) if track not in taken)
    rows = {row for row, _ in places.values()}
    depths = {
        row: 1 + max((track for (name, _), track in tracks.items() if places[name][0] == row), default=-1)
        for row in rows
    }
    return tracks, depths


def _on_shelf(above: Mapping[str, str], boxes: Mapping[str, Box], y: float) -> dict[str, Box]:
    """Boxes of the leaves of one row, each as near above its consumer as the others allow."""
    step = SHELF_WIDTH + 12
    users = sorted(dict.fromkeys(above.values()), key=lambda user: boxes[user].x)
    placed: dict[str, Box] = {}
    # right of the line that comes back from the row above
    least = MARGIN + 10 + SHELF_WIDTH / 2
    for user in users:
        names = [name for name, other in above.items() if other == user]
        x = max(least, boxes[user].x - step * (len(names) - 1) / 2)
        for name in names:
            placed[name] = Box(x, y, SHELF_WIDTH)
            x += step
        least = x
    return placed


Point = tuple[float, float]
_ARROW = "M{}l-6 -3.5v7z"


@dataclass(frozen=True)
class _Router:
    """Draws the edges between placed boxes."""

    boxes: Mapping[str, Box]
    places: Mapping[str, tuple[int, int]]
    gutters: list[float]
    tracks: Mapping[tuple[str, str], int]
    columns: list[list[str]]
    rows: list[tuple[int, int]]

    def edge(self, name: str, user: str, from_shelf: bool) -> Edge:
        start, end = self.boxes[name], self.boxes[user]
        if from_shelf:
            # leaves of one consumer arrive beside each other
            x = end.x + max(-24.0, min(24.0, (start.x - end.x) / 3))
            middle = (start.bottom + end.top) / 2
            line = _curve((start.x, start.bottom), (start.x, middle), (x, middle), (x, end.top - 5))
            return Edge(line, f"M{_at((x, end.top))}l-3.5 -6h7z")
        if (name, user) in self.tracks:
            return self._below(name, user)
        if self.places[name][0] == self.places[user][0]:
            middle = (start.right + end.left) / 2
            line = _curve((start.right, start.y), (middle, start.y), (middle, end.y), (end.left - 5, end.y))
            return Edge(line, _ARROW.format(_at((end.left, end.y))))
        return self._to_another_row(name, user)

    def _below(self, name: str, user: str) -> Edge:
        """Down, along a track below the row, and up again."""
        first, _ = self.rows[self.places[name][0]]
        between = self.columns[first + self.places[name][1] : first + self.places[user][1] + 1]
        floor = max(self.boxes[one].bottom for names in between for one in names)
        y = floor + TRACK * (self.tracks[name, user] + 1)
        start = self.boxes[name]
        if self._is_lowest(name):
            leaving = [(start.x + 14, start.bottom), (start.x + 14, y)]
        else:
            out = start.right + GAP / 2
            leaving = [(start.right, start.y), (out, start.y), (out, y)]
        return self._arriving_from_below(leaving, user, y)

    def _to_another_row(self, name: str, user: str) -> Edge:
        """Out to the right, back between the rows as a typewriter does, and in from the left.

        Into the middle of a row it comes from below: above may be a shelf.
        """
        start, end = self.boxes[name], self.boxes[user]
        (row, _), (onto, column) = self.places[name], self.places[user]
        out = start.right + GAP / 2
        points = [(start.right, start.y), (out, start.y), (out, self.gutters[row]), (MARGIN, self.gutters[row])]
        if column:
            return self._arriving_from_below([*points, (MARGIN, self.gutters[onto])], user, self.gutters[onto])
        return Edge(_bent(*points, (MARGIN, end.y), (end.left - 5, end.y)), _ARROW.format(_at((end.left, end.y))))

    def _arriving_from_below(self, points: list[Point], user: str, y: float) -> Edge:
        end = self.boxes[user]
        if self._is_lowest(user):
            line = _bent(*points, (end.x - 14, y), (end.x - 14, end.bottom + 5))
            return Edge(line, f"M{_at((end.x - 14, end.bottom))}l-3.5 6h7z")
        back = end.left - GAP / 2
        return Edge(
            _bent(*points, (back, y), (back, end.y), (end.left - 5, end.y)), _ARROW.format(_at((end.left, end.y)))
        )

    def _is_lowest(self, name: str) -> bool:
        """Whether nothing stands below the node in its column."""
        row, column = self.places[name]
        return self.columns[self.rows[row][0] + column][-1] == name


def _curve(start: Point, leaving: Point, arriving: Point, end: Point) -> str:
    return f"M{_at(start)}C{_at(leaving)} {_at(arriving)} {_at(end)}"


def _bent(*points: Point) -> str:
    """A line of straight pieces with round corners."""
    radius = 12.0
    path = f"M{_at(points[0])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        path += f"L{_at(_towards(corner, before, radius))}Q{_at(corner)} {_at(_towards(corner, after, radius))}"
    return f"{path}L{_at(points[-1])}"


def _towards(point: Point, other: Point, by: float) -> Point:
    """``by`` from ``point`` in the direction of ``other``, half way at most."""
    x, y = other[0] - point[0], other[1] - point[1]
    length = (x**2 + y**2) ** 0.5
    share = min(by, length / 2) / length if length else 0.0
    return point[0] + x * share, point[1] + y * share


def _at(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"
