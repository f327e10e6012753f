"""A process that is told to stop cleans up once; what it has started ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handgrad.course.stop_signals import run_program
from helpers.paths import ENVIRONMENT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
PROGRAM = """
import signal, sys, time
from handgrad.course.stop_signals import stop_signals
try:
    with stop_signals():
        print("ready", flush=True)
        {work}
    print("done", flush=True)
except KeyboardInterrupt as stop:
    time.sleep(0.3)
    print("stopped", stop.number, flush=True)
"""


def started(work: str, **options: object) -> subprocess.Popen[str]:
    """A process that works and can be stopped."""
    command = [sys.executable, "-c", PROGRAM.format(work=work)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    assert process.stdout.readline() == "ready\n"
    return process  # type: ignore[no-any-return]


def test_in_the_middle_of_a_cell() -> None:
    """An instructor's cell that runs is stopped with the command: the signal is no error of the cell."""
    work = "run_cell(CompiledCell('import time; print(\"ready\", flush=True); time.sleep(60)'), new_namespace())"
    imported = "from handgrad.notebook.execution import CompiledCell, new_namespace, run_cell; "
    process = started(imported + work)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == f"stopped {signal.SIGTERM:d}\n"


def test_each_signal_once() -> None:
    """The first signal stops, whichever it is; those that follow do not disturb the clean-up."""
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with started("time.sleep(60)") as process:
            for number in (how, signal.SIGINT, signal.SIGTERM):
                process.send_signal(number)
                time.sleep(0.05)
            assert process.communicate(timeout=20)[0] == f"stopped {how:d}\n"


def test_nohup() -> None:
    """A signal that the caller ignores stays ignored."""
    with started("time.sleep(0.5)", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=20)[0] == "done\n"


def test_a_program_ends_with_its_caller(tmp_path: Path) -> None:
    """It gets one signal, cleans up, and is gone when the caller is."""
    mark = tmp_path / "cleaned up"
    inner = f"import pathlib, time\ntry:\n    time.sleep(60)\nfinally:\n    pathlib.Path({str(mark)!r}).touch()"
    work = f"from handgrad.course.stop_signals import run_program; run_program([sys.executable, '-c', {inner!r}])"
    with started(work) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == "stopped 15\n"
    assert mark.exists()
    done = run_program([sys.executable, "-c", "print('out'); import sys; sys.exit('err')"])
    assert (done.returncode, done.stdout, done.stderr) == (1, "out\n", "err\n")
