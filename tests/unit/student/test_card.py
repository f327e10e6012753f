"""What a student sees in Jupyter, without a browser: the card, the picture, the map; and a kernel that runs them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbclient
import nbformat
import pytest
import torch
from nbformat import NotebookNode
from nbgrader.validator import Validator

from handgrad import CheckFailed, progress
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.report.graph import lay_out
from handgrad.report.records import Diagnosis, ForwardGraph
from handgrad.student import card, check, progress_map
from handgrad.student.card import Card
from handgrad.student.heatmap import COLUMNS, ROWS, HeatMap
from handgrad.student.progress import progress_of
from helpers.inputs import named
from helpers.paths import ROOT

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert('$x$')</script>&\"'"


@pytest.fixture
def half_done(
    exercise: Exercise, play: Callable[[Exercise], dict[str, Any]], solutions: dict[str, str]
) -> dict[str, Any]:
    """A student's notebook with ten stubs solved, one slip among them, and the others as released."""
    namespace = play(exercise) | dict.fromkeys(exercise.stubs)
    for source in list(solutions.values())[:10]:
        exec(source, namespace)
        namespace["dcounts"] = namespace["dcounts"] if namespace["dcounts"] is None else namespace["dprobs"]
    return namespace


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """What is shown, in a notebook."""
    bundles: list[Mapping[str, str]] = []
    monkeypatch.setattr(check, "in_notebook", lambda: True)
    monkeypatch.setattr(check, "show", lambda html, text: bundles.append({"text/html": html, "text/plain": text}))
    return bundles


def _elements(html: str) -> list[ElementTree.Element]:
    """Every element of an output, which has to be well-formed."""
    return list(ElementTree.fromstring(html).iter())


ALLOWED = {"div", "span", "b", "br", *(SVG + tag for tag in ("svg", "g", "rect", "path", "text", "title", "desc"))}


def _assert_safe(html: str) -> None:
    """What VS Code and Colab need, and what every page needs: inline style only, no script, nothing from elsewhere."""
    elements = _elements(html)
    assert {element.tag for element in elements} <= ALLOWED
    for element in elements:
        for name, value in element.attrib.items():
            assert name not in ("id", "href", "src", "class") or element is elements[0], name
            assert not name.startswith("on")
            assert "url(" not in value
    assert "mathjax_ignore" in elements[0].attrib["class"]
    assert re.findall(r"https?://[^\"]*", html) == ["http://www.w3.org/2000/svg"] * html.count("<svg")


def test_outputs_are_safe_and_have_text(half_done: dict[str, Any], shown: list[Mapping[str, str]]) -> None:
    """Each card, each passed check and the map: safe HTML, and text beside it that says the same."""
    for name in ("logprobs", "counts", "logits", "h", "C"):
        if name == "logprobs":
            exec("cmp('logprobs', dlogprobs, logprobs)", half_done)
            continue
        with pytest.raises(CheckFailed) as caught:
            exec(f"cmp('{name}', d{name}, {name})", half_done)
        assert str(caught.value) in shown[-1]["text/plain"]
        assert caught.value._render_traceback_() == [f"CheckFailed: the check of d{name} does not pass yet."]
    exec("progress()", half_done | {"progress": progress})
    assert len(shown) == 6
    for bundle in shown:
        assert list(bundle) == ["text/html", "text/plain"]
        _assert_safe(bundle["text/html"])
        assert "<" not in bundle["text/plain"]
    passed, wrong, *_, missing, overview = (bundle["text/plain"] for bundle in shown)
    assert passed.startswith("logprobs        | exact: True  | approximate: True  | maxdiff: 0.0")
    assert wrong.startswith("counts          | exact: False | approximate: False | maxdiff: ")
    assert "dC is not written yet" in missing
    assert "Next: dcounts, which is wrong." in overview


def test_everything_is_escaped() -> None:
    """Names and sentences are text, whatever stands in them."""
    one = Card(NASTY, Diagnosis("values", NASTY, NASTY, ""), NASTY)
    for html in (one.html(), card.passed(NASTY, NASTY)):
        _assert_safe(html)
        assert "".join(ElementTree.fromstring(html).itertext()).count(NASTY) >= 2


