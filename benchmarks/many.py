"""Whether a large class goes as fast at its end as at its start, and in how much memory.

Every second the memory, the descriptors and the temporary files of all processes are looked at. When a submission was
done is the time of its autograded notebook.
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
"""Submissions at the start and at the end that are compared."""
GB = 1e9
GROWTH = 1.05
"""How much more there may be at the end than at the start: what is looked at never stands still."""


@dataclass(frozen=True)
class Sample:
    """What all processes held at one time: bytes of memory, descriptors, temporary files."""

    time: float
    memory: int
    descriptors: int
    files: int


@dataclass
class Watch:
    """Looks at a command's processes while it runs."""

    folders: list[Path]
    samples: list[Sample] = field(default_factory=list)

    def __call__(self, pid: int) -> None:
        """Look once."""
        processes = family(pid)
        memory = sum(map(proportional_memory, processes))
        # what is taken away while it is counted is no fault
        files = sum(len(folders) + len(names) for root in self.folders for _, folders, names in os.walk(root))
        self.samples.append(Sample(time.time(), memory, sum(map(descriptors, processes)), files))

    def between(self, begin: float, end: float) -> list[Sample]:
        """The samples of a stretch of time."""
        return [one for one in self.samples if begin <= one.time <= end]


def figures(bench: Bench) -> list[Figure]:
    """The figures, all from one run."""
    way, count = bench.two_workers, bench.many
    bench.say(f"{count} submissions, two workers")
    way.place.begin_anew(bench.courses.solved, count)
    watch = Watch([bench.courses.temporary, way.place.root / PRIVATE])
    way.place.run(*way.command, watch=watch)
    way.place.check_marks(count, way.name)
    done = sorted((folder / FILE).stat().st_mtime for folder in (way.place.root / "autograded").iterdir())
    first, last = (done[0], done[WINDOW - 1]), (done[-WINDOW], done[-1])
    speeds = [(WINDOW - 1) / (end - begin) for begin, end in (first, last)]
    samples = [watch.between(*first), watch.between(*last)]
    if not all(samples):
        raise BenchmarkFailed(f"{WINDOW} submissions took less than the time between two looks at the processes.")
    memory, open_files, files = (
        [mean(getattr(one, fact) for one in some) for some in samples] for fact in ("memory", "descriptors", "files")
    )
    most = max(one.memory for one in watch.samples)

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
            f"proportional set sizes, added up; looked at {len(watch.samples)} times",
            "{:.2f} GB",
            at_most=True,
        ),
        grown("memory", [one / GB for one in memory], "{:.3f} GB"),
        grown("open descriptors", open_files, "{:.1f}"),
        grown("temporary files", files, "{:.1f}"),
    ]


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
