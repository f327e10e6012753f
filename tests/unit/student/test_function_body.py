"""A forward pass in a function, as in `training`: its body is read as a cell, and all three helps work."""

from collections.abc import Iterator
from contextlib import chdir

import pytest
import torch

from handgrad.student.helps.counterexample import Counterexample
from handgrad.student.helps.forward_code import ForwardCode, NoHelp
from handgrad.student.helps.function_body import unfolded
from handgrad.student.helps.hint import STEPS, hint
from handgrad.student.helps.nudge import Nudge
from helpers.exercises import EXERCISES
from helpers.played_notebooks import code_of, play

MISTAKES = {
    "dC": (".index_add_(0, Xb.view(-1), demb.view(-1, n_embd))", ""),
    "dW1": ("dW1 = embcat.T @ dhprebn", "dW1 = embcat.T @ dhpreact"),
    "db1": ("db1 = dhprebn.sum(0)", "db1 = dhprebn[0]"),
    "dW2": ("dW2 = h.T @ dlogits", "dW2 = 2 * h.T @ dlogits"),
    "db2": ("db2 = dlogits.sum(0)", "db2 = dlogits.mean(0)"),
    "dbngain": ("dbngain = (bnraw * dhpreact)", "dbngain = (h * dhpreact)"),
    "dbnbias": ("dbnbias = dhpreact.sum(0", "dbnbias = dh.sum(0"),
    "dhpreact": ("(1 - h**2) * dh", "(1 - h) * dh"),
    "dlogits": ("    dlogits /= n\n", ""),
}


@pytest.fixture(autouse=True)
def _beside_the_notebook() -> Iterator[None]:
    with chdir(EXERCISES["training"].directory):
        yield


def _with(old: str, new: str) -> ForwardCode:
    """The notebook `training` with one line of its backward pass replaced."""
    source = next(cell for cell in play("training")["In"] if "def backward" in cell)
    assert old in source
    return code_of(play("training", source.replace(old, new)))


@pytest.mark.parametrize("gradient", MISTAKES)
def test_every_gradient(gradient: str) -> None:
    """Every gradient of `training` gets its hints, a nudge, and a small case in which a mistake fails."""
    code, name = _with(*MISTAKES[gradient]), gradient.removeprefix("d")
    example = Counterexample.of(code, name, 20.0)
    assert example.case.fails
    assert example.case.numbers <= 24
    assert f"{gradient} fails already here" in example.output().text()
    texts = [hint(code, name, step).text() for step in range(1, STEPS + 1)]
    assert f"{name} goes into" in texts[0]
    assert "contribution" in texts[1] or "counterexample" in texts[1]
    assert "A neighbour" in texts[2]
    index = [0] * code.tensors[name].dim()
    scale = float(code.forward_pass.step[name].abs().max())
    true = float(code.forward_pass.true[name][tuple(index)])
    assert Nudge.of(code, name, index).slope == pytest.approx(true, rel=1e-3, abs=1e-4 * scale)


def test_the_solution() -> None:
    """The worked solution is not blamed for anything."""
    code = code_of(play("training"))
    for name in ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias", "logits", "h", "hprebn", "emb"):
        with pytest.raises(NoHelp, match=r"is right|no case was found"):
            Counterexample.of(code, name, 1.0)


def test_closed_forms_need_no_gradient_in_between() -> None:
    """A formula for several steps at once is not sent to gradients that it skips."""
    text = hint(_with("n / (n - 1) * ", ""), "hprebn", 2).text()
    assert "the contribution through bnvar is there 31/32 times" in text
    assert "begin there" not in text


def test_the_notebook_stays_as_it_is() -> None:
    """The function's names do not get into the notebook, and its parameters stay as they are."""
    namespace = play("training")
    before = {name: value.clone() for name, value in namespace.items() if isinstance(value, torch.Tensor)}
    names = set(namespace)
    assert unfolded(namespace["In"], namespace)
    assert set(namespace) == names
    assert [name for name, value in before.items() if not torch.equal(namespace[name], value)] == []
    assert not namespace["W1"].requires_grad


@pytest.mark.parametrize(
    "cells",
    [
        ["def f(a):\n    return a"],
        ["def f(a):\n    loss = a.sum()\n    return loss"],
        ["def f(a):\n    loss = a.sum() / 0 + b\n    return loss", "f(x)"],
        ["def f(a):\n    loss = 3\n    return loss", "f(x)"],
        ["def f(a):\n    loss = a.sum()\n    return loss", "f(a=x)"],
        ["def f(a):\n    loss = a.sum()\n    return loss", "def g(y):\n    return f(y)"],
    ],
)
def test_what_cannot_be_unfolded(cells: list[str]) -> None:
    """A function without a loss, without a call whose arguments are known, or one that raises."""
    assert unfolded(cells, {"x": torch.ones(2)}) is None


def test_other_calls() -> None:
    """A call at the top, in another function or in a loop gives the arguments."""
    for call in ("f(x, 3)", "def g(k=3):\n    y = x\n    return f(y, k)", "out = [f(x, 3)]"):
        found = unfolded(
            ["def f(a, k):\n    h = a * k\n    loss = h.sum()\n    return loss", call], {"x": torch.ones(2)}
        )
        assert found
        assert found[1]["h"].grad.tolist() == [1.0, 1.0]
