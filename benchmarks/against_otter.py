"""How many times as fast as ``otter run`` ``handgrad grade`` is.

otter-grader gets an equivalent notebook (:mod:`benchmarks.otter`). ``otter run`` grades one submission and ends, so
that each pays for its start; the start is measured separately and subtracted.
"""

import os
import sys
from pathlib import Path
from statistics import median

from benchmarks.courses import ASSIGNMENT
from benchmarks.figures import Figure, quotients
from benchmarks.otter import Otter, install
from benchmarks.running import BenchmarkFailed, Cost
from benchmarks.ways import SUBMISSIONS, Bench, alone
from handgrad.course.course import Course


def figures(bench: Bench) -> list[Figure]:
    """The figure, or a row with the reason why there is none."""
    question, goal = "`handgrad grade` against `otter run`, an equivalent notebook", 100
    try:
        python = _python(bench)
    except BenchmarkFailed as error:
        return [Figure(question, goal, (), str(error))]
    bench.measure(bench.ours)
    exercise = Course.at(bench.courses.ours.root).exercise(ASSIGNMENT)
    otter = Otter(python, bench.folder / "otter", exercise, bench.courses.solved)
    otter.make()
    bench.say("warming up, not counted: otter run")
    otter.grade("warm")
    costs, starts = [], []
    for number in range(1, bench.runs + 1):
        start = otter.start()
        whole = sum((otter.grade(f"s{student}") for student in range(SUBMISSIONS)), Cost(0.0, 0.0)) / SUBMISSIONS
        costs.append(whole - start)
        starts.append(start.wall)
        bench.say(
            f"run {number} of {bench.runs}: otter run: {whole.wall:.2f} s a submission, {start.wall:.2f} s of it start"
        )
    seconds = [cost.wall for cost in costs]
    made_of = (
        f"{median(seconds):.3f} s and {median(bench.ours.wall):.4f} s a submission; "
        f"of processors {median(cost.cpu for cost in costs):.3f} s and {median(bench.ours.cpu):.4f} s; "
        f"not counted: {median(starts):.2f} s in which `otter run` starts each time; otter-grader {otter.versions}"
    )
    return [Figure(question, goal, quotients(seconds, bench.ours.wall), made_of)]


def _python(bench: Bench) -> Path:
    """The Python of an environment that has otter-grader."""
    if bench.otter:
        return Path(os.path.abspath(bench.otter))  # noqa: PTH100 - resolving a link would leave the environment
    bench.say("installing otter-grader into a new environment")
    return install(bench.folder / "otter-environment")


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
