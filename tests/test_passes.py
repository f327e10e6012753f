"""The plan of passes and the parameters of each."""

import itertools

import pytest

from handgrad.passes import HIDDEN, Pass, plan, rounds

SEEDS = [7, 2**48 - 1]
SIZES = [{"batch_size": 16}, {"n_hidden": 8, "batch_size": 5}]


@pytest.mark.parametrize(("seeds", "sizes"), [([1], []), (SEEDS, []), (SEEDS, SIZES), ([3], SIZES)])
def test_order(seeds: list[int], sizes: list[dict[str, int]]) -> None:
    """The visible pass comes first, then round by round the passes without help before those with it."""
    passes = plan(seeds, sizes)
    number = len(seeds) + len(sizes)
    kinds = ["visible", *itertools.chain.from_iterable([HIDDEN] * number)]
    assert [one.kind for one in passes] == kinds
    assert [one.round for one in passes] == [0, *(1 + index // len(HIDDEN) for index in range(number * len(HIDDEN)))]
    assert HIDDEN.index("as written") < HIDDEN.index("step")
    assert {one.kind for one in passes if one.helps} == {"step", "helped"}


def test_visible_is_the_notebook_s_own() -> None:
    """The visible pass sets no parameters at all."""
    visible = plan(SEEDS, SIZES)[0]
    assert visible == Pass("visible", 0, {})
    assert not visible.helps


def test_every_pass_has_its_own_seed() -> None:
    """No two passes share a seed, so a reference sent in one is worth nothing in another; none shows the course's."""
    passes = plan(SEEDS, SIZES)[1:]
    seeds = [one.parameters["seed"] for one in passes]
    assert len(set(seeds)) == len(passes)
    assert not set(seeds) & set(SEEDS)
    # torch, numpy and random take such seeds
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)


def test_seeds_depend_on_the_course_s_seed_alone() -> None:
    """The same seeds make the same plan, others another, and a seed more changes none of the rounds before."""
    assert plan(SEEDS) == plan(SEEDS)
    assert plan([*SEEDS, 9])[:7] == plan(SEEDS)
    first, second = ({one.parameters["seed"] for one in plan([seed])[1:]} for seed in (1, 2))
    assert not first & second


def test_sizes() -> None:
    """Each entry of sizes makes one more round, whose three passes have those parameters and a seed of their own."""
    made = plan(SEEDS, SIZES)
    for number, size in enumerate(SIZES, start=len(SEEDS) + 1):
        for one in (one for one in made if one.round == number):
            assert {name: value for name, value in one.parameters.items() if name != "seed"} == size
    for one in made[1 : 1 + 3 * len(SEEDS)]:
        assert set(one.parameters) == {"seed"}


def test_names() -> None:
    """Names are unique within a plan, the visible pass being called so."""
    names = [one.name for one in plan(SEEDS, SIZES)]
    assert names[0] == "visible"
    assert len(set(names)) == len(names)


def test_rounds() -> None:
    """Rounds hold the hidden passes of a plan, each kind once, and nothing else."""
    passes = plan(SEEDS, SIZES)
    found = rounds(passes)
    assert len(found) == len(SEEDS) + len(SIZES)
    assert [one for one_round in found for one in one_round.values()] == list(passes[1:])
    for one_round in found:
        assert tuple(one_round) == HIDDEN
        assert all(one.kind == kind for kind, one in one_round.items())
    assert rounds(passes[:1]) == []
