"""What Moodle and Canvas offer for download, collected by nbgrader's own command and graded."""

import csv
import io
import subprocess
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.nbgrader.collecting import names, services
from handgrad.course.nbgrader.folders import Folders
from handgrad.errors import CourseError
from handgrad.nbgrader import CANVAS as CANVAS_NAMES
from handgrad.nbgrader import MOODLE as MOODLE_NAMES
from handgrad.report.records import Report
from helpers.commands import handgrad, zip_collect
from helpers.inputs import named
from helpers.lms_rules import as_canvas, as_moodle
from helpers.paths import ENVIRONMENT, ROOT

WORKED = (ROOT / "solutions/backprop/backprop.ipynb").read_bytes()
EXPORT = "\n\n".join(
    f"# %%\n{cell.source}" for cell in nbformat.reads(WORKED, as_version=4).cells if cell.cell_type == "code"
)


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """An archive of files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return held.getvalue()


MOODLE = {
    "Ada Lovelace_1001_assignsubmission_file_/backprop.ipynb": WORKED,
    "Kurt Gödel_1002_assignsubmission_file/backprop (1).ipynb": WORKED,
    "Emmy Noether_1003_assignsubmission_file_/homework/week 3/backprop.ipynb": WORKED,
    "Sofja Kowalewskaja_1004_assignsubmission_file_backprop.ipynb": WORKED,
    "Participant_1005_assignsubmission_file_/my answers.ipynb": WORKED,
    "Blaise Pascal_1006_assignsubmission_file_/backprop.py": EXPORT.encode(),
    "Alan Turing_1007_assignsubmission_file_/all.zip": zipped([("all/backprop.ipynb", WORKED), ("all/plot.png", b"")]),
    "Leonhard Euler_1008_assignsubmission_file_/broken.zip": b"PK\3\4 and no more",
    "Leonhard Euler_1008_assignsubmission_file_/backprop.ipynb": WORKED,
    "Leonhard Euler_1008_assignsubmission_file_/backprop (1).ipynb": WORKED,
    "Paul Cohen_1009_assignsubmission_onlinetext_/onlinetext.html": b"<p>I could not upload it.</p>",
    "Ada Lovelace_1001_assignsubmission_file_/__MACOSX/._backprop.ipynb": b"\0\5\26\7",
    # what Safari, Windows and mail programs make of a name; a zip of Windows; one with nothing in it
    "سعید\u200cرضوی_1011_assignsubmission_file/Backprop.ipynb.json": WORKED,
    "Grace Hopper_1012_assignsubmission_file/work.ZIP": zipped([("in\\backprop (1).IPYNB", WORKED)]),
    "Edsger Dijkstra_1013_assignsubmission_file/empty.zip": zipped([]),
    # students who are in no group
    "Default group_assignsubmission_file/backprop.ipynb": WORKED,
    # what a student calls a file is no other student's name
    "Eve_1010_assignsubmission_file_/x_1001_1_backprop.ipynb": WORKED,
}
CANVAS = {
    "lovelaceada_2001_678910_backprop.ipynb": WORKED,
    "godelkurt_LATE_2002_678911_backprop-1.ipynb": WORKED,
    "s01_late_2003_678912_backprop.ipynb": WORKED,
    "anon_Xy7_678913_backprop.ipynb": WORKED,
    "van_der_waerden_2005_678914_a_1_2_b.ipynb": WORKED,
    "turingalan_2006_678915_all.zip": zipped([("Ada_1001_assignsubmission_file_/backprop.ipynb", WORKED)]),
    "s01_late_backprop.ipynb": WORKED,
    "hilbertdavid_2007_678916_report.pdf": b"%PDF",
    "hilbertdavid_2007_678917_homework.rar": b"Rar!",
    "hilbertdavid_2007_678918_.DS_Store": b"",
    "कुमारराज_2008_678919_backprop.ipynb": WORKED,
    # a name of which Canvas keeps nothing, a group called 1
    "_2009_link.html": b"<html></html>",
    "1_2010_678920_backprop.ipynb.txt": WORKED,
}
COLLECTED = {
    "1001": ["backprop.ipynb"],
    "1002": ["backprop.ipynb"],
    "1003": ["backprop.ipynb"],
    "1004": ["backprop.ipynb"],
    "1005": ["my answers.ipynb"],
    "1006": ["backprop.py"],
    "1007": ["backprop.ipynb"],
    "1008": ["backprop (1).ipynb", "backprop.ipynb"],
    "1010": ["x_1001_1_backprop.ipynb"],
    "1011": ["backprop.ipynb"],
    "1012": ["backprop.ipynb"],
    "Default group": ["backprop.ipynb"],
    "2001": ["backprop.ipynb"],
    "2002": ["backprop.ipynb"],
    "2003": ["backprop.ipynb"],
    "anon_Xy7": ["backprop.ipynb"],
    "2005": ["a_1_2_b.ipynb"],
    "2006": ["backprop.ipynb"],
    "2008": ["backprop.ipynb"],
    "2010": ["backprop.ipynb"],
}
"""What stands in each student's folder afterwards."""
WITHOUT = {
    "1009": ["onlinetext.html"],
    "1013": ["empty.zip"],
    "2007": ["homework.rar", "report.pdf"],
    "2009": ["link.html"],
}
"""The same, of those who handed in no notebook."""
METADATA = """---
submission_11:
  :submitters:
  - :name: Ada Lovelace
    :sid: ADA
    :email: ada@school.edu
  :created_at: 2026-09-14 10:00:00.123456000 Z
  :score: 10.0
  :results:
    output: !ruby/object:Object {}
submission_12:
  :submitters:
  - :name: Kurt
    :sid: '77'
    :email: kurt@school.edu
  :created_at: 2026-09-14 10:00:00.000000000 -07:00
submission_13:
  :submitters:
  - :name: Emmy
    :sid: emmy
    :email: emmy@school.edu
  - :name: Alan
    :sid: alan
    :email: alan@school.edu
  :created_at: 2026-09-14 11:00:00.000000000 Z
submission_14:
  :submitters:
  - :name: A Stranger
    :sid:
    :email: a.stranger@school.edu
"""
NOT_RECOGNISED = ("plot.png", "broken.zip", "._backprop.ipynb", "s01_late_backprop.ipynb")