def test_a_name_of_the_students_own(finished_small: dict[str, Any], shown: list[Mapping[str, str]]) -> None:
    """The first argument of a check is a text that anything may stand in."""
    with pytest.raises(CheckFailed):
        exec(f"cmp({NASTY!r}, dx + 1, x)", finished_small)
    _assert_safe(shown[0]["text/html"])


@pytest.fixture
def finished_small() -> dict[str, Any]:
    """A small notebook of one step, right."""
    namespace: dict[str, Any] = {"cmp": check.cmp, "torch": torch}
    exec(
        "x = torch.ones(2, 3, requires_grad=True); y = torch.tanh(x); y.retain_grad(); loss = y.sum()\n"
        "loss.backward(retain_graph=True)\ndy = torch.ones(2, 3); dx = (1 - y**2) * dy",
        namespace,
    )
    return namespace


def test_heat_map() -> None:
    """The picture has the signs of the largest differences, the worst square is framed, and no square is lost."""
    for size in [(2, 3), (12, 32), (13, 33), (32, 27), (64, 200), (1, 5), (5, 1)]:
        with named(size):
            generator = torch.Generator().manual_seed(0)
            reference = torch.randn(size, generator=generator)
            difference = torch.randn(size, generator=generator)
            picture = HeatMap.of(reference + difference, reference)
            assert picture
            assert len(picture.cells) <= ROWS
            assert len(picture.cells[0]) <= COLUMNS
            assert (len(picture.cells) - 1) * picture.block[0] < size[0] <= len(picture.cells) * picture.block[0]
            assert (len(picture.cells[0]) - 1) * picture.block[1] < size[1] <= len(picture.cells[0]) * picture.block[1]
            for row, values in enumerate(picture.cells):
                for column, value in enumerate(values):
                    high, wide = picture.block
                    part = difference[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                    assert abs(value) == pytest.approx(float(part.abs().max()), rel=1e-4)
                    assert bool((part.sub(value).abs() < 1e-5).any())
            assert abs(float(difference[picture.worst])) == float(difference.abs().max())
            svg = ElementTree.fromstring(picture.svg())
            signs = [element.text for element in svg.iter(f"{SVG}text")]
            assert signs == ["+" if value > 0 else "\u2212" for row in picture.cells for value in row]
            frame = next(element for element in svg.iter(f"{SVG}rect") if element.get("stroke"))
            row, column = picture.worst[0] // picture.block[0], picture.worst[1] // picture.block[1]
            square = list(svg.iter(f"{SVG}g"))[row * len(picture.cells[0]) + column].find(f"{SVG}rect")
            assert square is not None
            for side in ("x", "y"):
                assert abs(float(frame.get(side, "")) - float(square.get(side, ""))) < 1


def test_heat_map_only_where_it_helps() -> None:
    """No picture of one wrong entry, of another shape, of one dimension, or of what is not finite."""
    reference = torch.ones(3, 4)
    one = reference.clone()
    one[1, 2] = 5
    assert HeatMap.of(one, reference) is None
    assert HeatMap.of(reference + 1e-6, reference) is None
    assert HeatMap.of(reference[:1] + 1, reference) is None
    assert HeatMap.of(torch.zeros(4), torch.ones(4)) is None
    assert HeatMap.of(reference * float("nan"), reference) is None
    assert HeatMap.of(reference + 1j, reference) is None
    one[0, 0] = 0
    picture = HeatMap.of(one, reference)
    assert picture
    assert picture.text() == ("2 of 12 entries differ. The largest difference is at [1, 2]: yours is 5, autograd's 1.")


GRAPHS = {
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
}  # fmt: skip


def test_layout(half_done: dict[str, Any]) -> None:
    """Boxes do not touch each other, all is inside the picture, and edges go from box to box."""
    for name in [*GRAPHS, "backprop"]:
        with named(name):
            if name == "backprop":
                stock = progress_of(half_done)
                consumers = {one.tensor: one.consumers for one in stock.statuses}
            else:
                consumers = GRAPHS[name]
            leaves = set(consumers) - {user for users in consumers.values() for user in users}
            layout = lay_out(ForwardGraph(consumers, frozenset(leaves)))
            assert set(layout.boxes) == {*consumers, "loss"}
            for one, other in combinations(layout.boxes.values(), 2):
                apart = max(
                    one.left - other.right, other.left - one.right, one.top - other.bottom, other.top - one.bottom
                )
                assert apart >= 8
            for box in layout.boxes.values():
                assert 0 <= box.left < box.right <= layout.width
                assert 0 <= box.top < box.bottom <= layout.height
            assert set(layout.edges) == {(one, user) for one, users in consumers.items() for user in users}
            for (one, user), edge in layout.edges.items():
                numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", edge.line)]
                points = list(zip(numbers[::2], numbers[1::2], strict=True))
                assert _touches(layout.boxes[one], points[0], 0.2)
                assert _touches(layout.boxes[user], points[-1], 5.2)
                assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in points)
                others = [box for other, box in layout.boxes.items() if other not in (one, user)]
                assert not any(_crosses(box, *piece) for box in others for piece in pairwise(points))


