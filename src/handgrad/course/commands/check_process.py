"""The process that checks one notebook: torch is imported once, for what judges and for what runs the notebook.

The command starts it first of all, as ``python -I -m handgrad.course.commands.check_process FD MODULE...``: with a
clean environment, and nothing but the socket of its request. Once torch is imported it forks the warm process, which
holds nothing but modules at that time. Only then it takes the request, with the environment and the folder of the
command, and judges. The owner's side needs no torch.
"""

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import handgrad.notebook.slow_imports  # noqa: F401 - before whatever imports nbformat
from handgrad import errors
from handgrad.course.stop_signals import end_when_told
from handgrad.errors import HandgradError, SandboxError
from handgrad.report.records import Report
from handgrad.sandbox.isolation import namespaces
from handgrad.sandbox.isolation.layers import Isolation
from handgrad.sandbox.warm_process import PRELOAD, StartedProcess, WarmProcess, last_words, why_no_isolation

__all__ = ["CheckProcess", "CheckRequest", "checked", "main", "modules_for"]

Tell = Callable[[str], None]
"""Is told what is being done, in a few words."""
MOST_READ = 20_000_000
"""Bytes of a file in which names of modules are looked for."""


@dataclass(frozen=True)
class CheckRequest:
    """What ``handgrad check`` is asked for; the parameters are those of :mod:`.check_notebook`, files as paths.

    With ``is_service`` the notebook is graded against an exercise, whatever it looks like.
    """

    notebook: str
    exercise: str = ""
    settings: str = ""
    course: str = ""
    renames: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    require_isolation: str = "none"
    is_service: bool = False


def checked(request: CheckRequest, process: WarmProcess | None, tell: Tell) -> Report:
    """The report on a notebook; errors are those of :mod:`.check_notebook`."""
    from handgrad.course.commands import check_notebook  # noqa: PLC0415 - it imports torch
    from handgrad.course.course import Course  # noqa: PLC0415
    from handgrad.exercise.release_file import read_exercise  # noqa: PLC0415
    from handgrad.sandbox import child_client  # noqa: PLC0415

    tell(f"reading {request.notebook}")
    child_client.watch(lambda cell, number: tell(f"running cell {cell} of {number}"))
    marks = None
    if request.settings:
        marks = Course.of_settings(Path(request.settings))
    elif request.course:
        marks = Course.at(Path(request.course))
    found = read_exercise(Path(request.exercise)) if request.exercise else None
    notebook = Path(request.notebook)
    required: Any = request.require_isolation
    if marks or found or request.is_service:
        return check_notebook.check(notebook, found, marks, request.renames, process, require_isolation=required)
    return check_notebook.check_own(notebook, request.renames, list(map(Path, request.data)), process, required)


def modules_for(notebook: Path) -> tuple[str, ...]:
    """The modules of :data:`PRELOAD` that a notebook may import; all of them if that cannot be seen."""
    with suppress(OSError):
        if notebook.stat().st_size <= MOST_READ and b"plt" not in (text := notebook.read_bytes()):
            return tuple(name for name in PRELOAD if name.startswith("numpy") or b"matplotlib" in text)
    return PRELOAD


class CheckProcess(StartedProcess):
    """The process, for its owner."""

    module = "handgrad.course.commands.check_process"

    def __exit__(self, *error: object) -> None:
        if error[0] is not None and self.has_orders:
            # it is in the middle of something
            self.process.terminate()
        super().__exit__(*error)

    def check(self, request: CheckRequest, tell: Tell) -> Report:
        """The report on a notebook; what the process raises is raised here, and a SandboxError if it ended."""
        self.has_orders = True
        order = {"request": asdict(request), "environment": dict(os.environ), "folder": str(Path.cwd())}
        try:
            with self.control.makefile("rw", encoding="utf-8") as channel:
                channel.write(json.dumps(order) + "\n")
                channel.flush()
                for line in channel:
                    match json.loads(line):
                        case {"doing": what}:
                            tell(what)
                        case {"report": report}:
                            return Report.from_dict(report)
                        case {"error": kind, "message": message, "traceback": where}:
                            error = getattr(errors, kind, HandgradError)(message)
                            # for --verbose
                            error.add_note(where)
                            raise error
        except OSError as error:
            raise SandboxError(f"the process that checks does not answer ({error}). {last_words(self.log)}") from error
        raise SandboxError(f"the process that checks ended. {last_words(self.log)}")


def main() -> None:
    """Import the modules named by the arguments, fork the warm process, and answer one request."""
    control = socket.socket(fileno=int(sys.argv[1]))
    end_when_told()
    from handgrad.sandbox import zygote  # noqa: PLC0415 - it imports torch

    zygote.get_ready(sys.argv[2:])
    with control, control.makefile("rw", encoding="utf-8") as channel:
        process = None if why_no_isolation() else _warm_process(control)

        def send(**what: Any) -> None:
            channel.write(json.dumps(what) + "\n")
            channel.flush()

        order = json.loads(channel.readline() or "null")
        if order is None:
            return
        os.environ.clear()
        os.environ.update(order["environment"])
        try:
            os.chdir(order["folder"])
            request = order["request"]
            request |= {"renames": tuple(request["renames"]), "data": tuple(request["data"])}
            report = checked(CheckRequest(**request), process, lambda what: send(doing=what))
            send(report=report.to_dict())
        except HandgradError as error:
            send(error=type(error).__name__, message=str(error), traceback=traceback.format_exc())
        if process:
            process.close()
    # without the clean-up of torch, which takes a while
    os._exit(0)


def _warm_process(control: socket.socket) -> WarmProcess:
    """A warm process that is forked from this one, before this one is told anything."""
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        # what it writes goes where this process writes, into the folder that is its home so far
        return WarmProcess(ours, Path.home() / "log")
    from handgrad.sandbox import zygote  # noqa: PLC0415 - see above

    # stopped in the middle of a cell, it would go on
    namespaces.end_with_parent()
    ours.close()
    control.close()
    isolation = Isolation()
    isolation.enter()
    zygote.serve(theirs.detach(), isolation)
    os._exit(0)


if __name__ == "__main__":
    main()
