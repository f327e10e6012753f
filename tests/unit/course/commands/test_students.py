"""The commands on students: a real course, its gradebook, and students.csv."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from handgrad.cli import app
from handgrad.course.commands.class_list import class_list
from handgrad.course.commands.export_scores import export
from handgrad.course.commands.students import (
    class_rows,
    exempt,
    extend,
    import_roster,
    match,
    purge,
    to_purge,
    withdraw,
)
from handgrad.course.course import Course
from handgrad.course.nbgrader.database import at_work
from handgrad.course.people import read_lines
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError
from handgrad.report.students_table import students_table
from helpers.courses import RIGHT, grade, make_course

ROSTER = "id,first_name,last_name,email,lms_user_id\nu1,Ada,Lovelace,ada@x.org,11\nu2,Emmy,Noether,emmy@x.org,12\n"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course with a roster of two; one has handed in under the number of a learning management system."""
    found = make_course(tmp_path, **{"11": RIGHT, "guest": RIGHT})
    (tmp_path / "roster.csv").write_text(ROSTER, encoding="utf-8")
    import_roster(found, tmp_path / "roster.csv")
    return found


def score(course: Course, student: str) -> float | None:
    """The exported score of a student."""
    rows = json.loads(export(course, "backprop", "json").text)["students"]
    (found,) = [row["score"] for row in rows if row["student"] == student]
    return found


def test_import(course: Course) -> None:
    """New students and changes are counted; empty fields change nothing; a name that no folder may have is refused."""
    path = course.root / "roster.csv"
    path.write_text("id,email\nu1,ada@y.org\nu2,\nu3,c@x.org\n", encoding="utf-8")
    assert import_roster(course, path) == (1, 1)
    assert import_roster(course, path) == (0, 0)
    (ada,) = [row for row in class_rows(course).rows if row.student == "u1"]
    assert (ada.name, ada.email) == ("Ada Lovelace", "ada@y.org")
    path.write_text("id\na/b\n", encoding="utf-8")
    with pytest.raises(CourseError, match="'a/b' cannot be a student: the name of a folder"):
        import_roster(course, path)
    with pytest.raises(CourseError, match=r"nowhere\.csv cannot be read: No such file"):
        import_roster(course, course.root / "nowhere.csv")


def test_match(course: Course) -> None:
    """A number of the system is the student's at once; another name after it was said, with all that was graded."""
    grade(course, feedback=True)
    assert {report.student for report in ReportStore.of(course).reports("backprop")} == {"u1", "guest"}
    found = class_rows(course)
    assert next(row.handed_in for row in found.rows if row.student == "u1") == {"backprop": "11"}
    assert "guest is not in the roster" in found.unmatched[0]
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        gradebook.find_grade("check_dC", "backprop", "backprop", "guest").manual_score = 0.5
        gradebook.db.commit()
    with pytest.raises(CourseError, match=r"u22 is not in the roster\. Did you mean u2 \(Emmy Noether\)"):
        match(course, "guest", "u22")
    match(course, "guest", "u2")
    assert score(course, "u2") == 25.5
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        assert [student.id for student in gradebook.students] == ["u1", "u2"]
    assert (course.root / "feedback/u2/backprop/backprop.html").is_file()
    assert not (course.root / "autograded/guest/backprop").exists()
    told = grade(course, feedback=True)
    assert (told.unchanged, told.left) == (2, 0)
    table = students_table(class_rows(course), width=120)
    assert "backprop (as guest)" in table


def test_a_name_that_was_graded_before_the_roster(tmp_path: Path) -> None:
    """What nbgrader or an earlier command has graded under a number moves when the roster comes."""
    course = make_course(tmp_path, **{"11": RIGHT})
    grade(course)
    (tmp_path / "roster.csv").write_text(ROSTER, encoding="utf-8")
    import_roster(course, tmp_path / "roster.csv")
    rows = json.loads(export(course, "backprop", "json").text)["students"]
    assert [(row["student"], row["score"]) for row in rows] == [("u1", 26), ("u2", None)]


def test_extend(course: Course) -> None:
    """An extension counts before and after grading, may be taken back, and is kept for who hands in later."""
    course.config.LateSubmissionPlugin.penalty_method = "zero"
    (line,) = extend(course, "u2", 1.5, ["backprop"])
    assert line.startswith("u2 has 1.5 days more for backprop; there is no due date yet: set it with `nbgrader db")
    (course.root / "submitted/11/backprop/timestamp.txt").write_text("2026-03-02 10:00 UTC", encoding="utf-8")
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        gradebook.find_assignment("backprop").duedate = datetime(2026, 3, 1)
        gradebook.db.commit()
    grade(course)
    assert score(course, "u1") == 0
    (line,) = extend(course, "u1", 5, ["backprop"])
    assert line == "u1 has 5 days more for backprop; the late penalty is 0 now, the score 26."
    assert score(course, "u1") == 26
    (line,) = extend(course, "u1", 0, ["backprop"])
    assert line == "u1 has no extension for backprop; the late penalty is 26 now, the score 0."
    # one who has an extension and nothing else has no score
    assert score(course, "u2") is None
    assert {row.student: dict(row.extensions) for row in class_rows(course).rows}["u2"] == {"backprop": 1.5}


