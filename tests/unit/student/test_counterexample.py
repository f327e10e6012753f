"""`counterexample`: the formula fails in the smallest case, all that is printed is true, nothing right is blamed."""

import random
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.helps.case import Case
from handgrad.student.helps.counterexample import Counterexample
from handgrad.student.helps.forward_code import ForwardCode, NoHelp
from handgrad.student.helps.hint import STEPS, hint
from handgrad.student.helps.nudge import Nudge
from handgrad.student.helps.output import WRONG, Tables
from helpers.exercises import EXERCISES, WITH_GRADIENTS, few_are_fast
from helpers.played_notebooks import WrongFormula, code_of, play, right_formulas, wrong_formulas
from helpers.printed_numbers import is_printed

SECONDS = 20.0
"""A busy machine may take longer than a student's; what is found is the same."""
NO_CASE = {
    "alias-mutated": "is not what its cell makes|is right",
    "uses-autograd": "is right",
    "hidden-from-the-loss": "is right",
    "missing-eps": "is right",
    "not-a-tensor": "is not a tensor",
}
"""Mistakes that are none of a formula, and what is said."""
MANY = {"brain-floats": "its dtype, torch.bfloat16, rounds more"}
WRONG_FORMULAS = [formula for formula in wrong_formulas() if formula.assignment in WITH_GRADIENTS]
FEW = ("missing-branch-dcounts", "dlogits-without-max", "last-write-wins", "bessel", "not-summed", "residual-forgotten")
"""Cases for the fast suite; each is of another kind."""


@pytest.fixture(autouse=True)
def _beside_the_notebook(request: pytest.FixtureRequest) -> Iterator[None]:
    """The forward pass reads its data where the notebook is."""
    parameters = getattr(request.node, "callspec", None)
    formula = parameters.params.get("formula") if parameters else None
    assignment = (
        parameters.params.get("assignment", formula.assignment if formula else "backprop") if parameters else "backprop"
    )
    with chdir(EXERCISES[assignment].directory):
        yield


def _by_differences(code: ForwardCode, name: str, case: Case) -> torch.Tensor:
    """The right gradient of a case, by central differences of the step's consumers weighted by what arrives."""
    step = code.step(name)
    x = case.values[name] if name in case.values else case.read[name]

    def weighted(value: torch.Tensor) -> float:
        namespace = {**case.setting.namespace, **{other: tensor.clone() for other, tensor in case.values.items()}}
        namespace[name] = value
        total = 0.0
        for line in step.lines:
            exec(line.text, namespace)
            for consumer in line.binds.intersection(step.consumers):
                made = namespace[consumer].double()
                total += float(made if consumer == LOSS else (made * case.upstream[consumer]).sum())
                # the lines after it see the consumer as it was: what it does to them is not this step's
                namespace[consumer] = kept.setdefault(consumer, namespace[consumer])
        return total

    kept: dict[str, torch.Tensor] = {}
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        weighted(x)
        gradient = torch.zeros_like(x)
        for entry in range(x.numel()):
            ends = []
            for sign in (1, -1):
                moved = x.clone()
                moved.view(-1)[entry] += sign * 1e-6
                ends.append(weighted(moved))
            gradient.view(-1)[entry] = (ends[0] - ends[1]) / 2e-6
    finally:
        torch.set_default_dtype(usual)
    return gradient


