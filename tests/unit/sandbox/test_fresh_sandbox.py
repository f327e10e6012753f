"""Where nothing isolates: a fresh interpreter for each submission, for code that is trusted by name."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from handgrad.authoring.cases import read_cases
from handgrad.course.commands import grade_class
from handgrad.course.course import Course
from handgrad.errors import ExerciseError, IsolationError, SandboxError
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Report
from handgrad.sandbox import sandbox as sandbox_module
from handgrad.sandbox.fresh_sandbox import FreshSandbox
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import ParameterSet, PassResult, Run
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.sandbox.warm_sandbox import WarmSandbox
from handgrad.submission.submission import Submission
from helpers.paths import ENVIRONMENT, MISTAKES, ROOT

LOCKED = "import torch\nx = torch.arange(4.0)\ntext = open('helper.txt').read()\nprint(text)"
Submit = Callable[..., Submission]


@pytest.fixture(scope="module")
def grader(exercise: Exercise) -> Iterator[Grader]:
    """A grader as on a machine that isolates nothing."""
    limits = Limits(cell_seconds=3.0, submission_seconds=30.0)
    with Grader(exercise, [314159], settings=GradingSettings(limits=limits, trust=True, isolation="none")) as grader:
        yield grader


def _outcomes(report: Report) -> dict[str, str]:
    """The checks that are not passed."""
    return {verdict.gradient: verdict.outcome for verdict in report.checks if verdict.outcome != "passed"}


SUBMISSIONS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "the solution": ({}, {}),
    "cells that come back": (
        {
            "dcounts": "dcounts = counts_sum_inv * dprobs",
            "dlogits": "loss.backward(); dlogits = logits.grad",
            "dh": "dh = h.grad",
            "dW2": "import os; os.write(1, b'hello'); dW2 = h.T @ dlogits",
        },
        {"dcounts": "failed", "dlogits": "error", "dh": "failed"},
    ),
    "cells that do not": (
        {"dprobs": "while True: pass", "dh": "import os; os.abort()"},
        {"dprobs": "timeout", "dh": "crashed"},
    ),
}


@pytest.mark.parametrize(
    "name",
    # its cell ends at a limit in each pass
    [pytest.param(name, marks=pytest.mark.slow if name == "cells that do not" else ()) for name in SUBMISSIONS],
)
def test_verdicts(name: str, grader: Grader, submit: Submit) -> None:
    """It marks what the warm process marks, and the report says that nothing isolated it."""
    stubs, expected = SUBMISSIONS[name]
    report = grader.grade(submit(**stubs)).report
    assert _outcomes(report) == expected
    assert report.isolation == "none"


def test_it_is_never_silent(exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trust it is refused with a sentence, at once: no process is started."""
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(IsolationError, match=r"this machine cannot isolate .* --trust-submissions"):
        Grader(exercise, [1], settings=GradingSettings(isolation="none")).__enter__()
    monkeypatch.setattr(sandbox_module, "why_no_isolation", lambda wanted: "there is no isolation on such machines")
    with pytest.raises(IsolationError, match="there is no isolation on such machines"):
        Grader(exercise, [1]).__enter__()


# the sandbox itself


def _sandbox(folder: Path, locked: str = LOCKED) -> FreshSandbox:
    (folder / "helper.txt").write_text("found", encoding="utf-8")
    limits = Limits(cell_seconds=2.0, submission_seconds=20.0, memory_mb=512)
    return FreshSandbox([ParameterSet("one", (locked,)), ParameterSet("two", (locked,))], folder, limits, preload=())


def _run(sandbox: FreshSandbox, *cells: str, **rest: Any) -> PassResult:
    """One pass over ``cells`` in a child of its own; ``a`` is taken after the last."""
    with sandbox.child(cells) as child:
        return child.run(Run("one", tuple(range(len(cells))), {len(cells) - 1: ("a",)}, **rest))


def _number(result: PassResult) -> list[float]:
    last = result.cells[max(result.cells)]
    assert result.death is None, result.death
    assert last.error is None, last.error
    value = last.answers["a"].value
    assert value is not None
    return value.reshape(-1).tolist()


def _is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshSandbox]:
    """Fresh processes for small cells."""
    with _sandbox(tmp_path_factory.mktemp("exercise")) as sandbox:
        yield sandbox


def test_what_locked_cells_print(sandbox: FreshSandbox) -> None:
    """The locked cells run where their files are, and what they print is kept."""
    sandbox.wait_until_ready()
    shown = [[{"output_type": "stream", "name": "stdout", "text": "found\n"}]]
    assert sandbox.printed == {"one": shown, "two": shown}


