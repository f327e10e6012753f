"""Networks of other kinds than the shipped exercises': right formulas pass and wrong ones do not, for every seed.

A network is a folder of ``tests/cases/networks``: the forward pass as ``handgrad new`` takes it, and ``formulas.toml``
with the solution of every gradient, other right formulas, and wrong ones.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.formulas import misjudged
from helpers.networks import NETWORKS, network_exercise, network_solution

FEW = ("dead", "kinks", "packed_bias", "stiff")
"""Small networks, each odd in its own way, for the fast suite."""


def _misjudged(network: Path, course: Path, seeds: Sequence[int]) -> list[str]:
    facts = tomllib.loads((network / "formulas.toml").read_text(encoding="utf-8"))
    exercise = network_exercise(network, course)
    return misjudged(exercise, network_solution(network), facts["right"], facts["wrong"], seeds)


@pytest.mark.parametrize(
    "network",
    [pytest.param(path, id=path.name, marks=() if path.name in FEW else pytest.mark.slow) for path in NETWORKS],
)
def test_network(network: Path, tmp_path: Path) -> None:
    """Every right formula passes, and no wrong one does."""
    assert not _misjudged(network, tmp_path, [271828])


@pytest.mark.proof
@pytest.mark.parametrize("network", NETWORKS, ids=[path.name for path in NETWORKS])
def test_network_for_twenty_seeds(network: Path, tmp_path: Path) -> None:
    """What a course's seed gives does not depend on luck."""
    assert not _misjudged(network, tmp_path, range(1, 21))
