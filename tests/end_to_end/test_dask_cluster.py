"""A class graded on a Dask cluster: a real scheduler and two worker processes, on this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.workers.pool import cluster
from handgrad.errors import CourseError
from helpers.courses import RIGHT, SLIP, class_of, done, scores, wait_for
from helpers.paths import BIN, ENVIRONMENT

pytestmark = pytest.mark.slow

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def start(*command: str | Path, folder: Path) -> subprocess.Popen[bytes]:
    """A process that heads a group of its own, away from any course."""
    return subprocess.Popen(
        [str(BIN / "dask"), *map(str, command)], cwd=folder, env=ENVIRONMENT, start_new_session=True, **QUIET
    )  # type: ignore[call-overload, no-any-return]


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler, and its two workers."""
    facts, folder = tmp_path / "scheduler.json", tmp_path / "elsewhere"
    folder.mkdir()
    local = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as stack:
        scheduler = start("scheduler", *local, "--port", "0", "--scheduler-file", facts, folder=folder)
        stack.callback(end, scheduler)
        wait_for(lambda: facts.exists() and facts.read_text(encoding="utf-8").strip().endswith("}"))
        address = json.loads(facts.read_text(encoding="utf-8"))["address"]
        found = []
        for _ in range(2):
            found.append(start("worker", address, *local, "--nthreads", "1", folder=folder))
            stack.callback(end, found[-1])
        with cluster(address) as executor:
            assert executor is not None
            executor._client.wait_for_workers(2, timeout=120)  # type: ignore[attr-defined]
        yield address, found


def test_a_class_on_a_cluster(tmp_path: Path, workers: tuple[str, list[subprocess.Popen[bytes]]]) -> None:
    """Two workers grade a class; one is killed in the middle, and nothing is lost."""
    address, processes = workers
    course = class_of(tmp_path / "course", 12)
    command = ["handgrad", "grade", "backprop", "--no-feedback", "--scheduler", address]
    with subprocess.Popen(
        command, cwd=course.root, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        wait_for(lambda: done(course) >= 2 or run.poll() is not None)
        os.killpg(processes[0].pid, signal.SIGKILL)
        out, error = run.communicate(timeout=300)
    assert run.returncode == 1, error
    assert "12 submissions: 12 graded" in out
    expected = {f"s{number:03}": (SLIP if number % 4 == 0 else RIGHT).score for number in range(12)}
    assert scores(course) == expected
    assert {report.student: report.score for report in stored_reports(course, "backprop")} == expected


def test_jobs_have_a_process_of_their_own(workers: tuple[str, list[subprocess.Popen[bytes]]]) -> None:
    """No thread of Dask's draws from the random numbers of a job."""
    with cluster(workers[0]) as executor:
        assert executor is not None
        found = {executor.submit(os.getpid).result() for _ in range(4)}
        assert not found & set(executor._client.run(os.getpid).values())  # type: ignore[attr-defined]
        assert executor.submit(threading.active_count).result() == 2, "the main thread, and one that waits for the end"


def test_no_scheduler(tmp_path: Path) -> None:
    """Where nothing listens, that is one sentence."""
    begin = time.monotonic()
    with (
        pytest.raises(CourseError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"),
        cluster("tcp://127.0.0.1:1"),
    ):
        pass
    assert time.monotonic() - begin < 60


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Dask is not installed, the sentence says what to install."""
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with (
        pytest.raises(CourseError, match=r"needs Dask, which is not installed; run: pip install .*\[cluster\]'"),
        cluster("tcp://127.0.0.1:1"),
    ):
        pass


def test_a_run_that_is_stopped(tmp_path: Path, workers: tuple[str, list[subprocess.Popen[bytes]]]) -> None:
    """Ctrl-C and SIGTERM stop the command, not the cluster; what was graded is kept, and the next run goes on."""
    address, _ = workers
    course = class_of(tmp_path / "course", 12)
    command = ["handgrad", "grade", "backprop", "--no-feedback", "--scheduler", address]
    for how, least in ((signal.SIGTERM, 1), (signal.SIGINT, 3)):
        run = subprocess.Popen(
            command, cwd=course.root, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda least=least: done(course) >= least)
        run.send_signal(how)
        _, text = run.communicate(timeout=60)
        assert run.returncode == 128 + how, text
        assert text.splitlines()[-1] == "handgrad: stopped; what was graded is kept."
        assert "Traceback" not in text
    ended = subprocess.run(command, cwd=course.root, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert "12 graded" in ended.stdout
    assert done(course) == 12
