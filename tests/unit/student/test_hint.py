"""`hint`: three steps for every gradient, every number true, no expression of the solution in any of them."""

import ast
import re
from collections.abc import Iterator
from contextlib import chdir
from typing import Any

import pytest
import torch

from handgrad.exercise.exercise import grade_id
from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.helps.forward_code import ForwardCode, NoHelp, in_double
from handgrad.student.helps.hint import STEPS, EntryWrittenOut, hint
from handgrad.student.helps.output import Tables, place
from helpers.exercises import EXERCISES, SOLUTIONS, WITH_GRADIENTS, few_are_fast
from helpers.played_notebooks import WrongFormula, code_of, play, wrong_formulas


def _expressions(source: str) -> Iterator[str]:
    """What a solution computes: its expressions with a gradient in them, and the whole of each right side."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign) and not isinstance(node.value, ast.Name | ast.Constant):
            yield ast.unparse(node.value)
        if isinstance(node, ast.BinOp | ast.Call | ast.UnaryOp):
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            if any(re.fullmatch("d[a-zA-Z].*", name) for name in names):
                yield ast.unparse(node)


def _plain(text: str) -> str:
    return re.sub(r"\s", "", text)


def _entry_of(code: ForwardCode, name: str) -> EntryWrittenOut:
    """The entry that step 2 writes out."""
    true = {other: gradient.double() for other, gradient in code.forward_pass.true.items()}
    return EntryWrittenOut.of(code, name, code.in_double(), true, code.namespace[f"d{name}"])


def _local_by_differences(code: ForwardCode, name: str, index: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """How each consumer changes with an entry, by central differences of the step."""
    ends = []
    for sign in (1, -1):
        namespace: dict[str, Any] = code.in_double()
        namespace[name] = in_double(code.tensors[name])
        namespace[name][index] += sign * 1e-6
        found = {}
        for line in code.step(name).lines:
            exec(line.text, namespace)
            for consumer in line.binds.intersection(code.step(name).consumers):
                found[consumer] = namespace[consumer]
                namespace[consumer] = in_double(code.namespace[consumer])
        ends.append(found)
    return {consumer: (ends[0][consumer] - ends[1][consumer]).detach() / 2e-6 for consumer in ends[0]}


def _assert_true(code: ForwardCode, name: str) -> None:
    """The entry is the one that is furthest off, its ways are its derivatives, and they add up to autograd's value."""
    entry, true = _entry_of(code, name), code.forward_pass.true
    mine = code.namespace[f"d{name}"].detach()
    distance = (mine.double() - true[name].double()).abs()
    assert float(distance[entry.index]) == pytest.approx(float(distance.max()), rel=1e-3, abs=1e-9)
    scale = float(true[name].abs().max()) + float(code.forward_pass.step[name].abs().max()) * 1e-4
    assert entry.total == pytest.approx(float(true[name][entry.index]), rel=1e-3, abs=1e-4 * scale)
    assert entry.value == pytest.approx(float(code.tensors[name].detach()[entry.index]))
    measured = _local_by_differences(code, name, entry.index)
    assert set(entry.ways) == set(code.step(name).consumers) == set(code.forward_pass.consumers[name]) == set(measured)
    for consumer, ways in entry.ways.items():
        locals_ = torch.zeros_like(measured[consumer])
        for way in ways:
            locals_[way.index] = way.local
            arriving = 1.0 if consumer == LOSS else float(true[consumer][way.index])
            assert way.upstream == pytest.approx(arriving)
            assert way.contribution == pytest.approx(way.local * arriving)
        assert torch.allclose(locals_, measured[consumer], rtol=1e-3, atol=1e-5 * (1 + float(locals_.abs().max())))


def _assert_printed(code: ForwardCode, name: str) -> None:
    """Step 2 prints the numbers of the entry, and they add up."""
    entry = _entry_of(code, name)
    (table,) = next(part for part in hint(code, name, 2).parts if isinstance(part, Tables)).tables
    _, *rows, total, mine = table.rows
    contributions = [float(row[3]) for row in rows]
    assert sum(contributions) == pytest.approx(entry.total, rel=0.01, abs=2e-3 * sum(map(abs, contributions)))
    assert total[0] == f"d{place(name, entry.index)}, all together"
    assert float(total[3]) == pytest.approx(entry.total, rel=1e-3, abs=1e-12)
    assert mine[0] == "yours"
    answer = code.namespace[f"d{name}"].detach()
    assert float(mine[3]) == pytest.approx(float(answer[entry.index]), rel=1e-3, abs=1e-12)
    for row in rows:
        if row[1] and row[2]:
            assert float(row[1]) * float(row[2]) == pytest.approx(float(row[3]), rel=2e-3, abs=1e-12)


