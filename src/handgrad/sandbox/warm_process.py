"""The grader's side of a warm process, which imports torch while the grader does something else.

This module needs no torch, so that a command can start the process before anything else.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from handgrad.errors import SandboxError
from handgrad.sandbox.isolation import linux, seccomp

__all__ = ["PRELOAD", "StartedProcess", "WarmProcess", "environment", "last_words", "why_no_isolation"]

PRELOAD = ("numpy", "matplotlib.pyplot", "matplotlib_inline.backend_inline")
"""What notebooks usually import besides torch; imported before the locked cells run."""

_KEPT = ("PATH", "SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables of the grader's environment that Python and its libraries need; SYSTEMROOT is Windows's."""


def why_no_isolation(wanted: Literal["best", "none"] = "best") -> str:
    """Why nothing can isolate a submission on this machine; empty if it can be tried, and is ``wanted``."""
    if wanted == "none":
        return "none was asked for"
    if sys.platform != "linux":
        return f"there is no isolation on {sys.platform} yet"
    return "" if seccomp.supported() else f"there is no list of system calls for {linux.ARCHITECTURE}"


class WarmProcess:
    """A process that imports torch and then takes orders, as its grader sees it; a context manager.

    Attributes
    ----------
    control
        The grader's end of the socket on which the process takes orders.
    log
        The file into which the process writes its errors.
    has_orders
        Whether an order was sent.
    """

    def __init__(self, control: socket.socket, log: Path) -> None:
        self.control, self.log = control, log
        self.has_orders = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it end; closing twice is allowed."""
        self.control.close()


class StartedProcess(WarmProcess):
    """A warm process that this process starts, and that is gone when :meth:`close` returns, with what it forked.

    It imports the modules of ``preload``. ``process`` is the one outside the namespaces, ``home`` its temporary folder.
    If it cannot be started, that is a :class:`.SandboxError`.
    """

    module = "handgrad.sandbox.zygote_main"
    """The module that is run."""
    kind = socket.SOCK_STREAM
    """The kind of the control socket."""
    patience = 5.0
    """Seconds in which it ends by itself once the control socket is closed, and what it forked once it has ended."""

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="handgrad-")
        self.home = Path(self._home.name)
        control, theirs = socket.socketpair(type=self.kind)
        # open at its end as long as a process lives that may write to the home
        self._alive, held = socket.socketpair()
        super().__init__(control, self.home / "log")
        descriptor = theirs.fileno()
        try:
            with theirs, held, self.log.open("w", encoding="utf-8") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-m", self.module, str(descriptor), *preload],
                    pass_fds=[descriptor, held.fileno()],
                    env=environment(str(self.home)),
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
        except OSError as error:
            control.close()
            self._alive.close()
            self._home.cleanup()
            raise SandboxError(f"the warm process cannot be started ({error}).") from error

    def close(self) -> None:
        """End it; closing twice is allowed."""
        super().close()
        if not self.has_orders:
            # it would notice the closed socket only once torch is imported
            self.process.kill()
        try:
            self.process.wait(timeout=self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(OSError), self._alive as alive:
            alive.settimeout(self.patience)
            alive.recv(1)
        with suppress(OSError):
            self._home.cleanup()


def last_words(log: Path) -> str:
    """A sentence with the last line of a process's log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"It wrote: {lines[-1]}" if lines else "It wrote nothing."


def environment(home: str) -> dict[str, str]:
    """A clean environment: one thread, no settings of the grader's user, a temporary home."""
    threads = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")}
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        **threads,
        **kept,
        **dict.fromkeys(("HOME", "USERPROFILE", "IPYTHONDIR", "MPLCONFIGDIR"), home),
        **dict.fromkeys(("USER", "LOGNAME"), "student"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        # huge pages for malloc: the first two children take 23.6 ms in place of 26.3, the process 11 MB less
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
