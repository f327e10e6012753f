"""How many submissions a second a cluster of 2, 8 and 64 workers gets written, and what the writer takes for each.

The scheduler, the command, PostgreSQL and the network between them are real. The workers only sleep as long as a
submission takes in a worker of this machine, and return a result that was graded once: a small machine carries as many
as a large one has.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.courses import PROJECT, Courses
from benchmarks.figures import Figure
from benchmarks.postgresql import BINARIES, server
from benchmarks.processes import processor_seconds
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import Bench, alone
from benchmarks.writer import Moment
from benchmarks.written import Written, graded_once

WORKERS = (2, 8, 64)
SECONDS = 10.0
"""Seconds that a run takes if nothing but the workers limits it."""
MOST = 1500
"""Submissions of a run at most."""
START_SECONDS = 60.0
GOAL = 2.0
"""Milliseconds of processor time that the writer may take for a submission: one writer then carries 500 a second."""
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class Simulated:
    """One run: what each submission took.

    Attributes
    ----------
    workers, seconds
        Number of workers, and seconds that each sleeps for a submission.
    each
        What the writer's process took.
    processors
        Seconds of processor time of the other processes, by their name.
    """

    workers: int
    seconds: float
    each: Moment
    processors: dict[str, float]

    @property
    def speed(self) -> float:
        """Submissions a second."""
        return 1 / self.each.wall

    @property
    def share(self) -> float:
        """The speed as a share of that of workers that never wait."""
        return self.speed * self.seconds / self.workers

    def carried(self) -> str:
        """Submissions a second that each process would carry with a processor for itself, the slowest first."""
        taken = {"the command": self.each.process, **self.processors}
        return ", ".join(f"{name} {1 / taken[name]:.0f}" for name in sorted(taken, key=lambda name: -taken[name]))


def steady(moments: list[Moment], workers: int) -> Moment:
    """What each submission took, without those at the start and at the end, when not all workers are busy."""
    _, *written, _ = moments
    ahead = 2 * workers
    if len(written) <= 2 * ahead:
        raise BenchmarkFailed(f"{len(written)} submissions are too few for {workers} workers.")
    return written[-1 - ahead].each_since(written[ahead])


@contextmanager
def _process(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended at the end of the block."""
    with subprocess.Popen([sys.executable, "-m", *map(str, command)], cwd=PROJECT, **QUIET) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()


def _address(file: Path) -> str:
    """The address that a scheduler writes into a file when it has started."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text(encoding="utf-8")).strip().endswith("}"):
            return str(json.loads(text)["address"])
        time.sleep(0.05)
    raise BenchmarkFailed("Dask's scheduler does not start.")


def simulate(courses: Courses, graded: Path, workers: int, seconds: float, *, feedback: bool) -> Simulated:
    """Write a class with so many workers, each of which sleeps ``seconds`` for a submission."""
    count = max(min(MOST, int(SECONDS * workers / seconds)), 10 * workers)
    with TemporaryDirectory(prefix="simulated-", dir=courses.folder) as name, server(durable=True) as postgres:
        folder = Path(name)
        course = Written(folder / "course", postgres.address(), count)
        course.make(courses)
        file, local = folder / "scheduler.json", ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        with _process("distributed.cli.dask_scheduler", *local, "--scheduler-file", file) as scheduler:
            address = _address(file)
            sleeping = ("benchmarks.simulated_workers", address, str(workers), str(seconds), graded)
            with _process(*sleeping) as worker:
                processes = {"the scheduler": scheduler.pid, "PostgreSQL": postgres.process}
                # all simulated workers are one process here; real ones have a processor each
                before = {name: processor_seconds(pid) for name, pid in processes.items()}
                options = ("--scheduler", address, "--workers", str(workers), *(["--feedback"] if feedback else []))
                moments = course.write(courses, *options)
                if worker.poll() is not None:
                    raise BenchmarkFailed("the simulated workers have ended.")
                taken = {name: (processor_seconds(pid) - before[name]) / count for name, pid in processes.items()}
    return Simulated(workers, seconds, steady(moments, workers), taken)


def figures(bench: Bench) -> list[Figure]:
    """The figures, each from one run."""
    missing = [name for name, found in (("PostgreSQL", BINARIES), ("Dask", find_spec("distributed"))) if not found]
    if missing:
        return [Figure("simulated workers", None, [], f"{' and '.join(missing)} is not installed", "{:.0f} a second")]
    graded = bench.folder / "result.pickle"
    measured = graded_once(bench.courses, graded)
    seconds = bench.seconds or measured
    found = []
    for workers in WORKERS:
        bench.say(f"{workers} simulated workers, {seconds * 1e3:.0f} ms a submission")
        run = simulate(bench.courses, graded, workers, seconds, feedback=False)
        made_of = (
            f"{run.share:.0%} of {workers / seconds:.0f}, with {seconds * 1e3:.0f} ms a submission in a worker; "
            f"a second, each with a processor for itself: {run.carried()}"
        )
        found.append(Figure(f"{workers} simulated workers", None, [run.speed], made_of, "{:.0f} a second"))
    bench.say("the writer, with pages")
    with_pages = simulate(bench.courses, graded, WORKERS[1], seconds, feedback=True)
    writer, made_of = writing(run, with_pages)
    return [*found, Figure("the writer's CPU time a submission", GOAL, [writer], made_of, "{:.2f} ms", at_most=True)]


def writing(run: Simulated, with_pages: Simulated) -> tuple[float, str]:
    """Milliseconds of processor time that the command takes for a submission, and what they are made of."""
    each, pages = run.each, with_pages.each
    parts = dict(each.parts)
    parts["other work of the writer"] = each.thread - sum(parts.values())
    parts["Dask's client, which unpickles the results"] = each.process - each.thread
    listed = ", ".join(f"{part} {parts[part] * 1e3:.2f}" for part in sorted(parts, key=lambda part: -parts[part]))
    only = " and ".join(f"{part} {pages.parts[part] * 1e3:.2f}" for part in pages.parts if part not in each.parts)
    return each.process * 1e3, f"in ms: {listed}; a feedback page takes more: {only}"


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
