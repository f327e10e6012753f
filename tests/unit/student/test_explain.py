"""The catalogue in the student's own notebook: the released cells in one namespace, as Jupyter runs them."""

import functools
import io
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import nbformat
import pytest
import torch
from nbformat import NotebookNode

from handgrad import CheckFailed
from handgrad.authoring.cases import read_cases
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.gradients import autograd_graph
from handgrad.gradients.mistakes.catalogue import CATALOGUE
from handgrad.report.records import Diagnosis
from handgrad.student import explain
from helpers.exercises import few_are_fast
from helpers.inputs import named
from helpers.paths import MISTAKES, ROOT

FIRST = "backprop"
SOURCES = [path for path in (ROOT / "source").glob("*/*.ipynb") if path.stem == path.parent.name]
ASKED = {path.stem for path in SOURCES if Exercise.read(path).tensors}
"""The exercises that ask for gradients: what is no gradient is not compared at home."""
CASES = {case.name: case for case in read_cases(MISTAKES) if case.assignment in ASKED}


@dataclass
class Evening:
    """What a student's checks say: the diagnosis of each gradient that fails, and what else is printed."""

    found: dict[str, Diagnosis] = field(default_factory=dict)
    printed: str = ""

    def own_errors(self) -> dict[str, str]:
        """The mistakes of the catalogue, without those that another gradient's error makes."""
        return {
            gradient: diagnosis.mistake
            for gradient, diagnosis in self.found.items()
            if diagnosis.mistake in CATALOGUE and diagnosis.mistake != "carried"
        }


@functools.cache
def _notebook(folder: str, name: str = FIRST) -> NotebookNode:
    return nbformat.read(ROOT / folder / name / f"{name}.ipynb", as_version=4)


@functools.cache
def _opened(assignment: str) -> dict[str, Any]:
    """The namespace of a released notebook, run up to its first stub; its own line imports the kit."""
    namespace: dict[str, Any] = {}
    with chdir(ROOT / "release" / assignment), redirect_stdout(io.StringIO()):
        for cell in _notebook("release", assignment).cells:
            if kind_of(cell) == "stub":
                break
            if cell.cell_type == "code":
                exec(cell.source, namespace)
    return namespace


@pytest.fixture(scope="module")
def opened() -> dict[str, Any]:
    """The first exercise's notebook, run up to its first stub."""
    return _opened(FIRST)


@pytest.fixture(scope="module")
def spend() -> Callable[[str], Evening]:
    """Run the stubs and the checks of a case in one namespace, going on where one raises, as Run All does."""

    @functools.cache
    def run(name: str) -> Evening:
        case, evening, output, first = CASES[name], Evening(), io.StringIO(), False
        namespace = dict(_opened(case.assignment))
        # what is given belongs to one evening: a case may write into it
        given = Exercise.read(ROOT / "source" / case.assignment / f"{case.assignment}.ipynb").given_gradients
        namespace |= {gradient: namespace[gradient].clone() for gradient in given}
        for cell in case.notebook(_notebook("release", case.assignment), _notebook("solutions", case.assignment)).cells:
            first |= kind_of(cell) == "stub"
            if not first or kind_of(cell) not in ("stub", "check", "locked") or grade_id(cell) == "progress":
                continue
            with redirect_stdout(output), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a student's cell may warn
                try:
                    exec(cell.source, namespace)
                except CheckFailed as error:
                    evening.found[error.diagnosis.cell if error.diagnosis.mistake != "carried" else _of(cell)] = (
                        error.diagnosis
                    )
                except Exception as error:
                    # Python's own message is what the student reads
                    print(error)
        evening.printed = output.getvalue()
        return evening

    return run


def _of(check: NotebookNode) -> str:
    return str(check.metadata.nbgrader.grade_id).removeprefix("check_")


