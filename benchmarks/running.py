"""Run a command and measure its cost: wall time, and the CPU time of every process that it started."""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import children

__all__ = ["BenchmarkFailed", "Cost", "run"]

PR_SET_CHILD_SUBREAPER = 36
ORPHANS_SECONDS = 30.0
"""Seconds in which processes left by a command must end."""


class BenchmarkFailed(Exception):
    """A run failed, so that its time is meaningless."""


@dataclass(frozen=True)
class Cost:
    """Wall time and CPU time (user and system, all processes) of a command, in seconds."""

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
    expected: Container[int] = (0,),
) -> Cost:
    """Run ``command`` in ``folder``.

    Parameters
    ----------
    watch
        Called with the command's process id every ``every`` seconds while it runs.
    expected
        Its exit statuses that are no failure.

    Raises
    ------
    BenchmarkFailed
        It ended with another status, or left processes that do not end.
    """
    before = _processor_seconds()
    # a file, not a pipe: reading a pipe would wait for the last of its processes
    with _orphans_adopted(command), tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while watch and process.poll() is None:
            watch(process.pid)
            time.sleep(every)
        status = process.wait()
        wall = time.perf_counter() - begin
        if status not in expected:
            output.seek(0)
            words = "\n".join(output.read().splitlines()[-30:])
            raise BenchmarkFailed(f"{' '.join(command)} ended with status {status}:\n{words}")
    return Cost(wall, _processor_seconds() - before)


def _processor_seconds() -> float:
    """CPU seconds of all children of this process that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _orphans_adopted(command: Sequence[str]) -> Iterator[None]:
    """Adopt processes whose parent ends in the block, and wait for them, so that their time is counted."""
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
                raise BenchmarkFailed(f"{' '.join(command)} left processes that have not ended: {left}.")
            for pid in left:
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
