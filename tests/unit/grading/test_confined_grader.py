"""Exercises that are not trusted: the same verdicts, and nothing of theirs runs outside the sandbox."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nbformat import NotebookNode

from handgrad.errors import ExerciseError, SubmissionError
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.exercise.release_file import read_released
from handgrad.grading.confined_grader import MOST_CHILDREN, ConfinedGrader
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Report, Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Death
from handgrad.submission.submission import Submission
from helpers.paths import ROOT

Make = Callable[..., NotebookNode]
SETTINGS = GradingSettings(limits=Limits(cell_seconds=3.0), trust=True)
FORWARD = """
x = torch.randn(3, requires_grad=True)
y = x**2
loss = y.sum()
y.retain_grad()
loss.backward(retain_graph=True)
"""


def written(make_notebook: Make, folder: Path, forward: str = FORWARD, check: str = "cmp('y', dy, y)") -> NotebookNode:
    """An exercise's notebook, whose release is written into a folder; its answers are right."""
    notebook = make_notebook(
        ("locked", "parameters", "seed = 1"),
        ("locked", "forward", f"from handgrad import cmp\nimport torch\ntorch.manual_seed(seed)\n{forward}"),
        ("stub", "dy", "dy = torch.ones_like(y)"),
        ("check", "check_dy", check),
        ("stub", "dx", "dx = 2 * x * dy"),
        ("check", "check_dx", "cmp('x', dx, x)"),
    )
    folder.mkdir(exist_ok=True)
    (folder / "exercise.json").write_text(json.dumps({"schema": 1, "name": "small", "notebook": notebook}))
    return notebook


def graded(folder: Path, notebook: NotebookNode, settings: GradingSettings = SETTINGS) -> Report:
    """The report of a confined grading."""
    exercise = Exercise.of(json_notebook(folder), "small", folder)
    return ConfinedGrader(replace(exercise, released_in=folder / "exercise.json"), [5], settings).report(notebook)


def json_notebook(folder: Path) -> NotebookNode:
    """The notebook of a release."""
    return NotebookNode(**_nodes(json.loads((folder / "exercise.json").read_text())["notebook"]))


def _nodes(data: object) -> object:
    if isinstance(data, dict):
        return NotebookNode({name: _nodes(value) for name, value in data.items()})
    return [_nodes(item) for item in data] if isinstance(data, list) else data


def test_a_grader_refuses_it(exercise: Exercise) -> None:
    """The trusted process never runs its cells."""
    with pytest.raises(ExerciseError, match="not trusted"):
        Grader(replace(exercise, released_in=Path("exercise.json")), [5])


def test_same_verdicts(exercise: Exercise, solved: NotebookNode, grader: Grader) -> None:
    """Marks, comparisons and diagnoses are those of a trusted exercise with the same seed."""
    notebook = copy.deepcopy(solved)
    for cell in notebook.cells:
        match grade_id(cell):
            case "dprobs":
                cell.source = "dprobs = -dlogprobs / probs"
            case "dh":
                cell.source = "while True: pass"
            case "db2":
                cell.source = "import os; os._exit(3)"
            case "dC":
                cell.source = "dC = 1 / 0"
            case "db1":
                cell.source = "import operator\ndb1 = operator.mul(1, dhprebn.sum(0))"
    # the release has what the solution has not: its files
    folder = ROOT / "release/backprop"
    exercise = replace(exercise, directory=folder, released_in=folder / "exercise.json")
    report = ConfinedGrader(exercise, [314159], SETTINGS).report(notebook)
    wanted = grader.grade(Submission.of(notebook, replace(exercise, released_in=None))).report
    outcomes = {verdict.gradient: verdict.outcome for verdict in wanted.checks if verdict.outcome != "passed"}
    assert outcomes == {"dprobs": "failed", "dh": "timeout", "db2": "tampered", "dC": "error", "db1": "held"}
    assert list(map(_facts, report.checks)) == list(map(_facts, wanted.checks))
    assert "release/backprop/exercise.json" in report.message


def _facts(verdict: Verdict) -> tuple[object, ...]:
    """What a student reads, but for numbers."""
    return verdict.gradient, verdict.outcome, verdict.points, verdict.diagnosis, verdict.message


EVIL = """
import subprocess
from contextlib import suppress
with suppress(OSError):
    open({proof!r}, 'w').close()
with suppress(OSError):
    subprocess.run(['touch', {proof!r}])
"""


def test_nothing_runs_outside(make_notebook: Make, tmp_path: Path) -> None:
    """Locked cells, which read the files beside them, and checks cannot write to the machine.

    The exercise may have any name: the one that is named on the command line is graded against.
    """
    proof, folder = tmp_path / "proof", tmp_path / "released"
    folder.mkdir()
    (folder / "data.txt").write_text("3")
    evil = EVIL.format(proof=str(proof))
    forward = f"{evil}assert open('data.txt').read() == '3'\n{FORWARD}"
    notebook = written(make_notebook, folder, forward, evil + "cmp('y', dy, y)")
    path = (folder / "exercise.json").rename(folder / "mine.json")
    report = ConfinedGrader(read_released(path), [5], SETTINGS).report(notebook)
    assert report.isolation == "full"
    assert [verdict.outcome for verdict in report.checks] == ["passed", "passed"]
    assert not proof.exists()
    assert "mine.json" in report.message


