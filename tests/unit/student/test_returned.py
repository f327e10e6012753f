"""Answers that a function returns to a check: at home they have no name, and count all the same."""

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from handgrad.student import session

SETUP = """
import torch
from handgrad import cmp, counterexample, hint, progress
torch.manual_seed(3)
x = torch.randn(5, 3, requires_grad=True)
W = torch.randn(3, 4, requires_grad=True)
y = x @ W
loss = (y**2).mean()
y.retain_grad()
loss.backward(retain_graph=True)
"""
RIGHT = "def backward(dout, x, W):\n    return dout @ W.T, x.T @ dout"
CHECKS = ("cmp('x', backward(dy, x, W)[0], x)", "cmp('W', backward(dy, x, W)[1], W)")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A shell of which the checks are told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "_session", [])
    shell = InteractiveShell()
    shell.run_line_magic("colors", "nocolor")
    session.listen_to(shell)
    return shell


def said(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], *cells: str) -> str:
    """What the last of some cells prints, and the sentence that it raises."""
    for cell in cells:
        capsys.readouterr()
        result = shell.run_cell(cell, store_history=True)
    return capsys.readouterr().out + str(result.error_in_exec or "")


def test_what_a_function_returns(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """It is checked, drawn, explained and shown at its smallest like a variable; a new function takes it away."""
    unwritten = "def backward(dout, x, W):\n    dx = dW = None\n    ...\n    return dx, dW"
    assert "dx is not written yet" in said(shell, capsys, SETUP, "dy = 2 * y / y.numel()", unwritten, CHECKS[0])
    assert "Of 3 gradients: 1 right, 2 not yet." in said(shell, capsys, "progress()")
    assert "approximate: True" in said(shell, capsys, RIGHT, *CHECKS)
    assert "Of 3 gradients: 3 right." in said(shell, capsys, "progress()")
    # a wrong function: what the one before it returned counts no longer
    assert "dx is 2 times what it should be" in said(
        shell, capsys, RIGHT.replace("dout @ W.T", "2 * dout @ W.T"), CHECKS[0]
    )
    assert "Of 3 gradients: 1 right, 1 wrong, 1 not yet. Next: dx" in said(shell, capsys, "progress()")
    assert "x (5, 3)  \u2500\u2500\u25b6 y (5, 4)  y = x @ W" in said(shell, capsys, "hint('dx')")
    assert "dx fails already here:" in said(shell, capsys, "counterexample('dx')")
    # after the forward pass has run again, what was returned is older
    assert "1 right, 2 not yet" in said(shell, capsys, SETUP, "progress()")
