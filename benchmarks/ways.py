"""Ways of grading a class, timed as whole processes, each on few and on many submissions: the start cancels out."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console

from benchmarks.courses import ASSIGNMENT, HANDGRAD, NBGRADER, Courses, Place
from benchmarks.figures import Figure
from benchmarks.running import BenchmarkFailed, Cost
from handgrad.errors import HandgradError

__all__ = ["GRADE", "SUBMISSIONS", "Bench", "Way", "alone", "bench_of", "options"]

SUBMISSIONS = 20
"""The class that every way grades."""
GRADE = (*HANDGRAD, "grade", ASSIGNMENT, "--no-feedback")


@dataclass(frozen=True)
class Way:
    """One way of grading a class, and its costs by run: for few submissions, and for many."""

    name: str
    place: Place
    command: tuple[str, ...]
    few: int
    many: int
    costs: list[tuple[Cost, Cost]] = field(default_factory=list)

    def grade(self, solved: str, count: int) -> Cost:
        """Grade ``count`` submissions, and check the marks."""
        self.place.reset(solved, count)
        cost = self.place.run(*self.command)
        self.place.check_marks(count, self.name)
        return cost

    def slopes(self) -> list[Cost]:
        """The cost of each further submission, by run; the start cancels out."""
        return [(many - few) / (self.many - self.few) for few, many in self.costs]

    @property
    def wall(self) -> list[float]:
        """Wall time in seconds of each further submission, by run."""
        return [cost.wall for cost in self.slopes()]

    @property
    def cpu(self) -> list[float]:
        """CPU time in seconds of each further submission, by run."""
        return [cost.cpu for cost in self.slopes()]


@dataclass(frozen=True)
class Bench:
    """Everything that is measured in one go, in ``folder``.

    Attributes
    ----------
    runs
        Number of measurements of everything.
    many
        Submissions of the large class.
    further
        Further submissions for `handgrad grade`: its start is long compared with one submission.
    otter
        The Python of an environment with otter-grader (default: a new one).
    quick
        Whether only what takes minutes is measured, once.
    seconds
        Seconds that a simulated worker takes for a submission (default: as long as a real one).
    """

    folder: Path
    runs: int
    many: int
    further: int
    otter: Path | None
    quick: bool = False
    seconds: float | None = None
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def say(self, text: str) -> None:
        """Print a progress message."""
        self.console.print(text, soft_wrap=True)

    @cached_property
    def courses(self) -> Courses:
        """The courses."""
        self.say("making the courses")
        return Courses(self.folder)

    @cached_property
    def stock(self) -> Way:
        """Stock nbgrader."""
        return Way("stock nbgrader", self.courses.stock, (*NBGRADER, "autograde", ASSIGNMENT), 1, SUBMISSIONS)

    @cached_property
    def configured(self) -> Way:
        """`nbgrader autograde` with handgrad's configuration."""
        return Way("nbgrader with handgrad", self.courses.ours, self.stock.command, 1, SUBMISSIONS)

    @cached_property
    def ours(self) -> Way:
        """`handgrad grade` with one worker for each processor."""
        return Way("handgrad grade", self.courses.ours, GRADE, SUBMISSIONS, SUBMISSIONS + self.further)

    @cached_property
    def one_worker(self) -> Way:
        """`handgrad grade` with one worker."""
        return self._with_workers(1)

    @cached_property
    def two_workers(self) -> Way:
        """`handgrad grade` with two workers."""
        return self._with_workers(2)

    def _with_workers(self, workers: int) -> Way:
        name, command = f"handgrad grade --workers {workers}", (*GRADE, "--workers", str(workers))
        return Way(name, self.courses.ours, command, self.ours.few, self.ours.many)

    def measure(self, *ways: Way) -> None:
        """Time every way that has not been timed, ``runs`` times, in turns."""
        ways = tuple(way for way in ways if not way.costs)
        for way in ways:
            self.say(f"warming up, not counted: {way.name}")
            way.grade(self.courses.solved, way.few)
        for number in range(1, self.runs + 1):
            for way in ways:
                few, many = (way.grade(self.courses.solved, count) for count in (way.few, way.many))
                way.costs.append((few, many))
                self.say(
                    f"run {number} of {self.runs}: {way.name}: {way.few} in {few.wall:.2f} s, {way.many} in "
                    f"{many.wall:.2f} s: {way.wall[-1]:.4f} s for each further one"
                )


def options(about: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--runs", type=_at_least(1), default=3, help="runs of everything; default: %(default)s")
    parser.add_argument(
        "--many", type=_at_least(1000), default=5000, help="size of the large class; default: %(default)s"
    )
    parser.add_argument("--further", type=_at_least(20), default=200, help="further submissions; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="in five minutes: no other grader, no large class")
    parser.add_argument("--seconds", type=float, help="of a simulated worker for a submission; default: measured")
    parser.add_argument("--otter", type=Path, help="Python of an environment with otter-grader; default: a new one")
    return parser


def bench_of(chosen: argparse.Namespace, folder: Path) -> Bench:
    """What the :func:`options` ask for, in ``folder``."""
    runs, further = (1, 40) if chosen.quick else (chosen.runs, chosen.further)
    return Bench(folder, runs, chosen.many, further, chosen.otter, chosen.quick, chosen.seconds)


def alone(about: str, figures: Callable[[Bench], Sequence[Figure]]) -> int:
    """Measure and print the figures of one module; 1 if a run failed."""
    chosen = options(about).parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="handgrad-benchmark-") as folder:
            for figure in figures(bench_of(chosen, Path(folder).resolve())):
                print(" | ".join(figure.row()))
    except (BenchmarkFailed, HandgradError) as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    return 0


def _at_least(least: int) -> Callable[[str], int]:
    """A type for the command line: integers of at least ``least``."""

    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number
