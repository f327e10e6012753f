"""The forward graph as HTML."""

import re
import xml.etree.ElementTree as ET

import pytest

from handgrad.report.graph import Node, draw
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
    assert {link.get("class") for link in links} == {"handgrad-box a-kind"}
    assert {item.get("data-state") for item in items} == {None, "s"}
    assert not list(ET.fromstring(draw(SMALL, _nodes(SMALL, ""), label="")).iter("a"))


def test_arrows_are_for_the_eye() -> None:
    """Every layout has a line and a head for each edge, which a screen reader skips; without style all are hidden."""
    for graph, layouts in ((SMALL, 2), (LONG, 3)):
        root = ET.fromstring(draw(graph, _nodes(graph), label=""))
        pictures = list(root.iter("{http://www.w3.org/2000/svg}svg"))
        assert len(pictures) == layouts
        for picture in pictures:
            assert picture.get("aria-hidden") == "true"
            assert picture.get("style", "").startswith("display:none;")
            assert len(list(picture.iter("{http://www.w3.org/2000/svg}path"))) == 2 * sum(
                map(len, graph.consumers.values())
            )


def test_every_layout_has_its_places() -> None:
    """Each variable of the style is set: the heights by the list, the places by each of its items."""
    root = ET.fromstring(draw(LONG, _nodes(LONG), label=""))
    style = next(root.iter("style")).text or ""
    used = set(re.findall(r"var\((--\w+)\)", style))
    assert used == {"--h0", "--h1", "--h2", "--x0", "--y0", "--size"} | {f"--{of}{n}" for of in "xyw" for n in (1, 2)}
    drawing = next(root.iter("div")).find("div")
    assert drawing is not None
    outer = set(re.findall(r"--\w+", drawing.get("style", "")))
    for item in root.iter("li"):
        assert outer | set(re.findall(r"--\w+", item.get("style", ""))) == used


@pytest.mark.parametrize("name", ["<b>", "a&b", '"'])
def test_names_are_text(name: str) -> None:
    """A name with marks of HTML in it is written as it is."""
    node = Node(name, name, name, link=f"#{name}")
    root = ET.fromstring(draw(ForwardGraph({name: ("loss",)}), {name: node}, label=name))
    assert root.find(".//*[@data-tensor]").get("data-tensor") == name  # type: ignore[union-attr]


def test_the_order_is_kept_as_far_as_it_can() -> None:
    """A tensor that the order puts before its consumer comes after it."""
    boxes = in_one_column(SMALL, ["x", "W", "y"]).boxes
    assert sorted(boxes, key=lambda name: boxes[name].y) == ["loss", "y", "h", "x", "W"]