@dataclass(frozen=True)
class Collected:
    """A course after collecting and grading, and what nbgrader's command said."""

    root: Path
    said: str


def run(course: Path, *command: str, **environment: str) -> str:
    """What a command wrote; it must not end with an error."""
    variables = {**ENVIRONMENT, **environment}
    done = subprocess.run(command, cwd=course, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout + done.stderr


def make_course(folder: Path) -> Path:
    """A course with the project's configuration, into which nobody has handed in."""
    for kind in ("source", "release"):
        (folder / kind).symlink_to(ROOT / kind)
    (folder / "nbgrader_config.py").write_bytes((ROOT / "nbgrader_config.py").read_bytes())
    (folder / "downloaded/backprop/archive").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """A course whose students handed in through Moodle and through Canvas."""
    course = make_course(tmp_path_factory.mktemp("collected"))
    for name, files in (("CS 101-backprop-55", MOODLE), ("backprop_submissions", CANVAS)):
        (course / f"downloaded/backprop/archive/{name}.zip").write_bytes(zipped(files.items()))
    said = run(course, "nbgrader", "zip_collect", "backprop")
    handgrad("grade", "backprop", folder=course)
    return Collected(course, said)


def test_everybody_is_collected(collected: Collected) -> None:
    """Each file that is recognised stands in its student's folder, under the name that was released where it can be."""
    folders = (collected.root / "submitted").iterdir()
    found = {
        folder.name: sorted(str(path.relative_to(folder / "backprop")) for path in (folder / "backprop").rglob("*.*"))
        for folder in folders
    }
    assert found == COLLECTED | WITHOUT


def test_nobody_vanishes(collected: Collected) -> None:
    """Who handed in no notebook is named at the end, stands in the reports, and has an empty score in the exports."""
    last = collected.said.splitlines()[-1]
    named = "1009 (onlinetext.html); 1013 (empty.zip); 2007 (report.pdf, homework.rar); 2009 (link.html)"
    assert f"Without a notebook: {named}. `handgrad grade` lists them as not-submitted." in last
    course = Course.at(collected.root)
    reports = {report.student: report for report in stored_reports(course, "backprop")}
    assert {name for name, report in reports.items() if report.outcome == "not-submitted"} == set(WITHOUT)
    assert "which holds: homework.rar, report.pdf" in reports["2007"].message
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(export(course, "backprop", "csv").text))}
    assert {name: row["score"] for name, row in rows.items() if name in WITHOUT} == dict.fromkeys(WITHOUT, "")


