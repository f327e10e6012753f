"""The passes: their names, their seeds and their rounds."""

from handgrad.grading.passes import Pass, Round, plan_values, rounds, secret_seed, seeds_and_sizes

SEEDS = [7, 2**48 - 1]
SIZES = [{"batch_size": 16}, {"n_hidden": 8, "batch_size": 5}]


def _round(number: int, parts: int = 1) -> list[Pass]:
    steps = [Pass("step", number, {}, part) for part in range(1, parts + 1)]
    return [*steps, Pass("as written", number, {}), Pass("helped", number, {})]


def test_every_place_of_a_plan_has_its_own_seed() -> None:
    """No two places share a seed, so a reference sent in one pass is worth nothing in another."""
    places = [(seed, number, attempt) for seed in SEEDS for number in (1, 2) for attempt in range(4)]
    places += [(seed, 1, "values") for seed in SEEDS]
    seeds = [secret_seed(*place) for place in places]
    assert len(set(seeds)) == len(places)
    assert not set(seeds) & set(SEEDS)
    # torch, numpy and random take such seeds
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)
    assert seeds == [secret_seed(*place) for place in places]


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
    passes = [Pass("visible", 0, {}), *_round(1, parts=2), *_round(2)]
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
    first, second = _round(1, parts=2), _round(2)
    passes = [Pass("visible", 0, {}), *first, *second, *plan_values([7], [], [{}])]
    assert rounds(passes) == [Round(tuple(first[:2]), *first[2:]), Round(tuple(second[:1]), *second[1:])]
    assert rounds(passes[:1]) == []