def test_each_child_is_its_own(sandbox: FreshSandbox) -> None:
    """A child lives in an empty folder and sees nothing of the one before; it is killed when it is closed."""
    source = "import os, torch\nleft = len(os.listdir()), hasattr(torch, 'mine')\nopen('mine.txt', 'w').close()\n"
    source += "torch.mine = 1\na = torch.tensor([*left, os.getpid()])"
    seen = [_number(_run(sandbox, source)) for _ in range(2)]
    assert [left for *left, _ in seen] == [[0, 0], [0, 0]]
    pids = {int(pid) for *_, pid in seen}
    assert len(pids) == 2
    assert all(map(_is_gone, pids))


def test_passes_and_help(sandbox: FreshSandbox) -> None:
    """The protocol is the same: outputs are kept, references take the place of answers, large ones too."""
    big = torch.ones(1 << 20)
    with sandbox.child(["print('hello'); a = x * 2", "b = a"]) as child:
        shown = child.run(Run("one", (0, 1), {0: ("a",)}, ("b",), outputs=True))
        assert shown.cells[0].outputs[0]["text"] == "hello\n"
        assert torch.equal(shown.at_end["b"].value, torch.arange(4.0) * 2)  # type: ignore[arg-type]
        helped = child.run(Run("two", (0, 1), {0: ("a",), 1: ("b",)}, help=True), lambda name: big)
        assert torch.equal(helped.cells[1].answers["b"].value, big)  # type: ignore[arg-type]


ENDINGS = {
    "exit": ("import os; os._exit(7)", "crashed", "exit status 7"),
    "loop": ("while True: pass", "timeout", ""),
    "closed channel": ("import os; os.closerange(3, 99)", "crashed", ""),
    "flood": ("import os\nwhile True: os.write(FD, bytes(1 << 20))", "tampered", "a frame's header"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(name: str, sandbox: FreshSandbox) -> None:
    """A cell that does not come back ends its own process, and is told like any other."""
    source, reason, detail = ENDINGS[name]
    find = "import os, stat\nFD = max(fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}') and "
    find += "stat.S_ISFIFO(os.fstat(fd).st_mode))"
    with sandbox.child([find if name == "flood" else "", source]) as child:
        pid = child.pid
        result = child.run(Run("one", (0, 1), {}))
    assert result.death is not None
    assert (result.death.index, result.death.reason) == (1, reason)
    assert detail in result.death.detail
    assert _is_gone(pid)


def test_what_a_child_started_is_gone(sandbox: FreshSandbox) -> None:
    """A process that a cell started ends with the child."""
    source = "import subprocess\nsub = subprocess.Popen(['sleep', '60'])\na = torch.tensor(sub.pid)"
    with sandbox.child([source]) as child:
        pid = int(_number(child.run(Run("one", (0,), {0: ("a",)})))[0])
        os.kill(pid, 0)
    # whoever adopts it may take a moment to bury it
    assert _is_gone(pid) or Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] == "Z"


def test_memory_is_limited(sandbox: FreshSandbox) -> None:
    """Where the system can, memory is limited as ever: an error, and the child lives on."""
    result = _run(sandbox, "b = bytearray(3 << 30)", "a = x")
    assert result.cells[0].error is not None
    assert result.cells[0].error.name == "MemoryError"
    assert _number(result) == [0, 1, 2, 3]


def test_nothing_is_left(tmp_path: Path) -> None:
    """When the sandbox is closed its processes are gone, open ones and the first one too, and so is their folder."""
    with _sandbox(tmp_path) as sandbox:
        child = sandbox.child(["a = x"])
        pid, home = child.pid, Path(sandbox._home.name)
    assert _is_gone(pid)
    assert not home.exists()
    with _sandbox(tmp_path) as unused:
        assert unused._first is not None
        pid = unused._first.pid
    assert _is_gone(pid)
    assert [path.name for path in tmp_path.iterdir()] == ["helper.txt"]


def test_locked_cell_raises(tmp_path: Path) -> None:
    """A locked cell that raises is an error of the exercise, as in the warm process."""
    with (
        _sandbox(tmp_path, "b = 1 / 0") as sandbox,
        pytest.raises(ExerciseError, match=r"locked cell 1 .*ZeroDivision"),
    ):
        sandbox.wait_until_ready()


def test_a_process_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that ends before it serves is an error of the grader's own, with its last words."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no torch here >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with _sandbox(tmp_path) as sandbox, pytest.raises(SandboxError, match=r"ended\. It wrote: no torch here"):
        sandbox.wait_until_ready()


# on another system

LACKS = """
import os, sys
for module in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[module] = None
for name in ("fork", "forkpty", "pidfd_open", "setsid", "killpg", "wait4", "getuid", "geteuid"):
    delattr(os, name)
"""
"""What Windows lacks, in part: with it gone, whoever asks for it fails."""
GRADE = """
from pathlib import Path
from handgrad.sandbox import sandbox as module
module.why_no_isolation = lambda wanted: "there is no isolation on such machines"
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.submission.submission import Submission
from handgrad.notebook.reading import read_notebook
exercise = Exercise.read(Path(sys.argv[1]) / "source/backprop/backprop.ipynb")
submission = Submission.of(read_notebook(Path(sys.argv[1]) / "solutions/backprop/backprop.ipynb"), exercise)
with Grader(exercise, [1], settings=GradingSettings(trust=True)) as grader:
    report = grader.grade(submission).report
print(report.score, report.isolation)
"""


@pytest.mark.slow
def test_nothing_of_linux_is_needed(tmp_path: Path) -> None:
    """Neither grader nor child asks for what other systems lack: fork, resource, process descriptors and the like."""
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable} -I\n{LACKS}\nassert sys.argv[3] == 'handgrad.sandbox.fresh_process', sys.argv\n"
        "from handgrad.sandbox import fresh_process\nfresh_process.main()\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    code = f"{LACKS}\nsys.executable = {str(python)!r}\n{GRADE}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.split() == ["26.0", "none"], done.stderr[-3000:]


