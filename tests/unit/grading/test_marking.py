"""The marking rule, line by line, and what holds of it as a whole."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import fields, replace

from handgrad.grading.marking import Correctness, Evidence, Mark, Policy, StepEvidence, correctness_of, mark, worst
from handgrad.report.records import Comparison
from helpers.inputs import named

RIGHT = Comparison((1, 64), (1, 64), exact=False, approximate=True, maxdiff=1e-9, relative=1e-7)
EXACT = replace(RIGHT, exact=True, maxdiff=0.0, relative=0.0)
RESHAPED = Comparison((64,), (1, 64), exact=False, approximate=False, maxdiff=None, relative=None, reshaped=True)
WRONG = Comparison((1, 64), (1, 64), exact=False, approximate=False, maxdiff=0.1, relative=1.0)
NAN = replace(WRONG, maxdiff=float("nan"), relative=float("nan"), finite=False)
POLICY = Policy(partial_shape=0.25, partial_invisible=0.75)

SHOWS = (frozenset(["as written"]), frozenset(["helped"]))
TOGETHER = (frozenset(["as written", "helped"]),)
READ = (StepEvidence(WRONG, RIGHT),)
MISSED = (StepEvidence(WRONG, WRONG),)

RULE = {
    # 1. right in every step pass
    "step alone": (Evidence((StepEvidence(RIGHT),)), Mark("passed", 1.0, "step")),
    "two step passes": (Evidence((StepEvidence(RIGHT), StepEvidence(EXACT))), Mark("passed", 1.0, "step")),
    "step, all else wrong": (
        Evidence((StepEvidence(RIGHT),), (WRONG, WRONG), WRONG, SHOWS),
        Mark("passed", 1.0, "step"),
    ),
    "all right": (Evidence((StepEvidence(RIGHT),), (RIGHT, EXACT), RIGHT, SHOWS), Mark("passed", 1.0, "step")),
    "wrong in one of two": (Evidence((StepEvidence(RIGHT), *MISSED)), Mark("failed", 0.0, "wrong")),
    # 2. else what the chain rule gives from the upstream gradients that were read
    "closed form": (Evidence(READ, (RIGHT, RIGHT), RIGHT), Mark("passed", 1.0, "read")),
    "closed form, helped": (Evidence(READ, (WRONG,), RIGHT), Mark("passed", 1.0, "read")),
    "closed form in one of two": (Evidence((StepEvidence(RIGHT), *READ), (RIGHT,)), Mark("passed", 1.0, "read")),
    "closed form that is wrong on true gradients": (
        Evidence(READ, (WRONG,), WRONG, SHOWS),
        Mark("failed", 0.0, "wrong"),
    ),
    "closed form, wrong in another": (
        Evidence((*READ, *MISSED), (RIGHT,), RIGHT),
        Mark("partial", 0.75, "invisible"),
    ),
    # 3. else a hidden value is right in a pass that shows any mistake
    "at the stub": (Evidence(MISSED, (RIGHT, None), WRONG, SHOWS), Mark("passed", 1.0, "hidden")),
    "at the end": (Evidence(MISSED, (WRONG, RIGHT), WRONG, SHOWS), Mark("passed", 1.0, "hidden")),
    "helped": (Evidence(MISSED, (WRONG, WRONG), RIGHT, SHOWS), Mark("passed", 1.0, "hidden")),
    "helped, where it shows": (
        Evidence(MISSED, (WRONG, WRONG), RIGHT, (frozenset(["helped"]),)),
        Mark("passed", 1.0, "hidden"),
    ),
    "both together": (Evidence(MISSED, (RIGHT, WRONG), RIGHT, TOGETHER), Mark("passed", 1.0, "hidden")),
    # 4. else a hidden value is right
    "one of two that show it together": (
        Evidence(MISSED, (WRONG, WRONG), RIGHT, TOGETHER),
        Mark("partial", 0.75, "invisible"),
    ),
    "helped, where it shows nothing": (
        Evidence(MISSED, (WRONG, WRONG), RIGHT, (frozenset(["as written"]),)),
        Mark("partial", 0.75, "invisible"),
    ),
    "missing branch": (Evidence(MISSED, (RIGHT,), RIGHT), Mark("partial", 0.75, "invisible")),
    "no step pass": (Evidence((StepEvidence(),), (RIGHT,)), Mark("partial", 0.75, "invisible")),
    # 5. right in 1 to 3, but in another shape
    "step, another shape": (
        Evidence((StepEvidence(RESHAPED),), (RESHAPED,), RESHAPED),
        Mark("partial", 0.25, "step", reshaped=True),
    ),
    "closed form, another shape": (
        Evidence((StepEvidence(WRONG, RESHAPED),), (RESHAPED,)),
        Mark("partial", 0.25, "read", reshaped=True),
    ),
    "hidden, another shape": (
        Evidence(MISSED, (RESHAPED,), WRONG, SHOWS),
        Mark("partial", 0.25, "hidden", reshaped=True),
    ),
    "right in one, reshaped in another": (
        Evidence((StepEvidence(RIGHT), StepEvidence(RESHAPED))),
        Mark("partial", 0.25, "step", reshaped=True),
    ),
    "zeros in another shape": (Evidence(MISSED, (RESHAPED,), RESHAPED), Mark("failed", 0.0, "wrong")),
    "right once, reshaped in the step": (
        Evidence((StepEvidence(RESHAPED),), (RIGHT,), WRONG, SHOWS),
        Mark("passed", 1.0, "hidden"),
    ),
    # 6. otherwise
    "nothing": (Evidence(), Mark("failed", 0.0, "wrong")),
    "no answers": (Evidence((StepEvidence(),), (None, None), None, SHOWS), Mark("failed", 0.0, "wrong")),
    "all wrong": (Evidence(MISSED, (WRONG, WRONG), WRONG, SHOWS), Mark("failed", 0.0, "wrong")),
    "not a number": (Evidence((StepEvidence(NAN, NAN),), (NAN, NAN), NAN, SHOWS), Mark("failed", 0.0, "wrong")),
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
        ("passed", "read", False),
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
    for stub, end, step, read, helped in itertools.product(values, repeat=5):
        for shows in ((), TOGETHER, SHOWS):
            yield Evidence((StepEvidence(step, read),), (stub, end), helped, shows)


def _better(evidence: Evidence) -> Iterator[Evidence]:
    """The same evidence with one comparison better by a step."""
    upwards = {WRONG: RESHAPED, RESHAPED: RIGHT, RIGHT: RIGHT}
    (stub, end), (step,) = evidence.as_written, evidence.steps
    yield replace(evidence, as_written=(upwards[stub], end))
    yield replace(evidence, as_written=(stub, upwards[end]))
    yield replace(evidence, helped=upwards[evidence.helped])
    yield replace(evidence, steps=(replace(step, step=upwards[step.step]),))
    yield replace(evidence, steps=(replace(step, read=upwards[step.read]),))


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


def test_a_pass_that_shows_less_never_raises_the_mark() -> None:
    """The same evidence about a gradient of which the loss shows less earns no more."""
    for seen in _all_evidence():
        shares = [mark(replace(seen, shows=shows), POLICY).share for shows in (SHOWS, TOGETHER, ())]
        assert shares[2] <= shares[1] <= shares[0]


def test_another_step_pass_never_raises_the_mark() -> None:
    """Whatever a further step pass gives, the answer earns no more than without it."""
    for seen in _all_evidence():
        for step in (StepEvidence(RIGHT), *READ, *MISSED):
            assert mark(replace(seen, steps=(*seen.steps, step)), POLICY).share <= mark(seen, POLICY).share


def test_the_mark_depends_on_values_alone() -> None:
    """An exact answer earns what a rounded one does, and NaN what any wrong one does."""
    swapped = {RIGHT: EXACT, WRONG: NAN, RESHAPED: RESHAPED}
    for seen in _all_evidence():
        (step,) = seen.steps
        other = replace(
            seen,
            as_written=tuple(swapped[value] for value in seen.as_written),
            helped=swapped[seen.helped],
            steps=(StepEvidence(swapped[step.step], swapped[step.read]),),
        )
        assert mark(other, POLICY) == mark(seen, POLICY)


def test_full_marks_need_full_rightness() -> None:
    """A passed mark is a whole one, a failed one is none, and a policy decides what lies between."""
    for seen in _all_evidence():
        decided = mark(seen, POLICY)
        shares = {"passed": {1.0}, "failed": {0.0}, "partial": {0.25, 0.75}}[decided.outcome]
        assert decided.share in shares
        if decided.outcome != "failed":
            (step,) = seen.steps
            values = [correctness_of(value) for value in (*seen.as_written, step.step, step.read, seen.helped)]
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
    assert {field.name for field in fields(Policy)} <= set(Handgrad().traits())
