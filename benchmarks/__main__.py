"""Measure everything, print the table and write it to benchmarks/results.md."""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import (
    against_nbgrader,
    against_otter,
    cards,
    check,
    commands,
    many,
    mistakes,
    phases,
    processor_time,
    simulation,
    training,
    two_workers,
)
from benchmarks.courses import ASSIGNMENT
from benchmarks.figures import Figure, spread
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import SUBMISSIONS, Bench, bench_of, options
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.errors import HandgradError

EACH = (processor_time, phases, mistakes, training, two_workers, many, simulation, commands, check, cards)
HEAD = ("figure", "goal", "measured", "met", "made of")


def measure(bench: Bench) -> list[Figure]:
    """Every figure, in the order of the table; with ``quick`` those that need no other grader and no large class."""
    if bench.quick:
        quick = (processor_time, phases, mistakes, training, commands, check)
        return [figure for module in quick for figure in module.figures(bench)]
    # ways that are compared take turns
    bench.measure(bench.stock, bench.configured, bench.ours, bench.one_worker, bench.two_workers)
    against_stock, configured = against_nbgrader.figures(bench)
    rest = (figure for module in EACH for figure in module.figures(bench))
    return [against_stock, *against_otter.figures(bench), configured, *rest]


def circumstances(bench: Bench, load: str) -> dict[str, str]:
    """The versions and conditions that the figures depend on."""
    isolation = {report.isolation for report in stored_reports(Course.at(bench.ours.place.root), ASSIGNMENT)}
    return {
        "Python": sys.version.split()[0],
        **{name: version(name) for name in ("torch", "nbgrader", "handgrad")},
        "CPUs": str(os.cpu_count()),
        "load average (1 minute), before and after": f"{load} and {os.getloadavg()[0]:.2f}",
        "isolation of submissions in handgrad": ", ".join(sorted(isolation)),
        "whole, start included": "; ".join(
            f"{way.name}: {way.few} in {spread([few.wall for few, _ in way.costs], '{:.1f} s')}, "
            f"{way.many} in {spread([many.wall for _, many in way.costs], '{:.1f} s')}"
            for way in (bench.stock, bench.configured, bench.ours)
            if way.costs
        ),
    }


def page(figures: Sequence[Figure], facts: Mapping[str, str], command: str, runs: int) -> str:
    """The results as a page."""
    lines = [HEAD, ("---", "---:", "---:", "---", "---"), *(figure.row() for figure in figures)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    around = "\n".join(f"* {name}: {fact}" for name, fact in facts.items())
    return f"""\
# How fast a class is graded

Measured on {datetime.now(UTC).date().isoformat()} by `{command}`, which writes this page. Runs: {runs}. Medians of the
runs, lowest to highest in brackets; the large class is graded once.

{table}

{around}

## What was measured

* Every submission is the worked solution of `{ASSIGNMENT}`, with a last cell that holds the student's name: no two are
  the same. After every run every student must have full marks in the gradebook and an autograded notebook, or no page
  is written. Isolation, the step pass and outputs are on; feedback pages are not written, as by
  the others.
* *A submission* is the time of each further one, (many - few) / (how many more): the start cancels out. Stock
  nbgrader and nbgrader with our config grade 1 and {SUBMISSIONS}; handgrad grades {SUBMISSIONS} and more, since its
  start is long compared with one submission.
* *stock `nbgrader autograde`*: nbgrader's defaults (and a longer timeout). The notebook runs once, in a new Jupyter
  kernel for each submission. *With our config*: this project's `nbgrader_config.py`; the notebook runs in a child
  process, isolated, twice: with its own data, and step by step. (If a step is not right it runs twice more.)
* *`otter run`*: the same forward pass and solution cells, with 26 `grader.check`, in a separate environment, without
  its container; full marks are required too. Its start is measured separately and subtracted.
* *CPU time* is user and system time of the whole tree of processes. Its *floor*: one warm process calls
  `exec` on the student's cells in three passes; no isolation, no files, no comparison, no report.
* *Two plain processes* only count; their gain over one is measured too.
* Ways that are compared take turns, after one run of each that is not counted.
* *One mistake*: the known mistakes that change one cell take turns; *half wrong*: every second answer. CPU time of all
  processes for each further submission.
* *Phases* are those of one worker that renders the feedback page too; the processor time of the sandbox's processes is
  read from the system, in hundredths of a second over all submissions.
* *Commands* are timed as whole processes, from their start to their end, in a class of right submissions.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the page; 1 if a run failed."""
    parser = options(__doc__ or "")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("results.md"), help="default: %(default)s"
    )
    chosen = parser.parse_args(arguments)
    load = f"{os.getloadavg()[0]:.2f}"
    try:
        with tempfile.TemporaryDirectory(prefix="handgrad-benchmark-") as folder:
            bench = bench_of(chosen, Path(folder).resolve())
            figures = measure(bench)
            facts = circumstances(bench, load)
    except (BenchmarkFailed, HandgradError) as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    quick = " --quick" if chosen.quick else ""
    command = f"python -m benchmarks{quick} --runs {bench.runs} --many {bench.many} --further {bench.further}"
    write_text(chosen.output, page(figures, facts, command, bench.runs))
    shown = Table(*HEAD)
    for figure in figures:
        shown.add_row(*(text.replace("**", "") for text in figure.row()))
    console = Console()
    console.print(shown)
    for name, fact in facts.items():
        console.print(f"{name}: {fact}", highlight=False)
    print(f"The page is {chosen.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
