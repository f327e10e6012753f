"""Run a command to its end, and what that cost: wall time, and the processor time of every process it started."""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import children

__all__ = ["BenchmarkFailed", "Cost", "run"]

PR_SET_CHILD_SUBREAPER = 36
ORPHANS_SECONDS = 30.0
"""Seconds in which what a command has left running must end."""


class BenchmarkFailed(Exception):
    """A run did not do its work, so that its time means nothing."""


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and seconds of processors, user and system, over all processes of a command."""

    wall: float
    cpu: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, number: float) -> "Cost":
        return Cost(self.wall / number, self.cpu / number)


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    watch: Callable[[int], None] | None = None,
    every: float = 1.0,
) -> Cost:
    """Run ``command`` in ``folder``.

    Parameters
    ----------
    watch
        Called with the command's process id ``every`` so many seconds while it runs.

    Raises
    ------
    BenchmarkFailed
        It ended with another status than 0, or left processes behind that do not end.
    """
    before = _processor_seconds()
    # a file, not a pipe: a pipe is open until the last of its processes has ended, and the clock would run on
    with _orphans_adopted(command), tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        while watch and process.poll() is None:
            watch(process.pid)
            time.sleep(every)
        status = process.wait()
        wall = time.perf_counter() - begin
        if status:
            said.seek(0)
            words = "\n".join(said.read().splitlines()[-30:])
            raise BenchmarkFailed(f"{' '.join(command)} ended with status {status}:\n{words}")
    return Cost(wall, _processor_seconds() - before)


def _processor_seconds() -> float:
    """Seconds of processors that all children of this process have used which have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _orphans_adopted(command: Sequence[str]) -> Iterator[None]:
    """Be the parent of processes whose own ends in the block, and wait for them: otherwise nobody counts their time."""
    if sys.platform != "linux":
        yield
        return
    before = children(os.getpid())
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
        deadline = time.monotonic() + ORPHANS_SECONDS
        while left := children(os.getpid()) - before:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{' '.join(command)} left processes behind that have not ended: {left}.")
            for pid in left:
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
