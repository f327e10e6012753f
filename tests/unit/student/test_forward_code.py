"""The forward pass as its cells write it: steps, sizes, and what makes it impossible to run it again."""

from contextlib import chdir
from typing import Any

import pytest
import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.helps.counterexample import Counterexample
from handgrad.student.helps.forward_code import ForwardCode, NoHelp
from helpers.exercises import EXERCISES, WITH_GRADIENTS
from helpers.played_notebooks import code_of, play

WITH_A_FORWARD_PASS = [*WITH_GRADIENTS, "training"]
"""`training` has it in a function; other exercises of values alone have none."""


@pytest.mark.parametrize("assignment", WITH_A_FORWARD_PASS)
def test_steps(assignment: str) -> None:
    """The consumers that the lines say are those that autograd's graph says, and the gradients of steps are its."""
    code = code_of(play(assignment))
    forward = code.forward_pass
    for name in code.tensors:
        assert set(code.step(name).consumers) == set(forward.consumers[name]), name
        upstream = {other: gradient.double() for other, gradient in forward.true.items()}
        gradient = code.gradient(name, code.in_double(), upstream)
        scale = forward.scales.get(name, float(forward.true[name].abs().max()))
        assert gradient is not None
        assert torch.allclose(gradient.float(), forward.true[name], rtol=1e-3, atol=1e-4 * scale), name


@pytest.mark.parametrize("assignment", WITH_A_FORWARD_PASS)
def test_the_whole_pass_again(assignment: str) -> None:
    """Run again from each tensor on, the pass makes what the notebook has."""
    code = code_of(play(assignment))
    for name, tensor in code.tensors.items():
        made = code.rerun(name, tensor.detach().double())
        assert LOSS in made
        for other, value in made.items():
            assert torch.allclose(value.float(), code.namespace[other], rtol=1e-3, atol=1e-5), (name, other)


def test_sizes() -> None:
    """The numbers of the parameters and the lengths that a tensor counts are sizes; seeds and other numbers are not."""
    assert code_of(play("backprop")).sizes == {
        "batch_size": 32, "n_embd": 10, "n_hidden": 64, "block_size": 3, "vocab_size": 27
    }  # fmt: skip
    assert code_of(play("attention")).sizes == {"batch_size": 4, "block_size": 6, "n_embd": 8, "head_size": 5}


def test_other_sizes() -> None:
    """With other sizes all tensors have other shapes; sizes that do not fit give nothing."""
    with chdir(EXERCISES["backprop"].directory):
        code = code_of(play("backprop"))
        setting = code.setting({**code.sizes, "batch_size": 2, "n_hidden": 3})
        assert setting
        assert setting.namespace["h"].shape == (2, 3)
        assert code.setting({**code.sizes, "n_hidden": 0}) is None


def test_a_second_run() -> None:
    """A notebook that was run twice is read as it was run last."""
    namespace = play("attention")
    namespace["In"] = [*namespace["In"], *namespace["In"]]
    assert code_of(namespace).step("att").consumers == ("mixed",)


def test_a_loop_that_trains() -> None:
    """A forward pass whose tensors a loop has trained is not run in other sizes: that might take hours."""
    cells = [
        "import torch\nn = 3\nW = torch.ones(n, requires_grad=True)\nwith torch.no_grad():\n    pass",
        "for step in range(10**9):\n    W.data -= 0.1\n    break",
        "y = W * 2\ny.retain_grad()\nloss = y.sum()\nloss.backward(retain_graph=True)",
        "dy = torch.zeros(n)",
    ]
    namespace: dict[str, Any] = {}
    for cell in cells:
        exec(cell, namespace)
    with pytest.raises(NoHelp, match="does not run in smaller sizes: RuntimeError: a loop changes its tensors"):
        Counterexample.of(ForwardCode.of(cells, namespace), "y")
