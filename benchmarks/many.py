"""Whether grading a large class keeps its speed to the end, and how much memory it takes.

Memory, descriptors and temporary files of all processes are sampled every second. The time of a submission is that of
its autograded notebook.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from benchmarks.courses import FILE
from benchmarks.figures import Figure
from benchmarks.processes import descriptors, family, proportional_memory
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import Bench, alone
from handgrad.course.course import PRIVATE

WINDOW = 500
"""Number of submissions at the start and at the end that are compared."""
GB = 1e9
GROWTH = 1.05
"""Largest ratio of a mean at the end to that at the start: samples fluctuate."""


@dataclass(frozen=True)
class Sample:
    """Resources of all processes at one time: bytes of memory, descriptors, temporary files."""

    time: float
    memory: int
    descriptors: int
    files: int


@dataclass
class Watch:
    """Samples a command's processes while it runs."""

    folders: list[Path]
    samples: list[Sample] = field(default_factory=list)

    def __call__(self, pid: int) -> None:
        """Take one sample."""
        processes = family(pid)
        memory = sum(map(proportional_memory, processes))
        # folders that are deleted meanwhile are ignored
        files = sum(len(folders) + len(names) for root in self.folders for _, folders, names in os.walk(root))
        self.samples.append(Sample(time.time(), memory, sum(map(descriptors, processes)), files))

    def between(self, begin: float, end: float) -> list[Sample]:
        """The samples in an interval."""
        return [sample for sample in self.samples if begin <= sample.time <= end]


def figures(bench: Bench) -> list[Figure]:
    """The figures, all from one run."""
    way, count = bench.two_workers, bench.many
    bench.say(f"{count} submissions, two workers")
    way.place.reset(bench.courses.solved, count)
    watch = Watch([bench.courses.temporary, way.place.root / PRIVATE])
    way.place.run(*way.command, watch=watch)
    way.place.check_marks(count, way.name)
    done = sorted((folder / FILE).stat().st_mtime for folder in (way.place.root / "autograded").iterdir())
    first, last = (done[0], done[WINDOW - 1]), (done[-WINDOW], done[-1])
    speeds = [(WINDOW - 1) / (end - begin) for begin, end in (first, last)]
    samples = [watch.between(*first), watch.between(*last)]
    if not all(samples):
        raise BenchmarkFailed(f"{WINDOW} submissions took less than the time between two samples.")
    memory, open_files, files = (
        [mean(getattr(sample, fact) for sample in window) for window in samples]
        for fact in ("memory", "descriptors", "files")
    )
    most = max(sample.memory for sample in watch.samples)

    def grown(what: str, values: Sequence[float], form: str) -> Figure:
        made_of = f"{form.format(values[0])} in the first {WINDOW}, {form.format(values[1])} in the last"
        share = values[1] / values[0]
        return Figure(f"{count} submissions: {what}, last {WINDOW} of first", GROWTH, [share], made_of, "{:.3f}", True)

    return [
        Figure(
            f"{count} submissions: submissions per second, last {WINDOW} of first",
            0.9,
            [speeds[1] / speeds[0]],
            f"{speeds[0]:.1f} a second in the first {WINDOW}, {speeds[1]:.1f} in the last",
            "{:.3f}",
        ),
        Figure(
            f"{count} submissions: memory of all processes, at its highest",
            1.0,
            [most / GB],
            f"sum of proportional set sizes; {len(watch.samples)} samples",
            "{:.2f} GB",
            at_most=True,
        ),
        grown("memory", [size / GB for size in memory], "{:.3f} GB"),
        grown("open descriptors", open_files, "{:.1f}"),
        grown("temporary files", files, "{:.1f}"),
    ]


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
