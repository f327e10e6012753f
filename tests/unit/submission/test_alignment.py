"""Cells whose ids were copied or lost, laid onto a small exercise."""

from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.submission.submission import Submission

MakeNotebook = Callable[..., NotebookNode]
EXERCISE = (
    ("locked", "parameters", "seed = 1\nsize = 2"),
    ("locked", "forward", "x = seed\ny = 2 * x\nloss = y"),
    ("stub", "dy", "dy = None"),
    ("check", "check_dy", "cmp('y', dy, y)"),
    ("locked", "given", "w = 3"),
    ("stub", "dx", "dx = None"),
    ("check", "check_dx", "cmp('x', dx, x)"),
)


@pytest.fixture
def lay(make_notebook: MakeNotebook, tmp_path: Path) -> Callable[..., Submission]:
    """Lay cells onto the small exercise."""
    exercise = Exercise.of(make_notebook(*EXERCISE), "small", tmp_path)
    return lambda *cells: Submission.of(make_notebook(*cells), exercise)


def _cells(submission: Submission) -> list[tuple[str, tuple[str, ...]]]:
    return [(cell.source.rstrip(), cell.gradients) for cell in submission.cells]


def _free(*sources: str) -> list[tuple[str, str, str]]:
    return [("free", "", source) for source in sources]


def test_without_metadata(lay: Callable[..., Submission]) -> None:
    """Locked cells and checks are known by what they say, stubs by what they assign."""
    cells = [text for _, _, text in EXERCISE]
    cells[2], cells[5] = "dy = 1", "dx = 2 * dy"
    submission = lay(*_free(*cells))
    assert _cells(submission) == [("dy = 1", ("dy",)), ("w = 3", ()), ("dx = 2 * dy", ("dx",))]
    assert submission.ids == tuple(name for _, name, _ in EXERCISE)
    assert submission.note == "Nbgrader's cell metadata is missing: the answers were found by the names they assign."


def test_ordinary(lay: Callable[..., Submission]) -> None:
    """Where every id stands once there is nothing to repair and nothing to say, whatever the cells assign."""
    cells = [*EXERCISE[:2], ("stub", "dy", "dx = dy = 1"), *EXERCISE[3:], ("free", "", "dy = 3\ndx = 4")]
    submission = lay(*cells)
    assert _cells(submission) == [
        ("dx = dy = 1", ("dy",)),
        ("w = 3", ()),
        ("dx = None", ("dx",)),
        ("dy = 3\ndx = 4", ()),
    ]
    assert submission.note == ""


def test_edited_copies(lay: Callable[..., Submission]) -> None:
    """Of an edited copy of a locked cell only the student's own lines run."""
    edited = "x = seed + 1\ny = 3 * x\nloss = y\nown = y"
    submission = lay(*_free(EXERCISE[0][2], edited, "dy = 1\ndx = 2"))
    assert _cells(submission) == [
        ("#\n#\n#\nown = y", ()),
        ("dy = 1", ("dy",)),
        ("#\ndx = 2", ("dx",)),
        ("w = 3", ()),
    ]


def test_an_own_cell_with_a_forward_name(lay: Callable[..., Submission]) -> None:
    """A cell that shares one name with a locked cell is no copy of it."""
    assert _cells(lay(*_free(EXERCISE[0][2], "y = 1", "dy = y")))[:2] == [("y = 1", ()), ("dy = y", ("dy",))]


def test_the_check_ends_a_stub(lay: Callable[..., Submission]) -> None:
    """What is assigned after the check of a gradient is another exercise."""
    submission = lay(*_free("dy = 1", "dx = dy", "dx += dy", "cmp('y', dy, y)\ncmp('x', dx, x)", "dx = dy = 5"))
    assert [(source, gradients) for source, gradients in _cells(submission) if gradients] == [
        ("dy = 1", ("dy",)),
        ("dx += dy", ("dx",)),
    ]


def test_nothing_assigned(lay: Callable[..., Submission]) -> None:
    """A notebook without an answer cell in which no gradient is assigned is one of another exercise."""
    with pytest.raises(SubmissionError, match="none of the 2 answer cells of small"):
        lay(*_free("a = 1", "def f():\n    dx = 1"))


def test_untouched_without_metadata(lay: Callable[..., Submission]) -> None:
    """Stubs that still hold None are there, and hold nothing."""
    submission = lay(*_free(EXERCISE[0][2], "dy = None", "dx = None"))
    assert submission.stub_indices() == {"dy": 0, "dx": 1}
    assert submission.written() == set()


def test_all_copies_untouched(lay: Callable[..., Submission]) -> None:
    """Of copies that all hold nothing one is left."""
    submission = lay(*EXERCISE, EXERCISE[2])
    assert [gradients for _, gradients in _cells(submission) if gradients] == [("dy",), ("dx",)]


def test_a_copy_that_is_no_answer(lay: Callable[..., Submission]) -> None:
    """A copy that assigns nothing is a cell of the student's own."""
    submission = lay(*EXERCISE[:2], ("stub", "dy", "dy = 1"), ("stub", "dy", "print(dy)"), *EXERCISE[3:])
    assert _cells(submission)[:2] == [("dy = 1", ("dy",)), ("print(dy)", ())]
    assert submission.ids.count("dy") == 1


def test_halves(lay: Callable[..., Submission]) -> None:
    """An answer goes on in the cells right after its own, up to the last one that assigns it, and no further."""
    after = _free("dy += 1", "dy", "dy *= 2", "other = 1")
    submission = lay(
        *EXERCISE[:2], ("stub", "dy", "dy = 1"), *after, EXERCISE[3], ("free", "", "dy = 9"), *EXERCISE[4:]
    )
    assert _cells(submission)[:6] == [
        ("dy = 1", ()),
        ("dy += 1", ()),
        ("dy", ()),
        ("dy *= 2", ("dy",)),
        ("other = 1", ()),
        ("dy = 9", ()),
    ]


def test_the_note_names_a_few(lay: Callable[..., Submission], exercise: Exercise, solved: NotebookNode) -> None:
    """A note about many cells names the first few of them."""
    notebook = solved.copy()
    notebook.cells = [cell for node in solved.cells for cell in (node, node)]
    assert "dlogprobs, dprobs, dcounts_sum_inv, dcounts_sum and 22 more are" in Submission.of(notebook, exercise).note


def test_lines_of_a_cell_that_was_cut(grader: Grader, make_notebook: MakeNotebook) -> None:
    """An error in a cell that was cut is shown once, in its own line, and what stood before it counts."""
    source = "dlogprobs = torch.zeros_like(logprobs)\ndlogprobs[range(n), Yb] = -1 / n\n\nprint('here')\ndprobs = 1 / 0"
    parameters = next(cell.source for cell in grader.exercise.cells if cell.name == "parameters")
    notebook = make_notebook(*_free(parameters, source))
    graded = grader.grade(Submission.of(notebook, grader.exercise))
    outcomes = {verdict.gradient: verdict.outcome for verdict in graded.report.checks}
    assert (outcomes["dlogprobs"], outcomes["dprobs"], outcomes["dh"]) == ("passed", "error", "missing")
    printed, error = graded.outputs[1]
    assert printed["text"] == "here\n"
    assert error["ename"] == "ZeroDivisionError"
    assert "5" in next(line for line in error["traceback"] if "dprobs" in line).split("dprobs")[0]
    assert graded.report.message == Submission.of(notebook, grader.exercise).note
