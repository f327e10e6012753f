"""Submission: a student's notebook, read and laid onto the exercise's stubs."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import nbformat
from nbformat import NotebookNode, reader

from handgrad.errors import SubmissionError
from handgrad.exercise import Exercise, grade_id

__all__ = ["StudentCell", "Submission", "parse_notebook", "read_notebook"]


@dataclass(frozen=True)
class StudentCell:
    """One cell that is run: its source, the gradient whose stub it is (or ""), and its place in the notebook.

    ``position`` is None for a cell that the notebook lacks: a locked one, or a stub, which is empty then.
    """

    source: str
    gradient: str
    position: int | None


@dataclass(frozen=True)
class Submission:
    """The cells of one student, in the order in which they run after the locked ones.

    Attributes
    ----------
    notebook
        The notebook as it was handed in.
    cells
        The student's cells, and the locked cells from the first stub on, the latter from the exercise.
    """

    notebook: NotebookNode
    cells: tuple[StudentCell, ...]

    @classmethod
    def of(cls, notebook: NotebookNode, exercise: Exercise) -> Self:
        """Lay ``notebook`` onto ``exercise``, cell by cell, by nbgrader's grade_ids.

        Raises
        ------
        SubmissionError
            Not one stub of the exercise is in the notebook.
        """
        ours = {cell.name: cell for cell in exercise.cells if cell.name}
        later = {cell.name for cell in exercise.cells[exercise.first_stub :] if cell.kind == "locked"}
        cells: list[StudentCell] = []
        found: set[str] = set()
        names = {grade_id(node) for node in notebook.cells}
        lacking = [stub for stub in exercise.stubs if stub not in names]

        def fill_up(to: int) -> None:
            """Put empty cells in the place of the stubs, of the first ``to``, that the notebook lacks."""
            while lacking and exercise.stubs.index(lacking[0]) < to:
                cells.append(StudentCell("", lacking.pop(0), None))

        for position, node in enumerate(notebook.cells):
            name = grade_id(node)
            known = ours.get(name)
            if known is None:
                if node.cell_type == "code":
                    cells.append(StudentCell(node.source, "", position))
            elif known.kind == "check":
                # a cell of the student's own, written in the stub's place, stands before the check
                fill_up(exercise.stubs.index(known.name.removeprefix("check_")) + 1)
            elif known.kind == "stub":
                fill_up(exercise.stubs.index(name))
                cells.append(StudentCell(node.source, name, position))
                found.add(name)
            elif name in later and name not in found:
                cells.append(StudentCell(known.source, "", position))
                found.add(name)
        if found.isdisjoint(exercise.stubs):
            raise SubmissionError(
                f"not one of the {len(exercise.stubs)} answer cells of {exercise.name} is in this notebook: "
                "is it a notebook of another exercise, or did another tool strip its cell metadata?"
            )
        fill_up(len(exercise.stubs))
        cells += [
            StudentCell(cell.source, "", None)
            for cell in exercise.cells
            if cell.name in later and cell.name not in found
        ]
        return cls(notebook, tuple(cells))

    def stub_indices(self) -> dict[str, int]:
        """For each gradient, the index of the cell that is its stub; the last one where a cell was duplicated."""
        return {cell.gradient: index for index, cell in enumerate(self.cells) if cell.gradient}


def read_notebook(path: Path) -> NotebookNode:
    """The notebook at ``path``, in nbformat 4.

    Raises
    ------
    SubmissionError
        There is no such file, or it is not a notebook; the message says which.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SubmissionError(f"there is no notebook at {path}: no such file.") from None
    except OSError as error:
        raise SubmissionError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_notebook(content, str(path))


def parse_notebook(content: bytes, where: str) -> NotebookNode:
    """The notebook that a file called ``where`` holds, in nbformat 4.

    Raises
    ------
    SubmissionError
        It is not a notebook; the message says why.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SubmissionError(f"{where} is not a notebook: it is not UTF-8 text.") from None
    if not text.strip():
        raise SubmissionError(f"{where} is empty: save the notebook and hand it in again.")
    if text.lstrip()[:1] == "<":
        raise SubmissionError(f"{where} is a web page, not a notebook: download the .ipynb file itself.")
    try:
        notebook = reader.reads(text)
        if notebook.get("nbformat") != nbformat.v4.nbformat:
            notebook = nbformat.convert(notebook, nbformat.v4.nbformat)
        return _tidied(notebook)
    except (ValueError, RecursionError, nbformat.ValidationError, KeyError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise SubmissionError(
            f"{where} is not a notebook that can be read ({first}): it may be half-written. "
            "Save it and hand it in again."
        ) from error


def _tidied(notebook: NotebookNode) -> NotebookNode:
    """A valid notebook with the cells of ``notebook``, without outputs; raises ValueError where it has no cells.

    nbformat refuses a whole notebook for one untidy output or one id that stands twice; no answer is in either.
    """
    if not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no cells")
    tidy = nbformat.v4.new_notebook()
    metadata = notebook.get("metadata")
    if isinstance(metadata, dict):
        tidy.metadata.update(metadata)
    ids: set[str] = set()
    for position, cell in enumerate(notebook["cells"]):
        make = _MAKE.get(str(cell.get("cell_type"))) if isinstance(cell, dict) else None
        source = cell.get("source") if isinstance(cell, dict) else None
        if isinstance(source, list):
            source = "".join(source)
        if make is None or not isinstance(source, str):
            raise ValueError(f"cell {position + 1} is no cell")
        name = cell.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name) or name in ids:
            name = f"cell-{position + 1}"
        ids.add(name)
        metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
        kept = {key: value for key, value in metadata.items() if _is_tidy(key, value)}
        tidy.cells.append(make(source, id=name, metadata=nbformat.from_dict(kept)))
        if isinstance(cell.get("attachments"), dict):
            tidy.cells[-1]["attachments"] = nbformat.from_dict(cell["attachments"])
    return tidy


_MAKE = {
    "code": nbformat.v4.new_code_cell,
    "markdown": nbformat.v4.new_markdown_cell,
    "raw": nbformat.v4.new_raw_cell,
}
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _is_tidy(key: str, value: object) -> bool:
    """Whether a cell's metadata may be kept: tags are a list of texts, nbgrader's are a table."""
    if key == "tags":
        return isinstance(value, list) and all(isinstance(tag, str) for tag in value)
    return key != "nbgrader" or isinstance(value, dict)
