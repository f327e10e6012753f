"""Stop at Ctrl-C, SIGTERM and SIGHUP alike: clean up once, and let a second signal not disturb that."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Stopped", "end_when_told", "run_program", "running_program", "stop_signals"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PATIENCE = 10.0
"""Seconds in which a program that is stopped has to end."""


class Stopped(KeyboardInterrupt):
    """Raised when this process is told to stop, by the signal ``number``."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stop_signals() -> Iterator[None]:
    """Raise :class:`Stopped` in the main thread at the first signal; further ones are ignored from then on.

    A signal that is ignored already, as SIGHUP is by ``nohup``, stays so. In another thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def stop(number: int, _: Any) -> None:
        for ignored in taken:
            signal.signal(ignored, signal.SIG_IGN)
        # what libraries say of the work that they could not finish
        logging.disable()
        raise Stopped(number)

    for number in taken:
        signal.signal(number, stop)
    restored = taken
    try:
        yield
    except KeyboardInterrupt:
        # still ignored: the process has to end
        restored = []
        raise
    finally:
        for number in restored:
            signal.signal(number, before[number])


def end_when_told() -> None:
    """Let this process, whose owner is told to stop and ends it, end by SIGTERM with its clean-up; once."""
    for name in ("SIGINT", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def run_program(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program and capture what it prints; see :func:`running_program`."""
    with running_program(command, cwd=cwd, env=env) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextmanager
def running_program(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A program that runs, with pipes for what it prints; if this process is stopped within, so is the program, first.

    It has a session of its own, so that it gets one signal only, and cleans up itself.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, encoding="utf-8",
        errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        except BaseException:
            process.send_signal(signal.SIGINT if hasattr(signal, "SIGHUP") else signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=PATIENCE)
            # with what it has started
            if hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            raise
