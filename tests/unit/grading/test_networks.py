"""Networks of other kinds than the shipped exercises': right formulas pass and wrong ones do not, for every seed.

A network is a folder of ``tests/cases/networks``: the forward pass as ``handgrad new`` takes it, and ``formulas.toml``
with the solution of every gradient, other right formulas, and wrong ones.
"""

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from handgrad.authoring.new_exercise import new_exercise
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers.paths import ROOT

NETWORKS = sorted((ROOT / "tests" / "cases" / "networks").iterdir())
SETTINGS = GradingSettings(limits=Limits(cell_seconds=6.0))

Formulas = Mapping[str, Sequence[str]]


def _exercise(network: Path, course: Path) -> Exercise:
    (course / "nbgrader_config.py").touch()
    return Exercise.read(new_exercise(Course.at(course), network.name, network / "forward.py"))


def _rows(formulas: Formulas) -> Iterator[dict[str, str]]:
    """The formulas in groups, one of each gradient: a submission is judged gradient by gradient."""
    for row in itertools.zip_longest(*formulas.values()):
        yield {gradient: formula for gradient, formula in zip(formulas, row, strict=True) if formula}


def _verdicts(grader: Grader, notebook: NotebookNode, sources: Mapping[str, str]) -> Mapping[str, Verdict]:
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = sources[grade_id(cell)]
    report = grader.grade(Submission.of(notebook, grader.exercise)).report
    return {verdict.gradient: verdict for verdict in report.checks}


def _misjudged(network: Path, course: Path, seeds: Sequence[int]) -> list[str]:
    """Every formula that gets what it should not, with the seed, in words."""
    exercise = _exercise(network, course)
    notebook = nbformat.read(exercise.directory / f"{exercise.name}.ipynb", as_version=4)
    facts = tomllib.loads((network / "formulas.toml").read_text(encoding="utf-8"))
    solution: dict[str, str] = facts["solution"]
    found = []
    for seed in seeds:
        with Grader(exercise, [seed], SETTINGS) as grader:
            tried = [("right", dict(solution))]
            tried += [(kind, row) for kind in ("right", "wrong") for row in _rows(facts[kind])]
            for kind, row in tried:
                verdicts = _verdicts(grader, notebook, {**solution, **row})
                found += [
                    f"seed {seed}, {kind}, {verdicts[gradient].outcome}: {formula}"
                    for gradient, formula in row.items()
                    if (verdicts[gradient].outcome == "passed") != (kind == "right")
                ]
    return found


@pytest.mark.parametrize("network", NETWORKS, ids=[path.name for path in NETWORKS])
def test_network(network: Path, tmp_path: Path) -> None:
    """Every right formula passes, and no wrong one does."""
    assert not _misjudged(network, tmp_path, [271828])


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=[path.name for path in NETWORKS])
def test_network_for_twenty_seeds(network: Path, tmp_path: Path) -> None:
    """What a course's seed gives does not depend on luck."""
    assert not _misjudged(network, tmp_path, range(1, 21))