def test_canvas_takes_its_number_back(collected: Collected) -> None:
    """The number in Canvas's archive is Canvas's own; Moodle's is not, nor is an anonymous name."""
    rows = list(csv.DictReader(io.StringIO(export(Course.at(collected.root), "backprop", "canvas").text)))[1:]
    theirs = {name for name in COLLECTED | WITHOUT if name.startswith("2")}
    # who has no score has no line: an empty field would be an offer to clear one
    assert {row["ID"] for row in rows} == (theirs - set(WITHOUT)) | {""}
    assert {row["SIS Login ID"] for row in rows} == (set(COLLECTED) - theirs - set(WITHOUT)) | {""}


def test_moodle_takes_its_number_back(collected: Collected) -> None:
    """The grading worksheet names the participants of Moodle's archive, and nobody else."""
    rows = list(csv.DictReader(io.StringIO(export(Course.at(collected.root), "backprop", "moodle-worksheet").text)))
    scores = {row["Identifier"]: row["Grade"] for row in rows}
    theirs = [name for name in sorted(COLLECTED | WITHOUT) if name.startswith("1")]
    assert scores == {f"Participant {name}": "" if name in WITHOUT else "26" for name in theirs}
    with pytest.raises(CourseError, match=r"cannot find 1001, .* Export with --format moodle-worksheet"):
        export(Course.at(collected.root), "backprop", "moodle")


def test_feedback_goes_back(collected: Collected) -> None:
    """Everybody with a page gets it back by the number in the archive; who handed in no notebook is named."""
    for form, rule, first in (("moodle-feedback", as_moodle, "1"), ("canvas-feedback", as_canvas, "2")):
        done = handgrad("export", "backprop", "--format", form, "-o", "back.zip", folder=collected.root)
        assert done.returncode in (0, 1), done.stderr
        said = done.stdout + done.stderr
        with zipfile.ZipFile(collected.root / "back.zip") as archive:
            found = {name: rule(name) for name in archive.namelist()}
            content = archive.read(next(name for name in found if "1001" in name or "2001" in name)).decode()
        there = {student for student in COLLECTED if student.startswith((first, "anon" if first == "2" else first))}
        if form == "canvas-feedback":
            # the archive calls this student 1_2010_...: Canvas itself would take 1 for the user
            there.remove("2010")
            assert "2010 (Canvas would take the name in the archive for another student's)" in said
        assert {str(pair[0]) if pair else None for pair in found.values()} == {
            name.removeprefix("anon_") for name in there
        }
        assert "of 26 points" in content
        assert all(f"{name} (no feedback page)" in said for name in WITHOUT if name.startswith(first))