def _crosses(box: Any, start: tuple[float, float], end: tuple[float, float]) -> bool:
    """Whether a straight piece runs through a box, or along its frame."""
    way = [
        (start[0] + (end[0] - start[0]) * step / 50, start[1] + (end[1] - start[1]) * step / 50) for step in range(51)
    ]
    return any(box.left - 2 <= x <= box.right + 2 and box.top - 2 <= y <= box.bottom + 2 for x, y in way)


def _touches(box: Any, point: tuple[float, float], near: float) -> bool:
    inside = box.left - near <= point[0] <= box.right + near and box.top - near <= point[1] <= box.bottom + near
    within = box.left + 1 < point[0] < box.right - 1 and box.top + 1 < point[1] < box.bottom - 1
    return inside and not within


def test_rows_are_broken_where_few_edges_are_cut(half_done: dict[str, Any]) -> None:
    """The map of the exercise has four rows, and one edge goes from each to the next."""
    stock = progress_of(half_done)
    consumers = {one.tensor: one.consumers for one in stock.statuses}
    layout = lay_out(ForwardGraph(consumers, frozenset(one.tensor for one in stock.statuses if one.leaf)))
    chain = {name: box.y for name, box in layout.boxes.items() if box.width > 100}
    rows = sorted(set(chain.values()))
    assert len(rows) == 4
    for row in rows[:-1]:
        leaving = [(a, b) for a, b in layout.edges if chain.get(a, row + 1) <= row < chain[b]]
        assert len(leaving) == 1


def test_map(half_done: dict[str, Any]) -> None:
    """Every gradient is in the map with its word, its shape and its state; the next one says so; text says the same."""
    stock = progress_of(half_done)
    svg = next(element for element in _elements(progress_map.html(stock)) if element.tag == f"{SVG}svg")
    assert svg.find(f"{SVG}title") is not None
    description = svg.find(f"{SVG}desc")
    assert description is not None
    assert description.text == progress_map.text(stock)
    nodes = {node.attrib["data-tensor"]: node for node in svg.iter(f"{SVG}g") if "data-tensor" in node.attrib}
    assert list(nodes) == [one.tensor for one in stock.statuses]
    assert len(nodes) == 26
    for one in stock.statuses:
        node = nodes[one.tensor]
        words = " ".join(text.text or "" for text in node.iter(f"{SVG}text"))
        assert one.tensor in words
        assert " \u00d7 ".join(map(str, one.shape)) in words
        assert one.tensor == stock.next or one.state in words
        assert ("next" in words) == (one.tensor == stock.next)
        assert re.search(rf"{one.gradient} +{one.state} +{re.escape(str(one.shape))}", progress_map.text(stock))


