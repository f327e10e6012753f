"""The warm process as its grader starts it: it imports torch while the grader does something else.

Nothing here needs torch, so that a command can start the process first of all.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from handgrad.errors import SandboxError
from handgrad.sandbox.isolation import linux, seccomp

__all__ = ["PRELOAD", "WarmProcess", "environment", "last_words", "start", "why_no_isolation"]

PRELOAD = ("numpy", "matplotlib.pyplot", "matplotlib_inline.backend_inline")
"""What honest notebooks import besides torch; imported before the locked cells run."""

_KEPT = ("PATH", "SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What Python and its libraries need to know of the grader's environment; Windows has SYSTEMROOT."""


def why_no_isolation(wanted: Literal["best", "none"] = "best") -> str:
    """Why nothing can isolate a submission on this machine; empty if it can be tried, and is ``wanted``."""
    if wanted == "none":
        return "none was asked for"
    if sys.platform != "linux":
        return f"there is no isolation on {sys.platform} yet"
    return "" if seccomp.supported() else f"there is no list of system calls for {linux.ARCHITECTURE}"


class WarmProcess:
    """A process that is getting warm; a context manager.

    Parameters
    ----------
    preload
        Modules that it imports.

    Attributes
    ----------
    control
        The grader's end of the socket on which it takes orders.
    process
        The process itself, the one that stays outside the namespaces.
    home
        Its folder, which is thrown away with it.
    has_orders
        Whether it has been told what to do.

    Raises
    ------
    SandboxError
        It cannot be started.
    """

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="handgrad-")
        self.home = Path(self._home.name)
        self._log = (self.home / "zygote.log").open("w+", encoding="utf-8", errors="replace")
        self.control, theirs = socket.socketpair()
        self.has_orders = False
        try:
            with theirs:
                self.process = start("zygote_main", theirs, self.home, self._log, preload)
        except OSError as error:
            self._put_away()
            raise SandboxError(f"the warm process cannot be started ({error}).") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def last_words(self) -> str:
        """A sentence with the last line that it wrote into its log."""
        return last_words(self._log)

    def close(self) -> None:
        """End it; closing twice is allowed."""
        if self._log.closed:
            return
        self.control.close()
        if not self.has_orders:
            # it would notice only when torch is imported
            self.process.kill()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._put_away()

    def _put_away(self) -> None:
        self.control.close()
        self._log.close()
        with suppress(OSError):
            self._home.cleanup()


def start(
    module: str, connection: socket.socket, home: Path, log: TextIO, preload: Sequence[str]
) -> "subprocess.Popen[bytes]":
    """Start a module of the sandbox, which talks to its owner by ``connection``, in a clean environment in ``home``.

    Raises
    ------
    OSError
        The system does not start it.
    """
    descriptor = connection.fileno()
    return subprocess.Popen(
        [sys.executable, "-I", "-m", f"handgrad.sandbox.{module}", str(descriptor), *preload],
        pass_fds=[descriptor],
        env=environment(str(home)),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )


def last_words(log: TextIO) -> str:
    """A sentence with the last line that a process wrote into its log."""
    log.seek(0)
    lines = log.read().strip().splitlines()
    return f"It wrote: {lines[-1]}" if lines else "It wrote nothing."


def environment(home: str) -> dict[str, str]:
    """A clean environment: one thread, no settings of the grader's user, a home that is thrown away."""
    threads = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")}
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        **threads,
        **kept,
        "HOME": home,
        "USERPROFILE": home,
        "USER": "student",
        "LOGNAME": "student",
        "IPYTHONDIR": home,
        "MPLCONFIGDIR": home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