@pytest.mark.slow
def test_without_isolation(make_notebook: Make, tmp_path: Path) -> None:
    """It works without isolation too, where that is allowed; its locked cells read the files beside it."""
    (tmp_path / "data.txt").write_text("3")
    notebook = written(make_notebook, tmp_path, f"assert open('data.txt').read() == '3'\n{FORWARD}")
    report = graded(tmp_path, notebook, replace(SETTINGS, isolation="none"))
    assert [verdict.outcome for verdict in report.checks] == ["passed", "passed"]
    assert report.isolation == "none"


def test_every_setting_arrives(make_notebook: Make, tmp_path: Path) -> None:
    """What is held for review (above, it is), and what is plain, is as the settings say."""
    notebook = written(make_notebook, tmp_path)
    for cell in notebook.cells:
        if grade_id(cell) == "dx":
            cell.source = "import operator\ndx = operator.mul(2 * x, dy)"
    ways = (replace(SETTINGS, holds=False), replace(SETTINGS, plain_modules=("operator",)))
    found = [graded(tmp_path, notebook, settings).verdicts()["check_dx"] for settings in ways]
    assert [verdict.outcome for verdict in found] == ["passed", "passed"]
    assert "In a course" in found[0].message
    assert not found[1].message


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        ("raise ValueError('no')", "raises ValueError: no"),
        pytest.param(f"{FORWARD}\nloss = None", "define no scalar tensor", marks=pytest.mark.slow),
        pytest.param("import os; os._exit(0)", "ended their Python process", marks=pytest.mark.slow),
        ("while True: pass", "did not come to an end"),
    ],
)
def test_an_exercise_that_cannot_be_graded(
    make_notebook: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forward: str, sentence: str
) -> None:
    """It is an error of the exercise, in a sentence."""
    # one of them takes all the time that there is
    monkeypatch.setattr("handgrad.grading.confined_grader.SECONDS", 1.0 if "while" in forward else 60.0)
    notebook = written(make_notebook, tmp_path, forward)
    with pytest.raises(ExerciseError, match=sentence):
        graded(tmp_path, notebook)


def test_a_notebook_without_answers(make_notebook: Make, tmp_path: Path) -> None:
    """It is an error of the submission."""
    written(make_notebook, tmp_path)
    with pytest.raises(SubmissionError):
        graded(tmp_path, make_notebook(("free", "", "print(1)")))


class Forger:
    """A grader's process that sends what it likes."""

    def __init__(self, *sent: tuple[dict[str, object], object]) -> None:
        self.sent = [(header, json.dumps(payload).encode()) for header, payload in sent]

    def hear(self, _: float) -> tuple[dict[str, object], bytes] | Death:
        """What it sends next."""
        return self.sent.pop(0) if self.sent else Death(None, "crashed", "SIGKILL")

    def say(self, header: object, payload: bytes = b"") -> None:
        """Takes every answer."""


VERDICT = {"id": "a", "gradient": "dx", "outcome": "passed", "points": 1, "max_points": 1, "message": ""}
REPORT: dict[str, object] = {"assignment": "a", "notebook": "a", "message": "", "checks": [VERDICT]}


@pytest.mark.parametrize(
    "sent",
    [
        ({"report": True}, []),
        ({"report": True}, {**REPORT, "assignment": 1}),
        ({"report": True}, {**REPORT, "checks": [VERDICT] * 501}),
        *(
            ({"report": True}, {**REPORT, "checks": [{**VERDICT, **other}]})
            for other in (
                {"outcome": "excellent"},
                {"points": 2},
                {"points": -1},
                {"points": float("nan")},
                {"points": "1"},
                {"message": ["<b>"]},
                {"diagnosis": {"what": "no advice"}},
                {"comparison": {"shape": ["a"], "expected_shape": []}},
            )
        ),
        ({"ask": "close", "child": 0}, 0),
        ({"ask": "send", "child": -1, "seconds": 1}, 0),
        ({"ask": "send", "child": 0, "seconds": "1"}, 0),
        ({"error": "SystemExit"}, 0),
        ({}, 0),
    ],
    ids=str,
)
def test_what_it_may_send(exercise: Exercise, sent: tuple[dict[str, object], object]) -> None:
    """Anything but a report or a question that is possible is an error of the exercise."""
    confined = ConfinedGrader(exercise, [5])
    with pytest.raises(ExerciseError, match="sent something else than a report"):
        confined._served(Forger(sent), lambda: pytest.fail("no child was asked for"))  # type: ignore[arg-type]


def test_a_report_of_its_own(exercise: Exercise) -> None:
    """A report is taken as it is, of limited length, and says whose exercise it is about."""
    long = {**VERDICT, "message": "m" * 10_000}
    report = ConfinedGrader(exercise, [5])._served(Forger(({"report": True}, {**REPORT, "checks": [long]})), ...)  # type: ignore[arg-type]
    assert (report.score, len(report.checks[0].message)) == (1, 4000)
    assert "not one of handgrad's own" in report.message


def test_no_children_without_end(exercise: Exercise) -> None:
    """It may ask for a limited number of processes."""
    asked = [({"ask": "open"}, 0)] * 100
    started: list[object] = []
    with pytest.raises(ExerciseError, match="sent something else"):
        ConfinedGrader(exercise, [5])._served(Forger(*asked), lambda: started.append(0))  # type: ignore[arg-type, return-value]
    assert len(started) == MOST_CHILDREN
