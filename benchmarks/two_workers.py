"""How much two workers gain over one, compared with two plain processes on the same machine.

Two processors do not always do twice the work of one: they may share a core, its cache and its clock. So the gain of
two Python processes that only count is measured too.
"""

import subprocess
import sys
import time
from statistics import median

from benchmarks.figures import Figure, quotients, spread
from benchmarks.ways import Bench, alone

COUNT = "for _ in range({count}): pass"
LOOPS = 200_000_000


def figures(bench: Bench) -> list[Figure]:
    """The figure."""
    single, double = bench.one_worker, bench.two_workers
    bench.measure(single, double)
    plain = [seconds(1) / seconds(2) for _ in range(bench.runs)]
    shares = [gain / median(plain) for gain in quotients(single.wall, double.wall)]
    made_of = (
        f"{median(single.wall):.4f} s and {median(double.wall):.4f} s a submission; "
        f"two plain processes do {spread(plain)} times the work of one"
    )
    return [Figure("two workers against one, of what two plain processes gain", 0.92, shares, made_of, "{:.2f}")]


def seconds(processes: int) -> float:
    """Wall time in seconds of a fixed piece of work, shared by so many plain processes."""
    begin = time.perf_counter()
    command = [sys.executable, "-I", "-c", COUNT.format(count=LOOPS // processes)]
    started = [subprocess.Popen(command) for _ in range(processes)]
    for process in started:
        process.wait()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
