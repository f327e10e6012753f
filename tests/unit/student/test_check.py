"""The student's ``cmp``, run as a notebook runs it."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from handgrad import CheckFailed, cmp
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.report.records import Diagnosis
from handgrad.student.check import recording

LINE = re.compile(r"(\w+) *\| exact: (True |False) \| approximate: (True |False) \| maxdiff: (\S+)")


def _lecture_line(name: str, answer: torch.Tensor, tensor: torch.Tensor) -> str:
    """What the lecture's own ``cmp`` prints."""
    exact = torch.all(answer == tensor.grad).item()
    approximate = torch.allclose(answer, tensor.grad)
    maxdiff = (answer - tensor.grad).abs().max().item()
    return f"{name:15s} | exact: {exact!s:5s} | approximate: {approximate!s:5s} | maxdiff: {maxdiff}"


@pytest.fixture(scope="module")
def blind(references: tuple[Reference, ...]) -> frozenset[str]:
    """Tensors whose gradient the loss cannot judge."""
    return ForwardFacts.of(references).blind


@pytest.fixture
def namespace(exercise: Exercise, play: Callable[[Exercise], dict[str, Any]]) -> dict[str, Any]:
    """A student's notebook after the locked cells, before the first stub."""
    return play(exercise)


@pytest.fixture
def finished(namespace: dict[str, Any], solutions: dict[str, str]) -> dict[str, Any]:
    """A student's notebook with every stub solved, and no check run yet."""
    for source in solutions.values():
        exec(source, namespace)
    return namespace


def _check(namespace: dict[str, Any], name: str, answer: Any) -> None:
    """Run the check of one tensor in the notebook, its gradient being ``answer``."""
    namespace[f"d{name}"] = answer
    exec(f"cmp('{name}', d{name}, {name})", namespace)


