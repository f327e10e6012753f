"""Consumers and step gradients, against pairwise products of autograd and against finite differences."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference
from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS, consumers, is_zero, random_step, reaches
from handgrad.gradients.forward_pass import ForwardPass, NoForwardPass
from helpers.inputs import named

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Net:
    """A small forward pass that can be run step by step: leaves, then ``name: (inputs, function)`` in order."""

    leaves: Mapping[str, tuple[int, ...]]
    steps: Mapping[str, tuple[tuple[str, ...], Callable[..., torch.Tensor]]]
    zero: frozenset[str] = frozenset()

    def run(self) -> Tensors:
        """Leaves and named tensors in double precision, part of a graph; every gradient retained and filled."""
        generator = torch.Generator().manual_seed(5)
        values = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
            for name, shape in self.leaves.items()
        }
        for name, (inputs, function) in self.steps.items():
            values[name] = function(*(values[operand] for operand in inputs))
            if name != LOSS:
                values[name].retain_grad()
        values[LOSS].backward(retain_graph=True)
        return values

    def consumers(self) -> dict[str, tuple[str, ...]]:
        """Who reads whom, by the steps as they are written down."""
        names = [name for name in (*self.leaves, *self.steps) if name != LOSS]
        return {name: tuple(other for other, (inputs, _) in self.steps.items() if name in inputs) for name in names}

    def step_by_differences(self, upstream: Mapping[str, torch.Tensor], values: Tensors) -> Tensors:
        """Step gradients by central differences: each element of X moved, the direct consumers of X alone run."""
        upstream = {**upstream, LOSS: torch.ones((), dtype=torch.float64)}
        found = {}
        for name, reading in self.consumers().items():
            gradient = torch.zeros_like(values[name]).flatten()
            for index in range(gradient.numel()):
                sides = []
                for move in (1e-5, -1e-5):
                    moved = values[name].detach().flatten().clone()
                    moved[index] += move
                    moved = moved.view(values[name].shape)
                    total = 0.0
                    for other in reading:
                        inputs, function = self.steps[other]
                        at = [moved if operand == name else values[operand].detach() for operand in inputs]
                        total += float((function(*at) * upstream[other]).sum())
                    sides.append(total)
                gradient[index] = (sides[0] - sides[1]) / 2e-5
            found[name] = gradient.view(values[name].shape)
        return found


NETS = {
    "chain": Net(
        {"x": (3, 4)},
        {"y": (("x",), torch.tanh), "z": (("y",), lambda y: y.exp().sum(0).log()), LOSS: (("z",), torch.sum)},
    ),
    "diamond": Net(
        {"x": (3, 4)},
        {
            "left": (("x",), torch.sin),
            "right": (("x",), lambda x: x.sum(1, keepdim=True)),
            "both": (("left", "right"), torch.mul),
            LOSS: (("both",), lambda both: (both**2).mean()),
        },
    ),
    "shared": Net(
        {"x": (2, 3), "w": (3, 2)},
        {
            "a": (("x", "w"), torch.matmul),
            "b": (("a", "x"), lambda a, x: a @ x),
            "c": (("b", "w"), lambda b, w: b @ w),
            LOSS: (("a", "c", "w"), lambda a, c, w: (a * c).sum() + w.sum()),
        },
    ),
    "twice": Net(
        {"x": (3, 3)},
        {"y": (("x",), lambda x: x @ x.T + x * x), LOSS: (("y",), lambda y: (y**2).mean())},
    ),
    "view": Net(
        {"table": (4, 3)},
        {
            "rows": (("table",), lambda table: table[torch.tensor([0, 2, 2, 1])]),
            "flat": (("rows",), lambda rows: rows.view(2, 6)),
            "turned": (("flat",), lambda flat: flat.T),
            LOSS: (("turned", "rows"), lambda turned, rows: (turned**3).sum() + rows.sum()),
        },
    ),
    "mask": Net(
        {"x": (4, 5)},
        {
            "y": (("x",), torch.sin),
            "picked": (("y",), lambda y: y[[0, 1, 3], [2, 2, 4]]),
            LOSS: (("picked",), lambda picked: (picked**2).sum()),
        },
    ),
    "shift": Net(
        {"x": (3, 4), "b": (3, 1)},
        {
            "moved": (("x", "b"), torch.add),
            "top": (("moved",), lambda moved: moved.max(1, keepdim=True).values),
            "below": (("moved", "top"), torch.sub),
            LOSS: (("below",), lambda below: -below.log_softmax(1)[:, 0].mean()),
        },
        zero=frozenset({"b", "top"}),
    ),
}


def _named(values: Tensors) -> Tensors:
    return {name: value for name, value in values.items() if name != LOSS}


def _gradients(tensors: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each gradient as an object, and a copy of its numbers."""
    return {name: (tensor.grad, tensor.grad.clone()) for name, tensor in tensors.items()}


