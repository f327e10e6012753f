"""The process behind ``handgrad check``: one import of torch, what it says meanwhile, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from handgrad.course.commands.check_process import CheckProcess, CheckRequest, modules_for
from handgrad.errors import HandgradError, RenameError, SandboxError
from handgrad.sandbox.warm_process import PRELOAD
from helpers.courses import wait_for
from helpers.paths import ROOT


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A solved notebook in the current folder, by its name."""
    shutil.copy(ROOT / "solutions/cross_entropy/cross_entropy.ipynb", tmp_path)
    monkeypatch.chdir(tmp_path)
    return "cross_entropy.ipynb"


def test_a_report(notebook: str) -> None:
    """It works in the folder of the command, and says what it does."""
    told: list[str] = []
    with CheckProcess(("numpy",)) as process:
        report = process.check(CheckRequest(notebook), told.append)
    assert report.passed
    assert told[0] == f"reading {notebook}"
    number = told[1].rpartition(" ")[2]
    assert told[1 : int(number) + 1] == [f"running cell {cell} of {number}" for cell in range(1, int(number) + 1)]


def test_errors(notebook: str) -> None:
    """What is raised there is raised here."""
    with CheckProcess(()) as process, pytest.raises(RenameError, match="the notebook has no nothing"):
        process.check(CheckRequest(notebook, renames=("nothing=logits",)), lambda _: None)


def test_an_error_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that only a module knows is one for the user all the same; --verbose shows where it comes from."""
    monkeypatch.chdir(tmp_path)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]), "empty.ipynb")
    with CheckProcess(()) as process, pytest.raises(HandgradError) as caught:
        process.check(CheckRequest("empty.ipynb"), lambda _: None)
    assert "empty.ipynb" in str(caught.value)
    assert "Traceback" in caught.value.__notes__[0]


def test_it_ends(notebook: str) -> None:
    """If it is killed, that is one sentence."""
    with CheckProcess(()) as process:

        def end(_: str) -> None:
            process.process.kill()

        with pytest.raises(SandboxError, match=r"the process that checks (ended|does not answer)"):
            process.check(CheckRequest(notebook), end)


def test_what_it_forked_ends_before_its_home_is_removed(notebook: str) -> None:
    """Even a warm process that does not look at its socket, as in a long cell: it could still write to the home."""
    forked: list[int] = []

    def stop(doing: str) -> None:
        if doing.startswith("running") and not forked:
            forked.extend(_children(process.process.pid))
            for child in forked:
                forked.extend(_children(child))
            for pid in forked:
                os.kill(pid, signal.SIGSTOP)
            process.process.kill()

    with CheckProcess(()) as process, pytest.raises(SandboxError):
        process.check(CheckRequest(notebook), stop)
    assert len(forked) >= 2
    assert not process.home.exists()
    # they have closed their files; the kernel may still count them among the living
    wait_for(lambda: not any(map(_lives, forked)), 10)


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "XZ"
    return False


def test_the_warm_process_is_told_nothing(notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the command is not in the memory of the process that runs the notebook."""
    secret = "a-token-of-the-service"
    monkeypatch.setenv("HANDGRAD_TOKEN", secret)
    found: dict[int, bool] = {}

    def look(_: str) -> None:
        judge = process.process.pid
        for pid in (judge, *_children(judge)):
            # one may have ended meanwhile
            with suppress(OSError):
                found[pid] = found.get(pid, False) or _holds(pid, secret)

    with CheckProcess(()) as process:
        judge = process.process.pid
        process.check(CheckRequest(notebook), look)
    assert found.pop(judge)
    assert found
    assert not any(found.values())


def _holds(pid: int, text: str) -> bool:
    """Whether a process has ``text`` in the memory that it writes to."""
    with Path(f"/proc/{pid}/maps").open(encoding="ascii") as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw"):
                continue
            try:
                memory.seek(start)
                if text.encode() in memory.read(end - start):
                    return True
            except OSError:
                continue
    return False


def test_modules_for(tmp_path: Path) -> None:
    """matplotlib is imported before only if the notebook may want it."""
    path = tmp_path / "a.ipynb"
    for text, modules in (("import torch", ("numpy",)), ("import matplotlib.pyplot as plt", PRELOAD), ("plt", PRELOAD)):
        path.write_text(text, encoding="utf-8")
        assert modules_for(path) == modules
    assert modules_for(tmp_path) == PRELOAD


def test_no_torch_in_the_command() -> None:
    """The command itself does not import it."""
    program = "import sys; sys.modules['torch'] = None; import handgrad.cli, handgrad.course.commands.check_process"
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))
