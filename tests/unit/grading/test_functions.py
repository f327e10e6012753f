"""Functions as answers: a check calls the student's function, and compares what it returns as the gradient."""

import copy
from collections.abc import Callable, Iterator

import pytest
from nbformat import NotebookNode

from handgrad.authoring.verify.mutation_testing import mutation
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Report, Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers.inputs import named
from helpers.warm_grader import warm_grader

MakeNotebook = Callable[..., NotebookNode]
SETUP = """
import torch
from handgrad import cmp
torch.set_num_threads(1)
g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g).requires_grad_()
W1 = torch.randn((width, hidden), generator=g).requires_grad_()
b1 = torch.randn(hidden, generator=g).requires_grad_()
W2 = torch.randn((hidden, 2), generator=g).requires_grad_()
b2 = torch.randn(2, generator=g).requires_grad_()
h = x @ W1 + b1
a = h.tanh()
y = a @ W2 + b2
loss = (y**2).mean()
for tensor in (x, W1, b1, W2, b2, h, a, y):
    tensor.retain_grad()
loss.backward(retain_graph=True)
"""
LINEAR = '''
def linear_backward(dout, x, W):
    """Return the gradients of x, W and b, given that of out = x @ W + b."""
    dx = dW = db = None
    ### BEGIN SOLUTION
    dx = dout @ W.T
    dW = x.T @ dout
    db = dout.sum(0)
    ### END SOLUTION
    return dx, dW, db
'''
CELLS = (
    ("locked", "parameters", "seed, rows, width, hidden = 1, 5, 3, 4"),
    ("locked", "setup", SETUP),
    ("stub", "dy", "### BEGIN SOLUTION\ndy = 2 * y / y.numel()\n### END SOLUTION"),
    ("check", "check_dy", "cmp('y', dy, y)"),
    ("stub", "linear_backward", LINEAR),
    ("check", "check_da", "cmp('a', linear_backward(dy, a, W2)[0], a)"),
    ("check", "check_dW2", "cmp('W2', linear_backward(dy, a, W2)[1], W2)"),
    ("check", "check_db2", "cmp('b2', linear_backward(dy, a, W2)[2], b2)"),
    ("locked", "used", "da, dW2, db2 = linear_backward(dy, a, W2)"),
    ("stub", "dh", "### BEGIN SOLUTION\ndh = da * (1 - a**2)\n### END SOLUTION"),
    ("check", "check_dh", "cmp('h', dh, h)"),
    ("check", "check_dx", "cmp('x', linear_backward(dh, x, W1)[0], x)"),
    ("check", "check_dW1", "cmp('W1', linear_backward(dh, x, W1)[1], W1)"),
    ("check", "check_db1", "cmp('b1', linear_backward(dh, x, W1)[2], b1)"),
)
ALL = ("dy", "da", "dW2", "db2", "dh", "dx", "dW1", "db1")


@pytest.fixture(scope="module")
def notebook(make_notebook: MakeNotebook) -> NotebookNode:
    """The instructor's notebook."""
    return make_notebook(*CELLS)


