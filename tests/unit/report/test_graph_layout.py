"""Where the boxes and the arrows of a forward graph are."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, combinations, pairwise

import pytest

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference, forward_graph
from handgrad.report.graph import layouts_of, part_of
from handgrad.report.graph_layout import Box, Layout, in_one_column, in_rows
from handgrad.report.parts import FOLDED_FROM, by_part
from handgrad.report.records import ForwardGraph
from helpers.exercises import EXERCISES
from helpers.inputs import named

Point = tuple[float, float]
Consumers = Mapping[str, tuple[str, ...]]

GRAPHS: Mapping[str, Consumers] = {
    "a chain": {f"t{number}": (f"t{number + 1}" if number < 39 else "loss",) for number in range(40)},
    "one tensor": {"x": ("loss",)},
    "parallel branches": {"x": ("a", "b", "c"), "a": ("y",), "b": ("y",), "c": ("y",), "y": ("loss",)},
    "attention": {
        "x": ("q", "k", "v", "out"), "Wq": ("q",), "Wk": ("k",), "Wv": ("v",), "q": ("scores",), "k": ("scores",),
        "scores": ("weights",), "weights": ("out",), "v": ("out",), "out": ("loss",),
    },
    "shared weights": {"W": ("a", "b", "c"), "a": ("b",), "b": ("c",), "c": ("loss",)},
    "many parameters": {
        "x": ("y",), "W": ("y",), "V": ("y",), "b": ("y",), "y": ("z",), "U": ("z",), "c": ("z",), "z": ("loss",),
    },
    "skips over the rows": {
        "t0": ("t1", "t19"), **{f"t{number}": (f"t{number + 1}",) for number in range(1, 19)}, "t19": ("loss",),
    },
    "residuals": {
        f"t{number}": tuple(f"t{number + step}" if number + step < 24 else "loss" for step in (1, 3)[: 1 + number % 2])
        for number in range(24)
    },
}  # fmt: skip
LAYOUTS: Mapping[str, Callable[[ForwardGraph], Layout]] = {
    "one column": in_one_column,
    "four columns": partial(in_rows, most=4),
    "seven columns": partial(in_rows, most=7),
}


def _of(exercise: Exercise) -> ForwardGraph:
    return forward_graph(Reference.of(exercise, {}))


@pytest.fixture(scope="module")
def graphs() -> dict[str, ForwardGraph]:
    """The graphs above, and those of the exercises that have one."""
    graphs = {}
    for name, consumers in GRAPHS.items():
        leaves = set(consumers) - {consumer for consuming in consumers.values() for consumer in consuming}
        graphs[name] = ForwardGraph(consumers, frozenset(leaves))
    for name, exercise in EXERCISES.items():
        graph = _of(exercise)
        parts: dict[str, list[str]] = {}
        if len(graph.consumers) > FOLDED_FROM:
            # drawn part by part
            headings = {tensor: exercise.parts[gradient] for gradient, tensor in exercise.tensors.items()}
            parts = by_part(headings, headings)
        if exercise.tensors:
            graphs |= {f"{name}, {title}": part_of(graph, names) for title, names in parts.items()} or {name: graph}
    return graphs


def drawn(kind: str, graphs: dict[str, ForwardGraph]) -> dict[str, ForwardGraph]:
    """The graphs that are drawn in this kind of layout."""
    return {name: graph for name, graph in graphs.items() if LAYOUTS[kind](graph) in layouts_of(graph)}


def test_most_graphs_are_drawn_in_rows(graphs: dict[str, ForwardGraph]) -> None:
    """Only where arrows would run along each other, as where steps share weights, is one column all there is."""
    in_one = {name for name, graph in graphs.items() if len(layouts_of(graph)) == 1}
    assert in_one.isdisjoint({"backprop", "layer_norm", "attention", "convolution", "conv2d", "transformer, The MLP"})
    assert {name.partition(",")[0] for name in in_one} <= {"rnn", "lstm", "operations", "transformer", "modern_block"}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_boxes_are_apart_and_inside(kind: str, graphs: dict[str, ForwardGraph]) -> None:
    """Boxes do not touch each other, and all are inside the picture."""
    for name, graph in drawn(kind, graphs).items():
        with named(name):
            layout = LAYOUTS[kind](graph)
            assert set(layout.boxes) == {*graph.consumers, *chain(*graph.consumers.values())}
            for box, other in combinations(layout.boxes.values(), 2):
                assert _distance(box, other) >= 8
            for box in layout.boxes.values():
                assert 0 <= box.left < box.right <= layout.width
                assert 0 <= box.top < box.bottom <= layout.height


@pytest.mark.parametrize("kind", LAYOUTS)
def test_arrows_cross_no_box(kind: str, graphs: dict[str, ForwardGraph]) -> None:
    """Every arrow goes from its box to its consumer's, inside the picture, and through no other box."""
    for name, graph in drawn(kind, graphs).items():
        with named(name):
            layout = LAYOUTS[kind](graph)
            pairs = {(tensor, consumer) for tensor, consuming in graph.consumers.items() for consumer in consuming}
            assert set(layout.edges) == pairs
            for (tensor, consumer), edge in layout.edges.items():
                points = _points(edge.line)
                assert _touches(layout.boxes[tensor], points[0], 0.2)
                assert _touches(layout.boxes[consumer], points[-1], 5.2)
                assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in points)
                others = [box for other, box in layout.boxes.items() if other not in (tensor, consumer)]
                assert not any(_crosses(box, *piece) for box in others for piece in pairwise(points))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_arrows_are_told_apart(kind: str, graphs: dict[str, ForwardGraph]) -> None:
    """No arrow runs along another one, unless they come from the same tensor or go to the same consumer."""
    for name, graph in drawn(kind, graphs).items():
        with named(name):
            edges = LAYOUTS[kind](graph).edges
            for (ends, edge), (other_ends, other) in combinations(edges.items(), 2):
                if ends[0] == other_ends[0] or ends[1] == other_ends[1]:
                    continue
                for piece in pairwise(_points(edge.line)):
                    for other_piece in pairwise(_points(other.line)):
                        assert _shared(piece, other_piece) < 12, (ends, other_ends)