def test_services(tmp_path: Path) -> None:
    """Who is named by both services, by an own pattern or by none is nobody's; a broken archive tells nothing."""
    inside = {
        "moodle.zip": ["A B_1_assignsubmission_file_/x.ipynb", "C_2_assignsubmission_onlinetext_/t.html"],
        "canvas.zip": ["ab_1_7_x.ipynb", "cd_3_8_x.ipynb", "anon_Q_9_x.ipynb", "folder/", "me-4-x.ipynb"],
    }
    for name, files in inside.items():
        (tmp_path / name).write_bytes(zipped((file, b"") for file in files))
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "ef_5_10_x.ipynb").write_bytes(b"")
    own = r"me-(?P<student_id>\d+)-(?P<file_id>.*)$"
    found = services(tmp_path, [MOODLE_NAMES, CANVAS_NAMES, own])
    assert found == {"2": "moodle", "3": "canvas", "5": "canvas"}
    assert services(tmp_path / "nowhere", [MOODLE_NAMES]) == {}


def test_the_rest_is_listed(collected: Collected) -> None:
    """What is not recognised is named, with what to do, and is still there."""
    for name in NOT_RECOGNISED:
        with named(name):
            lines = [line for line in collected.said.splitlines() if "Not recognised" in line and f"{name}. " in line]
            assert len(lines) == 1
            path = lines[0].partition("Not recognised: ")[2].partition(f"{name}. ")[0] + name
            assert Path(path).is_file()


def test_warnings(collected: Collected) -> None:
    """An archive that cannot be opened and a student without a notebook of the right name are told."""
    assert "broken.zip cannot be opened (" in collected.said
    assert "There are 2 archives in " in collected.said
    assert "keep only the newest and collect again with --force" in collected.said
    assert "Skipped submission" not in collected.said
    assert "1005 handed in no backprop.ipynb, but my answers.ipynb: `handgrad grade` searches these" in collected.said


def test_everybody_is_graded(collected: Collected) -> None:
    """Each of the collected students has full marks, and a note where the file had another name."""
    reports: dict[str, Report] = {
        report.student: report for report in stored_reports(Course.at(collected.root), "backprop")
    }
    graded = {name: report.score for name, report in reports.items() if name not in WITHOUT}
    assert graded == dict.fromkeys(COLLECTED, 26.0)
    assert "backprop.py was graded: there is no backprop.ipynb." in reports["1006"].message
    assert "Another file with answers was not graded: backprop (1).ipynb." in reports["1008"].message


def test_an_archive_that_names_a_student(tmp_path: Path) -> None:
    """Where the name of the archive could be a student's too, nobody is guessed at."""
    course = make_course(tmp_path)
    archive = course / "downloaded/backprop/archive/CS_101_2024_backprop.zip"
    archive.write_bytes(zipped([("Ada_1001_assignsubmission_file_/backprop.ipynb", WORKED)]))
    said = zip_collect("backprop", course)
    assert "archives in" not in said
    assert "Its path names 1001 and 101: rename the archive." in said
    assert not (course / "submitted").exists()


