"""Solutions and hidden tests are found in what students get, whatever is around them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from handgrad.authoring.verify.leaks import Leaks
from handgrad.authoring.verify.results import Fault
from handgrad.authoring.verify.tokens import Line, lines_of, operands, spaced
from handgrad.exercise.exercise import Exercise
from helpers.inputs import named

HIDDEN = "cmp('z', dz, z)\n### BEGIN HIDDEN TESTS\nassert dz.sum() < 7.25\n### END HIDDEN TESTS"
STUB = "slope = 1 - p  # given\n### BEGIN SOLUTION\nscale = 2 * q\ndz = dp * p * (1 - p)\ndb = -dz\n### END SOLUTION"
SOURCE = (
    ("locked", "parameters", "seed = 1"),
    ("locked", "forward", "q = seed\nprint('2 * q'); p = 1 - (2 * q)"),
    ("stub", "dz", STUB),
    ("check", "check_dz", HIDDEN),
    ("stub", "dw", "### BEGIN SOLUTION\ndw = dz * x\n### END SOLUTION"),
    ("check", "check_dw", "cmp('w', dw, w)"),
)
TOLD = (
    "For instance `dz=dp*p*(1-p)`.",
    "It is `dp * p * (1 - p)`.",
    "Take $dp \\\\cdot p$, or\n\n    dp*p*(1\n    -p)",
)
FREE = ("`dp * p`", "`-dz`", "`dz * x`", "`1 - p`", "Multiply `dp` by `p`, and (1 - p) by both.", "slope = 1 - p")


@pytest.fixture
def leaks(make_notebook: Callable[..., NotebookNode]) -> Leaks:
    """The secrets of a small exercise."""
    return Leaks.of(Exercise.of(make_notebook(*SOURCE), "small", Path()))


@pytest.fixture
def faults(leaks: Leaks, tmp_path: Path) -> Callable[..., list[Fault]]:
    """The faults of a release with these cells."""

    def found(*cells: NotebookNode, **metadata: str) -> list[Fault]:
        notebook = nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)
        nbformat.write(notebook, tmp_path / "small.ipynb")
        return list(dict.fromkeys(leaks.found_in(tmp_path, "release/small")))

    return found


def _lines(leaks: Leaks) -> Iterator[str]:
    return (secret.line for secret in leaks.secrets if "###" not in secret.line)


def test_secrets(leaks: Leaks) -> None:
    """Right sides are secrets, or whole lines if these are too short or public; a line may be too short itself."""
    assert sorted(_lines(leaks)) == ["assert dz.sum() < 7.25", "dw = dz * x", "dz = dp * p * (1 - p)", "scale = 2 * q"]
    tokens = {secret.line: secret.tokens for secret in leaks.secrets}
    assert tokens["dz = dp * p * (1 - p)"] == " dp * p * ( 1 - p ) "
    assert tokens["dw = dz * x"] == " dw = dz * x "
    assert tokens["scale = 2 * q"] == " scale = 2 * q "


def test_told_in_a_text(faults: Callable[..., list[Fault]]) -> None:
    """A text that tells a right side is named with its cell, and is to be reworded; short expressions are no secret."""
    for text in TOLD:
        with named(text):
            (fault,) = faults(new_markdown_cell("# Title"), new_markdown_cell(text))
            assert fault.file == "release/small/small.ipynb"
            assert fault.what.startswith("a solution is in the text of cell 2 (")
            assert fault.what.endswith("'dz = dp * p * (1 - p)'")
            assert fault.remedy == "reword it in the source and release again"
    for text in FREE:
        with named(text):
            assert not faults(new_markdown_cell(text))


def test_told_in_a_code_cell(faults: Callable[..., list[Fault]]) -> None:
    """Comments and strings are to be reworded, code is to be put between the marks, metadata to be deleted."""
    graded = {"nbgrader": {"grade_id": "check_dz"}}
    formula = "dz = dp * p * (1 - p)"
    for cell, where, remedy in (
        (new_code_cell(f"q = 1\n# {formula}"), "the comments and strings of cell 1", "reword it"),
        (new_code_cell("# dz = dp * p\n# * (1 - p)"), "the comments and strings of cell 1", "reword it"),
        (new_code_cell(f"print('{formula}')"), "the comments and strings of cell 1", "reword it"),
        (new_code_cell("assert (dp*p*(1-p)).all()", metadata=graded), "the code of cell check_dz", "put it between"),
        (new_code_cell("assert dz.sum() < 7.25", metadata=graded), "the code of cell check_dz", "put it between"),
        (new_code_cell("1", metadata={"hint": [{"is": formula}]}), "the metadata of cell 1", "delete it there"),
    ):
        with named(cell.source):
            (fault,) = faults(cell)
            assert f"is in {where}: " in fault.what
            assert fault.remedy.startswith(remedy)
    (fault,) = faults(hint=formula)
    assert fault.what == f"a solution is in the metadata of the notebook: {formula!r}"


def test_one_fault_for_all_copies(leaks: Leaks, tmp_path: Path) -> None:
    """Copies of a cell, and pages made of it, are the same fault; a file of its own is another."""
    told = nbformat.v4.new_notebook(cells=[new_markdown_cell("`dz = dp * p * (1 - p)`, `dw = dz * x`")])
    nbformat.write(told, tmp_path / "small.ipynb")
    (tmp_path / "exercise.json").write_text(json.dumps({"notebook": told}))
    (tmp_path / "small.html").write_text("<p><b>dz</b> = dp * p * (<i>1</i> - p)</p>")
    (fault,) = set(leaks.found_in(tmp_path, "release"))
    assert fault.file == "release/small.ipynb"
    other = tmp_path / "other"
    other.mkdir()
    (other / "facts.txt").write_text("assert dz.sum() < 7.25")
    (other / "page.html").write_text("dz.sum() &lt; <i>7.25</i>")
    (other / "marks.txt").write_text("### BEGIN SOLUTION\n")
    found = dict.fromkeys(leaks.found_in(other, "other"))
    assert [(fault.file, fault.what) for fault in found] == [
        ("other/facts.txt", "a hidden test is in the file: 'assert dz.sum() < 7.25'"),
        ("other/marks.txt", "a solution is in the file: '### BEGIN SOLUTION'"),
    ]
    assert {fault.file for fault in leaks.found_in(other, "other", solved=True)} == {"other/facts.txt"}


def test_lines() -> None:
    """Logical lines are tokens without comments; the right side is what is assigned, returned or asserted."""
    source = "if x <= 1:  # a\n    y = f(k=[1,\n    2])  # b\n    y += 2.5; return y\nx[i] = 'a b'\nassert y == 1"
    assert list(lines_of(source)) == [
        Line(" if x < = 1 : ", "", "if x <= 1:  # a"),
        Line(" y = f ( k = [ 1 , 2 ] ) ", " f ( k = [ 1 , 2 ] ) ", "y = f(k=[1,"),
        Line(" y + = 2.5 ", " 2.5 ", "y += 2.5; return y"),
        Line(" return y ", " y ", "y += 2.5; return y"),
        Line(" x [ i ] = ' a b ' ", " ' a b ' ", "x[i] = 'a b'"),
        Line(" assert y = = 1 ", " y = = 1 ", "assert y == 1"),
    ]
    assert [line.tokens for line in lines_of("what? (is\nthis")] == [" what ? ( is ", " this "]
    assert operands(spaced("-x.sum(0, keepdim=True) if y else 1e-5")) == 7
