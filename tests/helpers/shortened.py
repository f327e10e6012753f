"""Exercises that train, with a visible pass of a second: the same notebooks, with fewer steps and what they reach."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from helpers.paths import ROOT

CHANGES = {
    "training": {
        "parameters": (("steps = 30000 ", "steps = 600 "), ("decay_step = 15000 ", "decay_step = 300 ")),
        "check_train": (("2.219 + 0.02", "2.52 + 0.05"),),
    },
    "gpt_training": {
        "parameters": (("steps = 4000 ", "steps = 60 "),),
        "check_train": (("2.106 + 0.02", "2.412 + 0.05"),),
    },
}
"""By exercise and cell, what is replaced by what."""


def source(name: str) -> Path:
    """The instructor's notebook."""
    return ROOT / "source" / name / f"{name}.ipynb"


def shortened(name: str) -> NotebookNode:
    """The instructor's notebook, shortened."""
    notebook = nbformat.read(source(name), as_version=4)
    for cell in notebook.cells:
        for old, new in CHANGES[name].get(grade_id(cell), ()):
            assert old in cell.source, f"{old!r} is not in {grade_id(cell)}"
            cell.source = cell.source.replace(old, new)
    return notebook


def exercise(name: str) -> Exercise:
    """The exercise in the shortened notebook."""
    return Exercise.of(shortened(name), name, source(name).parent)


def solved(name: str) -> NotebookNode:
    """The shortened notebook without nbgrader's marks."""
    notebook = shortened(name)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = without_marks(cell.source)
    return notebook
