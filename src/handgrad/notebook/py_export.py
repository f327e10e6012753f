"""Read a Python file that was exported from a notebook: ``# %%`` cells, or nbconvert's ``# In[3]:``."""

import re
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

__all__ = ["parse"]

_HEAD = re.compile(r"^# ?%%(?P<rest>.*)$|^# In\[[ \d*]*\]:\s*$")
_MAGIC = re.compile(r"^# (?=%|!)")
"""A magic as jupytext writes it, since it is not Python."""


def parse(text: str) -> NotebookNode:
    """The notebook that ``text`` was exported from; a file without marks is one cell."""
    cells = [
        nbformat.v4.new_code_cell(source) if kind == "code" else nbformat.v4.new_markdown_cell(source)
        for kind, source in _cells(text)
        if source.strip()
    ]
    for position, cell in enumerate(cells, start=1):
        cell["id"] = f"cell-{position}"
    return nbformat.v4.new_notebook(cells=cells)


def _cells(text: str) -> Iterator[tuple[str, str]]:
    """Kind and source of each cell."""
    kind, lines = "code", list[str]()
    for line in text.splitlines():
        if head := _HEAD.match(line):
            yield kind, "\n".join(lines).strip("\n")
            kind, lines = "text" if re.search(r"\[(markdown|md|raw)\]", head["rest"] or "") else "code", []
        else:
            lines.append(_MAGIC.sub("", line) if kind == "code" else line)
    yield kind, "\n".join(lines).strip("\n")
