"""The marking rule, line by line, and what holds of it as a whole."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import fields, replace

from handgrad.grading.marking import Correctness, Evidence, Mark, Policy, correctness_of, mark, worst
from handgrad.report.records import Comparison
from helpers.inputs import named

RIGHT = Comparison((1, 64), (1, 64), exact=False, approximate=True, maxdiff=1e-9, relative=1e-7)
EXACT = replace(RIGHT, exact=True, maxdiff=0.0, relative=0.0)
RESHAPED = Comparison((64,), (1, 64), exact=False, approximate=False, maxdiff=None, relative=None, reshaped=True)
WRONG = Comparison((1, 64), (1, 64), exact=False, approximate=False, maxdiff=0.1, relative=1.0)
NAN = replace(WRONG, maxdiff=float("nan"), relative=float("nan"), finite=False)
POLICY = Policy(partial_shape=0.25, partial_invisible=0.75)

BLIND = {"blind": True}
ZERO = {"zero": True, "blind": True}

RULE = {
    # 1. the step value is right
    "step alone": (Evidence(step=RIGHT), Mark("passed", 1.0, "step")),
    "step, all else wrong": (
        Evidence((WRONG, WRONG), RIGHT, WRONG, WRONG),
        Mark("passed", 1.0, "step"),
    ),
    "step of a zero one": (Evidence((WRONG,), RIGHT, WRONG, **ZERO), Mark("passed", 1.0, "step")),
    "all right": (Evidence((RIGHT, RIGHT), RIGHT, RIGHT, RIGHT), Mark("passed", 1.0, "step")),
    "all exact": (Evidence((EXACT, EXACT), EXACT, EXACT, EXACT), Mark("passed", 1.0, "step")),
    # 2. else a hidden value is right, and the loss can see mistakes
    "at the stub": (Evidence((RIGHT, None), WRONG, WRONG), Mark("passed", 1.0, "hidden")),
    "at the end": (Evidence((WRONG, RIGHT), WRONG, WRONG), Mark("passed", 1.0, "hidden")),
    "helped": (Evidence((WRONG, WRONG), WRONG, RIGHT), Mark("passed", 1.0, "hidden")),
    "helped, nothing else": (Evidence(helped=RIGHT), Mark("passed", 1.0, "hidden")),
    # 3. else a hidden value is right, and no upstream gradient was used
    "closed form, blind": (
        Evidence((RIGHT, RIGHT), WRONG, RIGHT, RIGHT, **BLIND),
        Mark("passed", 1.0, "loss"),
    ),
    "closed form, zero": (
        Evidence((RIGHT, RIGHT), WRONG, RIGHT, RIGHT, **ZERO),
        Mark("partial", 0.75, "invisible"),
    ),
    "closed form in the step alone": (Evidence((WRONG,), WRONG, WRONG, RIGHT, **BLIND), Mark("failed", 0.0, "wrong")),
    # 4. else a hidden value is right
    "missing branch, blind": (Evidence((RIGHT,), WRONG, RIGHT, WRONG, **BLIND), Mark("partial", 0.75, "invisible")),
    "zeros for a zero": (Evidence((RIGHT, RIGHT), WRONG, RIGHT, WRONG, **ZERO), Mark("partial", 0.75, "invisible")),
    "no step pass": (Evidence((RIGHT,), None, None, None, **BLIND), Mark("partial", 0.75, "invisible")),
    # 5. right in 1 to 3, but in another shape
    "step, another shape": (
        Evidence((RESHAPED,), RESHAPED, RESHAPED),
        Mark("partial", 0.25, "step", reshaped=True),
    ),
    "hidden, another shape": (
        Evidence((RESHAPED,), WRONG, WRONG),
        Mark("partial", 0.25, "hidden", reshaped=True),
    ),
    "closed form, another shape": (
        Evidence((RESHAPED,), WRONG, WRONG, RESHAPED, **BLIND),
        Mark("partial", 0.25, "loss", reshaped=True),
    ),
    "zero, another shape in the step": (
        Evidence((RESHAPED,), RESHAPED, RESHAPED, **ZERO),
        Mark("partial", 0.25, "step", reshaped=True),
    ),
    "zeros in another shape": (Evidence((RESHAPED,), WRONG, RESHAPED, WRONG, **ZERO), Mark("failed", 0.0, "wrong")),
    "right once, reshaped in the step": (Evidence((RIGHT,), RESHAPED, WRONG), Mark("passed", 1.0, "hidden")),
    # 6. otherwise
    "nothing": (Evidence(), Mark("failed", 0.0, "wrong")),
    "no answers": (Evidence((None, None)), Mark("failed", 0.0, "wrong")),
    "all wrong": (Evidence((WRONG, WRONG), WRONG, WRONG, WRONG), Mark("failed", 0.0, "wrong")),
    "not a number": (Evidence((NAN, NAN), NAN, NAN, NAN), Mark("failed", 0.0, "wrong")),
}


def test_rule() -> None:
    """Each line of the rule decides as it is written."""
    for name, (evidence, expected) in RULE.items():
        with named(name):
            assert mark(evidence, POLICY) == expected


def test_every_line_of_the_docstring_is_tried() -> None:
    """The table tries every line that the rule's docstring numbers."""
    reasons = {(expected.outcome, expected.reason, expected.reshaped) for _, expected in RULE.values()}
    lines = re.findall(r"^\s+(\d)\. ", str(mark.__doc__), re.MULTILINE)
    assert lines == ["1", "2", "3", "4", "5", "6"]
    assert {
        ("passed", "step", False),
        ("passed", "hidden", False),
        ("passed", "loss", False),
        ("partial", "invisible", False),
        ("partial", "step", True),
        ("failed", "wrong", False),
    } <= reasons


