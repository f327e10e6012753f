"""Accepting a gradient that is held: a real class, its gradebook, export and pages."""

import csv
import json
import re
from io import StringIO
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.course.commands.accept_gradient import accept, undo
from handgrad.course.commands.class_page import write_class_page
from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import stored_reports, write_feedback
from handgrad.course.course import Course
from handgrad.course.nbgrader import scores
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError
from handgrad.report.class_summary import summarise
from helpers.courses import WORKER, grade, make_course
from helpers.paths import ROOT

TRICK = "exec('dprobs = dlogprobs / probs')"


def hand_in(course: Course, student: str, **cells: str) -> None:
    """The worked solution, with other cells."""
    notebook = nbformat.read(ROOT / "solutions/backprop/backprop.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cells.get(cell.metadata.get("nbgrader", {}).get("grade_id", ""), cell.source)
    folder = course.root / "submitted" / student / "backprop"
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "backprop.ipynb")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A class of three: one whose dprobs and dh are held, one with dprobs held, one who is right."""
    found = make_course(tmp_path_factory.mktemp("accepting"))
    hand_in(found, "ann", dprobs=TRICK, dh="class A: pass\ndh = A() and dlogits @ W2.T")
    hand_in(found, "bob", dprobs=TRICK)
    hand_in(found, "cid")
    grade(found, feedback=True)
    return found


def points(course: Course) -> dict[str, float]:
    """The exported score of each student."""
    return {
        row["student"]: float(row["score"]) for row in csv.DictReader(StringIO(export(course, "backprop", "csv").text))
    }


def test_from_held_to_final(course: Course) -> None:
    """Zero points and a name on every list at first; full points and none after the instructor has accepted."""
    assert points(course) == {"ann": 24, "bob": 25, "cid": 26}
    exported = export(course, "backprop", "csv", only_final=True)
    assert exported.waiting == ["ann", "bob"]
    notes = {row["student"]: row["message"] for row in csv.DictReader(StringIO(export(course, "backprop", "csv").text))}
    assert notes["bob"] == "dprobs is right, but held for review: read the code before you publish the score."
    assert notes["cid"] == ""
    assert [row["student"] for row in csv.DictReader(StringIO(exported.text))] == ["cid"]
    needs = dict(summarise(stored_reports(course, "backprop"), scores.entries(course, "backprop")).needs_review)
    assert needs["ann"] == "dprobs, dh are right, but held for review: read the code before you publish the score."
    page = course.root / "feedback/bob/backprop/backprop.html"
    assert "is right, but not by plain arithmetic alone" in page.read_text(encoding="utf-8")

    assert [answer.student for answer in accept(course, "backprop", "dprobs", ["*"])] == ["ann", "bob"]
    assert [answer.student for answer in accept(course, "backprop", "dh", ["ann"])] == ["ann"]

    assert points(course) == {"ann": 26, "bob": 26, "cid": 26}
    assert export(course, "backprop", "csv", only_final=True).waiting == []
    assert not summarise(stored_reports(course, "backprop"), scores.entries(course, "backprop")).needs_review
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        found = gradebook.find_grade("check_dprobs", "backprop", "backprop", "bob")
        assert (found.auto_score, found.manual_score, found.needs_manual_grade) == (0, 1, False)
    write_feedback(course, "backprop", ["bob"], executor=WORKER, workers=1)
    assert re.search(r"26\s*(of|/)\s*26", re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))
    # nothing is graded again, and nothing is lost
    grade(course, feedback=True)
    assert points(course)["bob"] == 26
    with pytest.raises(CourseError, match=re.escape("was accepted already (1 of 1 points): `--undo` takes it back")):
        accept(course, "backprop", "dprobs", ["ann"])
    assert points(course)["ann"] == 26


@pytest.mark.parametrize(
    ("assignment", "gradient", "student", "said"),
    [
        ("backprob", "dprobs", "ann", "backprob"),
        ("backprop", "dprob", "ann", "has no gradient 'dprob'"),
        ("backprop", "dprobs", "eve", "nobody who was graded in backprop is called eve"),
        ("backprop", "dprobs", "cid", "dprobs of cid is not held for review: its outcome is passed"),
        ("backprop", "dlogits", "*", "dlogits is not held for review in any of the 3 submissions of *"),
    ],
)
def test_errors(course: Course, assignment: str, gradient: str, student: str, said: str) -> None:
    """What is not there or not held is said, and nothing changes."""
    before = points(course)
    with pytest.raises(CourseError, match=re.escape(said)):
        accept(course, assignment, gradient, [student])
    assert points(course) == before


def test_no_course(tmp_path: Path) -> None:
    """Before anything was graded there is nothing to accept."""
    with pytest.raises(CourseError, match="no submission of backprop has been graded"):
        accept(make_course(tmp_path), "backprop", "dprobs", ["ann"])


def give(course: Course, student: str, score: float | None) -> None:
    """Give a student a manual score for dprobs, as in the formgrader."""
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        gradebook.find_grade("check_dprobs", "backprop", "backprop", student).manual_score = score
        gradebook.db.commit()


def test_a_mistake_is_accepted_for_all(tmp_path: Path) -> None:
    """All who made a mistake get the points, but for manual scores; a log says so everywhere; --undo takes it back."""
    course = make_course(tmp_path)
    for student in ("ann", "bob", "cid"):
        hand_in(course, student, dprobs="dprobs = 3 * dlogprobs / probs")
    hand_in(course, "dan")
    grade(course, feedback=True)
    (slug,) = {
        verdict.diagnosis.mistake
        for report in stored_reports(course, "backprop")
        for verdict in report.checks
        if verdict.gradient == "dprobs" and verdict.diagnosis
    }
    give(course, "cid", 0.25)

    with pytest.raises(CourseError, match="the log needs a reason: add --reason"):
        accept(course, "backprop", "dprobs", mistake=slug)
    with pytest.raises(CourseError, match="nobody has the mistake 'skale' in dprobs"):
        accept(course, "backprop", "dprobs", mistake="skale", reason="r")
    with pytest.raises(CourseError, match="dprobs has 1 points: give 0 to 1, not 3"):
        accept(course, "backprop", "dprobs", mistake=slug, reason="r", points=3)
    answers = accept(course, "backprop", "dprobs", mistake=slug, reason="unclear text", points=0.5)
    assert [(answer.student, answer.before, answer.after) for answer in answers] == [("ann", 0, 0.5), ("bob", 0, 0.5)]
    assert points(course) == {"ann": 25.5, "bob": 25.5, "cid": 25.25, "dan": 26}
    # grading again keeps the points and the log
    grade(course, force=True, feedback=True)
    assert points(course)["ann"] == 25.5
    students = {row["student"]: row for row in json.loads(export(course, "backprop", "json").text)["students"]}
    (line,) = students["ann"]["accepted"]
    assert (line["reason"], line["mistake"], line["before"], line["after"]) == ("unclear text", slug, 0, 0.5)
    assert line["by"]
    page = write_class_page(course, "backprop", stored_reports(course, "backprop")).read_text(encoding="utf-8")
    assert "unclear text" in page

    # what somebody has changed since is left alone
    give(course, "bob", 0.75)
    undo(course, "backprop", "dprobs", mistake=slug)
    assert points(course) == {"ann": 25, "bob": 25.75, "cid": 25.25, "dan": 26}
    assert all(answer.undone for answer in ReportStore.of(course).accepted("backprop"))
    with pytest.raises(CourseError, match="nothing was accepted for dprobs"):
        undo(course, "backprop", "dprobs")
