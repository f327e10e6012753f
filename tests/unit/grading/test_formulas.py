"""Wrong formulas as students write them, and unusual right ones: no wrong one passes, and every right one does.

They stand in ``tests/cases/formulas``, one file for each exercise, and were written without a look at the catalogue of
known mistakes: they measure how many mistakes it names.
"""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from helpers.exercises import EXERCISES, SOLUTIONS
from helpers.formulas import Formulas, misjudged
from helpers.networks import network_exercise, network_solution
from helpers.paths import TESTS

SETS: dict[str, dict[str, Any]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted((TESTS / "cases" / "formulas").glob("*.toml"))
}
WRONG = [case for facts in SETS.values() for case in facts["wrong"]]


def _exercise(name: str, folder: Path) -> tuple[Exercise, Mapping[str, str]]:
    """An exercise and its solution."""
    if name in EXERCISES:
        stubs = [cell for cell in SOLUTIONS[name].cells if kind_of(cell) == "stub"]
        return EXERCISES[name], {grade_id(cell): cell.source for cell in stubs}
    network = TESTS / "cases" / "networks" / name
    return network_exercise(network, folder), network_solution(network)


def _by_gradient(cases: Sequence[Mapping[str, str]]) -> Formulas:
    formulas = defaultdict(list)
    for case in cases:
        formulas[case["gradient"]].append(case["formula"])
    return formulas


@pytest.mark.parametrize("name", SETS)
def test_set(name: str, tmp_path: Path) -> None:
    """Every right formula passes, and no wrong one does."""
    exercise, solution = _exercise(name, tmp_path)
    right, wrong = (_by_gradient(SETS[name][kind]) for kind in ("right", "wrong"))
    assert not misjudged(exercise, solution, right, wrong, [271828])


def test_enough_of_each_exercise() -> None:
    """The set is large enough to measure with."""
    wrong, right = ({name: len(facts[kind]) for name, facts in SETS.items()} for kind in ("wrong", "right"))
    assert sum(wrong.values()) >= 165
    assert min(wrong[name] for name in ("backprop", "attention", "lstm", "gpt2_block", "swiglu")) >= 15
    assert sum(right.values()) >= 64
    assert sum(count >= 6 for count in right.values()) >= 6


def test_at_most_six_of_a_kind() -> None:
    """No kind of mistake outweighs the others."""
    assert max(Counter(case["kind"] for case in WRONG).values()) <= 6


def test_origins() -> None:
    """A third or more was seen in reports; a third or less is what a mechanical rule makes."""
    origins = Counter(case["origin"] for case in WRONG)
    assert set(origins) == {"reported", "rule", "made up"}
    assert 3 * origins["reported"] >= len(WRONG)
    assert 3 * origins["rule"] <= len(WRONG)


def test_no_formula_stands_twice() -> None:
    """Each is another formula, of the gradient that it says."""
    for facts in SETS.values():
        formulas = [case["formula"].strip() for kind in ("wrong", "right") for case in facts[kind]]
        assert len(set(formulas)) == len(formulas)
