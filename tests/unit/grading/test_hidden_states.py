"""The hidden passes: every branch and each side of every kink is seen, with as few step passes as that needs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nbformat import NotebookNode

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.new_weights import with_new_weights
from handgrad.exercise.reference import Reference
from handgrad.grading.hidden_states import HiddenStates
from helpers.exercises import EXERCISES, few_are_fast
from helpers.inputs import named

GENERATOR = "g = torch.Generator().manual_seed(seed)\n"
# one number of three is negative in few seeds only
KINK = f"""
import torch
{GENERATOR}x = (torch.rand(3, generator=g) - 0.2).requires_grad_()
y = x.abs()
loss = (y * torch.rand(3, generator=g)).sum()
"""
# nine branches, each a millionth of the one before
STIFF = f"""
import torch
{GENERATOR}x = torch.randn(4, generator=g).requires_grad_()
a = x * 1e-6
b = x * 1e-3 + a
loss = (a * 1e-6 + b).sum() + (x * x).sum()
"""


def _kinds(states: HiddenStates) -> list[str]:
    return [pass_.name for pass_ in states.passes]


@pytest.mark.parametrize("name", few_are_fast(EXERCISES))
def test_one_step_pass_is_enough(name: str) -> None:
    """The shipped exercises have one step pass a round (attention two for some seeds: a side is rare).

    In `operations` a few whole numbers do not reach every side of its small tensors at once: it has up to three.
    """
    exercise = EXERCISES[name]
    for seed in (5, 6):
        with named(seed):
            expected = ["visible", "step 1", "as written 1", "helped 1"] if exercise.tensors else ["visible"]
            kinds = _kinds(HiddenStates.of(exercise, [seed], (), exercise.training.hidden[0]))
            if name == "operations":
                kinds = [kind for kind in kinds if kind not in ("step 1, part 2", "step 1, part 3")]
            assert kinds == expected


def test_rounds(exercise: Exercise) -> None:
    """Each seed and each size has a round of its own; the step passes come first, as the others may be skipped."""
    states = HiddenStates.of(exercise, [5, 6], ({"batch_size": 16},), {})
    rest = [f"{kind} {number}" for number in (1, 2, 3) for kind in ("as written", "helped")]
    assert _kinds(states) == ["visible", "step 1", "step 2", "step 3", *rest]
    assert set(states.references) == set(_kinds(states))
    assert [pass_.parameters.get("batch_size") for pass_ in states.passes] == [None] * 3 + [16] + [None] * 4 + [16] * 2
    longer = HiddenStates.of(exercise, [5, 6, 7], (), {})
    assert [pass_.parameters for pass_ in longer.passes[1:3]] == [pass_.parameters for pass_ in states.passes[1:3]]


def test_both_sides_of_a_kink(make_exercise: Callable[..., Exercise]) -> None:
    """Whatever the seed, the step passes together have entries on both sides."""
    exercise = make_exercise(KINK, "y", "x")
    for seed in range(8):
        states = HiddenStates.of(exercise, [seed], (), {})
        steps = [states.references[name] for name in _kinds(states) if name.startswith("step")]
        with named(seed):
            assert any(bool((step.tensors["x"] < 0).any()) for step in steps)
            assert any(bool((step.tensors["x"] > 0).any()) for step in steps)


def test_a_side_that_is_not_reached_shows_nothing(make_exercise: Callable[..., Exercise]) -> None:
    """The true gradients of passes whose numbers lie on one side of a kink show no mistake on the other side."""
    states = HiddenStates.of(make_exercise(KINK, "y", "x"), [1], (), {})
    hidden = states.passes[1:]
    for passes in ([pass_] for pass_ in hidden), [hidden]:
        for group in passes:
            values = torch.cat([states.references[pass_.name].tensors["x"] for pass_ in group])
            is_on_both = bool((values < 0).any()) and bool((values > 0).any())
            assert is_on_both or not states.shows("x", ["y"], group)
    assert states.shows("x", ["y"], hidden)


def test_branches_that_no_scales_show_together(make_exercise: Callable[..., Exercise]) -> None:
    """Every branch is a visible part of its gradient in one of the step passes."""
    states = HiddenStates.of(make_exercise(STIFF, "b", "a", "x"), [3], (), {})
    steps = [states.references[name] for name in _kinds(states) if name.startswith("step")]
    left = set(steps[0].tensors)
    for step in steps:
        left &= step.branches.unseen(step.scales)
    assert not left


def test_new_weights(exercise: Exercise) -> None:
    """The hidden passes draw the weights again, so that a layer that begins with ones does not stay so."""
    changed = with_new_weights(exercise)
    assert changed is not None
    own, new = Reference.of(exercise, {"seed": 3}), Reference.of(changed, {"seed": 3})
    for name in ("C", "W1", "b1", "bngain", "W2", "b2"):
        assert not torch.equal(own.tensors[name], new.tensors[name]), name
    assert torch.equal(own.namespace["Xb"], new.namespace["Xb"])
    again = Reference.of(changed, {"seed": 3})
    assert all(torch.equal(again.tensors[name], new.tensors[name]) for name in new.tensors)


WEIGHTS = {
    "a name": ("W = torch.ones(2, 2, requires_grad=True)", "W"),
    "a list": ("layers = [torch.ones(2, 2, requires_grad=True)]", "layers[0]"),
    "a dictionary": ("p = {'W': torch.ones(2, 2, requires_grad=True)}", "p['W']"),
    "a module": ("m = torch.nn.Sequential(torch.nn.Linear(2, 2))", "m[0].weight"),
}


def test_weights_in_containers(make_notebook: Callable[..., NotebookNode], tmp_path: Path) -> None:
    """Weights are drawn again also where they have no name of their own."""
    for name, (made, weight) in WEIGHTS.items():
        notebook = make_notebook(
            ("locked", "parameters", "seed = 1"),
            ("locked", "weights", f"import torch\n{made}"),
            ("locked", "forward", f"y = torch.ones(2, 2) @ {weight}\nloss = (y ** 2).sum()"),
            ("stub", "dy", "dy = None"),
            ("check", "check_dy", "cmp('y', dy, y)"),
        )
        exercise = Exercise.of(notebook, "small", tmp_path)
        with named(name):
            changed = with_new_weights(exercise)
            assert changed is not None
            values = [Reference.of(changed, {"seed": seed}).tensors["y"] for seed in (1, 1, 2)]
            assert torch.equal(values[0], values[1])
            assert not torch.equal(values[0], values[2])
            assert not torch.equal(values[0], Reference.of(exercise, {"seed": 1}).tensors["y"])


def test_weights_made_with_the_forward_pass_stay(make_exercise: Callable[..., Exercise]) -> None:
    """Where the cell that makes the weights uses them too, the hidden passes have the exercise's own."""
    exercise = make_exercise(KINK, "y", "x")
    assert with_new_weights(exercise) is None
    assert HiddenStates.of(exercise, [1], (), {}).exercise is exercise


def test_locked_cells_that_raise(make_exercise: Callable[..., Exercise]) -> None:
    """An exercise that runs with its own seed only is refused, with the locked cell's error."""
    exercise = make_exercise(KINK.replace("loss =", "assert seed < 100\nloss ="), "y", "x")
    with pytest.raises(ExerciseError, match="AssertionError"):
        HiddenStates.of(exercise, [1], (), {})
