"""The benchmarks' own arithmetic; what they measure is asserted nowhere."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.figures import Figure, quotients, spread
from benchmarks.phases import Stopwatch
from benchmarks.running import BenchmarkFailed, Cost, run

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