def _of_the_cell(example: Counterexample) -> Any:
    """What the student's cell makes of the numbers of the case, run as plain Python."""
    case, name = example.case, example.name
    namespace = {**case.setting.namespace, **{other: tensor.clone() for other, tensor in case.values.items()}}
    with torch.no_grad():
        for line in example.code.step(name).lines:
            exec(line.text, namespace)
        namespace |= {f"d{other}": gradient.clone() for other, gradient in case.upstream.items()}
        namespace = {other: _single(value) for other, value in namespace.items()}
        for line in example.code.answer(name):
            exec(line.text, namespace)
    return namespace[f"d{name}"]


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _assert_shown(example: Counterexample) -> None:
    """What is printed of the right gradient and the student's is what they are, and wrong entries are marked."""
    case = example.case
    assert case.wrong is not None
    results = [part for part in example.output().parts if isinstance(part, Tables)][-1]
    assert [table.title.split(",")[0].split(" (")[0] for table in results.tables] == [f"d{example.name}", "yours"]
    largest = max(float(tensor.nan_to_num(0, 0, 0).abs().max()) for tensor in (case.right, case.wrong))
    for table, tensor in zip(results.tables, (case.right, case.wrong), strict=True):
        cells = [cell for row in table.rows for cell in row[table.words :]]
        if len(cells) == tensor.numel():
            assert all(
                is_printed(value, cell) or abs(value) < 1e-3 * largest
                for value, cell in zip(tensor.flatten().tolist(), cells, strict=True)
            )
    if case.has_shape:
        marks = sum(cell.endswith(WRONG) for row in results.tables[1].rows for cell in row)
        assert marks == int(case.marks.sum()) >= 1
        assert f"{marks} of {case.marks.numel()} entries wrong (*)" in example.output().text()
    else:
        assert (
            f"The shape is {tuple(case.wrong.shape)} instead of {tuple(case.right.shape)}." in example.output().text()
        )


def _assert_true(example: Counterexample) -> None:
    """The right gradient is right, the other is the student's, they differ, and there are few numbers."""
    case = example.case
    assert case.wrong is not None
    assert case.fails
    assert not case.has_shape or not torch.allclose(case.right, case.wrong, rtol=1e-2)
    assert case.numbers <= 24
    if not case.whole:
        if not example.at_tie:
            right = _by_differences(example.code, example.name, case)
            assert torch.allclose(case.right, right, rtol=1e-4, atol=1e-4 * (1 + float(right.abs().max())))
        if not example.fitted:
            found = _of_the_cell(example).double()
            assert found.shape == case.wrong.shape
            assert torch.allclose(found, case.wrong, rtol=1e-4, atol=1e-5, equal_nan=True)
    _assert_shown(example)


@pytest.mark.parametrize(
    "assignment",
    # two to eight seconds for each exercise
    [pytest.param(name, marks=() if name == "backprop" else pytest.mark.slow) for name in WITH_GRADIENTS],
)
def test_every_gradient(assignment: str) -> None:
    """A formula that is twice the right one fails in a small case, whichever gradient it is for."""
    for gradient, name in EXERCISES[assignment].tensors.items():
        code = code_of(play(assignment, f"{gradient} = 2 * {gradient}"))
        _assert_true(Counterexample.of(code, name, SECONDS))


@pytest.mark.parametrize("formula", [formula for formula in WRONG_FORMULAS if formula.case in FEW], ids=str)
def test_known_mistakes(formula: WrongFormula) -> None:
    """A known mistake fails in a small case, in which all that is printed is true."""
    code = code_of(play(formula.assignment, formula.cell))
    _assert_true(Counterexample.of(code, code.name_of(formula.gradient), SECONDS))


@pytest.mark.proof
@pytest.mark.parametrize("formula", [formula for formula in WRONG_FORMULAS if formula.case not in FEW], ids=str)
def test_all_known_mistakes(formula: WrongFormula) -> None:
    """So does every other known mistake of a formula; of one that is no mistake of a formula, the reason is given."""
    code = code_of(play(formula.assignment, formula.cell))
    if sentence := MANY.get(formula.case) or NO_CASE.get(formula.mistake):
        with pytest.raises(NoHelp, match=sentence):
            Counterexample.of(code, code.name_of(formula.gradient))
        return
    _assert_true(Counterexample.of(code, code.name_of(formula.gradient), SECONDS))


@pytest.mark.parametrize("assignment", few_are_fast(WITH_GRADIENTS))
def test_no_false_alarm(assignment: str) -> None:
    """No case is found against the solution, also where the loss cannot tell."""
    code = code_of(play(assignment))
    for gradient in EXERCISES[assignment].tensors:
        with pytest.raises(NoHelp, match=f"{gradient} is right|no case was found in which {gradient} fails"):
            Counterexample.of(code, EXERCISES[assignment].tensors[gradient], 1.0)


