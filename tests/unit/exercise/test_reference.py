"""The right answers: gradients as backward leaves them, what is blind, and what an author is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from helpers.inputs import named

FORWARD = """
import torch
x = torch.linspace(-1, 1, 6).view(2, 3).requires_grad_()
y = torch.tanh(x)
z = y.sum(1)
loss = (z ** 2).mean()
"""


def test_gradients_are_those_of_backward(
    exercise: Exercise, references: tuple[Reference, ...], play: Callable[[Exercise], dict[str, Any]]
) -> None:
    """The gradients are, to the last bit, what ``loss.backward`` leaves in ``.grad``."""
    namespace = play(exercise)
    assert set(references[0].gradients) == set(exercise.tensors.values())
    for name, gradient in references[0].gradients.items():
        assert torch.equal(gradient, namespace[name].grad), name
        assert torch.equal(references[0].tensors[name], namespace[name]), name


def test_gradients_are_the_slopes_of_the_loss(make_exercise: Callable[..., Exercise]) -> None:
    """The gradient of a leaf is the slope of the loss, measured by central differences in double precision."""
    forward = FORWARD.replace("6)", "6, dtype=torch.float64)")
    reference = Reference.of(make_exercise(forward, "z", "y", "x"), {})
    gradient = torch.zeros(6, dtype=torch.float64)
    for index in range(6):
        sides = []
        for move in (1e-6, -1e-6):
            x = reference.tensors["x"].detach().flatten().clone()
            x[index] += move
            sides.append(float((torch.tanh(x.view(2, 3)).sum(1) ** 2).mean()))
        gradient[index] = (sides[0] - sides[1]) / 2e-6
    torch.testing.assert_close(reference.gradients["x"].flatten(), gradient, rtol=1e-7, atol=1e-9)


def test_parameters_reach_the_cells(exercise: Exercise, references: tuple[Reference, ...]) -> None:
    """Other parameters give other values and gradients; the same give the same, the random step included."""
    assert [reference.namespace["seed"] for reference in references[1:]] == [1, 2]
    again = Reference.of(exercise, {"seed": 1})
    for name in exercise.tensors.values():
        assert torch.equal(again.gradients[name], references[1].gradients[name])
        assert torch.equal(again.step.upstream[name], references[1].step.upstream[name])
        assert not torch.equal(references[1].gradients[name], references[2].gradients[name])
        signs = [reference.step.upstream[name].sign() for reference in references[1:]]
        # where only a label's column is not zero, as in logprobs, other labels alone would change the signs
        both = (signs[0] != 0) & (signs[1] != 0)
        assert not torch.equal(signs[0][both], signs[1][both]) or both.sum() < 8
    small = Reference.of(exercise, {"seed": 1, "batch_size": 4})
    assert small.gradients["probs"].shape[0] == small.namespace["n"] == 4


def test_forward_order(references: tuple[Reference, ...]) -> None:
    """Tensors come in forward order, the last stub's first, and are part of the graph."""
    for reference in references:
        assert list(reference.tensors) == list(reference.gradients)
        assert next(iter(reference.tensors)) == "C"
        assert all(tensor.requires_grad for tensor in reference.tensors.values())
        assert not any(gradient.requires_grad for gradient in reference.gradients.values())


def test_retained_gradients_are_left_alone(exercise: Exercise) -> None:
    """In the namespace that checks see, ``.grad`` is what the locked cells left there."""
    reference = Reference.of(exercise, {})
    ForwardFacts.of([reference])
    for name, gradient in reference.gradients.items():
        assert torch.equal(reference.namespace[name].grad, gradient), name


def test_facts(references: tuple[Reference, ...]) -> None:
    """Blind are the tensors that are zero by construction, and those that one of them reads."""
    facts = ForwardFacts.of(references)
    assert facts.zero == {"b1", "logit_maxes"}
    assert facts.blind == {"b1", "logit_maxes", "logits"}
    expected = {name for name, readers in facts.consumers.items() if name in facts.zero or facts.zero & set(readers)}
    assert facts.blind == expected


def test_facts_hold_on_every_reference(references: tuple[Reference, ...]) -> None:
    """A tensor that is zero on some data only is not zero by construction."""
    first = references[0]
    unlucky = replace(first, gradients={**first.gradients, "h": torch.zeros_like(first.gradients["h"])})
    assert "h" in ForwardFacts.of([unlucky]).zero
    assert "h" not in ForwardFacts.of([unlucky, first]).zero


