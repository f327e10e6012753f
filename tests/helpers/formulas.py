"""Formulas in place of an exercise's solution: which of them do not get the verdict that they should."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import nbformat

from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission

SETTINGS = GradingSettings(limits=Limits(cell_seconds=6.0))
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


def misjudged(
    exercise: Exercise, solution: Mapping[str, str], right: Formulas, wrong: Formulas, seeds: Sequence[int]
) -> list[str]:
    """Every formula that gets what it should not, with the seed, in words."""
    found = []
    tried = [("right", dict(solution))]
    tried += [(kind, row) for kind, formulas in (("right", right), ("wrong", wrong)) for row in rows(formulas)]
    for seed in seeds:
        with Grader(exercise, [seed], SETTINGS) as grader:
            for kind, row in tried:
                judged = verdicts(grader, {**solution, **row})
                found += [
                    f"seed {seed}, {kind}, {judged[gradient].outcome}: {formula}"
                    for gradient, formula in row.items()
                    if judged[gradient].outcome not in OUTCOMES[kind]
                ]
    return found
