"""A notebook's text, whoever wrote it, as a notebook that nbformat takes."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode, reader

from handgrad.notebook import untrusted_json

__all__ = ["parse", "text_of"]

_CELLS = {f"{kind}_cell": kind for kind in ("code", "markdown", "raw")}
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_EMPTY = {
    "notebook": nbformat.v4.new_notebook(),
    "code_cell": nbformat.v4.new_code_cell(),
    "markdown_cell": nbformat.v4.new_markdown_cell(),
    "raw_cell": nbformat.v4.new_raw_cell(),
}
"""What metadata is tried beside."""
_MOST_KNOWN = 10_000
"""Characters of the longest metadata that is remembered."""


def parse(text: str) -> NotebookNode:
    """The notebook in ``text``, in nbformat 4, valid and without outputs.

    nbformat refuses a whole notebook for one untidy output, one odd mark beside a cell or one id that stands twice; no
    source is in any of them, so they are left out.

    Raises
    ------
    ValueError
        The text is no notebook; the message is one short line that says why.
    """
    try:
        notebook = untrusted_json.loads(text)
        if not isinstance(notebook, dict):
            raise ValueError("it is no notebook")
        if notebook.get("nbformat") != nbformat.v4.nbformat:
            notebook = nbformat.convert(reader.reads(json.dumps(notebook)), nbformat.v4.nbformat)
        return _tidied(notebook)
    # whatever reading and converting make of what is no notebook: nbformat has assertions and lookups of its own
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(lines[0][:200]) from error


def text_of(notebook: NotebookNode) -> str:
    """The text of a file that holds the valid ``notebook``: nbformat's JSON, on one line, in a tenth of the time."""
    return json.dumps(notebook, ensure_ascii=False, sort_keys=True) + "\n"


def _tidied(notebook: dict[str, Any]) -> NotebookNode:
    if not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no cells")
    tidy = nbformat.v4.new_notebook()
    tidy.metadata.update(_metadata(notebook, "notebook"))
    ids: set[str] = set()
    for position, cell in enumerate(notebook["cells"], start=1):
        tidy.cells.append(_tidy_cell(cell, position))
        if tidy.cells[-1]["id"] in ids:
            tidy.cells[-1]["id"] = f"cell-{position}"
        ids.add(tidy.cells[-1]["id"])
    return tidy


def _tidy_cell(cell: Any, position: int) -> NotebookNode:
    """A cell with the source of ``cell``, the ``position``-th, and what may stand beside it."""
    kind = f"{cell.get('cell_type')}_cell" if isinstance(cell, dict) else ""
    source = cell.get("source") if isinstance(cell, dict) else None
    if isinstance(source, list):
        source = "".join(source)
    if kind not in _CELLS or not isinstance(source, str):
        raise ValueError(f"cell {position} is no cell")
    name = cell.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        name = f"cell-{position}"
    tidy = nbformat.from_dict({"cell_type": _CELLS[kind], "id": name, "metadata": {}, "source": source})
    if kind == "code_cell":
        tidy.update(outputs=[], execution_count=None)
    tidy.metadata.update(_metadata(cell, kind))
    attachments = _table(cell, "attachments")
    if attachments and kind != "code_cell" and _fits({**tidy, "attachments": attachments}, kind):
        tidy["attachments"] = nbformat.from_dict(attachments)
    return tidy


def _table(owner: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What of the table ``owner[key]`` has few enough levels."""
    value = owner.get(key)
    return {key: one for key, one in value.items() if untrusted_json.is_shallow(one)} if isinstance(value, dict) else {}


def _metadata(owner: Mapping[str, Any], kind: str) -> NotebookNode:
    """What of its metadata may stand beside a cell, or a notebook: all of it, or what is valid by itself."""
    # nbgrader would stumble over a word of its own that is no table
    found = {key: one for key, one in _table(owner, "metadata").items() if key != "nbgrader" or isinstance(one, dict)}
    text = json.dumps(found)
    valid = _valid if len(text) <= _MOST_KNOWN else _valid.__wrapped__
    return nbformat.from_dict({key: found[key] for key in valid(text, kind)})


@functools.lru_cache(maxsize=1024)
def _valid(text: str, kind: str) -> tuple[str, ...]:
    """The keys of the metadata in the JSON ``text`` that may stand beside a cell, or a notebook, of its kind.

    To ask costs more than all the rest of reading a cell, and most cells of a class have the metadata of the release.
    """
    found, owner = json.loads(text), _EMPTY[kind]
    if _fits({**owner, "metadata": found}, kind):
        return tuple(found)
    return tuple(key for key in found if _fits({**owner, "metadata": {key: found[key]}}, kind))


def _fits(node: dict[str, Any], kind: str) -> bool:
    try:
        nbformat.validate(node, ref=None if kind == "notebook" else kind, version=nbformat.v4.nbformat)
    except nbformat.ValidationError:
        return False
    return True
