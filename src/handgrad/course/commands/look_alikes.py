"""List pairs of submissions that share unusual answer cells, as a question to the instructor.

Two cells are the same if they differ only in the student's own names, spaces, comments and line ends. A cell that many
have written weighs little: most students write the right answer in the obvious way.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Name, Text, Whitespace

from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import Course
from handgrad.errors import SubmissionError, TextLimitError
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.reading import parse_notebook
from handgrad.notebook.syntax import ParsedCell, is_untouched
from handgrad.submission.submission import Submission

__all__ = ["Pair", "alike", "look_alikes", "normalised"]

COMMON = 0.2
"""A cell that more than this share of the class wrote is common, and is ignored."""
LEAST = 3
"""Smallest number of uncommon cells that listed pairs share."""
_LEXER = PythonLexer()

Normalised = tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two submissions that share uncommon cells.

    Attributes
    ----------
    students
        The two students.
    cells
        For each gradient with the same cell, both sources and how many students wrote it; the rarest first.
    weight
        The sum over these cells of log(students / how many wrote it).
    """

    students: tuple[str, str]
    cells: Mapping[str, tuple[str, str, int]]
    weight: float


def normalised(source: str, known: frozenset[str]) -> Normalised:
    """The tokens of a cell without spaces and comments; names that are not ``known`` are numbered."""
    numbers: dict[str, str] = {}
    tokens: list[str] = []
    for kind, text in _LEXER.get_tokens(source):
        if kind in Comment or kind in Whitespace or (kind in Text and not text.strip()):
            continue
        own = kind is Name and text not in known and tokens[-1:] != ["."]
        tokens.append(numbers.setdefault(text, f"name {len(numbers) + 1}") if own else text)
    return tuple(tokens)


def alike(answers: Mapping[str, Mapping[str, str]], known: frozenset[str]) -> list[Pair]:
    """The pairs among ``answers`` that share uncommon cells, those that share most first.

    ``answers`` are, for each student, the source of each answered cell by its gradient; ``known`` are the names that
    the exercise gives to all students.
    """
    return _pairs(
        {
            student: {gradient: (source, normalised(source, known)) for gradient, source in cells.items()}
            for student, cells in answers.items()
        }
    )


def _pairs(answers: Mapping[str, Mapping[str, tuple[str, Normalised]]]) -> list[Pair]:
    """:func:`alike` for cells whose tokens are known."""
    wrote: defaultdict[tuple[str, Normalised], list[str]] = defaultdict(list)
    for student, cells in answers.items():
        for gradient, (_, tokens) in cells.items():
            wrote[gradient, tokens].append(student)
    most = max(2, math.floor(COMMON * len(answers)))
    shared: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (gradient, _), students in wrote.items():
        if 2 <= len(students) <= most:
            for pair in itertools.combinations(sorted(students), 2):
                shared[pair][gradient] = len(students)
    pairs = []
    for (first, second), counts in shared.items():
        if len(counts) >= LEAST:
            rarest = sorted(counts, key=lambda gradient: counts[gradient])
            both = {name: (answers[first][name][0], answers[second][name][0], counts[name]) for name in rarest}
            weight = sum(math.log(len(answers) / count) for count in counts.values())
            pairs.append(Pair((first, second), both, weight))
    return sorted(pairs, key=lambda pair: (-pair.weight, pair.students))


def look_alikes(course: Course, assignment: str) -> list[Pair]:
    """The pairs among the submissions of ``assignment``; nothing is run or written.

    Errors are those of :meth:`.Course.exercise`.
    """
    with closing(ClassGrading(course, assignment)) as grading:
        known = _known(grading.exercise)
        answers = {student: _answers(grading, student, known) for student in grading.folders.students()}
    return _pairs({student: cells for student, cells in answers.items() if cells})


def _answers(grading: ClassGrading, student: str, known: frozenset[str]) -> Mapping[str, tuple[str, Normalised]]:
    """The filled cells of a submission, by gradient, with their tokens; none if it cannot be read."""
    submitted = grading.submitted(student)
    if submitted.fault:
        return {}
    try:
        return grading.reader(filled_cells, submitted.content, submitted.where, grading.exercise, known)
    except (SubmissionError, TextLimitError):
        return {}


def filled_cells(
    content: bytes, where: str, exercise: Exercise, known: frozenset[str]
) -> dict[str, tuple[str, Normalised]]:
    """The filled cells of the notebook in the bytes of the file ``where``, by gradient, with their tokens.

    Raises
    ------
    SubmissionError
        It is not a notebook, or has no answer to the exercise.
    """
    return {
        gradient: (cell.source, normalised(cell.source, known))
        for cell in Submission.of(parse_notebook(content, where), exercise).cells
        for gradient in cell.gradients
        if not is_untouched(cell.source, gradient)
    }


def _known(exercise: Exercise) -> frozenset[str]:
    """Every name that the exercise's own cells bind, and its answers."""
    parsed = (ParsedCell.of(cell.source) for cell in exercise.cells if cell.kind == "locked")
    bound = {name for cell in parsed if cell for name in cell.bound()}
    return frozenset(bound | set(exercise.stubs))
