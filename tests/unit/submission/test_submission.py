"""A student's notebook, read and laid onto the stubs."""

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.notebook.reading import read_notebook
from handgrad.submission.submission import Submission
from helpers.inputs import named

MakeNotebook = Callable[..., NotebookNode]
EXERCISE = (
    ("locked", "parameters", "seed = 1"),
    ("locked", "forward", "x = seed"),
    ("stub", "dx", "dx = None"),
    ("check", "check_dx", "cmp('x', dx, x)"),
    ("locked", "given", "dy = 3"),
    ("stub", "dz", "dz = None"),
    ("check", "check_dz", "cmp('z', dz, z)"),
)


@pytest.fixture
def small(make_notebook: MakeNotebook, tmp_path: Path) -> Exercise:
    """A small exercise with a locked cell between its stubs."""
    return Exercise.of(make_notebook(*EXERCISE), "small", tmp_path)


def _cells(submission: Submission) -> list[tuple[str, str, int | None]]:
    return [(cell.source, "".join(cell.gradients), cell.position) for cell in submission.cells]


def test_solved(solved: NotebookNode, exercise: Exercise, solutions: dict[str, str]) -> None:
    """Of a whole notebook the stubs are run, in its order, and the locked cell after them; no setup, check or text."""
    submission = Submission.of(solved, exercise)
    *stubs, last = submission.cells
    assert [("".join(cell.gradients), cell.source) for cell in stubs] == list(solutions.items())
    assert (last.gradients, last.source) == ((), "progress()")
    for cell in submission.cells:
        assert cell.position is not None
        assert grade_id(solved.cells[cell.position]) == ("".join(cell.gradients) or "progress")
    assert list(submission.stub_indices()) == list(exercise.stubs)
    assert submission.notebook is solved


def test_setup_and_checks_are_the_exercise_s(small: Exercise, make_notebook: MakeNotebook) -> None:
    """Locked cells and checks that a student changed are not taken from the student."""
    cells = [(kind, name, text if kind == "stub" else "exit()") for kind, name, text in EXERCISE]
    assert _cells(Submission.of(make_notebook(*cells), small)) == [
        ("dx = None", "dx", 2),
        ("dy = 3", "", 4),
        ("dz = None", "dz", 5),
    ]


def test_extra_cells_run_where_they_stand(small: Exercise, make_notebook: MakeNotebook) -> None:
    """A student's own code cells run in their place, text does not, and unknown grade_ids are the student's own."""
    notebook = make_notebook(
        ("free", "", "first = 1"), *EXERCISE[:3], ("text", "", "words"), ("locked", "mine", "own = 1"), *EXERCISE[3:]
    )
    assert _cells(Submission.of(notebook, small)) == [
        ("first = 1", "", 0),
        ("dx = None", "dx", 3),
        ("own = 1", "", 5),
        ("dy = 3", "", 7),
        ("dz = None", "dz", 8),
    ]


def test_moved_and_duplicated(small: Exercise, make_notebook: MakeNotebook) -> None:
    """Cells run in the student's order; of two copies of a stub the written one runs, of a given one the first."""
    again = ("stub", "dx", "dx = 2")
    notebook = make_notebook(EXERCISE[5], EXERCISE[4], EXERCISE[2], EXERCISE[4], again)
    submission = Submission.of(notebook, small)
    assert [cell.source for cell in submission.cells] == ["dz = None", "dy = 3", "dx = 2"]
    assert submission.stub_indices() == {"dz": 0, "dx": 2}
    assert submission.note.startswith("The answer cell of dx is there more than once")


def test_missing_cells(small: Exercise, make_notebook: MakeNotebook) -> None:
    """A locked cell that was deleted still runs; a stub that was deleted is an empty cell in its place."""
    submission = Submission.of(make_notebook(EXERCISE[2]), small)
    assert _cells(submission) == [("dx = None", "dx", 0), ("", "dz", None), ("dy = 3", "", None)]
    assert submission.stub_indices() == {"dx": 0, "dz": 1}