@pytest.mark.proof
@pytest.mark.parametrize(
    "formula", [formula for formula in right_formulas() if formula.assignment in WITH_GRADIENTS], ids=str
)
@pytest.mark.filterwarnings("ignore")
def test_no_false_alarm_on_other_ways_to_write_it(formula: WrongFormula) -> None:
    """No case is found against a right formula, however it is written."""
    code = code_of(play(formula.assignment, formula.cell))
    with pytest.raises(NoHelp):
        Counterexample.of(code, code.name_of(formula.gradient))


def test_a_name_with_another_value(tmp_path: Path) -> None:
    """A right formula whose `n` was given another value is not blamed: the name is."""
    code = code_of(
        play("backprop", "n = 5", "dlogprobs = torch.zeros_like(logprobs); dlogprobs[range(32), Yb] = -1 / n")
    )
    with pytest.raises(NoHelp, match="n was 32 in the forward pass and is 5 now"):
        Counterexample.of(code, "logprobs")
    # a name that nothing here reads may have any value: `ix` is a loop variable in many solutions
    code = code_of(play("backprop", "ix = Xb[0, 0]", "dprobs = -dlogprobs / probs"))
    _assert_true(Counterexample.of(code, "probs", SECONDS))


def test_a_number_for_a_size() -> None:
    """A formula that is right here, and has a size as a number, is told so."""
    wrong = "db2 = dlogits.sum(0) * 1.0; dlogprobs = torch.zeros_like(logprobs); dlogprobs[range(n), Yb] = -1/33"
    code = code_of(play("backprop", wrong))
    _assert_true(Counterexample.of(code, "logprobs", SECONDS))
    hard_coded = (
        "dlogprobs = torch.zeros_like(logprobs); dlogprobs[range(n), Yb] = -1/32; dlogprobs = dlogprobs * 1.001"
    )
    code = code_of(play("backprop", hard_coded))
    with pytest.raises(
        NoHelp, match="dlogprobs is right in the sizes of this notebook and fails in others: 32 stands in it"
    ):
        Counterexample.of(code, "logprobs")


def test_a_cell_that_was_changed() -> None:
    """An answer that its cell does not make any more is not judged by that cell."""
    namespace = play("backprop", "dprobs = -dlogprobs / probs")
    namespace["dprobs"] = namespace["dprobs"] * 3
    with pytest.raises(NoHelp, match="dprobs is not what its cell makes: run that cell again"):
        Counterexample.of(code_of(namespace), "probs")


def test_nothing_outside_changes() -> None:
    """The student's variables, random numbers and gradients are as they were, though the cell writes in place."""
    namespace = play("backprop", "dlogits = dnorm_logits; dlogits += 1", "random.seed(5)")
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    before = {name: value.detach().clone() for name, value in namespace.items() if isinstance(value, torch.Tensor)}
    python_state = random.getstate()
    code = code_of(namespace)
    gradients = {name: tensor.grad.clone() for name, tensor in code.tensors.items() if tensor.grad is not None}
    Counterexample.of(code, "logits", SECONDS)
    for step in range(1, STEPS + 1):
        hint(code, "logits", step)
    Nudge.of(code, "hprebn", [0, 0])
    assert all(torch.equal(gradient, code.tensors[name].grad) for name, gradient in gradients.items())
    assert [name for name, value in before.items() if not torch.equal(namespace[name], value)] == []
    assert torch.get_default_dtype() == dtype
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state


def test_no_data_beside_the_notebook(tmp_path: Path) -> None:
    """Where the forward pass cannot read its data again, the reason is given."""
    code = code_of(play("backprop", "db1 = 2 * db1"))
    with chdir(tmp_path), pytest.raises(NoHelp, match=r"does not run in smaller sizes: DataError: names\.txt"):
        Counterexample.of(code, "b1")
