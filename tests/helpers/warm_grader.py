"""Graders whose warm processes come from one fork server, as those of a course's workers do: torch is imported once."""

from collections.abc import Sequence
from multiprocessing.util import Finalize

from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.sandbox.fork_server import ForkServer, ForkServerClient, warm_process
from handgrad.sandbox.warm_process import WarmProcess, why_no_isolation


class OnDemand(ForkServerClient):
    """The way to a fork server that is started for the first who asks, where submissions can be isolated at all."""

    def __init__(self) -> None:
        self._client: ForkServerClient | None = None

    def warm(self) -> WarmProcess | None:
        """A warm process; None where each grader has to start its own."""
        if why_no_isolation():
            return None
        if self._client is None:
            server = ForkServer()
            self._client = server.client
            # after the workers of this process, which close their graders with priority 10
            Finalize(None, server.close, exitpriority=0)
        return self._client.warm()


def warm_grader(exercise: Exercise, seeds: Sequence[int], settings: GradingSettings | None = None) -> Grader:
    """A grader of the exercise, to be entered; with a warm process of the fork server if its settings isolate."""
    settings = settings or GradingSettings()
    process = None if why_no_isolation(settings.isolation) else warm_process()
    return Grader(exercise, seeds, settings, process)