def _assert_untouched(tensors: Tensors, before: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
    for name, tensor in tensors.items():
        assert tensor.grad is before[name][0], name
        assert torch.equal(tensor.grad, before[name][1]), name


def _pairwise(loss: torch.Tensor, tensors: Tensors, name: str, consumer: str, upstream: torch.Tensor) -> Any:
    """The vector-Jacobian product from one consumer into one tensor, every other named tensor cut by a hook."""
    end = loss if consumer == LOSS else tensors[consumer]
    others = [value for value in tensors.values() if value is not tensors[name] and value is not end]
    hooks = [value.register_hook(torch.zeros_like) for value in others]
    (found,) = torch.autograd.grad(end, tensors[name], upstream, retain_graph=True, allow_unused=True)
    for hook in hooks:
        hook.remove()
    return found


def _step_by_pairs(
    loss: torch.Tensor, tensors: Tensors, reading: Mapping[str, tuple[str, ...]], upstream: Mapping[str, torch.Tensor]
) -> Tensors:
    found = {}
    for name, readers in reading.items():
        parts = [
            _pairwise(loss, tensors, name, reader, upstream.get(reader, torch.ones_like(loss))) for reader in readers
        ]
        found[name] = torch.stack([part for part in parts if part is not None]).sum(0)
    return found


def _consumers_by_source(exercise: Exercise) -> dict[str, set[str]]:
    """Who reads whom, by the names on the right side of each assignment of the forward cell."""
    text = next(cell.source for cell in exercise.cells if cell.name == "forward")
    found: dict[str, set[str]] = {name: set() for name in exercise.tensors.values()}
    for statement in ast.parse(text).body:
        assert isinstance(statement, ast.Assign)
        target = ast.unparse(statement.targets[0])
        for node in ast.walk(statement.value):
            if isinstance(node, ast.Name) and node.id in found:
                found[node.id].add(target)
    return found


def test_step_is_what_differences_give() -> None:
    """On small graphs the step gradients are those of finite differences through the direct consumers."""
    for net in NETS.values():
        with named(net):
            values = net.run()
            tensors = _named(values)
            true = {name: value.grad.clone() for name, value in tensors.items()}
            step = random_step(values[LOSS], tensors, true, torch.Generator().manual_seed(3))
            expected = net.step_by_differences(step.upstream, values)
            assert set(step.gradients) == set(tensors)
            for name, gradient in step.gradients.items():
                torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7, msg=name)


def test_consumers_of_small_graphs() -> None:
    """Consumers are the steps that read a tensor, once each, however often they read it."""
    for net in NETS.values():
        with named(net):
            values = net.run()
            tensors = _named(values)
            assert consumers(values[LOSS], tensors) == net.consumers()
            backwards = dict(reversed(tensors.items()))
            assert {name: set(found) for name, found in consumers(values[LOSS], backwards).items()} == {
                name: set(found) for name, found in net.consumers().items()
            }
            for name, readers in net.consumers().items():
                for other, tensor in tensors.items():
                    assert reaches(tensor, name, tensors) == (other in readers), (name, other)


def test_zero_by_construction() -> None:
    """What a softmax cannot see is zero by construction, and nothing else is."""
    for net in NETS.values():
        with named(net):
            values = net.run()
            tensors = _named(values)
            true = {name: value.grad.clone() for name, value in tensors.items()}
            step = random_step(values[LOSS], tensors, true, torch.Generator().manual_seed(3))
            assert {name for name in tensors if is_zero(true[name], step.gradients[name])} == net.zero


def test_small_is_not_zero() -> None:
    """Zero is what is small beside the step gradient, whatever its scale: rounding is, a small gradient is not."""
    for share, zero in [(0.0, True), (1e-7, True), (1e-6, True), (1e-4, False), (1.0, False)]:
        for scale in [1e-20, 1.0, 1e9]:
            with named(share, zero, scale):
                step = torch.tensor([scale, -scale / 2], dtype=torch.float64)
                assert is_zero(step * share, step) == zero


