"""A fresh interpreter for one submission, without isolation: runs the locked cells itself, then serves as a child.

Started by :class:`.fresh_sandbox.FreshSandbox` as ``python -I -m handgrad.sandbox.fresh_process``. Its channel is its
standard input and output, which it then replaces. It needs nothing that only some systems have.
"""

import json
import os
from pathlib import Path

import torch

from handgrad.notebook import execution
from handgrad.sandbox import autograd_off, child_server, frames
from handgrad.sandbox.isolation.limits import Limits

__all__ = ["main"]


class Pipes:
    """The child's end of its channel: its original standard input and output, which become the null device."""

    def __init__(self) -> None:
        self._reading, self._writing = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):
            os.dup2(null, standard)
        os.close(null)

    def recv(self, size: int, /) -> bytes:
        """The next bytes; empty if the grader has closed its end."""
        return os.read(self._reading, size)

    def sendall(self, data: bytes, /) -> None:
        """Send ``data``."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._writing, left) :]


def main() -> None:
    """Run the locked cells, and serve once the grader asks for it."""
    pipes = Pipes()
    order = frames.FrameReader(max_payload=1 << 30).next_frame(lambda: pipes.recv(1 << 16))
    if order is None:
        return
    header, payload = order
    torch.set_num_threads(1)
    execution.the_shell()
    service = child_server.service(header["service"])
    if service is None:
        autograd_off.switch_off()
    child_server.preload(header["preload"])
    namespaces, answer, printed = child_server.run_locked(header["directory"], json.loads(payload))
    pipes.sendall(frames.pack(answer, printed))
    # one byte: the time of a submission begins once it is handed over
    if answer["error"] or not pipes.recv(1):
        return
    os.chdir(Path(os.environ["HOME"]))
    limits = Limits(**header["limits"])
    limits.apply(limits.taken(), alone=False)
    try:
        if service is None:
            child_server.Server(pipes, namespaces).serve()
        else:
            service.serve(pipes)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
