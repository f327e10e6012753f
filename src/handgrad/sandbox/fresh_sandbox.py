"""Without isolation: a fresh interpreter for each submission, used once and killed. For trusted code only.

It needs no fork and nothing else that only some systems have. Each submission costs the start of an interpreter, a few
seconds, and gets no more than a process of its own, autograd off, and the limits that the system offers.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from handgrad.errors import SandboxError
from handgrad.gradients import tensor_bytes
from handgrad.sandbox import frames
from handgrad.sandbox.child_client import START_SECONDS, ChildClient, Children
from handgrad.sandbox.warm_process import environment, last_words

__all__ = ["FreshSandbox"]

WAITING = 64
"""Pieces of at most 256 KiB that are read ahead."""


class FreshSandbox(Children):
    """Its children are fresh interpreters; the first one is started at once, to get the output of the locked cells.

    Parameters, attributes and errors are those of :class:`.warm_sandbox.WarmSandbox`.
    """

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory(prefix="handgrad-")
        self._first: _Fresh | None = self._start()
        self._ready = False
        return self

    def close(self) -> None:
        """End the children that are left; closing twice is allowed."""
        super().close()
        first, self._first = self._first, None
        if first is not None:
            first.end()
        with contextlib.suppress(OSError):
            self._home.cleanup()

    def wait_until_ready(self) -> None:
        """Wait until the locked cells have run once, and set ``printed``."""
        if not self._ready and self._first is not None:
            self.printed = self._printed(*self._first.answer())
            self._ready = True

    def child(self, sources: Sequence[str]) -> ChildClient:
        """A child that holds the cells ``sources``."""
        self.wait_until_ready()
        process, self._first = self._first, None
        if process is None:
            process = self._start()
            self._printed(*process.answer())
        process.connection.sendall(b"!")
        return ChildClient(process, sources, self.limits, self._running)

    def _start(self) -> "_Fresh":
        process = _Fresh(Path(tempfile.mkdtemp(dir=self._home.name)))
        process.connection.sendall(self._start_order())
        return process


class _Fresh:
    """A fresh interpreter and its channel; ``home`` is its folder."""

    def __init__(self, home: Path) -> None:
        self._log = home.parent / f"{home.name}.log"
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "handgrad.sandbox.fresh_process"],
                # matplotlib's font cache is kept for the next process; the home of a submission starts empty
                env=environment(str(home)) | dict.fromkeys(("MPLCONFIGDIR", "IPYTHONDIR"), str(home.parent)),
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.connection = _Pipes(self._process)

    def answer(self) -> frames.Frame:
        """Its message once it has run the locked cells; without one, a :class:`SandboxError`."""
        self.connection.settimeout(START_SECONDS)
        try:
            frame = frames.FrameReader(max_payload=1 << 30).next_frame(lambda: self.connection.recv(1 << 18))
        except (TimeoutError, tensor_bytes.FrameError) as error:
            raise SandboxError(f"a fresh process does not answer ({error}). {last_words(self._log)}") from error
        if frame is None:
            raise SandboxError(f"a fresh process ended. {last_words(self._log)}")
        return frame

    def end(self) -> int:
        """Kill it and, except on Windows, what it started; its exit code."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        code = self._process.wait()
        self.connection.join()
        return code


class _Pipes:
    """The grader's end of a child's channel, with the interface of a socket.

    Pipes have no timeouts, so threads read and write. ``multiprocessing.connection`` would not replace them: it waits
    for what can be read, but a child that reads nothing would block the grader's ``send_bytes``.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._timeout: float | None = None
        self._outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._incoming: queue.Queue[bytes] = queue.Queue(WAITING)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def settimeout(self, timeout: float | None, /) -> None:
        """Seconds that :meth:`recv` may wait."""
        self._timeout = timeout

    def sendall(self, data: bytes, /) -> None:
        """Send ``data`` without waiting: a child that does not read it will not answer in time."""
        self._outgoing.put(data)

    def recv(self, size: int, /) -> bytes:
        """The next piece of at most 256 KiB, whatever ``size`` is; empty at the end."""
        try:
            data = self._incoming.get(timeout=self._timeout)
        except queue.Empty:
            raise TimeoutError from None
        if not data:
            self._incoming.put(b"")
        return data

    def close(self) -> None:
        """Close the child's input."""
        self._outgoing.put(b"")

    def join(self) -> None:
        """End the threads; the process must have ended."""
        self.close()
        while any(thread.is_alive() for thread in self._threads):
            with contextlib.suppress(queue.Empty):
                self._incoming.get(timeout=0.01)
        self._stdout.close()

    def _write(self) -> None:
        with contextlib.suppress(OSError), self._stdin:
            while data := self._outgoing.get():
                left = memoryview(data)
                while left:
                    left = left[self._stdin.write(left) :]

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._stdout.read(1 << 18):
                self._incoming.put(data)
        self._incoming.put(b"")