def test_dates(tmp_path: Path) -> None:
    """Moodle's worksheet and Canvas's mark become dates that both programs read; nobody's own date is believed."""
    course = make_course(tmp_path)
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as config:
        config.write('c.Collector.timezone = "Europe/Berlin"\n')
    with Gradebook(f"sqlite:///{course}/gradebook.db", "handgrad") as gradebook:
        gradebook.add_assignment("backprop", duedate=datetime(2026, 6, 10, 12))
    files = {
        "Ada Lovelace_1001_assignsubmission_file/backprop.ipynb": WORKED,
        "Ada Lovelace_1001_assignsubmission_file/timestamp.txt": b"2020-01-01",
        "Kurt Gödel_1002_assignsubmission_file/backprop.ipynb": WORKED,
        "hilbertdavid_LATE_2001_901_backprop.ipynb": WORKED,
        "emmynoether_2002_902_work.zip": zipped([("backprop.ipynb", WORKED), ("timestamp.txt", b"2020-01-01")]),
        # everything that this one handed in is left out
        "eve_2003_903_conftest.py": b"",
    }
    archive = course / "downloaded/backprop/archive"
    (archive / "class.ZIP").write_bytes(zipped(files.items()))
    (archive / "Grades.csv").write_text(
        'Identifier,Last modified (submission),Grade\nParticipant 1001,"Wednesday, 10 June 2026, 3:30 PM",\n'
        "Participant 1002,-,\n",
        encoding="utf-8-sig",
    )
    said = zip_collect("backprop", course)
    folders = Folders(Course.at(course), "backprop")
    times = {student: folders.timestamp(student) for student in folders.students()}
    assert times == {
        "1001": datetime(2026, 6, 10, 13, 30),
        "1002": None,
        "2001": datetime(2026, 6, 10, 12, 0, 1),
        "2002": None,
        "2003": None,
    }
    for student, time in times.items():
        assert folders._nbgrader.get_existing_timestamp(str(folders.submitted(student))) == time
    for sentence in (
        "Dates of hand-in: 1 from Moodle's worksheet Grades.csv, read as times of Europe/Berlin.",
        "Canvas marks 1 (2001) as late without a time: they count as one second late",
        "No date of hand-in: 1 (1002). They count as in time. Grades.csv has none of them.",
    ):
        assert sentence in said
    unused = [line for line in said.splitlines() if "Not recognised" in line]
    assert len(unused) == 2
    assert all("timestamp.txt. A date from the student's own machine is no proof." in line for line in unused)


def test_gradescope(tmp_path: Path) -> None:
    """Of Gradescope's export the metadata says who handed in and when; what a student calls so says nothing."""
    course = make_course(tmp_path)
    with Gradebook(f"sqlite:///{course}/gradebook.db", "handgrad") as gradebook:
        for student, email in (("ada", ""), ("kurt", "kurt@school.edu"), ("emmy", ""), ("alan", "")):
            gradebook.add_student(student, email=email, first_name=student.title())
    forged = METADATA.replace("ADA", "kurt")
    files = {
        "submission_metadata.yml": METADATA.encode(),
        "submission_11/backprop (1).ipynb": WORKED,
        "submission_11/submission_metadata.yml": forged.encode(),
        "submission_12/work/backprop.ipynb": WORKED,
        "submission_13/backprop.ipynb": WORKED,
        "submission_14/van_1_2_x.ipynb": WORKED,
    }
    archive = zipped((f"assignment_9_export/{name}", content) for name, content in files.items())
    (course / "downloaded/backprop/archive/submissions.zip").write_bytes(archive)
    said = zip_collect("backprop", course)
    folders = Folders(Course.at(course), "backprop")
    held = {
        student: [path.name for path in folders.submitted(student).glob("*.ipynb")] for student in folders.students()
    }
    both = {name: ["backprop.ipynb"] for name in ("ada", "kurt", "emmy", "alan")}
    assert held == both | {"a.stranger@school.edu": ["van_1_2_x.ipynb"]}
    assert folders.submitted("emmy") == folders.submitted("alan") == course / "submitted/submission_13/backprop"
    assert folders.timestamp("ada") == datetime(2026, 9, 14, 10, 0, 0, 123456)
    assert folders.timestamp("kurt") == datetime(2026, 9, 14, 17)
    assert folders.timestamp("emmy") == datetime(2026, 9, 14, 11)
    assert "Dates of hand-in: 3 from Gradescope's submissions.zip/assignment_9_export/submission_metadata.yml." in said
    assert "a.stranger@school.edu (A Stranger) is not in the roster" in said
    assert [line for line in said.splitlines() if "Not recognised" in line and "submission_11/" not in line] == []