def test_progress_in_a_terminal(half_done: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a notebook the map is text; without a loss a sentence says what to do; the grader hears nothing."""
    namespace = half_done | {"progress": progress}
    capsys.readouterr()
    exec("progress()", namespace)
    assert capsys.readouterr().out == progress_map.text(progress_of(half_done)) + "\n"
    with check.recording():
        exec("progress()", namespace)
    assert capsys.readouterr().out == ""
    del namespace["loss"]
    exec("progress()", namespace)
    assert capsys.readouterr().out.startswith("progress: there is no loss yet. Run the cells from the top again")


def test_silence(tmp_path: Path) -> None:
    """In the sandbox `progress` does nothing at all, even where there is no loss."""
    source = "from handgrad import progress\nfrom handgrad.student.check import silence\nsilence()\nprogress()"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout + done.stderr == ""


# a kernel of the real thing

ANSWERS = {
    "dlogprobs": "dlogprobs = torch.zeros_like(logprobs)\ndlogprobs[range(n), Yb] = -1 / n",
    "dprobs": "dprobs = -dlogprobs / probs",
    "dcounts_sum_inv": "dcounts_sum_inv = (dprobs * counts).sum(1, keepdim=True)",
    "dcounts_sum": "dcounts_sum = dcounts_sum_inv / 0 + undefined",
}


@pytest.fixture(scope="module")
def half_filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released notebook, four of its stubs written: one right, one wrong, one carried, one that raises."""
    folder = tmp_path_factory.mktemp("half") / "backprop"
    shutil.copytree(ROOT / "release/backprop", folder)
    path = folder / "backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = ANSWERS.get(grade_id(cell), cell.source)
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def run(half_filled: Path) -> dict[str, NotebookNode]:
    """Its cells after Run All, by grade_id."""
    notebook = nbformat.read(half_filled, as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(half_filled.parent)}}).execute()
    return {grade_id(cell): cell for cell in notebook.cells if grade_id(cell)}


def test_run_all_reaches_the_end(run: dict[str, NotebookNode]) -> None:
    """Where the tag is honoured neither a failing check nor a raising stub stops Run All; the map says what is left."""
    assert all(cell.execution_count for cell in run.values())
    (output,) = run["progress"].outputs
    assert output.output_type == "display_data"
    _assert_safe(output.data["text/html"])
    assert "Of 26 gradients: 1 right, 1 wrong, 1 carried, 23 not yet." in output.data["text/plain"]
    assert "Next: dprobs, which is wrong." in output.data["text/plain"]


def test_cards_in_a_kernel(run: dict[str, NotebookNode]) -> None:
    """A check that fails leaves a card with text beside it, and one line in the traceback's place."""
    passed = run["check_dlogprobs"].outputs
    assert [output.output_type for output in passed] == ["display_data"]
    assert passed[0].data["text/plain"].startswith("logprobs        | exact: True  | approximate: True")
    for name in ("check_dprobs", "check_dcounts", "check_dC"):
        first, error = run[name].outputs
        assert first.output_type == "display_data"
        _assert_safe(first.data["text/html"])
        assert error.output_type == "error"
        assert error.ename == "CheckFailed"
        assert len(error.traceback) == 1
        assert "\n" not in error.traceback[0]
        assert error.evalue in first.data["text/plain"]


def test_stubs_and_checks_may_raise() -> None:
    """Every stub and every check of the release carries the tag that lets Run All go on."""
    notebook = nbformat.read(ROOT / "release/backprop/backprop.ipynb", as_version=4)
    marked = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    marked += [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert len(marked) == 52
    assert all("raises-exception" in cell.metadata.tags for cell in marked)


def test_nbgrader_validate(half_filled: Path) -> None:
    """nbgrader's Validate lists each check that fails, with the sentence and without a card."""
    failed = {one["source"]: one["error"] for one in Validator().validate(str(half_filled))["failed"]}
    assert len(failed) == 25
    assert "cmp('logprobs', dlogprobs, logprobs)" not in failed
    assert failed["cmp('probs', dprobs, probs)"].startswith(
        "CheckFailed: dprobs has the wrong sign everywhere; its absolute values are right.\nTry: Follow the minus "
        "signs of `logprobs = probs.log()`, each of them once."
    )
    assert failed["cmp('C', dC, C)"].startswith("CheckFailed: dC is not written yet")