def test_value_of() -> None:
    """No answer is worth what a wrong one is, and a reshaped one lies between wrong and right."""
    assert correctness_of(None) is correctness_of(WRONG) is correctness_of(NAN) is Correctness.WRONG
    assert correctness_of(RESHAPED) is Correctness.RESHAPED
    assert correctness_of(RIGHT) is correctness_of(EXACT) is Correctness.RIGHT
    assert Correctness.WRONG < Correctness.RESHAPED < Correctness.RIGHT


def _all_evidence() -> Iterator[Evidence]:
    values = (WRONG, RESHAPED, RIGHT)
    for stub, end, step, helped, against in itertools.product(values, repeat=5):
        for flags in ({}, BLIND, ZERO):
            yield Evidence((stub, end), step, helped, against, **flags)


def _better(evidence: Evidence) -> Iterator[Evidence]:
    """The same evidence with one comparison better by a step."""
    upwards = {WRONG: RESHAPED, RESHAPED: RIGHT}
    stub, end = evidence.as_written
    changed = {"as_written": [(upwards.get(stub, stub), end), (stub, upwards.get(end, end))]}
    for name in ("step", "helped", "step_against_true"):
        value = getattr(evidence, name)
        changed[name] = [upwards.get(value, value)]
    for name, better in changed.items():
        yield from (replace(evidence, **{name: one}) for one in better)


def _lowered(policy: Policy) -> list[tuple[Evidence, Evidence]]:
    return [
        (less, more)
        for less in _all_evidence()
        for more in _better(less)
        if mark(more, policy).share < mark(less, policy).share
    ]


def test_more_right_evidence_never_lowers_the_mark() -> None:
    """Whatever else is known, one comparison more that is right costs nothing."""
    for policy in (Policy(), Policy(partial_shape=0.75, partial_invisible=0.25), Policy(1.0, 1.0), Policy(0.0, 0.0)):
        assert not _lowered(policy)


def test_more_right_evidence_never_lowers_the_mark_where_shapes_cost_more() -> None:
    """The same holds where another shape costs more than an invisible mistake."""
    assert not _lowered(Policy(partial_shape=0.25, partial_invisible=0.5))


def test_a_loss_that_sees_less_never_raises_the_mark() -> None:
    """The same evidence about a gradient that the loss cannot see earns no more."""
    for seen in _all_evidence():
        shares = [mark(replace(seen, **flags), POLICY).share for flags in ({"zero": False, "blind": False}, BLIND)]
        assert shares[1] <= shares[0]


def test_the_mark_depends_on_values_alone() -> None:
    """An exact answer earns what a rounded one does, and NaN what any wrong one does."""
    for seen in _all_evidence():
        swapped = {RIGHT: EXACT, WRONG: NAN}
        other = replace(
            seen,
            as_written=tuple(swapped.get(one, one) for one in seen.as_written),
            **{name: swapped.get(getattr(seen, name), getattr(seen, name)) for name in ("step", "helped")},
        )
        assert mark(other, POLICY) == mark(seen, POLICY)


def test_full_marks_need_full_rightness() -> None:
    """A passed mark is a whole one, a failed one is none, and a policy decides what lies between."""
    for seen in _all_evidence():
        decided = mark(seen, POLICY)
        shares = {"passed": {1.0}, "failed": {0.0}, "partial": {0.25, 0.75}}[decided.outcome]
        assert decided.share in shares
        if decided.outcome != "failed":
            values = [correctness_of(one) for one in (*seen.as_written, seen.step, seen.helped)]
            assert max(values) >= (Correctness.RESHAPED if decided.reshaped else Correctness.RIGHT)


def test_worst() -> None:
    """Several rounds come to the least favourable of their marks, in any order."""
    good, half, bad = Mark("passed", 1.0, "step"), Mark("partial", 0.5, "invisible"), Mark("failed", 0.0, "wrong")
    for order in itertools.permutations([good, half, bad]):
        assert worst(order) is bad
    assert worst([good, half]) is half
    assert worst(iter([good])) is good


def test_policy_defaults_are_those_of_a_course() -> None:
    """A course that configures nothing marks as the policy alone does."""
    from handgrad.course.course import Handgrad

    assert Handgrad().grading().policy == Policy()
    assert {one.name for one in fields(Policy)} <= set(Handgrad().traits())