def test_files_with_names(tmp_path: Path) -> None:
    """Of files that lie side by side the names are those of students, and perhaps that of the assignment."""
    course = make_course(tmp_path)
    with Gradebook(f"sqlite:///{course}/gradebook.db", "handgrad") as gradebook:
        gradebook.add_student("alice")
        gradebook.add_student("u7", first_name="Ada", last_name="Lovelace")
        gradebook.add_student("u8", email="kurt@school.edu")
    archive = course / "downloaded/backprop/archive"
    names = [
        "alice.ipynb",
        "backprop_Lovelace, Ada (1).ipynb",
        "kurt@school.edu - Backprop.ipynb.txt",
        "bob_backprop.py",
    ]
    for name in (*names, "backprop.ipynb", "notes.pdf"):
        (archive / name).write_bytes(EXPORT.encode() if name.endswith(".py") else WORKED)
    (archive / "late.zip").write_bytes(zipped([("alice-backprop.ipynb", WORKED)]))
    said = zip_collect("backprop", course)
    held = {
        path.name: sorted(file.name for file in (path / "backprop").iterdir())
        for path in (course / "submitted").iterdir()
    }
    assert held == {
        "alice": ["alice-backprop.ipynb", "alice.ipynb"],
        "u7": ["backprop.ipynb"],
        "u8": ["backprop.ipynb"],
        "bob": ["bob_backprop.py"],
    }
    assert "bob is not in the roster" in said
    unused = [line for line in said.splitlines() if "Not recognised" in line]
    assert len(unused) == 2
    assert all("backprop.ipynb" in line or "notes.pdf" in line for line in unused)


def test_two_numbers_of_a_student(tmp_path: Path) -> None:
    """If two numbers turn out to be one student, the newer hand-in is collected, and the log says so."""
    course = make_course(tmp_path)
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as config:
        config.write(
            "class Collector(handgrad.Collector):\n    def _student(self, match, path):\n        return 'ada'\n"
            "c.ZipCollectApp.collector_plugin = Collector\n"
        )
    files = {"ada_1_901_backprop.ipynb": b"old", "adal_2_903_backprop.ipynb": b"new", "a_3_902_x.ipynb": b"older"}
    (course / "downloaded/backprop/archive/class.zip").write_bytes(zipped(files.items()))
    said = zip_collect("backprop", course)
    held = {path.name: path.read_bytes() for path in (course / "submitted/ada/backprop").iterdir()}
    assert held == {"backprop.ipynb": b"new"}
    assert "ada handed in 3 times, as 1 and 3 and 2: the newest, 2, is collected." in said
    assert "Canvas's archive has no dates: 1 without the mark LATE" in said


def test_an_ascii_locale(tmp_path: Path) -> None:
    """Names are the same on the disk where the locale knows ASCII only, and a name that may be read twice is told."""
    course = make_course(tmp_path)
    files = {"王_12_901_übung.ipynb": WORKED, "zoë_13_902_é.pdf": b"%PDF", "team_1_14_903_b.ipynb": WORKED}
    (course / "downloaded/backprop/archive/class.zip").write_bytes(zipped(files.items()))
    said = run(course, "nbgrader", "zip_collect", "backprop", LC_ALL="C", PYTHONUTF8="0")
    held = {path.relative_to(course / "submitted").as_posix() for path in (course / "submitted").glob("*/*/*")}
    assert held == {"12/backprop/übung.ipynb", "13/backprop/é.pdf", "1/backprop/903_b.ipynb"}
    assert "Three numbers in a row: team_1_14_903_b.ipynb." in said
    assert "Traceback" not in said


