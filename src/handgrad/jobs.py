"""What the writer of a class asks of its workers.

A worker imports torch; the writer, which only asks, does without: it is smaller, and starts sooner.
"""

from typing import TYPE_CHECKING

from handgrad.tasks import Handed, Marked, Task

if TYPE_CHECKING:
    from handgrad.nbgrader.pages import Facts
    from handgrad.sandbox.stem import Asking

__all__ = ["begin", "feedback", "grade", "warm_up"]


def begin(asking: "Asking") -> None:
    """:func:`handgrad.worker.begin`."""
    from handgrad import worker  # noqa: PLC0415 - see above

    worker.begin(asking)


def warm_up(task: Task) -> None:
    """:func:`handgrad.worker.warm_up`."""
    from handgrad import worker  # noqa: PLC0415 - see above

    worker.warm_up(task)


def grade(task: Task, handed: Handed) -> Marked:
    """:func:`handgrad.worker.grade`."""
    from handgrad import worker  # noqa: PLC0415 - see above

    return worker.grade(task, handed)


def feedback(task: Task, student: str, notebook: str, facts: "Facts | None", solutions: bool = False) -> str:
    """:func:`handgrad.worker.feedback`."""
    from handgrad import worker  # noqa: PLC0415 - see above

    return worker.feedback(task, student, notebook, facts, solutions)
