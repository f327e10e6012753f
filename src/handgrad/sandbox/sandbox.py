"""The sandbox that this machine and the settings allow: the one place where isolation is decided."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from handgrad.errors import IsolationError
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.fresh_sandbox import FreshSandbox
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import ParameterSet
from handgrad.sandbox.warm_process import WarmProcess, why_no_isolation
from handgrad.sandbox.warm_sandbox import WarmSandbox

__all__ = ["Required", "Sandbox", "enough"]

Required = Literal["none", "partial", "full"]
"""The least isolation with which somebody wants a submission to be run."""


def enough(required: Required, isolation: str) -> None:
    """Raise an :class:`.IsolationError` if ``isolation`` is less than ``required``."""
    levels = ("none", "partial", "full")
    if levels.index(isolation.partition(":")[0]) < levels.index(required):
        raise IsolationError.required(required, isolation)


class Sandbox:
    """Children that run a submission's cells: forks of an isolated warm process, or fresh processes for trusted code.

    A context manager.

    Parameters, attributes and errors are those of :class:`.warm_sandbox.WarmSandbox`, and:

    isolation
        ``none``: as on a machine that offers no isolation.
    trust
        Whether fresh processes without isolation are good enough.
    """

    def __init__(
        self,
        parameter_sets: Sequence[ParameterSet],
        directory: Path,
        limits: Limits,
        *,
        isolation: Literal["best", "none"] = "best",
        trust: bool = False,
        process: WarmProcess | None = None,
        service: str = "",
    ) -> None:
        self._fresh = FreshSandbox(parameter_sets, directory, limits, service=service)
        self._warm = WarmSandbox(parameter_sets, directory, limits, process=process, service=service)
        self._reason = why_no_isolation(isolation)
        self.limits, self._trust = limits, trust
        self.isolation = "none"
        self.printed: Mapping[str, list[list[dict[str, Any]]]] = {}

    def __enter__(self) -> Self:
        if self._reason:
            # the process that was given is closed, though it is not used
            self._warm.close()
            if not self._trust:
                raise IsolationError.because(self._reason)
        self._chosen: WarmSandbox | FreshSandbox = self._fresh if self._reason else self._warm
        self._chosen.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._chosen.close()

    def wait_until_ready(self) -> None:
        """Wait for the locked cells to have run, and set ``isolation`` and ``printed``."""
        try:
            self._chosen.wait_until_ready()
        except IsolationError:
            # the layers were tried and do not hold
            if not self._trust:
                raise
            self._chosen.close()
            self._chosen = self._fresh.__enter__()
            self._chosen.wait_until_ready()
        self.isolation, self.printed = self._chosen.isolation, self._chosen.printed

    def child(self, sources: Sequence[str]) -> ChildClient:
        """A child that has the cells ``sources``."""
        return self._chosen.child(sources)