def test_the_whole_notebook(
    exercise: Exercise,
    namespace: dict[str, Any],
    solutions: dict[str, str],
    blind: frozenset[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every stub and every check in order: the lecture's lines, a note where the loss is blind, nothing raised."""
    gradients = {name: namespace[name].grad.clone() for name in exercise.tensors.values()}
    capsys.readouterr()
    noted = set()
    for check in exercise.checks:
        name = exercise.tensors[check.gradient]
        exec(solutions[check.gradient], namespace)
        exec(check.source, namespace)
        first, *rest = capsys.readouterr().out.splitlines()
        lecture = LINE.fullmatch(_lecture_line(name, namespace[check.gradient].detach(), namespace[name]))
        seen = LINE.fullmatch(first)
        assert seen, first
        assert lecture
        assert seen.group(1, 2) == lecture.group(1, 2)
        assert seen[3] == "True "
        assert float(seen[4]) == pytest.approx(float(lecture[4]), rel=1e-5)
        if name not in blind:
            assert first == _lecture_line(name, namespace[check.gradient].detach(), namespace[name])
        assert len(rest) <= 1
        if rest and "handgrad check" in rest[0]:
            noted.add(name)
        else:
            # where no bit is different there is nothing to say
            assert rest == ([] if seen[2] == "True " else ["  right: the two differ by rounding only"])
    assert noted == blind == {"b1", "logit_maxes", "logits"}
    for name, gradient in gradients.items():
        assert torch.equal(namespace[name].grad, gradient), name


@pytest.mark.parametrize("name", ["b1", "logit_maxes"])
def test_rounding_noise_is_no_mistake(name: str, finished: dict[str, Any]) -> None:
    """A right formula whose rounding differs from autograd's is accepted, though it is nowhere near its numbers."""
    other = {
        "b1": lambda: finished["dhprebn"].flip(0).cumsum(0)[-1] + 1e-9,
        "logit_maxes": lambda: -finished["dnorm_logits"].flip(1).cumsum(1)[:, -1:] + 1e-9,
    }[name]().detach()
    noise = finished[name].grad
    assert float((other - noise).abs().max()) > 1e-2 * float(noise.abs().max())
    assert not torch.allclose(other, noise, atol=0)
    _check(finished, name, other)


WRONG = {
    "b1": ("dhprebn.abs().sum(0)", "db1 is not right yet: its largest difference"),
    "logit_maxes": ("dnorm_logits[:, :1]", "dlogit_maxes is not right yet: its largest difference"),
    "logits": ("2 * dnorm_logits", "dlogits is 2 times what it should be."),
    "bnvar": ("dbnvar * 31 / 32", "dbnvar is about 0.969 times what it should be."),
    "probs": ("-dprobs", "dprobs has the wrong sign everywhere; its absolute values are right."),
    "C": ("dC + 1e-3", "dC is not right yet: its largest difference"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values(name: str, finished: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong values print the line, then one sentence: the known mistake, or how far off they are."""
    source, sentence = WRONG[name]
    answer = eval(source, finished).detach()
    capsys.readouterr()
    with pytest.raises(CheckFailed) as caught:
        _check(finished, name, answer)
    seen = LINE.fullmatch(capsys.readouterr().out.strip())
    assert seen
    assert seen.group(2, 3) == ("False", "False")
    difference = float((answer - finished[name].grad).abs().max())
    assert float(seen[4]) == pytest.approx(difference, rel=1e-5)
    assert str(caught.value).startswith(sentence)
    assert ("largest difference" in sentence) == (f"{difference:.2g}"[:3] in str(caught.value))


MISSING = {
    "None": (None, "dprobs is not written yet"),
    "...": (..., "dprobs is not written yet"),
    "ndarray": (np.zeros((32, 27)), "dprobs is not a tensor but of type ndarray"),
    "list": ([1.0], "dprobs is not a tensor but of type list"),
    "float": (0.5, "dprobs is not a tensor but of type float"),
    "NotImplemented": (NotImplemented, "dprobs is not a tensor but of type NotImplementedType"),
}


@pytest.mark.parametrize("answer", MISSING)
def test_no_tensor(answer: str, finished: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """What is no tensor is told by what it is, and no line is printed."""
    capsys.readouterr()
    with pytest.raises(CheckFailed) as caught:
        _check(finished, "probs", MISSING[answer][0])
    assert str(caught.value).startswith(MISSING[answer][1])
    assert capsys.readouterr().out == ""


def test_number_for_a_scalar() -> None:
    """A number is as good as a tensor of the shape ()."""
    a = torch.tensor(3.0, requires_grad=True)
    loss = a * a
    loss.backward(retain_graph=True)
    for answer in (6.0, 6, np.float32(6), torch.tensor(6)):
        cmp("a", answer, a)
    for answer in (5.0, True, "6"):
        with pytest.raises(CheckFailed):
            cmp("a", answer, a)


SHAPES = {
    "rank": (
        "bngain",
        "dbngain[0]",
        "The values of dbngain are right, but its shape is (64,) instead of (1, 64), the shape of bngain",
    ),
    "broadcastable": (
        "b1",
        "db1[None]",
        "The values of db1 are right, but its shape is (1, 64) instead of (64,), the shape of b1",
    ),
    "a row for a matrix": (
        "bndiff2",
        "dbndiff2[:1]",
        "The values of dbndiff2 are right, but its shape is (1, 64) instead of (32, 64), the shape of bndiff2",
    ),
    "a matrix for a row": (
        "bnvar",
        "dbnvar.expand(32, 64)",
        "dbnvar: its shape is (32, 64) instead of (1, 64)",
    ),
    "transposed": ("W2", "dW2.T", "dW2 holds the right numbers in the wrong order: dimensions 0 and 1 are swapped"),
    "a number": ("probs", "dprobs.amax()", "dprobs: its shape is () instead of (32, 27)"),
    "a sum": (
        "probs",
        "dprobs.sum()",
        "dprobs has shape () instead of (32, 27): it is the right gradient, summed along dimensions 0 and 1",
    ),
    "wrong values": ("bngain", "dbngain[0].roll(1) + dbngain[0]**2", "dbngain: its shape is (64,) instead of (1, 64)"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case: str, finished: dict[str, Any]) -> None:
    """Another shape is told with both shapes, and that the values are right only where they are."""
    name, answer, sentence = SHAPES[case]
    with pytest.raises(CheckFailed) as caught:
        _check(finished, name, eval(answer, finished))
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(value: float, finished: dict[str, Any]) -> None:
    """NaN and infinity are told as such, one of them being enough."""
    answer = finished["dprobs"].detach().clone()
    answer[1, 2] = value
    with pytest.raises(CheckFailed, match="dprobs holds NaN or infinity"):
        _check(finished, "probs", answer)


def test_complex(finished: dict[str, Any]) -> None:
    """Complex numbers are told as such."""
    with pytest.raises(CheckFailed, match="dprobs holds complex64 numbers"):
        _check(finished, "probs", finished["dprobs"].detach() + 0j)


@pytest.mark.parametrize("kind", ["to_sparse()", "to('meta')"])
def test_a_tensor_of_another_kind(kind: str, finished: dict[str, Any]) -> None:
    """A tensor that torch cannot compare is told to be of another kind."""
    answer = eval(f"dprobs.detach().{kind}", finished)
    with pytest.raises(CheckFailed, match="dprobs cannot be compared with autograd's gradient"):
        _check(finished, "probs", answer)


def test_a_double_is_right(finished: dict[str, Any]) -> None:
    """An answer in double precision is as good as one in single."""
    _check(finished, "probs", finished["dprobs"].double())


def test_the_loss_may_be_missing(finished: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a loss, or without its graph, the plain comparison stands and the note is left out."""
    capsys.readouterr()
    _check(finished, "logits", finished["dlogits"])
    assert "handgrad check" in capsys.readouterr().out
    loss = finished.pop("loss")
    for _ in range(2):
        _check(finished, "logits", finished["dlogits"])
        with pytest.raises(CheckFailed, match="not right yet"):
            _check(finished, "probs", finished["probs"].grad + 1)
        assert "handgrad check" not in capsys.readouterr().out
        finished["loss"] = loss.detach()


def test_the_graph_may_be_gone(
    exercise: Exercise, finished: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """After a backward pass that frees the graph right answers are right and wrong ones wrong."""
    for name in exercise.tensors.values():
        finished[name].grad = None
    finished["loss"].backward()
    capsys.readouterr()
    for name in set(exercise.tensors.values()) - {"b1", "logit_maxes"}:
        _check(finished, name, finished[f"d{name}"])
    assert "handgrad check" not in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="not right yet"):
        _check(finished, "h", finished["h"].grad * 1.001)


def test_the_backward_cell_may_be_run_again(exercise: Exercise, finished: dict[str, Any]) -> None:
    """A student may run the cell with the backward pass twice: right answers stay right."""
    exec(next(cell.source for cell in exercise.cells if cell.name == "backward"), finished)
    for name in exercise.tensors.values():
        _check(finished, name, finished[f"d{name}"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("probs = probs.detach()", "autograd has no gradient for probs"),
        ("probs.grad = None", "autograd has no gradient for probs"),
        ("probs = probs * 1", "autograd has no gradient for probs"),
        ("probs = 3", "probs is not a tensor any more"),
    ],
)
def test_the_tensor_is_not_what_it_was(change: str, sentence: str, finished: dict[str, Any]) -> None:
    """Where there is nothing to compare with, the student is sent back to the top of the notebook."""
    answer = finished["dprobs"].detach()
    exec(change, finished)
    with pytest.raises(CheckFailed, match=sentence) as caught:
        _check(finished, "probs", answer)
    assert "again" in str(caught.value)


def test_an_answer_is_left_alone(finished: dict[str, Any]) -> None:
    """Checking changes neither the answer nor its graph."""
    before = finished["dlogits"].detach().clone()
    _check(finished, "logits", finished["dlogits"])
    assert torch.equal(finished["dlogits"].detach(), before)
    assert finished["dlogits"].requires_grad


def test_check_failed_is_one_sentence_in_jupyter() -> None:
    """IPython shows the sentence alone, and anything that catches failed assertions catches it."""
    error = CheckFailed("a sentence", Diagnosis("values", "a sentence", "", "dprobs"))
    assert isinstance(error, AssertionError)
    assert error._render_traceback_() == ["CheckFailed: a sentence"]


def test_recording(finished: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """While the grader records, a check compares nothing, prints nothing and raises nothing; after that it does."""
    capsys.readouterr()
    with recording() as outer:
        cmp("probs", None, finished["probs"])
        with recording() as inner:
            cmp("h", 3, finished["h"])
        cmp("C", 4, finished["C"])
    assert list(outer) == [("probs", None), ("C", 4)]
    assert list(inner) == [("h", 3)]
    assert capsys.readouterr().out == ""
    with pytest.raises(CheckFailed):
        cmp("probs", None, finished["probs"])


ALONE = """
import importlib.abc, sys, warnings

class Bare(importlib.abc.MetaPathFinder):
    BLOCKED = {"IPython", "nbformat", "traitlets", "typer", "rich", "numpy", "matplotlib", "pytest", "nbgrader"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.BLOCKED:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Bare())
warnings.filterwarnings("ignore")  # torch itself says that there is no numpy
import torch
import torch.nn.functional
before = set(sys.modules)
warnings.filterwarnings("error")

import handgrad
from handgrad import cmp
from handgrad.data import read_names

x = torch.ones(2, 3, requires_grad=True)
y = torch.tanh(x)
y.retain_grad()
loss = y.sum()
loss.backward(retain_graph=True)
dy = torch.ones(2, 3)
cmp("y", dy, y)
dx = (1 - y**2) * dy
cmp("x", dx, x)
try:
    cmp("x", 2 * dx, x)
except handgrad.CheckFailed as error:
    print(error)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print("foreign:", sorted(new - set(sys.stdlib_module_names) - {"torch", "handgrad"}))
"""


def test_needs_torch_alone() -> None:
    """What a student imports needs torch and the standard library, and works without anything else installed."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    *lines, sentence, advice, foreign = done.stdout.splitlines()
    seen = [found[3].strip() for line in lines if (found := LINE.fullmatch(line))]
    assert seen == ["True", "True", "False"]
    assert sentence == "dx is 2 times what it should be."
    assert advice.startswith("Try: Compare the factors in the line of y")
    assert foreign == "foreign: []"
