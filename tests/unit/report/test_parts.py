"""The parts of an exercise: headings, in order, in every place that shows how far somebody is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from handgrad.exercise.exercise import Exercise
from handgrad.report.graph import Node, draw_by_part
from handgrad.report.pages import Feedback, feedback_page
from handgrad.report.parts import FOLDED_FROM, by_part, headings
from handgrad.report.records import ForwardGraph, Report, Verdict
from handgrad.report.terminal import report_text
from handgrad.student import progress_map
from handgrad.student.course_progress import released
from handgrad.student.progress import GradientStatus, Progress
from helpers.paths import ROOT

BACKPROP = [
    "From the loss back to the scores",
    "The second layer and the tanh",
    "Batch normalization",
    "The first layer and the embedding",
]


def test_headings() -> None:
    """The last heading above a cell counts, without marks; deeper headings and code do not."""
    cells = [
        (True, "", "# Title"),
        (False, "da", "## a comment"),
        (True, "about", "text\n## One `step` ##\n### 1. `db`"),
        (False, "db", ""),
        (True, "", "## Two\n\n## *Three*"),
        (False, "dc", ""),
    ]
    assert headings(cells) == {"da": "", "about": "One step", "db": "One step", "dc": "Three"}
    assert by_part(["da", "db", "x", "dc"], {"db": "One", "dc": "Two"}) == {"One": ["da", "db", "x"], "Two": ["dc"]}
    assert by_part(["da", "db"], {"da": "One", "db": "One"}) == {}


def test_the_parts_of_an_exercise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from the notebook alone: in a course, and from the released file in a student's folder."""
    exercise = Exercise.read(ROOT / "source" / "backprop" / "backprop.ipynb")
    assert list(dict.fromkeys(exercise.parts.values())) == BACKPROP
    assert Exercise.read(ROOT / "source" / "cross_entropy" / "cross_entropy.ipynb").parts == {}
    monkeypatch.chdir(ROOT / "release" / "backprop")
    at_home = released(Path())
    assert at_home is not None
    assert {name: at_home.headings[name] for name in exercise.parts} == exercise.parts
    monkeypatch.chdir(tmp_path)
    assert released(Path()) is None
    (tmp_path / "exercise.json").write_text(json.dumps({"notebook": {"cells": [{"cell_type": 5}]}}))
    assert released(Path()) is None


def chain(size: int) -> tuple[ForwardGraph, dict[str, str], list[Verdict]]:
    """A chain of tensors in parts of ten, of which the last one is wrong."""
    names = [f"t{number}" for number in range(size)]
    consumers = dict(zip(names, [*((name,) for name in names[1:]), ("loss",)], strict=True))
    parts = {f"d{name}": f"Part {number // 10}" for number, name in enumerate(reversed(names))}
    verdicts = [Verdict(f"check_{name}", name, "passed", 1.0, 1.0, part=part) for name, part in parts.items()]
    verdicts[-1] = replace(verdicts[-1], outcome="failed", points=0.0)
    return ForwardGraph(consumers), parts, verdicts


def test_reports_by_part() -> None:
    """Text and page have each part's number of right gradients and its points."""
    graph, _, verdicts = chain(25)
    report = Report("big", "big", "graded", "1", checks=tuple(verdicts))
    text = report_text(report)
    assert "Part 0: 10 of 10 right, 10 of 10 points\n" in text
    assert "Part 2: 4 of 5 right, 4 of 5 points\n" in text
    assert Report.from_dict(report.to_dict()) == report
    page = feedback_page(Feedback(report, "s01", graph, ()))
    assert "<tr><td>Part 2</td><td>4 of 5 right, 4 of 5 points</td></tr>" in page
    assert "<details style" not in page


def test_a_large_graph_is_folded() -> None:
    """From a number of tensors on, a part in which all is right is folded, on the page and on the map."""
    graph, parts, verdicts = chain(FOLDED_FROM + 30)
    page = feedback_page(Feedback(Report("big", "big", "graded", "1", checks=tuple(verdicts)), "s01", graph, ()))
    assert page.count("<details style") == 6
    assert page.count("open><summary") == 1
    assert "Part 5</b>" in page.partition("open><summary")[2][:60]
    order = list(reversed(graph.consumers))
    statuses = tuple(
        GradientStatus(name, (2, 3), "right" if number < 10 else "not yet", graph.consumers[name], leaf=False)
        for number, name in enumerate(order)
    )
    progress = Progress(statuses[::-1], order[10])
    html, text = progress_map.html(progress, parts), progress_map.text(progress, parts)
    assert html.count("<details") == 6
    assert html.count("open><summary") == 1
    assert "Part 0: 10 of 10 right\n" in text
    assert "Part 1: 0 of 10 right\n" in text
    assert set(progress_map.text(progress, {}).splitlines()) < set(text.splitlines())


def test_a_part_has_the_ends_of_its_arrows() -> None:
    """A folded part shows the tensor of another part into which its own go, and every tensor of its own once."""
    graph = ForwardGraph({"a": ("b",), "b": ("c",), "c": ("loss",)}, frozenset("a"))
    nodes = {name: Node("", "", name, data='data-state="s"') for name in graph.consumers}
    html = draw_by_part(graph, nodes, {"One": ["c"], "Two": ["b", "a"]}, {"Two": "0 of 2"}, opened=["Two"], label="x")
    first, second = html.split("</details>")[:2]
    assert first.count("data-tensor") == 1
    assert second.count("data-tensor") == 3
    assert "0 of 2" in second
