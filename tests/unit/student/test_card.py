"""What a student sees in Jupyter, without a browser: the card, the picture, the map; and a kernel that runs them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbclient
import nbformat
import pytest
import torch
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import run_kernel
from nbformat import NotebookNode
from nbgrader.validator import Validator

from handgrad import CheckFailed, progress
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.report.records import Diagnosis
from handgrad.student import card, check, progress_map
from handgrad.student.card import Card
from handgrad.student.heatmap import COLUMNS, NARROW, ROWS, HeatMap
from handgrad.student.progress import Progress, progress_of
from handgrad.student.style import COLOURS
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


ALLOWED = {
    *("div", "span", "b", "br", "style", "ol", "li", "a", "small", "i", "table", "thead", "tbody", "tr", "th", "td"),
    *(SVG + tag for tag in ("svg", "g", "rect", "path", "text", "title")),
}


def _assert_safe(html: str) -> None:
    """What VS Code and Colab need, and every page: style for itself only, no script, nothing from elsewhere."""
    elements = _elements(html)
    assert {element.tag for element in elements} <= ALLOWED
    for element in elements:
        for name, value in element.attrib.items():
            assert name != "src"
            assert name != "id" or (element is elements[0] and value.startswith("handgrad-d"))
            assert name != "href" or value.startswith("#handgrad-d")
            assert name != "class" or element is elements[0] or value.startswith("handgrad-")
            assert not name.startswith("on")
            assert "url(" not in value
        if element.tag == "style":
            text = element.text or ""
            assert "url(" not in text
            assert "@import" not in text
            selectors = re.findall(r"[^{}]+(?=\{)", re.sub(r"@container \([^)]*\)\{", "", text))
            assert selectors
            assert all(".handgrad-" in part for selector in selectors for part in selector.split(","))
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
    failed = Card(NASTY, Diagnosis("values", NASTY, NASTY, ""), NASTY)
    for html in (failed.html(), card.passed(NASTY, NASTY, NASTY)):
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


@pytest.mark.parametrize(
    "size", [(2, 3), (12, 32), (13, 33), (32, 27), (64, 200), (1, 5), (5, 1), (7,), (70,), (4, 6, 8), (2, 3, 20, 40)]
)
def test_heat_map(size: tuple[int, ...]) -> None:
    """Each square has the largest difference of its block, of the matrix with the worst entry; no entry is left out."""
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(size, generator=generator)
    difference = torch.randn(size, generator=generator)
    heat_map = HeatMap.of(reference + difference, reference)
    assert heat_map
    worst = heat_map.worst[0].place
    assert abs(float(difference[worst])) == float(difference.abs().max())
    matrix = difference[worst[:-2]] if len(size) > 1 else difference[None]
    for picture, columns in zip(heat_map.pictures, (COLUMNS, NARROW), strict=True):
        assert picture.index == worst[:-2]
        assert len(picture.values) <= ROWS
        assert len(picture.values[0]) <= columns
        for place, (count, step) in enumerate(
            zip((len(picture.values), len(picture.values[0])), picture.block, strict=True)
        ):
            assert (count - 1) * step < matrix.shape[place] <= count * step
        for row, values in enumerate(picture.values):
            for column, value in enumerate(values):
                high, wide = picture.block
                part = matrix[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                assert abs(value) == pytest.approx(float(part.abs().max()), rel=1e-4)
                assert bool((part.sub(value).abs() < 1e-5).any())
        row, column = (0, *worst)[-2:]
        assert picture.worst == (row // picture.block[0], column // picture.block[1])


def test_heat_map_as_a_picture() -> None:
    """A sign in each wrong square, the worst one framed; the first and the last row have their numbers, columns too."""
    reference = torch.zeros(30, 40)
    answer = reference.clone()
    answer[4, 39], answer[29, 0], answer[0, 1] = 3.0, -2.0, 1.0
    heat_map = HeatMap.of(answer, reference + 0.0, scale=1.0)
    assert heat_map
    wide, narrow = heat_map.pictures
    assert (wide.block, narrow.block) == ((3, 2), (3, 3))
    svg = ElementTree.fromstring(wide.svg("a label"))
    assert svg.get("aria-label") == "a label"
    above, below = svg.findall(f"{SVG}g")[1:]
    assert [title.text for title in above.iter(f"{SVG}title")] == ["[0:3, 0:2]: +1", "[3:6, 38:40]: +3"]
    assert [title.text for title in below.iter(f"{SVG}title")] == ["[27:30, 0:2]: -2"]
    signs = svg.findall(f"{SVG}path")[1].get("d", "")
    assert (signs.count("h6"), signs.count("v6")) == (3, 2)
    frame = next(element for element in svg.iter(f"{SVG}rect") if element.get("stroke"))
    square = above.findall(f"{SVG}rect")[1]
    for side in ("x", "y"):
        assert abs(float(frame.get(side, "")) - float(square.get(side, ""))) < 1
    numbers = [text.text for text in svg.iter(f"{SVG}text")]
    assert numbers[:10] == [str(row) for row in range(0, 30, 3)]
    assert numbers[10:] == [str(column) for column in range(0, 40, 4)]
    assert [text.text for text in ElementTree.fromstring(narrow.svg("")).iter(f"{SVG}text")][10:13] == ["0", "6", "12"]


def test_heat_map_in_words() -> None:
    """What differs is counted over the whole tensor; the worst entries have their values; a slice is called one."""
    reference = torch.ones(2, 3, 4)
    answer = reference.clone()
    answer[1, 2, 3], answer[0, 1, 0], answer[1, 0, 0], answer[0, 0, 0] = 5.0, -1.0, 2.5, 1.5
    heat_map = HeatMap.of(answer, reference)
    assert heat_map
    assert heat_map.text() == (
        "4 of 24 entries differ. The largest differences: at [1, 2, 3] yours is 5, autograd's 1; "
        "at [0, 1, 0] yours is -1, autograd's 1; at [1, 0, 0] yours is 2.5, autograd's 1."
    )
    root = ElementTree.fromstring(f"<div>{heat_map.html()}</div>")
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows == [
        ["entry", "yours", "autograd's"],
        ["[1, 2, 3]", "5", "1"],
        ["[0, 1, 0]", "-1", "1"],
        ["[1, 0, 0]", "2.5", "1"],
    ]
    words = " ".join(root.itertext())
    assert words.count("Only the slice [1, :, :], with the largest difference. Yours minus autograd's") == 2
    assert "[1, 2, 3]: +4" in words
    vector = HeatMap.of(torch.zeros(40), torch.ones(40))
    assert vector
    assert [entry.place for entry in vector.worst] == [(0,), (1,), (2,)]
    assert "All 40 entries differ." in vector.html()
    assert vector.html().count("Each square is the largest of") == 2
    assert "slice" not in vector.html()
    assert [text.text for text in ElementTree.fromstring(vector.pictures[0].svg("")).iter(f"{SVG}text")][:2] == [
        "0",
        "4",
    ]


def test_heat_map_only_where_it_helps() -> None:
    """No picture of one wrong entry, of another shape, of a single number, or of what is not finite."""
    reference = torch.ones(3, 4)
    answer = reference.clone()
    answer[1, 2] = 5
    assert HeatMap.of(answer, reference) is None
    assert HeatMap.of(reference + 1e-6, reference) is None
    assert HeatMap.of(reference[:1] + 1, reference) is None
    assert HeatMap.of(torch.tensor(2.0), torch.tensor(1.0)) is None
    assert HeatMap.of(reference * float("nan"), reference) is None
    assert HeatMap.of(reference + 1j, reference) is None


def test_the_line_is_broken_at_its_bars(half_done: dict[str, Any], shown: list[Mapping[str, str]]) -> None:
    """The comparison line is the lecture's, letter by letter, in pieces that stay whole."""
    exec("cmp('logprobs', dlogprobs, logprobs)", half_done)
    pieces = [element for element in _elements(shown[0]["text/html"]) if element.get("style") == "white-space:pre"]
    assert [piece.text for piece in pieces] == [
        "logprobs        |",
        "exact: True  |",
        "approximate: True  |",
        "maxdiff: 0.0",
    ]
    assert shown[0]["text/plain"].startswith(" ".join(piece.text or "" for piece in pieces))


