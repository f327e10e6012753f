"""The catalogue: every entry has an example, right answers fit none, and nothing is guessed."""

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from handgrad.authoring.cases import read_cases
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.mistakes.backward_context import BackwardContext
from handgrad.gradients.mistakes.catalogue import CATALOGUE, ORDER, recognise, recognise_in_any_shape
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.grading.grader import Grader
from handgrad.submission.submission import Submission
from helpers.inputs import named
from helpers.paths import ASSIGNMENTS, MISTAKES, ROOT

CASES = read_cases(MISTAKES)
FIRST = [case for case in CASES if case.assignment == "backprop"]
UNUSUAL = [case for case in FIRST if case.score == 26 and not case.diagnoses]


@pytest.fixture(scope="module")
def facts(references: tuple[Reference, ...], exercise: Exercise) -> ForwardFacts:
    """What holds whatever the data."""
    return ForwardFacts.of(references, exercise.setup({}))


@pytest.fixture(scope="module")
def context(references: tuple[Reference, ...], facts: ForwardFacts) -> BackwardContext:
    """A step pass."""
    return references[1].backward_context(facts, step=True)


@functools.cache
def _known(assignment: str) -> tuple[Exercise, list[Reference]]:
    """An exercise, and its references on two seeds."""
    exercise = Exercise.read(ROOT / "source" / assignment / f"{assignment}.ipynb")
    return exercise, [Reference.of(exercise, {"seed": seed}) for seed in (1, 2)]


def _view(context: BackwardContext, reference: Reference, name: str, answer: torch.Tensor) -> WrongAnswer:
    return WrongAnswer(context, name, answer, reference.step.gradients[name].double())


def test_cases_expect_what_the_catalogue_has() -> None:
    """No case expects a mistake that is not in the catalogue."""
    assert {slug for case in CASES for slug in case.diagnoses.values()} <= set(CATALOGUE)


def test_the_order_is_complete() -> None:
    """Every entry has one place in the order in which mistakes are tried."""
    assert sorted(ORDER) == sorted(CATALOGUE)


def test_there_are_many_mistakes() -> None:
    """At least forty folders are mistakes, and at least twelve are right answers in an unusual style."""
    assert len([case for case in FIRST if case.diagnoses or case.score < 26]) >= 40
    assert len([case for case in UNUSUAL if case.name.startswith("right-")]) >= 12


def test_every_text_is_whole() -> None:
    """Each entry says what happened and what to try, in sentences."""
    for mistake in CATALOGUE.values():
        assert mistake.what.endswith("."), mistake.slug
        assert mistake.advice[-1] in ".?", mistake.slug
        assert mistake.advice[0].isupper() or mistake.advice.startswith("{tensor} has"), mistake.slug


def test_a_right_value_fits_no_entry() -> None:
    """The reference itself, rounded in single or kept in double precision, is no mistake of any kind."""
    for step in [True, False]:
        for assignment in ASSIGNMENTS:
            with named(step, assignment):
                exercise, references = _known(assignment)
                facts = ForwardFacts.of(references, exercise.setup({}))
                for reference in references if exercise.tensors else ():
                    context = reference.backward_context(facts, step=step)
                    expected = reference.step.gradients if step else reference.gradients
                    for name, value in expected.items():
                        if name in facts.zero and not step:
                            continue
                        for answer in (value, value.double(), value * (1 + 1e-6)):
                            view = WrongAnswer(context, name, answer, value.double())
                            assert recognise(f"d{name}", [view]) is None, name


def test_a_dtype_is_named_where_it_is_to_blame(references: tuple[Reference, ...], context: BackwardContext) -> None:
    """Right values squeezed into another dtype are told so; a wrong value in a coarse one is not blamed on it."""
    for kind in [torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64]:
        with named(kind):
            value = references[1].step.gradients["bngain"]
            found = recognise("dbngain", [_view(context, references[1], "bngain", value.to(kind))])
            assert found is not None
            assert found.mistake == "dtype"
            wrong = recognise(
                "dbngain", [_view(context, references[1], "bngain", (value + value.abs().max()).to(kind))]
            )
            assert (wrong is None) == kind.is_floating_point