@pytest.mark.parametrize("parameters", [{}, {"seed": 1}, {"batch_size": 5}], ids=str)
def test_step_is_the_sum_of_pairs(exercise: Exercise, parameters: dict[str, int]) -> None:
    """On the exercise a step gradient is the sum over the consumers of one product each, the rest cut by hooks."""
    reference = Reference.of(exercise, parameters)
    loss, tensors = reference.namespace[LOSS], dict(reference.tensors)
    step = reference.step
    expected = _step_by_pairs(loss, tensors, consumers(loss, tensors), step.upstream)
    assert len(expected) == len(step.gradients) == 26
    for name, gradient in step.gradients.items():
        scale = float(expected[name].abs().max())
        assert float((gradient - expected[name]).abs().max()) <= 1e-6 * scale, name
        assert scale > 0, name


def test_consumers_of_the_exercise(exercise: Exercise, references: tuple[Reference, ...]) -> None:
    """On the exercise consumers are the tensors in whose line of the forward cell a name stands."""
    reference = references[0]
    found = consumers(reference.namespace[LOSS], reference.tensors)
    assert {name: set(readers) for name, readers in found.items()} == _consumers_by_source(exercise)
    order = [*reference.tensors, LOSS]
    assert all(list(readers) == sorted(readers, key=order.index) for readers in found.values())


def test_zero_on_every_seed(references: tuple[Reference, ...]) -> None:
    """On every seed b1 and logit_maxes, and no others, are zero by construction."""
    for reference in references:
        assert reference.zero == {"b1", "logit_maxes"}


@pytest.mark.parametrize("number", range(3))
def test_upstream_is_random_where_the_truth_is_not_zero(references: tuple[Reference, ...], number: int) -> None:
    """No upstream gradient stands where the true one is zero, and its scale is that of the true one."""
    reference = references[number]
    zero = reference.zero
    assert bool((reference.gradients["logprobs"] == 0).any())
    step = random_step(reference.loss, reference.tensors, reference.gradients, torch.Generator().manual_seed(number))
    for name, upstream in step.upstream.items():
        true = reference.gradients[name]
        model = step.gradients[name] if name in zero else true
        assert upstream.shape == true.shape
        assert upstream.dtype == true.dtype
        allowed = torch.ones_like(true, dtype=torch.bool) if name in zero else true != 0
        assert torch.equal(upstream != 0, allowed), name
        ratio = upstream[allowed].double().square().mean() / model[model != 0].double().square().mean()
        assert 0.2 < float(ratio) ** 0.5 < 3, name
        assert not torch.equal(upstream, true), name


