"""nbgrader's marks in an instructor's notebook, around what a release does not contain: solutions and hidden tests.

As in nbgrader, a line that contains ``BEGIN SOLUTION`` begins a solution, whatever else is in that line.
"""

import re

__all__ = ["HIDDEN_TESTS", "HIDDEN_TEST_MARKS", "SOLUTIONS", "SOLUTION_MARKS", "marked_solution", "without_marks"]

SOLUTION_MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN_TEST_MARKS = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")


def _between(what: str) -> re.Pattern[str]:
    """The marks of ``what`` and, as group 1, the text between them; it goes to the end if the last mark is missing."""
    line = r"^[^\n]*{} {}[^\n]*(?:\n|\Z)"
    return re.compile(f"{line.format('BEGIN', what)}(.*?)(?:{line.format('END', what)}|\\Z)", re.DOTALL | re.MULTILINE)


SOLUTIONS, HIDDEN_TESTS = _between("SOLUTION"), _between("HIDDEN TESTS")


def marked_solution(source: str) -> str:
    """``source`` between the marks of a solution."""
    return "\n".join((SOLUTION_MARKS[0], source, SOLUTION_MARKS[1]))


def without_marks(source: str) -> str:
    """The worked solution in a stub, as a student would write it: all lines but the marks."""
    return "\n".join(line for line in source.splitlines() if line.strip() not in SOLUTION_MARKS)
