"""Ctrl-C, SIGTERM and SIGHUP stop every command alike: what was done is kept, and nothing is left behind."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from handgrad.course.course import Course
from helpers.courses import RIGHT, class_of, done, grade, hand_in, make_course, wait_for
from helpers.paths import ENVIRONMENT

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
MARK = "HANDGRAD_TEST_OF_STOPPING"


def left(mark: str) -> list[str]:
    """The processes that were started under a mark, and what they are."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # what the sandbox runs has a clean environment, and a home in the temporary folder
            if mark.encode() in (path / "environ").read_bytes():
                found.append(f"{path.name}: {(path / 'cmdline').read_text(errors='replace')}")
    return found


def stop(
    root: Path, words: tuple[str, ...], when: Callable[[], object], how: signal.Signals, *, twice: bool = False
) -> str:
    """Stop a command by a signal to itself alone; what it wrote to standard error. Nothing of it may be left."""
    # a short path: sockets have their names in it
    temporary = Path(tempfile.mkdtemp(prefix="stop-"))
    environment = {**ENVIRONMENT, "TMPDIR": str(temporary), MARK: str(temporary)}
    run = subprocess.Popen(
        ["handgrad", *words], cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: when() or run.poll() is not None)
    assert run.poll() is None, run.communicate()[1]
    os.kill(run.pid, how)
    if twice:
        time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGINT)
    started = time.monotonic()
    _, text = run.communicate(timeout=60)
    assert time.monotonic() - started < 20
    assert run.returncode == 128 + how, text
    for word in ("Traceback", "leaked", "resource_tracker", "Exception"):
        assert word not in text, text
    wait_for(lambda: not left(str(temporary)), 10)
    assert [str(path) for path in temporary.rglob("*")] == []
    temporary.rmdir()
    assert not list((root / ".handgrad").glob("autograded-*"))
    return text


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param([("1", signal.SIGINT, 2)], id="once"),
        pytest.param([("1", signal.SIGTERM, 0), ("2", signal.SIGHUP, 3)], id="twice", marks=pytest.mark.slow),
    ],
)
def test_grading_is_stopped(stops: list[tuple[str, signal.Signals, int]], tmp_path: Path) -> None:
    """With one worker and with two, at the start and in the middle: what was graded is kept, and the rest is left."""
    course = class_of(tmp_path / "course", 16)
    before = 0
    for workers, how, more in stops:
        started = time.monotonic()

        def far_enough(before: int = before, more: int = more, started: float = started) -> bool:
            return done(course) >= before + more if more else time.monotonic() - started > 3

        command = ("grade", "backprop", "--no-feedback", "--workers", workers)
        text = stop(course.root, command, far_enough, how, twice=more == 2)
        assert "stopped; what was graded is kept." in text
        assert done(course) >= before + more
        before = done(course)
    assert grade(course).unchanged >= before - 1
    assert done(course) == 16


@pytest.mark.slow
def test_other_commands_are_stopped(tmp_path: Path) -> None:
    """`check`, `verify`, `release`, `feedback` and `preview` too."""
    course = make_course(tmp_path / "course", s01=RIGHT)
    root = course.root
    path = hand_in(root, "slow", RIGHT, "import time\ntime.sleep(5)")
    check = ("check", str(path.relative_to(root)))
    grade(course, "s01", feedback=True)

    def after(seconds: float) -> Callable[[], bool]:
        started = time.monotonic()
        return lambda: time.monotonic() - started > seconds

    for number, how in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        stop(root, check, after(3 + number), how, twice=number == 1)
    stop(root, ("verify", "backprop"), after(4), signal.SIGTERM)
    before = sorted((root / "release").rglob("*"))
    stop(root, ("release", "backprop"), after(3), signal.SIGTERM)
    assert sorted((root / "release").rglob("*")) == before
    # a kernel runs the solution of an ordinary assignment
    cell = nbformat.v4.new_code_cell("### BEGIN SOLUTION\nimport time; time.sleep(60)\n### END SOLUTION", id="slow")
    facts = {"grade_id": "slow", "locked": False, "schema_version": 3, "solution": True, "task": False, "grade": True}
    cell.metadata["nbgrader"] = {**facts, "points": 1}
    (root / "source" / "plain").mkdir()
    kernel = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), root / "source/plain/plain.ipynb"
    )
    stop(root, ("release", "plain"), after(20), signal.SIGHUP)
    assert not (root / "release" / "plain").exists()
    stop(root, ("feedback", "backprop"), after(2), signal.SIGHUP)
    stop(root, ("preview", "backprop"), after(4), signal.SIGINT)
    assert Course.at(root).exercise("backprop")
