"""nbgrader's marks in an instructor's notebook, around what a release does not contain: solutions and hidden tests.

As in nbgrader, a line that contains ``BEGIN SOLUTION`` begins a solution, whatever else is in that line.
"""

import re

__all__ = [
    "HIDDEN_TEST_MARKS",
    "SOLUTION_MARKS",
    "hidden_tests_in",
    "marked_solution",
    "solutions_in",
    "without_hidden_tests",
    "without_marks",
    "without_solutions",
]

SOLUTION_MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN_TEST_MARKS = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")


def _between(what: str) -> re.Pattern[str]:
    """The marks of ``what`` and, as group 1, the text between them; it goes to the end if the last mark is missing."""
    line = r"^[^\n]*{} {}[^\n]*(?:\n|\Z)"
    return re.compile(f"{line.format('BEGIN', what)}(.*?)(?:{line.format('END', what)}|\\Z)", re.DOTALL | re.MULTILINE)


_SOLUTION, _HIDDEN_TESTS = _between("SOLUTION"), _between("HIDDEN TESTS")


def marked_solution(source: str) -> str:
    """``source`` between the marks of a solution."""
    return "\n".join((SOLUTION_MARKS[0], source, SOLUTION_MARKS[1]))


def without_marks(source: str) -> str:
    """The worked solution in a stub, as a student would write it: all lines but the marks."""
    return "\n".join(line for line in source.splitlines() if line.strip() not in SOLUTION_MARKS)


def solutions_in(source: str) -> list[str]:
    """The texts between the marks of solutions."""
    return _SOLUTION.findall(source)


def without_solutions(source: str) -> str:
    """The cell without its solutions and their marks."""
    return _SOLUTION.sub("", source)


def hidden_tests_in(source: str) -> list[str]:
    """The texts between the marks of hidden tests."""
    return _HIDDEN_TESTS.findall(source)


def without_hidden_tests(source: str) -> str:
    """The cell without its hidden tests and their marks."""
    return _HIDDEN_TESTS.sub("", source)
