"""The plan of passes and the parameters of each."""

from handgrad.grading.passes import HIDDEN, Pass, plan, rounds
from helpers.inputs import named

SEEDS = [7, 2**48 - 1]
SIZES = [{"batch_size": 16}, {"n_hidden": 8, "batch_size": 5}]


def test_order() -> None:
    """The visible pass comes first, then the step of every round, then round by round what a right step can spare."""
    for seeds, sizes in [([1], []), (SEEDS, []), (SEEDS, SIZES), ([3], SIZES)]:
        with named(seeds, sizes):
            passes = plan(seeds, sizes)
            numbers = range(1, len(seeds) + len(sizes) + 1)
            steps = [("step", number) for number in numbers]
            others = [(kind, number) for number in numbers for kind in ("as written", "helped")]
            assert [(one.kind, one.round) for one in passes] == [("visible", 0), *steps, *others]
            assert {one.kind for one in passes if one.helps} == {"step", "helped"}
            assert [one for one in passes if one.is_optional] == list(passes[1 + len(steps) :])


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
    assert rounds(plan([*SEEDS, 9]))[:2] == rounds(plan(SEEDS))
    first, second = ({one.parameters["seed"] for one in plan([seed])[1:]} for seed in (1, 2))
    assert not first & second


def test_sizes() -> None:
    """Each entry of sizes makes one more round, whose three passes have those parameters and a seed of their own."""
    made = plan(SEEDS, SIZES)
    for number, size in enumerate(SIZES, start=len(SEEDS) + 1):
        for one in (one for one in made if one.round == number):
            assert {name: value for name, value in one.parameters.items() if name != "seed"} == size
    for one in (one for one in made if 1 <= one.round <= len(SEEDS)):
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
    assert sum(map(len, found)) == len(passes) - 1
    assert all(one in passes for one_round in found for one in one_round.values())
    for one_round in found:
        assert tuple(one_round) == HIDDEN
        assert all(one.kind == kind for kind, one in one_round.items())
    assert rounds(passes[:1]) == []