@pytest.mark.parametrize("assignment", few_are_fast(WITH_GRADIENTS))
def test_every_gradient(assignment: str) -> None:
    """All three steps exist for every gradient; what they say is true; none holds an expression of the solution."""
    exercise = EXERCISES[assignment]
    solutions = {
        grade_id(cell): cell.source for cell in SOLUTIONS[assignment].cells if grade_id(cell) in exercise.stubs
    }
    with chdir(exercise.directory):
        for gradient, name in exercise.tensors.items():
            code = code_of(play(assignment, f"{gradient} = 3 * {gradient}"))
            texts = [hint(code, name, step).text() for step in range(1, STEPS + 1)]
            for consumer in code.forward_pass.consumers[name]:
                shape = "()" if consumer == LOSS else tuple(code.tensors[consumer].shape)
                assert f"{consumer} {shape}" in texts[0]
            assert f"d{name} has the shape of {name}, {tuple(code.tensors[name].shape)}." in texts[0]
            if "This loss cannot show" not in texts[1]:
                _assert_true(code, name)
                _assert_printed(code, name)
            assert "A neighbour: " in texts[2]
            forward = _plain(" ".join(line.text for line in code.step(name).lines))
            for text in texts:
                for expression in map(_plain, _expressions(solutions[exercise.check_of(gradient).stub])):
                    assert expression in forward or expression not in _plain(text), (gradient, expression)


def _solution_of(assignment: str, gradient: str) -> str:
    return next(cell.source for cell in SOLUTIONS[assignment].cells if grade_id(cell) == gradient)


def _assert_hints(formula: WrongFormula) -> None:
    """All three steps exist, what they say is true, and none holds an expression of the solution."""
    with chdir(EXERCISES[formula.assignment].directory):
        code = code_of(play(formula.assignment, formula.cell))
        name = code.name_of(formula.gradient)
        texts = [hint(code, name, step).text() for step in range(1, STEPS + 1)]
        answer = code.namespace[formula.gradient]
        is_shown = isinstance(answer, torch.Tensor) and answer.shape == code.tensors[name].shape
        # at a tie there are two slopes, and autograd takes one
        is_shown &= formula.case not in AT_TIES
        if is_shown and bool(answer.isfinite().all()) and "This loss cannot show" not in texts[1]:
            _assert_true(code, name)
            _assert_printed(code, name)
    forward = _plain(" ".join(line.text for line in code.step(name).lines))
    for expression in map(_plain, _expressions(_solution_of(formula.assignment, formula.gradient))):
        assert expression in forward or not any(expression in _plain(text) for text in texts), expression


NO_HINT = ("uses-autograd", "missing-eps", "alias-mutated", "hidden-from-the-loss")
WRONG = [
    formula for formula in wrong_formulas() if formula.assignment in WITH_GRADIENTS and formula.mistake not in NO_HINT
]
AT_TIES = ("every-largest-place", "last-of-the-largest")
FEW = ("missing-branch-dcounts", "dlogits-without-max", "bessel", "not-summed", "residual-forgotten", "mask-forgotten")


@pytest.mark.parametrize("formula", [formula for formula in WRONG if formula.case in FEW], ids=str)
def test_known_mistakes(formula: WrongFormula) -> None:
    """A known mistake gets true hints."""
    _assert_hints(formula)


@pytest.mark.slow
@pytest.mark.parametrize("formula", [formula for formula in WRONG if formula.case not in FEW], ids=str)
def test_all_known_mistakes(formula: WrongFormula) -> None:
    """So does every other one."""
    _assert_hints(formula)