def test_extended_and_then_matched(course: Course) -> None:
    """An extension of somebody who has handed in under another name stays; two scores are told, and one counts."""
    grade(course, "guest")
    extend(course, "u2", 3, ["backprop"])
    match(course, "guest", "u2")
    assert score(course, "u2") == 26
    assert {row.student: dict(row.extensions) for row in class_rows(course).rows}["u2"] == {"backprop": 3}
    with at_work(), Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        gradebook.add_student("extra")
        gradebook.add_submission("backprop", "extra")
        gradebook.find_grade("check_dC", "backprop", "backprop", "extra").auto_score = 1
        gradebook.db.commit()
    match(course, "extra", "u2")
    assert score(course, "u2") == 26
    assert "extra is u2, and both were graded: the score of u2 counts" in class_list(course, "backprop").unmatched[0]


def test_exempt_and_withdrawn(course: Course) -> None:
    """Exemptions add up and are taken back one by one; what was graded stays, and counts again."""
    grade(course)
    exempt(course, "u1", ["backprop"])
    exempt(course, "u1", ["training"])
    assert [line.status for line in read_lines(course.root / "students.csv")] == ["exempt backprop training"]
    rows = {row["student"]: row for row in json.loads(export(course, "backprop", "json").text)["students"]}
    assert (rows["u1"]["outcome"], rows["u1"]["score"]) == ("exempt", None)
    assert ",EX" in export(course, "backprop", "canvas").text
    exempt(course, "u1", ["training"], undo=True)
    exempt(course, "u1", ["backprop"], undo=True)
    assert read_lines(course.root / "students.csv") == []
    assert score(course, "u1") == 26
    exempt(course, "u1")
    with pytest.raises(CourseError, match="exempt from all assignments: take that back"):
        exempt(course, "u1", ["backprop"], undo=True)
    with pytest.raises(CourseError, match="u1 has not withdrawn"):
        withdraw(course, "u1", undo=True)
    path = withdraw(course, "u1")
    with pytest.raises(CourseError, match="u1 has withdrawn: `handgrad students withdraw u1 --undo` first"):
        exempt(course, "u1", ["backprop"])
    # a line about another name of the student says nothing else of the student
    match(course, "4711", "u1")
    match(course, "4711", "u2")
    assert [(line.handed_in_as, line.student_id, line.status) for line in read_lines(path)] == [
        ("", "u1", "withdrawn"),
        ("4711", "u2", ""),
    ]
    with pytest.raises(CourseError, match="u2 is a student of the roster, not another name of u1"):
        match(course, "u2", "u1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "u1" not in export(course, "backprop", "csv").text
    assert grade(course).unchanged == 1
    withdraw(course, "u1", undo=True)
    told = grade(course)
    assert (told.unchanged, told.left) == (2, 0)


def test_purge(course: Course) -> None:
    """Everything of one student goes, after asking, and nothing of others; archives are named."""
    grade(course, feedback=True)
    exempt(course, "u1", ["training"])
    archive = course.root / "downloaded/backprop/archive/submissions.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"")
    export_of = "submission_5:\n  :submitters:\n  - :sid: u1\nsubmission_6:\n  :submitters:\n  - :sid: u2\n"
    (archive.parent / "submission_metadata.yml").write_text(export_of, encoding="utf-8")
    theirs, others = (
        [course.root / "downloaded/backprop" / name for name in names]
        for names in (
            (
                "extracted/lovelaceada_11_77_backprop.ipynb",
                "archive/submission_5/a.ipynb",
                "archive/Lovelace, Ada.ipynb",
            ),
            (
                "extracted/noetheremmy_12_78_backprop.ipynb",
                "archive/submission_6/a.ipynb",
                "archive/Noether, Emmy.ipynb",
            ),
        )
    )
    for path in (*theirs, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    runner, command = CliRunner(), ["students", "purge", "u1", "--course", str(course.root)]
    done = runner.invoke(app, command, input="n\n")
    assert done.exit_code == 1
    assert score(course, "u1") == 26
    lines = to_purge(course, "u1").lines
    assert any(line.startswith("submitted/11") for line in lines)
    done = runner.invoke(app, command, input="y\n")
    assert done.exit_code == 0, done.output
    assert "Archives as they were downloaded are left" in done.output
    assert not list(course.root.glob("*/11")) + list(course.root.glob("*/u1"))
    assert not any(path.exists() for path in theirs)
    assert all(path.exists() for path in others)
    assert read_lines(course.root / "students.csv") == []
    rows = json.loads(export(course, "backprop", "json").text)["students"]
    assert {row["student"] for row in rows} == {"u2", "guest"}
    with pytest.raises(CourseError, match="u1 is not in the roster"):
        purge(course, to_purge(course, "u1"))


def test_a_group(course: Course) -> None:
    """One notebook gives each of the group the score."""
    with (course.root / "students.csv").open("w", encoding="utf-8") as file:
        file.write("handed_in_as,student_id,status,group,note\n,u1,,Team 3,\n,u2,,Team 3,\n")
    grade(course)
    assert score(course, "u1") == score(course, "u2") == 26