@pytest.mark.parametrize("name", [name for name, exercise in EXERCISES.items() if exercise.tensors])
def test_one_column_is_in_the_order_of_the_notebook(name: str) -> None:
    """From the loss down, the tensors are those of the notebook's cells, from the first to the last."""
    exercise = EXERCISES[name]
    order = list(exercise.tensors.values())
    boxes = in_one_column(_of(exercise), order).boxes
    asked = [tensor for tensor in sorted(boxes, key=lambda tensor: boxes[tensor].y) if tensor in order]
    assert asked == order


def test_rows_are_broken_where_few_edges_are_cut(exercise: Exercise) -> None:
    """The exercise has four rows of at most seven boxes, and one edge goes from each to the next."""
    layout = in_rows(_of(exercise), 7)
    chain = {name: box.y for name, box in layout.boxes.items() if box.width > 100}
    rows = sorted(set(chain.values()))
    assert len(rows) == 4
    for row in rows[:-1]:
        leaving = [(a, b) for a, b in layout.edges if chain.get(a, row + 1) <= row < chain[b]]
        assert len(leaving) == 1


def _distance(box: Box, other: Box) -> float:
    return max(box.left - other.right, other.left - box.right, box.top - other.bottom, other.top - box.bottom)


def _points(line: str) -> list[Point]:
    """The corners of a path, its control points among them."""
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", line)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _crosses(box: Box, start: Point, end: Point) -> bool:
    """Whether a straight piece runs through a box, or along its frame."""
    way = [
        (start[0] + (end[0] - start[0]) * step / 50, start[1] + (end[1] - start[1]) * step / 50) for step in range(51)
    ]
    return any(box.left - 2 <= x <= box.right + 2 and box.top - 2 <= y <= box.bottom + 2 for x, y in way)


def _touches(box: Box, point: Point, near: float) -> bool:
    inside = box.left - near <= point[0] <= box.right + near and box.top - near <= point[1] <= box.bottom + near
    within = box.left + 1 < point[0] < box.right - 1 and box.top + 1 < point[1] < box.bottom - 1
    return inside and not within


def _shared(piece: tuple[Point, Point], other: tuple[Point, Point]) -> float:
    """The length that two level or upright pieces on one line have in common."""
    for along, across in ((0, 1), (1, 0)):
        if len({round(point[across], 1) for point in (*piece, *other)}) == 1:
            (first, last), (start, end) = (sorted(point[along] for point in each) for each in (piece, other))
            return min(last, end) - max(first, start)
    return 0.0
