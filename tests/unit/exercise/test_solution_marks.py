"""nbgrader's marks: read as nbgrader reads them."""

import nbformat
import pytest
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

from handgrad.exercise import solution_marks

CELLS = {
    "plain": "a = 1\n### BEGIN {0}\nb = 2\nc = 3\n### END {0}\nd = 4",
    "indented": "for i in x:\n    ### BEGIN {0}\n    b = i\n    ### END {0}\n",
    "two": "### BEGIN {0}\na = 1\n### END {0}\nb = 2\n### BEGIN {0}\nc = 3\n### END {0}",
    "empty": "### BEGIN {0}\n### END {0}",
    "other spelling": "a = 1\n# BEGIN {0} (long)\nb = 2\n#END {0}\nc = 3",
    "none": "a = 1\n",
}
INSIDE = {
    "plain": ["b = 2\nc = 3\n"],
    "indented": ["    b = i\n"],
    "two": ["a = 1\n", "c = 3\n"],
    "empty": [""],
    "other spelling": ["b = 2\n"],
    "none": [],
}


def _cell(source: str) -> nbformat.NotebookNode:
    metadata = {"schema_version": 3, "grade": True, "solution": False, "locked": True, "grade_id": "x", "points": 1}
    return nbformat.v4.new_code_cell(source, metadata={"nbgrader": metadata})


@pytest.mark.parametrize("name", CELLS)
def test_hidden_tests(name: str) -> None:
    """What nbgrader removes of a check is what is between the marks, and the marks."""
    source = CELLS[name].format("HIDDEN TESTS")
    assert solution_marks.HIDDEN_TESTS.findall(source) == INSIDE[name]
    cleared, _ = ClearHiddenTests().preprocess_cell(_cell(source), {}, 0)
    assert cleared.source.split() == solution_marks.HIDDEN_TESTS.sub("", source).split()
    assert solution_marks.SOLUTIONS.findall(source) == []
    assert solution_marks.SOLUTIONS.sub("", source) == source


@pytest.mark.parametrize("name", CELLS)
def test_solutions(name: str) -> None:
    """What nbgrader replaces in a stub is what is between the marks, and the marks."""
    source = CELLS[name].format("SOLUTION")
    assert solution_marks.SOLUTIONS.findall(source) == INSIDE[name]
    clear, cell = ClearSolutions(code_stub={"python": ""}), _cell(source)
    assert clear._replace_solution_region(cell, "python") == bool(INSIDE[name])
    assert cell.source.split() == solution_marks.SOLUTIONS.sub("", source).split()
    assert solution_marks.HIDDEN_TESTS.findall(source) == []


def test_without_marks() -> None:
    """The worked solution is all lines but the marks; code in the line of a mark is not lost."""
    source = "a = 1\n" + solution_marks.marked_solution("b = 2") + "\nc = 3  ### END SOLUTION"
    assert solution_marks.without_marks(source) == "a = 1\nb = 2\nc = 3  ### END SOLUTION"
    assert solution_marks.without_marks("    ### BEGIN SOLUTION\n    b = 2") == "    b = 2"


def test_a_mark_alone() -> None:
    """Without its last mark a hidden test goes to the end: it is never taken for a public line."""
    source = "a = 1\n### BEGIN HIDDEN TESTS"
    assert solution_marks.HIDDEN_TESTS.findall(source) == [""]
    assert solution_marks.HIDDEN_TESTS.findall(source + "\nb = 2") == ["b = 2"]
    assert solution_marks.HIDDEN_TESTS.sub("", source + "\nb = 2") == "a = 1\n"
