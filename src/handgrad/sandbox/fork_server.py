"""One process of a machine that imports torch, and forks into a warm process for each worker that asks.

:class:`ForkServer` is its owner's side and needs no torch. Run as
``python -I -m handgrad.sandbox.fork_server FD MODULE...``
this is the process itself: nothing but imports is in it. What it forks enters namespaces of its own, and is from there
on what :mod:`.zygote_main` starts.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from handgrad.errors import SandboxError
from handgrad.sandbox.isolation import linux
from handgrad.sandbox.isolation.layers import Isolation
from handgrad.sandbox.warm_process import PRELOAD, last_words, start

__all__ = ["ForkServer", "ForkServerClient", "ForkedZygote", "main"]

PATIENCE = 5.0
"""Seconds in which what was forked must have ended when nobody can ask any more."""


class ForkServer:
    """The process, for who starts the workers; it is gone when :meth:`close` returns.

    Attributes
    ----------
    asking
        What the workers are given, to ask it for a warm process.

    Raises
    ------
    SandboxError
        It cannot be started.
    """

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="handgrad-")
        home = Path(self._home.name)
        # packets, each with a descriptor: two workers that ask at the same time stay two
        asked, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.asking = ForkServerClient(asked, home / "stem.log")
        try:
            with heard, self.asking.log.open("w", encoding="utf-8") as log:
                self._process = start("fork_server", heard, home, log, preload)
        except OSError as error:
            asked.close()
            self._home.cleanup()
            raise SandboxError(f"the process that warm ones are forked from cannot be started ({error}).") from error

    def close(self) -> None:
        """End it, when no worker is left that has what it forked; closing twice is allowed."""
        self.asking.asked.close()
        try:
            self._process.wait(timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            self._home.cleanup()


class ForkServerClient:
    """How a worker asks a stem: it is given this when it starts."""

    def __init__(self, asked: socket.socket, log: Path) -> None:
        self.asked, self.log = asked, log

    def warm(self) -> "ForkedZygote | None":
        """A warm process, kept to the processors that this one is kept to; None where the stem is gone."""
        ours, theirs = socket.socketpair()
        processors = json.dumps(sorted(os.sched_getaffinity(0))).encode()
        with theirs:
            try:
                socket.send_fds(self.asked, [processors], [theirs.fileno()])
            except OSError:
                ours.close()
                return None
        return ForkedZygote(ours, self.log)


class ForkedZygote:
    """A warm process that a stem has forked, for who asked; as :class:`handgrad.sandbox.warm_process.WarmProcess`."""

    def __init__(self, control: socket.socket, log: Path) -> None:
        self.control, self._log = control, log
        self.has_orders = False

    def last_words(self) -> str:
        """A sentence with the last line that it, or another from the same stem, wrote."""
        with suppress(OSError), self._log.open(encoding="utf-8", errors="replace") as log:
            return last_words(log)
        return ""

    def close(self) -> None:
        """Let it end; closing twice is allowed."""
        self.control.close()


def main() -> None:
    """Import the modules that the arguments name, and fork for everybody who asks."""
    heard = socket.socket(fileno=int(sys.argv[1]))
    from handgrad.sandbox import zygote  # noqa: PLC0415 - it imports torch

    zygote.get_ready(sys.argv[2:])
    # here, so that it is held once: what each of them did for itself would be held by each
    zygote.freeze_and_use_huge_pages(linux.own_memory())
    # they are waited for as they end: nobody else does, and their seconds are the command's
    signal.signal(signal.SIGCHLD, lambda *_: _wait())
    while (asked := socket.recv_fds(heard, 1 << 16, 1))[1]:
        processors, descriptors, _, _ = asked
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            heard.close()
            os.sched_setaffinity(0, json.loads(processors))
            isolation = Isolation()
            isolation.enter()
            zygote.serve(descriptors[0], isolation, is_cheap=True)
        os.close(descriptors[0])
    deadline = time.monotonic() + PATIENCE
    while _wait() and time.monotonic() < deadline:
        time.sleep(0.01)
    os._exit(0)


def _wait() -> bool:
    """Wait for what has ended; whether anything is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