def test_noise_is_not_recognised(references: tuple[Reference, ...], context: BackwardContext) -> None:
    """Random values, or a right value with one entry changed, fit nothing: nothing is said rather than guessed."""
    generator = torch.Generator().manual_seed(5)
    for name, value in references[1].step.gradients.items():
        noise = torch.randn(value.shape, generator=generator) * value.std()
        assert recognise(f"d{name}", [_view(context, references[1], name, noise)]) is None, name
        changed = value.clone()
        changed.view(-1)[0] += 0.5 * value.abs().max()
        found = recognise(f"d{name}", [_view(context, references[1], name, changed)])
        # that it is right elsewhere is no guess
        assert found is None or found.mistake == "right-elsewhere", name


@pytest.mark.parametrize("number", [1.0, -0.25, 3e-4])
def test_a_constant_is_not_recognised(
    references: tuple[Reference, ...], context: BackwardContext, number: float
) -> None:
    """The same number everywhere, or a single one, is a multiple of too many things to be named."""
    for name, value in references[1].step.gradients.items():
        for answer in (torch.full_like(value, number), torch.tensor(number)):
            assert recognise_in_any_shape(f"d{name}", [_view(context, references[1], name, answer)]) is None, name


def test_a_mistake_must_fit_every_pass(references: tuple[Reference, ...], facts: ForwardFacts) -> None:
    """What fits in one pass and not in another, or differently there, is not named."""
    views = []
    for reference, factor in zip(references[:2], (2.0, 3.0), strict=True):
        value = reference.step.gradients["h"]
        views.append(_view(reference.backward_context(facts, step=True), reference, "h", factor * value))
    assert [diagnosis and diagnosis.mistake for diagnosis in (recognise("dh", [view]) for view in views)] == [
        "scale",
        "scale",
    ]
    varying = recognise("dh", views)
    assert varying
    assert varying.mistake == "varying-scale"
    views[1] = replace(views[1], answer=views[1].expected.roll(1, 0))
    assert recognise("dh", views) is None


def test_branches_add_up(references: tuple[Reference, ...], facts: ForwardFacts) -> None:
    """What comes back through the consumers, one by one, is the gradient in one backward pass, for either kind."""
    for step in (True, False):
        context = references[0].backward_context(facts, step=step)
        expected = references[0].step.gradients if step else references[0].gradients
        for name, value in expected.items():
            if name in facts.zero and not step:
                continue
            total = torch.stack([context.branch(name, consumer) for consumer in facts.consumers[name]]).sum(0)
            torch.testing.assert_close(total, value.double(), rtol=1e-5, atol=1e-6 * float(value.abs().max()))


def test_parts_add_up(references: tuple[Reference, ...], context: BackwardContext) -> None:
    """A branch before it is summed, summed along what was stretched, is the branch."""
    for name, consumer in (("bngain", "hpreact"), ("counts_sum_inv", "probs"), ("b2", "logits"), ("b1", "hprebn")):
        parts = context.parts(name, consumer)
        assert parts.shape == references[1].tensors[consumer].shape
        summed = parts.sum_to_size(references[1].tensors[name].shape)
        torch.testing.assert_close(summed, context.branch(name, consumer), rtol=1e-4, atol=1e-8)


def test_the_loss_is_a_consumer(context: BackwardContext, references: tuple[Reference, ...]) -> None:
    """The gradient of the loss is 1, and what it sends back is the gradient of the last tensor."""
    assert float(context.gradient_of(LOSS)) == 1
    assert torch.equal(context.branch("logprobs", LOSS), references[1].step.gradients["logprobs"].double())


def test_sizes_have_names(context: BackwardContext) -> None:
    """A size is called what the notebook calls it; it may have several names, or none."""
    assert {size: context.sizes[size] for size in (32, 27, 64, 10, 30)} == {
        32: ["batch_size", "n"],
        27: ["vocab_size"],
        64: ["n_hidden"],
        10: ["n_embd"],
        30: [],
    }


FACTORS = {
    1 / 64: "1/64 (n_hidden is 64)",
    -32: "-32 (batch_size and n are 32)",
    31 / 32: "31/32 (batch_size and n are 32)",
    0.1: "0.1",
    30: "30",
}


