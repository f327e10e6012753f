"""Scores for other tools: what the gradebook says, in the columns that each importer wants."""

import csv
import json
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from nbgrader.api import Gradebook
from nbgrader.plugins import LateSubmissionPlugin

from handgrad.cli import Export
from handgrad.course.commands.export_scores import export
from handgrad.course.commands.feedback_archive import FORMATS
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.nbgrader import scores
from handgrad.errors import CourseError
from handgrad.report.class_summary import summarise
from handgrad.report.formats import report_gradescope
from handgrad.report.records import AcceptedAnswer, Report, ScoreEntry
from handgrad.report.score_export import EXPORTS, ExportRow
from helpers.courses import RIGHT, SLIP, grade, make_course
from helpers.inputs import named

MANUAL = 0.25


class TwoPoints(LateSubmissionPlugin):
    """Takes off two points, whatever the delay."""

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        return 2.0


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Full marks, one score by hand and a late penalty, an unreadable file, an empty folder, and no folder at all."""
    folder = tmp_path_factory.mktemp("export")
    course = make_course(folder, ann=RIGHT, bob=SLIP)
    (folder / "submitted/cid/backprop").mkdir(parents=True)
    (folder / "submitted/cid/backprop/backprop.ipynb").write_text("{", encoding="utf-8")
    (folder / "submitted/dan/backprop").mkdir(parents=True)
    grade(course)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", "handgrad") as gradebook:
        gradebook.update_or_create_student(
            "ann", first_name="Ann", last_name='Ö"Hara, jr', email="ann@example.org", lms_user_id="4711"
        )
        gradebook.update_or_create_student("cid", first_name="Cid", last_name="Ng", email="cid@example.org")
        gradebook.update_or_create_student("eva", first_name="Eva", last_name="Xu", lms_user_id="4712")
        gradebook.find_grade("check_dprobs", "backprop", "backprop", "bob").manual_score = MANUAL
        gradebook.find_assignment("backprop").duedate = datetime(2026, 3, 1)
        gradebook.find_submission("backprop", "bob").timestamp = datetime(2026, 3, 2)
        gradebook.db.commit()
    course.config.AssignLatePenalties.plugin_class = TwoPoints
    return course


def rows(course: Course, form: str) -> list[dict[str, str]]:
    """The lines of an exported CSV file."""
    return list(csv.DictReader(StringIO(export(course, "backprop", form).text)))


def expected(course: Course) -> dict[str, float | None]:
    """The scores as nbgrader's own models add them up."""
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}", "handgrad") as gradebook:
        found = {
            submission.student_id: submission.score - submission.late_submission_penalty
            for submission in gradebook.assignment_submissions("backprop")
        }
    return {**dict.fromkeys(("cid", "dan", "eva")), **found}


def test_csv(course: Course) -> None:
    """Everybody has a line; a score by hand and a penalty count; nothing graded is empty, never zero."""
    found = {row["student"]: row for row in rows(course, "csv")}
    assert {name: float(row["score"]) if row["score"] else None for name, row in found.items()} == expected(course)
    assert {row["outcome"] for row in found.values()} == {"graded", "unreadable", "not-submitted"}
    assert float(found["bob"]["dprobs"]) == MANUAL
    assert float(found["bob"]["late_penalty"]) == 2
    assert found["ann"]["last_name"] == 'Ö"Hara, jr'
    assert "half-written" in found["cid"]["message"]
    assert (found["cid"]["last_name"], found["cid"]["email"]) == ("Ng", "cid@example.org")
    assert (found["eva"]["first_name"], found["eva"]["outcome"]) == ("Eva", "not-submitted")
    gradients = [check.gradient for check in course.exercise("backprop").checks]
    assert [name for name in found["ann"] if name in gradients] == gradients


def test_needs_person(course: Course) -> None:
    """The column says of each student what the class's page says."""
    reports = stored_reports(course, "backprop")
    people = {name for name, _ in summarise(reports, scores.entries(course, "backprop")).needs_review}
    assert "cid" in people
    assert {row["student"] for row in rows(course, "csv") if row["needs_person"] == "yes"} == people


