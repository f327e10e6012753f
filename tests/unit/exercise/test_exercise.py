"""An instructor's notebook, read, and everything that may be wrong with one."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from handgrad.errors import ExerciseError, OrdinaryAssignmentError, closest
from handgrad.exercise.exercise import Exercise, grade_id, is_exercise, kind_of
from helpers.inputs import named

MakeNotebook = Callable[..., NotebookNode]
GOOD = (
    ("locked", "parameters", "seed = 1"),
    ("text", "", "# Words"),
    ("locked", "forward", "x = seed"),
    ("stub", "dx", "dx = None"),
    ("check", "check_dx", "cmp('x', dx, x)"),
    ("free", "", "# notes"),
    ("locked", "given", "dy = 3"),
    ("stub", "dz", "dz = None"),
    ("check", "check_dz", "cmp('z', dz, z)"),
)


def _raw(source: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook with a grade_id, straight from its JSON."""
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade_id")]


def test_the_exercise(source: Path, exercise: Exercise) -> None:
    """Stubs, checks, points and locked cells are those that the notebook's JSON names, in its order."""
    raw = [(cell, cell["metadata"]["nbgrader"]) for cell in _raw(source)]
    assert exercise.name == "backprop"
    assert exercise.directory == source.parent
    assert list(exercise.stubs) == [facts["grade_id"] for _, facts in raw if facts["solution"]]
    assert len(exercise.stubs) == 26
    checks = [(facts["grade_id"], facts["points"], "".join(cell["source"])) for cell, facts in raw if facts["grade"]]
    assert [(check.id, check.points, check.source) for check in exercise.checks] == checks
    locked = [facts["grade_id"] for _, facts in raw if facts["locked"] and not facts["grade"]]
    assert [*exercise.setup_names(), "progress"] == locked
    for check in exercise.checks:
        assert check.id == f"check_{check.gradient}"
        assert exercise.check_of(check.gradient) is check
        assert exercise.tensors[check.gradient] == check.gradient[1:]
    assert exercise.cells[exercise.parameters_cell].name == "parameters"
    assert exercise.cells[exercise.first_stub].name == exercise.stubs[0]


