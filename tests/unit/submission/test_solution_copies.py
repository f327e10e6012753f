"""Whether a hand-in holds the instructor's own solution cells."""

import copy
from collections.abc import Callable
from contextlib import suppress

import nbformat
from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.exercise import grade_id as name_of
from handgrad.notebook.reading import read_notebook
from handgrad.submission.solution_copies import solution_copies
from handgrad.submission.submission import Submission
from helpers.inputs import named
from helpers.paths import ROOT


def _copied(exercise: Exercise, cells: list[NotebookNode]) -> int:
    notebook = nbformat.v4.new_notebook(cells=cells)
    return len(solution_copies(Submission.of(notebook, exercise), exercise))


def _changed(notebook: NotebookNode, change: Callable[[str], str]) -> list[NotebookNode]:
    cells = copy.deepcopy(notebook.cells)
    for cell in cells:
        if cell.cell_type == "code":
            cell.source = change(cell.source)
    return cells


def _without_comments(source: str) -> str:
    return "\n".join(line.partition("  #")[0] for line in source.splitlines())


def test_copied(exercise: Exercise, solved: NotebookNode) -> None:
    """All solution cells are known with their marks and without, without comments, spaces or nbgrader's metadata."""
    marked = nbformat.read(ROOT / "source/backprop/backprop.ipynb", as_version=4)
    ways: dict[str, Callable[[str], str]] = {
        "as they are": lambda source: source,
        "without comments": _without_comments,
        "other spaces": lambda source: source.replace(" * ", "*").replace(" + ", "  +  ").replace("\n", "\n\n"),
        "with a comment": lambda source: f"# my own work\n{source}  # really",
        "in a longer cell": lambda source: f"print('begin')\n{source}\nprint('end')",
    }
    for notebook in (marked, solved):
        for way, change in ways.items():
            with named(way):
                assert _copied(exercise, _changed(notebook, change)) == 26
    bare = [nbformat.v4.new_code_cell(cell.source) for cell in solved.cells if cell.cell_type == "code"]
    assert _copied(exercise, bare) == 26


def test_one_is_enough(exercise: Exercise) -> None:
    """One cell with the marks, or with a comment of the instructor's, is no chance; one without is."""
    stubs = {cell.name: cell.source for cell in exercise.cells if cell.kind == "stub"}
    released = nbformat.read(ROOT / "release/backprop/backprop.ipynb", as_version=4)

    def with_cells(change: Callable[[str], str], *names: str) -> list[NotebookNode]:
        cells = copy.deepcopy(released.cells)
        for cell in cells:
            if name_of(cell) in names:
                cell.source = change(stubs[name_of(cell)])
        return cells

    def unmarked(source: str) -> str:
        return "\n".join(line for line in source.splitlines() if not line.startswith("### "))

    assert _copied(exercise, with_cells(lambda source: source, "dh")) == 1
    assert _copied(exercise, with_cells(unmarked, "dcounts")) == 1
    assert _copied(exercise, with_cells(unmarked, "dh", "dW2", "db2")) == 0
    assert _copied(exercise, released.cells) == 0


def test_not_by_chance(exercise: Exercise) -> None:
    """Right answers that follow the lecture are partly the same, and are nobody's copies."""
    folder = ROOT / "tests/notebooks"
    tried = 0
    for path in (*sorted((folder / "lecture").glob("*.py")), folder / "percent.py", folder / "script.py"):
        with named(path.name), suppress(SubmissionError):
            submission = Submission.of(read_notebook(path), exercise)
            assert solution_copies(submission, exercise) == ()
            tried += 1
    assert tried > 10


def test_long_solutions() -> None:
    """Of an exercise with few cells a long one is enough."""
    path = ROOT / "source/training/training.ipynb"
    exercise = Exercise.read(path)
    solved = nbformat.read(ROOT / "solutions/training/training.ipynb", as_version=4)
    assert _copied(exercise, _changed(solved, _without_comments)) > 0
    released = nbformat.read(ROOT / "release/training/training.ipynb", as_version=4)
    assert len(solution_copies(Submission.of(released, exercise), exercise)) == 0
