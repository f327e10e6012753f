"""What students must not get: the lines of solutions and hidden tests, looked for in what they do get."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from handgrad.authoring.verify.notebook_claims import open_answers
from handgrad.authoring.verify.results import Fault
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.solution_marks import (
    HIDDEN_TEST_MARKS,
    SOLUTION_MARKS,
    hidden_tests_in,
    solutions_in,
    without_hidden_tests,
    without_solutions,
)

__all__ = ["Secrets"]

_TAG = re.compile(r"<[^>]*>")
SHORT = 12
"""Characters of a line that may stand in another one by chance."""
_BINARY = (".whl", ".png", ".jpg", ".pt", ".npy", ".zip", ".gz")


@dataclass(frozen=True)
class Secrets:
    """The lines of an exercise that stand in its source alone.

    Attributes
    ----------
    solutions, tests
        Lines of the worked solutions and of the hidden tests, without the white space around them.
    """

    solutions: frozenset[str]
    tests: frozenset[str]

    @classmethod
    def of(cls, exercise: Exercise) -> Self:
        """The secrets of an instructor's notebook: what locked cells, visible checks and stubs say too is none."""
        public = {
            line
            for cell in exercise.cells
            if cell.kind in ("locked", "check", "free")
            for line in _lines(without_hidden_tests(cell.source))
        }
        unwritten = open_answers(exercise)
        stubs = [cell.source for cell in exercise.cells if cell.kind == "stub" and cell.name not in unwritten]
        # what stands around the marks is given to students; a stub without marks is cleared as a whole
        public |= {line for source in stubs if solutions_in(source) for line in _lines(without_solutions(source))}
        parts = (part for source in stubs for part in solutions_in(source) or [source])
        solutions = {line for part in parts for line in _lines(part)}
        tests = {line for check in exercise.checks for part in hidden_tests_in(check.source) for line in _lines(part)}
        return cls(_unsaid(solutions, public), _unsaid(tests, public))

    def told_in(self, folder: Path, name: str, *, solved: bool = False) -> Iterator[Fault]:
        """The secrets that stand in the files of a folder.

        Parameters
        ----------
        name
            What the folder is called in a fault.
        solved
            Whether what stands there is a student's who knows the solutions.
        """
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in _BINARY):
            text = _text(path)
            lines = set(_lines(text))
            kinds = {"hidden test": {*self.tests, *HIDDEN_TEST_MARKS}}
            if not solved:
                kinds["solution"] = {*self.solutions, *SOLUTION_MARKS}
            for kind, secrets in kinds.items():
                told = sorted(one for one in secrets if one in lines or (len(one) >= SHORT and one in text))
                if told:
                    file = f"{name}/{path.relative_to(folder).as_posix()}"
                    what = f"a {kind} stands in what students get: {told[0]!r}"
                    yield Fault(file, what, "put it between nbgrader's marks in the source, and release again")


def _unsaid(lines: Iterable[str], public: Iterable[str]) -> frozenset[str]:
    """The lines that stand in no public one, as a call stands in the function's own definition."""
    said = "\n".join(public)
    return frozenset(line for line in lines if line not in said)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text that say something."""
    return (line.strip() for line in text.splitlines() if line.strip() and line.strip() not in ("pass", "None"))


def _text(path: Path) -> str:
    """What a file says: of JSON its texts, of a page what is read on it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix in (".ipynb", ".json"):
        return "\n".join(_texts(json.loads(text)))
    return html.unescape(_TAG.sub("", text)) if path.suffix == ".html" else text


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data; the lines of a cell's source are one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        yield "".join(value)
    elif isinstance(value, (list, dict)):
        inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
        for one in inner:
            yield from _texts(one)
