"""Submission: a student's notebook, read and laid onto the exercise's stubs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import ParsedCell
from handgrad.submission.alignment import Alignment, StudentCell
from handgrad.submission.renames import Renames, guess

__all__ = ["StudentCell", "Submission"]


@dataclass(frozen=True)
class Submission:
    """The cells of one student, in the order in which they run after the locked ones.

    Attributes
    ----------
    notebook
        The notebook as it was handed in.
    cells
        The student's cells, and the locked cells from the first stub on, the latter from the exercise.
    ids
        For each cell of the notebook the grade_id that it should have; empty for the student's own.
    note
        What was mended, in one sentence; empty where there was nothing.
    """

    notebook: NotebookNode
    cells: tuple[StudentCell, ...]
    ids: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def of(cls, notebook: NotebookNode, exercise: Exercise, renames: Sequence[str] = ()) -> Self:
        """Lay ``notebook`` onto ``exercise``, cell by cell: see :mod:`handgrad.submission.alignment`.

        Parameters
        ----------
        renames
            ``THEIRS=OURS`` for each name of the notebook that the exercise calls otherwise.

        Raises
        ------
        SubmissionError
            Not one stub of the exercise is in the notebook, and no gradient is assigned in it.
        RenameError
            One of ``renames`` cannot be followed.
        """
        nodes = Renames.told(renames, notebook.cells, exercise).applied(notebook.cells)
        alignment, note = Alignment(nodes, exercise), ""
        if alignment.is_foreign:
            guesses = guess(alignment.places, exercise)
            note = guesses.note()
            if guesses.sure:
                alignment = Alignment(guesses.renames.applied(nodes), exercise)
        if alignment.is_empty:
            raise SubmissionError(
                f"not one of the {len(exercise.stubs)} answer cells of {exercise.name} is in this notebook, and no "
                "cell assigns one of its gradients: is it a notebook of another exercise?"
            )
        note = " ".join(one for one in (alignment.note(), note) if one)
        return cls(notebook, tuple(alignment.cells()), alignment.ids(), note)

    def written(self) -> set[str]:
        """The gradients to which a cell assigns something: neither None nor ``...``."""
        names = {gradient for cell in self.cells for gradient in cell.gradients}
        parsed = [ParsedCell.of(cell.source) for cell in self.cells]
        return {name for one in parsed if one for name in one.ends(names)}

    def is_in_company(self, gradient: str) -> bool:
        """Whether the answer of ``gradient`` ends together with others, so that they get no help in between."""
        return any(gradient in cell.gradients and len(cell.gradients) > 1 for cell in self.cells)

    def stub_indices(self) -> dict[str, int]:
        """For each gradient, the index of the cell at whose end its stub ends."""
        return {gradient: index for index, cell in enumerate(self.cells) for gradient in cell.gradients}
