"""The grader as a whole: sizes, rounds, and what stays secret."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.grading.grader import Grader
from handgrad.grading.marking import Policy
from handgrad.grading.settings import GradingSettings
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers.warm_grader import warm_grader

Submit = Callable[..., Submission]

HARD_CODED = "dlogprobs = torch.zeros_like(logprobs)\ndlogprobs[range(32), Yb] = -1.0 / 32"


def test_other_sizes_on_request(exercise: Exercise, submit: Submit) -> None:
    """A hard-coded batch size is poor style, not a wrong gradient, unless the instructor asks for other sizes."""
    with warm_grader(
        exercise,
        [5],
        settings=GradingSettings(sizes=({"batch_size": 16, "n_hidden": 20},), limits=Limits(cell_seconds=6.0)),
    ) as grader:
        assert grader.grade(submit()).report.score == 26
        outcomes = {
            verdict.gradient: verdict.outcome for verdict in grader.grade(submit(dlogprobs=HARD_CODED)).report.checks
        }
        assert outcomes.pop("dlogprobs") in ("failed", "error")
        assert set(outcomes.values()) == {"passed"}
    with warm_grader(exercise, [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        assert grader.grade(submit(dlogprobs=HARD_CODED)).report.score == 26


def test_several_seeds(exercise: Exercise, submit: Submit) -> None:
    """With several hidden seeds a gradient must be right in every round."""
    with warm_grader(exercise, [5, 6], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        seeds = {pass_.name: pass_.parameters.get("seed") for pass_ in grader.passes}
        assert grader.grade(submit()).report.score == 26
        seldom = f"dprobs = dlogprobs / probs * (1 if seed != {seeds['step 2']} else 2)"
        wrong = grader.grade(submit(dprobs=seldom)).report
        assert wrong.score == 26, "one of three passes right is enough for a gradient that is not blind"
        # right in the passes of the first round only
        first = [seeds[f"{kind} 1"] for kind in ("step", "as written", "helped")]
        never = f"dprobs = dlogprobs / probs * (1 if seed in {first} else 2)"
        assert grader.grade(submit(dprobs=never)).report.verdicts()["check_dprobs"].outcome == "failed"


def test_policy(exercise: Exercise, submit: Submit) -> None:
    """Partial credit is what the instructor says it is."""
    policy = Policy(partial_shape=0.75, partial_invisible=0.25)
    with warm_grader(exercise, [5], settings=GradingSettings(policy=policy, limits=Limits(cell_seconds=6.0))) as grader:
        report = grader.grade(
            submit(db1="db1 = torch.zeros_like(b1)", dbngain="dbngain = (dhpreact * bnraw).sum(0)")
        ).report
        points = {verdict.gradient: verdict.points for verdict in report.checks}
        assert (points["db1"], points["dbngain"]) == (0.25, 0.75)
        assert report.score == 25


def test_hidden_output_is_not_kept(grader: Grader, submit: Submit) -> None:
    """What a cell prints or raises on hidden data is in nothing that a student can get."""
    source = "dprobs = dlogprobs / probs\nprint('seed is', seed)\nassert seed == 2147483647, f'secret {seed}'"
    graded = grader.grade(submit(dprobs=source))
    shown = json.dumps([graded.report.to_dict(), {str(k): list(v) for k, v in graded.outputs.items()}], default=str)
    assert "seed is 2147483647" in shown
    for pass_ in grader.passes[1:]:
        assert str(pass_.parameters["seed"]) not in shown
    assert graded.report.score == 26


@pytest.mark.parametrize("gradient", ["dhprebn", "dlogits", "dcounts"])
def test_an_early_slip_costs_one_mark(grader: Grader, submit: Submit, solutions: dict[str, str], gradient: str) -> None:
    """A wrong sign in one gradient costs that gradient and no other."""
    report = grader.grade(submit(**{gradient: f"{solutions[gradient]}\n{gradient} = -{gradient}"})).report
    assert {verdict.gradient for verdict in report.checks if verdict.outcome != "passed"} == {gradient}
    assert report.score == 25


@pytest.mark.parametrize(
    "toy",
    [
        "import torch\nXb, Yb = torch.tensor([[0, 1], [1, 1]]), torch.tensor([1, 0])",
        "for n in range(5): pass",
        "import torch as F",
        "def cmp(*anything): raise ValueError",
        "class C: pass",
        "with open('toy.txt', 'w') as probs: pass",
        "del_me = [logits := 0]",
        "globals()['hprebn'] = None",
    ],
)
def test_a_cell_above_the_setup(grader: Grader, solved: NotebookNode, exercise: Exercise, toy: str) -> None:
    """What a cell above the locked cells assigns is assigned again by them, as it was in the student's notebook."""
    notebook = copy.deepcopy(solved)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(toy))
    assert grader.grade(Submission.of(notebook, exercise)).report.score == 26


