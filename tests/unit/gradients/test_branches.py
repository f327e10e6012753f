"""Upstream gradients that make all branches of a gradient about equally large."""

import pytest
import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.branches import VISIBLE, Branches, all_branches
from handgrad.gradients.comparison import scale_of

STEPS = 8


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _recurrent() -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A recurrent network whose first steps hardly reach the loss: the loss, its tensors, their gradients."""
    weight = (0.1 * torch.randn(4, 4, generator=_generator())).requires_grad_()
    tensors = {"W": weight}
    state = torch.zeros(3, 4)
    inputs = torch.randn(STEPS, 3, 4, generator=_generator(1))
    for step in range(1, STEPS + 1):
        tensors[f"h{step}"] = state = torch.tanh(inputs[step - 1] + state @ weight)
    loss = state.sum()
    found = torch.autograd.grad(loss, list(tensors.values()), retain_graph=True)
    return loss, tensors, dict(zip(tensors, found, strict=True))


def _of(loss: torch.Tensor, tensors: dict[str, torch.Tensor], true: dict[str, torch.Tensor]) -> Branches:
    return Branches.of(loss, tensors, true, (), _generator(2))


def _sizes(
    loss: torch.Tensor, tensors: dict[str, torch.Tensor], upstream: dict[str, torch.Tensor]
) -> dict[tuple[str, str], float]:
    """The largest entry of each branch, by its tensor and its consumer."""
    branches = all_branches(loss, tensors, {**upstream, LOSS: torch.ones_like(loss)})
    return {(name, consumer): scale_of(branch) for name, consumer, branch in branches}


def test_consumers_are_those_of_the_graph() -> None:
    """Noise reaches a tensor through its consumers only."""
    loss, tensors, true = _recurrent()
    consumers = autograd_graph.consumers(loss, tensors)
    assert _of(loss, tensors, true).consumers == consumers
    # nothing comes before the first step
    assert consumers["W"] == tuple(f"h{step}" for step in range(2, STEPS + 1))


def test_every_branch_is_seen() -> None:
    """With the scales each of seven time steps is a visible part of the gradient; with the true gradients it is not."""
    loss, tensors, true = _recurrent()
    branches = _of(loss, tensors, true)
    upstream = branches.upstream(branches.scales(tensors, _generator()))
    sizes = _sizes(loss, tensors, upstream)
    visible = [sizes["W", f"h{step}"] for step in range(2, STEPS + 1)]
    assert min(visible) > VISIBLE * max(visible)
    hidden = _sizes(loss, tensors, true)
    assert hidden["W", "h2"] < 1e-4 * hidden["W", "h8"]


def test_unseen() -> None:
    """A tensor counts as unseen if one of its branches is small beside another."""
    loss, tensors, true = _recurrent()
    branches = _of(loss, tensors, true)
    scales = branches.scales(tensors, _generator())
    assert not branches.unseen(scales)
    assert branches.unseen({**scales, "h3": scales["h3"] * 1e-3}) == {"W"}


def test_branches_of_a_scalar_do_not_cancel() -> None:
    """Two branches of one number, equally large and of opposite signs, still have a sum."""
    cancelled = 0
    for seed in range(40):
        a = torch.randn((), generator=_generator(seed)).requires_grad_()
        e, d = 3 * a, 5 * a
        loss = e * d
        tensors = {"a": a, "e": e, "d": d}
        true = dict(zip(tensors, torch.autograd.grad(loss, list(tensors.values()), retain_graph=True), strict=True))
        branches = Branches.of(loss, tensors, true, (), _generator(seed))
        upstream = branches.upstream(branches.scales(["a"], _generator(1000 + seed)))
        total = autograd_graph.gradients_given(loss, tensors, upstream)["a"]
        cancelled += float(total.abs()) < 1e-3 * 3 * float(upstream["e"].abs())
    assert not cancelled


def test_noise_is_zero_where_the_true_gradient_is() -> None:
    """Where the true gradient is zero the noise is, unless all of it is zero by construction."""
    x = torch.randn(3, 4, generator=_generator()).requires_grad_()
    y = x * 2
    loss = y[:, 0].sum()
    tensors = {"x": x, "y": y}
    true = dict(zip(tensors, torch.autograd.grad(loss, list(tensors.values()), retain_graph=True), strict=True))
    noise = Branches.of(loss, tensors, true, (), _generator()).noise["y"]
    assert bool((noise[:, 1:] == 0).all())
    assert bool((noise[:, 0] != 0).all())
    assert bool((Branches.of(loss, tensors, true, ("y",), _generator()).noise["y"] != 0).all())


@pytest.mark.parametrize(("values", "side"), [([1.0, 2.0], "negative"), ([-1.0, -2.0], "positive")])
def test_features_tell_the_sides_of_a_kink(values: list[float], side: str) -> None:
    """A side of a kink that no entry lies on is not among the features."""
    x = torch.tensor(values, requires_grad=True)
    loss = x.abs().sum()
    tensors = {"x": x}
    branches = _of(loss, tensors, {"x": torch.autograd.grad(loss, x, retain_graph=True)[0]})
    found = {feature for _, _, feature in branches.features}
    assert side not in found
    assert found & {"positive", "negative"}


def test_features_tell_the_slices() -> None:
    """An expert that no row is routed to is not among the features."""
    x = torch.ones(3, 2, requires_grad=True)
    loss = x[:2].sum()
    branches = _of(loss, {"x": x}, {"x": torch.autograd.grad(loss, x, retain_graph=True)[0]})
    assert {feature for _, _, feature in branches.features if ":" in feature} == {"0:0", "0:1", "1:0", "1:1"}