def test_no_raw_backticks(half_done: dict[str, Any], shown: list[Mapping[str, str]]) -> None:
    """Code in a note and on the map is set as code, not between backticks."""
    exec("dlogit_maxes = logit_maxes.grad.clone(); cmp('logit_maxes', dlogit_maxes, logit_maxes)", half_done)
    finished = Progress(tuple(replace(status, state="right") for status in progress_of(half_done).statuses), None)
    for html in (shown[-1]["text/html"], progress_map.html(finished, {})):
        assert "`" not in html
        assert any(element.text == "handgrad check" for element in _elements(html))


def test_map(half_done: dict[str, Any]) -> None:
    """Every gradient is in the map, in the order of the notebook, with its word, shape and state; the text agrees."""
    stock = progress_of(half_done)
    (items,) = ElementTree.fromstring(progress_map.html(stock, {})).iter("ol")
    nodes = {node.attrib["data-tensor"]: node for node in items if "data-tensor" in node.attrib}
    assert [*nodes] == [status.tensor for status in reversed(stock.statuses)]
    assert [f"d{name}" for name in nodes] == [name for name in half_done if name in {f"d{node}" for node in nodes}]
    assert len(nodes) == 26
    for status in stock.statuses:
        node = nodes[status.tensor]
        words = " ".join(node.itertext())
        assert status.tensor in words
        assert " \u00d7 ".join(map(str, status.shape)) in words
        assert status.tensor == stock.next or status.state in words
        assert ("next" in words) == (status.tensor == stock.next)
        assert words.endswith(f"goes into {' and '.join(status.consumers)}")
        assert node.attrib["data-state"] == status.state
        assert [link.get("href") for link in node.iter("a")] == [f"#handgrad-{status.gradient}"]
        assert re.search(
            rf"{status.gradient} +{status.state} +{re.escape(str(status.shape))}", progress_map.text(stock, {})
        )


