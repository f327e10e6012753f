"""Formulas in place of an exercise's solution: which of them do not get the verdict that they should."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import nbformat

from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers.warm_grader import warm_grader

SETTINGS = GradingSettings(limits=Limits(cell_seconds=3.0))
OUTCOMES = {"right": ("passed",), "wrong": ("partial", "failed")}
"""What the formulas of a kind may get: a wrong one gives a value, and does not end in an error."""

Formulas = Mapping[str, Sequence[str]]
"""Formulas by gradient."""


def rows(formulas: Formulas) -> Iterator[dict[str, str]]:
    """The formulas in groups, one of each gradient: a submission is judged gradient by gradient."""
    for row in itertools.zip_longest(*formulas.values()):
        yield {gradient: formula for gradient, formula in zip(formulas, row, strict=True) if formula}


def verdicts(grader: Grader, sources: Mapping[str, str]) -> Mapping[str, Verdict]:
    """The verdicts on a notebook that has these formulas in its stubs."""
    directory = grader.exercise.directory
    notebook = nbformat.read(directory / f"{grader.exercise.name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = sources[grade_id(cell)]
    report = grader.grade(Submission.of(notebook, grader.exercise)).report
    return {verdict.gradient: verdict for verdict in report.checks}


@dataclass(frozen=True)
class Judged:
    """A right or wrong formula, and the verdict on it."""

    kind: str
    formula: str
    verdict: Verdict

    @property
    def is_as_it_should(self) -> bool:
        """Whether the outcome is one that a formula of this kind may get."""
        return self.verdict.outcome in OUTCOMES[self.kind]


def judge(exercise: Exercise, solution: Mapping[str, str], right: Formulas, wrong: Formulas, seed: int) -> list[Judged]:
    """Grade every formula in the place of the solution's, and the solution, with one hidden seed."""
    tried = [("right", dict(solution))]
    tried += [(kind, row) for kind, formulas in (("right", right), ("wrong", wrong)) for row in rows(formulas)]
    found = []
    with warm_grader(exercise, [seed], SETTINGS) as grader:
        for kind, row in tried:
            judged = verdicts(grader, {**solution, **row})
            # a stub with a function has the verdicts of its calls
            found += [Judged(kind, formula, judged[name]) for name, formula in row.items() if name in judged]
    return found


def misjudged(
    exercise: Exercise, solution: Mapping[str, str], right: Formulas, wrong: Formulas, seeds: Sequence[int]
) -> list[str]:
    """Every formula that gets what it should not, with the seed, in words."""
    return [
        f"seed {seed}, {judgement.kind}, {judgement.verdict.outcome}: {judgement.formula}"
        for seed in seeds
        for judgement in judge(exercise, solution, right, wrong, seed)
        if not judgement.is_as_it_should
    ]
