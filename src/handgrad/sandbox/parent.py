"""The grader's side of the pipe: starts the zygote, asks it for children, reads what they send, ends them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from handgrad.errors import ExerciseError, SandboxError
from handgrad.sandbox import frames
from handgrad.sandbox.child import pack_json, unpack_json
from handgrad.sandbox.limits import Limits
from handgrad.sandbox.messages import (
    Death,
    PassResult,
    Run,
    State,
    answers_in,
    cell_result,
    plain_run,
    plain_states,
)

__all__ = ["Child", "Sandbox"]

PRELOAD = ("numpy", "matplotlib.pyplot", "matplotlib_inline.backend_inline")
"""What honest notebooks import besides torch; imported once in the warm process."""

MAX_SHOWN = 1 << 25
"""Bytes of outputs that are kept from one pass (32 MiB)."""
START_SECONDS = 300.0
"""Seconds that the locked cells may take in the warm process."""


class Sandbox:
    """A warm process that has run the locked cells, and the children forked from it.

    A context manager: the process starts on entry and is gone, children included, on exit.

    Parameters
    ----------
    states
        The parameter sets, each with its locked cells.
    directory
        Where the locked cells run; they may read what lies there, children may not.
    limits
        What a submission may use.
    preload
        Modules that the warm process imports.
    trust
        Whether to go on where this machine isolates nothing: for code that is trusted.

    Attributes
    ----------
    isolation
        What stands between a child and the machine, as tried out when the warm process was ready: ``full``,
        ``partial: `` and what is missing, or ``none``.

    Raises
    ------
    SandboxError
        The warm process could not be started, or ended, or nothing isolates its children and they are not trusted;
        never the student's fault.
    ExerciseError
        A locked cell raised.
    """

    def __init__(
        self,
        states: Sequence[State],
        directory: Path,
        limits: Limits | None = None,
        preload: Sequence[str] = PRELOAD,
        *,
        trust: bool = False,
    ) -> None:
        self.states, self.directory, self.preload, self.trust = states, directory, preload, trust
        self.isolation = "none"
        self.limits = limits or Limits()
        self._children: set[Child] = set()
        self.printed: dict[str, list[list[dict[str, Any]]]] = {}

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory(prefix="handgrad-")
        self._control, theirs = socket.socketpair()
        self._log = (Path(self._home.name) / "zygote.log").open("w+", encoding="utf-8", errors="replace")
        self._reader = frames.FrameReader(max_payload=1 << 30)
        self._received: list[int] = []
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-m", "handgrad.sandbox.zygote", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=_environment(self._home.name),
                    cwd=self._home.name,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._log,
                )
            self._ready = False
            self._send(self._start_header(), pack_json(plain_states(self.states)))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children that are left and the warm process; closing twice is allowed."""
        for child in list(self._children):
            with suppress(SandboxError):
                child.close()
        self._control.close()
        process = getattr(self, "_process", None)
        if process is not None:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()
        with suppress(OSError):
            self._home.cleanup()

    def _start_header(self) -> dict[str, Any]:
        return {
            "command": "start",
            "directory": str(self.directory.resolve()),
            "limits": self.limits.to_dict(),
            "preload": list(self.preload),
        }

    def wait_until_ready(self) -> None:
        """Wait for the locked cells to have run; what they printed stands in ``printed`` then."""
        if self._ready:
            return
        answer, payload = self._receive(START_SECONDS)
        if answer["error"]:
            error = answer["error"]
            raise ExerciseError(
                f"locked cell {answer['cell'] + 1} in {self.directory} raises {error['name']} when the sandbox runs "
                f"it ({answer['state']} parameters): {error['message']} Run the notebook in Jupyter and mend it."
            )
        self.isolation = answer["isolation"]
        if self.isolation == "none" and not self.trust:
            raise SandboxError(
                f"nothing on this machine keeps a submission from its files and its network: {answer['reason']}. "
                "Grade on Linux 5.13 or newer, in a container if need be; or, for code that you trust, "
                "say --trust-submissions, or set c.Handgrad.trust_submissions = True in nbgrader_config.py."
            )
        self.printed = dict(zip((state.name for state in self.states), unpack_json(payload), strict=True))
        self._ready = True

    def _send(self, header: dict[str, Any], payload: bytes = b"", descriptor: int | None = None) -> None:
        data = frames.pack(header, payload)
        try:
            self._control.settimeout(START_SECONDS)
            if descriptor is None:
                self._control.sendall(data)
            else:
                socket.send_fds(self._control, [data], [descriptor])
        except OSError as error:
            raise SandboxError(f"the warm process does not listen ({error}). {self._last_words()}") from error

    def _receive(self, timeout: float) -> frames.Frame:
        try:
            self._control.settimeout(timeout)
            while True:
                chunk, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
                self._received += descriptors
                if not chunk:
                    break
                for frame in self._reader.feed(chunk):
                    return frame
        except (OSError, frames.FrameError) as error:
            raise SandboxError(f"the warm process does not answer ({error}). {self._last_words()}") from error
        raise SandboxError(f"the warm process ended. {self._last_words()}")

    def _ask(self, header: dict[str, Any], descriptor: int | None = None) -> dict[str, Any]:
        self.wait_until_ready()
        self._send(header, descriptor=descriptor)
        return self._receive(60.0)[0]

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return f"It wrote: {lines[-1]}" if lines else "It wrote nothing."

    def child(self, sources: Sequence[str]) -> "Child":
        """Fork a child that holds the cells ``sources``."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer = self._ask({"command": "fork"}, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        child = Child(self, answer["pid"], self._received.pop() if self._received else None, ours, sources)
        self._children.add(child)
        return child

    def forget(self, child: "Child") -> None:
        """Take a child that was ended off the list."""
        self._children.discard(child)

    def wait(self, pid: int) -> tuple[int, float]:
        """Exit code (negative: a signal) and CPU seconds of an ended child."""
        answer = self._ask({"command": "wait", "pid": pid})
        return answer["code"], answer["cpu_seconds"]


class Child:
    """One forked child: the process in which one submission's cells run."""

    def __init__(
        self, sandbox: Sandbox, inner: int, handle: int | None, connection: socket.socket, sources: Sequence[str]
    ) -> None:
        # the warm process may number its children in a world of its own
        self.pid = inner if handle is None else _pid_of(handle)
        self.cpu_seconds = 0.0
        self._inner, self._handle = inner, handle
        self._sandbox, self._connection = sandbox, connection
        self._reader = frames.FrameReader()
        self._waiting: list[frames.Frame] = []
        self._broken: frames.FrameError | None = None
        self._sources: Sequence[str] | None = sources

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> int | None:
        """End the process and everything that it started; its exit code the first time, then None."""
        if self.pid < 0:
            return None
        self._connection.close()
        pid, self.pid = self.pid, -1
        if self._sandbox.isolation == "none":
            # it may have started others
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            if self._handle is None:
                os.kill(pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        if self._handle is not None:
            os.close(self._handle)
        self._sandbox.forget(self)
        code, self.cpu_seconds = self._sandbox.wait(self._inner)
        return code

    def run(
        self,
        run: Run,
        reference: Callable[[str], torch.Tensor] | None = None,
        seconds: float | None = None,
    ) -> PassResult:
        """Run one pass; what came back until its end, or until the child's death.

        Parameters
        ----------
        run
            The pass. With ``run.help`` the value ``reference(name)`` takes the place of every answer.
        seconds
            Wall-clock seconds that are left for the submission.
        """
        cell_seconds = self._sandbox.limits.cell_seconds
        end = time.monotonic() + (self._sandbox.limits.submission_seconds if seconds is None else seconds)
        result = PassResult()
        index: int | None = None
        room = MAX_SHOWN if run.outputs else None
        try:
            deadline = min(end, time.monotonic() + cell_seconds)
            if self._sources is not None:
                self._wait_until_confined(deadline)
                self._send({"cells": len(self._sources)}, pack_json(list(self._sources)), deadline)
                self._sources = None
            self._send({"run": plain_run(run)}, b"", deadline)
            for index in run.cells:
                deadline = min(end, time.monotonic() + cell_seconds)
                names = run.collect.get(index, ())
                cell = cell_result(self._receive(deadline), index, names, room)
                room = None if room is None else room - cell.shown
                result.cells[index] = cell
                if run.help and names:
                    assert reference is not None
                    self._place({name: reference(name) for name in names}, deadline)
            index = None
            header, payload = self._receive(min(end, time.monotonic() + cell_seconds))
            if header.get("finished") is not True:
                raise frames.FrameError("a pass did not end where it should")
            result.at_end = answers_in(header, payload, run.at_end)[0]
        except TimeoutError:
            self.close()
            # the submission's own end is not the fault of the cell that ran then
            result.death = Death(index if time.monotonic() < end else None, "timeout")
        except frames.FrameError as error:
            self.close()
            result.death = Death(index, "tampered", str(error))
        except OSError:
            result.death = _death(index, self.close())
        return result

    def _wait_until_confined(self, deadline: float) -> None:
        try:
            header, _ = self._receive(deadline)
        except ConnectionResetError:
            header = {}
        if header.get("confined") is not True:
            raise SandboxError("a child of the warm process could not be closed in; nothing was run in it.")

    def _send(self, header: dict[str, Any], payload: bytes, deadline: float) -> None:
        self._connection.settimeout(_left(deadline))
        self._connection.sendall(frames.pack(header, payload))

    def _place(self, references: Mapping[str, torch.Tensor], deadline: float) -> None:
        packed = [(name, *frames.pack_tensor(value)) for name, value in references.items()]
        place = [{"name": name, "size": len(data), **description} for name, description, data in packed]
        self._send({"place": place}, b"".join(data for _, _, data in packed), deadline)

    def _receive(self, deadline: float) -> frames.Frame:
        while not self._waiting:
            if self._broken:
                raise self._broken
            self._connection.settimeout(_left(deadline))
            data = self._connection.recv(1 << 18)
            if not data:
                raise ConnectionResetError
            try:
                self._waiting.extend(self._reader.feed(data))
            except frames.FrameError as error:
                # the frames before it are those of cells that did nothing wrong
                self._broken = error
        return self._waiting.pop(0)


def _pid_of(handle: int) -> int:
    """The id, in this process's own numbering, of the process that ``handle`` stands for."""
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _death(index: int | None, code: int | None) -> Death:
    if code is not None and code < 0:
        if -code in (signal.SIGXCPU, signal.SIGKILL):
            return Death(index, "timeout" if -code == signal.SIGXCPU else "crashed", signal.Signals(-code).name)
        return Death(index, "crashed", signal.Signals(-code).name)
    return Death(index, "crashed", f"it ended with exit status {code}")


def _environment(home: str) -> dict[str, str]:
    """A clean environment: one thread, no settings of the grader's user, a home that is thrown away."""
    threads = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")}
    kept = {name: os.environ[name] for name in ("PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
    return {
        **threads,
        **kept,
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "IPYTHONDIR": home,
        "MPLCONFIGDIR": home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }
