"""Answers that are no gradients, on small exercises: what is compared, what is asserted, and what is refused."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbformat import NotebookNode

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference
from handgrad.exercise.release_file import recorded_in
from handgrad.gradients.mistakes.parameter_updates import ParameterUpdate, diagnose_update
from handgrad.grading.grader import Grader
from handgrad.grading.marking import Policy
from handgrad.grading.settings import GradingSettings
from handgrad.grading.solution_values import passes_of, record
from handgrad.grading.value_checks import ValueChecks
from handgrad.report.records import Report
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers.warm_grader import warm_grader

MakeNotebook = Callable[..., NotebookNode]
SETUP = """
import torch
g = torch.Generator().manual_seed(seed)
x, y = torch.randn(3, generator=g), torch.randn(2, generator=g)
z = torch.zeros(2)


def size():
    return float(x.abs().sum())
"""
GROW = """
for _ in range(steps):
    x = 1.5 * x
    y += 1
total = x.sum()
"""
CELLS = (
    ("locked", "parameters", "seed, steps = 1, 20"),
    ("locked", "setup", SETUP),
    ("stub", "grow", GROW),
    ("check", "check_x", "assert x.isfinite().all(), 'x is not finite.'"),
    ("check", "check_y", ""),
    ("check", "check_z", ""),
    ("check", "check_total", ""),
    ("check", "check_grow", "assert size() > 1000, f'x has grown to {size():.0f}.'"),
)
HIDDEN = [{"steps": 1}, {"steps": 4}]


@pytest.fixture(scope="module")
def made(make_notebook: MakeNotebook, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exercise]:
    """Make the exercise, with the sources of some cells replaced, and metadata of the parameters cell."""
    folder = tmp_path_factory.mktemp("small")

    def make(metadata: Any = None, **sources: str) -> Exercise:
        notebook = make_notebook(*((kind, name, sources.get(name, text)) for kind, name, text in CELLS))
        notebook.cells[0].metadata["handgrad"] = {"hidden": HIDDEN} if metadata is None else metadata
        return Exercise.of(notebook, "small", folder)

    return make


@pytest.fixture(scope="module")
def small(made: Callable[..., Exercise]) -> Iterator[Grader]:
    """A warm grader of the exercise as it stands above."""
    with warm_grader(made(), [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        yield grader


def _report(grader: Grader, *sources: str) -> Report:
    """The report on a notebook with these sources in its stubs."""
    notebook = nbformat.v4.new_notebook()
    for stub, source in zip(grader.exercise.stubs, sources, strict=True):
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["nbgrader"] = {"grade_id": stub, "solution": True}
        notebook.cells.append(cell)
    return grader.grade(Submission.of(notebook, grader.exercise)).report


def _prove(exercise: Exercise) -> ValueChecks:
    """The values of an exercise, proved, as a grader has them; no sandbox is needed."""
    namespace = Reference.of(exercise, {}).namespace
    values = ValueChecks(exercise, passes_of(exercise, [5]), namespace, Policy())
    values.validate()
    return values


def _outcomes(report: Report) -> list[str]:
    return [verdict.outcome for verdict in report.checks]


def test_the_solution_is_right(small: Grader) -> None:
    """What the worked solution gives is right, bit for bit."""
    report = _report(small, GROW)
    assert _outcomes(report) == ["passed"] * 5
    assert [verdict.comparison.exact for verdict in report.checks[:4] if verdict.comparison] == [True] * 4
    assert report.checks[4].comparison is None


def test_passes(made: Callable[..., Exercise]) -> None:
    """There is the visible pass, and for each seed and each of the sizes one with every setting and its own seed."""
    passes = Grader(made(), [5, 6], settings=GradingSettings(sizes=({"steps": 2},))).passes
    assert [pass_.name for pass_ in passes] == ["visible", *(f"values {number}" for number in range(1, 7))]
    assert [pass_.parameters["steps"] for pass_ in passes[1:]] == [1, 4, 1, 4, 2, 2]
    assert len({pass_.parameters["seed"] for pass_ in passes[1:]}) == 6


def test_another_way_is_right(small: Grader) -> None:
    """Other formulas, names that are bound again, double precision: the values count."""
    report = _report(small, "x = x.double() * 1.5**steps\ny = y + steps\ntotal = x.sum()")
    assert _outcomes(report) == ["passed"] * 5


@pytest.mark.parametrize("source", ["", "pass", "steps = 3", "x = x + 0"])
def test_nothing_is_nothing(small: Grader, source: str) -> None:
    """Where nothing changes, nothing is right, not even a value that the solution leaves alone."""
    report = _report(small, source)
    assert _outcomes(report) == ["missing"] * 5
    assert report.checks[2].message == "grow is not written yet: it changes nothing that is checked."


def test_right_at_first_is_half(small: Grader) -> None:
    """A value that is right with the least steps alone is partly right, and one that is at fault is named."""
    report = _report(small, "x = 1.5 * x\ny += 1\ntotal = x.sum()")
    assert _outcomes(report) == ["partial", "partial", "passed", "partial", "failed"]
    assert [verdict.points for verdict in report.checks] == [0.5, 0.5, 1, 0.5, 0]
    assert report.checks[0].message == (
        "x is right with steps = 1, but not with more: does grow do the right thing at every step?"
    )
    report = _report(small, GROW.replace("x = 1.5 * x", "x = 1.5 * x + z[0]").replace("y += 1", "y += 1\n    z += 1"))
    assert _outcomes(report)[:4] == ["partial", "passed", "failed", "partial"]
    assert report.checks[0].message == (
        "x is right with steps = 1, but not with more: it depends on z, which is wrong from the start."
    )


def test_one_setting(made: Callable[..., Exercise]) -> None:
    """With one table of settings a value is right or it is not, and the share of the points is the course's."""
    with warm_grader(
        made({"hidden": {"steps": 4}}), [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))
    ) as grader:
        report = _report(grader, "x = 1.5 * x\ny += steps\ntotal = x.sum()")
    assert _outcomes(report)[:4] == ["failed", "passed", "passed", "failed"]


MOVES = {
    "not-updated": ("x = x.clone()", "nothing has changed it"),
    "wrong-way": ("x = x - 0.5 * x", "in the opposite direction"),
    "other-length": ("x = x + 0.1 * x", "0.2 times as far as it should"),
}


@pytest.mark.parametrize("mistake", MOVES)
def test_moves(small: Grader, mistake: str) -> None:
    """A value that stays, goes the other way or goes another length is told so."""
    line, said = MOVES[mistake]
    report = _report(small, GROW.replace("x = 1.5 * x", line))
    found = report.checks[0].diagnosis
    assert report.checks[0].outcome == "failed"
    assert found
    assert (found.mistake, found.cell) == (mistake, "grow")
    assert said in found.what


@pytest.mark.parametrize(
    ("factor", "mistake", "said"),
    [
        (5.0, "other-size", "m is 5 times what it should be."),
        (1.0045, "other-size", "m is 1.0045 times what it should be."),
        (-1.0, "opposite-sign", "m has the wrong sign everywhere; its absolute values are right."),
    ],
)
def test_what_begins_at_zero_does_not_move(factor: float, mistake: str, said: str) -> None:
    """A value that a stub makes from zeros is told its factor or its sign, and nothing of a direction."""
    expected = torch.tensor([1.5, -2.0], dtype=torch.float64)
    found = diagnose_update("m", "adam", [ParameterUpdate(0 * expected, factor * expected, expected, 1e-4)])
    assert found
    assert (found.mistake, found.what) == (mistake, said)


def test_a_mistake_without_a_name(small: Grader) -> None:
    """What goes elsewhere is not given a name."""
    report = _report(small, GROW.replace("x = 1.5 * x", "x = x + 0.5 * x.flip(0)"))
    assert report.checks[0].diagnosis is None
    assert report.checks[0].message == "x does not have the value that grow should give it."


def test_another_shape_reaches_no_check(small: Grader) -> None:
    """No check is run on a value in another shape: what it needs could be any amount. The others are not hurt."""
    report = _report(small, f"{GROW}\ny = torch.zeros(2000, 2000)")
    assert _outcomes(report) == ["passed", "failed", "passed", "passed", "failed"]
    assert report.checks[4].message == "y has shape (2000, 2000), but should have (2,)."
    report = _report(small, f"{GROW}\ny = y.view(1, 2)")
    assert _outcomes(report) == ["passed", "partial", "passed", "passed", "failed"]


KINDS = {
    "x = [1.0]": "x is not a tensor but of type list.",
    "x = None": "There is no tensor x after grow has run.",
    "del x": "There is no tensor x after grow has run.",
}


@pytest.mark.parametrize("line", KINDS)
def test_no_tensor(small: Grader, line: str) -> None:
    """An answer that is no tensor is told what it is; the others are judged all the same."""
    report = _report(small, f"{GROW}\n{line}")
    assert (report.checks[0].outcome, report.checks[0].message) == ("failed", KINDS[line])
    assert _outcomes(report)[1:4] == ["passed"] * 3


def test_an_error_is_an_error(small: Grader) -> None:
    """A cell that raises is told what it raised; what it had made before counts."""
    report = _report(small, "raise KeyError('x')")
    assert _outcomes(report) == ["error"] * 5
    assert "KeyError" in report.checks[0].message
    report = _report(small, f"{GROW}\nraise KeyError('x')")
    assert _outcomes(report) == ["passed"] * 5


def test_the_assertion_is_about_the_visible_pass(small: Grader) -> None:
    """What a check asserts must hold on what came back with the notebook's own parameters, and is said where not."""
    seldom = GROW.replace("range(steps)", "range(steps if steps < 20 else 3)")
    report = _report(small, seldom)
    assert _outcomes(report) == ["passed"] * 4 + ["failed"]
    assert report.checks[4].message.startswith("x has grown to ")
    report = _report(small, f"{GROW}\nif steps == 20: x = x / 0")
    assert report.checks[0].message == "x is not finite."


def test_pasted_values_do_not_count(small: Grader) -> None:
    """Numbers that are right in the notebook alone earn nothing, also where the check asks for a sum of them."""
    report = _report(small, "x, y, total = torch.full((3,), 5e3), torch.zeros(2), torch.zeros(())")
    assert _outcomes(report) == ["failed", "failed", "passed", "failed", "failed"]
    assert report.checks[4].message == ("The values of grow do not count: with another seed, none of them is right.")


def test_the_end_of_the_notebook_counts_too(small: Grader) -> None:
    """Cells after the stub may break a value, or be where it is made."""
    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("y += 0")
    cell.metadata["nbgrader"] = {"grade_id": "grow", "solution": True}
    check = nbformat.v4.new_code_cell("")
    check.metadata["nbgrader"] = {"grade_id": "check_x", "grade": True, "locked": True}
    notebook.cells = [cell, check, nbformat.v4.new_code_cell(GROW)]
    assert small.grade(Submission.of(notebook, small.exercise)).report.passed
    cell.source, notebook.cells[2].source = GROW, "x = None\ny.zero_()"
    assert small.grade(Submission.of(notebook, small.exercise)).report.passed


def test_seconds_of_the_visible_pass(made: Callable[..., Exercise]) -> None:
    """A notebook may say how long its own training takes; too long costs what is asked of the whole of it alone."""
    exercise = made({"hidden": HIDDEN, "seconds": 3})
    sleep = f"import time\ntime.sleep({{}} if steps == {{}} else 0)\n{GROW}"
    with warm_grader(exercise, [5], settings=GradingSettings(limits=Limits(cell_seconds=1.5))) as grader:
        assert _report(grader, sleep.format(2, 20)).passed
        started = time.monotonic()
        report = _report(grader, sleep.format(60, 20))
        assert time.monotonic() - started < 50
        assert _outcomes(report) == ["passed"] * 4 + ["timeout"]
        assert report.checks[4].message.startswith("The cell did not finish within 3 seconds")
        assert set(_outcomes(_report(grader, sleep.format(60, 4)))) == {"timeout"}


def test_autograd_stays_off(small: Grader) -> None:
    """A cell that asks autograd for its gradients is told that it is switched off."""
    report = _report(small, "x.requires_grad_()\n(x * x).sum().backward()\nx = x + x.grad")
    assert set(_outcomes(report)) == {"error"}
    assert "switched off" in report.checks[0].message


def test_reaching_inside_is_told(small: Grader) -> None:
    """A stub that reaches for the insides of the process has no points until an instructor accepts it."""
    report = _report(small, f"import ctypes\nctypes.pythonapi\n{GROW}")
    assert set(_outcomes(report)) == {"tampered"}


def test_a_stub_without_a_check_is_looked_at_too(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """What a stub without a check of its own reaches for goes into the values that are made with it."""
    helper = ("stub", "helper", "def f(x):\n    return 1.5 * x")
    notebook = make_notebook(*CELLS[:2], helper, *CELLS[2:])
    exercise = Exercise.of(notebook, "small", tmp_path)
    with warm_grader(exercise, [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        assert _report(grader, helper[2], GROW.replace("1.5 * x", "f(x)")).passed
        report = _report(grader, f"import ctypes\nctypes.pythonapi\n{helper[2]}", GROW)
    assert set(_outcomes(report)) == {"tampered"}


def test_a_release_carries_what_its_solution_gives(made: Callable[..., Exercise], small: Grader) -> None:
    """Without its solution an exercise is graded by recorded arrays, which tell nothing of any other seed."""
    exercise = made()
    data = json.loads(json.dumps(record(exercise)))
    assert record(exercise) == data
    assert [run["parameters"]["steps"] for run in data] == [1, 4]
    assert set(data[0]["values"]) == {"x", "y", "z", "total"}
    cells = tuple(replace(cell, source="...") if cell.kind == "stub" else cell for cell in exercise.cells)
    release = replace(exercise, cells=cells, recorded=recorded_in(data))
    with warm_grader(release, [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        assert [pass_.parameters for pass_ in grader.passes[1:]] == [run["parameters"] for run in data]
        assert _report(grader, GROW).passed
        assert _outcomes(_report(grader, GROW.replace("1.5", "1.6")))[0] == "failed"
        pasted = "import base64\nx = torch.frombuffer(bytearray(base64.b64decode({!r})), dtype=torch.float32)"
        pasted = pasted.format(data[1]["values"]["x"]["data"])
        assert _outcomes(_report(grader, pasted))[0] == _outcomes(_report(small, pasted))[0] == "failed"
    with pytest.raises(ExerciseError, match=r"the solution of grow changes nothing .*exercise\.json"):
        _prove(replace(release, recorded=()))


def test_what_is_recorded_follows_the_exercise(made: Callable[..., Exercise]) -> None:
    """Another solution is another exercise, and has another seed."""
    first, second = (record(made(grow=text)) for text in (GROW, f"{GROW}\n# the same"))
    assert first[0]["parameters"]["seed"] != second[0]["parameters"]["seed"]


FAULTS = {
    "no such value": ({"check_y": "", "grow": "x = x * 2"}, "makes no tensor total, which check_total is about"),
    "does nothing": ({"grow": "x = x + 0"}, "the solution of grow changes nothing"),
    "raises": ({"grow": "x = 1 / 0"}, "the cell grow raises ZeroDivisionError"),
    "name of nobody": ({"check_x": "later(x)"}, "check_x raises NameError in the grader"),
    "no secret": ({"setup": SETUP.replace("manual_seed(seed)", "manual_seed(1)")}, "the same for all seeds"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(made: Callable[..., Exercise], name: str) -> None:
    """What could not be graded is refused before anyone is."""
    sources, message = FAULTS[name]
    with pytest.raises(ExerciseError) as caught:
        _prove(made(**sources))
    assert message in str(caught.value)


def test_a_parameter_that_the_exercise_lacks(made: Callable[..., Exercise]) -> None:
    """What a hidden pass sets has to be set by the parameters cell."""
    exercise = made(parameters="seed, stepz = 1, 20", grow="x = x * 2; total = x.sum()")
    with pytest.raises(ExerciseError, match=r"a hidden pass sets 'steps'.*stepz"):
        Grader(exercise, [5])


def test_seeds_of_the_minibatches_alone(made: Callable[..., Exercise]) -> None:
    """An exercise in which only the solution's own draws follow the seed has its secret too."""
    setup = SETUP.replace("g = torch", "h = torch").replace("generator=g", "generator=torch.Generator().manual_seed(1)")
    grow = f"{GROW}\nx = x * torch.rand(3, generator=h)"
    assert _prove(made(setup=setup, grow=grow)).solutions
    with pytest.raises(ExerciseError, match="the same for all seeds"):
        _prove(made(setup=setup))


MIXED = """
import torch
from handgrad import cmp
w = torch.randn(3, generator=torch.Generator().manual_seed(seed)).requires_grad_()
v = w**2
loss = (v * v).sum()
v.retain_grad()
loss.backward(retain_graph=True)
p = w.detach().clone()
"""


def test_gradients_and_values_in_one_notebook(make_notebook: MakeNotebook, tmp_path: Path) -> None:
    """A notebook may ask for both: gradients have their passes with help, values theirs without."""
    notebook = make_notebook(
        ("locked", "parameters", "seed, steps = 1, 3"),
        ("locked", "forward", MIXED),
        ("stub", "dv", "dv = 2 * v"),
        ("check", "check_dv", "cmp('v', dv, v)"),
        ("stub", "dw", "dw = dv * 2 * w"),
        ("check", "check_dw", "cmp('w', dw, w)"),
        ("stub", "descend", "for _ in range(steps):\n    p = p - 0.01 * 4 * p**3"),
        ("check", "check_p", "assert p.isfinite().all()"),
    )
    exercise = Exercise.of(notebook, "mixed", tmp_path)
    assert (exercise.tensors, exercise.answers["descend"]) == ({"dv": "v", "dw": "w"}, ("p",))
    right = ("dv = 2 * v", "dw = dv * 2 * w", "for _ in range(steps):\n    p -= 0.04 * p**3")
    with warm_grader(exercise, [5], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        assert [pass_.kind for pass_ in grader.passes] == ["visible", "step", "as written", "helped", "values"]
        assert _outcomes(_report(grader, *right)) == ["passed"] * 3
        assert _outcomes(_report(grader, "dv = -2 * v", *right[1:])) == ["failed", "passed", "passed"]
        assert _outcomes(_report(grader, *right[:2], "p = p + dw")) == ["passed", "passed", "failed"]
    plain = notebook.cells[3]
    plain.source = "assert dv is not None"
    with pytest.raises(ExerciseError, match=r"check_dv does not compare dv: it must say cmp\('v', dv, v\)"):
        _prove(Exercise.of(notebook, "mixed", tmp_path))


def test_the_grader_s_own_names_stay(small: Grader) -> None:
    """A check that runs on a student's values leaves the grader's own as they were, for the next student."""

    def tensors() -> dict[str, torch.Tensor]:
        return {name: value for name, value in small.values.namespace.items() if isinstance(value, torch.Tensor)}

    before = tensors()
    copies = {name: value.clone() for name, value in before.items()}
    assert _report(small, GROW).passed
    after = tensors()
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] and torch.equal(after[name], copies[name]) for name in before)
