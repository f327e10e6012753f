"""Sentences that were not true of small networks: sizes named by a loop's variable, factors of single numbers."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from handgrad.authoring.new_exercise import new_exercise
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.mistakes.catalogue import recognise
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

LOOP = '''"""A recurrent network in a loop.

The name h is used again in each turn.
"""

import torch

seed = 11
batch, steps, n_in, n_hid, n_out = 3, 4, 5, 6, 4

g = torch.Generator().manual_seed(seed)
xs = torch.randn((steps, batch, n_in), generator=g)
targets = torch.randint(0, n_out, (batch,), generator=g)
Wxh = (torch.randn((n_in, n_hid), generator=g) * 0.4).requires_grad_()
Whh = (torch.randn((n_hid, n_hid), generator=g) * 0.4).requires_grad_()
bh = (torch.randn((n_hid,), generator=g) * 0.1).requires_grad_()
Why = (torch.randn((n_hid, n_out), generator=g) * 0.4).requires_grad_()

h = torch.zeros(batch, n_hid)
for t in range(steps):
    h = torch.tanh(xs[t] @ Wxh + h @ Whh + bh)
logits = h @ Why
logprobs = logits.log_softmax(1)
loss = -logprobs[range(batch), targets].mean()
'''
NEURON = '''"""One neuron.

Every value is a single number.
"""

import torch

seed = 2

g = torch.Generator().manual_seed(seed)
x1, x2 = torch.randn(2, generator=g)
a = torch.randn((), generator=g).requires_grad_()
c = torch.randn((), generator=g).requires_grad_()
e = a * c
d = e + a * x1
f = torch.tanh(d * x2)
loss = f * e
'''
THREE = '''"""Three uses of three rows."""

import torch

seed = 5
width = 3
g = torch.Generator().manual_seed(seed)
x1, x2, x3 = torch.randn((3, 4, width), generator=g)
W = torch.randn((width, 5), generator=g).requires_grad_()
a = x1 @ W
b = x2 @ W
c = x3 @ W
loss = (a * b + c).tanh().sum()
'''
Told = Mapping[str, Diagnosis | None]


def _told(script: str, tmp_path: Path, factor: float) -> Told:
    """What is said of each gradient that is ``factor`` times what it should be, in one step pass."""
    (tmp_path / "nbgrader_config.py").touch()
    (tmp_path / "forward.py").write_text(script, encoding="utf-8")
    exercise = Exercise.read(new_exercise(Course.at(tmp_path), "network", tmp_path / "forward.py"))
    references = [Reference.of(exercise, {"seed": seed}) for seed in (1, 2)]
    facts = ForwardFacts.of(references, exercise.setup({}))
    context = references[0].backward_context(facts, step=True)
    return {
        name: recognise(f"d{name}", [WrongAnswer(context, name, factor * expected, expected.double())])
        for name, expected in references[0].step.gradients.items()
    }


def test_a_loop_s_variable_is_no_size(tmp_path: Path) -> None:
    """Three is the size of the batch, and not what is left of the loop; a name of several values has no line."""
    told = _told(LOOP, tmp_path, 1 / 3)["bh"]
    assert told is not None
    assert told.what == "dbh is 1/3 times what it should be (batch is 3)."
    assert "torch.zeros" not in told.advice


def test_as_many_branches_as_rows(tmp_path: Path) -> None:
    """A third may be the mean of three branches or a division by the width: neither is said."""
    told = _told(THREE, tmp_path, 1 / 3)["W"]
    assert told is not None
    assert told.what == "dW is 1/3 times what it should be."


@pytest.mark.parametrize("factor", [10.1, 0.36])
def test_a_single_number_is_no_multiple(factor: float, tmp_path: Path) -> None:
    """Any number is a multiple of any other, so no factor is named."""
    assert not [found.what for found in _told(NEURON, tmp_path, factor).values() if found]


def test_a_plain_factor_of_a_single_number(tmp_path: Path) -> None:
    """Twice the right number is no chance."""
    told = _told(NEURON, tmp_path, 2.0)["d"]
    assert told is not None
    assert told.what == "dd is 2 times what it should be."
