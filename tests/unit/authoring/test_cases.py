"""Known mistakes, unusual right styles and attacks: each must be graded as its folder says."""

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from handgrad.authoring.cases import Case, read_cases
from handgrad.errors import CourseError, SubmissionError
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.grading.grader import Grader
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers import shortened
from helpers.paths import ASSIGNMENTS, MISTAKES, ROOT, TESTS

EXERCISES = {name: Exercise.read(ROOT / "source" / name / f"{name}.ipynb") for name in ASSIGNMENTS}
# trained in full by tests/test_training.py
EXERCISES["training"] = shortened.exercise()
EXERCISE = EXERCISES["backprop"]
SEED = 271828
CASES = [case for folder in ("mistakes", "hostile") for case in read_cases(TESTS / folder)]


def _solution(name: str) -> NotebookNode:
    notebook = read_notebook(ROOT / "source" / name / f"{name}.ipynb")
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("### "))
    return notebook


def _release(solution: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(solution)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = f"{grade_id(cell)} = None  # your code here"
    return notebook


SOLUTIONS = {name: _solution(name) for name in ASSIGNMENTS} | {"training": shortened.solved()}
RELEASES = {name: _release(solution) for name, solution in SOLUTIONS.items()}
SOLUTION, RELEASE = SOLUTIONS["backprop"], RELEASES["backprop"]


@pytest.fixture(scope="module")
def graders() -> Iterator[Callable[[str], Grader]]:
    """One warm grader for all cases of an exercise; six seconds are plenty for a cell, on a busy machine too."""
    with ExitStack() as stack:

        @functools.cache
        def grader(assignment: str) -> Grader:
            return stack.enter_context(Grader(EXERCISES[assignment], [SEED], limits=Limits(cell_seconds=6.0)))

        yield grader


def _handed_in(case: Case, folder: Path) -> Path:
    path = folder / f"{case.assignment}.ipynb"
    path.write_bytes(case.content(RELEASES[case.assignment], SOLUTIONS[case.assignment]))
    return path


def _summary(report: Report) -> dict[str, str]:
    return {verdict.gradient: verdict.outcome for verdict in report.checks}


@pytest.mark.parametrize("case", [case for case in CASES if case.report == "graded"], ids=lambda case: case.name)
def test_case(case: Case, graders: Callable[[str], Grader], tmp_path: Path) -> None:
    """A case gets the score, the outcomes and the diagnoses that its folder names."""
    exercise, grader = EXERCISES[case.assignment], graders(case.assignment)
    report = grader.grade(Submission.of(read_notebook(_handed_in(case, tmp_path)), exercise)).report
    assert _summary(report) == case.expected(exercise), [v.message for v in report.checks if v.message]
    assert report.score == pytest.approx(case.score)
    verdicts = {verdict.gradient: verdict for verdict in report.checks}
    found = {name: verdicts[name].diagnosis for name in case.diagnoses}
    assert {name: one.mistake if one else None for name, one in found.items()} == case.diagnoses


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_score_follows_from_outcomes(case: Case) -> None:
    """The score of a case is what its outcomes add up to, partial credit being a half."""
    worth = {"passed": 1.0, "partial": 0.5}
    exercise = EXERCISES[case.assignment]
    points = {check.gradient: check.points for check in exercise.checks}
    outcomes = case.expected(exercise)
    assert case.score == sum(points[name] * worth.get(outcome, 0.0) for name, outcome in outcomes.items())


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_every_exercise_has_cases(assignment: str) -> None:
    """Each exercise has mistakes of its own and right answers in an unusual style, all with names it knows."""
    cases = read_cases(MISTAKES, EXERCISES[assignment])
    full = sum(check.points for check in EXERCISES[assignment].checks)
    assert len([case for case in cases if case.score < full]) >= 6
    assert len([case for case in cases if case.score == full and case.name.startswith("right-")]) >= 2


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_solution_and_release(assignment: str, graders: Callable[[str], Grader]) -> None:
    """Of what is committed, the worked solution has full marks, and in the release every stub is missing."""
    exercise, grader = EXERCISES[assignment], graders(assignment)
    for kind, outcome in (("solutions", "passed"), ("release", "missing")):
        notebook = read_notebook(ROOT / kind / assignment / f"{assignment}.ipynb")
        report = grader.grade(Submission.of(notebook, exercise)).report
        assert _summary(report) == dict.fromkeys((check.gradient for check in exercise.checks), outcome)
        assert (report.score == report.max_score) == (kind == "solutions")


def test_enough_cases() -> None:
    """There are many mistakes, many right answers in an unusual style, and many attacks."""
    folders = {name: read_cases(TESTS / name, EXERCISE) for name in ("mistakes", "hostile")}
    assert len(folders["mistakes"]) >= 30
    assert len([case for case in folders["mistakes"] if case.score == 26.0]) >= 14
    assert len(folders["hostile"]) >= 13
    assert all(not case.student for case in folders["hostile"])


@pytest.mark.parametrize("case", [case for case in CASES if case.report == "unreadable"], ids=lambda case: case.name)
def test_unreadable_case(case: Case, tmp_path: Path) -> None:
    """A file that is no notebook is refused with a sentence."""
    with pytest.raises(SubmissionError, match="notebook"):
        read_notebook(_handed_in(case, tmp_path))
    with pytest.raises(CourseError, match="no notebook, on purpose"):
        case.notebook(RELEASES[case.assignment], SOLUTIONS[case.assignment])


FACTS = """
about = "A sentence."
assignment = "backprop"
start = "solution"
score = 25
"""


def _write(folder: Path, facts: str = FACTS, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "case.toml").write_text(facts, encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name.replace('__', '-')}.py").write_text(text, encoding="utf-8")
    return folder


def test_read(tmp_path: Path) -> None:
    """A folder is read as its docstring says."""
    facts = FACTS + 'student = "s09"\n[outcomes]\ndh = "failed"\n[diagnoses]\ndh = "transposed"\n'
    case = Case.read(_write(tmp_path / "slip", facts, dh="dh = None\n", before__forward="x = 1\n"), EXERCISE)
    assert case == Case(
        name="slip",
        about="A sentence.",
        assignment="backprop",
        start="solution",
        score=25.0,
        student="s09",
        outcomes={"dh": "failed"},
        diagnoses={"dh": "transposed"},
        cells={"dh": "dh = None", "before-forward": "x = 1"},
    )


def test_notebook_places(tmp_path: Path) -> None:
    """Every cell stands where its file's name says, and the notebooks it was built from are left alone."""
    before = nbformat.writes(RELEASE), nbformat.writes(SOLUTION)
    files = {"first": "1", "last": "2", "before__forward": "3", "after__dprobs": "4", "dh": "dh = 5"}
    case = Case.read(_write(tmp_path / "slip", **files))
    notebook = case.notebook(RELEASE, SOLUTION)
    nbformat.validate(notebook)
    names = [grade_id(cell) or cell.get("id") for cell in notebook.cells]
    sources = {name: cell.source for name, cell in zip(names, notebook.cells, strict=True)}
    assert (names[0], names[-1]) == ("first", "last")
    assert names[names.index("forward") - 1] == "before-forward"
    assert names[names.index("dprobs") + 1] == "after-dprobs"
    assert sources["dh"] == "dh = 5"
    assert sources["dC"] == next(cell.source for cell in SOLUTION.cells if grade_id(cell) == "dC")
    assert (nbformat.writes(RELEASE), nbformat.writes(SOLUTION)) == before


def test_notebook_start_release(tmp_path: Path) -> None:
    """With the release as its start, the other stubs stay as they were released, and what is missing is expected so."""
    facts = FACTS.replace('"solution"', '"release"') + '[outcomes]\ndh = "passed"\n'
    case = Case.read(_write(tmp_path / "slip", facts, dh="dh = dlogits @ W2.T"))
    sources = {grade_id(cell): cell.source for cell in case.notebook(RELEASE, SOLUTION).cells}
    assert sources["dC"] == "dC = None  # your code here"
    assert case.expected(EXERCISE) == {stub: "passed" if stub == "dh" else "missing" for stub in EXERCISE.stubs}


def test_notebook_is_the_same_twice(tmp_path: Path) -> None:
    """Two notebooks built from one case are equal to the byte, ids included, and no id is used twice."""
    case = Case.read(_write(tmp_path / "slip", first="1", after__dprobs="2"))
    release = copy.deepcopy(RELEASE)
    release.cells[1].id = "first"
    assert case.content(release, SOLUTION) == case.content(release, SOLUTION)
    ids = [cell.id for cell in case.notebook(release, SOLUTION).cells]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "first-2"


def test_raw(tmp_path: Path) -> None:
    """A file that is handed in whole is handed in byte for byte."""
    folder = _write(tmp_path / "slip", FACTS.replace("25", "0") + 'report = "unreadable"\n')
    (folder / "notebook.bin").write_bytes(b"\xff\xfe<html>")
    case = Case.read(folder, EXERCISE)
    assert case.content(RELEASE, SOLUTION) == b"\xff\xfe<html>"
    assert case.expected(EXERCISE) == {}
    with pytest.raises(CourseError, match="is no notebook, on purpose"):
        case.notebook(RELEASE, SOLUTION)


FAULTS = {
    "key": (FACTS + "scor = 1", "key 'scor' is unknown. Did you mean score?"),
    "missing": ('start = "release"', "'about' is missing; 'assignment' is missing; 'score' is missing"),
    "start": (
        FACTS.replace('"solution"', '"solutions"'),
        "start = 'solutions' is not one of solution, release. Did",
    ),
    "score": (FACTS.replace("25", '"25"'), "score = '25' is not a number of points"),
    "negative": (FACTS.replace("25", "-1"), "score = -1 is not a number of points"),
    "infinite": (FACTS.replace("25", "inf"), "score = inf is not a number of points"),
    "true": (FACTS.replace("25", "true"), "score = True is not a number of points"),
    "about": (FACTS.replace("A sentence.", " "), "about = ' ' is not a text"),
    "report": (FACTS + 'report = "readable"', "Did you mean unreadable?"),
    "outcome": (FACTS + '[outcomes]\ndh = "fail"', "[outcomes] dh = 'fail' is not one of passed, partial, failed"),
    "outcome-list": (FACTS + "[outcomes]\ndh = [1]", "[outcomes] dh = [1] is not one of"),
    "table": (FACTS + "outcomes = 1", "outcomes = 1 is not a table"),
    "diagnosis": (FACTS + "[diagnoses]\ndh = 1", "[diagnoses] dh = 1 is not the name of a mistake"),
    "gradient": (FACTS + '[outcomes]\ndcount = "failed"', "no answer of backprop. Did you mean dcounts?"),
    "not-graded": (FACTS + 'report = "unreadable"\n[outcomes]\ndh = "failed"', "has no outcomes and no diagnoses"),
    "assignment": (FACTS.replace('"backprop"', '"other"'), "it is a case of 'other', not of 'backprop'"),
    "toml": ("about = ", "cannot be read"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_read_faults(name: str, tmp_path: Path) -> None:
    """A fault in case.toml is named, with the folder it is in."""
    facts, message = FAULTS[name]
    with pytest.raises(CourseError) as caught:
        Case.read(_write(tmp_path / "slip", facts), EXERCISE)
    assert message in str(caught.value)
    assert str(tmp_path / "slip") in str(caught.value)


def test_read_file_names(tmp_path: Path) -> None:
    """Files that name no cell are all named, with the cell that was probably meant."""
    folder = _write(tmp_path / "slip", dprob="x", after__forwrd="x", last="x")
    with pytest.raises(CourseError) as caught:
        Case.read(folder, EXERCISE)
    assert "dprob.py names no cell. Did you mean dprobs?" in str(caught.value)
    assert "after-forwrd.py names no cell. Did you mean after-forward?" in str(caught.value)
    assert "last.py" not in str(caught.value)
    case = Case.read(folder)
    for use in (lambda: case.expected(EXERCISE), lambda: case.notebook(RELEASE, SOLUTION)):
        with pytest.raises(CourseError, match=r"dprob\.py names no cell"):
            use()


def test_read_other_files(tmp_path: Path) -> None:
    """Files that are neither cell nor notebook, and cells beside a whole notebook, are faults; dot files are not."""
    folder = _write(tmp_path / "slip", dh="x")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / ".DS_Store").write_text("x", encoding="utf-8")
    (folder / "notebook.ipynb").write_text("{}", encoding="utf-8")
    (folder / "notebook.bin").write_text("{}", encoding="utf-8")
    (folder / "dC.py").write_bytes(b"\xff")
    with pytest.raises(CourseError) as caught:
        Case.read(folder)
    for message in ("notes.txt has no meaning", "dh would be lost", "are both there", "dC.py is not UTF-8"):
        assert message in str(caught.value)
    assert "DS_Store" not in str(caught.value)


def test_solution_without_a_stub(tmp_path: Path) -> None:
    """A worked solution that lacks a stub is said to."""
    solution = copy.deepcopy(SOLUTION)
    solution.cells = [cell for cell in solution.cells if grade_id(cell) != "dh"]
    with pytest.raises(CourseError, match="the worked solution has no stub 'dh'"):
        Case.read(_write(tmp_path / "slip")).notebook(RELEASE, solution)


def test_no_case(tmp_path: Path) -> None:
    """A folder without a case.toml, and a folder that is not there, are said to be so."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match=r"has no case\.toml"):
        Case.read(tmp_path / "empty")
    with pytest.raises(CourseError, match="no such folder"):
        read_cases(tmp_path / "nowhere")


def test_read_cases(tmp_path: Path) -> None:
    """Cases come sorted by name, those of another exercise are left out where one is given, files are passed over."""
    for name in ("b", "a", ".git"):
        _write(tmp_path / name)
    _write(tmp_path / "c", FACTS.replace("backprop", "other"))
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    assert [case.name for case in read_cases(tmp_path)] == ["a", "b", "c"]
    assert [case.name for case in read_cases(tmp_path, EXERCISE)] == ["a", "b"]


def test_read_cases_collects_faults(tmp_path: Path) -> None:
    """The faults of all cases are named at once, and so is a student who would hand in twice."""
    _write(tmp_path / "a", FACTS + 'student = "s01"')
    _write(tmp_path / "b", FACTS + 'student = "s01"')
    _write(tmp_path / "c", "score = 1")
    _write(tmp_path / "d", FACTS, dx="x")
    with pytest.raises(CourseError) as caught:
        read_cases(tmp_path, EXERCISE)
    for message in ("a, b in ", "all called 's01'", "'about' is missing", "dx.py names no cell"):
        assert message in str(caught.value)
