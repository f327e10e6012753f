"""The grader's side: sends a notebook to the sandbox, reads what was found there, and makes it a report."""

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from handgrad import __version__
from handgrad.errors import HandgradError, SubmissionError
from handgrad.notebook import untrusted_json
from handgrad.notebook.tidying import execution_count, note_of
from handgrad.own_forward_pass.known_exercise import ExerciseLines
from handgrad.own_forward_pass.notebook_run import TimeLimits
from handgrad.report.records import Report
from handgrad.report.untrusted_report import MOST_CHECKS, text_of, verdict_of
from handgrad.sandbox import child_client
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Death
from handgrad.sandbox.sandbox import Required, Sandbox, enough
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.submission.files_beside import files_beside

__all__ = ["NothingToCheck", "OwnCheck", "numbered"]

SERVICE = "handgrad.own_forward_pass.worker"
TITLE = "your notebook's own forward pass"
LIMITS = Limits(cell_seconds=20.0, submission_seconds=150.0, memory_mb=3072, file_mb=256)
GRACE = 5.0
"""Seconds after which a cell that is still running, although its time is up, is ended from outside."""
JUDGING_SECONDS = 60.0
"""Wall-clock seconds for everything after the last cell."""
MOST_DEATHS = 3
"""Processes that are started again after a cell has ended one."""
MOST_NOTES = 20
"""Notes of a report that are taken from the sandbox."""


class NothingToCheck(SubmissionError):
    """No loss was reached, or no gradient was found; the message says why."""


@dataclass(frozen=True)
class OwnCheck:
    """The check of one notebook against its own forward pass.

    ``exercises`` are those that it may have followed, ``names`` the lecture's list of names, ``data`` more files that
    it opens. ``renames`` has the tensor of each variable whose partner cannot be known. ``limits`` are in seconds of
    the clock.
    """

    path: Path
    notebook: NotebookNode
    exercises: Sequence[ExerciseLines] = ()
    names: bytes = b""
    data: Sequence[Path] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    limits: TimeLimits = field(default_factory=TimeLimits)

    def report(self, process: WarmProcess | None = None, require_isolation: Required = "none") -> Report:
        """Run it, and report; with less isolation than is required nothing is run.

        Raises
        ------
        NothingToCheck
            There is no loss or no gradient in it.
        SandboxError
            The sandbox cannot be started, or isolates less than is required.
        """
        started = time.perf_counter()
        # a student's own notebook runs without isolation too, and the report says so
        with Sandbox([], self.path.parent, LIMITS, trust=True, process=process, service=SERVICE) as sandbox:
            sandbox.wait_until_ready()
            enough(require_isolation, sandbox.isolation)
            found = self._found(sandbox)
            isolation = sandbox.isolation
        if found["why_not"]:
            raise NothingToCheck(" ".join([found["why_not"], *found["notes"]]))
        report = Report(
            found["exercise"] or self.path.stem,
            self.path.stem,
            "graded",
            __version__,
            isolation,
            message=" ".join(filter(None, self._said(found))),
            checks=found["checks"],
            forward_pass="own",
        )
        return replace(report, seconds=time.perf_counter() - started)

    def _said(self, found: Mapping[str, Any]) -> Iterator[str]:
        yield f"Checked against {TITLE}" + (f", which is that of {found['exercise']}." if found["exercise"] else ".")
        yield note_of(self.notebook)
        yield from found["notes"]

    def _found(self, sandbox: Sandbox) -> dict[str, Any]:
        """The findings; a cell that ends the process is left out the next time."""
        died: dict[int, str] = {}
        while True:
            with sandbox.child([]) as child:
                cell, answer = self._ask(child, died)
            if isinstance(answer, dict):
                return answer
            if cell is None or cell in died or len(died) == MOST_DEATHS:
                raise NothingToCheck(_death(cell, answer))
            died[cell] = "TimeLimit" if answer.reason == "timeout" else f"EndedPython ({answer.detail})"

    def _ask(self, child: ChildClient, died: Mapping[int, str]) -> tuple[int | None, dict[str, Any] | Death]:
        """What a child finds, or its death in the cell."""
        cells = numbered(self.notebook)
        request = {
            "cells": [{"number": number, "source": source} for number, source in cells.items()],
            "limits": asdict(self.limits),
            "exercises": [asdict(exercise) for exercise in self.exercises],
            "renames": dict(self.renames),
            "died": dict(died),
        }
        files = [("", self.names), *files_beside(self.path, self.data)]
        child.say({"files": len(files)}, json.dumps(request).encode())
        for name, content in files:
            child.say({"file": name}, content)
        cell: int | None = None
        while True:
            seconds = JUDGING_SECONDS if cell is None else self.limits.cell + GRACE
            heard = child.hear(seconds)
            if isinstance(heard, Death):
                return cell, heard
            header, payload = heard
            if "findings" in header:
                return None, _findings(payload)
            cell = header["cell"] if header.get("cell") in cells else None
            if cell is not None:
                child_client.tell(list(cells).index(cell) + 1, len(cells))


def numbered(notebook: NotebookNode) -> dict[int, str]:
    """The sources of the code cells, by the numbers that Jupyter shows beside them.

    If the notebook was not run from top to bottom, the numbers are the places among the code cells, from 1.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [(execution_count(cell), cell.source) for cell in cells if cell.source.strip()]
    numbers = [count for count, _ in counts if count is not None]
    if len(numbers) == len(counts) and all(first < second for first, second in itertools.pairwise(numbers)):
        return dict(zip(numbers, (source for _, source in counts), strict=True))
    return {number: cell.source for number, cell in enumerate(cells, start=1)}


def _findings(payload: bytes) -> dict[str, Any]:
    """The findings that a child sent: of the types that they must have, and of limited length."""
    try:
        found = untrusted_json.loads(payload)
        return {
            "checks": tuple(map(verdict_of, found["rows"][:MOST_CHECKS])),
            "exercise": text_of(found["exercise"]),
            "why_not": text_of(found["why_not"]),
            "notes": list(map(text_of, found["notes"][:MOST_NOTES])),
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HandgradError("the notebook wrote to the channel of its own check, so there is no report.") from error


def _death(cell: int | None, death: Death) -> str:
    where = f"cell {cell}" if cell else "the comparison of the answers"
    if death.reason == "timeout":
        return f"The check was stopped: {where} did not end in time."
    return f"The check was stopped: {where} ended the whole Python process ({death.detail})."
