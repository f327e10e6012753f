"""The zygote, or warm process: imports torch once, runs the locked cells once, and forks a child for each submission.

It gets the locked cells only, never a submission, a solution, a hidden test or a reference. When the locked cells have
run, and have read their files, it closes its root (:mod:`handgrad.sandbox.isolation.layers`).
"""

import gc
import json
import os
import socket
import sys
import time
import traceback
import types
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from handgrad.notebook import execution, tracebacks
from handgrad.sandbox import autograd_off, child_server, frames
from handgrad.sandbox.isolation import linux
from handgrad.sandbox.isolation.layers import Isolation
from handgrad.sandbox.isolation.limits import Limits

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["freeze_and_use_huge_pages", "get_ready", "serve"]

FEW = 2
"""Children after which a warm process makes itself cheap to fork. This takes half a second: too long for one only."""


class Zygote:
    """Answers the commands of one grader process, in order.

    Its children run a submission's cells, or what the ``service`` does: a module with a function of the same name.
    """

    def __init__(self, control: socket.socket, isolation: Isolation, *, is_cheap: bool) -> None:
        self.control = control
        self.is_cheap = is_cheap
        self.isolation = isolation
        self.service: types.ModuleType | None = None
        self.namespaces: dict[str, child_server.SavedNamespace] = {}
        self._forked = 0
        self._memory: list[tuple[int, int]] = []

    def serve(self) -> None:
        """Answer commands until the grader closes the socket."""
        reader = frames.FrameReader()
        while True:
            data, descriptors, _, _ = socket.recv_fds(self.control, 1 << 16, 1)
            if not data:
                return
            for header, payload in reader.feed(data):
                match header["command"]:
                    case "start":
                        self.service = child_server.service(header["service"])
                        answer = self.start(header["directory"], json.loads(payload), Limits(**header["limits"]))
                        self.control.sendall(frames.pack(*answer))
                    case "fork":
                        self.fork(socket.socket(fileno=descriptors[0]))
                    case "wait":
                        code = os.waitstatus_to_exitcode(os.waitpid(header["pid"], 0)[1])
                        self.control.sendall(frames.pack({"code": code}))

    def start(self, directory: str, wanted: list[dict[str, Any]], limits: Limits) -> tuple[dict[str, Any], bytes]:
        """Run the locked cells of every parameter set in ``directory``; answer with their outputs.

        Autograd is switched off for them and for the children; a service keeps it.
        """
        if self.service is None:
            autograd_off.switch_off()
        self.namespaces, answer, printed = child_server.run_locked(directory, wanted)
        if answer["error"]:
            return answer, printed
        # let torch detect the CPU's instructions while it can still read /proc and /sys
        getattr(torch._C._cpu, "_is_avx2_supported", lambda: None)()
        if self.is_cheap:
            # also what the locked cells made: garbage collection in a child took 4 of its 15 ms
            gc.freeze()
        elif sys.platform == "linux":
            # /proc lists it, and is gone once the root is closed
            self._memory = linux.own_memory()
        self.isolation.close(limits)
        return {**answer, "isolation": self.isolation.name, "reason": self.isolation.reason}, printed

    def fork(self, connection: socket.socket) -> None:
        """Fork a child that serves ``connection``; the answer is its process id and, on Linux, its pidfd."""
        if self._forked == FEW and not self.is_cheap:
            freeze_and_use_huge_pages(self._memory)
        self._forked += 1
        self.isolation.before_fork()
        pid = os.fork()
        if pid:
            connection.close()
            handles = _handles(pid)
            socket.send_fds(self.control, [frames.pack({"pid": pid})], handles)
            for handle in handles:
                os.close(handle)
            return
        try:
            try:
                self.isolation.confine(connection)
            except BaseException:
                traceback.print_exc()
                raise
            if self.service is None:
                child_server.Server(connection, self.namespaces).serve()
            else:
                self.service.serve(connection)
        finally:
            os._exit(0)


def _handles(pid: int) -> list[int]:
    """A pidfd for ``pid``, valid in every PID namespace; empty if the kernel has no pidfd."""
    if sys.platform == "linux":
        with suppress(OSError):
            return [os.pidfd_open(pid)]
    return []


def get_ready(preload: Sequence[str]) -> None:
    """Import the modules of ``preload``, and prepare the process for any exercise."""
    torch.set_num_threads(1)
    if resource is not None:
        # `%%time` calls it, and the filter refuses it, as it tells which pages of a file were in memory before
        resource.getrusage = _own_time
    tracebacks.prepare(execution.the_shell())
    execution.forbid_input()
    child_server.preload(preload)


def _own_time(_: int) -> Any:
    """``resource.getrusage`` without a system call that tells more: the processor time of this process."""
    return resource.struct_rusage((time.process_time(), *[0.0] * 15))


def freeze_and_use_huge_pages(memory: Sequence[tuple[int, int]]) -> None:
    """Make this process cheap to fork: freeze its objects, and put its ``memory`` into huge pages.

    A garbage collection in a child would write to, and so copy, each object that it visits. Median of 50 children: 18.5
    ms; 19.4 ms without ``gc.freeze``; 24.1 ms without huge pages, as the fork copies 33,000 page-table entries then.
    """
    gc.collect()
    gc.freeze()
    linux.use_huge_pages(memory)


def serve(control: int, isolation: Isolation, *, is_cheap: bool = False) -> None:
    """Serve the socket whose descriptor is ``control`` until it is closed, and end the process.

    With ``is_cheap`` the process was already made cheap to fork (default: done after the first children).
    """
    with socket.socket(fileno=control) as connection:
        Zygote(connection, isolation, is_cheap=is_cheap).serve()
    # without the clean-up of torch, which takes a while: the grader waits
    os._exit(0)
