"""The warm process: imports torch once, runs the locked cells once, and forks a child for each submission.

:mod:`.zygote_main` becomes it inside its namespaces. It is given locked cells only, never a submission, a
solution, a hidden test or a reference. When they have run, and have read the files that they need, it closes its root
(:mod:`handgrad.sandbox.isolation.layers`).
"""

import gc
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from handgrad.notebook import execution
from handgrad.sandbox import autograd_off, child_server, frames
from handgrad.sandbox.isolation import linux
from handgrad.sandbox.isolation.layers import Isolation
from handgrad.sandbox.isolation.limits import Limits

__all__ = ["freeze_and_use_huge_pages", "get_ready", "serve"]

FEW = 2
"""Children after which a warm process makes itself cheap to fork: that takes half a second, and one notebook alone
never gets it back."""


class Zygote:
    """Answers the commands of one grader process, in order."""

    def __init__(self, control: socket.socket, isolation: Isolation, *, is_cheap: bool) -> None:
        self.control = control
        self.is_cheap = is_cheap
        self.isolation = isolation
        self.states: dict[str, child_server.SavedNamespace] = {}
        self.limits = Limits()
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
                if header["command"] == "fork":
                    self.fork(socket.socket(fileno=descriptors[0]))
                else:
                    self.control.sendall(frames.pack(*self.command(header, payload)))

    def command(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Do what ``header`` asks for; the answer."""
        match header["command"]:
            case "start":
                self.limits = Limits(**header["limits"])
                return self.start(header["directory"], child_server.unpack_json(payload))
            case "wait":
                _, status, usage = os.wait4(header["pid"], 0)
                code = os.waitstatus_to_exitcode(status)
                return {"code": code, "cpu_seconds": usage.ru_utime + usage.ru_stime}, b""
            case unknown:
                raise ValueError(f"the zygote does not know the command {unknown!r}")

    def start(self, directory: str, wanted: list[dict[str, Any]]) -> tuple[dict[str, Any], bytes]:
        """Run the locked cells of every state, autograd off, in ``directory``; answers with what they printed."""
        self.states, answer, printed = child_server.run_locked(directory, wanted)
        if answer["error"]:
            return answer, printed
        _look_at_the_processor()
        if sys.platform == "linux" and not self.is_cheap:
            # it is told by /proc, which is gone when the root is closed
            self._memory = linux.own_memory()
        self.isolation.close(self.limits)
        return {**answer, "isolation": self.isolation.name, "reason": self.isolation.reason}, printed

    def fork(self, connection: socket.socket) -> None:
        """Fork a child that serves ``connection``; answers with its process id, and a handle where there are such."""
        if self._forked == FEW and not self.is_cheap:
            freeze_and_use_huge_pages(self._memory)
        self._forked += 1
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
            # the grader sends no cell before this word
            connection.sendall(frames.pack(child_server.SERVING))
            child_server.serve(connection, self.states)
        finally:
            os._exit(0)


def _handles(pid: int) -> list[int]:
    """A descriptor that stands for the process ``pid`` in any world; none where there are no such descriptors."""
    if sys.platform == "linux":
        with suppress(OSError):
            return [os.pidfd_open(pid)]
    return []


def _look_at_the_processor() -> None:
    """Let torch find out which instructions there are, as long as it can read about them."""
    look = getattr(torch._C._cpu, "_is_avx2_supported", None)
    if look:
        look()


def get_ready(preload: Sequence[str]) -> None:
    """Import the modules of ``preload``, and do what is the same whoever is served."""
    torch.set_num_threads(1)
    execution.the_shell()
    execution.forbid_input()
    autograd_off.switch_off()
    child_server.preload(preload)


def freeze_and_use_huge_pages(memory: Sequence[tuple[int, int]]) -> None:
    """Make this process cheap to fork: its objects are not looked at again, its ``memory`` is in huge pages."""
    gc.collect()
    gc.freeze()
    linux.use_huge_pages(memory)


def serve(control: int, isolation: Isolation, *, is_cheap: bool = False) -> None:
    """Serve the socket whose descriptor is ``control`` until it is closed, and end the process.

    Unless it ``is_cheap`` to fork already, it will be when there are children enough to gain by it.
    """
    with socket.socket(fileno=control) as connection:
        Zygote(connection, isolation, is_cheap=is_cheap).serve()
    # nothing is left to be done, and the grader waits: taking torch apart takes a while
    os._exit(0)