SENTENCES = {
    "missing-branch-dcounts": ("dcounts", "dcounts lacks the contribution through counts_sum."),
    "missing-branch-dbndiff": ("dhprebn", "dhprebn lacks the contribution through bnmeani."),
    "branch-subtracted": (
        "dbndiff",
        "In dbndiff, the contribution through bndiff2 has the wrong sign; the rest is right.",
    ),
    "variance-added": ("dhprebn", "In dhprebn, the path through bnvar has the wrong sign."),
    "bessel": ("dbndiff2", "dbndiff2 is 31/32 times what it should be (batch_size and n are 32)."),
    "square-without-its-two": (
        "dbndiff",
        "In dbndiff, the contribution through bndiff2 is 1/2 times what it should be.",
    ),
    "softmax-without-the-mean": ("dlogits", "dlogits is 32 times what it should be (batch_size and n are 32)."),
    "early-slip": ("dcounts_sum", "dcounts_sum has the wrong sign everywhere; its absolute values are right."),
    "last-write-wins": (
        "dC",
        "Xb contains some rows of C more than once. The upstream gradients of such a row, from emb, must be added; "
        "dC keeps only one of them.",
    ),
    "no-keepdim": (
        "dcounts_sum_inv",
        "The values of dcounts_sum_inv are right, but its shape is (32,) instead of (32, 1), the shape of "
        "counts_sum_inv.",
    ),
    "not-summed": (
        "db2",
        "db2 has shape (32, 27) instead of (27,): b2 was broadcast along dimension 0 on the way to logits, and the "
        "gradient is not summed along it.",
    ),
    "sum-along-the-wrong-dimension": (
        "dbnvar_inv",
        "dbnvar_inv is summed over dimension 1, but bnvar_inv was broadcast along dimension 0 on the way to bnraw.",
    ),
    "transposed-product": (
        "dW2",
        "dW2 holds the right numbers in the wrong order: dimensions 0 and 1 are swapped.",
    ),
    "no-upstream": (
        "dprobs",
        "dprobs is only the local derivative of logprobs with respect to probs; the upstream gradient dlogprobs is "
        "missing.",
    ),
    "handed-on-unchanged": (
        "dbnraw",
        "dbnraw is dhpreact: it is not multiplied by the local derivative of hpreact with respect to bnraw.",
    ),
    "forward-in-a-product": ("dembcat", "dembcat is computed from hprebn, and should be computed from dhprebn."),
    "tanh-without-square": (
        "dhpreact",
        "dhpreact is dh times `1 - h`, which is not the local derivative of h with respect to hpreact.",
    ),
    "brain-floats": ("dh", "dh holds bfloat16 numbers, which cannot represent the values of a gradient."),
    "never-filled": ("dC", "dC is zero everywhere, but the gradient of C is not."),
    "numpy-answer": ("dh", "dh is not a tensor but of type ndarray: a gradient is a tensor like h."),
    "not-a-number": ("dbnvar", "dbnvar holds NaN or infinity."),
}


def test_the_sentence(spend: Callable[[str], Evening]) -> None:
    """A mistake is told in the student's notebook by the entry that the grader expects of it."""
    for name, (gradient, sentence) in SENTENCES.items():
        with named(name):
            found = spend(name).found[gradient]
            assert found.what == sentence
            assert found.mistake == CASES[name].diagnoses[gradient]
            assert found.advice


STUBS = {
    name: {cell.metadata.nbgrader.grade_id for cell in _notebook("release", name).cells if kind_of(cell) == "stub"}
    for name in sorted({case.assignment for case in CASES.values()})
}
ASKED_FOR = {
    name: [cell for cell in _notebook("release", name).cells if kind_of(cell) == "check" and "cmp(" in cell.source]
    for name in STUBS
}
ENDLESS = "infinite-loop"
PLAIN = [
    name
    for name, case in CASES.items()
    if case.raw is None and case.start == "solution" and case.cells.keys() <= STUBS[case.assignment] and name != ENDLESS
]
"""Cases that differ from the worked solution in their stubs alone."""
ONLY_HERE = {
    # the loop leaves another n behind, with which the worked solution is really off
    "right-loop-variable-n": {"dbndiff2": "scale", "dhprebn": "scale"},
    # every place has the same upstream gradient on this loss: turned filters give a picture that is turned
    "conv-filters-turned-round": {"dact": "moved"},
    # the grader looks at one answer, and here the other one is beside it
    "conv-results-in-another-order": {"dact": "step-left-out", "dW2": "step-left-out"},
    "gate-and-up-mixed-up": {"dup": "step-left-out"},
    # with the numbers of this notebook, the winner of each row is also one of a column
    "winner-of-the-column": {"dscores": "unreached"},
    # there is no worked solution here, and so no mutant of it
    "stream-from-the-end": {"dencoded": "extra-term"},
}
"""Mistakes of a notebook that runs in one namespace, which the grader keeps apart."""


