"""A term: a roster of sixty and three assignments, with everything that happens to scores on the way.

Every command is killed in the middle once. At the end each student has one line with the score that is worked out here
by hand, in every place that shows scores.
"""

import copy
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.course.commands.class_page import write_class_page
from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.nbgrader.scores import entries
from handgrad.report.class_terminal import class_table
from helpers.paths import ENVIRONMENT, ROOT

CANVAS, MOODLE, FOLDERS = "convolution", "layer_norm", "backprop"
POINTS = {CANVAS: 11.0, MOODLE: 16.0, FOLDERS: 26.0}
FIRST = {CANVAS: "dlogits", MOODLE: "dy", FOLDERS: "dlogprobs"}
"""The gradient of each assignment, of one point, that the wrong notebooks have three times too large."""
STUDENTS = [f"u{number:03}" for number in range(1, 61)]
WRONG = set(STUDENTS[3::4])
"""Every fourth student: u004, u008, ... u060."""
CONFIG = """
from nbgrader.plugins import LateSubmissionPlugin

class PointADay(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return float(-(-total_seconds_late // 86400))

c.AssignLatePenalties.plugin_class = PointADay
c.Handgrad.seeds = [5]
c.Collector.timezone = "UTC"
"""


def lms(student: str) -> str:
    """The number by which Canvas knows a student."""
    return str(5000 + int(student[1:]))


def name(student: str) -> tuple[str, str]:
    """First and last name."""
    return f"First{student[1:]}", f"Last{student[1:]}"


