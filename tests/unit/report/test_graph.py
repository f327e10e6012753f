"""The forward graph as HTML."""

import re
import xml.etree.ElementTree as ET

import pytest

from handgrad.report.graph import Node, _in_short, draw, layouts_of
from handgrad.report.graph_layout import in_one_column
from handgrad.report.records import ForwardGraph

SMALL = ForwardGraph({"W": ("h",), "x": ("h", "y"), "h": ("y",), "y": ("loss",)}, frozenset({"W", "x"}))
LONG = ForwardGraph({f"t{number}": (f"t{number + 1}" if number < 9 else "loss",) for number in range(10)})


def _nodes(graph: ForwardGraph, link: str = "#{}") -> dict[str, Node]:
    return {
        name: Node("two", "three", f"about {name}", "border-color:red", "a-kind", 'data-state="s"', link.format(name))
        for name in graph.consumers
    }


def test_every_tensor_is_in_the_list() -> None:
    """The list has the loss and every tensor after its consumers, with its texts, its consumers and its link."""
    root = ET.fromstring(draw(SMALL, _nodes(SMALL), label="a <label>", order=["y", "h", "x", "W"]))
    (items,) = root.iter("ol")
    assert items.get("aria-label") == "a <label>"
    assert [item.get("data-tensor") for item in items] == [None, "y", "h", "x", "W"]
    assert ["".join(item.itertext()) for item in items] == [
        "loss",
        "y two three goes into loss",
        "h two three goes into y",
        "x two three goes into h and y",
        "W two three goes into h",
    ]
    links = list(items.iter("a"))
    assert [link.get("href") for link in links] == ["#y", "#h", "#x", "#W"]
    assert [link.get("title") for link in links] == ["about y", "about h", "about x", "about W"]
    assert {link.get("class") for link in links} == {"a-kind"}
    assert {item.get("data-state") for item in items} == {None, "s"}
    assert not list(ET.fromstring(draw(SMALL, _nodes(SMALL, ""), label="")).iter("a"))


def test_arrows_are_for_the_eye() -> None:
    """Every layout has a line for each edge and a head at each of their ends, which a screen reader skips.

    Without style all are hidden.
    """
    for graph, layouts in ((SMALL, 2), (LONG, 3)):
        root = ET.fromstring(draw(graph, _nodes(graph), label=""))
        pictures = list(root.iter("{http://www.w3.org/2000/svg}svg"))
        assert len(pictures) == layouts
        for number, (picture, layout) in enumerate(zip(pictures, layouts_of(graph), strict=True)):
            assert picture.get("aria-hidden") == "true"
            assert picture.get("style") == f"display:var(--s{number},none)"
            lines, heads = (path.get("d", "") for path in picture.iter("{http://www.w3.org/2000/svg}path"))
            assert lines.count("M") == sum(map(len, graph.consumers.values()))
            assert heads.count("M") == len({edge.arrow for edge in layout.edges.values()})


def test_every_layout_has_its_places() -> None:
    """Each variable of the style is set: the heights by the list, the places by each of its items."""
    root = ET.fromstring(draw(LONG, _nodes(LONG), label=""))
    style = next(root.iter("style")).text or ""
    used = set(re.findall(r"var\((--\w+)\)", style))
    assert used == {"--x", "--h1", "--h2", "--1", "--2"}
    shown = [re.search(r"--s\d:block", part) for part in style.split("@container")]
    assert [found and found[0] for found in shown] == ["--s0:block", "--s1:block", "--s2:block"]
    drawing = next(root.iter("div")).find("div")
    assert drawing is not None
    outer = set(re.findall(r"--\w+", drawing.get("style", "")))
    for item in root.iter("li"):
        assert outer | set(re.findall(r"--\w+", item.get("style", ""))) == used


def test_what_is_not_usual_has_its_own_size() -> None:
    """A box that is not as wide as others says so, and so does a name that is too long for its box."""
    for name, variables in (("W" * 20, {"--size"}), ("W", set()), ("b" * 9, set())):
        html = draw(ForwardGraph({name: ("loss",)}), {name: Node("", "", link="#")}, label="")
        assert set(re.findall(r"(--[a-z]+):", html.partition("<ol")[2])) == variables
    leaves = re.findall(r'--w:(\d+)px[^>]*data-tensor="(\w+)"', draw(SMALL, _nodes(SMALL), label=""))
    assert {name for _, name in leaves} == {name for name, box in layouts_of(SMALL)[1].boxes.items() if box.width < 100}


def test_a_short_path_is_the_same() -> None:
    """A path in whole pixels goes through the corners of the long one, as far as they are half a pixel away."""
    for graph in (SMALL, LONG):
        for layout in layouts_of(graph):
            for edge in layout.edges.values():
                corners = _corners(edge.line)
                short = _corners(_in_short(edge.line))
                assert len(short) == len(corners)
                for point, other in zip(corners, short, strict=True):
                    assert max(abs(point[0] - other[0]), abs(point[1] - other[1])) <= 0.5
                assert _corners(_in_short(edge.arrow))[0] == tuple(map(round, _corners(edge.arrow)[0]))


def _corners(path: str) -> list[tuple[float, float]]:
    """Where each command of a path ends."""
    x = y = 0.0
    corners = []
    for command, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        values = [float(value) for value in re.findall(r"-?\d+(?:\.\d+)?", text)]
        if command in "hv":
            x, y = (x + values[0], y) if command == "h" else (x, y + values[0])
        elif command.isupper():
            x, y = values[-2:]
        else:
            x, y = x + values[-2], y + values[-1]
        corners.append((x, y))
    return corners


@pytest.mark.parametrize("name", ["<b>", "a&b", '"'])
def test_names_are_text(name: str) -> None:
    """A name with marks of HTML in it is written as it is."""
    node = Node(name, name, name, data='data-state="s"', link=f"#{name}")
    root = ET.fromstring(draw(ForwardGraph({name: ("loss",)}), {name: node}, label=name))
    assert root.find(".//*[@data-tensor]").get("data-tensor") == name  # type: ignore[union-attr]


def test_the_order_is_kept_as_far_as_it_can() -> None:
    """A tensor that the order puts before its consumer comes after it."""
    boxes = in_one_column(SMALL, ["x", "W", "y"]).boxes
    assert sorted(boxes, key=lambda name: boxes[name].y) == ["loss", "y", "h", "x", "W"]
