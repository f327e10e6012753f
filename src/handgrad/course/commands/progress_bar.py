"""Show the progress of grading a class: a bar on a terminal, else a line every few seconds."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from handgrad.report.names import shown
from handgrad.report.records import Report
from handgrad.report.wording import out_of

__all__ = ["ProgressBar"]

EVERY = 5.0
"""Seconds between two lines if there is no terminal."""
LONG = 60.0
"""The expected time is printed at the start if it is at least so many seconds."""


class ProgressBar:
    """Shows the progress of grading a class; a context manager.

    It prints to standard error, so that the table of the class can go elsewhere; nothing if it is ``quiet``, and a line
    for ``each`` report if asked for.
    """

    def __init__(self, *, quiet: bool = False, each: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.each = each
        self.counts: Counter[str] = Counter()
        self.total = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[counts]}"),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None, rate="", counts="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, unchanged: int, left: int, seconds: float, again: Mapping[str, int]) -> None:
        """There are ``left`` submissions to grade, which take about ``seconds``; ``unchanged`` ones are skipped.

        ``again`` has how many of them were graded before and are graded again, by the reason.
        """
        self.total = left
        self._printed = time.monotonic()
        if unchanged:
            self.console.print(f"{unchanged} unchanged since they were graded; --force grades them again.")
        for reason, number in again.items():
            many = "1 submission is" if number == 1 else f"{number} submissions are"
            self.console.print(Text(f"{many} graded again: {reason}."), soft_wrap=True)
        if seconds >= LONG:
            self.console.print(f"Running {left} submissions is expected to take {seconds / 60:.0f} minutes.")
        self._bar.update(self._task, description="grading", total=left)

    def take(self, report: Report) -> None:
        """Count one more report."""
        self.counts[report.outcome] += 1
        now = time.monotonic()
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()))
        done = self.counts.total()
        if done == 1:
            # the rate leaves out the time in which the workers start
            self._first = now
        rate = (done - 1) / max(now - self._first, 1e-9)
        self._bar.update(self._task, completed=done, rate=f"{rate:.1f} a second", counts=counts)
        if self.each:
            score = f", {out_of(report.score, report.max_score)}" if report.outcome == "graded" else ""
            text = f"{shown(report.student)}: {report.outcome}{score}, {report.seconds:.2f} s"
            self.console.print(Text(text), soft_wrap=True)
        elif not self.console.is_terminal and now - self._printed >= EVERY and 1 < done < self.total:
            self._printed = now
            left = (self.total - done) / rate
            self.console.print(
                f"{done} of {self.total}, {rate:.1f} a second, {left:.0f} s left: {counts}", soft_wrap=True
            )
