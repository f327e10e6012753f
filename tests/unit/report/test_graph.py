"""The forward graph as one picture."""

import xml.etree.ElementTree as ET

import pytest

from handgrad.report.graph import Node, draw
from handgrad.report.records import ForwardGraph

SMALL = ForwardGraph({"W": ("h",), "x": ("h", "y"), "h": ("y",), "y": ("loss",)}, frozenset({"W", "x"}))


def test_a_picture_has_a_box_for_each_tensor() -> None:
    """Every tensor and the loss have a box, every consumer an arrow, and whoever sees no picture is told."""
    nodes = {name: Node("two", "three", f"about {name}", 'fill="none"', link=f"#{name}") for name in SMALL.consumers}
    text = draw(
        SMALL, nodes, label="a <label>", title="a title", description="all", style="", ringed="h", ring_colour="red"
    )
    root = ET.fromstring(text)
    space = {"s": "http://www.w3.org/2000/svg"}
    assert root.get("aria-label") == "a <label>"
    assert [one.get("href") for one in root.findall("s:a", space)] == ["#W", "#x", "#h", "#y"]
    assert [one.text for one in root.findall("s:a/s:g/s:title", space)] == ["about W", "about x", "about h", "about y"]
    assert len(root.findall("s:path", space)) == 2 * sum(map(len, SMALL.consumers.values()))
    assert [one.text for one in root.findall("s:g/s:text", space)] == ["loss"]
    assert len([one for one in root.findall("s:rect", space) if one.get("stroke") == "red"]) == 1


@pytest.mark.parametrize("name", ["<b>", "a&b", '"'])
def test_names_are_text(name: str) -> None:
    """A name with marks of HTML in it is written as it is."""
    node = Node(name, name, name, 'fill="none"', link=f"#{name}")
    root = ET.fromstring(
        draw(ForwardGraph({name: ("loss",)}), {name: node}, label=name, title=name, description=name, style="")
    )
    assert root.find(".//*[@data-tensor]").get("data-tensor") == name  # type: ignore[union-attr]
