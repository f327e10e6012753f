"""How far the grading of a class is: a bar on a terminal, a line every few seconds anywhere else."""

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handgrad.report.records import Report

__all__ = ["Watch"]

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


class Watch:
    """Told of every report as it is done; a context manager.

    Parameters
    ----------
    console
        Where it shows how far things are; standard error, so that the table of the class can go elsewhere.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
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
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None, rate="", counts="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, unchanged: int, left: int) -> None:
        """What is to be done: ``left`` submissions; ``unchanged`` ones are as they were."""
        self.total = left
        self._said = time.monotonic()
        if unchanged:
            self.console.print(f"{unchanged} unchanged since they were graded; --force grades them again.")
        self._bar.update(self._task, description="grading", total=left)

    def take(self, report: Report) -> None:
        """One more is done."""
        self.counts[report.outcome] += 1
        now = time.monotonic()
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()))
        done = self.counts.total()
        if done == 1:
            # before the first one the workers get ready
            self._first = now
        rate = (done - 1) / max(now - self._first, 1e-9)
        self._bar.update(self._task, completed=done, rate=f"{rate:.1f} a second", counts=counts)
        if not self.console.is_terminal and now - self._said >= EVERY and 1 < done < self.total:
            self._said = now
            left = (self.total - done) / rate
            self.console.print(
                f"{done} of {self.total}, {rate:.1f} a second, {left:.0f} s left: {counts}", soft_wrap=True
            )