def test_step_follows_its_generator() -> None:
    """The same generator gives the same step, another one another."""
    values = NETS["shared"].run()
    tensors = _named(values)
    true = {name: value.grad.clone() for name, value in tensors.items()}
    steps = [random_step(values[LOSS], tensors, true, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    for name in tensors:
        assert torch.equal(steps[0].upstream[name], steps[1].upstream[name])
        assert torch.equal(steps[0].gradients[name], steps[1].gradients[name])
        assert not torch.equal(steps[0].upstream[name], steps[2].upstream[name])


def test_true_upstream_gives_true_gradients(references: tuple[Reference, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose upstream gradients happen to be the true ones is the true gradient."""
    reference = references[0]
    # noise of ones at a scale of one, masked by the truth, would be no truth: let the scale be the truth itself
    monkeypatch.setattr(autograd_graph, "_root_mean_square", lambda tensor: tensor)
    monkeypatch.setattr(torch, "randn", lambda shape, dtype, generator: torch.ones(shape, dtype=dtype))
    step = random_step(reference.namespace[LOSS], reference.tensors, reference.gradients, torch.Generator())
    for name in set(reference.tensors) - reference.zero:
        difference = float((step.gradients[name] - reference.gradients[name]).abs().max())
        assert difference <= 1e-5 * float(reference.gradients[name].abs().max()), name


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_gradients_are_left_alone(net: Net) -> None:
    """Whatever is asked, every ``.grad`` stays the object and the numbers that it was, also where asking fails."""
    values = net.run()
    tensors = _named(values)
    before = _gradients(tensors)
    true = {name: copy for name, (_, copy) in before.items()}
    loss = values[LOSS]
    random_step(loss, tensors, true, torch.Generator().manual_seed(0))
    consumers(loss, tensors)
    for name, tensor in tensors.items():
        reaches(tensor, name, tensors)
        assert ForwardPass.of(values, {name: tensor}).consumers
    _assert_untouched(tensors, before)
    loss.backward()  # frees the graph, and adds to every gradient
    before = _gradients(tensors)
    with pytest.raises(RuntimeError, match="second time"):
        random_step(loss, tensors, true, torch.Generator().manual_seed(0))
    _assert_untouched(tensors, before)


def test_gradients_of_the_exercise_are_left_alone(
    exercise: Exercise, play: Callable[[Exercise], dict[str, Any]]
) -> None:
    """On the exercise, asking about one tensor leaves the gradient of every other as backward left it."""
    namespace = play(exercise)
    tensors = {name: namespace[name] for name in exercise.tensors.values()}
    before = _gradients(tensors)
    for name, tensor in tensors.items():
        ForwardPass.of(namespace, {name: tensor}).zero_consumer(name)
    consumers(namespace[LOSS], tensors)
    _assert_untouched(tensors, before)


def test_hooks_are_taken_off() -> None:
    """After a question backward gives what it gave before: no hook stays on any tensor."""
    values = NETS["shared"].run()
    tensors = _named(values)
    true = {name: value.grad.clone() for name, value in tensors.items()}
    random_step(values[LOSS], tensors, true, torch.Generator().manual_seed(0))
    consumers(values[LOSS], tensors)
    for value in tensors.values():
        value.grad = None
    values[LOSS].backward()
    for name, value in tensors.items():
        torch.testing.assert_close(value.grad, true[name], rtol=0, atol=0)


def test_zero_gradients_of_a_forward_pass(exercise: Exercise, play: Callable[[Exercise], dict[str, Any]]) -> None:
    """The scales are those of the tensors that are zero on the loss; one tensor is read by a zero one."""
    namespace = play(exercise)
    forward = ForwardPass.of(namespace)
    assert forward.scales.keys() == {"b1", "logit_maxes"}
    for name, scale in forward.scales.items():
        assert scale * autograd_graph.ZERO > float(namespace[name].grad.abs().max())
    hidden = {name: zero for name in exercise.tensors.values() if (zero := forward.zero_consumer(name))}
    assert hidden == {"logits": "logit_maxes"}


@pytest.mark.parametrize("loss", [None, 3.0, torch.zeros(()), torch.zeros(3)], ids=["none", "float", "leaf", "vector"])
def test_a_forward_pass_without_a_loss(loss: Any) -> None:
    """Without a loss that has a graph there is no forward pass."""
    values = NETS["shift"].run()
    assert "top" in ForwardPass.of(values).scales
    for namespace in ({**values, LOSS: loss}, _named(values)):
        with pytest.raises(NoForwardPass, match="no loss"):
            ForwardPass.of(namespace, {"top": values["top"]})


def test_a_forward_pass_without_a_graph() -> None:
    """A tensor that is not part of the graph is left out; a graph that was freed is no forward pass."""
    values = NETS["shift"].run()
    stranger = torch.ones(3, requires_grad=True)
    stranger.grad = torch.ones(3)
    assert "stranger" not in ForwardPass.of(values, {"stranger": stranger}).tensors
    values[LOSS].backward()
    with pytest.raises(NoForwardPass, match="graph of the loss is gone"):
        ForwardPass.of(values, {"top": values["top"]})


def test_a_forward_pass_under_another_name() -> None:
    """A tensor has the name that it was passed under, whatever else the namespace calls it."""
    values = NETS["shift"].run()
    expected = ForwardPass.of(values)
    assert expected.zero_consumer("moved")
    moved = {"moved": values["moved"]}
    missing = {name: value for name, value in values.items() if name != "moved"}
    for namespace in ({"t": values["moved"], **values}, missing, {**missing, "moved": values["top"]}):
        forward = ForwardPass.of(namespace, moved)
        assert forward.tensors["moved"] is values["moved"]
        assert forward.zero_consumer("moved") == ("top" if "top" in forward.tensors else None)
    assert next(iter(ForwardPass.of({"t": values["moved"], **values}, moved).tensors)) == "moved"
    assert ForwardPass.of(values, moved).consumers == expected.consumers


def test_forwards() -> None:
    """A step that adds up what came before does so forwards again, backwards it adds up what comes after."""
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    summed, other = x.cumsum(1), x.exp()
    summed.retain_grad()
    summed.sum().backward(retain_graph=True)
    gradient, kept = torch.randn(3, 4, generator=torch.Generator().manual_seed(2)), (x.grad, summed.grad)
    found = autograd_graph.forwards(x, summed, gradient, (x, summed))
    assert found is not None
    assert torch.allclose(found[0], gradient.flip(1).cumsum(1).flip(1), atol=1e-6)
    assert torch.allclose(found[1], gradient.cumsum(1), atol=1e-6)
    assert x.grad is kept[0]
    assert summed.grad is kept[1]
    assert autograd_graph.forwards(summed, other, gradient, (x, summed)) is None
