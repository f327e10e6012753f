"""How much CPU time a submission costs, compared with running its cells and nothing else.

The floor: one warm process calls ``exec`` on the student's cells in three passes, on three parameter sets, with no
isolation, no files, no comparison and no report.
"""

import contextlib
import io
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import nbformat
import torch

from benchmarks.courses import ASSIGNMENT, NOBODY
from benchmarks.figures import Figure, quotients
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import Bench, alone
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise, kind_of

PASSES = 3
SUBMISSIONS = 300


def figures(bench: Bench) -> list[Figure]:
    """The figure."""
    bench.measure(bench.ours)
    exercise = Course.at(bench.courses.ours.root).exercise(ASSIGNMENT)
    floors = floor(exercise, bench.courses.solved, bench.runs)
    made_of = f"{median(bench.ours.cpu) * 1e3:.1f} ms in all processes, {median(floors) * 1e3:.2f} ms for the floor"
    question = "CPU time a submission, against the floor"
    return [Figure(question, 10, quotients(bench.ours.cpu, floors), made_of, at_most=True)]


def floor(exercise: Exercise, solved: str, runs: int) -> list[float]:
    """CPU seconds of the student's cells of one submission in three passes, by run."""
    torch.set_num_threads(1)
    notebook = nbformat.reads(solved, as_version=4)
    sources = [cell.source for cell in notebook.cells if kind_of(cell) in ("stub", "free")]
    states = [_state(exercise, seed) for seed in range(PASSES)]
    _execute(sources, states, "warm")
    seconds = []
    for _ in range(runs):
        begin = time.process_time()
        for number in range(SUBMISSIONS):
            _execute(sources, states, f"s{number}")
        seconds.append((time.process_time() - begin) / SUBMISSIONS)
    return seconds


def _state(exercise: Exercise, seed: int) -> Mapping[str, Any]:
    """The namespace after the locked cells."""
    names: dict[str, Any] = {}
    with contextlib.chdir(exercise.directory), contextlib.redirect_stdout(io.StringIO()):
        for source in exercise.setup({"seed": seed}):
            exec(source, names)
    return names


def _execute(sources: Sequence[str], states: Sequence[Mapping[str, Any]], student: str) -> None:
    cells = [source.replace(NOBODY, student) for source in sources]
    for state in states:
        names = dict(state)
        for cell in cells:
            exec(cell, names)
        if names["student"] != student or "dC" not in names:
            raise BenchmarkFailed("the student's cells did not run.")


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
