"""Processor time of one check in a student's notebook, over every known mistake of ``tests/cases/mistakes``.

Each case is run in a namespace as a notebook's cells are, with torch on one thread; each check is timed, the card drawn
as HTML included. Some have several wrong answers.
"""

import contextlib
import io
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import nbformat
import torch
from nbformat import NotebookNode

from benchmarks.figures import Figure
from benchmarks.ways import Bench, alone
from handgrad.authoring.cases import MISTAKES, Case, read_cases
from handgrad.exercise.exercise import Exercise, kind_of
from handgrad.student import check

ROOT = Path(__file__).parents[1]
ENDING = {"passed", "partial", "failed", "missing", "error", "held"}
"""Outcomes of cells that come to an end."""
PASSING, FAILING = 10.0, 60.0
"""The goals, in milliseconds."""


class Timed(NamedTuple):
    """One check: the case and the check's name, whether it passed, its processor time in milliseconds."""

    case: str
    check: str
    passed: bool
    milliseconds: float


class _Opened:
    """The released notebook of an exercise, run up to its first stub."""

    def __init__(self, name: str) -> None:
        self.released, self.solved = (_notebook(folder, name) for folder in ("release", "solutions"))
        self.exercise = Exercise.read(ROOT / "source" / name / f"{name}.ipynb")
        self.namespace: dict[str, Any] = {}
        with contextlib.chdir(ROOT / "release" / name), contextlib.redirect_stdout(io.StringIO()):
            for cell in self.released.cells:
                if kind_of(cell) == "stub":
                    break
                if cell.cell_type == "code":
                    exec(cell.source, self.namespace)

    def timed(self, case: Case) -> Iterator[Timed]:
        """Run the stubs and checks of a case; go on if one raises."""
        given = {name: self.namespace[name].clone() for name in self.exercise.given_gradients}
        namespace = {**self.namespace, **given}
        for cell in case.notebook(self.released, self.solved).cells:
            kind = kind_of(cell)
            if kind not in ("stub", "check"):
                continue
            passed, started = True, time.process_time()
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    exec(cell.source, namespace)
                except Exception:
                    passed = False
            if kind == "check":
                yield Timed(case.name, cell.metadata.nbgrader.grade_id, passed, 1e3 * (time.process_time() - started))


def _notebook(folder: str, name: str) -> NotebookNode:
    return nbformat.read(ROOT / folder / name / f"{name}.ipynb", as_version=4)


def measure() -> Mapping[str, list[Timed]]:
    """Every check of every case, by exercise."""
    torch.set_num_threads(1)
    opened: dict[str, _Opened] = {}
    found: dict[str, list[Timed]] = {}
    # as in a notebook: the card is drawn
    with patch.object(check, "in_notebook", lambda: True), patch.object(check, "show", lambda html, text: None):
        for case in read_cases(ROOT / MISTAKES):
            if case.raw is not None or not ENDING.issuperset(case.outcomes.values()):
                continue
            if case.assignment not in opened:
                opened[case.assignment] = _Opened(case.assignment)
            place = opened[case.assignment]
            if place.exercise.tensors:
                found.setdefault(case.assignment, []).extend(place.timed(case))
    return found


def figures(_: Bench) -> list[Figure]:
    """The figures: the slowest check that passes, and the slowest that fails; the median is beside it."""
    checks = [timed for each in measure().values() for timed in each]
    found = []
    for passed, question, goal in (
        (True, "a check that passes, the slowest of all cases", PASSING),
        (False, "a check that fails, the slowest of all cases", FAILING),
    ):
        group = [timed for timed in checks if timed.passed is passed]
        worst = max(group, key=lambda timed: timed.milliseconds)
        middle = median(timed.milliseconds for timed in group)
        made_of = f"{len(group)} checks, median {middle:.1f} ms; the slowest is {worst.check} of {worst.case}"
        found.append(Figure(question, goal, [worst.milliseconds], made_of, "{:.1f} ms", at_most=True))
    return found


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
