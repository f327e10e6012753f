"""Pairs of submissions whose answer cells are the same beyond what the exercise makes alike: a question, no verdict.

Two cells are the same when nothing but the student's own names, spaces, comments and line ends tells them apart. A cell
that many have written weighs little: the right answer in the obvious way is everybody's.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Name, Text, Whitespace

from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import Course
from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.reading import parse_notebook
from handgrad.notebook.syntax import ParsedCell, is_untouched
from handgrad.submission.submission import Submission

__all__ = ["Pair", "alike", "look_alikes", "normalised"]

COMMON = 0.2
"""Share of the class from which on a cell is common: it says nothing about two of those who wrote it."""
LEAST = 3
"""Uncommon cells that two submissions must share to be listed."""
_LEXER = PythonLexer()

Normalised = tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two submissions that share uncommon cells.

    Attributes
    ----------
    students
        Whose they are.
    cells
        For each gradient whose cell is the same, both sources and how many students wrote it so; the rarest first.
    weight
        The sum over these cells of log(students / how many wrote it so).
    """

    students: tuple[str, str]
    cells: Mapping[str, tuple[str, str, int]]
    weight: float


def normalised(source: str, known: frozenset[str]) -> Normalised:
    """The tokens of a cell without spaces and comments; a name that is not ``known`` is the number of its turn."""
    turns: dict[str, str] = {}
    tokens: list[str] = []
    for kind, text in _LEXER.get_tokens(source):
        if kind in Comment or kind in Whitespace or (kind in Text and not text.strip()):
            continue
        own = kind is Name and text not in known and tokens[-1:] != ["."]
        tokens.append(turns.setdefault(text, f"name {len(turns) + 1}") if own else text)
    return tuple(tokens)


def alike(answers: Mapping[str, Mapping[str, str]], known: frozenset[str]) -> list[Pair]:
    """The pairs among ``answers`` that share uncommon cells, those that share most first.

    Parameters
    ----------
    answers
        For each student, the source of each answered cell by its gradient.
    known
        Names that the exercise gives to everybody.
    """
    wrote: defaultdict[tuple[str, Normalised], list[str]] = defaultdict(list)
    for student, cells in answers.items():
        for gradient, source in cells.items():
            wrote[gradient, normalised(source, known)].append(student)
    most = max(2, math.floor(COMMON * len(answers)))
    shared: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (gradient, _), students in wrote.items():
        if 2 <= len(students) <= most:
            for pair in itertools.combinations(sorted(students), 2):
                shared[pair][gradient] = len(students)
    pairs = []
    for (one, other), counts in shared.items():
        if len(counts) >= LEAST:
            rarest = sorted(counts, key=lambda gradient: counts[gradient])
            both = {name: (answers[one][name], answers[other][name], counts[name]) for name in rarest}
            weight = sum(math.log(len(answers) / count) for count in counts.values())
            pairs.append(Pair((one, other), both, weight))
    return sorted(pairs, key=lambda pair: (-pair.weight, pair.students))


def look_alikes(course: Course, assignment: str) -> list[Pair]:
    """The pairs among the submissions of ``assignment``; nothing is run and nothing is written.

    Raises
    ------
    CourseError, ExerciseError
        There is no such assignment, or it is no exercise.
    """
    batch = ClassGrading(course, assignment)
    answers = {student: dict(_answers(batch, student)) for student in batch.folders.students()}
    return alike({student: cells for student, cells in answers.items() if cells}, _known(batch.exercise))


def _answers(batch: ClassGrading, student: str) -> Iterator[tuple[str, str]]:
    """The cells of a submission that are filled, by gradient; none of one that cannot be read."""
    handed = batch.submitted(student)
    if handed.fault:
        return
    try:
        submission = Submission.of(parse_notebook(handed.content, handed.where), batch.exercise)
    except SubmissionError:
        return
    for cell in submission.cells:
        for gradient in cell.gradients:
            if not is_untouched(cell.source, gradient):
                yield gradient, cell.source


def _known(exercise: Exercise) -> frozenset[str]:
    """Every name that the exercise's own cells bind, and its gradients."""
    parsed = (ParsedCell.of(cell.source) for cell in exercise.cells if cell.kind == "locked")
    bound = {name for one in parsed if one for name in one.bound()}
    return frozenset(bound | set(exercise.stubs))
