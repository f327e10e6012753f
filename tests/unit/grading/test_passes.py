"""The passes: their names, their seeds and their rounds."""

from handgrad.grading.passes import Pass, Round, plan_values, rounds, seeds_and_sizes

SEEDS = [7, 2**48 - 1]
SIZES = [{"batch_size": 16}, {"n_hidden": 8, "batch_size": 5}]


def _round(number: int, seed: int, parts: int = 1) -> list[Pass]:
    steps = [Pass.hidden("step", number, seed, {}, part=part) for part in range(1, parts + 1)]
    return [*steps, Pass.hidden("as written", number, seed, {}), Pass.hidden("helped", number, seed, {})]


def test_every_pass_has_its_own_seed() -> None:
    """No two passes share a seed, so a reference sent in one is worth nothing in another; none shows the course's."""
    passes = [pass_ for number, seed in enumerate(SEEDS, start=1) for pass_ in _round(number, seed, parts=3)]
    passes += [
        Pass.hidden("step", 1, SEEDS[0], {}, part=part, attempt=attempt) for part in (1, 2) for attempt in range(1, 4)
    ]
    seeds = [pass_.parameters["seed"] for pass_ in passes]
    assert len(set(seeds)) == len(passes)
    assert not set(seeds) & set(SEEDS)
    # torch, numpy and random take such seeds
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)


def test_seeds_depend_on_the_course_s_seed_alone() -> None:
    """The same seed makes the same passes, and another one others."""
    assert _round(1, 7) == _round(1, 7)
    first, second = ({pass_.parameters["seed"] for pass_ in _round(1, seed)} for seed in (1, 2))
    assert not first & second


def test_sizes() -> None:
    """Each entry of sizes makes one more round, on the first seed."""
    assert seeds_and_sizes(SEEDS, SIZES) == [(SEEDS[0], {}), (SEEDS[1], {}), *((SEEDS[0], size) for size in SIZES)]


def test_values() -> None:
    """Values have one pass for each seed, size and setting, with names of their own."""
    passes = plan_values(SEEDS, SIZES, [{"steps": 1}, {"steps": 10}])
    assert len({pass_.name for pass_ in passes}) == len(passes) == 8
    assert [pass_.parameters.get("batch_size") for pass_ in passes] == [None] * 4 + [16, 16, 5, 5]


def test_names_and_help() -> None:
    """Names are unique, and the reference replaces an answer in the step passes and the helped one."""
    passes = [Pass("visible", 0, {}), *_round(1, 7, parts=2), *_round(2, 8)]
    assert [pass_.name for pass_ in passes] == [
        "visible",
        "step 1",
        "step 1, part 2",
        "as written 1",
        "helped 1",
        "step 2",
        "as written 2",
        "helped 2",
    ]
    assert {pass_.kind for pass_ in passes if pass_.helps} == {"step", "helped"}
    assert {pass_.kind for pass_ in passes if pass_.is_optional} == {"as written", "helped"}


def test_rounds() -> None:
    """A round holds its step passes and the two others; values and the visible pass belong to none."""
    first, second = _round(1, 7, parts=2), _round(2, 8)
    passes = [Pass("visible", 0, {}), *first, *second, *plan_values([7], [], [{}])]
    assert rounds(passes) == [Round(tuple(first[:2]), *first[2:]), Round(tuple(second[:1]), *second[1:])]
    assert rounds(passes[:1]) == []
