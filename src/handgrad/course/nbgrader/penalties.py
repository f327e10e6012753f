"""Late penalties, worked out by nbgrader's configured plugin from the gradebook's dates as they are now."""

from datetime import datetime, timedelta
from types import SimpleNamespace

from nbgrader.preprocessors import AssignLatePenalties
from traitlets.config import Config

from handgrad.course.nbgrader.notebook_steps import LOG
from handgrad.errors import CourseError

__all__ = ["LatePenalties", "lateness"]


def lateness(duedate: datetime | None, handed_in: datetime | None, extension: timedelta | None) -> float:
    """Seconds from the due date, plus a student's extension, to the hand-in; 0.0 if it was in time.

    It was in time if there is no due date, or if nobody knows when it was handed in.
    """
    if duedate is None or handed_in is None:
        return 0.0
    return max(0.0, (handed_in - duedate - (extension or timedelta())).total_seconds())


class LatePenalties:
    """The late penalties of a course: the plugin ``c.AssignLatePenalties.plugin_class`` with its settings."""

    def __init__(self, config: Config) -> None:
        self._step = AssignLatePenalties(config=config, log=LOG)
        self._step.init_plugin()

    def penalty(self, student: str, score: float, seconds: float) -> float | None:
        """Points taken off a ``score`` for being so many seconds late: at least 0, at most the score; None if none are.

        A CourseError if the plugin raises an error, or gives no number.
        """
        if seconds <= 0:
            return None
        try:
            penalty = self._step.plugin_inst.late_submission_penalty(student, score, seconds)
            return (
                None
                if penalty is None
                else float(self._step._check_late_penalty(SimpleNamespace(score=score), penalty))
            )
        # it is the course's own code
        except Exception as error:
            name = type(self._step.plugin_inst).__name__
            raise CourseError(
                f"the course's plugin for late penalties, {name}, fails for {student!r} ({type(error).__name__}: "
                f"{error}): correct it in nbgrader_config.py, or the module that it names."
            ) from error