def test_json(course: Course) -> None:
    """The whole of it as plain data, each report in schema 1."""
    content: dict[str, Any] = json.loads(export(course, "backprop", "json").text)
    assert content["max_score"] == 26
    students = {row["student"]: row for row in content["students"]}
    assert {name: row["score"] for name, row in students.items()} == expected(course)
    assert students["bob"]["grades"]["dprobs"] == {"score": MANUAL, "points": 1.0}
    reports = {report.student: report for report in stored_reports(course, "backprop")}
    assert students.pop("eva")["report"] is None
    assert {name: Report.from_dict(row["report"]) for name, row in students.items()} == reports


def test_canvas(course: Course) -> None:
    """Canvas's columns in its order, its row of possible points, and its own number of a student where it is known."""
    found = rows(course, "canvas")
    assert list(found[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "backprop"]
    assert (found[0]["Student"].strip(), found[0]["backprop"]) == ("Points Possible", "26")
    students = {row["SIS Login ID"]: row for row in found[1:]}
    assert (students["ann"]["Student"], students["ann"]["ID"]) == ('Ö"Hara, jr, Ann', "4711")
    # an empty field would be an offer to clear a score that is there
    assert set(students) == {"ann", "bob"}
    assert float(students["bob"]["backprop"]) == expected(course)["bob"]


def test_moodle(course: Course) -> None:
    """A line for each score that Moodle may write, with what it can map to a user."""
    found = rows(course, "moodle")
    assert list(found[0]) == ["First name", "Last name", "ID number", "Email address", "backprop"]
    assert {row["ID number"] for row in found} == {"4711", "bob"}
    assert found[0]["Email address"] == "ann@example.org"


def test_no_archive_of_moodle(course: Course) -> None:
    """Where no archive tells the participants' numbers, the grading worksheet is refused: none is guessed."""
    with pytest.raises(CourseError, match="no Moodle archive names a student of backprop"):
        export(course, "backprop", "moodle-worksheet")


def test_the_gradebook_wins() -> None:
    """An LMS id in the gradebook goes before the number in Canvas's archive."""
    full = ScoreEntry(1.0, 1.0)
    students = [
        ExportRow("12", lms_user_id="4711", service="canvas", number="12", entry=full),
        ExportRow("13", service="canvas", number="13", entry=full),
    ]
    found = list(csv.DictReader(StringIO(EXPORTS["canvas"](students, "backprop", 1.0))))[1:]
    assert [(row["ID"], row["SIS Login ID"]) for row in found] == [("4711", ""), ("13", "")]


def test_worksheet() -> None:
    """The columns without which Moodle refuses a grading worksheet, and a line for each participant."""
    ada = ExportRow(
        "12", first_name="Ada", last_name="L", email="a@b.c", entry=ScoreEntry(1.5, 2.0), service="moodle", number="12"
    )
    text = EXPORTS["moodle-worksheet"](
        [ada, ExportRow("13", service="moodle", number="13"), ExportRow("eva")], "backprop", 2.0
    )
    found = list(csv.DictReader(StringIO(text)))
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(found[0])
    assert [(row["Identifier"], row["Grade"]) for row in found] == [("Participant 12", "1.5"), ("Participant 13", "")]
    assert (found[0]["Full name"], found[0]["Email address"]) == ("Ada L", "a@b.c")


def test_every_format_can_be_chosen() -> None:
    """The command line offers what there is."""
    assert set(get_args(Export)) == {*EXPORTS, *FORMATS}


def test_gradescope(course: Course) -> None:
    """Everybody's results.json, with the scores that count: the manual one, and the late penalty."""
    content = json.loads(export(course, "backprop", "gradescope").text)
    reports = {report.student: json.loads(report_gradescope(report)) for report in stored_reports(course, "backprop")}
    bob, tests = content.pop("bob"), reports.pop("bob")["tests"]
    # who has no score in the gradebook has none here
    assert (reports["cid"].pop("score"), reports["dan"].pop("score")) == (0, 0)
    assert content == reports
    assert bob["score"] == expected(course)["bob"]
    assert "By hand: dprobs; late: 2 points off; handgrad gave 22." in bob["output"]
    differing = [test for test, before in zip(bob["tests"], tests, strict=True) if test != before]
    assert [(test["name"], test["score"]) for test in differing] == [("dprobs", MANUAL)]


def test_a_file(course: Course, tmp_path: Path) -> None:
    """What is written is what is returned."""
    path = tmp_path / "scores.csv"
    assert export(course, "backprop", "csv", path).text == path.read_text(encoding="utf-8")
    with pytest.raises(CourseError, match="cannot be written"):
        export(course, "backprop", "csv", tmp_path / "nowhere" / "scores.csv")


def test_nothing_graded(tmp_path: Path) -> None:
    """Before anything was graded there is nothing to export."""
    with pytest.raises(
        CourseError, match=r"no submission of backprop has been graded: run `handgrad grade backprop` first\."
    ):
        export(make_course(tmp_path), "backprop", "csv")


def test_penalty_is_not_below_zero() -> None:
    """No score is negative, in any format."""
    for form in EXPORTS:
        with named(form):
            row = ExportRow("ann", grades={"dprobs": (1.0, 1.0)}, entry=ScoreEntry(1.0, 1.0, penalty=2.0))
            assert row.score == 0
            assert "-1" not in EXPORTS[form]([row], "backprop", 1.0)


FORMULAS = (
    '=HYPERLINK("http://evil.invalid")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    " =1+1",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "x;=1+1",
    'x";=1+1',
    "x\n=1+1",
)
"""What a spreadsheet would calculate, as a name."""


def test_no_formulas() -> None:
    """No field of a CSV file begins with a sign of a formula, with commas or semicolons; all are on one line each."""
    for name in FORMULAS:
        row = ExportRow(name, first_name=name, last_name=name, email=name, entry=ScoreEntry(1.0, 1.0))
        for form in ("csv", "canvas", "moodle", "moodle-worksheet"):
            with named(name, form):
                text = EXPORTS[form]([row, replace(row, service="moodle", number=name)], "backprop", 1.0)
                fields = [field for line in csv.reader(StringIO(text)) for field in line]
                others = [field for line in csv.reader(StringIO(text), delimiter=";") for field in line]
                assert not [field for field in fields if field.strip()[:1] in ("=", "+", "-", "@", "\uff1d")]
                assert not [field for field in others if field.strip()[:1] in ("=", "+", "@", "\uff1d")]
                assert not any(not sign.isprintable() for sign in text.replace("\n", ""))
                assert len(text.splitlines()) == len(list(csv.reader(StringIO(text))))


def test_ids_and_numbers_stay() -> None:
    """What an importer matches or adds up is not changed: ids, numbers with a sign, addresses, names with accents."""
    for name in ("4711", "-1", "+1.5", "0012", "ada.l-2@example.org", "anon_4a", "Zoë", "x_y", "O'Hara"):
        row = ExportRow(name, lms_user_id=name, email=name, entry=ScoreEntry(0.5, 1.0))
        with named(name):
            (found,) = csv.DictReader(StringIO(EXPORTS["moodle"]([row], "backprop", 1.0)))
            assert (found["ID number"], found["Email address"], found["backprop"]) == (name, name, "0.5")
            _, canvas = csv.DictReader(StringIO(EXPORTS["canvas"]([row], "backprop", 1.0)))
            assert (canvas["ID"], canvas["SIS Login ID"]) == (name, name)


def test_json_is_printable() -> None:
    """Hidden characters are escaped in JSON, which reads them back as they were."""
    name = "e\u200bve\x9b31m\u202e\x7f\n\U000e0041Zoë"
    for form in ("json", "gradescope"):
        row = ExportRow(name, Report("backprop", "backprop", "graded", "0", student=name))
        text = EXPORTS[form]([row], "backprop", 1.0)
        assert all(sign.isprintable() for sign in text.replace("\n", ""))
        assert "Zoë" in text
        content = json.loads(text)
        assert name in (content if form == "gradescope" else [content["students"][0]["student"]])


def test_accepted_answers_are_in_the_json() -> None:
    """A student's lines of the log of accepted answers stand with the student, as plain data."""
    answer = AcceptedAnswer("backprop", "dh", "ann", "scale", 0.0, None, "Asked.", "prof", "2026-01-02T03:04:05Z", True)
    (ann, bob) = json.loads(EXPORTS["json"]([ExportRow("ann", accepted=(answer,)), ExportRow("bob")], "backprop", 1.0))[
        "students"
    ]
    assert ann["accepted"] == [vars(answer)]
    assert (bob["accepted"], bob["earlier"], bob["resubmitted"]) == ([], [], "")
