"""A term: one page and one csv over all assignments of a course."""

import csv
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from handgrad.cli import app
from handgrad.course.commands.term_page import write_term
from handgrad.course.course import Course
from handgrad.course.report_store import STORE, ReportStore
from handgrad.errors import CourseError
from handgrad.report.pages import term_page
from handgrad.report.records import Diagnosis, ScoreEntry, Verdict
from handgrad.report.term import Term, TermAssignment, term_csv
from helpers.paths import ROOT
from helpers.reports import RIGHT, WRONG, a_term, report

SCALE = Diagnosis("scale", "dx is too large.", "Divide.", "dx")
RIGHT_DX = Verdict("check_dx", "dx", "passed", 1.0, 1.0, RIGHT)
WRONG_DX = Verdict("check_dx", "dx", "failed", 0.0, 1.0, WRONG, SCALE)
DY = Verdict("check_dy", "dy", "passed", 2.0, 2.0, RIGHT)


HANDED_IN = {
    "attention": {"ann": WRONG_DX, "bob": RIGHT_DX, "cid": RIGHT_DX},
    "backprop": {"ann": WRONG_DX, "bob": WRONG_DX},
}


def make_course(folder: Path) -> Course:
    """A course with the project's exercises and nothing handed in."""
    (folder / "source").symlink_to(ROOT / "source")
    (folder / "nbgrader_config.py").write_bytes((ROOT / "nbgrader_config.py").read_bytes())
    return Course.at(folder)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Two assignments: ann makes a mistake in both, bob in the second, cid hands in once, zoe never."""
    course = make_course(tmp_path_factory.mktemp("term"))
    store, database = ReportStore(course.private_folder / STORE), course.root / "gradebook.db"
    for assignment, students in HANDED_IN.items():
        for student, verdict in students.items():
            store.put(replace(report(student=student, checks=(verdict, DY)), assignment=assignment))
    store.put(replace(report("unreadable", "cid"), assignment="backprop"))
    with Gradebook(f"sqlite:///{database}", "handgrad") as gradebook:
        for student, first, last in (("ann", "Ada", "Lovelace"), ("bob", "=1+1", ""), ("zoe", "Emmy", "Noether")):
            gradebook.update_or_create_student(student, first_name=first, last_name=last)
    return course


def test_every_student_has_a_line(course: Course) -> None:
    """Scores, totals and the mistakes that come back; what is missing is empty, never zero; no field is a formula."""
    _, page, table = write_term(course)
    assert (page, table) == (course.root / "term.html", course.root / "term.csv")
    assert page.stat().st_mode & 0o077 == table.stat().st_mode & 0o077 == 0
    rows = list(csv.reader(StringIO(table.read_text(encoding="utf-8"))))
    assert rows == [
        ["student", "name", "attention", "backprop", "total", "max_total", "mistakes_again"],
        ["ann", "Ada Lovelace", "2", "2", "4", "6", "scale: attention, backprop"],
        ["bob", "'=1+1", "3", "2", "5", "6", ""],
        ["cid", "", "3", "", "3", "6", ""],
        ["zoe", "Emmy Noether", "", "", "", "6", ""],
    ]
    text = page.read_text(encoding="utf-8")
    assert text.count("<tr data-is=") == 4
    assert '<tr data-is="all again">' in text
    assert 'scale <span class="soft">(attention, backprop)</span>' in text
    assert not re.search(r'<a href="(?!#)', text)


def test_the_class_repeats_a_mistake(course: Course) -> None:
    """A mistake of more than one assignment is counted in each, and who made it again."""
    term, _, _ = write_term(course)
    assert [(found.mistake, dict(found.students), found.again) for found in term.returning] == [
        ("scale", {"attention": 1, "backprop": 2}, 1)
    ]
    assert [(item.assignment, item.gradient, item.statistics.difficulty) for item in term.items] == [
        ("backprop", "dx", 0.0),
        ("attention", "dx", pytest.approx(2 / 3)),
        ("attention", "dy", 1.0),
        ("backprop", "dy", 1.0),
    ]


def test_scores_are_the_gradebooks() -> None:
    """A penalty counts; an assignment that nbgrader's own steps graded has scores and no reports."""
    late = TermAssignment("a", {"ann": report(student="ann", checks=(DY,))}, {"ann": ScoreEntry(2.0, 2.0, 0.5)})
    essay = TermAssignment("essay", {}, {"ann": ScoreEntry(7.0, 10.0), "bob": ScoreEntry(0.0, 10.0)})
    rows = list(csv.DictReader(StringIO(term_csv(Term([late, essay])))))
    assert [(row["student"], row["a"], row["essay"], row["total"], row["max_total"]) for row in rows] == [
        ("ann", "1.5", "7", "8.5", "12"),
        ("bob", "", "0", "0", "12"),
    ]


def test_the_command(course: Course) -> None:
    """`handgrad report` without an assignment writes both, beside each other; what cannot be done is one sentence."""
    done = CliRunner().invoke(app, ["report", "--course", str(course.root), "-o", str(course.root / "spring.html")])
    assert done.exit_code == 0, done.output
    assert re.search(r"^attention +3 +2\.7 +3 +3$", done.output, re.MULTILINE)
    assert "Mistakes that students made again (how many): scale (1)." in done.output
    assert (course.root / "spring.csv").is_file()
    for arguments, sentence in ((["--no-names"], "name an assignment"), (["-o", "term.csv"], "name of the csv too")):
        done = CliRunner().invoke(app, ["report", "--course", str(course.root), *arguments])
        assert isinstance(done.exception, CourseError)
        assert sentence in str(done.exception)


def test_nothing_graded(tmp_path: Path) -> None:
    """A course without a graded submission has no term, and no file is made."""
    with pytest.raises(CourseError, match="no submission of any assignment has been graded"):
        write_term(make_course(tmp_path))
    assert not list(tmp_path.glob("term.*"))


def test_a_large_term_is_small() -> None:
    """The page of 300 students and 7 assignments has no more than a megabyte."""
    assert len(term_page(a_term(300, 7), "The term")) < 1_000_000