@pytest.mark.parametrize("assignment", few_are_fast(STUBS))
def test_nobody_else_is_blamed(assignment: str, spend: Callable[[str], Evening]) -> None:
    """Whatever a case does wrong, no gradient is told a mistake that the grader would not tell of it."""
    for name in (name for name in PLAIN if CASES[name].assignment == assignment):
        with named(name):
            expected = dict(CASES[name].diagnoses) | ONLY_HERE.get(name, {})
            evening = spend(name)
            for gradient, slug in evening.own_errors().items():
                # where a cell raises before its end, what it assigned first stays: zeros, NaN
                raised = gradient not in expected and slug in ("zeros", "not-finite")
                # the grader calls it missing, without a diagnosis
                raised |= slug == "undefined" and CASES[name].outcomes.get(gradient) == "missing"
                assert raised or expected.get(gradient) == slug, (gradient, evening.found[gradient])


UNUSUAL = [name for name in PLAIN if name.startswith("right-") and name not in ONLY_HERE and name != "right-double"]
"""Right answers in an unusual style; in double precision the next cell raises here, since torch mixes no dtypes."""


@pytest.mark.parametrize("assignment", few_are_fast(STUBS))
def test_right_answers_pass(assignment: str, spend: Callable[[str], Evening]) -> None:
    """A right answer in whatever style passes its check, and is told nothing but that it may differ by rounding."""
    for name in (name for name in UNUSUAL if CASES[name].assignment == assignment):
        with named(name):
            evening = spend(name)
            assert not evening.found
            assert evening.printed.count("approximate: True") == len(ASKED_FOR[CASES[name].assignment])


def test_right_styles_are_many() -> None:
    """At least twelve of them are tried."""
    assert len(UNUSUAL) >= 12


# a notebook as it stands at one check


@pytest.fixture
def finished(opened: dict[str, Any], solutions: dict[str, str]) -> dict[str, Any]:
    """The notebook with every stub solved."""
    namespace = dict(opened)
    for source in solutions.values():
        exec(source, namespace)
    return namespace


def _told(namespace: dict[str, Any], name: str, *lines: str) -> Diagnosis:
    """What a check says once ``lines`` have run."""
    for line in lines:
        exec(line, namespace)
    with redirect_stdout(io.StringIO()), pytest.raises(CheckFailed) as caught:
        exec(f"cmp({name!r}, d{name}, {name})", namespace)
    return caught.value.diagnosis


def _printed(namespace: dict[str, Any], name: str, *lines: str) -> str:
    """What a check prints that passes once ``lines`` have run."""
    for line in lines:
        exec(line, namespace)
    with redirect_stdout(io.StringIO()) as output:
        exec(f"cmp({name!r}, d{name}, {name})", namespace)
    return output.getvalue()


def test_carried(finished: dict[str, Any], solutions: dict[str, str]) -> None:
    """A right formula that was given a wrong gradient names the first one that is wrong by itself."""
    exec("dprobs = -dprobs", finished)
    for gradient in ("dcounts_sum_inv", "dcounts_sum", "dcounts"):
        exec(solutions[gradient], finished)
    found = _told(finished, "counts")
    assert found.what == "dcounts is right for its upstream gradients; the error is in dprobs."
    assert found.advice == "Fix dprobs, then rerun the cells below it."
    assert found.cell == "dprobs"
    assert (
        _told(finished, "counts", "dcounts = dcounts + 0.1").advice == "Begin with dprobs, which is not right either."
    )


