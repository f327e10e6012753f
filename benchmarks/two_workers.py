"""What two workers gain over one, beside what two plain processes gain on the same machine.

Two processors do not always do twice the work of one: they may share a core, its cache and its clock. So the gain of
two Python processes that only count is measured beside it.
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
    one, two = bench.one_worker, bench.two_workers
    bench.measure(one, two)
    plain = [seconds(1) / seconds(2) for _ in range(bench.runs)]
    shares = [gain / median(plain) for gain in quotients(one.wall, two.wall)]
    made_of = (
        f"{median(one.wall):.4f} s and {median(two.wall):.4f} s a submission; "
        f"two plain processes do {spread(plain)} times the work of one"
    )
    return [Figure("two workers against one, of what two plain processes gain", 0.9, shares, made_of, "{:.2f}")]


def seconds(processes: int) -> float:
    """Seconds in which this many plain processes share a fixed piece of work."""
    begin = time.perf_counter()
    command = [sys.executable, "-I", "-c", COUNT.format(count=LOOPS // processes)]
    started = [subprocess.Popen(command) for _ in range(processes)]
    for process in started:
        process.wait()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
