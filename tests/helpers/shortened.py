"""The exercise `training` with a visible pass of a second: the same notebook, with fewer steps and what they reach."""

import nbformat
from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from helpers.paths import ROOT

SOURCE = ROOT / "source/training/training.ipynb"
CHANGES = {
    "parameters": (("steps = 30000 ", "steps = 600 "), ("decay_step = 15000 ", "decay_step = 300 ")),
    "check_train": (("2.219 + 0.02", "2.52 + 0.05"),),
}


def shortened() -> NotebookNode:
    """The instructor's notebook, shortened."""
    notebook = nbformat.read(SOURCE, as_version=4)
    for cell in notebook.cells:
        for old, new in CHANGES.get(grade_id(cell), ()):
            assert old in cell.source, f"{old!r} is not in {grade_id(cell)}"
            cell.source = cell.source.replace(old, new)
    return notebook


def exercise() -> Exercise:
    """The exercise in the shortened notebook."""
    return Exercise.of(shortened(), "training", SOURCE.parent)


def solved() -> NotebookNode:
    """The shortened notebook without nbgrader's marks."""
    notebook = shortened()
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = without_marks(cell.source)
    return notebook
