"""The sandbox's side of a confined grading: a process for the exercise, and others for the submission's cells.

An exercise that is not trusted runs here only. The first frame says what a process is for: ``grader`` runs the locked
cells and checks of the exercise, with autograd on, and never a cell of the submission; ``cells`` runs the locked cells
with autograd switched off, and then the submission's. They do not know each other: the trusted process passes their
frames on.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

# all of handgrad that locked cells import: the sandbox shows no folder of a development version
from handgrad import counterexample, data, hint, nudge, progress  # noqa: F401
from handgrad.errors import ExerciseError, HandgradError, SandboxError
from handgrad.exercise.release_file import EXERCISE_FILE, read_released
from handgrad.gradients.tensor_bytes import MAX_PAYLOAD, FrameError
from handgrad.grading.grader import Grader
from handgrad.grading.marking import Policy
from handgrad.grading.settings import GradingSettings
from handgrad.notebook import tidying
from handgrad.sandbox import autograd_off, frames
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.child_server import Server, run_locked
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import ParameterSet
from handgrad.submission.submission import Submission

__all__ = ["serve"]

LOCKED_SECONDS = 120.0
"""Wall-clock seconds for the locked cells, of all passes together."""
Printed = list[list[list[dict[str, Any]]]]
"""The outputs of the locked cells, by parameter set and cell."""
MAX_PASSED_ON = MAX_PAYLOAD + frames.MAX_HEADER + 64
"""Bytes of the largest frame that is passed on inside another."""


def serve(connection: frames.Connection) -> None:
    """Do what the first frame asks for."""
    reader = frames.FrameReader(max_payload=MAX_PASSED_ON)
    (header, payload), files = reader.request(connection)
    request = json.loads(payload)
    if header["role"] == "cells":
        autograd_off.switch_off()
        namespaces, answer, printed = run_locked(".", request)
        connection.sendall(frames.pack(answer, printed))
        Server(connection, namespaces).serve()
        return
    try:
        report = _grade(request, _Sandboxes(reader, connection, files))
        answer = {"report": True}
    except HandgradError as error:
        answer, report = {"error": type(error).__name__}, str(error)
    connection.sendall(frames.pack(answer, report.encode()))


def _grade(request: Mapping[str, Any], sandboxes: "_Sandboxes") -> str:
    """The report of a submission, as JSON."""
    exercise = replace(read_released(Path(EXERCISE_FILE)), released_in=None)
    submission = Submission.of(tidying.parse(request["notebook"]), exercise, request["renames"])
    given = request["settings"]
    given |= {"policy": Policy(**given["policy"]), "limits": Limits(**given["limits"]), "trust": True}
    with Grader(exercise, request["seeds"], GradingSettings(**given), sandbox=sandboxes.sandbox) as grader:
        return json.dumps(grader.grade(submission).report.to_dict())


class _Sandboxes:
    """Asks the trusted process for children, and to pass frames on to them and back."""

    def __init__(self, reader: frames.FrameReader, connection: frames.Connection, files: Mapping[str, bytes]) -> None:
        self.reader, self.connection, self.files = reader, connection, files

    def ask(self, header: Mapping[str, Any], payload: bytes = b"") -> frames.Frame:
        """Send a question, and wait for its answer."""
        self.connection.sendall(frames.pack(dict(header), payload))
        return self.reader.received(self.connection)

    def sandbox(self, parameter_sets: Sequence[ParameterSet], _: Path, limits: Limits, **options: Any) -> "_Sandbox":
        """A sandbox for a grader: its children run where the trusted process has started them."""
        return _Sandbox(self, parameter_sets, limits)


class _Sandbox:
    """The part of :class:`.sandbox.Sandbox` that a grader uses; every child runs the locked cells itself."""

    def __init__(self, sandboxes: _Sandboxes, parameter_sets: Sequence[ParameterSet], limits: Limits) -> None:
        self._sandboxes, self._parameter_sets, self.limits = sandboxes, parameter_sets, limits
        self._running: set[ChildClient] = set()
        self._first: _Child | None = None
        # the trusted process knows it
        self.isolation = "none"
        self.printed: dict[str, list[list[dict[str, Any]]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in list(self._running):
            child.close()

    def wait_until_ready(self) -> None:
        """Run the locked cells of the first child."""
        self._first = self._started()

    def child(self, sources: Sequence[str]) -> ChildClient:
        """A child that has the cells ``sources``."""
        child, self._first = self._first or self._started(), None
        child.take(sources)
        return child

    def _started(self) -> "_Child":
        child = _Child(self._sandboxes, self.limits, self._running)
        printed = child.start(self._parameter_sets, self._sandboxes.files)
        names = (parameters.name for parameters in self._parameter_sets)
        self.printed = dict(zip(names, printed, strict=True))
        return child


class _Child(ChildClient):
    """A child that the trusted process has started."""

    def __init__(self, sandboxes: _Sandboxes, limits: Limits, running: set[ChildClient]) -> None:
        self._ask = sandboxes.ask
        header, _ = self._ask({"ask": "open"})
        self.pid, self.limits = header["child"], limits
        self._number, self._running = header["child"], running
        self._sources = None
        running.add(self)

    def start(self, parameter_sets: Sequence[ParameterSet], files: Mapping[str, bytes]) -> Printed:
        """Let it run the locked cells; their outputs, by parameter set."""
        wanted = json.dumps([vars(parameters) for parameters in parameter_sets]).encode()
        deadline = time.monotonic() + LOCKED_SECONDS
        self._wait_until_serving(deadline)
        self.send_frame(frames.pack({"role": "cells", "files": len(files)}, wanted), deadline)
        for name, content in files.items():
            self.send_frame(frames.pack({"file": name}, content), deadline)
        try:
            answer, printed = self.receive_frame(deadline)
        except (OSError, FrameError) as error:
            raise ExerciseError(f"the exercise's locked cells did not come to an end ({error}).") from error
        if raised := answer["error"]:
            raise ExerciseError(f"locked cell {answer['cell'] + 1} raises {raised['name']}: {raised['message']}")
        outputs: Printed = json.loads(printed)
        return outputs

    def take(self, sources: Sequence[str]) -> None:
        """Give it the submission's cells before its first pass."""
        self._sources = sources

    def close(self) -> int | None:
        """As of any child."""
        if self.pid < 0:
            return None
        self.pid = -1
        self._running.discard(self)
        code = self._ask({"ask": "close", "child": self._number})[0]["code"]
        return code if isinstance(code, int) else None

    def send_frame(self, frame: bytes, deadline: float) -> None:
        self._pass_on("send", deadline, frame)

    def receive_frame(self, deadline: float) -> frames.Frame:
        return self._pass_on("receive", deadline)

    def _pass_on(self, what: str, deadline: float, frame: bytes = b"") -> frames.Frame:
        seconds = deadline - time.monotonic()
        answer, content = self._ask({"ask": what, "child": self._number, "seconds": seconds}, frame)
        match answer.get("event"):
            case "timeout":
                raise TimeoutError
            case "tampered":
                raise FrameError(str(answer.get("detail")))
            case "closed":
                raise ConnectionResetError
            case "frame":
                for received in frames.FrameReader().feed(content):
                    return received
            case "sent":
                return answer, b""
        raise SandboxError("the trusted process gave an unknown answer.")
