"""Submission: a student's notebook, read and laid onto the exercise's stubs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nbformat import NotebookNode

from handgrad import notebooks
from handgrad.errors import SubmissionError
from handgrad.exercise import Exercise, grade_id

__all__ = ["StudentCell", "Submission", "read_notebook"]


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
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SubmissionError(f"there is no notebook at {path}: no such file.") from None
    except UnicodeDecodeError:
        raise SubmissionError(f"{path} is not a notebook: it is not UTF-8 text.") from None
    except OSError as error:
        raise SubmissionError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not text.strip():
        raise SubmissionError(f"{path} is empty: save the notebook and hand it in again.")
    if text.lstrip()[:1] == "<":
        raise SubmissionError(f"{path} is a web page, not a notebook: download the .ipynb file itself.")
    try:
        return notebooks.parse(text)
    except ValueError as error:
        raise SubmissionError(
            f"{path} is not a notebook that can be read ({error}): it may be half-written. "
            "Save it and hand it in again."
        ) from error
