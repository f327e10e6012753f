"""`nudge`: the measured slope is autograd's gradient, for every tensor of every exercise."""

import random
from typing import Any

import pytest
import torch

from handgrad.gradients.autograd_graph import gradients_kept
from handgrad.student.helps.forward_code import ForwardCode, NoHelp
from handgrad.student.helps.nudge import STEP, Nudge
from helpers.exercises import WITH_GRADIENTS, few_are_fast
from helpers.played_notebooks import code_of, play


def _assert_true(code: ForwardCode, nudge: Nudge) -> None:
    """The loss, and the largest change of each tensor on the way, agree with autograd."""
    tensor = code.tensors[nudge.name]
    true = code.forward_pass.true[nudge.name]
    scale = float(true.abs().max()) + 1e-3 * float(code.forward_pass.step[nudge.name].abs().max())
    if nudge.has_kink:
        return
    assert nudge.slope == pytest.approx(float(true[nudge.index]), rel=1e-3, abs=1e-4 * scale)
    for other, change in nudge.changes.items():
        entry = int(change.slope.abs().argmax())
        with gradients_kept(code.tensors.values()):
            (by_autograd,) = torch.autograd.grad(
                code.namespace[other].reshape(-1)[entry], tensor, retain_graph=True, allow_unused=True
            )
        expected = 0.0 if by_autograd is None else float(by_autograd[nudge.index])
        assert float(change.slope.flatten()[entry]) == pytest.approx(expected, rel=2e-2, abs=1e-3), other
        assert int(change.moved.sum()) == 0 or bool(change.moved.flatten()[entry])


@pytest.mark.parametrize("assignment", few_are_fast(WITH_GRADIENTS))
def test_every_tensor(assignment: str) -> None:
    """Every number of a nudge is autograd's; the student's number stands beside it."""
    code = code_of(play(assignment))
    draw = random.Random(3)
    for name, tensor in code.tensors.items():
        index = [draw.randrange(size) for size in tensor.shape]
        nudge = Nudge.of(code, name, index)
        _assert_true(code, nudge)
        text = nudge.output().text()
        assert f"{float(tensor.detach()[tuple(index)]):.4g}. What happens if it grows by {STEP:g}:" in text
        if isinstance(answer := code.namespace.get(f"d{name}"), torch.Tensor):
            assert nudge.yours == pytest.approx(float(answer.detach()[tuple(index)]))
            assert f"Yours: d{name}[{', '.join(map(str, index))}] is" in text


def test_the_way_to_the_loss() -> None:
    """Each tensor on the way is shown with the number of its entries that change."""
    code = code_of(play("backprop", "dcounts = counts_sum_inv * dprobs"))
    rows = [line.split() for line in Nudge.of(code, "counts", [3, 5]).output().text().splitlines()]
    assert ["counts_sum", "(32,", "1)", "1", "of", "32", "+1"] in rows
    assert next(row for row in rows if row[0] == "probs")[3:6] == ["27", "of", "864"]


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ([3, 27], r"give an index from \[0, 0\] to \[31, 26\]"),
        ([3], "give an index"),
        ([1, 2, 3], "give an index"),
        ("no", "give an index"),
        (None, "give an index"),
    ],
)
def test_an_index_that_does_not_fit(index: Any, sentence: str) -> None:
    """The sentence says what does."""
    with pytest.raises(NoHelp, match=sentence):
        Nudge.of(code_of(play("backprop")), "probs", index)


def test_other_ways_to_give_an_index() -> None:
    """A tuple, numbers from the end, and a plain number for one dimension."""
    code = code_of(play("backprop"))
    assert Nudge.of(code, "probs", (-1, -27)).index == (31, 0)
    assert Nudge.of(code, "b2", 4).index == (4,)


def test_a_kink() -> None:
    """At a maximum with two largest numbers, up and down differ, and that is said."""
    namespace: dict[str, Any] = {"torch": torch}
    cells = [
        "x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True)\ny = x.max()\ny.retain_grad()\nloss = y * 3\n"
        "loss.backward(retain_graph=True)"
    ]
    exec(cells[0], namespace)
    text = Nudge.of(ForwardCode.of(cells, namespace), "x", [0]).output().text()
    assert "There is a kink here: upwards the loss changes by +3 for each step, downwards by 0." in text


def test_what_the_loss_cannot_show() -> None:
    """Where the loss hides a mistake, the nudge says what can show it."""
    code = code_of(play("backprop"))
    sentence = "This loss cannot show whether dlogits is right; counterexample('dlogits') can."
    assert sentence in Nudge.of(code, "logits", [0, 1]).output().text()
    assert "cannot show" not in Nudge.of(code, "probs", [0, 1]).output().text()


def test_a_target_made_from_the_input() -> None:
    """What needs no gradient stays as it is: the target of `attention` is made from x, and is no part of the graph."""
    code = code_of(play("attention"))
    assert "target" not in Nudge.of(code, "x", [0, 0, 0]).changes


def test_tensors_that_changed() -> None:
    """If the cells do not make the notebook's tensors any more, they must run again."""
    namespace = play("backprop")
    namespace["W2"] = namespace["W2"].detach().clone() * 2
    with pytest.raises(NoHelp, match="logits is not what its cell makes now: run the cells from the top again"):
        Nudge.of(code_of(namespace), "h", [0, 0])
