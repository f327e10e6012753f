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
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import torch

from handgrad.cells import CellError
from handgrad.errors import ExerciseError, SandboxError
from handgrad.sandbox import frames
from handgrad.sandbox.child import pack_json, unpack_json
from handgrad.sandbox.limits import Limits

__all__ = ["Answer", "CellResult", "Child", "Death", "PassResult", "Run", "Sandbox", "State"]

PRELOAD = ("numpy", "matplotlib.pyplot", "matplotlib_inline.backend_inline")
"""What honest notebooks import besides torch; imported once in the warm process."""

START_SECONDS = 300.0
"""Seconds that the locked cells may take in the warm process."""


@dataclass(frozen=True)
class State:
    """One parameter set: a name and the sources of the locked cells that make it."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One pass over a submission's cells.

    Attributes
    ----------
    state
        Name of the parameter set; a child uses each once.
    cells
        Indices of the cells to run, in order.
    collect
        For a cell, the names whose values are taken when it has run.
    at_end
        The names whose values are taken after the last cell.
    help
        Whether references replace the names that were taken (and what a cell changed is put back before).
    outputs
        Whether what the cells show is wanted.
    """

    state: str
    cells: tuple[int, ...]
    collect: Mapping[int, tuple[str, ...]]
    at_end: tuple[str, ...] = ()
    help: bool = False
    outputs: bool = False


@dataclass(frozen=True)
class Answer:
    """What came back for one name.

    ``kind`` is ``tensor`` (with ``value``), ``none`` (None or ``...``), ``undefined``, ``other`` (``type`` says what)
    or ``too-large``.
    """

    kind: Literal["tensor", "none", "undefined", "other", "too-large"]
    value: torch.Tensor | None = None
    type: str = ""


@dataclass(frozen=True)
class CellResult:
    """One cell in one pass: the error it raised, the answers taken after it, and what it showed."""

    index: int
    error: CellError | None
    answers: Mapping[str, Answer]
    outputs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Death:
    """Why a pass did not reach its end: the cell that ran then, and the reason."""

    index: int | None
    reason: Literal["timeout", "memory", "crashed", "tampered"]
    detail: str = ""


@dataclass
class PassResult:
    """What came back from one pass."""

    cells: dict[int, CellResult] = field(default_factory=dict)
    at_end: Mapping[str, Answer] = field(default_factory=dict)
    death: Death | None = None


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
            self._send(self._start_header(), pack_json(_plain_states(self.states)))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the warm process; closing twice is allowed."""
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
        with theirs:
            answer = self._ask({"command": "fork"}, theirs.fileno())
        return Child(self, answer["pid"], self._received.pop() if self._received else None, ours, sources)

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
        try:
            deadline = min(end, time.monotonic() + cell_seconds)
            if self._sources is not None:
                self._wait_until_confined(deadline)
                self._send({"cells": len(self._sources)}, pack_json(list(self._sources)), deadline)
                self._sources = None
            self._send({"run": _plain(run)}, b"", deadline)
            for index in run.cells:
                deadline = min(end, time.monotonic() + cell_seconds)
                names = run.collect.get(index, ())
                cell = _cell_result(self._receive(deadline), index, names)
                result.cells[index] = cell
                if run.help and names:
                    assert reference is not None
                    self._place({name: reference(name) for name in names}, deadline)
            index = None
            header, payload = self._receive(min(end, time.monotonic() + cell_seconds))
            if header.get("finished") is not True:
                raise frames.FrameError("a pass did not end where it should")
            result.at_end = _answers(header, payload, run.at_end)[0]
        except TimeoutError:
            self.close()
            result.death = Death(index, "timeout")
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
            self._connection.settimeout(_left(deadline))
            data = self._connection.recv(1 << 18)
            if not data:
                raise ConnectionResetError
            self._waiting.extend(self._reader.feed(data))
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


def _plain_states(states: Sequence[State]) -> list[dict[str, Any]]:
    return [{"name": state.name, "cells": list(state.cells)} for state in states]


def _plain(run: Run) -> dict[str, Any]:
    return {
        "state": run.state,
        "cells": list(run.cells),
        "collect": {str(index): list(names) for index, names in run.collect.items()},
        "at_end": list(run.at_end),
        "help": run.help,
        "outputs": run.outputs,
    }


def _cell_result(frame: frames.Frame, index: int, names: Sequence[str]) -> CellResult:
    header, payload = frame
    if header.get("done") != index:
        raise frames.FrameError("a cell reported out of turn")
    answers, rest = _answers(header, payload, names)
    outputs: list[Any] = []
    if rest:
        try:
            outputs = unpack_json(rest)
        except (ValueError, RecursionError) as error:
            raise frames.FrameError("a cell's outputs are not JSON") from error
        if not isinstance(outputs, list):
            raise frames.FrameError("a cell's outputs are not a list")
    return CellResult(index, _error(header.get("error")), answers, outputs)


def _error(data: Any) -> CellError | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise frames.FrameError("a cell's error is not an object")
    lines = data.get("traceback")
    return CellError(
        str(data.get("name")),
        str(data.get("message")),
        tuple(str(line) for line in lines) if isinstance(lines, list) else (),
    )


def _answers(header: dict[str, Any], payload: bytes, names: Sequence[str]) -> tuple[dict[str, Answer], bytes]:
    """The answers in a frame, which must be those for ``names`` in this order, and the bytes behind them."""
    described = header.get("answers")
    if not isinstance(described, list) or len(described) != len(names):
        raise frames.FrameError("a frame does not hold the answers that were asked for")
    answers: dict[str, Answer] = {}
    start = 0
    for name, description in zip(names, described, strict=True):
        if not isinstance(description, dict) or description.get("name") != name:
            raise frames.FrameError(f"a frame holds another answer where {name} was asked for")
        kind = description.get("kind")
        if kind == "tensor":
            size = description.get("size")
            if type(size) is not int or not 0 <= size <= len(payload) - start:
                raise frames.FrameError(f"the bytes of {name} are not all there")
            answers[name] = Answer("tensor", frames.unpack_tensor(description, payload[start : start + size]))
            start += size
        elif kind in ("none", "undefined", "other", "too-large"):
            answers[name] = Answer(kind, type=str(description.get("type", ""))[:80])
        else:
            raise frames.FrameError(f"the answer for {name} is of no known kind")
    return answers, payload[start:]


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
        "IPYTHONDIR": home,
        "MPLCONFIGDIR": home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }
