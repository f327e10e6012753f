"""The grader's side of one child: sends it a submission's cells, runs passes over them, and reads the answers."""

import json
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from handgrad.errors import ExerciseError, SandboxError
from handgrad.gradients import tensor_bytes
from handgrad.sandbox import frames
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Death, ParameterSet, PassResult, Run, answers_in, cell_result
from handgrad.sandbox.warm_process import PRELOAD

__all__ = ["START_SECONDS", "ChildClient", "Children", "Connection", "Process", "tell", "watch"]

START_SECONDS = 300.0
"""Seconds that the locked cells may take."""

AT_ONCE = 0.001
"""Seconds to wait for data that may have been received already."""
SLICE = 0.25
"""Seconds to wait at a time; most cells take less, and their time in the run queue is never read."""
LATE = 4
"""Pieces of at most 256 KiB that are read after the deadline: what a buffer holds. More was not sent in time."""
MOST_QUEUED = 3.0
"""On a busy machine, the time of a cell is extended by at most this many times."""
MAX_SHOWN = 1 << 25
"""Maximum bytes of outputs kept from one pass (32 MiB)."""


class Connection(frames.Connection, Protocol):
    """The grader's end of a child's channel."""

    def settimeout(self, timeout: float | None, /) -> None:
        """Set the seconds that a call may wait, after which it raises TimeoutError."""

    def close(self) -> None:
        """Close it."""


class Process(Protocol):
    """The process of one child, however it was started."""

    pid: int

    @property
    def connection(self) -> Connection:
        """Its channel."""

    def end(self) -> int:
        """Kill it and what it started; its exit code (negative: a signal)."""


_watchers: list[Callable[[int, int], None]] = []


def watch(watcher: Callable[[int, int], None]) -> None:
    """Let ``watcher`` be told of each cell that begins: its place in the run, and how many there are."""
    _watchers[:] = [watcher]


def tell(place: int, number: int) -> None:
    """Tell who watches that a cell begins."""
    for watcher in _watchers:
        watcher(place, number)


