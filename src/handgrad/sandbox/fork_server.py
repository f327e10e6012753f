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
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from handgrad.sandbox.isolation import linux
from handgrad.sandbox.isolation.layers import Isolation
from handgrad.sandbox.warm_process import PRELOAD, StartedProcess, WarmProcess

__all__ = ["ForkServer", "ForkServerClient", "main"]

PATIENCE = 5.0
"""Seconds that the forked processes have to end once no worker can ask any more."""


class ForkServer(StartedProcess):
    """The process, for the owner of the workers; close it when all that it forked has been closed.

    Attributes
    ----------
    client
        Given to each worker, to ask for a warm process.

    Raises
    ------
    SandboxError
        It cannot be started.
    """

    module = "fork_server"
    # packets, each with a descriptor: the requests of two workers cannot mix
    kind = socket.SOCK_SEQPACKET
    patience = 2 * PATIENCE

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        super().__init__(preload)
        # it is never killed while it has time: it ends what it has forked
        self.has_orders = True
        self.client = ForkServerClient(self.control, self.log)


class ForkServerClient:
    """A worker's way to ask the fork server; the worker gets it when it starts."""

    def __init__(self, control: socket.socket, log: Path) -> None:
        self.control, self.log = control, log

    def warm(self) -> WarmProcess | None:
        """A warm process, kept to the processors of this process; None if the fork server is gone."""
        ours, theirs = socket.socketpair()
        processors = json.dumps(sorted(os.sched_getaffinity(0))).encode()
        with theirs:
            try:
                socket.send_fds(self.control, [processors], [theirs.fileno()])
            except OSError:
                ours.close()
                return None
        return WarmProcess(ours, self.log)


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