FAULTS = {
    "no loss": (FORWARD.replace("loss", "los"), ("x",), "define no scalar tensor called 'loss'"),
    "loss is a number": (FORWARD + "loss = loss.item()", ("x",), "define no scalar tensor called 'loss'"),
    "loss is a vector": (FORWARD + "loss = z * 1", ("x",), "define no scalar tensor called 'loss'"),
    "loss is cut off": (FORWARD + "loss = loss.detach()", ("x",), "define no scalar tensor called 'loss'"),
    "graph is gone": (FORWARD + "loss.backward()", ("y",), "must call loss.backward(retain_graph=True)"),
    "aside": (FORWARD + "aside = y * 2", ("aside", "y"), "aside has a stub but does not lead to the loss"),
    "no tensor": (FORWARD, ("zz",), "there is a stub for dzz, but no tensor zz that has a gradient. Did you mean z?"),
    "two faults": (FORWARD, ("xs", "ys"), "dys, but no tensor ys that has a gradient. Did you mean y?"),
    "no gradient": (FORWARD + "w = torch.ones(3)", ("w",), "no tensor w that has a gradient"),
    "cell raises": (FORWARD + "1 / 0", ("x",), "locked cell 2 raises ZeroDivisionError: division by zero"),
}


GIVEN = FORWARD + "y.retain_grad(); loss.backward(retain_graph=True)\ndy = y.grad.clone()\n"
ASIDE = "w = y * 2\nw.retain_grad()\nloss.backward(retain_graph=True)\n"
BEFORE = "dy = y.grad.clone()\nloss.backward(retain_graph=True)"
FAULTS |= {
    "given aside": (FORWARD + ASIDE + "dw = w.grad.clone()", ("x",), ""),
    "given aside, no copy": (FORWARD + ASIDE + "dw = w.grad", ("x",), "w has a given gradient but does not lead to"),
    "given too early": (FORWARD + "y.retain_grad()\n" + BEFORE, ("x",), ""),
    "given without retain_grad": (GIVEN.replace("y.retain_grad(); ", ""), ("x",), ""),
    "given is something else": (GIVEN + "dy = dy * 2", ("x",), ""),
    "given as nothing": (FORWARD + "y.retain_grad()\ndy = y.grad", ("x",), ""),
}


def test_a_given_is_a_consumer(make_exercise: Callable[..., Exercise]) -> None:
    """A tensor whose gradient is given is a named one: consumed and consuming, with a random gradient in the step."""
    reference = Reference.of(make_exercise(GIVEN, "x"), {})
    assert list(reference.tensors) == ["x", "y"]
    assert torch.equal(reference.gradients["y"], reference.namespace["dy"])
    assert ForwardFacts.of([reference]).consumers == {"x": ("y",), "y": ("loss",)}
    slope = 1 - torch.tanh(reference.namespace["x"]) ** 2
    torch.testing.assert_close(reference.step.gradients["x"], (reference.step.upstream["y"] * slope).detach())
    assert not torch.allclose(reference.step.upstream["y"], reference.gradients["y"])


def test_faults(make_exercise: Callable[..., Exercise]) -> None:
    """An exercise that cannot be graded says which tensor or cell is at fault, and what to do."""
    for name in FAULTS:
        with named(name):
            forward, tensors, message = FAULTS[name]
            with pytest.raises(ExerciseError) as caught:
                Reference.of(make_exercise(forward, *tensors), {})
            assert (message or "is not the gradient of") in str(caught.value)
            assert str(caught.value).startswith("small: ")


def test_all_faults_at_once(make_exercise: Callable[..., Exercise]) -> None:
    """Every stub without a tensor is named, not the first alone."""
    with pytest.raises(ExerciseError, match=r"dxs.*Did you mean x\?") as caught:
        Reference.of(make_exercise(FORWARD, "ys", "xs"), {})
    assert "dys" in str(caught.value)


def test_the_grader_stays_where_it_is(
    make_exercise: Callable[..., Exercise], capsys: pytest.CaptureFixture[str]
) -> None:
    """Locked cells print nothing here and see their own folder, also where the caller has switched gradients off."""
    forward = FORWARD + "import os\nhere = os.getcwd()\nprint('hello')"
    exercise = make_exercise(forward, "z", "x")
    with torch.no_grad():
        reference = Reference.of(exercise, {})
    assert reference.namespace["here"] == str(exercise.directory)
    assert capsys.readouterr().out == ""
    assert float(reference.gradients["z"].abs().max()) > 0
