"""Mutants of small networks: what no check can see is not a fault, and sizes that are the same number are."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from handgrad.authoring.new_exercise import new_exercise
from handgrad.authoring.verify.mutation_testing import mutation, mutation_of_values, passing_with_a_seed
from handgrad.authoring.verify.results import Mutation
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from handgrad.grading.mutants import Mutant
from handgrad.submission.submission import Submission
from helpers.exercises import EXERCISES
from helpers.formulas import SETTINGS
from helpers.paths import ROOT
from helpers.warm_grader import warm_grader

BIGRAM = (
    '''"""A bigram model with one-hot inputs.

It casts to float32.
"""

import torch
import torch.nn.functional as F

seed = 5
n, vocab = 9, 6

g = torch.Generator().manual_seed(seed)
xs = torch.randint(0, vocab, (n,), generator=g)
ys = torch.randint(0, vocab, (n,), generator=g)
xenc = F.one_hot(xs, num_classes=vocab).float()
W = torch.randn((vocab, vocab), generator=g).requires_grad_()

logits = xenc @ W
logprobs = logits.log_softmax(1)
loss = -logprobs[torch.arange(n), ys].mean() + 0.01 * (W**2).mean()
''',
    {
        "dlogprobs": "dlogprobs = -F.one_hot(ys, vocab) / n",
        "dlogits": "dlogits = dlogprobs - logits.softmax(1) * dlogprobs.sum(1, keepdim=True)",
        "dW": "dW = xenc.T @ dlogits + 0.02 * W / W.numel()",
    },
)
NORM = (
    '''"""RMSNorm.

A small constant keeps the root from zero.
"""

import torch

seed = 5
rows, width = 5, 6
eps = 1e-5

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g).requires_grad_()
target = torch.randn((rows, width), generator=g)

ms = (x**2).mean(1, keepdim=True)
inv = (ms + eps) ** -0.5
out = x * inv
loss = (out * target).sum()
''',
    {
        "dout": "dout = target.clone()",
        "dinv": "dinv = (dout * x).sum(1, keepdim=True)",
        "dms": "dms = -0.5 * (ms + eps) ** -1.5 * dinv",
        "dx": "dx = dout * inv + dms * 2 * x / width",
    },
)
SQUARE = (
    '''"""Sizes that are the same number.

As many rows as columns.
"""

import torch

seed = 3
rows, width = 4, 4

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g).requires_grad_()
gain = torch.randn((width,), generator=g).requires_grad_()

mean = x.mean(1, keepdim=True)
centred = x - mean
scaled = centred * gain
loss = (scaled**3).mean()
''',
    {
        "dscaled": "dscaled = 3 * scaled**2 / scaled.numel()",
        "dcentred": "dcentred = dscaled * gain",
        "dgain": "dgain = (dscaled * centred).sum(0)",
        "dmean": "dmean = -dcentred.sum(1, keepdim=True)",
        "dx": "dx = dcentred + dmean / width",
    },
)


def _mutation(network: tuple[str, dict[str, str]], tmp_path: Path) -> Mutation:
    script, solution = network
    (tmp_path / "nbgrader_config.py").touch()
    (tmp_path / "forward.py").write_text(script, encoding="utf-8")
    path = new_exercise(Course.at(tmp_path), "network", tmp_path / "forward.py")
    solved = nbformat.read(path, as_version=4)
    for cell in solved.cells:
        if kind_of(cell) == "stub":
            cell.source = solution[grade_id(cell)]
    with warm_grader(Exercise.read(path), [7], SETTINGS) as grader:
        return mutation(grader, solved)


@pytest.mark.parametrize("network", [BIGRAM, NORM], ids=["a cast", "a small constant"])
def test_no_survivor(network: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    """A forward pass that does not run in double precision is measured in single; the sign of an eps is negligible."""
    found = _mutation(network, tmp_path)
    assert found.killed > 20
    assert found.survivors == ()
    if network is NORM:
        assert any("ms - eps" in mutant.diff for mutant in found.negligible)


def test_equal_sizes(tmp_path: Path) -> None:
    """One size for another of the same number gets full marks: the mutant is reported."""
    assert [mutant.kind for mutant in _mutation(SQUARE, tmp_path).survivors] == ["another size"]


def test_a_boolean_value(make_notebook: Callable[..., NotebookNode], tmp_path: Path) -> None:
    """Yes and no in place of one and zero is the same answer: such a mutant is equivalent, and is compared."""
    setup = "import torch\nx = torch.randn(30, generator=torch.Generator().manual_seed(seed))\nwrong = 0 * x"
    notebook = make_notebook(
        ("locked", "parameters", "seed = 1"),
        ("locked", "setup", setup),
        ("stub", "verdict", "wrong = (x > 0).float()"),
        ("check", "check_wrong", "assert wrong.any()"),
    )
    exercise = Exercise.of(notebook, "small", tmp_path)
    found = mutation_of_values(exercise, notebook, [5])
    assert any("+ wrong = x > 0\n" in f"{mutant.diff}\n" for mutant in found.equivalent), found.equivalent
    assert not found.survivors


def test_each_round_by_itself() -> None:
    """An answer that is right in the rounds of one seed only passes there, and is a survivor for these seeds."""
    exercise = EXERCISES["cross_entropy"]
    solved = nbformat.read(ROOT / "solutions/cross_entropy/cross_entropy.ipynb", as_version=4)
    with warm_grader(exercise, [5, 6], SETTINGS) as grader:
        drawn = {pass_.parameters["seed"] for pass_ in grader.states.passes if pass_.round == 1}
        stub = next(cell for cell in solved.cells if kind_of(cell) == "stub")
        name, solution = grade_id(stub), without_marks(stub.source)
        stub.source = f"{solution}\nif seed not in {drawn}:\n    {name} = 0 * {name}"
        first, second = grader.passing_by_round(Submission.of(solved, exercise))
        assert grader.grade(Submission.of(solved, exercise)).report.checks[0].outcome != "passed"
    everything = {check.gradient for check in exercise.checks}
    assert first == everything
    assert second == everything - {name}
    mutant = Mutant(name, "only there", stub.source, solution)
    for seeds, passed in (([5, 6], [mutant]), ([7], [])):
        with warm_grader(exercise, seeds, SETTINGS) as grader:
            assert passing_with_a_seed(grader, solved, [mutant]) == passed