def test_the_passes_that_a_right_solution_needs(grader: Grader, submit: Submit) -> None:
    """What is right in every step is not run in the optional passes, and a proof in double precision is a step."""
    plain, step = grader.grade(submit()), grader.grade(submit(dh="dh = dlogits.float() @ W2.T"))
    assert set(plain.answers) == {"plain 1", "visible"}
    assert set(step.answers) == {"plain 1", "visible", "step 1"}
    assert plain.report.score == step.report.score == 26


@pytest.mark.parametrize(
    "cells",
    [
        # wrong in the step only, though the loss does not show it
        {"db1": "db1 = torch.zeros_like(b1)"},
        # right in another way than by a step
        {"dlogits": "dlogits = (F.softmax(logits, 1) - F.one_hot(Yb, vocab_size)) / n"},
        # right where it was written, and changed later
        {"dhprebn": "dhprebn = dbndiff\ndhprebn += 0"},
        {"dprobs": ""},
    ],
)
def test_what_a_step_does_not_settle_is_tried_in_every_pass(
    grader: Grader, submit: Submit, cells: dict[str, str]
) -> None:
    """A gradient that is not plainly right in its step is looked at in all passes, and so are the others."""
    assert set(grader.grade(submit(**cells)).answers) == {"plain 1", *(pass_.name for pass_ in grader.passes)}


def test_an_answer_is_final_once_its_reference_was_sent(
    make_notebook: Callable[..., NotebookNode], tmp_path: Path
) -> None:
    """What a submission passes on to its next attempt at a pass is worth nothing there."""
    forward = "import torch\ntorch.manual_seed(seed)\nx = torch.rand(3, requires_grad=True)\ny = x**2\nz = y.exp()"
    notebook = make_notebook(
        ("locked", "parameters", "seed = 1"),
        ("locked", "forward", f"from handgrad import cmp\n{forward}\nloss = z.sum()\nloss.backward(retain_graph=True)"),
        *(
            cell
            for name in ("z", "y", "x")
            for cell in (
                ("stub", f"d{name}", f"d{name} = 0"),
                ("check", f"check_d{name}", f"cmp('{name}', d{name}, {name})"),
            )
        ),
    )
    exercise = Exercise.of(notebook, "small", tmp_path)
    # without isolation a file is a channel from one process to the next; in the helped pass dz is the true gradient
    kept = f"from pathlib import Path\nkept = Path({str(tmp_path)!r}) / str(float(x[0]))"
    answers = {
        "dz": "dz = torch.ones_like(z)",
        "dy": f"{kept}\ndy = torch.load(kept) if kept.exists() else torch.zeros_like(y)",
        "dx": "import os\nif dy.any() and (dz == 1).all():\n    torch.save(dy, kept)\n    os.kill(os.getpid(), 9)",
    }
    for cell in notebook.cells:
        cell.source = answers.get(grade_id(cell), cell.source)
    settings = GradingSettings(limits=Limits(cell_seconds=6.0), isolation="none", trust=True)
    with warm_grader(exercise, [5], settings) as grader:
        outcomes = {
            verdict.gradient: verdict.outcome
            for verdict in grader.grade(Submission.of(notebook, exercise)).report.checks
        }
    assert len(list(tmp_path.glob("0.*"))) == 1
    assert outcomes == {"dz": "passed", "dy": "failed", "dx": "crashed"}


def test_a_further_condition_is_tried_in_every_pass(make_notebook: Callable[..., NotebookNode], tmp_path: Path) -> None:
    """What a check asks beside its comparison must hold in the helped pass, so that one runs whatever the step says."""
    notebook = make_notebook(
        ("locked", "parameters", "seed = 1"),
        ("locked", "forward", FORWARD),
        ("stub", "dx", "dx = 4 * x**3"),
        ("check", "check_dx", "cmp('x', dx, x)\nassert dx.dim() == 1"),
    )
    exercise = Exercise.of(notebook, "small", tmp_path)
    with warm_grader(exercise, [5]) as grader:
        graded = grader.grade(Submission.of(notebook, exercise))
        assert graded.report.passed
        assert "helped 1" in graded.answers


