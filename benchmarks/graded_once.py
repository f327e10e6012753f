"""A result that was graded once, given to every student: what is left to be timed is everything but the grading."""

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.courses import NOBODY
from handgrad.course.nbgrader.notebook_steps import GradebookRow
from handgrad.course.workers.task import SubmittedFile, Task, WorkerResult

__all__ = ["AtOnce", "GradedOnce"]


@dataclass(frozen=True)
class GradedOnce:
    """A result of the student ``NOBODY`` that every student gets, with the student's own name in everything."""

    result: WorkerResult

    @classmethod
    def read(cls, path: Path) -> "GradedOnce":
        """The pickled result in a file of this benchmark."""
        return cls(pickle.loads(path.read_bytes()))

    def of(self, student: str, known: GradebookRow | None) -> WorkerResult:
        """The result of ``student``; with a page if the gradebook's row is ``known``."""
        result = self.result
        row = known and known.updated(result.report, result.comments)
        return replace(
            result,
            report=replace(result.report, student=student),
            notebook=result.notebook.replace(NOBODY, student),
            row=row,
            page=result.page.replace(NOBODY, student) if row else "",
        )

    def call(self, function: str, *arguments: Any) -> WorkerResult | None:
        """What a function of :mod:`handgrad.course.workers.worker` gives."""
        match function, arguments:
            case "warm_up", _:
                return None
            case "grade", [Task(), SubmittedFile() as submitted, GradebookRow() | None as known]:
                return self.of(submitted.student, known)
        raise AssertionError(f"{function} is not simulated")


class AtOnce(Executor):
    """Gives each result at once, in this process: what is left to be timed is the writer."""

    def __init__(self, graded: GradedOnce) -> None:
        self._graded = graded

    def submit(self, _: Callable[..., Any], /, module: str, function: str, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        """The result of a job, pickled and unpickled as that of a worker."""
        future = Future[Any]()
        future.set_result(pickle.loads(pickle.dumps(self._graded.call(function, *arguments))))
        return future