def test_givens(make_exercise: Callable[..., Exercise], make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """A gradient that a locked cell takes is given, wherever the cell stands, unless it has a stub."""
    exercise = make_exercise("dy = y.grad.clone()\ndx = x.grad", "x")
    assert (exercise.given_gradients, exercise.tensors) == ({"dy": "y"}, {"dx": "x"})
    assert exercise.tensor_of == {"dx": "x", "dy": "y"}
    later = Exercise.of(
        make_notebook(*GOOD, ("locked", "more", "dw = w.grad"), ("free", "", "dv = v.grad")), "g", tmp_path
    )
    assert later.given_gradients == {"dw": "w"}


def test_parameters_are_set_after_their_cell(exercise: Exercise) -> None:
    """Parameters are set right after the tagged cell and change nothing else; without any the cells are as written."""
    plain = exercise.setup({})
    assert plain == tuple(cell.source for cell in exercise.cells[: exercise.first_stub] if cell.kind == "locked")
    changed = exercise.setup({"seed": 5, "batch_size": 16, "word": "it's"})
    assert (changed[0], *changed[2:]) == plain
    namespace: dict[str, Any] = {}
    exec(changed[0], namespace)
    exec(changed[1], namespace)
    assert (namespace["seed"], namespace["batch_size"], namespace["word"]) == (5, 16, "it's")
    assert namespace["n_embd"] == 10


def test_setup_ends_at_the_first_stub(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """Locked cells from the first stub on, and cells of other kinds, are no part of the setup."""
    exercise = Exercise.of(make_notebook(*GOOD), "good", tmp_path)
    assert exercise.setup({}) == ("seed = 1", "x = seed")
    assert exercise.setup({"seed": 2}) == ("seed = 1", "seed = 2", "x = seed")
    assert exercise.setup_names() == ("parameters", "forward")
    assert exercise.stubs == ("dx", "dz")
    assert [cell.kind for cell in exercise.cells] == [kind for kind, _, _ in GOOD]


FAULTS: dict[str, tuple[tuple[tuple[str, str, str], ...], str]] = {
    "id twice": ((*GOOD, ("locked", "forward", "")), "grade_id 'forward' is used more than once"),
    "check without stub": ((*GOOD, ("check", "check_dzz", "")), "check 'check_dzz' has no stub"),
    "did you mean": ((*GOOD, ("check", "check_dxx", "")), "Did you mean dx?"),
    "check by another name": ((*GOOD, ("check", "test_dx", "")), "check 'test_dx' has no stub"),
    "stub without check": ((*GOOD, ("stub", "dw", "")), "stub 'dw' has no check: add a graded cell check_dw after it"),
    "no parameters": (GOOD[1:], "0 cells have the tag 'parameters'"),
    "two parameters": ((*GOOD, ("locked", "parameters", "")), "2 cells have the tag 'parameters'"),
    "no stub": (GOOD[:3], "there is no stub"),
    "nothing": ((), "is not an exercise of handgrad: no cell has the tag 'parameters'"),
}


def test_faults(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """A notebook that is no exercise is told what is missing, with the path of the file."""
    for name, (cells, message) in FAULTS.items():
        with named(name):
            with pytest.raises(ExerciseError) as caught:
                Exercise.of(make_notebook(*cells), "bad", tmp_path)
            assert message in str(caught.value)
            assert str(tmp_path / "bad.ipynb") in str(caught.value)


def test_all_faults_at_once(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """All faults are named at once, so that an author fixes a notebook once."""
    cells = (("locked", "a", ""), ("locked", "a", ""), ("check", "check_dx", "cmp('x', dx, x)"), ("stub", "dy", ""))
    with pytest.raises(ExerciseError) as caught:
        Exercise.of(make_notebook(*cells), "bad", tmp_path)
    for message in ("'a' is used more than once", "'check_dx' has no stub", "'dy' has no check", "0 cells have"):
        assert message in str(caught.value)


def test_an_ordinary_assignment(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """A notebook without anything of handgrad's is an ordinary assignment; one sign makes it an unfinished exercise."""
    cells = (("stub", "total", "def total(xs):\n    return sum(xs)"), ("check", "test_total", "assert total([1]) == 1"))
    with pytest.raises(OrdinaryAssignmentError, match=r"bad.ipynb is not an exercise of handgrad"):
        Exercise.of(make_notebook(*cells), "bad", tmp_path)
    for sign in (
        ("locked", "parameters", "seed = 1"),
        ("locked", "imports", "from handgrad import cmp"),
        ("check", "check_x", "cmp('x', dx, x)"),
    ):
        with named(sign), pytest.raises(ExerciseError) as caught:
            Exercise.of(make_notebook(*cells, sign), "bad", tmp_path)
        assert not isinstance(caught.value, OrdinaryAssignmentError)


def test_points(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """Points that are no number of points are named."""
    for points in ["1", None, -1, [1]]:
        with named(points):
            with pytest.raises(ExerciseError) as caught:
                Exercise.of(make_notebook(*GOOD, points=points), "bad", tmp_path)
            assert f"check 'check_dx' has points {points!r}" in str(caught.value)


def test_points_may_be_zero_or_half(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """Any number of points from zero on is fine."""
    for points in (0, 0.5, 3):
        exercise = Exercise.of(make_notebook(*GOOD, points=points), "good", tmp_path)
        assert [check.points for check in exercise.checks] == [points, points]


FILES = {
    "empty": b"",
    "html": b"<html></html>",
    "truncated": b'{"cells": [',
    "list": b"[]",
    "number": b"3",
    "utf-16": '{"cells": []}'.encode("utf-16"),
    "no notebook version": b'{"nbformat": 99, "nbformat_minor": 5, "metadata": {}, "cells": []}',
}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is no notebook is one error of ours, with its path."""
    for name, content in FILES.items():
        with named(name):
            path = tmp_path / "exercise.ipynb"
            path.write_bytes(content)
            with pytest.raises(ExerciseError, match="is not a notebook that can be read") as caught:
                Exercise.read(path)
            assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{}", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}'], ids=["bare", "no cells"]
)
def test_json_without_cells(text: str, tmp_path: Path) -> None:
    """A JSON object without cells is no notebook either."""
    path = tmp_path / "exercise.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExerciseError, match="is not a notebook that can be read"):
        Exercise.read(path)


def test_no_file(tmp_path: Path) -> None:
    """A path without a file, and a folder, are told from a broken file."""
    with pytest.raises(ExerciseError, match="no such file"):
        Exercise.read(tmp_path / "nowhere.ipynb")
    with pytest.raises(ExerciseError, match=r"is not a notebook that can be read.*directory"):
        Exercise.read(tmp_path)


def test_read_takes_its_name_from_the_file(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """An exercise is called after its file, and finds its own files beside it."""
    path = tmp_path / "chain_rule.ipynb"
    nbformat.write(make_notebook(*GOOD), path)
    exercise = Exercise.read(path)
    assert (exercise.name, exercise.directory) == ("chain_rule", tmp_path)


def test_digest(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """The digest changes with sources, names, kinds and points, and with nothing else."""

    def digest(*cells: tuple[str, str, str], points: float = 1, name: str = "good") -> str:
        return Exercise.of(make_notebook(*cells, points=points), name, tmp_path).digest

    first = digest(*GOOD)
    assert digest(*GOOD) == first
    changes = [
        (("locked", "parameters", "seed = 2"), *GOOD[1:]),
        (GOOD[0], ("locked", "other", ""), *GOOD[2:]),
        (GOOD[0], GOOD[2], GOOD[1], *GOOD[3:]),
        (*GOOD, ("free", "", "")),
    ]
    assert len({first, digest(*GOOD, points=2), *(digest(*cells) for cells in changes)}) == len(changes) + 2
    notebook = make_notebook(*GOOD)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="hello")]
    assert Exercise.of(notebook, "good", tmp_path).digest == first


def test_kinds() -> None:
    """The kind of a cell follows its nbgrader metadata, whatever a tool left there."""

    def kind(cell_type: str = "code", **facts: Any) -> str:
        cell = nbformat.v4.new_code_cell() if cell_type == "code" else nbformat.v4.new_markdown_cell()
        cell.metadata["nbgrader"] = facts
        return kind_of(cell)

    assert kind("markdown", grade_id="a", locked=True) == "text"
    assert kind(grade_id="a", locked=True) == "locked"
    assert kind(grade_id="a", solution=True) == "stub"
    assert kind(grade_id="a", grade=True, locked=True) == "check"
    assert kind(grade_id="a") == "free"
    assert kind(locked=True) == "free"
    assert kind() == "free"
    for odd in (None, [], "locked", {"grade_id": 3, "locked": True}, {"grade_id": None, "solution": True}):
        cell = nbformat.v4.new_code_cell()
        cell.metadata["nbgrader"] = odd
        assert kind_of(cell) == "free"
        assert grade_id(cell) == ""


def test_is_exercise(solved: NotebookNode, make_notebook: MakeNotebook) -> None:
    """Only a notebook with a parameters cell and an import of handgrad is meant to be ours."""
    assert is_exercise(solved)
    assert not is_exercise(make_notebook(*GOOD))
    assert is_exercise(make_notebook(*GOOD, ("free", "", "import torch\nfrom handgrad import cmp")))
    assert not is_exercise(make_notebook(*GOOD, ("text", "", "from handgrad import cmp")))
    assert not is_exercise(make_notebook(*GOOD, ("free", "", "# from handgrad import cmp\nimport handgraduate")))
    untagged = copy.deepcopy(solved)
    for cell in untagged.cells:
        cell.metadata.pop("tags", None)
    assert not is_exercise(untagged)


def test_hidden_tests(make_exercise: Callable[..., Exercise]) -> None:
    """A check knows whether a part of it is kept from students."""
    (check,) = make_exercise("", "x").checks
    assert not check.has_hidden_tests
    marked = type(check)(check.id, "dx", 1.0, "### BEGIN HIDDEN TESTS\nassert True\n### END HIDDEN TESTS")
    assert marked.has_hidden_tests


def test_closest() -> None:
    """A suggestion is made where a name is near, and none where nothing is."""
    assert closest("dprob", ["dprobs", "dh"]) == " Did you mean dprobs?"
    assert closest("banana", ["dprobs", "dh"]) == ""
    assert closest("dx", []) == ""


VALUES = (
    ("locked", "parameters", "seed = 1"),
    ("stub", "helper", "def f(): ..."),
    ("stub", "dx", "dx = None"),
    ("check", "check_dx", "cmp('x', dx, x)"),
    ("stub", "train", "w = v = 1"),
    ("check", "check_w", "assert w"),
    ("check", "check_v", ""),
    ("check", "check_train", "assert w + v"),
)


def test_values(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """What no check compares is a value: it is answered by the last stub above, or by the one of its name."""
    exercise = Exercise.of(make_notebook(*VALUES), "good", tmp_path)
    assert exercise.answers == {"helper": (), "dx": ("dx",), "train": ("w", "v", "train")}
    assert exercise.tensors == {"dx": "x"}
    assert [check.id for check in exercise.values] == ["check_w", "check_v", "check_train"]
    assert [check.is_whole for check in exercise.values] == [False, False, True]
    assert [name for name, _ in exercise.solution()] == ["helper", "dx", "train"]


VALUE_FAULTS = {
    "gradient's stub": ((*VALUES[:4], ("check", "check_w", "")), "check 'check_w' has no stub"),
    "above every stub": ((VALUES[0], VALUES[5], *VALUES[2:]), "check 'check_w' has no stub"),
    "stub after the values": ((*VALUES, ("stub", "more", "")), "stub 'more' has no check"),
    "no name of a check": ((*VALUES, ("check", "test_w", "")), "check 'test_w' has no stub"),
}


def test_faults_of_values(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """A check that no stub answers, and a stub that no check asks about, are named."""
    for name, (cells, message) in VALUE_FAULTS.items():
        with named(name):
            with pytest.raises(ExerciseError) as caught:
                Exercise.of(make_notebook(*cells), "bad", tmp_path)
            assert message in str(caught.value)


METADATA = {
    "other key": ({"hiden": {}}, "may only have the keys hidden, seconds"),
    "no table": ([], "may only have the keys hidden, seconds"),
    "no settings": ({"hidden": 3}, "handgrad.hidden of the parameters cell is not an object or a list of objects"),
    "empty list": ({"hidden": []}, "handgrad.hidden of the parameters cell is not an object or a list of objects"),
    "list of numbers": (
        {"hidden": [1]},
        "handgrad.hidden of the parameters cell is not an object or a list of objects",
    ),
    "no number": ({"seconds": "long"}, "handgrad.seconds of the parameters cell is 'long', not a number of seconds"),
    "no time": ({"seconds": 0}, "handgrad.seconds of the parameters cell is 0, not a number of seconds"),
}


def test_faults_of_metadata(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """What the parameters cell says of the training is read with care, and every fault is named."""
    for name, (metadata, message) in METADATA.items():
        with named(name):
            notebook = make_notebook(*VALUES)
            notebook.cells[0].metadata["handgrad"] = metadata
            with pytest.raises(ExerciseError) as caught:
                Exercise.of(notebook, "bad", tmp_path)
            assert message in str(caught.value)


def test_metadata_of_the_parameters(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """Settings of hidden passes may be one table or several; they are part of what the exercise is."""
    digests = set()
    for hidden, expected in (({"n": 1}, ({"n": 1},)), ([{"n": 1}, {"n": 2}], ({"n": 1}, {"n": 2}))):
        notebook = make_notebook(*VALUES)
        notebook.cells[0].metadata["handgrad"] = {"hidden": hidden, "seconds": 2.5}
        exercise = Exercise.of(notebook, "good", tmp_path)
        assert (exercise.training.hidden, exercise.training.seconds) == (expected, 2.5)
        digests.add(exercise.digest)
    plain = Exercise.of(make_notebook(*VALUES), "good", tmp_path)
    assert (plain.training.hidden, plain.training.seconds) == (({},), None)
    assert len({*digests, plain.digest}) == 3


def test_sizes(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """The integers of the parameters cell are the sizes; those of the same number are listed together."""
    parameters = "seed = 4\nrows, width = 4, 4\ndepth: int = 3\neps = 1e-5\nhalf = width // 2\nsteps = 4"
    cells = (("locked", "parameters", parameters), *GOOD[1:])
    exercise = Exercise.of(make_notebook(*cells), "small", tmp_path)
    assert exercise.literals == {"seed": 4, "rows": 4, "width": 4, "depth": 3, "eps": 1e-5, "steps": 4}
    assert exercise.sizes == {"rows": 4, "width": 4, "depth": 3, "steps": 4}
    assert exercise.equal_sizes() == ["rows, width and steps"]
