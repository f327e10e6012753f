"""What several test files share: the exercise, its worked solution, its references, a warm grader, small notebooks."""

import copy
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import hypothesis
import nbformat
import pytest
import torch
from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.reference import Reference
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.sandbox import fork_server
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers.paths import ROOT, TESTS
from helpers.warm_grader import OnDemand, warm_grader

# the suite's fuzzing is short and the same every time; `--hypothesis-profile=long` is the search
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None, max_examples=50)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000, print_blob=True)
hypothesis.settings.load_profile("suite")

# also for graders that a worker in this process makes
fork_server.begin(OnDemand())

# a shell starts what runs in the background with Ctrl-C ignored, and `nohup` with SIGHUP: the commands that are tested
# would inherit that, but no handler of this process
for _number in {signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)}:
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the graded tests be run on any notebook."""
    parser.addoption(
        "--submission", metavar="NOTEBOOK", help="the notebook that tests/hidden grades; the worked solution if none"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The graded tests of one exercise are enough for `make test`: all solutions are graded elsewhere too."""
    for item in items:
        if item.path.is_relative_to(TESTS / "hidden") and item.path.parent.name != "backprop":
            item.add_marker(pytest.mark.slow)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In continuous integration nothing may be left out: a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # a process of pytest-xdist has none: the one that collects their results looks
    if reporter and os.environ.get("CI") and exitstatus == 0 and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def source() -> Path:
    """The instructor's notebook."""
    return ROOT / "source/backprop/backprop.ipynb"


@pytest.fixture(scope="session")
def exercise(source: Path) -> Exercise:
    """The exercise in the instructor's notebook."""
    return Exercise.read(source)


@pytest.fixture(scope="session")
def solved(source: Path) -> NotebookNode:
    """The instructor's notebook with nbgrader's marks taken out of the stubs; copy before you change it."""
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("### "))
    return notebook


@pytest.fixture(scope="session")
def solutions(solved: NotebookNode) -> dict[str, str]:
    """The worked solution of each stub, in the order of the notebook."""
    return {grade_id(cell): cell.source for cell in solved.cells if kind_of(cell) == "stub"}


@pytest.fixture(scope="session")
def references(exercise: Exercise) -> tuple[Reference, ...]:
    """References of the notebook's own parameters and of two more seeds."""
    return tuple(Reference.of(exercise, parameters) for parameters in ({}, {"seed": 1}, {"seed": 2}))


@pytest.fixture(scope="session")
def grader(exercise: Exercise) -> Iterator[Grader]:
    """A warm grader for the exercise, with one hidden seed."""
    with warm_grader(exercise, [314159], settings=GradingSettings(limits=Limits(cell_seconds=3.0))) as grader:
        yield grader


@pytest.fixture(scope="session")
def submit(solved: NotebookNode, exercise: Exercise) -> Callable[..., Submission]:
    """Make a submission: the worked solution, some stubs replaced."""

    def make(**stubs: str) -> Submission:
        notebook = copy.deepcopy(solved)
        for cell in notebook.cells:
            cell.source = stubs.get(grade_id(cell), cell.source)
        return Submission.of(notebook, exercise)

    return make


@pytest.fixture(scope="session")
def play() -> Callable[[Exercise], dict[str, Any]]:
    """Run an exercise's locked cells as plain Python, in the namespace of a student's notebook."""

    def run(exercise: Exercise) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        with chdir(exercise.directory), torch.enable_grad():
            for text in exercise.setup({}):
                exec(text, namespace)
        return namespace

    return run


@pytest.fixture(scope="session")
def make_notebook() -> Callable[..., NotebookNode]:
    """Make a notebook of ``(kind, grade_id, source)`` cells; a locked cell called parameters carries that tag."""

    def make(*cells: tuple[str, str, str], points: Any = 1) -> NotebookNode:
        notebook = nbformat.v4.new_notebook()
        for number, (kind, name, text) in enumerate(cells):
            new_cell = nbformat.v4.new_markdown_cell if kind == "text" else nbformat.v4.new_code_cell
            cell = new_cell(text)
            if kind in ("locked", "stub", "check"):
                cell.metadata["nbgrader"] = {
                    "grade_id": name,
                    "grade": kind == "check",
                    "solution": kind == "stub",
                    "locked": kind != "stub",
                    "schema_version": 3,
                    "task": False,
                }
            if kind == "check":
                cell.metadata["nbgrader"]["points"] = points
            if name == "parameters":
                cell.metadata["tags"] = ["parameters"]
            cell["id"] = f"cell-{number}"
            notebook.cells.append(cell)
        return notebook

    return make


@pytest.fixture
def make_exercise(make_notebook: Callable[..., NotebookNode], tmp_path: Path) -> Callable[..., Exercise]:
    """Make a small exercise: a forward pass, and a stub and a check for each tensor named, the first one first."""

    def make(forward: str, *tensors: str) -> Exercise:
        cells = [("locked", "parameters", "seed = 1"), ("locked", "forward", forward)]
        for tensor in tensors:
            cells.append(("stub", f"d{tensor}", f"d{tensor} = None"))
            cells.append(("check", f"check_d{tensor}", f"cmp('{tensor}', d{tensor}, {tensor})"))
        return Exercise.of(make_notebook(*cells), "small", tmp_path)

    return make


VIEW = """
import os, sys
from pathlib import Path
from handgrad.sandbox.isolation import linux, namespaces
needed = [Path(path) for path in sys.argv[1:4]]
work = sys.argv[4]
linux.syscall(namespaces._UNSHARE[linux.ARCHITECTURE], 0x20000)
linux.mount("none", "/", None, 16384 | 1 << 18)
for closed in dict.fromkeys(way for path in needed for way in reversed(path.parents) if not way.stat().st_mode & 1):
    inside = [path for path in needed if closed in path.parents and path.exists()]
    for number, path in enumerate(inside):
        os.makedirs(f"{work}/{number}", exist_ok=True)
        linux.mount(str(path), f"{work}/{number}", None, 4096 | 16384)
    linux.mount("none", str(closed), "tmpfs", 0, "mode=755")
    for number, path in enumerate(inside):
        path.mkdir(parents=True, exist_ok=True)
        linux.mount(f"{work}/{number}", str(path), None, 4096 | 16384)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.chdir(needed[0])
os.execv(sys.executable, [sys.executable, *sys.argv[5:]])
"""
"""Become nobody, to whom the ways to the packages are opened (in a world of its own) where they are root's alone."""


@pytest.fixture(scope="session")
def test_as_nobody() -> Callable[..., None]:
    """Run the tests of a file again, as a user without privileges; where this is one, they have just been run."""

    def run(file: Path, *options: str) -> None:
        if os.geteuid():
            return
        with tempfile.TemporaryDirectory() as work:
            os.chown(work, 65534, 65534)
            ways = [str(ROOT), sys.prefix, sys.base_prefix, work]
            options = ("-q", "-p", "no:cacheprovider", f"--basetemp={work}/pytest", "-W", "error", *options, str(file))
            done = subprocess.run(
                [sys.executable, "-c", VIEW, *ways, "-m", "pytest", *options],
                env={"PATH": os.environ["PATH"], "HOME": work, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert " passed" in done.stdout

    return run
