"""How many times as fast as stock nbgrader ``handgrad grade`` is, and nbgrader itself with our configuration.

The same worked solutions, gradebook and autograded notebooks included. Stock nbgrader runs a notebook once, in a
new Jupyter kernel for each submission; handgrad runs it twice, isolated.
"""

import sys
from statistics import median

from benchmarks.figures import Figure, quotients
from benchmarks.ways import Bench, Way, alone


def figures(bench: Bench) -> list[Figure]:
    """The two figures; seconds for each further submission, without the start."""
    stock, configured, ours = bench.stock, bench.configured, bench.ours
    bench.measure(stock, configured, ours)
    return [
        _times("`handgrad grade` against stock `nbgrader autograde`", 100, stock, ours),
        _times("`nbgrader autograde` with our config against stock", 7, stock, configured),
    ]


def _times(question: str, goal: float, slow: Way, fast: Way) -> Figure:
    made_of = (
        f"{median(slow.wall):.3f} s and {median(fast.wall):.4f} s a submission; "
        f"of processors {median(slow.cpu):.3f} s and {median(fast.cpu):.4f} s"
    )
    return Figure(question, goal, quotients(slow.wall, fast.wall), made_of)


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
