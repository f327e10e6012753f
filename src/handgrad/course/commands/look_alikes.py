"""List pairs of submissions that share unusual answer cells, as a question to the instructor.

Which cells are the same is told by :mod:`handgrad.submission.answer_cells`. A cell that many have written weighs
little: most students write the right answer in the obvious way.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import Course
from handgrad.course.workers.reader import Reader
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import ParsedCell
from handgrad.submission.answer_cells import AnswerCell, filled_cells

__all__ = ["Pair", "alike", "look_alikes"]

COMMON = 0.2
"""A cell that more than this share of the class wrote is common, and is ignored."""
LEAST = 3
"""Smallest number of uncommon cells that listed pairs share."""
RARE = 20
"""Listed pairs share a cell that at most so many students wrote: a cell of many gives each of them many partners, by
chance, and the pairs of a large class would be as many as the square of its size."""


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


def alike(answers: Mapping[str, Mapping[str, AnswerCell]]) -> list[Pair]:
    """The pairs among ``answers``, by student and gradient, that share uncommon cells; those that share most first."""
    wrote: defaultdict[tuple[str, bytes], list[str]] = defaultdict(list)
    for student, cells in answers.items():
        for gradient, cell in cells.items():
            wrote[gradient, cell.digest].append(student)
    most = max(2, math.floor(COMMON * len(answers)))
    partners = {
        pair
        for students in wrote.values()
        if 2 <= len(students) <= min(most, RARE)
        for pair in itertools.combinations(sorted(students), 2)
    }
    pairs = []
    for first, second in partners:
        counts = {}
        for gradient, cell in answers[first].items():
            other = answers[second].get(gradient)
            if other and other.digest == cell.digest and (count := len(wrote[gradient, cell.digest])) <= most:
                counts[gradient] = count
        if len(counts) >= LEAST:
            rarest = sorted(counts, key=lambda gradient: counts[gradient])
            both = {name: (answers[first][name].source, answers[second][name].source, counts[name]) for name in rarest}
            weight = sum(math.log(len(answers) / count) for count in counts.values())
            pairs.append(Pair((first, second), both, weight))
    return sorted(pairs, key=lambda pair: (-pair.weight, pair.students))


def look_alikes(course: Course, assignment: str) -> list[Pair]:
    """The pairs among the submissions of ``assignment``; nothing is run or written.

    Errors are those of :meth:`.Course.exercise`.
    """
    with closing(ClassGrading(course, assignment)) as grading:
        submitted = map(grading.submitted, grading.folders.students())
        jobs = ((file.student, file.content, file.where) for file in submitted if not file.fault)
        with Reader(workers=None, common=(grading.exercise, _known(grading.exercise))) as reader:
            read = dict(reader.each(filled_cells, jobs))
    # a submission that cannot be read shares nothing
    return alike({student: read[student] for student in sorted(read) if isinstance(read[student], dict)})


def _known(exercise: Exercise) -> frozenset[str]:
    """Every name that the exercise's own cells bind, and its answers."""
    parsed = (ParsedCell.of(cell.source) for cell in exercise.cells if cell.kind == "locked")
    bound = {name for cell in parsed if cell for name in cell.bound()}
    return frozenset(bound | set(exercise.stubs))