class Term:
    """The course, and its notebooks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for assignment in POINTS:
            for kind in ("source", "release", "solutions"):
                shutil.copytree(ROOT / kind / assignment, root / kind / assignment)
        config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
        (root / "nbgrader_config.py").write_text(config + CONFIG, encoding="utf-8")
        self.right = {
            assignment: nbformat.read(ROOT / "solutions" / assignment / f"{assignment}.ipynb", as_version=4)
            for assignment in POINTS
        }

    @property
    def course(self) -> Course:
        """The course as it is now."""
        return Course.at(self.root)

    def notebook(self, assignment: str, student: str) -> str:
        """What a student hands in."""
        notebook = copy.deepcopy(self.right[assignment])
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") == FIRST[assignment] and student in WRONG:
                cell.source += f"\n{FIRST[assignment]} = 3 * {FIRST[assignment]}"
        # no two notebooks are the same
        notebook.cells.append(nbformat.v4.new_code_cell(f"student = {student!r}", id="mine"))
        return nbformat.writes(notebook)

    def hand_in(self, assignment: str, student: str, date: str = "", content: str = "") -> None:
        """Put a notebook into a student's folder."""
        folder = self.root / "submitted" / student / assignment
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{assignment}.ipynb").write_text(content or self.notebook(assignment, student), encoding="utf-8")
        if date:
            (folder / "timestamp.txt").write_text(date, encoding="utf-8")

    def archive(self, assignment: str, files: dict[str, str]) -> None:
        """Put the archive of a learning management system where nbgrader looks for it."""
        folder = self.root / "downloaded" / assignment / "archive"
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "submissions.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)

    def run(self, *command: str, kill: float | Callable[[], bool] | None = None) -> str:
        """Run a command, after it was killed once: after so many seconds, or as soon as something holds.

        If it was done by then, the second time may refuse to do it again.
        """
        if kill is not None:
            process = self._start(*command, output=subprocess.DEVNULL)
            if callable(kill):
                deadline = time.monotonic() + 120
                while not kill() and process.poll() is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            else:
                time.sleep(kill)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process = self._start(*command)
        said, _ = process.communicate(timeout=600)
        assert process.returncode in (0, 1) or "already" in said, said
        assert "Traceback" not in said
        return said

    def _start(self, *command: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=ENVIRONMENT | {"COLUMNS": "200"},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def graded(self, assignment: str, count: int) -> Callable[[], bool]:
        """Whether at least so many notebooks of an assignment are graded."""
        return lambda: len(list(self.root.glob(f"autograded/*/{assignment}"))) >= count

    def grade(self, assignment: str) -> str:
        """Grade an assignment, killed after some notebooks."""
        return self.run("handgrad", "grade", assignment, "--workers", "2", kill=self.graded(assignment, 7))


def roster() -> str:
    """The roster as Canvas exports it."""
    rows = ["Student,ID,SIS User ID,SIS Login ID,Section", "    Points Possible,,,,"]
    rows += [f'"{name(student)[1]}, {name(student)[0]}",{lms(student)},,{student},1' for student in STUDENTS]
    return "\n".join(rows) + "\n"


def worksheet(late: dict[str, int]) -> str:
    """Moodle's worksheet, with the day of March on which the late ones handed in."""
    rows = ["Identifier,Full name,Email address,Status,Grade,Last modified (submission)"]
    for student in STUDENTS:
        date = f"Sunday, {late.get(student, 1)} March 2026, 12:00 PM"
        rows.append(f'Participant {7000 + int(student[1:])},{" ".join(name(student))},{student}@example.org,,,"{date}"')
    return "\n".join(rows) + "\n"


def everywhere(term: Term, assignment: str) -> dict[str, dict[str, float]]:
    """The scores of an assignment in each place that shows them, by student."""
    course = term.course

    def lines(form: str) -> list[dict[str, str]]:
        return list(csv.DictReader(StringIO(export(course, assignment, form).text)))

    def once(pairs: list[tuple[str, str]]) -> dict[str, float]:
        """The scores that are there; nobody has two lines."""
        assert len({student for student, _ in pairs}) == len(pairs)
        return {student: float(score) for student, score in pairs if score}

    content = json.loads(export(course, assignment, "json").text)["students"]
    scopes = json.loads(export(course, assignment, "gradescope").text)
    found = {
        "csv": once([(row["student"], row["score"]) for row in lines("csv")]),
        "canvas": once(
            [(row["SIS Login ID"], row[assignment].replace("EX", "")) for row in lines("canvas") if row["ID"]]
        ),
        "moodle": once([(f"u{int(row['ID number']) - 5000:03}", row[assignment]) for row in lines("moodle")]),
        "json": {row["student"]: row["score"] for row in content if row["score"] is not None},
        "gradescope": {student: result["score"] for student, result in scopes.items() if "score" in result},
    }
    reports, entered = stored_reports(course, assignment), entries(course, assignment)
    table = class_table(reports, entered, width=250)
    found["table"] = {
        match[1]: float(match[2])
        for match in re.finditer(r"(?m)^.*?\b(u\d{3})\b.*?(?:graded|unreadable) +(\d[\d.]*) ", table)
    }
    page = write_class_page(course, assignment, reports).read_text(encoding="utf-8")
    rows = re.findall(r"(?s)<tr data-is=.*?</tr>", page)
    found["page"] = {
        student[1]: float(score[1])
        for row in rows
        if (student := re.search(r"\b(u\d{3})\b", row)) and (score := re.search(r'data-key="([\d.]+)">', row))
    }
    titles = {
        path.parts[-3]: re.search(r"<title>.*?: ([\d.]+) of ", path.read_text(encoding="utf-8"))
        for path in term.root.glob(f"feedback/*/{assignment}/{assignment}.html")
    }
    found["feedback"] = {
        student: float(title[1]) for student, title in titles.items() if title and student in found["csv"]
    }
    students = {row["student"] for row in content if row["outcome"] != "exempt"}
    with Gradebook(f"sqlite:///{term.root / 'gradebook.db'}", "handgrad") as gradebook:
        found["gradebook"] = {
            submission.student_id: submission.score - submission.late_submission_penalty
            for submission in gradebook.assignment_submissions(assignment)
            if submission.student_id in students
            and any(grade.auto_score is not None for book in submission.notebooks for grade in book.grades)
        }
    return found


def of_canvas(term: Term) -> dict[str, float]:
    """The first assignment: three are late, one is known by another number. The scores that are right."""
    expected = {student: POINTS[CANVAS] - (student in WRONG) for student in STUDENTS[:-1]}
    late = {"u001", "u002", "u003"}
    files = {}
    for student in STUDENTS[:-1]:
        first, last = name(student)
        number = "999" if student == "u059" else lms(student)
        start = f"{last}{first}_{'LATE_' * (student in late)}{number}".replace(
            f"{last}{first}", f"{last}{first}".lower()
        )
        files[f"{start}_{9000 + int(student[1:])}_{CANVAS}.ipynb"] = term.notebook(CANVAS, student)
    term.archive(CANVAS, files)
    term.run("handgrad", "students", "extend", "u001", "--days", "5", CANVAS, kill=2.0)
    said = term.run("nbgrader", "zip_collect", CANVAS, "--force", kill=2.5)
    assert "999 (last059first059) is not in the roster; nearest: u059 (First059 Last059)" in said
    said = term.grade(CANVAS)
    assert "999 (last059first059) is not in the roster" in " ".join(said.split())
    assert re.search(r"u002\b.*\b10 .*late: 1 point off", said)
    term.run("handgrad", "students", "match", "999", "u059", kill=2.0)
    expected["u002"] -= 1
    said = term.run("handgrad", "students", "extend", "u003", "--days", "2", CANVAS)
    assert "the late penalty is 0 now, the score 11" in said
    rule = ("--mistake", "scale", "--points", "0.5", "--reason", "unclear")
    term.run("handgrad", "accept", CANVAS, "dlogits", *rule, kill=3.0)
    for student in WRONG - {"u060"}:
        expected[student] += 0.5
    with Gradebook(f"sqlite:///{term.root / 'gradebook.db'}", "handgrad") as gradebook:
        gradebook.find_grade("check_dpooled", CANVAS, CANVAS, "u021").manual_score = 0.25
        gradebook.find_grade("check_dpooled", CANVAS, CANVAS, "u022").extra_credit = 0.5
        gradebook.db.commit()
    expected["u021"] -= 0.75
    expected["u022"] += 0.5
    term.run("handgrad", "students", "withdraw", "u007", kill=1.5)
    del expected["u007"]
    return expected


def of_moodle(term: Term) -> dict[str, float]:
    """The second: one is exempt, and the due date moves after grading. The scores that are right."""
    expected = {student: POINTS[MOODLE] - (student in WRONG) for student in STUDENTS if student != "u007"}
    files = {}
    for student in STUDENTS:
        folder = f"{' '.join(name(student))}_{7000 + int(student[1:])}_assignsubmission_file"
        files[f"{folder}/{MOODLE}.ipynb"] = term.notebook(MOODLE, student)
    term.archive(MOODLE, files)
    path = term.root / "downloaded" / MOODLE / "archive" / "Grades.csv"
    path.write_text(worksheet({"u030": 3, "u031": 5}), encoding="utf-8")
    term.run("handgrad", "students", "exempt", "u005", MOODLE)
    del expected["u005"]
    term.run("nbgrader", "zip_collect", MOODLE, "--force")
    said = term.grade(MOODLE)
    assert re.search(r"u030\b.*late: 2 points off", said)
    term.run("nbgrader", "db", "assignment", "add", MOODLE, "--duedate", "2026-03-03 23:59:59 UTC")
    expected["u031"] -= 2
    return expected


def of_folders(term: Term) -> dict[str, float]:
    """The third: a group hands in one notebook, and one student a broken one again. The scores that are right."""
    expected = {student: POINTS[FOLDERS] - (student in WRONG) for student in STUDENTS[:-1] if student != "u007"}
    with (term.root / "students.csv").open("a", encoding="utf-8") as file:
        file.writelines(f",{student},,Team 3,\n" for student in ("u010", "u011", "u012"))
    for student in STUDENTS[:-1]:
        if student not in ("u010", "u011"):
            term.hand_in(FOLDERS, student, "2026-03-01 12:00:00 UTC")
    expected["u010"] = expected["u011"] = expected["u012"]
    term.grade(FOLDERS)
    term.hand_in(FOLDERS, "u022", content="{")
    assert "the score is from an earlier hand-in" in term.run("handgrad", "grade", FOLDERS)
    return expected


def newer_grader(term: Term, assignment: str) -> None:
    """Grade with a grader of other code: all are graded again, and told why."""
    patched = f"""
import sys
from handgrad.cli import main
from handgrad.course.workers import task
task.code_digest = task.bytes_digest = lambda: "f" * 64
sys.argv = ["handgrad", "grade", {assignment!r}, "--workers", "1"]
main()
"""
    said = term.run(sys.executable, "-c", patched)
    assert "the grader has changed: handgrad's grading code" in said


@pytest.mark.slow
def test_a_term(tmp_path: Path) -> None:
    """Sixty students, Canvas and Moodle, extensions, drop-outs, a group, manual scores, a new grader, kill -9."""
    term = Term(tmp_path)
    (tmp_path / "roster.csv").write_text(roster(), encoding="utf-8")
    term.run("handgrad", "students", "import", "roster.csv", kill=2.5)
    addresses = "id,email\n" + "".join(f"{student},{student}@example.org\n" for student in STUDENTS)
    (tmp_path / "addresses.csv").write_text(addresses, encoding="utf-8")
    term.run("handgrad", "students", "import", "addresses.csv")
    for assignment in POINTS:
        term.run("nbgrader", "db", "assignment", "add", assignment, "--duedate", "2026-03-01 23:59:59 UTC")
    expected = {CANVAS: of_canvas(term), MOODLE: of_moodle(term), FOLDERS: of_folders(term)}
    for assignment, scores in expected.items():
        assert everywhere(term, assignment)["csv"] == scores, assignment
    newer_grader(term, CANVAS)
    for form in ("csv", "canvas", "moodle", "json", "gradescope"):
        term.run("handgrad", "export", CANVAS, "--format", form, "-o", f"scores.{form}", kill=1.0)
    term.run("handgrad", "report", CANVAS, kill=2.5)
    for assignment in POINTS:
        term.run("handgrad", "feedback", assignment, kill=3.0)

    for assignment, scores in expected.items():
        for place, found in everywhere(term, assignment).items():
            assert found == scores, (assignment, place)
    term.run("handgrad", "report", kill=2.0)
    with (tmp_path / "term.csv").open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert "u007" not in rows
    assert float(rows["u003"]["total"]) == sum(scores["u003"] for scores in expected.values())