def test_hostile_hand_ins(tmp_path: Path) -> None:
    """Of archives that unpack for ever, and of files that act, only the work is collected, for the instructor only."""
    course = make_course(tmp_path)
    proof = "open('proof', 'w')\n"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.bin", bytes(64 << 20))
        archive.writestr("backprop.ipynb", WORKED)
    nested = WORKED
    for _ in range(10):
        nested = zipped([("in.zip", nested)])
    outward = [("../../../x.ipynb", b""), ("/x.ipynb", b""), ("nbgrader_config.py", proof.encode())]
    files = {
        "Eve Moor_1111_assignsubmission_file/backprop.ipynb": WORKED,
        "Eve Moor_1111_assignsubmission_file/nbgrader_config.py": proof.encode(),
        "Eve Moor_1111_assignsubmission_file/deep/sitecustomize.py": proof.encode(),
        "Bo Mb_1112_assignsubmission_file/hand-in.zip": bomb.getvalue(),
        "Ne St_1113_assignsubmission_file/hand-in.zip": nested,
        "Ma Ny_1114_assignsubmission_file/hand-in.zip": zipped((f"{number}.txt", b"") for number in range(10_000)),
        "Ou T_1115_assignsubmission_file/hand-in.zip": zipped([*outward, ("backprop.ipynb", WORKED)]),
        "Ada Lovelace_1001_assignsubmission_file/backprop.ipynb": WORKED,
    }
    (course / "downloaded/backprop/archive/class.zip").write_bytes(zipped(files.items()))
    said = zip_collect("backprop", course)
    work = {"1111", "1112", "1115", "1001"}
    submitted = course / "submitted"
    assert {path.parents[1].name for path in submitted.rglob("*.ipynb")} == work
    assert {path.name for path in submitted.rglob("*") if path.is_file()} <= {"backprop.ipynb", "in.zip"} | {
        f"{number}.txt" for number in range(10_000)
    }
    assert len(list(submitted.rglob("*.txt"))) <= 2000
    for student in work:
        path = submitted / student
        assert path.stat().st_mode & 0o777 == 0o700
        assert (path / "backprop/backprop.ipynb").stat().st_mode & 0o777 == 0o600
    for student, why in {
        "1111": "nbgrader_config.py' (a program would take it for its configuration)",
        "1112": "zeros.bin' (it would be more than 200 times as large as in its archive)",
        "1113": "archives in archives are opened 3 deep",
        "1114": "there are more than 2000 files",
        "1115": "its name leads out of the folder",
    }.items():
        with named(student):
            (line,) = [line for line in said.splitlines() if f"Left out of '{student}': " in line]
            assert why in line
    assert "Left out of '1001'" not in said
    assert not list(course.rglob("proof"))
    assert not list((course / "downloaded").rglob("nbgrader_config.py"))


def test_awkward_names(tmp_path: Path) -> None:
    """A file with the name of a folder stops nobody's collecting, and of many files only a few are named."""
    course = make_course(tmp_path)
    inside = zipped((f"{number}.txt", b"") for number in range(7))
    files = [("ab_1_2_work.zip", inside), ("ab_1_3_work", b"")]
    (course / "downloaded/backprop/archive/submissions.zip").write_bytes(zipped(files))
    said = zip_collect("backprop", course)
    assert "(work/0.txt, work/1.txt, work/2.txt, work/3.txt, work/4.txt and 3 more)" in said
    folder = course / "submitted/1/backprop"
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 8


def test_names() -> None:
    """The one copy of a released notebook gets its name; where there are several, none does."""
    for files, expected in [
        (["backprop.ipynb", "backprop-1.ipynb"], ["backprop.ipynb", "backprop-1.ipynb"]),
        (["backprop-1.ipynb"], ["backprop.ipynb"]),
        (["a/backprop - Copy.ipynb"], ["backprop.ipynb"]),
        (["a/backprop-Copy2.ipynb"], ["backprop.ipynb"]),
        (["backprop-1.ipynb", "backprop-2.ipynb"], ["backprop-1.ipynb", "backprop-2.ipynb"]),
        (["a/backprop.ipynb", "b/backprop.ipynb"], ["a/backprop.ipynb", "b/backprop.ipynb"]),
        (["lab-1.ipynb", "backprop copy.ipynb"], ["lab-1.ipynb", "backprop.ipynb"]),
        (["backprop.IPYNB"], ["backprop.ipynb"]),
        (["Backprop (1).ipynb"], ["backprop.ipynb"]),
        (["other.ipynb", "backprop.py"], ["other.ipynb", "backprop.py"]),
    ]:
        with named(files, expected):
            given = {Path(name): name for name in files}
            assert list(names(given, ["backprop.ipynb", "lab-1.ipynb"]).values()) == expected