class ChildClient:
    """One child: a process that has run the locked cells, and in which the cells ``sources`` of one submission run.

    It is one of ``running``, the children of its sandbox, until it is closed.
    """

    def __init__(self, process: Process, sources: Sequence[str], limits: Limits, running: "set[ChildClient]") -> None:
        self.pid = process.pid
        self.limits = limits
        self._process, self._connection, self._running = process, process.connection, running
        self._reader = frames.FrameReader()
        self._sources: Sequence[str] | None = sources
        running.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int | None:
        """End the process and what it started; its exit code the first time, then None."""
        if self.pid < 0:
            return None
        self.pid = -1
        self._connection.close()
        self._running.discard(self)
        return self._process.end()

    def run(
        self,
        run: Run,
        reference: Callable[[str], torch.Tensor] | None = None,
        seconds: float | None = None,
    ) -> PassResult:
        """Run one pass; its results until its end, or until the child's death.

        Parameters
        ----------
        run
            The pass. ``reference(name)`` is the value of each name in ``run.givens``; with ``run.help`` it also
            replaces each answer.
        seconds
            Wall-clock seconds left for the submission (default: those of the limits).
        """
        cell_seconds = run.seconds or self.limits.cell_seconds
        end = time.monotonic() + (self.limits.submission_seconds if seconds is None else seconds)
        result = PassResult()
        index: int | None = None
        room = MAX_SHOWN if run.outputs else None
        try:
            deadline = min(end, time.monotonic() + cell_seconds)
            if self._sources is not None:
                self._wait_until_serving(deadline)
                sources = json.dumps(list(self._sources)).encode()
                self.send_frame(frames.pack({"cells": len(self._sources)}, sources), deadline)
                self._sources = None
            self.send_frame(frames.pack({"run": vars(run)}), deadline)
            if run.givens:
                assert reference is not None
                self.send_frame(_placing(run.givens, reference), deadline)
            for number, index in enumerate(run.cells, start=1):
                tell(number, len(run.cells))
                deadline = min(end, time.monotonic() + cell_seconds)
                names = run.collect.get(index, ())
                cell = cell_result(self.receive_frame(deadline), index, names, room)
                room = None if room is None else room - cell.shown
                result.cells[index] = cell
                if run.help and names:
                    assert reference is not None
                    self.send_frame(_placing(names, reference), deadline)
            index = None
            header, payload = self.receive_frame(min(end, time.monotonic() + cell_seconds))
            if header.get("finished") is not True:
                raise tensor_bytes.FrameError("a pass did not end as expected")
            at_stubs = {name: answer for cell in result.cells.values() for name, answer in cell.answers.items()}
            result.at_end = answers_in(header, payload, run.at_end, at_stubs)[0]
        except (tensor_bytes.FrameError, OSError) as error:
            result.death = self._death(error, index)
            if isinstance(error, TimeoutError) and time.monotonic() >= end:
                # the submission's time is up: it is not the fault of the present cell
                result.death = replace(result.death, index=None)
        return result

    def say(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send a frame to a service; the first time, wait until it serves."""
        deadline = time.monotonic() + self.limits.cell_seconds
        if self._sources is not None:
            self._wait_until_serving(deadline)
            self._sources = None
        self.send_frame(frames.pack(dict(header), payload), deadline)

    def hear(self, seconds: float) -> frames.Frame | Death:
        """The next frame of a service within so many seconds; its death if there is none."""
        try:
            return self.receive_frame(time.monotonic() + seconds)
        except (tensor_bytes.FrameError, OSError) as error:
            return self._death(error)

    def _death(self, error: Exception, index: int | None = None) -> Death:
        """End the process, which was running the cell ``index``; why, from the error that showed it."""
        code = self.close()
        if isinstance(error, TimeoutError):
            return Death(index, "timeout")
        if isinstance(error, tensor_bytes.FrameError):
            return Death(index, "tampered", str(error))
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return Death(index, "timeout" if name == "SIGXCPU" else "crashed", name)
        return Death(index, "crashed", f"it ended with exit status {code}")

    def _wait_until_serving(self, deadline: float) -> None:
        try:
            header, _ = self.receive_frame(deadline)
        except ConnectionResetError:
            header = {}
        if header.get("serving") is not True:
            raise SandboxError("a child could not be isolated or limited; nothing was run in it.")

    def send_frame(self, frame: bytes, deadline: float) -> None:
        """Send a packed frame; an OSError if the child has ended, a TimeoutError at the ``deadline``."""
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        self._connection.sendall(frame)

    def receive_frame(self, deadline: float) -> frames.Frame:
        """The next frame; errors are those of :meth:`send_frame`, and a :class:`.FrameError` if it is none."""
        latest = deadline + MOST_QUEUED * self.limits.cell_seconds
        queued = self._queued() if deadline - time.monotonic() <= SLICE else None
        data = b""
        late = 0
        while (frame := next(self._reader.feed(data), None)) is None:
            if queued is None and (data or late):
                # not for a frame that comes at once: most do
                queued = self._queued()
            # data that was received in time counts, even if this process itself had to wait for a processor
            self._connection.settimeout(min(max(deadline - time.monotonic(), AT_ONCE), SLICE))
            try:
                data = self._connection.recv(1 << 18)
            except TimeoutError:
                data, late = b"", LATE
            else:
                if not data:
                    raise ConnectionResetError
                late = late + 1 if deadline <= time.monotonic() else 0
            if late >= LATE and deadline <= time.monotonic():
                # time in the run queue is not the cell's; on one processor with the cell, this process itself makes it
                # wait a little each time that it looks, so the deadline moves by that time only
                before, queued = queued, self._queued()
                deadline = min(deadline + queued - (queued if before is None else before), latest)
                if deadline <= time.monotonic():
                    raise TimeoutError
        return frame

    def _queued(self) -> float:
        """Seconds that the process has waited for a processor so far; 0 if the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0


class Children:
    """The children of one sandbox, and what they start from; a context manager.

    Parameters
    ----------
    parameter_sets
        The parameter sets, each with its locked cells.
    directory
        Where the locked cells run.
    limits
        Limits of one submission.
    preload
        Modules imported before the locked cells run.
    service
        The module whose function ``serve`` serves a child (default: :class:`.child_server.Server`, without autograd).

    Attributes
    ----------
    isolation
        What separates a child from the machine: ``full``, ``partial: `` and what is missing, or ``none``.
    printed
        The outputs of the locked cells, by parameter set and cell; set by ``wait_until_ready``.
    """

    isolation = "none"

    def __init__(
        self,
        parameter_sets: Sequence[ParameterSet],
        directory: Path,
        limits: Limits | None = None,
        preload: Sequence[str] = PRELOAD,
        service: str = "",
    ) -> None:
        self.parameter_sets, self.directory, self.preload = parameter_sets, directory, preload
        self.service = service
        self.limits = limits or Limits()
        self.printed: dict[str, list[list[dict[str, Any]]]] = {}
        self._running: set[ChildClient] = set()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the children that are left; closing twice is allowed."""
        for child in list(self._running):
            with suppress(SandboxError):
                child.close()

    def _start_order(self) -> bytes:
        """The order to run the locked cells."""
        header = {
            "command": "start",
            "directory": str(self.directory.resolve()),
            "limits": asdict(self.limits),
            "preload": list(self.preload),
            "service": self.service,
        }
        return frames.pack(header, json.dumps([vars(parameters) for parameters in self.parameter_sets]).encode())

    def _printed(self, answer: Mapping[str, Any], payload: bytes) -> dict[str, list[list[dict[str, Any]]]]:
        """The outputs of the locked cells from a process's answer; an :class:`ExerciseError` if one of them raised."""
        if error := answer["error"]:
            raise ExerciseError(
                f"locked cell {answer['cell'] + 1} in {self.directory} raises {error['name']} when the sandbox runs "
                f"it ({answer['parameter_set']} parameters): {error['message']} Run the notebook in Jupyter and fix it."
            )
        names = (parameters.name for parameters in self.parameter_sets)
        return dict(zip(names, json.loads(payload), strict=True))


def _placing(names: Iterable[str], reference: Callable[[str], torch.Tensor]) -> bytes:
    """The frame that sets ``names`` to their references."""
    packed = [(name, *tensor_bytes.pack_tensor(reference(name))) for name in names]
    place = [{"name": name, "size": len(data), **description} for name, description, data in packed]
    return frames.pack({"place": place}, b"".join(data for _, _, data in packed))
