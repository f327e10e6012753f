"""What a check says of the session in which it runs: every sentence is true of the session as it is."""

import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

from handgrad.student import session
from helpers.paths import ROOT
from helpers.sessions import EVENINGS, NAME, Evening


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A student's IPython, in the released folder."""
    shutil.copytree(ROOT / "release" / NAME, tmp_path / NAME)
    monkeypatch.chdir(tmp_path / NAME)
    monkeypatch.setattr(session, "_session", [])
    shell = InteractiveShell()
    shell.run_line_magic("colors", "nocolor")
    session.listen_to(shell)
    return shell


@pytest.mark.parametrize("evening", EVENINGS.values(), ids=EVENINGS)
def test_what_is_said(evening: Evening, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """The last cell says what has happened before it."""
    for cell in (*evening.setup, *evening.cells):
        capsys.readouterr()
        shell.run_cell(cell, store_history=True)
    said = capsys.readouterr().out
    for part in evening.said:
        assert part in said
    for part in evening.not_said:
        assert part not in said


@pytest.mark.parametrize(
    "evening",
    [
        pytest.param(evening, id=name, marks=pytest.mark.proof if number else pytest.mark.slow)
        for number, (name, evening) in enumerate(EVENINGS.items())
    ],
)
def test_in_a_kernel(evening: Evening, tmp_path: Path) -> None:
    """The same in a notebook, where it is on the card."""
    shutil.copytree(ROOT / "release" / NAME, tmp_path / NAME)
    cells = [nbformat.v4.new_code_cell(cell) for cell in (*evening.setup, *evening.cells)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, allow_errors=True, resources={"metadata": {"path": tmp_path / NAME}}).execute()
    outputs = notebook.cells[-1].outputs
    said = "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)
    for part in evening.said:
        assert part in said
    for part in evening.not_said:
        assert part not in said


@pytest.mark.parametrize(
    "evening",
    [evening for evening in EVENINGS.values() if evening.in_a_script],
    ids=[name for name, evening in EVENINGS.items() if evening.in_a_script],
)
def test_in_a_script(
    evening: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a history, only what the variables tell is said."""
    shutil.copytree(ROOT / "release" / NAME, tmp_path / NAME)
    monkeypatch.chdir(tmp_path / NAME)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for cell in (*evening.setup, *evening.cells[:-1]):
        exec(cell, namespace)
    capsys.readouterr()
    message = ""
    try:
        exec(evening.cells[-1], namespace)
    except AssertionError as failed:
        message = str(failed)
    said = capsys.readouterr().out + message
    assert evening.in_a_script
    for part in evening.in_a_script:
        assert part in said
    assert "In [" not in said


def test_tensors_are_not_kept(shell: InteractiveShell) -> None:
    """The history holds no tensor of the student's that is gone."""
    shell.run_cell("import torch; x = torch.zeros(3)", store_history=True)
    kept = session.session_of(shell.user_ns).runs[-1].changed["x"].reference
    assert isinstance(kept(), torch.Tensor)
    shell.run_cell("x = 1", store_history=True)
    assert kept() is None


def test_another_namespace() -> None:
    """A check in a module knows nothing of the notebook's history."""
    assert session.session_of({}).runs == []
