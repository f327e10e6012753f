"""Submission: a student's notebook, aligned with the exercise's stubs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import steps_of
from handgrad.notebook.tidying import note_of
from handgrad.submission.alignment import Alignment, StudentCell
from handgrad.submission.renames import guess, renamed, renames_from

__all__ = ["StudentCell", "Submission"]


@dataclass(frozen=True)
class Submission:
    """A ``notebook`` as submitted, and its ``cells`` in the order in which they run after the setup.

    Among them are the exercise's locked cells from the first stub on. ``ids`` has for each cell of the notebook the
    grade_id that it should have, empty for the student's own; ``note`` says what was repaired.
    """

    notebook: NotebookNode
    cells: tuple[StudentCell, ...]
    ids: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def of(cls, notebook: NotebookNode, exercise: Exercise, renames: Sequence[str] = ()) -> Self:
        """Align ``notebook`` with ``exercise``, cell by cell: see :mod:`handgrad.submission.alignment`.

        ``renames`` has ``THEIRS=OURS`` for each name of the notebook that differs from the exercise's.

        Raises
        ------
        SubmissionError
            The notebook has no stub of the exercise and assigns none of its gradients.
        RenameError
            One of ``renames`` cannot be applied.
        """
        nodes = renamed(notebook.cells, renames_from(renames, notebook.cells, exercise))
        alignment, note = Alignment(nodes, exercise), ""
        if alignment.is_foreign:
            names, note = guess(alignment.places, exercise)
            if names:
                alignment = Alignment(renamed(nodes, names), exercise)
        if alignment.is_empty:
            raise SubmissionError(
                f"this notebook has none of the {len(exercise.stubs)} answer cells of {exercise.name}, and assigns "
                "none of its gradients: is it for another exercise?"
            )
        note = " ".join(part for part in (note_of(notebook), alignment.note(), note) if part)
        return cls(notebook, tuple(alignment.cells()), alignment.ids(), note)

    def written(self) -> set[str]:
        """The gradients to which a cell assigns something other than None or ``...``."""
        names = {gradient for cell in self.cells for gradient in cell.gradients}
        assignments = (pair for cell in self.cells for step in steps_of(cell.source) for pair in step.assignments)
        return {name for name, written in assignments if written and name in names}

    def ends_with_others(self, gradient: str) -> bool:
        """Whether the answer of ``gradient`` ends at the same place as others, with no references set in between."""
        return any(gradient in cell.gradients and len(cell.gradients) > 1 for cell in self.cells)

    def indices_of(self, gradient: str) -> list[int]:
        """The indices of the cells that make an answer: the one at whose end it ends, and that of its function."""
        last = self.stub_indices()[gradient]
        function = self.cells[last].function
        return [
            *(at for at, cell in enumerate(self.cells) if function == cell.function != "" and not cell.gradients),
            last,
        ]

    def cell_of(self, gradient: str) -> str:
        """The name of the cell that a student wrote for an answer: of its function, or of the answer itself."""
        return self.cells[self.stub_indices()[gradient]].function or gradient

    def stub_indices(self) -> dict[str, int]:
        """For each gradient, the index of the cell at whose end its stub ends."""
        return {gradient: index for index, cell in enumerate(self.cells) for gradient in cell.gradients}