def test_carried_is_not_claimed_where_a_branch_is_hidden(finished: dict[str, Any]) -> None:
    """What comes back to the scores through the maximum is zero here, so nothing is said of the formula's rightness."""
    found = _told(
        finished, "logits", "dlogprobs = -dlogprobs", "dnorm_logits = -dnorm_logits", "dlogits = dnorm_logits"
    )
    assert found.mistake == "values"
    assert "right for" not in found.what


@pytest.mark.parametrize("given", ["dbnmeani[0]", "0.5", "dbnmeani * float('nan')", "dbnmeani.numpy()"])
def test_what_was_given_may_be_no_gradient(given: str, finished: dict[str, Any], solutions: dict[str, str]) -> None:
    """Made from a row, a number, NaN or an array, a value tells nothing of its own formula: begin with that one."""
    exec(f"dbnmeani = -2 * {given.replace('.numpy()', '.detach().numpy()')}", finished)
    exec("dhprebn = dbndiff + torch.as_tensor(dbnmeani) / n", finished)
    found = _told(finished, "hprebn")
    assert found.mistake in ("values", "not-finite")
    assert found.advice == "Begin with dbnmeani, which is not right either."


def test_an_alias_changed_later(finished: dict[str, Any]) -> None:
    """A right gradient that a later cell writes into, under a second name, names that cell."""
    found = _told(finished, "bndiff", "dhprebn = dbndiff", "dhprebn += 1/n * dbnmeani")
    assert found.mistake == "alias-mutated"
    assert found.cell == "dhprebn"
    # where the later one is not right either, nobody knows what this one was
    assert _told(finished, "bndiff", "dhprebn *= 1.5").mistake == "values"


def test_an_answer_written_over_what_it_was_made_from(finished: dict[str, Any]) -> None:
    """A cell that writes into the gradient it was given leaves nothing to judge it by; one handed on does."""
    in_place = "dnorm_logits = dcounts = dcounts.detach().clone(); dnorm_logits *= probs"
    written = _told(finished, "norm_logits", in_place)
    assert written.mistake == "values"
    assert written.advice == "Begin with dcounts, which is not right either."
    handed_on = "dcounts = counts.grad.clone(); dnorm_logits = dcounts"
    assert _told(finished, "norm_logits", handed_on).mistake == "other-gradient"


COPIES = ["hpreact.grad", "hpreact.grad.view(-1, n_hidden)", "hpreact.grad.detach()"]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_autograds_answer(copied: str, finished: dict[str, Any]) -> None:
    """It passes, and is told kindly what will become of it; a right formula, and one that agrees bit by bit, is not."""
    note = "this copies autograd's gradient, which the grader removes"
    assert note not in _printed(finished, "hpreact")
    assert note in _printed(finished, "hpreact", f"dhpreact = {copied}")
    assert note in _printed(finished, "logits", "dlogits = logits.grad")
    assert _printed(finished, "hpreact", "dhpreact = hpreact.grad.clone()").count("\n") == 1


def test_rounding_is_told(finished: dict[str, Any]) -> None:
    """A value that is not autograd's to the last bit is said to be right; one that is off by more is not said to."""
    right = "right: the two differ by rounding only"
    assert right in _printed(finished, "h", "dh = dh * (1 + 1e-6)")
    assert "rounding" not in _printed(finished, "h", "dh = dh * (1 + 5e-5)")
    note = _printed(finished, "bnvar", "dbnvar = (-0.5 * bnvar**-1.5) * dbnvar_inv")
    assert "as if the forward pass added a small constant to bnvar" in note


@pytest.mark.parametrize(
    "answer",
    [
        "torch.ones_like(probs)",
        "dprobs.amax()",
        "dprobs.mean(1, keepdim=True)",
        "torch.randn(probs.shape, generator=torch.Generator().manual_seed(3))",
        "dprobs + 1e-2 * dprobs.abs().max()",
        "dprobs[:, :5]",
        "torch.tensor(3.0)",
        "torch.zeros(0)",
    ],
)
def test_nothing_is_guessed(answer: str, finished: dict[str, Any]) -> None:
    """Constants, noise and right values with something added fit no entry."""
    assert _told(finished, "probs", f"dprobs = ({answer}).detach()").mistake not in CATALOGUE


