"""Networks of other kinds than the shipped exercises': right formulas pass and wrong ones do not, for every seed.

A network is a folder of ``tests/cases/networks``: the forward pass as ``handgrad new`` takes it, and ``formulas.toml``
with the solution of every gradient, other right formulas, and wrong ones.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest

from handgrad.authoring.verify.mutation_testing import mutation
from helpers.formulas import SETTINGS, misjudged, verdicts
from helpers.networks import NETWORKS, network_exercise, network_solution
from helpers.warm_grader import warm_grader

FEW = ("dead", "kinks", "packed_bias", "stiff")
"""Small networks, each odd in its own way, for the fast suite."""

FEW_ARE_FAST = [
    pytest.param(path, id=path.name, marks=() if path.name in FEW else pytest.mark.slow) for path in NETWORKS
]

ODD = (
    "torch.zeros_like({tensor})",
    "2 * {tensor}.detach()",
    "{tensor}.detach().sum()",
    "{tensor}.detach()[None]",
    "{tensor}.detach().flatten()",
    "{tensor}.detach() > 0",
    "{tensor}.detach().double().flatten()[:1]",
    "torch.full_like({tensor}, math.inf)",
)
"""Answers that no step leads to, of all shapes and types."""

SMOOTH = ("gpt2_block", "lstm", "stiff", "vanishing")
"""Networks without a maximum, a mask or a router: with those, a wrong one may have the same winners for some seed."""


def _misjudged(network: Path, course: Path, seeds: Sequence[int]) -> list[str]:
    facts = tomllib.loads((network / "formulas.toml").read_text(encoding="utf-8"))
    exercise = network_exercise(network, course)
    return misjudged(exercise, network_solution(network), facts["right"], facts["wrong"], seeds)


@pytest.mark.parametrize("network", FEW_ARE_FAST)
def test_network(network: Path, tmp_path: Path) -> None:
    """Every right formula passes, and no wrong one does."""
    assert not _misjudged(network, tmp_path, [271828])


@pytest.mark.parametrize("network", FEW_ARE_FAST)
def test_no_answer_stops_the_grader(network: Path, tmp_path: Path) -> None:
    """Whatever an answer is, it gets a verdict, in a network of tensors of any shape."""
    exercise, solution = network_exercise(network, tmp_path), network_solution(network)
    with warm_grader(exercise, [271828], SETTINGS) as grader:
        for answer in ODD:
            sources = {
                gradient: f"import math\n{gradient} = {answer.format(tensor=gradient.removeprefix('d'))}"
                for gradient in solution
            }
            found = verdicts(grader, sources)
            assert set(found) == set(solution)
            assert {verdict.outcome for verdict in found.values()} <= {"failed", "partial", "passed", "held"}


@pytest.mark.proof
@pytest.mark.parametrize("network", NETWORKS, ids=[path.name for path in NETWORKS])
def test_network_for_twenty_seeds(network: Path, tmp_path: Path) -> None:
    """What a course's seed gives does not depend on luck."""
    assert not _misjudged(network, tmp_path, range(1, 21))


@pytest.mark.proof
@pytest.mark.parametrize("network", [path for path in NETWORKS if path.name in SMOOTH], ids=lambda path: path.name)
def test_no_mutant_survives_for_twenty_seeds(network: Path, tmp_path: Path) -> None:
    """No small mistake in the worked solution passes, whatever the course's seed."""
    exercise = network_exercise(network, tmp_path)
    solved = nbformat.read(exercise.directory / f"{exercise.name}.ipynb", as_version=4)
    survivors = []
    for seed in range(1, 21):
        with warm_grader(exercise, [seed], SETTINGS) as grader:
            found = mutation(grader, solved).survivors
            # two sizes of gpt2_block are the same number, of which `handgrad new` warns
            survivors += [(seed, survivor) for survivor in found if survivor.kind != "another size"]
    assert not survivors
