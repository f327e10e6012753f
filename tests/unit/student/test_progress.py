"""How every gradient of a notebook stands: right, wrong, carried or not yet, and which is next."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.forward_pass import NoForwardPass
from handgrad.student.progress import Progress, Status, progress_of


@pytest.fixture
def finished(
    exercise: Exercise, play: Callable[[Exercise], dict[str, Any]], solutions: dict[str, str]
) -> dict[str, Any]:
    """A student's notebook with every stub solved."""
    namespace = play(exercise)
    for source in solutions.values():
        exec(source, namespace)
    return namespace


def _states(stock: Progress) -> dict[str, Status]:
    return {status.tensor: status.state for status in stock.statuses}


def _rerun(namespace: dict[str, Any], solutions: dict[str, str], gradient: str, answer: str) -> None:
    """Give one gradient another answer and run the stubs below it again."""
    place = list(solutions).index(gradient)
    exec(f"{gradient} = {answer}", namespace)
    for source in list(solutions.values())[place + 1 :]:
        exec(source, namespace)


def test_the_whole_exercise(exercise: Exercise, finished: dict[str, Any], references: tuple[Reference, ...]) -> None:
    """Every named tensor is there once, with its consumers and its shape, and all are right; nothing is changed."""
    before = {name: finished[name].grad.clone() for name in exercise.tensors.values()}
    finished["_"] = finished["probs"]
    finished["again"] = finished["probs"]
    stock = progress_of({"_": finished["probs"], **finished})
    facts = ForwardFacts.of(references)
    assert {status.tensor: set(status.consumers) for status in stock.statuses} == {
        name: set(consumers) for name, consumers in facts.consumers.items()
    }
    assert {status.tensor for status in stock.statuses if status.blind} == facts.zero
    assert all(status.shape == tuple(finished[status.tensor].shape) for status in stock.statuses)
    leaves = {status.tensor for status in stock.statuses if status.leaf}
    assert leaves == {"C", "W1", "b1", "W2", "b2", "bngain", "bnbias"}
    assert set(_states(stock).values()) == {"right"}
    assert stock.next is None
    assert all(torch.equal(finished[name].grad, gradient) for name, gradient in before.items())


def test_forward_order(finished: dict[str, Any]) -> None:
    """A tensor stands before everything that is computed from it."""
    names = [status.tensor for status in progress_of(finished).statuses]
    for status in progress_of(finished).statuses:
        assert all(names.index(status.tensor) < names.index(user) for user in status.consumers if user != "loss")


def test_untouched(exercise: Exercise, play: Callable[[Exercise], dict[str, Any]]) -> None:
    """Before anything is written every gradient is `not yet`, whether or not its stub has been run."""
    namespace = play(exercise)
    for _ in range(2):
        stock = progress_of(namespace)
        assert set(_states(stock).values()) == {"not yet"}
        assert stock.next == "logprobs"
        namespace |= dict.fromkeys(exercise.stubs)


@pytest.mark.parametrize("place", range(26))
def test_next_is_the_next_cell(
    place: int, exercise: Exercise, finished: dict[str, Any], solutions: dict[str, str]
) -> None:
    """Somebody who works from top to bottom, every stub having been run, is sent to the next cell."""
    namespace = {name: value for name, value in finished.items() if name not in exercise.stubs}
    namespace |= dict.fromkeys(exercise.stubs)
    for source in list(solutions.values())[:place]:
        exec(source, namespace)
    assert progress_of(namespace).next == list(exercise.tensors.values())[place]


SLIPS = {
    "a sign": ("dlogprobs", "-dlogprobs"),
    "a branch": ("dcounts", "counts_sum_inv * dprobs"),
    "a factor": ("dhpreact", "dh"),
    "Bessel": ("dbndiff2", "1/n * dbnvar.expand_as(bndiff2)"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_one_slip(
    slip: str, finished: dict[str, Any], solutions: dict[str, str], references: tuple[Reference, ...]
) -> None:
    """One slip is wrong in one place; what is made from it is carried, or right where the slip does not reach."""
    gradient, answer = SLIPS[slip]
    _rerun(finished, solutions, gradient, answer)
    states = _states(progress_of(finished))
    assert [name for name, state in states.items() if state == "wrong"] == [gradient[1:]]
    carried = {name for name, state in states.items() if state == "carried"}
    assert carried
    for name in carried:
        scale = float(finished[name].grad.abs().max())
        assert float((finished[f"d{name}"].detach() - finished[name].grad).abs().max()) > 1e-4 * scale
    assert progress_of(finished).next == gradient[1:]


def test_two_slips(finished: dict[str, Any], solutions: dict[str, str]) -> None:
    """A second slip below the first is wrong, not carried, and the first is next."""
    _rerun(finished, solutions, "dprobs", "-dprobs")
    _rerun(finished, solutions, "dh", "2 * dh")
    stock = progress_of(finished)
    assert {name for name, state in _states(stock).items() if state == "wrong"} == {"probs", "h"}
    assert stock.next == "probs"


@pytest.mark.parametrize(
    "answer",
    ["3", "dh[0]", "dh * float('nan')", "dh + 0j", "dh.numpy(force=True)", "torch.zeros(0)", "dh.detach().to_sparse()"],
)
def test_no_gradient_at_all(answer: str, finished: dict[str, Any]) -> None:
    """What cannot be the gradient is wrong, and what is made from the right one stays right."""
    finished["dh"] = eval(answer, finished)
    states = _states(progress_of(finished))
    assert states.pop("h") == "wrong"
    assert set(states.values()) == {"right"}


def test_carried_needs_all_that_it_is_made_from(finished: dict[str, Any], solutions: dict[str, str]) -> None:
    """A value that cannot be told from what it was made from is wrong, not carried."""
    _rerun(finished, solutions, "dprobs", "-dprobs")
    finished["dcounts_sum"] = None
    states = _states(progress_of(finished))
    assert states["counts_sum"] == "not yet"
    assert states["counts"] == "wrong"
    assert states["counts_sum_inv"] == "carried"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("del loss", "there is no loss yet"),
        ("loss = 3.0", "there is no loss yet"),
        ("loss = loss.detach()", "there is no loss yet"),
        ("loss.backward()", "the graph of the loss is gone"),
        ("[setattr(one, 'grad', None) for one in parameters + intermediates]", "no tensor of the forward pass"),
    ],
)
def test_nothing_to_ask(change: str, reason: str, finished: dict[str, Any]) -> None:
    """Without a loss, its graph or the gradients there is no map, and it is said why."""
    exec(change, finished)
    with pytest.raises(NoForwardPass, match=reason):
        progress_of(finished)
