"""How much processor time a cold ``handgrad check`` of one notebook takes, against ``python -c "import torch"``.

Cold means a new process each time; the files are in the system's cache for both.
"""

import shutil
import sys
from statistics import median

from benchmarks.courses import ASSIGNMENT, HANDGRAD
from benchmarks.figures import Figure
from benchmarks.running import run
from benchmarks.ways import Bench, alone

SHARE = 1.3
SECONDS = 1.0
TURNS = 3
"""Repetitions in each run of the benchmark: each takes seconds only."""


def figures(bench: Bench) -> list[Figure]:
    """The figure: CPU seconds; its goal depends on those of importing torch."""
    courses = bench.courses
    folder = bench.folder / "student"
    shutil.copytree(courses.ours.root / "release" / ASSIGNMENT, folder)
    (folder / f"{ASSIGNMENT}.ipynb").write_text(courses.solved, encoding="utf-8")

    def timed(*command: str) -> float:
        return run(command, folder, courses.environment).cpu

    torch, check = (sys.executable, "-c", "import torch"), (*HANDGRAD, "check", f"{ASSIGNMENT}.ipynb")
    bench.say("handgrad check, and import torch")
    # the status is 0 with full marks only
    timed(*torch), timed(*check)
    imports, checks = zip(*((timed(*torch), timed(*check)) for _ in range(TURNS * bench.runs)), strict=True)
    goal = SHARE * median(imports) + SECONDS
    made_of = f"`import torch` takes {median(imports):.2f} s; {SHARE} times that and {SECONDS:.0f} s is the goal"
    return [
        Figure("CPU time of `handgrad check` on one notebook, cold", goal, checks, made_of, "{:.2f} s", at_most=True)
    ]


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
