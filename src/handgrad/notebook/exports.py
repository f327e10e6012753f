"""Notebooks in text files: Python scripts, Markdown, marimo."""

from collections.abc import Callable

from nbformat import NotebookNode

from handgrad.notebook import fences, marimo, scripts
from handgrad.notebook.notes import add_note
from handgrad.notebook.syntax import ParsedCell
from handgrad.notebook.text_cells import notebook_of

__all__ = ["READERS", "parse_markdown", "parse_script"]


def parse_script(text: str) -> NotebookNode:
    """The notebook in a Python file: of marimo, or exported by jupytext, nbconvert, Colab, Databricks or an editor.

    A file without marks is one cell.
    """
    if not marimo.is_marimo(text):
        return notebook_of(scripts.cells_of(text))
    notebook = notebook_of(marimo.cells_of(text))
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and ParsedCell.of(cell.source) is None:
            add_note(notebook, f"Cell {number} is not Python.")
    return notebook


def parse_markdown(text: str) -> NotebookNode:
    """The notebook in a Markdown file: of jupytext, MyST, R Markdown, Quarto, pandoc or nbconvert."""
    return notebook_of(fences.cells_of(text))


READERS: dict[str, Callable[[str], NotebookNode]] = {
    ".py": parse_script,
    ".txt": parse_script,
    ".md": parse_markdown,
    ".markdown": parse_markdown,
    ".rmd": parse_markdown,
    ".qmd": parse_markdown,
}
"""What reads a text file with a notebook, by its suffix."""
