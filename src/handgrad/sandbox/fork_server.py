"""The fork server: a process that imports torch once, and forks a warm process for each worker that asks.

:class:`ForkServer` is the owner's side and needs no torch. The process itself is
``python -I -m handgrad.sandbox.fork_server FD MODULE...``; it holds nothing but imported modules. What it forks enters
namespaces of its own and then does what :mod:`.zygote_main` does.
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

__all__ = ["ForkServer", "ForkServerClient", "begin", "main", "warm_process"]

PATIENCE = 5.0
"""Seconds that the forked processes have to end once no worker can ask any more."""


class ForkServer(StartedProcess):
    """The process, for the owner of the workers; close it when all that it forked has been closed.

    Its ``client`` is given to each worker, to ask for a warm process. Errors are those of :class:`.StartedProcess`.
    """

    module = "handgrad.sandbox.fork_server"
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
        """A warm process, or None if the fork server is gone.

        It runs on the processors of this process only. With worker and warm process on one processor, a
        submission took 19.8 to 21.7 ms; without that 29.4 ms.
        """
        ours, theirs = socket.socketpair()
        processors = json.dumps(sorted(os.sched_getaffinity(0))).encode()
        with theirs:
            try:
                socket.send_fds(self.control, [processors], [theirs.fileno()])
            except OSError:
                ours.close()
                return None
        return WarmProcess(ours, self.log)


_client: list[ForkServerClient] = []
"""How this process asks for warm processes; empty if it starts its own."""


def begin(client: ForkServerClient) -> None:
    """Let this process, a worker, get its warm processes from the fork server."""
    _client[:] = [client]


def warm_process() -> WarmProcess | None:
    """A warm process for this worker, or None if it has to start its own."""
    return _client[0].warm() if _client else None


def main() -> None:
    """Import the modules named by the arguments, and fork for each request."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    from handgrad.sandbox import autograd_off, zygote  # noqa: PLC0415 - they import torch

    zygote.get_ready(sys.argv[2:])
    autograd_off.switch_off()
    # before the forks, so that all warm processes share these pages
    zygote.freeze_and_use_huge_pages(linux.own_memory())
    # reap them as they end, so that their CPU seconds count for the command
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    while (request := socket.recv_fds(requests, 1 << 16, 1))[1]:
        processors, descriptors, _, _ = request
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            os.sched_setaffinity(0, json.loads(processors))
            isolation = Isolation()
            isolation.enter()
            zygote.serve(descriptors[0], isolation, is_cheap=True)
        os.close(descriptors[0])
    deadline = time.monotonic() + PATIENCE
    while _reap() and time.monotonic() < deadline:
        time.sleep(0.01)
    os._exit(0)


def _reap() -> bool:
    """Reap the children that have ended; whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
