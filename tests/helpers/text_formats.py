"""One notebook in every text format that is read, written as the tools write them."""

import json
from collections.abc import Callable, Iterable

import nbformat
from nbformat import NotebookNode

__all__ = ["FORMATS"]

COLAB = "# Commented out IPython magic to ensure Python compatibility.\n"
IMPORTS = "import marimo\n\napp = marimo.App()\n\n\n"


def _lines(prefix: str, source: str) -> str:
    return "\n".join(f"{prefix}{line}".rstrip() for line in source.split("\n"))


def _each(notebook: NotebookNode, code: Callable[[str], str], text: Callable[[str], str], between: str = "\n\n") -> str:
    write = {"code": code, "markdown": text}
    return between.join(write[cell.cell_type](cell.source) for cell in notebook.cells) + "\n"


def _percent(notebook: NotebookNode) -> str:
    return _each(notebook, lambda code: f"# %%\n{_magic(code)}", lambda text: f"# %% [markdown]\n{_lines('# ', text)}")


def _magic(code: str) -> str:
    """The code of a cell, its magic commented out."""
    return f"# {code}" if code.startswith("%") else code


def _nbconvert(notebook: NotebookNode) -> str:
    def write(code: str) -> str:
        head, _, body = code.partition("\n")
        called = f"get_ipython().run_cell_magic('{head[2:]}', '', {body!r})"
        return f"# In[ ]:\n\n\n{called if head.startswith('%%') else code}"

    return _each(notebook, write, lambda text: _lines("# ", text), "\n\n\n")


def _colab(notebook: NotebookNode) -> str:
    return _each(
        notebook,
        lambda code: COLAB + _lines("# ", code) if code.startswith("%%") else code,
        lambda text: f'"""{text}\n"""',
    )


def _databricks(notebook: NotebookNode) -> str:
    return "# Databricks notebook source\n" + _each(
        notebook,
        lambda code: _lines("# MAGIC ", code) if code.startswith("%%") else code,
        lambda text: _lines("# MAGIC ", f"%md\n{text}"),
        "\n\n# COMMAND ----------\n\n",
    )


def _fenced(head: str) -> Callable[[NotebookNode], str]:
    return lambda notebook: _each(notebook, lambda code: f"```{head}\n{code}\n```", lambda text: text)


def _marimo(notebook: NotebookNode) -> str:
    """Cells in the wrong order: each takes what the last one has made, so that it has to come after it."""
    sources = [cell.source.removeprefix("%%time\n") for cell in notebook.cells if cell.cell_type == "code"]
    cells = [
        f"@app.cell\ndef _({f'done_{number - 1}' if number else ''}):\n{_lines('    ', source)}\n"
        f"    done_{number} = True\n    return (done_{number},)\n"
        for number, source in enumerate(sources)
    ]
    return IMPORTS + "\n\n".join(reversed(cells))


def _version_3(notebook: NotebookNode) -> str:
    cells = [
        {"cell_type": "code", "language": "python", "input": cell.source, "outputs": []}
        if cell.cell_type == "code"
        else {"cell_type": "heading", "level": 2, "source": cell.source}
        for cell in notebook.cells
    ]
    return json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]})


def _with_odd_cells(notebook: NotebookNode) -> str:
    odd: Iterable[object] = ({"cell_type": "sql", "source": "select 1"}, None, {"cell_type": "code", "source": None})
    return json.dumps({**notebook, "cells": [*odd, *notebook.cells]})


FORMATS: dict[str, Callable[[NotebookNode], str]] = {
    "notebook.ipynb": nbformat.writes,
    "version_3.ipynb": _version_3,
    "odd_cells.ipynb": _with_odd_cells,
    "browser.ipynb.json": nbformat.writes,
    "percent.py": _percent,
    "windows.py": lambda notebook: "\ufeff" + _percent(notebook).replace("\n", "\r\n"),
    "nbconvert.py": _nbconvert,
    "colab.py": _colab,
    "databricks.py": _databricks,
    "marimo.py": _marimo,
    "jupytext.md": _fenced("python"),
    "myst.md": _fenced("{code-cell} ipython3"),
    "r.Rmd": _fenced("{python}"),
    "quarto.qmd": _fenced("{python}\n#| echo: false"),
}
"""The text of a notebook, by the name of a file in its format."""
