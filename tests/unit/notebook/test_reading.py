"""Files of notebooks: their names, their encodings, git's conflict marks."""

import json
import re
from typing import Any

import pytest
from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.notebook.reading import is_export, is_notebook, parse_notebook
from handgrad.notebook.tidying import note_of
from helpers.inputs import named


def _text(source: str, **more: Any) -> str:
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": source, **more}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}, indent=1)


def _sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


def test_names() -> None:
    """A file is looked into if its name is that of a notebook, an export, or a notebook that a browser renamed."""
    exports = ["a.py", "a.PY", "a.md", "a.Rmd", "a.qmd", "a.markdown", "a.ipynb.json", "a.ipynb.txt", "a.json", "a.txt"]
    assert all(map(is_export, [*exports, "a.py.txt", "a.ipynb.download", "a.ipynb (1)", "a (1).py"]))
    assert not any(map(is_export, ["a.ipynb", "a (1).ipynb", "a.pyc", "a.png", "ipynb", "a.zip"]))
    assert is_notebook("a (1).IPYNB")


def test_suffixes() -> None:
    """The suffix decides how a file is read, but JSON is always a notebook."""
    for name in ("a.ipynb", "a.ipynb.json", "a.ipynb.txt", "a.txt", "a.py", "a"):
        with named(name):
            assert _sources(parse_notebook(_text("a = 1").encode(), name)) == ["a = 1"]
    for name in ("a.py", "a.py.txt", "a.txt"):
        assert _sources(parse_notebook(b"# %%\na = 1\n# %%\nb = 2", name)) == ["a = 1", "b = 2"]
    assert _sources(parse_notebook(b"```{python}\na = 1\n```", "a.QMD")) == ["a = 1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_exports(encoding: str) -> None:
    """A Python file may have a byte order mark, or the letters of Windows."""
    assert _sources(parse_notebook("# %%\na = 1  # é".encode(encoding), "a.py")) == ["a = 1  # é"]


STYLES = {
    "merge": "<<<<<<< HEAD\n{}=======\n{}>>>>>>> 1a2b3c4\n",
    "diff3": "<<<<<<< HEAD\n{}||||||| 0a1b2c3\nx\n=======\n{}>>>>>>> 1a2b3c4\n",
    "CRLF": "<<<<<<< HEAD\r\n{}=======\r\n{}>>>>>>> 1a2b3c4\r\n",
}


def _conflict(style: str, text: str, line: str, other: str) -> bytes:
    """The text with a conflict in the one ``line``."""
    (found,) = (found for found in text.splitlines(keepends=True) if line in found)
    return text.replace(found, STYLES[style].format(found, found.replace(line, other))).encode()


def test_conflict_beside_the_code() -> None:
    """A conflict that the code has no part in costs nothing, and the note says where it is."""
    for style in STYLES:
        with named(style):
            notebook = parse_notebook(
                _conflict(style, _text("a = 1"), '"execution_count": 1', '"execution_count": 2'), "a"
            )
            assert _sources(notebook) == ["a = 1"]
            assert note_of(notebook).startswith("The file has git's conflict marks at line ")


def test_conflict_in_the_code() -> None:
    """A conflict in the code, or one that was half resolved, is called by its name."""
    data = {style: _conflict(style, _text("a = 1"), "a = 1", "a = 2") for style in STYLES}
    data |= {"half": _text("a = 1").replace("{", "{\n>>>>>>> topic\n", 1).encode()}
    data |= {"whole file": f"<<<<<<< HEAD\n{_text('a = 1')}\n=======\n{_text('a = 2')}\n>>>>>>> topic".encode()}
    for name, content in data.items():
        line = content.splitlines().index(b">>>>>>> topic" if name == "half" else b"<<<<<<< HEAD") + 1
        with (
            named(name),
            pytest.raises(SubmissionError, match=f"a.ipynb has git's conflict marks at line {line}: a merge"),
        ):
            parse_notebook(content, "a.ipynb")


def test_conflict_in_an_export() -> None:
    """It is the same in a Python file."""
    text = "# %%\na = 1\n# %% [markdown]\n# one\n"
    assert _sources(parse_notebook(_conflict("merge", text, "# one", "# two"), "a.py")) == ["a = 1", "one"]
    with pytest.raises(SubmissionError, match=re.escape("git's conflict marks at line 2")):
        parse_notebook(_conflict("merge", text, "a = 1", "a = 2"), "a.py")


def test_conflict_in_a_cell() -> None:
    """Marks among the lines of a cell name the cell, or are gone if both versions are the same code."""
    source = "# one\n<<<<<<< local\na = 1\n=======\n{}\n>>>>>>> remote"
    notebook = parse_notebook(_text(source.format("a = 2")).encode(), "a.ipynb")
    assert note_of(notebook).startswith("Cell [1] has git's conflict marks at its line 2: a merge was not finished.")
    notebook = parse_notebook(_text(source.format("a  =  1")).encode(), "a.ipynb")
    assert (_sources(notebook), note_of(notebook)) == (["# one\na = 1"], "")
    text = 'a = """\n<<<<<<< x\n"""'
    assert note_of(parse_notebook(_text(text).encode(), "a.ipynb")) == ""
