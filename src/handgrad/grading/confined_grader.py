"""Grade a notebook against an exercise that is not trusted: neither of them runs in this process.

The exercise's cells and checks run in one child of the sandbox, the submission's cells in others
(:mod:`.confined_worker`). This process passes frames between them, and reads the report as untrusted data.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from handgrad import __version__, errors
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import EXERCISE_FILE
from handgrad.gradients.tensor_bytes import FrameError
from handgrad.grading.settings import GradingSettings
from handgrad.notebook import untrusted_json
from handgrad.report.records import Report
from handgrad.report.untrusted_report import report_of
from handgrad.sandbox import frames
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Death
from handgrad.sandbox.sandbox import Required, Sandbox, enough
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.submission.files_beside import files_beside

__all__ = ["ConfinedGrader"]

SERVICE = "handgrad.grading.confined_worker"
LIMITS = Limits(cell_seconds=20.0, submission_seconds=300.0, memory_mb=3072, file_mb=256)
SECONDS = 300.0
"""Wall-clock seconds for everything."""
MOST_CHILDREN = 64
"""Children for the submission's cells: one for each cell that ends its process, in each pass."""
_NOT_A_REPORT = "the cells of {} sent something else than a report."
_ERRORS: Mapping[str, type[errors.HandgradError]] = {
    kind.__name__: kind for kind in (errors.ExerciseError, errors.SubmissionError, errors.RenameError)
}


@dataclass(frozen=True)
class ConfinedGrader:
    """Grades against one exercise that is not trusted."""

    exercise: Exercise
    """From an ``exercise.json``. Its cells may read the files beside it."""
    seeds: Sequence[int]
    settings: GradingSettings = field(default_factory=GradingSettings)
    renames: Sequence[str] = ()
    """``THEIRS=OURS`` for each name that differs between the notebook and the exercise."""
    require_isolation: Required = "none"
    """The least isolation with which anything is run."""

    def report(self, notebook: NotebookNode, process: WarmProcess | None = None) -> Report:
        """The report on a notebook.

        Raises
        ------
        ExerciseError, SubmissionError, RenameError
            As for a trusted exercise; or the exercise's own process ended.
        SandboxError
            The sandbox cannot be started.
        IsolationError
            There is less isolation than is required.
        """
        started = time.perf_counter()
        folder, isolation, trust = self.exercise.directory, self.settings.isolation, self.settings.trust
        with (
            Sandbox([], folder, LIMITS, isolation=isolation, trust=trust, process=process, service=SERVICE) as sandbox,
            ExitStack() as stack,
        ):
            sandbox.wait_until_ready()
            in_force = sandbox.isolation
            enough(self.require_isolation, in_force)
            grader = stack.enter_context(sandbox.child([]))
            try:
                self._begin(grader, notebook)
                report = self._served(grader, lambda: stack.enter_context(sandbox.child([])))
            except OSError as error:
                raise errors.ExerciseError(_death(self.exercise, Death(None, "crashed"))) from error
        return replace(report, isolation=in_force, seconds=time.perf_counter() - started)

    def _begin(self, grader: ChildClient, notebook: NotebookNode) -> None:
        request = {
            "notebook": nbformat.writes(notebook),
            "renames": list(self.renames),
            "seeds": list(self.seeds),
            "settings": asdict(self.settings),
        }
        file = _file(self.exercise)
        # whatever the file of the exercise is called
        files = [*files_beside(file), (EXERCISE_FILE, file.read_bytes())]
        grader.say({"role": "grader", "files": len(files)}, json.dumps(request).encode())
        for name, content in files:
            grader.say({"file": name}, content)

    def _served(self, grader: ChildClient, start: Callable[[], ChildClient]) -> Report:
        """Pass frames on until the grader's process has a report; ``start`` starts a child for the cells."""
        children: list[ChildClient] = []
        end = time.monotonic() + SECONDS
        while True:
            heard = grader.hear(max(end - time.monotonic(), 0.0))
            if isinstance(heard, Death):
                raise errors.ExerciseError(_death(self.exercise, heard))
            header, payload = heard
            match header:
                case {"report": True}:
                    return self._report(payload)
                case {"error": str(kind)} if kind in _ERRORS:
                    raise _ERRORS[kind](payload.decode("utf-8", "replace")[:4000])
                case {"ask": "open"} if len(children) < MOST_CHILDREN:
                    children.append(start())
                    grader.say({"child": len(children) - 1})
                case {"ask": "close", "child": int(number)} if 0 <= number < len(children):
                    grader.say({"code": children[number].close()})
                case {
                    "ask": "send" | "receive" as what,
                    "child": int(number),
                    "seconds": int() | float() as seconds,
                } if 0 <= number < len(children):
                    deadline = min(time.monotonic() + seconds, end)
                    grader.say(*_passed_on(children[number], what == "send", payload, deadline))
                case _:
                    raise errors.ExerciseError(_NOT_A_REPORT.format(_file(self.exercise)))

    def _report(self, payload: bytes) -> Report:
        try:
            report = report_of(untrusted_json.loads(payload), __version__)
        except ValueError as error:
            raise errors.ExerciseError(_NOT_A_REPORT.format(_file(self.exercise))) from error
        note = f"Graded against {_file(self.exercise)}, which is not one of handgrad's own exercises."
        return replace(report, message=" ".join(filter(None, (note, report.message))))


def _passed_on(child: ChildClient, is_sent: bool, frame: bytes, deadline: float) -> tuple[dict[str, str], bytes]:
    """Pass a frame on to a child, or one of the child back; what became of it."""
    try:
        if is_sent:
            child.send_frame(frame, deadline)
            return {"event": "sent"}, b""
        return {"event": "frame"}, frames.pack(*child.receive_frame(deadline))
    except TimeoutError:
        return {"event": "timeout"}, b""
    except FrameError as error:
        return {"event": "tampered", "detail": str(error)}, b""
    except OSError:
        return {"event": "closed"}, b""


def _file(exercise: Exercise) -> Path:
    return exercise.released_in or exercise.directory / EXERCISE_FILE


def _death(exercise: Exercise, death: Death) -> str:
    if death.reason == "timeout":
        return f"the cells of {_file(exercise)} did not come to an end in {SECONDS:g} seconds."
    return f"the cells of {_file(exercise)} ended their Python process ({death.detail or death.reason})."