def _course(folder: Path, students: int, settings: str = "") -> Course:
    """A course with one assignment, and students who handed in the worked solution."""
    config = (ROOT / "nbgrader_config.py").read_text("utf-8")
    (folder / "nbgrader_config.py").write_text(config + settings, encoding="utf-8")
    for kind in ("source", "solutions"):
        (folder / kind).symlink_to(ROOT / kind)
    for number in range(students):
        place = folder / "submitted" / f"s{number}" / "backprop"
        place.mkdir(parents=True)
        (place / "backprop.ipynb").write_bytes((ROOT / "solutions/backprop/backprop.ipynb").read_bytes())
    return Course.at(folder)


def test_a_class_that_is_not_trusted(tmp_path: Path) -> None:
    """A class is refused in one sentence, nobody is graded, and nobody's score is written."""
    course = _course(tmp_path, 2, 'c.Handgrad.isolation = "none"\n')
    with pytest.raises(IsolationError, match="this machine cannot isolate a submission from its files") as caught:
        grade_class.grade_class(course, "backprop", feedback=False, workers=1)
    assert str(caught.value).count("--trust-submissions") == 1
    assert grade_class.stored_reports(course, "backprop") == []
    assert {
        report.isolation for report in grade_class.grade_class(course.with_trust(), "backprop", feedback=False)
    } == {"none"}


def test_layers_that_do_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the layers were tried and do not hold, that is found once, not for each student."""
    tried = []

    def wait_until_ready(sandbox: WarmSandbox) -> None:
        tried.append(sandbox)
        raise IsolationError.because("the layers do not hold")

    monkeypatch.setattr(WarmSandbox, "wait_until_ready", wait_until_ready)
    course = _course(tmp_path, 3)
    with ThreadPoolExecutor(1) as executor, pytest.raises(IsolationError, match="the layers do not hold"):
        grade_class.grade_class(course, "backprop", feedback=False, workers=1, executor=executor)
    assert len(tried) == 1


@pytest.mark.parametrize("trust", [True, False])
def test_a_warm_process_that_is_not_used(trust: bool, tmp_path: Path) -> None:
    """A warm process that was given is closed, though nothing isolates its children."""
    control, other = socket.socketpair()
    made = sandbox_module.Sandbox(
        [ParameterSet("one", (LOCKED,))],
        tmp_path,
        Limits(),
        isolation="none",
        trust=trust,
        process=WarmProcess(control, tmp_path / "log"),
    )
    with other, nullcontext() if trust else pytest.raises(IsolationError, match="none was asked for"):
        (tmp_path / "helper.txt").write_text("found", encoding="utf-8")
        with made:
            made.wait_until_ready()
    assert control.fileno() == -1


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    """`handgrad demo` works on a machine that isolates nothing: it trusts its own sample class, and says so."""
    _course(tmp_path, 0, 'c.Handgrad.isolation = "none"\n')
    (tmp_path / "release").symlink_to(ROOT / "release")
    folder = tmp_path / "tests" / "cases" / "mistakes"
    folder.mkdir(parents=True)
    cases = [case for case in read_cases(MISTAKES) if case.student][:3]
    for case in cases:
        (folder / f"{case.name}.toml").symlink_to(MISTAKES / f"{case.name}.toml")
    done = subprocess.run(
        ["handgrad", "demo"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "3 submissions: 3 graded." in done.stdout
    assert "No isolation is available on this machine" in done.stdout