def test_a_last_locked_cell_is_shown_once(make_notebook: Callable[..., NotebookNode], tmp_path: Path) -> None:
    """A picture at the end is drawn of the visible pass alone, unless a cell of the student's own comes after it."""
    cells = (
        ("locked", "parameters", "seed = 1"),
        ("locked", "forward", FORWARD),
        ("stub", "dx", "dx = 4 * x**3"),
        ("check", "check_dx", "cmp('x', dx, x)"),
        ("locked", "picture", "print('drawn')\ndrawn = True"),
    )
    exercise = Exercise.of(make_notebook(*cells), "small", tmp_path)
    # another value at the end than after its cell: all passes are needed
    own = ("free", "", "dx = 2 * dx if drawn else None")
    with warm_grader(exercise, [5]) as grader:
        for handed_in, runs in ((cells, 1), ((*cells, own), 4)):
            notebook = make_notebook(*handed_in)
            collected = grader._run(Submission.of(notebook, exercise), grader.passes, grader._help)
            places = [
                place for place, cell in enumerate(Submission.of(notebook, exercise).cells) if "drawn'" in cell.source
            ]
            assert sum(places[0] in result.cells for result in collected.results.values()) == runs
            graded = grader.grade(Submission.of(notebook, exercise))
            assert graded.report.passed
            assert graded.outputs[4][0]["text"] == "drawn\n"


FORWARD = """
import torch
from handgrad import cmp
x = torch.randn(3, generator=torch.Generator().manual_seed(seed)).requires_grad_()
y = x**2
loss = (y * y).sum()
y.retain_grad()
loss.backward(retain_graph=True)
"""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("manual_seed(seed)", "manual_seed(1)"), "the same for all seeds"),
        (("loss = (y * y).sum()", "loss = (y * y).sum(); del seed"), "a hidden pass sets 'seed'"),
    ],
)
def test_exercise_without_secrets_is_refused(
    make_exercise: Callable[..., Exercise], change: tuple[str, str], fault: str
) -> None:
    """An exercise whose gradients do not depend on the hidden seed would reward numbers pasted in: it is not graded."""
    with pytest.raises(ExerciseError, match=fault), warm_grader(make_exercise(FORWARD.replace(*change), "y", "x"), [5]):
        pass


def test_check_of_something_else_is_refused(make_exercise: Callable[..., Exercise]) -> None:
    """A check that compares another gradient than its own is a fault of the exercise, found before anyone is graded."""
    exercise = make_exercise(FORWARD, "y", "x")
    first, second = exercise.checks
    swapped = replace(exercise, checks=(replace(first, source=second.source), second))
    with pytest.raises(ExerciseError, match="check_dy does not compare dy"), warm_grader(swapped, [5]):
        pass


def test_double_precision_meets_further_assertions(
    make_exercise: Callable[..., Exercise], make_notebook: Callable[..., NotebookNode]
) -> None:
    """An answer in double precision is right, also where a check asserts more than cmp does."""
    exercise = make_exercise(FORWARD, "y", "x")
    more = "\nassert torch.allclose(dy, 2 * y) and dy.dtype == y.dtype"
    first, second = exercise.checks
    exercise = replace(exercise, checks=(replace(first, source=first.source + more), second))
    stubs = make_notebook(("stub", "dy", "dy = 2 * y.double()"), ("stub", "dx", "dx = dy.double() * 2 * x"))
    with warm_grader(exercise, [5]) as grader:
        report = grader.grade(Submission.of(stubs, exercise)).report
    assert [verdict.outcome for verdict in report.checks] == ["passed", "passed"]


def test_nobody_answers_input(grader: Grader, submit: Submit) -> None:
    """A cell that asks for input is told that nobody is there, and costs its own gradient only."""
    report = grader.grade(submit(dh="k = input('axis? ')\ndh = dlogits @ W2.T")).report
    assert [verdict.gradient for verdict in report.checks if verdict.outcome != "passed"] == ["dh"]
    assert report.verdicts()["check_dh"].message == (
        "The cell of dh raises StdinNotImplementedError in line 1: input() cannot be answered while a notebook is "
        "graded."
    )