def test_missing_cells_keep_their_order(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """Several locked cells that were deleted run in the order of the exercise."""
    names = [f"given{number}" for number in range(12)]
    given = [("locked", name, f"{name} = 1") for name in names]
    exercise = Exercise.of(make_notebook(*EXERCISE[:4], *given), "small", tmp_path)
    submission = Submission.of(make_notebook(EXERCISE[2]), exercise)
    assert [cell.source for cell in submission.cells[1:]] == [text for _, _, text in given]


@pytest.mark.parametrize("strip", ["metadata", "stubs", "all"])
def test_another_exercise(strip: str, small: Exercise, solved: NotebookNode) -> None:
    """A notebook without one answer cell of the exercise is refused, with what may have happened."""
    notebook = copy.deepcopy(solved)
    if strip == "metadata":
        for cell in notebook.cells:
            cell.metadata.clear()
    elif strip == "stubs":
        notebook.cells = [cell for cell in notebook.cells if kind_of(cell) != "stub"]
    else:
        notebook.cells = []
    with pytest.raises(SubmissionError, match="none of the 2 answer cells of small") as caught:
        Submission.of(notebook, small)
    assert "another exercise" in str(caught.value)


UNREADABLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "is empty: save the notebook"),
    "blank": (lambda good: b" \n\n", "is empty: save the notebook"),
    "web page": (lambda good: b"\n<!DOCTYPE html><html></html>", "is a web page, not a notebook"),
    "truncated": (lambda good: good[: len(good) // 2], "may be half-written"),
    "one byte short": (lambda good: good.rstrip()[:-1], "may be half-written"),
    "not JSON": (lambda good: b"dprobs = 3", "is not a notebook that can be read"),
    "list": (lambda good: b"[]", "is not a notebook that can be read"),
    "number": (lambda good: b"3", "is not a notebook that can be read"),
    "null": (lambda good: b"null", "is not a notebook that can be read"),
    "object": (lambda good: b'{"a": 1}', "is not a notebook that can be read"),
    "cells are none": (
        lambda good: b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": null}',
        "is not a notebook that can be read",
    ),
    "of the future": (lambda good: good.replace(b'"nbformat": 4', b'"nbformat": 44'), "is not a notebook that can be"),
    "deep": (lambda good: b'{"a": ' * 100_000, "is not a notebook that can be read"),
    "nothing but NUL": (lambda good: b"\0" * 4096, "is not a notebook that can be read"),
    "UTF-16 without its mark": (lambda good: good.decode().encode("utf-16-le"), "it is not UTF-8 text"),
    "half of UTF-16": (lambda good: good.decode().encode("utf-16")[:-1], "it is not UTF-16 text"),
    "Latin-1": (lambda good: "é".encode("latin-1") + good, "it is not UTF-8 text"),
}


def test_unreadable(source: Path, tmp_path: Path) -> None:
    """A file that is no notebook gets one sentence with its path and what is wrong with it."""
    for name, (change, message) in UNREADABLE.items():
        with named(name):
            path = tmp_path / "backprop.ipynb"
            path.write_bytes(change(source.read_bytes()))
            with pytest.raises(SubmissionError) as caught:
                read_notebook(path)
            assert message in str(caught.value)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 600


def test_no_file(tmp_path: Path) -> None:
    """A path without a file, and a folder, are told apart."""
    with pytest.raises(SubmissionError, match=r"there is no notebook at .*: no such file"):
        read_notebook(tmp_path / "nowhere.ipynb")
    with pytest.raises(SubmissionError, match="cannot be read: it is a folder, not a file"):
        read_notebook(tmp_path)


def test_no_plain_file(tmp_path: Path) -> None:
    """What is no file of a fair size is refused at once: nothing is waited for, and nothing fills the memory."""
    for kind in ["pipe", "device", "large", "loop"]:
        with named(kind):
            path = tmp_path / f"{kind}.ipynb"
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "device":
                path.symlink_to("/dev/zero")
            elif kind == "loop":
                path.symlink_to(path)
            else:
                path.touch()
                os.truncate(path, 2 << 30)
            said = {
                "pipe": "it is a pipe",
                "device": "a device",
                "large": "it has 2,048 MiB",
                "loop": "cannot be read",
            }[kind]
            with pytest.raises(SubmissionError, match=said):
                read_notebook(path)


def test_links(source: Path, tmp_path: Path) -> None:
    """A user's own link is followed; below a folder that others fill none is, wherever it leads."""
    folder = tmp_path / "student"
    (folder / "deep").mkdir(parents=True)
    link = folder / "backprop.ipynb"
    link.symlink_to(source)
    assert read_notebook(link) == read_notebook(source)
    shutil.copy(source, folder / "deep/mine.ipynb")
    (folder / "shallow").symlink_to("deep")
    for path, target in ((link, source), (link, "deep/mine.ipynb"), (folder / "shallow/mine.ipynb", "")):
        with named(path, target):
            if target:
                path.unlink()
                path.symlink_to(target)
            with pytest.raises(SubmissionError, match="is a link and is not read"):
                read_notebook(path, folder)
    (tmp_path / "course").symlink_to(folder)
    assert read_notebook(tmp_path / "course/deep/mine.ipynb", tmp_path / "course") == read_notebook(source)


def _rewritten(source: Path, path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    data = json.loads(source.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def _stub(data: dict[str, Any]) -> dict[str, Any]:
    return next(cell for cell in data["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == "dprobs")


READABLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "as it is": lambda data: None,
    "newer minor": lambda data: data.update(nbformat_minor=99),
    "foreign metadata": lambda data: data["metadata"].update(colab={"provenance": []}, widgets={}),
    "odd nbgrader metadata": lambda data: data["cells"][0]["metadata"].update(nbgrader=[1]),
    "source as one text": lambda data: _stub(data).update(source="".join(_stub(data)["source"])),
    "no language": lambda data: data.update(metadata={}),
}


def test_readable(source: Path, exercise: Exercise, tmp_path: Path) -> None:
    """What tools write into notebooks changes no answer."""
    for name, change in READABLE.items():
        with named(name):
            path = _rewritten(source, tmp_path / "backprop.ipynb", change)
            expected = Submission.of(read_notebook(source), exercise)
            assert _cells(Submission.of(read_notebook(path), exercise)) == _cells(expected)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark(source: Path, tmp_path: Path, encoding: str) -> None:
    """A byte order mark in front, as some editors leave it, is no fault: it says how the file is to be read."""
    path = tmp_path / "backprop.ipynb"
    path.write_bytes(source.read_text(encoding="utf-8").encode(encoding))
    assert read_notebook(path) == read_notebook(source)


REPAIRABLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no execution_count": lambda data: _stub(data).pop("execution_count"),
    "no outputs": lambda data: _stub(data).pop("outputs"),
    "odd output": lambda data: _stub(data).update(outputs=[{"output_type": "stream", "text": "x"}]),
    "foreign key": lambda data: _stub(data).update(collapsed=True),
    "text with outputs": lambda data: data["cells"][0].update(outputs=[], execution_count=None),
    "tags are a text": lambda data: _stub(data)["metadata"].update(tags="mine"),
}


def test_untidy(source: Path, exercise: Exercise, tmp_path: Path) -> None:
    """What is untidy beside the sources costs no answer."""
    for name, change in REPAIRABLE.items():
        with named(name):
            path = _rewritten(source, tmp_path / "backprop.ipynb", change)
            expected = Submission.of(read_notebook(source), exercise)
            assert _cells(Submission.of(read_notebook(path), exercise)) == _cells(expected)


@pytest.mark.parametrize("ids", ["missing", "doubled"])
def test_cell_ids(ids: str, source: Path, exercise: Exercise, tmp_path: Path) -> None:
    """Cells without an id, or with the id of another, are read without a word."""

    def change(data: dict[str, Any]) -> None:
        for cell in data["cells"]:
            cell.pop("id")
            cell.update({"id": "same"} if ids == "doubled" else {})

    path = _rewritten(source, tmp_path / "backprop.ipynb", change)
    expected = Submission.of(read_notebook(source), exercise)
    assert _cells(Submission.of(read_notebook(path), exercise)) == _cells(expected)
