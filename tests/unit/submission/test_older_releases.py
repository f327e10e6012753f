"""A notebook of a release before the one that grades it, and one of a later release: nothing is lost."""

import copy
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise
from handgrad.submission.submission import Submission
from helpers.inputs import named
from helpers.paths import ROOT
from helpers.warm_grader import warm_grader

SOURCE = ROOT / "source/cross_entropy/cross_entropy.ipynb"
ADDED = "\n\ntorch.set_num_threads(1)"
"""What releases before this one lack in a locked cell, apart from a text cell."""


def _before(notebook: NotebookNode) -> NotebookNode:
    """The notebook as it was before."""
    older = copy.deepcopy(notebook)
    older.cells = [cell for cell in older.cells if cell.id != "names"]
    for cell in older.cells:
        cell.source = cell.source.partition(ADDED)[0]
    return older


def _notebooks() -> Iterator[tuple[str, NotebookNode]]:
    """Solved notebooks of both releases, with and without nbgrader's metadata."""
    solved = nbformat.read(ROOT / "solutions/cross_entropy/cross_entropy.ipynb", as_version=4)
    for name, notebook in (("new", solved), ("older", _before(solved))):
        yield name, notebook
        bare = copy.deepcopy(notebook)
        for cell in bare.cells:
            cell.metadata.pop("nbgrader", None)
        yield f"{name}, without metadata", bare


def test_both_ways() -> None:
    """A right notebook of either release has all points by the exercise of either, and nothing is noted about cells."""
    source = nbformat.read(SOURCE, as_version=4)
    assert any(ADDED in cell.source for cell in source.cells)
    for made, notebook in (("new", source), ("older", _before(source))):
        exercise = Exercise.of(notebook, "cross_entropy", SOURCE.parent)
        with warm_grader(exercise, [5]) as grader:
            for name, handed_in in _notebooks():
                with named(made, name):
                    report = grader.grade(Submission.of(handed_in, exercise)).report
                    assert report.score == report.max_score
                    assert ("metadata is missing" in report.message) == ("without" in name)