@pytest.fixture(scope="module")
def grader(notebook: NotebookNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grader]:
    """A warm grader of it."""
    exercise = Exercise.of(notebook, "functions", tmp_path_factory.mktemp("functions"))
    with warm_grader(exercise, [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        yield grader


def handed_in(notebook: NotebookNode, **sources: str | None) -> NotebookNode:
    """The notebook with these sources in its stubs; None deletes the cell."""
    made = copy.deepcopy(notebook)
    for cell in made.cells:
        cell.source = sources.get(grade_id(cell), cell.source) or ""
    made.cells = [cell for cell in made.cells if sources.get(grade_id(cell), "") is not None]
    return made


def report(grader: Grader, notebook: NotebookNode) -> Report:
    """The report on a notebook."""
    return grader.grade(Submission.of(notebook, grader.exercise)).report


def verdicts(grader: Grader, notebook: NotebookNode) -> dict[str, Verdict]:
    """The verdicts on a notebook, by gradient."""
    return {check.gradient: check for check in report(grader, notebook).checks}


def function(body: str) -> str:
    """The function with another body."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"def linear_backward(dout, x, W):\n{lines}"


def test_the_answers_of_a_function(grader: Grader) -> None:
    """Each check with a call has its own answer; its source has the answer's name in place of the call."""
    exercise = grader.exercise
    assert tuple(check.gradient for check in exercise.checks) == ALL
    assert exercise.answers["linear_backward"] == ("da", "dW2", "db2", "dx", "dW1", "db1")
    assert exercise.check_of("dx").source == "cmp('x', dx, x)"
    assert exercise.check_of("dx").call == "linear_backward(dh, x, W1)[0]"
    assert all(check.only_compares for check in exercise.checks)


def test_right_functions(grader: Grader, notebook: NotebookNode) -> None:
    """The solution has full marks, and so have other ways of writing the same function."""
    returned = "return (dout @ W.T, x.T @ dout, dout.sum(0))"
    right = {
        "the solution": {},
        "without names": {"linear_backward": function(returned)},
        "as a list": {"linear_backward": function("return [dout @ W.T, x.T @ dout, dout.sum(0)]")},
        "by a lambda": {"linear_backward": "linear_backward = lambda d, x, W: (d @ W.t(), x.t() @ d, d.sum(0))"},
        "by einsum": {
            "linear_backward": function(
                "return torch.einsum('no,io->ni', dout, W), torch.einsum('ni,no->io', x, dout), dout.sum(dim=0)"
            )
        },
        "with a helper": {
            "linear_backward": "def of_weights(d, x):\n    return x.T @ d\n"
            + function("return dout @ W.T, of_weights(dout, x), dout.sum(0)")
        },
        "checks deleted": {"check_da": None, "check_dW1": None, "used": None},
    }
    for name, sources in right.items():
        with named(name):
            found = verdicts(grader, handed_in(notebook, **sources))
            assert [check.outcome for check in found.values()] == ["passed"] * len(ALL), found


def test_wrong_functions(grader: Grader, notebook: NotebookNode) -> None:
    """A mistake costs the gradients that it changes, is diagnosed as in a cell, and costs no later one."""
    rest = "return dout @ W.T, x.T @ dout, dout.sum(0)"
    cases = {
        rest.replace("dout.sum(0)", "dout"): ({"db2": "failed", "db1": "failed"}, "shape-sum"),
        rest.replace("dout @ W.T", "2 * dout @ W.T"): ({"da": "failed", "dx": "failed"}, "scale"),
        rest.replace("dout.sum(0)", "dout.sum(0, keepdim=True)"): ({"db2": "partial", "db1": "partial"}, "shape-rank"),
        rest.replace("x.T @ dout", "None"): ({"dW2": "missing", "dW1": "missing"}, None),
        "return None": (dict.fromkeys(("da", "dW2", "db2", "dx", "dW1", "db1"), "missing"), None),
        "return dout @ W, x.T @ dout, dout.sum(0)": (
            dict.fromkeys(("da", "dW2", "db2", "dx", "dW1", "db1"), "error"),
            None,
        ),
    }
    for body, (outcomes, mistake) in cases.items():
        with named(body):
            found = verdicts(grader, handed_in(notebook, linear_backward=function(body)))
            print({name: (check.outcome, check.sentence) for name, check in found.items() if check.outcome != "passed"})
            assert {name: check.outcome for name, check in found.items()} == {
                **dict.fromkeys(ALL, "passed"),
                **outcomes,
            }
            for name in outcomes if mistake else ():
                assert found[name].diagnosis is not None
                assert found[name].diagnosis.mistake == mistake


def test_lost_cells(grader: Grader, notebook: NotebookNode) -> None:
    """A deleted or unwritten function is missing; a function whose cell has lost its id is found by its name."""
    gone = verdicts(grader, handed_in(notebook, linear_backward=None))
    assert gone["dx"].outcome == "missing"
    assert gone["dx"].message == "The cell of linear_backward is not in the notebook."
    lost = copy.deepcopy(notebook)
    for cell in lost.cells:
        if grade_id(cell) != "parameters":
            cell.metadata.pop("nbgrader", None)
    assert {check.outcome for check in verdicts(grader, lost).values()} == {"passed"}


def test_forbidden_ways(grader: Grader, notebook: NotebookNode) -> None:
    """A function earns nothing by autograd or internals, and what differentiates numerically is held."""
    rest = "return {}, x.T @ dout, dout.sum(0)"
    autograd = "torch.autograd.grad(x @ W, x, dout)[0]"
    assert verdicts(grader, handed_in(notebook, linear_backward=function(rest.format(autograd))))["da"].points == 0
    copied = verdicts(grader, handed_in(notebook, linear_backward=function(rest.format("x.grad"))))
    assert copied["da"].outcome == "failed"
    assert copied["da"].diagnosis is not None
    assert copied["da"].diagnosis.mistake == "uses-autograd"
    differences = (
        "dx = torch.zeros_like(x)\n"
        "for i in range(x.shape[0]):\n    for j in range(x.shape[1]):\n"
        "        e = torch.zeros_like(x)\n        e[i, j] = 0.5\n"
        "        dx[i, j] = (((x + e) @ W - (x - e) @ W) * dout).sum()\n"
        "return dx, x.T @ dout, dout.sum(0)"
    )
    held = verdicts(grader, handed_in(notebook, linear_backward=function(differences)))
    # the function is held as a whole
    assert [name for name, check in held.items() if check.outcome == "passed"] == ["dy", "dh"]
    assert {check.outcome for check in held.values()} == {"passed", "held"}


def test_mutants_of_a_function(grader: Grader, notebook: NotebookNode) -> None:
    """No mutant of the function survives, and a survivor would be one of the function as a whole."""
    solved = copy.deepcopy(notebook)
    for cell in solved.cells:
        cell.source = "\n".join(line for line in cell.source.splitlines() if not line.strip().startswith("###"))
    found = mutation(grader, solved)
    assert found.mutants > 40
    assert not found.survivors
    print(found)
