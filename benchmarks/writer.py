"""Grade a course in this process as ``handgrad grade`` does, with simulated workers, and time the parts of the writer.

The parts are timed in processor time of the thread that writes. What the process takes beside that thread is taken by
Dask's client, which has threads of its own.
"""

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.courses import ASSIGNMENT
from benchmarks.graded_once import AtOnce, GradedOnce
from benchmarks.running import BenchmarkFailed
from handgrad.course.commands.grade_class import ClassGrading, grade_class
from handgrad.course.commands.progress_bar import ProgressBar
from handgrad.course.course import Course
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.gradebook import GradebookWriter
from handgrad.course.report_store import ReportStore
from handgrad.course.workers.pool import Pool, cluster
from handgrad.report.records import Report

__all__ = ["Moment"]

PARTS: tuple[tuple[str, type, str], ...] = (
    ("gradebook rows", GradebookWriter, "save"),
    ("autograded folder", Folders, "write_autograded"),
    ("report store", ReportStore, "put"),
    ("page file", Folders, "write_feedback"),
    ("gradebook row for the page", GradebookWriter, "known"),
    ("reading the submission", ClassGrading, "submitted"),
    ("sending the job", Pool, "_submit"),
)
"""What the writer does for a submission, and the functions that do it; none calls another one."""


@dataclass(frozen=True)
class Moment:
    """Clocks, in seconds, after so many submissions.

    Attributes
    ----------
    written
        Number of submissions that were written until then.
    wall, process, thread
        Wall time; processor time of the process, and of the thread that writes.
    parts, waited
        Processor time and wall time of the thread that writes, by part.
    memory
        The largest resident set size of the process until then, in bytes.
    """

    written: int
    wall: float
    process: float
    thread: float
    parts: Mapping[str, float]
    waited: Mapping[str, float]
    memory: int

    @staticmethod
    def read(path: Path) -> "list[Moment]":
        """The moments in a file that this process has written."""
        return [Moment(**moment) for moment in json.loads(path.read_text(encoding="utf-8"))]

    def each_since(self, first: "Moment") -> "Moment":
        """What each submission took since an earlier moment."""
        number = self.written - first.written

        def parts(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
            return {part: (seconds - before.get(part, 0.0)) / number for part, seconds in after.items()}

        return Moment(
            number,
            (self.wall - first.wall) / number,
            (self.process - first.process) / number,
            (self.thread - first.thread) / number,
            parts(self.parts, first.parts),
            parts(self.waited, first.waited),
            self.memory,
        )


class Clock(ProgressBar):
    """Reads the clocks at the start, after every so many submissions, and at the end."""

    def __init__(self, every: int) -> None:
        super().__init__(quiet=True)
        self.moments: list[Moment] = []
        self._every, self._written = every, 0
        self._parts, self._waited = defaultdict[str, float](float), defaultdict[str, float](float)

    def read(self) -> None:
        """Read the clocks."""
        # kilobytes on Linux
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        clocks = time.perf_counter(), time.process_time(), time.thread_time()
        self.moments.append(Moment(self._written, *clocks, dict(self._parts), dict(self._waited), memory))

    def take(self, report: Report) -> None:
        """Count one more submission; one that is not graded has no cost."""
        if report.outcome != "graded" or report.message:
            raise BenchmarkFailed(f"{report.student} is {report.outcome}: {report.message}")
        self._written += 1
        if self._written % self._every == 0:
            self.read()

    @contextmanager
    def on_parts(self) -> Iterator[None]:
        """Add the times of each part inside the block."""
        patches = [patch.object(kind, name, self._timed(part, getattr(kind, name))) for part, kind, name in PARTS]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **more: Any) -> Any:
            wall, thread = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **more)
            finally:
                self._parts[part] += time.thread_time() - thread
                self._waited[part] += time.perf_counter() - wall

        return call


def write(
    course: Course, executor: Executor, *, workers: int | None = None, feedback: bool = False, every: int = 1
) -> list[Moment]:
    """Grade everybody in a course, with the work done by ``executor``; see :class:`Clock`."""
    clock = Clock(every)
    with clock.on_parts():
        clock.read()
        grade_class(course, ASSIGNMENT, workers=workers, executor=executor, feedback=feedback, watch=clock)
        clock.read()
    return clock.moments


def main() -> None:
    """Grade a course, and write the moments to a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--feedback", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workers", type=int, required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--scheduler")
    where.add_argument("--graded", type=Path)
    chosen = parser.parse_args()
    course, options = Course.at(chosen.root), {"feedback": chosen.feedback, "every": chosen.every}
    with cluster(chosen.scheduler) as executor:
        if executor is None:
            at_once = AtOnce(GradedOnce.read(chosen.graded))
            moments = write(course, at_once, workers=chosen.workers, **options)
        else:
            executor._client.wait_for_workers(chosen.workers, timeout=120)  # type: ignore[attr-defined]
            moments = write(course, executor, **options)
    chosen.output.write_text(json.dumps([asdict(moment) for moment in moments]), encoding="utf-8")


if __name__ == "__main__":
    main()
