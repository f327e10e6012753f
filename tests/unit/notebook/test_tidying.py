"""Odd notebooks in JSON."""

import json
from typing import Any

from handgrad.notebook.tidying import note_of, parse
from helpers.inputs import named

CODE = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": "a = 1"}
ODD: dict[str, tuple[Any, str, str, str]] = {
    "heading": (
        {**CODE, "cell_type": "heading", "level": 2},
        "markdown",
        "a = 1",
        "is of the kind 'heading', read as text",
    ),
    "SQL": ({**CODE, "cell_type": "sql"}, "raw", "a = 1", "is of the kind 'sql', read as text"),
    "capitals": ({**CODE, "cell_type": "Code"}, "code", "a = 1", "is of the kind 'Code', read as code"),
    "no kind": ({"source": "a = 1", "outputs": []}, "code", "a = 1", "has no kind and is read as code"),
    "neither": ({"cell_type": 3, "source": "a = 1"}, "raw", "a = 1", "has no kind and is read as text"),
    "null": ({**CODE, "source": None}, "code", "", "has no source"),
    "missing": ({"cell_type": "code"}, "code", "", "has no source"),
    "number": ({**CODE, "source": 3}, "code", "", "has a source that is not text"),
    "mixed": ({**CODE, "source": ["a = ", None, "1"]}, "code", "a = 1", "has lines that are not text"),
    "text": ("a = 1", "raw", "a = 1", "is not a cell"),
    "list": ([CODE], "raw", "", "is not a cell"),
    "both": ({"cell_type": "sql"}, "raw", "", "is of the kind 'sql', read as text and has no source"),
    "input": ({"cell_type": "code", "input": "a = 1"}, "code", "a = 1", ""),
    "no metadata": ({"cell_type": "code", "source": "a = 1"}, "code", "a = 1", ""),
}


def _notebook(*cells: Any, **more: Any) -> str:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more})


def test_odd_cells() -> None:
    """An odd cell is read as far as it goes and named in the note; the other cells are as they were."""
    for name, (cell, kind, source, note) in ODD.items():
        with named(name):
            notebook = parse(_notebook(CODE, cell, CODE))
            assert [node.source for node in notebook.cells] == ["a = 1", source, "a = 1"]
            assert notebook.cells[1].cell_type == kind
            assert note_of(notebook) == (f"Cell 2 {note}." if note else "")


def test_the_number_beside_a_cell() -> None:
    """A cell is called by the number that Jupyter shows beside it, if it has one; a number that is none is dropped."""
    for count, name, kept in (
        (12, "Cell [12]", 12),
        (None, "Cell 2", None),
        (0, "Cell 2", None),
        (True, "Cell 2", None),
    ):
        with named(count):
            notebook = parse(_notebook(CODE, {**CODE, "cell_type": "Code", "execution_count": count}))
            assert note_of(notebook).startswith(f"{name} is of the kind 'Code'")
            assert notebook.cells[1].execution_count == kept
    for wrong in ("7", -1, 10**9, 1.5, [3]):
        with named(wrong):
            assert parse(_notebook({**CODE, "execution_count": wrong})).cells[0].execution_count is None


def test_many_odd_cells() -> None:
    """Of many odd cells the first ones are named."""
    assert note_of(parse(_notebook(*[7] * 9))).endswith("Cell 5 is not a cell. 4 more cells are odd.")


def test_note_of_a_file() -> None:
    """A note that the file itself holds is not believed."""
    assert note_of(parse(_notebook(CODE, metadata={"handgrad_note": "All right."}))) == ""


def test_old_formats() -> None:
    """Before nbformat 4 cells are in worksheets, code has an input, and titles are cells of their own."""
    cells = [
        {"cell_type": "heading", "level": 1, "source": ["Title"]},
        {"cell_type": "code", "input": ["a = ", "1"], "language": "python", "outputs": [{"output_type": "pyout"}]},
        {"cell_type": "html", "source": "<b>"},
    ]
    sheets = [{"cells": cells[:1]}, {"cells": cells[1:]}]
    for version in (2, 3):
        notebook = parse(json.dumps({"nbformat": version, "metadata": {"name": ""}, "worksheets": sheets}))
        kinds = [(cell.cell_type, cell.source) for cell in notebook.cells]
        assert kinds == [("markdown", "Title"), ("code", "a = 1"), ("markdown", "<b>")]
        assert note_of(notebook) == ""
