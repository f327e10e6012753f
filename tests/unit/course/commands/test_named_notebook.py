"""What `handgrad check` takes for the notebook, and what it says of a name that stands for none."""

import json
import os
import time
from pathlib import Path

import nbformat
import pytest

from handgrad.course.commands.named_notebook import named_notebook, when_saved, wrong_suffix
from handgrad.errors import SubmissionError
from helpers.inputs import named


def _write(path: Path, *sources: str, kernel: str = "python") -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "k", "display_name": "K", "language": kernel}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def _refused(path: str | Path) -> str:
    with pytest.raises(SubmissionError) as caught:
        named_notebook(Path(path))
    return str(caught.value)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_with_one_notebook(here: Path) -> None:
    """The only notebook in a folder is taken; copies that Jupyter made, and other files, do not count."""
    mine = _write(here / "week3" / "mine.ipynb", "a = 1")
    _write(here / "week3" / ".ipynb_checkpoints" / "mine-checkpoint.ipynb", "a = 1")
    _write(here / "week3" / "mine-checkpoint.ipynb", "a = 1")
    (here / "week3" / "names.txt").write_text("ada\n", encoding="utf-8")
    assert named_notebook(here / "week3") == mine
    _write(here / "week3" / "other.ipynb", "a = 1")
    assert "has 2 notebooks (mine.ipynb, other.ipynb): name the one to be checked" in _refused("week3")
    (here / "empty").mkdir()
    assert "there is no notebook in empty" in _refused("empty")


def test_a_folder_whose_exercise_decides(here: Path) -> None:
    """A released folder, and one whose exercise is named, stay folders."""
    _write(here / "a.ipynb", "a = 1")
    _write(here / "b.ipynb", "a = 1")
    assert named_notebook(here, needs_exercise=True) == here
    (here / "exercise.json").write_text("{}", encoding="utf-8")
    assert named_notebook(here) == here


def test_addresses() -> None:
    """An address is told from a file, and Colab's has its own way to a file."""
    for address in ("https://example.org/a.ipynb", "http://example.org/b?raw=1", "file:///home/ann/a.ipynb"):
        with named(address):
            assert _refused(address).endswith("download the notebook (.ipynb) first, and check the file.")
    assert _refused("https://example.org/a.ipynb").startswith("https://example.org/a.ipynb is an address")
    for address in ("https://colab.research.google.com/drive/1a", "https://drive.google.com/file/d/1a"):
        with named(address):
            assert "is a link to Colab, not a file: in Colab choose File, Download" in _refused(address)


def test_a_misspelt_name(here: Path) -> None:
    """A file that is not there: the most similar one, here or one folder below, as it has to be written."""
    _write(here / "backprop" / "backprop.ipynb", "a = 1")
    assert _refused("bakprop.ipynb").endswith("no such file. Did you mean backprop/backprop.ipynb?")
    _write(here / "backprop.ipynb", "a = 1")
    assert _refused("bakprop.ipynb").endswith("Did you mean backprop.ipynb?")
    assert _refused("backprop.ipnb").endswith("Did you mean backprop.ipynb?")
    _write(here / "mine.ipynb.txt", "a = 1")
    assert _refused("mine.ipynb").endswith("Did you mean mine.ipynb.txt?")
    assert _refused("something_else.ipynb").endswith("no such file.")
    assert _refused("nowhere/a.ipynb").endswith("there is no folder nowhere.")


def test_other_kinds_of_files(here: Path) -> None:
    """A file that is no notebook is called what it is, with what to do."""
    expected = {
        "a.html": "is a web page",
        "a.zip": "is an archive: unpack it",
        "a.pdf": "is a printed copy",
        "a.R": "is a script in R",
        "a.jl": "is a script in Julia",
    }
    for name, sentence in expected.items():
        with named(name):
            (here / name).write_text("x", encoding="utf-8")
            assert sentence in _refused(name)
    (here / "half.ipynb").write_text('{"cells": [', encoding="utf-8")
    assert "half-written" in _refused("half.ipynb")


def test_notebooks_in_other_languages(here: Path) -> None:
    """R and Julia are named; a notebook that uses torch is Python, whatever its metadata says."""
    for language, name in (("R", "R"), ("julia", "Julia")):
        with named(language):
            path = _write(here / f"{name}.ipynb", "x <- 1", kernel=language)
            assert f"is a notebook in {name}, and handgrad checks notebooks in Python" in _refused(path)
    mislabelled = _write(here / "mine.ipynb", "import torch", kernel="R")
    assert named_notebook(mislabelled) == mislabelled
    bare = here / "bare.ipynb"
    bare.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    assert named_notebook(bare) == bare


def test_a_name_that_a_browser_has_changed(here: Path) -> None:
    """`backprop.ipynb.txt` is read, and what it has to be called is said."""
    path = _write(here / "backprop.ipynb.txt", "a = 1")
    assert named_notebook(path) == path
    assert wrong_suffix(path).endswith("Rename it to backprop.ipynb to hand it in.")
    assert wrong_suffix(here / "backprop.ipynb") == ""
    assert wrong_suffix(here / "export.py") == ""


def test_when_it_was_saved(here: Path) -> None:
    """The time of saving is shown, and of a file that is not new, what to do if it is old."""
    path = _write(here / "mine.ipynb", "a = 1")
    assert when_saved(path).startswith("mine.ipynb, saved ")
    assert when_saved(path).endswith("(just now).")
    for seconds, ago in ((60, "1 minute ago"), (7300, "2 hours ago"), (400_000, "4 days ago")):
        with named(seconds):
            os.utime(path, (time.time() - seconds - 1,) * 2)
            assert f"({ago})." in when_saved(path)
            assert when_saved(path).endswith("save it and check again.") == (seconds > 300)