@pytest.mark.parametrize("assignment", few_are_fast(WITH_GRADIENTS))
def test_before_anything_is_written(assignment: str) -> None:
    """A gradient that is not written yet gets all three steps; its largest entry is written out."""
    exercise = EXERCISES[assignment]
    code = code_of(play(assignment, *(f"{gradient} = None" for gradient in exercise.tensors)))
    for name in exercise.tensors.values():
        texts = [hint(code, name, step).text() for step in range(1, STEPS + 1)]
        assert "When it grows a little:" in texts[1]
        assert "yours" not in texts[1]
        assert re.search(rf"d{name}\[[\d, ]+\], all together", texts[1])


REMARKS = {
    "dcounts = counts_sum_inv * dprobs": "In your whole dcounts, the contribution through counts_sum is missing.",
    "dcounts = counts_sum_inv * dprobs - dcounts_sum": "the contribution through counts_sum has the wrong sign.",
    "dcounts = 2 * counts_sum_inv * dprobs + dcounts_sum": "the contribution through probs is there twice.",
    "dcounts = 32 * counts_sum_inv * dprobs + dcounts_sum": "the contribution through probs is there 32 times.",
    "dcounts = counts_sum_inv * dprobs + dcounts_sum / 27": "through counts_sum is divided by 27.",
    "dcounts = -counts_sum_inv * dprobs": "is missing and the contribution through probs has the wrong sign.",
    "dprobs = -dlogprobs / probs": "Your whole dprobs is the right one with the wrong sign.",
    "db2 = dlogits.mean(0)": "Your whole db2 is the right one divided by 32.",
    "dlogprobs = dlogprobs * n": "Your whole dlogprobs is 32 times the right one.",
    "dh = torch.zeros_like(h)": "Yours is zero everywhere.",
}


@pytest.mark.parametrize("cell", REMARKS)
def test_what_is_off_everywhere(cell: str) -> None:
    """A gradient that is made of the right contributions in other shares is told which."""
    code = code_of(play("backprop", cell))
    assert REMARKS[cell] in hint(code, cell.split(maxsplit=1)[0].removeprefix("d"), 2).text()


@pytest.mark.parametrize("cell", ["dcounts = dprobs * counts", "dW2 = h.T @ dlogits + 1", "dh = dlogits @ W2.T * 1.37"])
def test_no_remark_without_reason(cell: str) -> None:
    """Of any other gradient nothing is said but its numbers."""
    code = code_of(play("backprop", cell))
    output = hint(code, cell.split(maxsplit=1)[0].removeprefix("d"), 2)
    assert [type(part) for part in output.parts] == [str, Tables]


def test_a_wrong_upstream_gradient() -> None:
    """Where an upstream gradient is not right, the hint says to begin there."""
    code = code_of(play("backprop", "dprobs = 2 * dprobs", "dcounts_sum_inv = (dprobs * counts).sum(1, keepdim=True)"))
    assert "dprobs is not right yet: begin there." in hint(code, "counts_sum_inv", 2).text()
    code = code_of(play("backprop", "dprobs = None", "dcounts_sum_inv = None"))
    text = hint(code, "counts_sum_inv", 2).text()
    assert "dprobs is not written yet: begin there." in text
    assert "yours" not in text


def test_another_shape() -> None:
    """A gradient of another shape has no entry to show; the shapes are named."""
    code = code_of(play("backprop", "dbngain = dhpreact * bnraw"))
    assert "Yours has the shape (32, 64), and bngain has (1, 64)." in hint(code, "bngain", 2).text()


def test_what_is_right() -> None:
    """A right gradient gets no hint that it is wrong."""
    with pytest.raises(NoHelp, match="dprobs is right"):
        hint(code_of(play("backprop")), "probs", 2)


def test_what_the_loss_cannot_show() -> None:
    """The mistake that the loss cannot show is written out with the numbers of the smallest case."""
    with chdir(EXERCISES["backprop"].directory):
        text = hint(code_of(play("backprop", "dlogits = dnorm_logits.clone()")), "logits", 2).text()
    assert "This loss cannot show what is wrong. With the numbers of counterexample('dlogits'):" in text
    assert re.search(r"logit_maxes\[0, 0\] +\+1", text)


def test_numbers_that_changed() -> None:
    """A forward tensor that its cell does not make any more, or another value of a size, is said first."""
    with (
        pytest.raises(NoHelp, match="n was 32 in the forward pass and is 7 now"),
        chdir(EXERCISES["backprop"].directory),
    ):
        hint(code_of(play("backprop", "n = 7", "dlogprobs = 2 * dlogprobs")), "logprobs", 2)