@pytest.mark.parametrize(
    "line",
    [
        "dprobs = object()",
        "dlogprobs = None",
        "dlogprobs = [1, 2]",
        "dlogprobs = dlogprobs + 0j",
        "dlogprobs = dlogprobs.bool()",
        "dlogprobs = dlogprobs.to_sparse()",
        "del loss",
        "loss = loss.detach()",
        "loss = 3",
        "In = None",
        "In = [None, 3, 'probs = (', '%time probs = 1']",
        "n = None",
        "counts = 3",
        "torch.set_grad_enabled(False)",
        "_ = probs",
        "copy = probs",
    ],
)
def test_a_check_dies_of_nothing(line: str, finished: dict[str, Any]) -> None:
    """Whatever else stands in the notebook, the check ends with its own sentence."""
    try:
        found = _told(finished, "probs", "dprobs = -dprobs.detach()", line)
    finally:
        torch.set_grad_enabled(True)
    assert found.what.startswith("dprobs ")


def test_a_broken_diagnosis_falls_back(finished: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the kit's own is never the student's: the plain sentence stands."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(explain, "catalogue_diagnosis", broken)
    monkeypatch.setattr(explain, "catalogue_note", broken)
    assert _told(finished, "probs", "dprobs = -dprobs").mistake == "values"
    assert "approximate: True" in _printed(finished, "h", "dh = dh * (1 + 5e-5)")


def test_nothing_is_changed(finished: dict[str, Any]) -> None:
    """A check that fails leaves every gradient of autograd's, and every one of the student's, as it was."""
    before = {name: value.clone() for name, value in finished.items() if isinstance(value, torch.Tensor)}
    gradients = {name: finished[name].grad.clone() for name in before if f"d{name}" in before}
    _told(finished, "probs", "dprobs = -dprobs")
    assert all(torch.equal(finished[name], value) for name, value in before.items() if name != "dprobs")
    assert all(torch.equal(finished[name].grad, value) for name, value in gradients.items())


def test_lines_as_ipython_remembers_them(finished: dict[str, Any]) -> None:
    """In Jupyter the line of the forward pass is quoted; where it stands on several lines it is called by its name."""
    finished["In"] = ["", "%pip list\nlogprobs = 1", "h = torch.tanh(hpreact)", "logprobs = probs.log()"]
    assert "Follow the minus signs of `logprobs = probs.log()`," in _told(finished, "probs", "dprobs = -dprobs").advice
    finished["In"] = ["logprobs = (\n    probs.log()\n)"]
    assert "Follow the minus signs of the line of logprobs," in _told(finished, "probs").advice


@pytest.mark.parametrize("answer", ["counts_sum_inv * dprobs", "-dcounts", "dcounts + 0.01 * torch.randn_like(counts)"])
def test_a_failed_check_reads_the_forward_pass_once(
    answer: str, solutions: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that fails takes one random step and a few dozen backward passes; one that passes takes a few."""
    calls: Counter[str] = Counter()
    fresh = _opened.__wrapped__(FIRST)
    for source in solutions.values():
        exec(source, fresh)

    def counted(module: Any, name: str) -> None:
        function = getattr(module, name)

        def count(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, count)

    counted(torch.autograd, "grad")
    counted(autograd_graph, "random_step")
    counted(autograd_graph, "forward_tensors")
    _printed(fresh, "counts")
    assert calls.pop("grad") <= 3
    assert calls == {"random_step": 1, "forward_tensors": 1}
    calls.clear()
    _told(fresh, "counts", f"dcounts = {answer}")
    assert calls.pop("grad") < 60
    assert calls == {"random_step": 1, "forward_tensors": 1}


def test_a_tensor_that_has_another_name_is_diagnosed(finished: dict[str, Any]) -> None:
    """The tensor that is passed belongs to the forward pass even if the namespace has no such name."""
    finished["kept"] = finished.pop("probs")
    exec("dprobs = -dprobs", finished)
    with pytest.raises(CheckFailed) as caught:
        exec("cmp('probs', dprobs, kept)", finished)
    assert caught.value.diagnosis.mistake == "sign"
