"""Gradients that a locked cell takes from autograd: set in every pass, whatever a student does with them."""

from collections.abc import Callable, Iterator

import pytest
import torch
from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import GradingResult
from handgrad.submission.submission import Submission
from helpers.warm_grader import warm_grader

FORWARD = """
import torch
from handgrad import cmp
x = torch.randn(3, generator=torch.Generator().manual_seed(seed)).requires_grad_()
y = x**2
z = y * x
loss = (z * z).sum()
y.retain_grad(); z.retain_grad()
loss.backward(retain_graph=True)
dz = z.grad.clone()
"""
SOLUTION = {"dy": "dy = dz * x", "dx": "dx = dz * y + dy * 2 * x"}


@pytest.fixture(scope="module")
def grade(
    make_notebook: Callable[..., NotebookNode], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., GradingResult]]:
    """Grade the worked solution, some stubs replaced; ``first`` is a cell of the student's own before them."""
    asked = [("stub", f"d{name}", f"d{name} = None") for name in "yx"]
    checks = [("check", f"check_d{name}", f"cmp('{name}', d{name}, {name})") for name in "yx"]
    setup = (("locked", "parameters", "seed = 1"), ("locked", "forward", FORWARD))
    notebook = make_notebook(*setup, asked[0], checks[0], asked[1], checks[1])
    exercise = Exercise.of(notebook, "small", tmp_path_factory.mktemp("given"))
    with warm_grader(exercise, [5]) as grader:

        def run(first: str = "", **stubs: str) -> GradingResult:
            cells = [("stub", name, source) for name, source in {**SOLUTION, **stubs}.items()]
            notebook = make_notebook(("free", "", first), *cells)
            graded = grader.grade(Submission.of(notebook, exercise))
            for name, reference in grader.references.items():
                kind = reference.step.upstream if name.startswith("step") else reference.gradients
                given[name] = kind["z"], reference.tensors["x"].detach()
            return graded

        given: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        run.given = given  # type: ignore[attr-defined]
        yield run


def _outcomes(graded: GradingResult) -> list[str]:
    return [verdict.outcome for verdict in graded.report.checks]


def test_every_pass_has_its_own(grade: Callable[..., GradingResult]) -> None:
    """The student's cell reads the true gradient, and in the step a random one; it is graded for any."""
    # what is right in its step needs no other pass, and a later cell that changes an answer asks for all of them
    graded = grade(dx=f"{SOLUTION['dx']}\ndy = dy + 1")
    assert _outcomes(graded) == ["passed", "passed"]
    assert set(graded.answers) == {"plain 1", "visible", "as written 1", "step 1", "helped 1"}
    for name, answers in graded.answers.items():
        if name == "plain 1":
            continue
        upstream, x = grade.given[name]  # type: ignore[attr-defined]
        answer = answers["dy"].at_stub
        assert answer is not None
        assert answer.value is not None
        torch.testing.assert_close(answer.value, upstream * x)


def test_an_answer_that_a_later_cell_completes(grade: Callable[..., GradingResult]) -> None:
    """What is right at the end only is looked at once more in double precision, with the true gradient as the given."""
    graded = grade(dy="dy = torch.zeros_like(y)", dx="dx = dz * y + 2 * dz * x * x\ndy = dy + dz * x")
    assert _outcomes(graded) == ["passed", "passed"]


@pytest.mark.parametrize("damage", ["dz.zero_()", "dz = None", "del dz", "z.grad.mul_(0)", "z = 1", "dz.data.zero_()"])
def test_it_is_put_back(grade: Callable[..., GradingResult], damage: str) -> None:
    """What one cell does to what is given hurts no later one, whether it is read by its name or from its tensor."""
    for dx in (SOLUTION["dx"], "dx = z.grad * y + dy * 2 * x"):
        assert _outcomes(grade(dy=f"{SOLUTION['dy']}\n{damage}", dx=dx)) == ["passed", "passed"]
    assert _outcomes(grade(first=damage)) == ["passed", "passed"]


def test_its_tensor_has_it_too(grade: Callable[..., GradingResult]) -> None:
    """A formula that reads the ``.grad`` of the given's tensor is right, and a wrong one does not copy autograd."""
    assert grade(first="g = z.grad", dy="dy = g * x").report.passed
    wrong = grade(dy="dy = -z.grad * x").report.checks[0]
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.mistake == "sign"
    copied = grade(dy="dy = y.grad").report.checks[0]
    assert copied.diagnosis is not None
    assert (copied.outcome, copied.diagnosis.mistake) == ("failed", "uses-autograd")


def test_a_slip_above_is_carried(grade: Callable[..., GradingResult]) -> None:
    """Beside a given, a gradient that is off because of an earlier slip names that one."""
    verdict = grade(dy="dy = -dz * x").report.checks[1]
    assert verdict.outcome == "passed"
    assert verdict.diagnosis is not None
    assert (verdict.diagnosis.mistake, verdict.diagnosis.cell) == ("carried", "dy")


def test_a_branch_through_it_may_be_missing(grade: Callable[..., GradingResult]) -> None:
    """A given is a consumer by name."""
    verdict = grade(dx="dx = dy * 2 * x").report.checks[1]
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.what == "dx lacks the contribution through z."


def test_it_may_be_given_later(make_notebook: Callable[..., NotebookNode], tmp_path: object) -> None:
    """A locked cell after the first stub gives as well as one before it, also where the notebook has lost it."""
    cells = (
        ("locked", "parameters", "seed = 1"),
        ("locked", "forward", FORWARD.replace("dz = z.grad.clone()", "")),
        ("stub", "dz", "dz = 2 * z"),
        ("check", "check_dz", "cmp('z', dz, z)"),
        ("locked", "given", "dy = y.grad"),
        ("stub", "dx", "dx = dz * y + dy * 2 * x\ndy *= 0"),
        ("check", "check_dx", "cmp('x', dx, x)"),
    )
    exercise = Exercise.of(make_notebook(*cells), "small", tmp_path)  # type: ignore[arg-type]
    assert exercise.given_gradients == {"dy": "y"}
    with warm_grader(exercise, [5]) as grader:
        for handed_in in (cells, (cells[2], cells[5])):
            graded = grader.grade(Submission.of(make_notebook(*handed_in), exercise))
            assert _outcomes(graded) == ["passed", "passed"]
