"""nbgrader's own commands, with the project's configuration, in a course of their own."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.course.course import Course
from handgrad.course.nbgrader.preprocessors import graded_in
from handgrad.exercise.exercise import Exercise
from handgrad.submission.submission import Submission
from helpers.inputs import named
from helpers.paths import ENVIRONMENT, ROOT, mistake

pytestmark = pytest.mark.slow

SAMPLES = (
    "solution",
    "untouched",
    "wrong-sign-at-the-top",
    "zero-dlogit-maxes",
    "wrong-sign-dlogit-maxes",
    "dlogits-without-max",
    "zero-db1",
    "copies-autograd",
    "infinite-loop",
)
SECRET = "assert dprobs.shape == (n, vocab_size), 'a secret condition'"


def nbgrader(course: Path, *arguments: str) -> str:
    """What an nbgrader command wrote; it must succeed."""
    done = subprocess.run(
        ["nbgrader", *arguments], cwd=course, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def _with_hidden_test(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "check_dprobs":
            cell.source += f"\n### BEGIN HIDDEN TESTS\n{SECRET}\n### END HIDDEN TESTS"
    nbformat.write(notebook, path)


def _ordinary(course: Path) -> None:
    """An assignment that is none of ours: one answer, one test."""
    answer = nbformat.v4.new_code_cell("### BEGIN SOLUTION\nx = 41 + 1\n### END SOLUTION", id="answer")
    test = nbformat.v4.new_code_cell("import os\nassert x == 42\nassert os.environ['NBGRADER_EXECUTION']", id="test")
    for cell, grade in ((answer, False), (test, True)):
        cell.metadata["nbgrader"] = {
            "grade_id": cell.id,
            "grade": grade,
            "solution": not grade,
            "locked": grade,
            "schema_version": 3,
            "task": False,
        }
    test.metadata["nbgrader"]["points"] = 3
    notebook = nbformat.v4.new_notebook(cells=[answer, test])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for folder in (course / "source" / "ordinary", course / "submitted" / "solution" / "ordinary"):
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "ordinary.ipynb")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course that has been released, collected, autograded and given feedback by nbgrader's commands."""
    course = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "source", course / "source")
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (course / "nbgrader_config.py").write_text(f"{config}\nc.Handgrad.cell_seconds = 6.0\n", encoding="utf-8")
    _with_hidden_test(course / "source/backprop/backprop.ipynb")
    _ordinary(course)
    for assignment in ("backprop", "ordinary"):
        nbgrader(course, "generate_assignment", assignment)
    nbgrader(course, "generate_solution", "backprop")
    release, solution = (
        nbformat.read(course / kind / "backprop/backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )
    for name in SAMPLES:
        folder = course / "submitted" / name / "backprop"
        folder.mkdir(parents=True)
        case = mistake(name)
        (folder / "backprop.ipynb").write_bytes(case.content(release, solution))
    beside = course / "submitted/untouched/backprop"
    (beside / "notes.txt").write_text("mine", encoding="utf-8")
    (beside / "stolen.txt").symlink_to("../../../solutions/backprop/backprop.ipynb")
    (beside / "conftest.py").write_text("raise SystemExit", encoding="utf-8")
    for assignment in ("backprop", "ordinary"):
        nbgrader(course, "autograde", assignment)
        nbgrader(course, "generate_feedback", assignment)
    return course


@pytest.fixture(scope="module")
def gradebook(course: Path) -> Iterator[Gradebook]:
    """The course's gradebook."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        yield gradebook


def test_scores(gradebook: Gradebook, exercise: Exercise) -> None:
    """Every gradient's points stand in the gradebook, and no person is asked for."""
    for name in SAMPLES:
        with named(name):
            case = mistake(name)
            submission = gradebook.find_submission("backprop", name)
            assert submission.score == case.score
            assert submission.max_score == 26
            assert not submission.needs_manual_grade
            grades = {grade.name: grade.auto_score for grade in submission.notebooks[0].grades}
            worth = {"passed": 1.0, "partial": 0.5}
            expected = case.expected(exercise)
            assert grades == {f"check_{gradient}": worth.get(outcome, 0.0) for gradient, outcome in expected.items()}


def test_what_is_copied_along(course: Path) -> None:
    """Files beside a notebook are copied along, but neither what a link leads to nor a configuration."""
    names = {path.name for path in (course / "autograded/untouched/backprop").iterdir()}
    assert names == {"backprop.ipynb", "names.txt", "notes.txt"}


def test_comments(gradebook: Gradebook) -> None:
    """A lost mark has a comment that says why; an untouched cell has one too."""
    timeout = gradebook.find_comment("dC", "backprop", "backprop", "infinite-loop")
    assert "did not finish within 6 seconds" in timeout.comment
    untouched = gradebook.find_comment("dprobs", "backprop", "backprop", "untouched")
    assert "dprobs is not written yet." in untouched.comment
    assert not gradebook.find_comment("dprobs", "backprop", "backprop", "solution").comment


def test_report_is_stored(course: Path, gradebook: Gradebook) -> None:
    """nbgrader's command leaves the reports from which `handgrad report` is made."""
    done = subprocess.run(
        ["handgrad", "report", "backprop"], cwd=course, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in SAMPLES:
        assert name in done.stdout
    assert (course / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_hidden_tests_stay_hidden(course: Path) -> None:
    """No hidden test and no solution stands in what a student can get."""
    for name in SAMPLES:
        with named(name):
            files = [path for path in (course / "release").rglob("*") if path.is_file()]
            files += [
                path
                for kind in ("autograded", "feedback")
                for path in (course / kind / name).rglob("*")
                if path.is_file()
            ]
            assert len(files) > 3
            for path in files:
                text = path.read_text(encoding="utf-8")
                assert "secret condition" not in text
                assert "HIDDEN TESTS" not in text
            source = nbformat.read(course / "source/backprop/backprop.ipynb", as_version=4)
            assert any("secret condition" in cell.source for cell in source.cells)


def test_autograded_notebook_shows_outputs_and_verdicts(course: Path) -> None:
    """The autograded notebook holds what the cells showed and, under each check, the verdict."""
    notebook = nbformat.read(course / "autograded/solution/backprop/backprop.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    assert "loss" in json.dumps(cells["backward"].outputs)
    assert cells["check_dprobs"].outputs[0].text.startswith("probs           | exact: True ")
    notebook = nbformat.read(course / "autograded/wrong-sign-at-the-top/backprop/backprop.ipynb", as_version=4)
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    assert [output.output_type for output in cells["check_dlogprobs"].outputs] == ["display_data", "error"]


def test_feedback_page(course: Path) -> None:
    """The feedback page of an exercise is ours, with the score and the verdict's sentence; another's is nbgrader's."""
    page = (course / "feedback/wrong-sign-at-the-top/backprop/backprop.html").read_text(encoding="utf-8")
    assert "<title>backprop: 25 of 26</title>" in page
    assert "dlogprobs has the wrong sign everywhere" in page
    other = (course / "feedback/solution/ordinary/ordinary.html").read_text(encoding="utf-8")
    assert "Score: 3.0 / 3.0" in other


def test_ordinary_assignment(course: Path, gradebook: Gradebook) -> None:
    """Another assignment of the same course is graded by nbgrader's own executor, in a kernel."""
    assert gradebook.find_submission("ordinary", "solution").score == 3
    notebook = nbformat.read(course / "autograded/solution/ordinary/ordinary.ipynb", as_version=4)
    assert notebook.cells[1].execution_count == 2
    released = nbformat.read(course / "release/ordinary/ordinary.ipynb", as_version=4)
    assert "raise NotImplementedError()" in released.cells[0].source
    assert not (course / "release" / "ordinary" / "exercise.json").exists()


def test_other_notebook_is_not_given_zero(course: Path, gradebook: Gradebook) -> None:
    """A notebook without one of the exercise's cells is an error of the command, never a zero."""
    folder = course / "submitted" / "other" / "backprop"
    folder.mkdir(parents=True)
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1", id="x")]), folder / "backprop.ipynb"
    )
    done = subprocess.run(
        ["nbgrader", "autograde", "backprop", "--student", "other"],
        cwd=course,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "this notebook has none of the 26 answer cells of backprop" in done.stderr
    assert not (course / "autograded" / "other" / "backprop").exists()


def test_the_warm_process_has_ended(tmp_path: Path, exercise: Exercise, submit: Callable[..., Submission]) -> None:
    """In a server that runs for long a warm process that was killed is replaced, and nobody notices."""
    course = Course(tmp_path)
    first, _ = graded_in(course, exercise, submit())
    first.sandbox._warm._process.process.kill()
    first.sandbox._warm._process.process.wait()
    second, graded = graded_in(course, exercise, submit())
    assert second is not first
    assert graded.report.score == 26
    assert graded_in(course, exercise, submit())[0] is second


def test_without_our_grader(tmp_path: Path) -> None:
    """Under nbgrader alone, with its defaults, the checks run in the kernel, and the solution gets full marks."""
    shutil.copytree(ROOT / "source", tmp_path / "source")
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.Execute.timeout = 120\n", encoding="utf-8")
    nbgrader(tmp_path, "generate_assignment", "backprop")
    folder = tmp_path / "submitted" / "s01" / "backprop"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "solutions/backprop/backprop.ipynb", folder)
    nbgrader(tmp_path, "autograde", "backprop")
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        assert gradebook.find_submission("backprop", "s01").score == 26
