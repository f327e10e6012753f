"""The benchmarks' own arithmetic; what they measure is asserted nowhere."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.courses import NOBODY
from benchmarks.figures import Figure, quotients, spread
from benchmarks.graded_once import GradedOnce
from benchmarks.phases import Stopwatch
from benchmarks.running import BenchmarkFailed, Cost, run
from benchmarks.simulation import Simulated, steady
from benchmarks.writer import Moment
from handgrad.course.nbgrader.notebook_steps import GradebookRow
from handgrad.course.workers.task import WorkerResult
from handgrad.report.records import Report

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
ORPHAN = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-I', '-c', {BUSY!r}])\n"
"""Starts a busy process and does not wait for it."""


def test_a_goal_is_met_by_the_median() -> None:
    """One good run does not meet a goal, and one bad run does not miss it."""
    assert Figure("", 100, (99, 98, 300), "").met is False
    assert Figure("", 100, (101, 102, 3), "").met is True
    assert Figure("", 6, (5, 5.5, 90), "", at_most=True).met is True
    assert Figure("", 6, (), "nothing could be installed").met is None
    assert Figure("", None, (5,), "a phase").met is None


def test_a_figure_says_its_range() -> None:
    """Of several runs the lowest and the highest are told; of one run there is no range."""
    assert spread([3.0, 1.0, 2.0], "{:.1f} s") == "2.0 s (1.0 to 3.0)"
    assert spread([3.0], "{:.1f} s") == "3.0 s"


def test_a_phase_inside_another_is_not_counted_twice() -> None:
    """Processor time belongs to the innermost phase; what belongs to none has a name too."""
    stopwatch = Stopwatch()

    def work() -> None:
        begin = time.process_time()
        while time.process_time() < begin + 0.05:
            pass

    inner = stopwatch.timed(work, "inner")
    with stopwatch.phase("outer"):
        inner()
        inner()
    assert 100 <= stopwatch.spent["inner"] < 120
    assert stopwatch.spent["outer"] < 20


def test_no_quotient_of_noise() -> None:
    """A run in which noise is larger than what is measured gives no figure."""
    assert quotients([4.0, 9.0, -0.2], [2.0, -0.1, 1.0]) == [2.0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to another process than the first")
def test_the_time_of_orphans_counts(tmp_path: Path) -> None:
    """Processor time of a process that outlives the command is counted, and the clock does not wait for it."""
    cost = run([sys.executable, "-I", "-c", ORPHAN], tmp_path, dict(os.environ))
    assert cost.cpu >= 0.3


def test_a_run_that_fails_has_no_cost(tmp_path: Path) -> None:
    """A command that ends with an error is told with its last words."""
    with pytest.raises(BenchmarkFailed, match="status 3:\nno such luck"):
        run([sys.executable, "-I", "-c", "print('no such luck'); exit(3)"], tmp_path, dict(os.environ))


def test_the_start_cancels_out() -> None:
    """What each further submission costs is the difference by the difference."""
    start, each = Cost(5.0, 7.0), Cost(0.25, 0.5)
    few, many = (Cost(start.wall + n * each.wall, start.cpu + n * each.cpu) for n in (20, 220))
    assert (many - few) / 200 == each


def moment(written: int, wall: float, **parts: float) -> Moment:
    """Clocks after so many submissions, of a process that takes half of the wall time."""
    return Moment(written, wall, wall / 2, wall / 4, parts, parts, 1000)


def test_start_and_end_are_no_part_of_a_submission() -> None:
    """While not all workers are busy nothing is measured; a part that had not begun then has taken nothing."""
    busy = [moment(number, 100.0 + 2 * number, store=0.5 * number) for number in range(1, 31)]
    each = steady([moment(0, 0.0), *busy, moment(30, 500.0)], workers=5)
    assert (each.written, each.wall, each.process, each.parts) == (9, 2.0, 1.0, {"store": 0.5})
    assert moment(10, 110.0, late=20.0).each_since(moment(0, 100.0)).parts == {"late": 2.0}
    with pytest.raises(BenchmarkFailed, match="30 submissions are too few for 8 workers"):
        steady([moment(0, 0.0), *busy, moment(30, 500.0)], workers=8)


def test_a_simulated_run_says_what_limits_it() -> None:
    """The speed is a share of that of workers that never wait; the slowest process is named first."""
    run = Simulated(8, 0.04, moment(1, 0.01), {"the scheduler": 0.002, "PostgreSQL": 0.01})
    assert (run.speed, run.share) == (100, 0.5)
    assert run.carried() == "PostgreSQL 100, the command 200, the scheduler 500"


def test_one_result_for_everybody_has_everybodys_name() -> None:
    """Report, notebook and page are the student's own; the page is there if the row is known that it shows."""
    report = Report("backprop", "backprop", "graded", "0.1.0", student=NOBODY)
    once = GradedOnce(WorkerResult(report, f"of {NOBODY}", {"dx": "right"}, None, f"page of {NOBODY}"))
    without, with_page = (once.of("s01", known) for known in (None, GradebookRow({}, {"dx": None})))
    assert (without.report.student, without.notebook, without.page) == ("s01", "of s01", "")
    assert (with_page.page, with_page.row) == ("page of s01", GradebookRow({}, {"dx": "right"}))