def test_factors_have_names(references: tuple[Reference, ...], context: BackwardContext) -> None:
    """A factor is called by the size that it is made from, and the size is told; a bare number is told as it is."""
    for factor, told in FACTORS.items():
        with named(factor):
            value = references[1].step.gradients["h"] * factor
            found = recognise("dh", [_view(context, references[1], "h", value)])
            name, _, size = told.partition(" ")
            assert found is not None
            assert found.what == f"dh is {name} times what it should be{f' {size}' if size else ''}."


def test_an_alias_names_cell_and_line(grader: Grader, submit: Callable[..., Submission]) -> None:
    """The later cell is named, and its line where only one writes into what is there."""
    cell = "x = 1\ndhprebn = dbndiff\ndhprebn += 1/n * dbnmeani"
    for source, where in ((cell, "afterwards (line 3),"), (f"{cell}\ndhprebn.mul_(1)", "afterwards,")):
        report = grader.grade(submit(dhprebn=source)).report
        (found,) = [verdict.diagnosis for verdict in report.checks if verdict.diagnosis]
        assert report.passed
        assert (found.mistake, found.cell) == ("alias-mutated", "dhprebn")
        assert where in found.what


def test_a_right_submission_costs_nothing_more(grader: Grader, submit: Callable[..., Submission]) -> None:
    """Where every answer is right, no branch is worked out and no context is made."""
    plain = {name: replace(reference, _contexts={}) for name, reference in grader.references.items()}
    kept = grader.gradients.diagnostician
    grader.gradients.diagnostician = replace(kept, references=plain)
    try:
        assert grader.grade(submit()).report.passed
        assert not any(reference._contexts for reference in plain.values())
        grader.grade(submit(dh="dh = -dlogits @ W2.T"))
        assert any(reference._contexts for reference in plain.values())
    finally:
        grader.gradients.diagnostician = kept


def test_alias_is_not_claimed_of_a_name_that_was_assigned_again(
    grader: Grader, submit: Callable[..., Submission]
) -> None:
    """A later cell that gives the gradient's own name another value has not changed it through shared storage."""
    again = "dbndiff = dbndiff + 1/n * dbnmeani\ndhprebn = dbndiff"
    report = grader.grade(submit(dhprebn=again)).report
    assert report.passed
    assert not any(verdict.diagnosis for verdict in report.checks)


def test_carried_names_the_first_slip(grader: Grader, submit: Callable[..., Submission]) -> None:
    """A gradient that is off at home because of others names the first of them; one that is right at home, none."""
    report = grader.grade(submit(dlogits="dlogits = 2 * dnorm_logits", dh="dh = -dlogits @ W2.T")).report
    found = {verdict.gradient: verdict.diagnosis for verdict in report.checks if verdict.diagnosis}
    assert found["dh"].mistake == "sign"
    assert (found["dW1"].mistake, found["dW1"].cell) == ("carried", "dlogits")
    assert "dprobs" not in found


def test_ways_are_shares_of_a_branch() -> None:
    """What comes back by way of the mean and of the variance, and what does by neither, add up to the gradient."""
    exercise, (reference, _) = _known("batch_norm")
    context = reference.backward_context(ForwardFacts.of([reference], exercise.setup({})), step=True)
    ways = context.unnamed_paths("hprebn", "hpreact")
    assert list(ways) == ["bnmeani", "bnvar"]
    upstream, forward = context.gradient_of("hpreact"), context.forward
    straight = upstream * forward["bngain"] * forward["bnvar_inv"]
    mean = -straight.mean(0, keepdim=True).expand_as(straight)
    torch.testing.assert_close(ways["bnmeani"], mean, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(straight + sum(ways.values()), context.branch("hprebn", "hpreact"), rtol=1e-4, atol=1e-8)


def test_picked_entries_that_pick_too_much() -> None:
    """An answer that is off elsewhere too, or not at every label, is not said to be right but for the labels."""
    exercise, (reference, _) = _known("cross_entropy")
    context = reference.backward_context(ForwardFacts.of([reference], exercise.setup({})), step=True)
    right, labels = reference.step.gradients["logits"], reference.namespace["Yb"]
    rows = torch.arange(len(labels))
    for places, name in (
        ((rows, labels), "picked-entries"),
        ((rows[1:], labels[1:]), None),
        ((rows, labels - 1), None),
    ):
        answer = right.clone()
        answer[places] += 0.1
        found = recognise("dlogits", [_view(context, reference, "logits", answer)])
        assert (found and found.mistake) == name