def test_the_map_leads_to_the_checks(half_done: dict[str, Any], shown: list[Mapping[str, str]]) -> None:
    """The link of a box is the id of what the check of its gradient shows, right or not."""
    for name in ("logprobs", "counts", "C"):
        with suppress(CheckFailed):
            exec(f"cmp('{name}', d{name}, {name})", half_done)
        root = ElementTree.fromstring(shown[-1]["text/html"])
        links = {
            link.get("href") for link in ElementTree.fromstring(progress_map.html(progress_of(half_done), {})).iter("a")
        }
        assert f"#{root.get('id')}" in links


def test_progress_in_a_terminal(half_done: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a notebook the map is text; without a loss a sentence says what to do; the grader hears nothing."""
    namespace = half_done | {"progress": progress}
    capsys.readouterr()
    exec("progress()", namespace)
    assert capsys.readouterr().out == progress_map.text(progress_of(half_done), {}) + "\n"
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


UNWRITTEN = """
import torch
from handgrad import cmp
x = torch.ones(2, 3, requires_grad=True)
loss = (x * x).sum()
loss.backward(retain_graph=True)
dx = None
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    """A kernel with a forward pass and an answer that is not written."""
    with run_kernel() as client:
        _run(client, UNWRITTEN)
        yield client


def _run(
    client: BlockingKernelClient, source: str, by_hand: bool = True
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The reply to a cell, run by a person or by a program, and its outputs."""
    outputs: list[dict[str, Any]] = []
    reply = client.execute_interactive(
        source, allow_stdin=by_hand, stdin_hook=lambda _: None, output_hook=outputs.append, timeout=60
    )
    kinds = ("display_data", "error", "stream")
    return reply["content"], [
        {"kind": message["msg_type"], **message["content"]} for message in outputs if message["msg_type"] in kinds
    ]


def test_what_is_not_written_is_grey(kernel: BlockingKernelClient) -> None:
    """A check of what is not written yet fails, and shows its card without an error below it."""
    for _ in range(2):
        reply, outputs = _run(kernel, "cmp('x', dx, x)")
        assert (reply["status"], reply["ename"]) == ("error", "CheckFailed")
        assert "dx is not written yet" in reply["evalue"]
        (card,) = outputs
        assert card["kind"] == "display_data"
        assert COLOURS["not yet"] in card["data"]["text/html"]
        assert COLOURS["wrong"] not in card["data"]["text/html"]


def test_a_program_sees_what_is_not_written(kernel: BlockingKernelClient) -> None:
    """Where nobody could answer a question of the cell, the error is among the outputs, as nbgrader counts on it."""
    reply, outputs = _run(kernel, "cmp('x', dx, x)", by_hand=False)
    assert reply["status"] == "error"
    assert [output["kind"] for output in outputs] == ["display_data", "error"]
    assert outputs[1]["ename"] == "CheckFailed"


def test_other_errors_are_shown(kernel: BlockingKernelClient) -> None:
    """A wrong answer has its line in the traceback's place, and any other error its own, whatever was caught before."""
    caught = "try:\n    cmp('x', dx, x)\nexcept AssertionError:\n    pass\n"
    for before in ("", caught):
        _, outputs = _run(kernel, f"{before}cmp('x', x + 5, x)")
        assert [output["kind"] for output in outputs][-1] == "error"
        assert outputs[-1]["traceback"] == ["CheckFailed: the check of dx does not pass yet."]
        _, outputs = _run(kernel, f"{before}1 / 0")
        assert outputs[-1]["ename"] == "ZeroDivisionError"


def test_a_handler_of_somebody_elses_stays(kernel: BlockingKernelClient) -> None:
    """A notebook that handles exceptions in its own way goes on doing so."""
    _run(kernel, "get_ipython().set_custom_exc((AssertionError,), lambda *_, **__: print('its own way'))")
    _, outputs = _run(kernel, "cmp('x', dx, x)")
    assert outputs[-1]["text"] == "its own way\n"
    _run(kernel, "get_ipython().set_custom_exc((), None)")


def test_stubs_and_checks_may_raise() -> None:
    """Every stub and every check of the release carries the tag that lets Run All go on."""
    notebook = nbformat.read(ROOT / "release/backprop/backprop.ipynb", as_version=4)
    marked = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    marked += [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert len(marked) == 52
    assert all("raises-exception" in cell.metadata.tags for cell in marked)


def test_nbgrader_validate(half_filled: Path) -> None:
    """nbgrader's Validate lists each check that fails, with the sentence and without a card."""
    failed = {cell["source"]: cell["error"] for cell in Validator().validate(str(half_filled))["failed"]}
    assert len(failed) == 25
    assert "cmp('logprobs', dlogprobs, logprobs)" not in failed
    assert failed["cmp('probs', dprobs, probs)"].startswith(
        "CheckFailed: dprobs has the wrong sign everywhere; its absolute values are right.\nTry: Follow the minus "
        "signs of `logprobs = probs.log()`, each of them once."
    )
    assert failed["cmp('C', dC, C)"].startswith("CheckFailed: dC is not written yet")
