"""Feedback in one archive: read back by the rules by which Moodle and Canvas read it."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from handgrad.cli import app
from handgrad.course.commands.feedback_archive import write_feedback_archive
from handgrad.course.course import Course
from handgrad.course.nbgrader.feedback_exporter import with_verdicts
from handgrad.course.report_store import STORE, ReportStore
from handgrad.errors import CourseError
from helpers.inputs import named
from helpers.lms_rules import as_canvas, as_moodle
from helpers.paths import ROOT
from helpers.reports import CHECKS, GRAPH, PASSED, report

MOODLE = (
    "Ada Lovelace_1001_assignsubmission_file_/backprop.ipynb",
    "Kurt Gödel_1002_assignsubmission_file/week 3/backprop (1).ipynb",
    "Sofja Kowalewskaja_1003_assignsubmission_file_backprop.ipynb",
    "Bad\u202eName_1004_assignsubmission_file_/../../x_1001_assignsubmission_file_/backprop.ipynb",
    "Paul Cohen_1009_assignsubmission_onlinetext_/onlinetext.html",
)
CANVAS = (
    "lovelaceada_2001_678910_backprop.ipynb",
    "lovelaceada_2001_678999_backprop-1.ipynb",
    "lovelaceada_2001_9_notes.pdf",
    "godelkurt_LATE_2002_678911_link.ipynb",
    "van_der_waerden_2003_678914_1_2_all.zip",
    "anon_Xy7_678913_backprop.ipynb",
    "hilbertdavid_2007_678916_report.pdf",
)
GRADED = ("1001", "1002", "1003", "1004", "2001", "2002", "2003", "2007", "anon_Xy7", "ann")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A class with pages and autograded notebooks, and no archive."""
    (tmp_path / "source").symlink_to(ROOT / "source")
    (tmp_path / "nbgrader_config.py").write_bytes((ROOT / "nbgrader_config.py").read_bytes())
    course = Course.at(tmp_path)
    store = ReportStore(course.private_folder / STORE)
    for student in GRADED:
        checks = CHECKS if student == "1002" else (PASSED,)
        found = report(student=student, checks=checks)
        store.put(found)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("dprobs = 1", id="dprobs")])
        with_verdicts(notebook, replace(found, solution_cells=3), GRAPH)
        for folder, name, text in (
            ("autograded", "backprop.ipynb", nbformat.writes(notebook)),
            ("feedback", "backprop.html", f"<p>page of {student}</p>"),
        ):
            path = tmp_path / folder / student / "backprop" / name
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
    store.put(report("not-submitted", "1009"))
    return course


def download(course: Course, name: str, files: tuple[str, ...]) -> None:
    """Put an archive where it was downloaded."""
    path = course.root / "downloaded/backprop/archive" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.writestr(file, b"{}")


def test_moodle_finds_everybody(course: Course) -> None:
    """Each page goes to its participant and keeps its name; whose page is missing is said."""
    download(course, "CS 101-backprop-55.zip", MOODLE)
    done = write_feedback_archive(course, "backprop", "moodle-feedback", course.root / "feedback.zip")
    assert done.students == ["1001", "1002", "1003", "1004"]
    others = {"2001", "2002", "2003", "2007", "anon_Xy7", "ann"}
    assert done.left == {**dict.fromkeys(others, "not in the downloaded archive"), "1009": "no feedback page"}
    with zipfile.ZipFile(course.root / "feedback.zip") as archive:
        names = archive.namelist()
        assert [as_moodle(name) for name in names] == [(int(student), "backprop.html") for student in done.students]
        assert [archive.read(name).decode() for name in names] == [
            f"<p>page of {student}</p>" for student in done.students
        ]
    assert names[0] == "Ada Lovelace_1001_assignsubmission_file/backprop.html"
    assert names[3] == "Participant_1004_assignsubmission_file/backprop.html"
    assert (course.root / "feedback.zip").stat().st_mode & 0o077 == 0


def test_canvas_finds_everybody(course: Course) -> None:
    """What comes back is of the kind of the last hand-in and has its number: Canvas gives it that file's name."""
    download(course, "submissions.zip", CANVAS)
    done = write_feedback_archive(course, "backprop", "canvas-feedback", course.root / "feedback.zip")
    expected = {"2001": "678999", "2002": "678911", "2003": "678914", "Xy7": "678913"}
    assert done.students == ["2001", "2002", "2003", "anon_Xy7"]
    assert done.left["2007"] == "hilbertdavid_2007_678916_report.pdf cannot be returned as feedback"
    with zipfile.ZipFile(course.root / "feedback.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert dict(filter(None, map(as_canvas, contents))) == expected
    for name, content in contents.items():
        with named(name):
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as inner:
                    assert inner.read("backprop.html") == b"<p>page of 2003</p>"
            else:
                notebook = nbformat.reads(content.decode(), as_version=4)
                nbformat.validate(notebook)
                assert [cell.source.partition("\n")[0] for cell in notebook.cells] == ["# backprop", "dprobs = 1"]
                # the instructor's facts about the hand-in are not for the student
                assert b"solution_cells" not in content


def test_only_final(course: Course) -> None:
    """With --only-final who has a gradient that waits is left out."""
    download(course, "a.zip", MOODLE)
    done = write_feedback_archive(course, "backprop", "moodle-feedback", course.root / "f.zip", only_final=True)
    assert done.left["1002"] == "a gradient waits for manual review"
    assert "1002" not in done.students


def test_a_student_with_another_name_in_the_course(course: Course) -> None:
    """An id of the archive that is somebody's in the course gets that student's page."""
    download(course, "a.zip", ("Ann Lee_4711_assignsubmission_file_/backprop.ipynb",))
    (course.root / "students.csv").write_text("handed_in_as,student_id\n4711,ann\n", encoding="utf-8")
    target = course.root / "f.zip"
    assert write_feedback_archive(course, "backprop", "moodle-feedback", target).students == ["ann"]
    with zipfile.ZipFile(target) as archive:
        assert archive.read("Ann Lee_4711_assignsubmission_file/backprop.html") == b"<p>page of ann</p>"


def test_what_cannot_be_sent(course: Course) -> None:
    """Without an archive of the service, without pages, or a file name: one sentence, and nothing is written."""
    command = ["export", "backprop", "--course", str(course.root), "--format"]
    target = course.root / "f.zip"

    def fault(form: str, *rest: str) -> str:
        done = CliRunner().invoke(app, [*command, form, *rest])
        assert isinstance(done.exception, CourseError)
        assert not target.exists()
        return str(done.exception)

    assert fault("moodle-feedback", "-o", str(target)) == (
        "no archive of Moodle names a student of backprop, and Moodle finds students by the names in it: put the "
        "archive that you collected back into downloaded/backprop/archive."
    )
    download(course, "a.zip", MOODLE)
    assert "no archive of Canvas" in fault("canvas-feedback", "-o", str(target))
    assert "name its file" in fault("moodle-feedback")
    for path in course.root.glob("feedback/*/backprop/backprop.html"):
        path.unlink()
    assert "there is no feedback on backprop to send back" in fault("moodle-feedback", "-o", str(target))


def test_the_command(course: Course) -> None:
    """`handgrad export` says where the archive is and who is not in it."""
    download(course, "a.zip", MOODLE)
    target = course.root / "f.zip"
    done = CliRunner().invoke(
        app, ["export", "backprop", "--course", str(course.root), "--format", "moodle-feedback", "-o", str(target)]
    )
    assert done.exit_code == 0, done.output
    assert "The feedback of 4 students is in " in done.output
    assert "1009 (no feedback page)" in done.output
