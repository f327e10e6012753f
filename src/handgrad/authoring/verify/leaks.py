"""Search what students get for lines of solutions and hidden tests."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from handgrad.authoring.verify.claims import open_answers
from handgrad.authoring.verify.results import Fault
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.solution_marks import HIDDEN_TEST_MARKS, HIDDEN_TESTS, SOLUTION_MARKS, SOLUTIONS

__all__ = ["Leaks"]

_TAG = re.compile(r"<[^>]*>")
SHORT = 12
"""A line with fewer characters counts only as a whole line: it may be part of another one by chance."""
_BINARY = (".whl", ".png", ".jpg", ".pt", ".npy", ".zip", ".gz")


@dataclass(frozen=True)
class Leaks:
    """The lines of an exercise that must not reach students, and the search for them.

    They are those of the worked solutions and of the hidden tests, without the white space around them.
    """

    solutions: frozenset[str]
    tests: frozenset[str]

    @classmethod
    def of(cls, exercise: Exercise) -> Self:
        """The lines of an instructor's notebook, without those that locked cells, visible checks or stubs have too."""
        public = {
            line
            for cell in exercise.cells
            if cell.kind in ("locked", "check", "free")
            for line in _lines(HIDDEN_TESTS.sub("", cell.source))
        }
        unwritten = open_answers(exercise)
        stubs = [cell.source for cell in exercise.cells if cell.kind == "stub" and cell.name not in unwritten]
        # students get what is around the marks; a stub without marks is cleared as a whole
        public |= {line for source in stubs if SOLUTIONS.findall(source) for line in _lines(SOLUTIONS.sub("", source))}
        parts = (part for source in stubs for part in SOLUTIONS.findall(source) or [source])
        solutions = {line for part in parts for line in _lines(part)}
        hidden = (part for check in exercise.checks for part in HIDDEN_TESTS.findall(check.source))
        tests = {line for part in hidden for line in _lines(part)}
        return cls(_not_public(solutions, public), _not_public(tests, public))

    def found_in(self, folder: Path, name: str, *, solved: bool = False) -> Iterator[Fault]:
        """The lines that are found in the files of a folder, which has this ``name`` in a fault.

        ``solved`` is whether the folder belongs to a student who handed in the solutions.
        """
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in _BINARY):
            text = _text(path)
            lines = set(_lines(text))
            kinds = {"hidden test": {*self.tests, *HIDDEN_TEST_MARKS}}
            if not solved:
                kinds["solution"] = {*self.solutions, *SOLUTION_MARKS}
            for kind, private in kinds.items():
                leaked = sorted(line for line in private if line in lines or (len(line) >= SHORT and line in text))
                if leaked:
                    file = f"{name}/{path.relative_to(folder).as_posix()}"
                    what = f"a {kind} is in what students get: {leaked[0]!r}"
                    yield Fault(file, what, "put it between nbgrader's marks in the source and release again")


def _not_public(lines: Iterable[str], public: Iterable[str]) -> frozenset[str]:
    """The lines that are not part of a public line, as a call is part of its function's definition."""
    text = "\n".join(public)
    return frozenset(line for line in lines if line not in text)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text without white space around them; empty lines, ``pass`` and ``None`` are left out."""
    return (line.strip() for line in text.splitlines() if line.strip() and line.strip() not in ("pass", "None"))


def _text(path: Path) -> str:
    """The text of a file: the strings of JSON, the visible text of HTML."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix in (".ipynb", ".json"):
        return "\n".join(_texts(json.loads(text)))
    return html.unescape(_TAG.sub("", text)) if path.suffix == ".html" else text


def _texts(value: Any) -> Iterator[str]:
    """Every string in plain data; a list of strings (the lines of a cell) is joined."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        yield "".join(value)
    elif isinstance(value, (list, dict)):
        inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
        for part in inner:
            yield from _texts(part)
