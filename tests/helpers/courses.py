"""Small courses of backprop in a folder of a test's own: handed in, graded, and what the gradebook holds then."""

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from handgrad.authoring.cases import Case
from handgrad.course.commands.grade_class import grade_class
from handgrad.course.course import Course
from handgrad.report.records import Report
from helpers.paths import ROOT, mistake

SETTINGS = "c.Handgrad.seeds = [5]\nc.Handgrad.cell_seconds = 3.0\n"
TWO_POINTS = """
from nbgrader.plugins import LateSubmissionPlugin

class TwoPoints(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return 2.0

c.AssignLatePenalties.plugin_class = TwoPoints
"""
"""Lines of a configuration that take off two points for any delay."""
RIGHT, SLIP, UNTOUCHED = (mistake(name) for name in ("solution", "early-slip", "untouched"))


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.unchanged, self.left = -1, -1
        self.again: Mapping[str, int] = {}
        self.reports: list[Report] = []

    def begin(self, unchanged: int, left: int, seconds: float, again: Mapping[str, int]) -> None:
        self.unchanged, self.left, self.again = unchanged, left, again

    def take(self, report: Report) -> None:
        self.reports.append(report)


def make_course(folder: Path, **students: Case) -> Course:
    """A course in which ``students`` have handed in."""
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind, folder / kind)
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (folder / "nbgrader_config.py").write_text(config + SETTINGS, encoding="utf-8")
    for student, case in students.items():
        hand_in(folder, student, case)
    return Course.at(folder)


def hand_in(folder: Path, student: str, case: Case, last: str = "") -> Path:
    """Let a student hand in a case, with a last cell of their own."""
    release, solution = (
        nbformat.read(folder / kind / "backprop" / "backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )
    notebook = case.notebook(release, solution)
    if last:
        notebook.cells.append(nbformat.v4.new_code_cell(last, id="last-of-all"))
    path = folder / "submitted" / student / "backprop" / "backprop.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


WORKER = ThreadPoolExecutor(1)
"""A worker in this process, which stays warm between two gradings; processes have tests of their own."""


def grade(course: Course, *students: str, force: bool = False, feedback: bool = False) -> Told:
    """Grade the class; what was told."""
    told = Told()
    grade_class(course, "backprop", students, executor=WORKER, workers=1, force=force, feedback=feedback, watch=told)
    return told


def scores(course: Course) -> dict[str, float]:
    """Scores in the gradebook."""
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}", "handgrad") as gradebook:
        return {submission.student_id: submission.score for submission in gradebook.assignment_submissions("backprop")}


def class_of(folder: Path, size: int) -> Course:
    """A course with so many students, no two notebooks alike, one in four with a mistake."""
    course = make_course(folder)
    for number in range(size):
        hand_in(folder, f"s{number:03}", SLIP if number % 4 == 0 else RIGHT, f"student = {number}")
    return course


def hand_in_file(folder: Path, student: str, case: Case) -> None:
    """Let a student hand in what a case hands in, byte for byte."""
    release, solution = (
        nbformat.read(folder / kind / "backprop" / "backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )
    path = folder / "submitted" / student / "backprop" / "backprop.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(case.content(release, solution))


def wait_for(condition: object, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def done(course: Course) -> int:
    """Students whose autograded notebook is there."""
    return len(list(course.root.glob("autograded/*/backprop/backprop.ipynb")))
