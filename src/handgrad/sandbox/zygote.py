"""The warm process: imports torch once, runs the locked cells once, and forks a child for each submission.

Started by :class:`handgrad.sandbox.Sandbox` as ``python -I -m handgrad.sandbox.zygote FD``; ``FD`` is its end of the
control socket. It is given locked cells only, never a submission, a solution, a hidden test or a reference.
"""

import gc
import importlib
import os
import socket
import sys
from contextlib import chdir, suppress
from typing import Any

import torch

from handgrad import cells
from handgrad.sandbox import autograd, child, frames
from handgrad.sandbox.limits import Limits

__all__ = ["main"]


class Zygote:
    """Answers the commands of one grader process, in order."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.states: dict[str, child.State] = {}
        self.limits = Limits()

    def serve(self) -> None:
        """Answer commands until the grader closes the socket."""
        reader = frames.FrameReader()
        while True:
            data, descriptors, _, _ = socket.recv_fds(self.control, 1 << 16, 1)
            if not data:
                return
            for header, payload in reader.feed(data):
                answer = self.command(header, payload, descriptors)
                self.control.sendall(frames.pack(answer[0], answer[1]))

    def command(self, header: dict[str, Any], payload: bytes, descriptors: list[int]) -> tuple[dict[str, Any], bytes]:
        """Do what ``header`` asks for."""
        match header["command"]:
            case "start":
                for module in header["preload"]:
                    with suppress(ImportError):
                        importlib.import_module(module)
                self.limits = Limits(**header["limits"])
                return self.start(header["directory"], child.unpack_json(payload))
            case "fork":
                return {"pid": self.fork(socket.socket(fileno=descriptors[0]))}, b""
            case "wait":
                _, status, usage = os.wait4(header["pid"], 0)
                code = os.waitstatus_to_exitcode(status)
                return {"code": code, "cpu_seconds": usage.ru_utime + usage.ru_stime}, b""
            case unknown:
                raise ValueError(f"the zygote does not know the command {unknown!r}")

    def start(self, directory: str, states: list[dict[str, Any]]) -> tuple[dict[str, Any], bytes]:
        """Run the locked cells of every state, autograd off, in ``directory``; answers with what they printed."""
        sys.path.insert(0, directory)
        printed = []
        with chdir(directory):
            for wanted in states:
                state = child.State()
                outputs: list[Any] = []
                for index, source in enumerate(wanted["cells"]):
                    with cells.captured() as taken:
                        error = cells.run_cell(cells.CompiledCell(source, f"<locked {index}>"), state.namespace)
                    outputs.append(taken.take())
                    if error:
                        return {"error": error.to_dict(), "state": wanted["name"], "cell": index}, b""
                state.keep()
                self.states[wanted["name"]] = state
                printed.append(outputs)
        autograd.forbid()
        gc.collect()
        gc.freeze()
        return {"error": None}, child.pack_json(printed)

    def fork(self, connection: socket.socket) -> int:
        """Fork a child that serves ``connection``; its process id."""
        pid = os.fork()
        if pid:
            connection.close()
            return pid
        try:
            self.control.close()
            os.setsid()
            self.limits.apply()
            child.serve(connection, self.states)
        finally:
            os._exit(0)


def main() -> None:
    """Serve the control socket whose descriptor is the first argument."""
    torch.set_num_threads(1)
    cells.the_shell()
    autograd.switch_off()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        Zygote(control).serve()


if __name__ == "__main__":
    main()
