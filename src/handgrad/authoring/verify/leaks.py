"""Search what students get for solutions and hidden tests."""

import html
import itertools
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from handgrad.authoring.verify.claims import open_answers
from handgrad.authoring.verify.results import Fault
from handgrad.authoring.verify.tokens import lines_of, operands, prose_of, spaced
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import EXERCISE_FILE
from handgrad.exercise.solution_marks import HIDDEN_TEST_MARKS, HIDDEN_TESTS, SOLUTION_MARKS, SOLUTIONS

__all__ = ["SHORTEST", "Leaks", "Secret"]

Kind = Literal["solution", "hidden test"]
SHORTEST = 3
"""The fewest names and numbers of a secret: fewer, as in ``-dlogits``, say too little, and are met by chance."""
_TAG = re.compile(r"<[^>]*>")
_BINARY = (".whl", ".png", ".jpg", ".pt", ".npy", ".zip", ".gz")
LONGEST_TITLE = 40
"""Characters of a text cell's first line in a message."""
_REMEDIES = {
    "text": "reword it in the source and release again",
    "comments and strings": "reword it in the source and release again",
    "code": "put it between nbgrader's marks in the source and release again",
    "metadata": "delete it there in the source and release again",
    "output": "change the code that prints it",
    "file": "remove it from this file, or from what the file is made of",
}


@dataclass(frozen=True)
class Secret:
    """What must not reach students: its tokens, and the line of the notebook that it is from."""

    kind: Kind
    tokens: str
    line: str


@dataclass(frozen=True)
class Part:
    """A part of a file, with its tokens: what it is of a cell, which cell that is, or else the file."""

    what: str
    cell: str
    tokens: str

    def __str__(self) -> str:
        return f"the {self.what} of {self.cell}" if self.cell else f"the {self.what}"


@dataclass(frozen=True)
class Leaks:
    """The secrets of an exercise, and the search for them.

    A secret that was found in a cell is the same fault in every copy of the cell, and in every page made of it.
    """

    secrets: frozenset[Secret]
    _by_place: dict[tuple[str, str, Kind], Fault] = field(default_factory=dict, repr=False)
    _by_secret: dict[Secret, Fault] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, exercise: Exercise) -> Self:
        """The right sides of an instructor's solutions and hidden tests, or whole lines if these are too short.

        What the code before the first stub, or the given part of a stub, has too is no secret, and no part of a visible
        check is a hidden test.
        """
        unwritten = open_answers(exercise)
        stubs = [cell.source for cell in exercise.cells if cell.kind == "stub" and cell.name not in unwritten]
        first = [cell.source for cell in exercise.cells[: exercise.first_stub] if cell.kind != "text"]
        # a stub without marks is cleared as a whole
        given = [SOLUTIONS.sub("", source) for source in stubs if SOLUTIONS.findall(source)]
        solved = [part for source in stubs for part in SOLUTIONS.findall(source) or [source]]
        checks = [check.source for check in exercise.checks]
        hidden = [part for source in checks for part in HIDDEN_TESTS.findall(source)]
        visible = [HIDDEN_TESTS.sub("", source) for source in checks]
        marks: dict[Kind, Iterable[str]] = {"solution": SOLUTION_MARKS, "hidden test": HIDDEN_TEST_MARKS}
        return cls(
            frozenset(
                {
                    *_secrets("solution", solved, [*first, *given]),
                    *_secrets("hidden test", hidden, [*first, *given, *visible]),
                    *(Secret(kind, spaced(mark.lstrip("# ")), mark) for kind in marks for mark in marks[kind]),
                }
            )
        )

    def found_in(self, folder: Path, name: str, *, solved: bool = False) -> Iterator[Fault]:
        """A fault for each secret that is found in the files of a folder, which has this ``name`` in a fault.

        ``solved`` is whether the folder belongs to a student who handed in the solutions.
        """
        secrets = sorted(
            (secret for secret in self.secrets if not (solved and secret.kind == "solution")),
            key=lambda secret: secret.line,
        )
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in _BINARY)
        # the notebook before its copies
        for path in sorted(files, key=lambda path: (path.suffix != ".ipynb", path)):
            file = f"{name}/{path.relative_to(folder).as_posix()}"
            for parts, secret in itertools.product(_cells(path), secrets):
                if part := next((part for part in parts if secret.tokens in part.tokens), None):
                    yield self._fault(secret, part, file)

    def _fault(self, secret: Secret, part: Part, file: str) -> Fault:
        fault = Fault(file, f"a {secret.kind} is in {part}: {secret.line!r}", _REMEDIES[part.what])
        if part.what == "file":
            fault = self._by_secret.get(secret, fault)
        fault = self._by_place.setdefault((part.cell or fault.file, part.what, secret.kind), fault)
        self._by_secret.setdefault(secret, fault)
        return fault


def _secrets(kind: Kind, sources: Iterable[str], public: Iterable[str]) -> Iterator[Secret]:
    """The secrets in sources: of each line the right side or else all of it, if it is long enough and not public."""
    known = "\n".join(line.tokens for source in public for line in lines_of(source, strings=False))
    for line in (line for source in sources for line in lines_of(source) if line.right):
        for tokens in (line.right, line.tokens):
            if operands(tokens) >= SHORTEST and tokens not in known:
                yield Secret(kind, tokens, line.written)
                break


def _cells(path: Path) -> Iterator[list[Part]]:
    """The parts of each cell of a notebook, or of the notebook in a released exercise; else the text of the file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".ipynb" and path.name != EXERCISE_FILE:
        yield [Part("file", "", spaced(html.unescape(_TAG.sub("", text)) if path.suffix == ".html" else text))]
        return
    data = json.loads(text)
    notebook = data["notebook"] if path.name == EXERCISE_FILE else data
    yield [Part("metadata", "the notebook", _tokens_in(notebook.get("metadata")))]
    for number, cell in enumerate(notebook["cells"], start=1):
        yield list(_parts(cell, number))


def _parts(cell: Mapping[str, Any], number: int) -> Iterator[Part]:
    source, grade_id = "".join(cell["source"]), cell["metadata"].get("nbgrader", {}).get("grade_id")
    name = f"cell {grade_id or number}"
    if cell["cell_type"] == "code":
        yield Part("comments and strings", name, prose_of(source))
        yield Part("code", name, "\n".join(line.tokens for line in lines_of(source)))
    else:
        yield Part("text", name if grade_id else f"{name} ({_title(source)})", spaced(source))
    yield Part("metadata", name, _tokens_in(cell["metadata"]))
    yield Part("output", name, _tokens_in(cell.get("outputs")))


def _title(text: str) -> str:
    return textwrap.shorten(text.strip().partition("\n")[0], LONGEST_TITLE, placeholder=" ...")


def _tokens_in(value: Any) -> str:
    """The tokens of every string in plain data; a list of strings (the lines of an output) is one text."""
    if isinstance(value, str):
        return spaced(value)
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return spaced("".join(value))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return "\n".join(map(_tokens_in, inner))
