"""The grader's side of one child: sends it a submission's cells, runs passes over them, and reads the answers."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

import torch

from handgrad.errors import SandboxError
from handgrad.gradients import tensor_bytes
from handgrad.sandbox import frames
from handgrad.sandbox.child_server import pack_json
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Death, PassResult, Run, answers_in, cell_result, plain_run

__all__ = ["ChildClient", "Connection", "Process"]

AT_ONCE = 0.001
"""Seconds to wait for data that may have been received already."""
SLICE = 0.25
"""Seconds to wait at a time; most cells take less, and their time in the run queue is never read."""
MOST_QUEUED = 3.0
"""On a busy machine, the time of a cell is extended by at most this many times."""
MAX_SHOWN = 1 << 25
"""Maximum bytes of outputs kept from one pass (32 MiB)."""


class Connection(Protocol):
    """The grader's end of a child's channel, like a socket: a timeout raises TimeoutError, the end is b""."""

    def settimeout(self, timeout: float | None, /) -> None:
        """Set the seconds that a call may wait."""

    def sendall(self, data: bytes, /) -> None:
        """Send ``data``."""

    def recv(self, size: int, /) -> bytes:
        """The next bytes."""

    def close(self) -> None:
        """Close it."""


class Process(Protocol):
    """The process of one child, however it was started."""

    pid: int

    @property
    def connection(self) -> Connection:
        """Its channel."""

    def end(self) -> tuple[int, float]:
        """Kill it and what it started; its exit code (negative: a signal) and its CPU seconds."""


class ChildClient:
    """One child: the process in which one submission's cells run.

    Parameters
    ----------
    process
        The process, which has run the locked cells.
    sources
        The cells of the submission.
    limits
        The limits of the submission.
    forget
        Called once the child has been ended.
    """

    def __init__(
        self, process: Process, sources: Sequence[str], limits: Limits, forget: Callable[["ChildClient"], object]
    ) -> None:
        self.pid = process.pid
        self.cpu_seconds = 0.0
        self.limits = limits
        self._process, self._connection, self._forget = process, process.connection, forget
        self._reader = frames.FrameReader()
        self._waiting: list[frames.Frame] = []
        self._broken: tensor_bytes.FrameError | None = None
        self._sources: Sequence[str] | None = sources

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
        self._forget(self)
        code, self.cpu_seconds = self._process.end()
        return code

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
                self._send(frames.pack({"cells": len(self._sources)}, pack_json(list(self._sources))), deadline)
                self._sources = None
            self._send(frames.pack({"run": plain_run(run)}), deadline)
            if run.givens:
                assert reference is not None
                self._send(_placing(tuple((name, reference(name)) for name in run.givens)), deadline)
            for index in run.cells:
                deadline = min(end, time.monotonic() + cell_seconds)
                names = run.collect.get(index, ())
                cell = cell_result(self._receive(deadline), index, names, room)
                room = None if room is None else room - cell.shown
                result.cells[index] = cell
                if run.help and names:
                    assert reference is not None
                    self._send(_placing(tuple((name, reference(name)) for name in names)), deadline)
            index = None
            header, payload = self._receive(min(end, time.monotonic() + cell_seconds))
            if header.get("finished") is not True:
                raise tensor_bytes.FrameError("a pass did not end as expected")
            at_stubs = {name: answer for cell in result.cells.values() for name, answer in cell.answers.items()}
            result.at_end = answers_in(header, payload, run.at_end, at_stubs)[0]
        except TimeoutError:
            self.close()
            # if the submission's time is up, it is not the fault of the present cell
            result.death = Death(index if time.monotonic() < end else None, "timeout")
        except tensor_bytes.FrameError as error:
            self.close()
            result.death = Death(index, "tampered", str(error))
        except OSError:
            result.death = _death(index, self.close())
        return result

    def _wait_until_serving(self, deadline: float) -> None:
        try:
            header, _ = self._receive(deadline)
        except ConnectionResetError:
            header = {}
        if header.get("serving") is not True:
            raise SandboxError("a child could not be isolated or limited; nothing was run in it.")

    def _send(self, frame: bytes, deadline: float) -> None:
        self._connection.settimeout(_left(deadline))
        self._connection.sendall(frame)

    def _receive(self, deadline: float) -> frames.Frame:
        latest = deadline + MOST_QUEUED * self.limits.cell_seconds
        queued = self._queued() if deadline - time.monotonic() <= SLICE else None
        while not self._waiting:
            if self._broken:
                raise self._broken
            # data that was received in time counts, even if this process itself had to wait for a processor
            self._connection.settimeout(min(max(deadline - time.monotonic(), AT_ONCE), SLICE))
            try:
                data = self._connection.recv(1 << 18)
            except TimeoutError:
                if queued is None:
                    queued = self._queued()
                if deadline <= time.monotonic():
                    # time in the run queue is not the cell's
                    queued, before = self._queued(), queued
                    deadline = min(max(deadline, time.monotonic()) + queued - before, latest)
                    if deadline <= time.monotonic():
                        raise
                continue
            if not data:
                raise ConnectionResetError
            try:
                self._waiting.extend(self._reader.feed(data))
            except tensor_bytes.FrameError as error:
                # the frames before it are valid
                self._broken = error
        return self._waiting.pop(0)

    def _queued(self) -> float:
        """Seconds that the process has waited for a processor so far; 0 if the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0


def _placing(references: tuple[tuple[str, torch.Tensor], ...]) -> bytes:
    """The frame that sets names to references."""
    packed = [(name, *tensor_bytes.pack_tensor(value)) for name, value in references]
    place = [{"name": name, "size": len(data), **description} for name, description, data in packed]
    return frames.pack({"place": place}, b"".join(data for _, _, data in packed))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _death(index: int | None, code: int | None) -> Death:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return Death(index, "timeout" if name == "SIGXCPU" else "crashed", name)
    return Death(index, "crashed", f"it ended with exit status {code}")
