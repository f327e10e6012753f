"""The grader's side of a zygote: starts it, lets it fork children, and ends them."""

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from handgrad.errors import IsolationError, SandboxError
from handgrad.gradients import tensor_bytes
from handgrad.sandbox import frames
from handgrad.sandbox.child_client import START_SECONDS, ChildClient, Children
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import ParameterSet
from handgrad.sandbox.warm_process import PRELOAD, StartedProcess, WarmProcess, last_words

__all__ = ["WarmSandbox"]


class WarmSandbox(Children):
    """A warm process that has run the locked cells, and the children forked from it.

    The process starts on entry and is gone, children included, on exit. The locked cells may read the files of
    ``directory``, children may not. ``isolation`` is tested once the process is ready.

    Parameters
    ----------
    parameter_sets, directory, limits, preload, service
        As for :class:`.child_client.Children`.
    process
        A warm process that runs already, with modules of its own; the sandbox ends it (default: one is started).

    Raises
    ------
    SandboxError
        The warm process could not be started, or ended; never the student's fault.
    IsolationError
        Its children are not isolated.
    ExerciseError
        A locked cell raised.
    """

    def __init__(
        self,
        parameter_sets: Sequence[ParameterSet],
        directory: Path,
        limits: Limits | None = None,
        preload: Sequence[str] = PRELOAD,
        *,
        process: WarmProcess | None = None,
        service: str = "",
    ) -> None:
        super().__init__(parameter_sets, directory, limits, preload, service)
        self._process = process

    def __enter__(self) -> Self:
        if self._process is None:
            self._process = StartedProcess(self.preload)
        self._control = self._process.control
        self._reader = frames.FrameReader(max_payload=1 << 30)
        self._received: list[int] = []
        self._ready = False
        try:
            self._send(self._start_order())
            self._process.has_orders = True
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the children that are left and the warm process; closing twice is allowed."""
        super().close()
        if self._process is not None:
            self._process.close()

    def wait_until_ready(self) -> None:
        """Wait until the locked cells have run, and set ``printed`` and ``isolation``."""
        if self._ready:
            return
        answer, payload = self._receive(START_SECONDS)
        self.printed = self._printed(answer, payload)
        self.isolation = answer["isolation"]
        if self.isolation == "none":
            raise IsolationError.because(answer["reason"])
        self._ready = True

    def _send(self, frame: bytes, descriptor: int | None = None) -> None:
        try:
            self._control.settimeout(START_SECONDS)
            if descriptor is None:
                self._control.sendall(frame)
            else:
                socket.send_fds(self._control, [frame], [descriptor])
        except OSError as error:
            raise SandboxError(f"the warm process takes no orders ({error}). {self._last_words()}") from error

    def _receive(self, timeout: float) -> frames.Frame:
        try:
            self._control.settimeout(timeout)
            frame = self._reader.next_frame(self._receive_bytes)
        except (OSError, tensor_bytes.FrameError) as error:
            raise SandboxError(f"the warm process does not answer ({error}). {self._last_words()}") from error
        if frame is None:
            raise SandboxError(f"the warm process ended. {self._last_words()}")
        return frame

    def _receive_bytes(self) -> bytes:
        data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
        self._received += descriptors
        return data

    def _ask(self, header: dict[str, Any], descriptor: int | None = None) -> dict[str, Any]:
        self.wait_until_ready()
        self._send(frames.pack(header), descriptor)
        return self._receive(60.0)[0]

    def _last_words(self) -> str:
        return last_words(self._process.log) if self._process else ""

    def child(self, sources: Sequence[str]) -> ChildClient:
        """Fork a child that holds the cells ``sources``."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer = self._ask({"command": "fork"}, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        fork = _Fork(self, answer["pid"], self._received.pop() if self._received else None, ours)
        return ChildClient(fork, sources, self.limits, self._running)

    def wait(self, pid: int) -> int:
        """The exit code (negative: a signal) of an ended child."""
        return int(self._ask({"command": "wait", "pid": pid})["code"])


class _Fork:
    """A child that the warm process has forked.

    ``inner`` is its id in the PID namespace of the warm process, ``handle`` its pidfd, if the kernel has them.
    """

    def __init__(self, sandbox: WarmSandbox, inner: int, handle: int | None, connection: socket.socket) -> None:
        self.pid = inner if handle is None else _pid_of(handle)
        self.connection = connection
        self._sandbox, self._inner, self._handle = sandbox, inner, handle

    def end(self) -> int:
        """Kill it; its exit code."""
        with suppress(ProcessLookupError):
            if self._handle is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        if self._handle is not None:
            os.close(self._handle)
        return self._sandbox.wait(self._inner)


def _pid_of(handle: int) -> int:
    """The process id, in this process's PID namespace, of the pidfd ``handle``."""
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))
