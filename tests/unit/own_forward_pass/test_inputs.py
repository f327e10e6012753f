"""The notebooks of own networks say the truth: right gradients are autograd's, and planted mistakes show."""

import ast
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from helpers.own_notebooks import NAMES, OWN, OwnNotebook, Pair, PlantedMistake, Played, play

MISTAKES = [(name, number) for name in NAMES for number in range(len(OwnNotebook.read(name).mistakes))]

# what a notebook and its plots warn of is not the point
pytestmark = pytest.mark.filterwarnings("ignore")
NOISE = 1e-7
"""Gradients that are zero but for rounding, such as that of a bias before batch norm, are below it."""


@pytest.fixture(autouse=True)
def _plots_go_nowhere() -> Iterator[None]:
    before = mpl.get_backend()
    mpl.use("agg")
    yield
    plt.close("all")
    mpl.use(before)


def _truth(played: Played, tensor: torch.Tensor) -> torch.Tensor:
    if (tensor.is_leaf or tensor.retains_grad) and tensor.grad is not None:
        return tensor.grad
    # a notebook without backward() keeps its graph
    (gradient,) = torch.autograd.grad(played.namespace["loss"], tensor, retain_graph=True)
    return gradient


def _is_right(played: Played, pair: Pair) -> bool:
    mine: Any = torch.as_tensor(played.value(pair.variable))
    truth = _truth(played, played.value(pair.tensor))
    tolerance = NOISE + 1e-4 * truth.abs().max().item()
    return mine.shape == truth.shape and torch.allclose(mine, truth, rtol=1e-4, atol=tolerance)


def _mistake(name: str, number: int) -> tuple[OwnNotebook, PlantedMistake]:
    own = OwnNotebook.read(name)
    return own, own.mistakes[number]


def test_every_script_has_its_expectations() -> None:
    assert {path.stem for path in OWN.glob("*.toml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_right_gradients_are_those_of_autograd(name: str) -> None:
    own = OwnNotebook.read(name)
    played = play(own.notebook)
    assert not played.errors
    assert [pair for pair in own.right if not _is_right(played, pair)] == []


@pytest.mark.parametrize(("name", "number"), MISTAKES)
def test_a_mistake_makes_its_own_gradients_wrong(name: str, number: int) -> None:
    own, mistake = _mistake(name, number)
    played = play(own.planted(mistake))
    pairs = [pair for pair in own.right if pair.tensor in mistake.fails]
    assert {pair.tensor for pair in pairs} == set(mistake.fails)
    assert [pair for pair in pairs if _is_right(played, pair)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_is_left_out(name: str) -> None:
    """Whatever is called dX or d_X, with X a tensor that is listed, is listed with it."""
    own = OwnNotebook.read(name)
    names = {node.id for node in ast.walk(ast.parse(own.script)) if isinstance(node, ast.Name)}
    listed = {pair.variable for pair in own.right}
    assert not {f"{prefix}{pair.tensor}" for pair in own.right for prefix in ("d", "d_", "dL_")} & names - listed
