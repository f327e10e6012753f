"""What the writer of a class asks of its workers.

A worker imports torch; the writer, which only asks, does without: it is smaller, and starts sooner.
"""

from typing import TYPE_CHECKING

from handgrad.course.workers.task import SubmittedFile, Task, WorkerResult

if TYPE_CHECKING:
    from handgrad.course.nbgrader.notebook_steps import GradebookRow
    from handgrad.sandbox.fork_server import ForkServerClient

__all__ = ["begin", "feedback", "grade", "warm_up"]


def begin(asking: "ForkServerClient") -> None:
    """:func:`handgrad.course.workers.worker.begin`."""
    from handgrad.course.workers import worker  # noqa: PLC0415 - see above

    worker.begin(asking)


def warm_up(task: Task) -> None:
    """:func:`handgrad.course.workers.worker.warm_up`."""
    from handgrad.course.workers import worker  # noqa: PLC0415 - see above

    worker.warm_up(task)


def grade(task: Task, handed: SubmittedFile) -> WorkerResult:
    """:func:`handgrad.course.workers.worker.grade`."""
    from handgrad.course.workers import worker  # noqa: PLC0415 - see above

    return worker.grade(task, handed)


def feedback(task: Task, student: str, notebook: str, facts: "GradebookRow | None", solutions: bool = False) -> str:
    """:func:`handgrad.course.workers.worker.feedback`."""
    from handgrad.course.workers import worker  # noqa: PLC0415 - see above

    return worker.feedback(task, student, notebook, facts, solutions)
