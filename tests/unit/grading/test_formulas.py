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

from handgrad.authoring.cases import read_cases
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.gradients.mistakes.catalogue import CATALOGUE
from helpers.exercises import EXERCISES, SOLUTIONS
from helpers.formulas import Formulas, Judged, judge
from helpers.networks import network_exercise, network_solution
from helpers.paths import MISTAKES, ROOT, TESTS

SETS: dict[str, dict[str, Any]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted((TESTS / "cases" / "formulas").glob("*.toml"))
}
LATER: dict[str, list[dict[str, str]]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["wrong"]
    for path in sorted((TESTS / "cases" / "formulas" / "later").glob("*.toml"))
}
"""More wrong formulas, of exercises that came later: typical ones and odd ones."""
WRONG = [case for facts in SETS.values() for case in facts["wrong"]]


def _network(name: str, folder: Path) -> tuple[Exercise, Mapping[str, str]]:
    """The exercise that is made of a network, and its solution."""
    network = TESTS / "cases" / "networks" / name
    return network_exercise(network, folder), network_solution(network)


def _shipped(name: str) -> tuple[Exercise, Mapping[str, str]]:
    """A shipped exercise and its solution."""
    stubs = [cell for cell in SOLUTIONS[name].cells if kind_of(cell) == "stub"]
    return EXERCISES[name], {grade_id(cell): cell.source for cell in stubs}


def _by_gradient(cases: Sequence[Mapping[str, str]]) -> Formulas:
    formulas = defaultdict(list)
    for case in cases:
        formulas[case["gradient"]].append(case["formula"])
    return formulas


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[Judged]:
    """Every formula of the set, and its verdict with one hidden seed."""
    found = []
    for name, facts in SETS.items():
        # lstm is a network here, and a shipped exercise among the later ones
        is_network = (TESTS / "cases" / "networks" / name).exists()
        exercise, solution = _network(name, tmp_path_factory.mktemp(name)) if is_network else _shipped(name)
        found += judge(exercise, solution, *(_by_gradient(facts[kind]) for kind in ("right", "wrong")), 271828)
    return found


@pytest.mark.slow
def test_right_and_wrong(judged: list[Judged]) -> None:
    """Every right formula passes, and no wrong one does."""
    assert not [
        f"{judgement.kind}, {judgement.verdict.outcome}: {judgement.formula}"
        for judgement in judged
        if not judgement.is_as_it_should
    ]


@pytest.mark.slow
def test_share_of_named_mistakes(judged: list[Judged], capsys: pytest.CaptureFixture[str]) -> None:
    """Of the wrong formulas 85 percent get a diagnosis, of those that were reported 90; the page says how many."""
    origins = {case["formula"]: case["origin"] for case in WRONG}
    named = Counter(
        origins[judgement.formula] for judgement in judged if judgement.kind == "wrong" and judgement.verdict.diagnosis
    )
    total = Counter(origins.values())
    with capsys.disabled():
        print(f"\n{named.total()} of {total.total()} wrong formulas are named: {dict(named)} of {dict(total)}")
    assert named.total() >= 0.85 * total.total()
    assert named["reported"] >= 0.9 * total["reported"]
    quoted = " ".join((ROOT / "docs/why/diagnosis.md").read_text(encoding="utf-8").split())
    assert f"{named.total()} of {total.total()} wrong formulas" in quoted


@pytest.fixture(scope="module")
def judged_later(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Judged]]:
    """Every formula of the later sets, typical or odd, with the same seed."""
    found = []
    for name, cases in LATER.items():
        exercise, solution = _shipped(name) if name in EXERCISES else _network(name, tmp_path_factory.mktemp(name))
        how = {case["formula"].strip(): case["how"] for case in cases}
        judgements = judge(exercise, solution, {}, _by_gradient(cases), 271828)
        found += [(how.get(judgement.formula.strip(), "right"), judgement) for judgement in judgements]
    return found


@pytest.mark.slow
def test_later_exercises(judged_later: list[tuple[str, Judged]]) -> None:
    """No wrong formula passes there either, and 95 percent of the typical ones and 85 of the odd ones are named."""
    assert not [judgement for _, judgement in judged_later if not judgement.is_as_it_should]
    total = Counter(how for how, _ in judged_later)
    named = Counter(how for how, judgement in judged_later if judgement.verdict.diagnosis)
    assert named["typical"] >= 0.95 * total["typical"]
    assert named["odd"] >= 0.85 * total["odd"]
    figures = f"{named['typical']} of {total['typical']} typical and {named['odd']} of {total['odd']} odd ones"
    assert figures in " ".join((ROOT / "docs/why/diagnosis.md").read_text(encoding="utf-8").split())


@pytest.mark.slow
def test_every_mistake_has_an_example(judged: list[Judged], judged_later: list[tuple[str, Judged]]) -> None:
    """Each entry of the catalogue is the diagnosis of a case, or of a formula of the sets."""
    expected = {slug for case in read_cases(MISTAKES) for slug in case.diagnoses.values()}
    verdicts = [judgement.verdict for judgement in (*judged, *(judgement for _, judgement in judged_later))]
    expected |= {verdict.diagnosis.mistake for verdict in verdicts if verdict.diagnosis}
    assert expected == set(CATALOGUE)


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
