"""A class in which some handed in texts that cost a parser hours: nobody else notices, whichever command reads them."""

import copy
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from handgrad.course.commands.grade_class import grade_class, stored_reports, what_would_change
from handgrad.course.commands.look_alikes import look_alikes
from handgrad.course.course import Course
from handgrad.course.workers.pool import Pool
from handgrad.course.workers.task import SubmittedFile, Task
from handgrad.report.records import Report
from helpers.courses import RIGHT, SLIP, class_of, hand_in, make_course
from helpers.inputs import named
from helpers.paths import BIN, ENVIRONMENT, attack

pytestmark = pytest.mark.slow

MAGICS = "!x\n"


def _code(*sources: str) -> Callable[[NotebookNode], None]:
    """Add code cells."""

    def add(notebook: NotebookNode) -> None:
        cells = enumerate(sources)
        notebook.cells += [nbformat.v4.new_code_cell(source, id=f"own-{number}") for number, source in cells]

    return add


def _text(*sources: str) -> Callable[[NotebookNode], None]:
    """Add text cells."""

    def add(notebook: NotebookNode) -> None:
        cells = enumerate(sources)
        notebook.cells += [nbformat.v4.new_markdown_cell(source, id=f"own-{number}") for number, source in cells]

    return add


BOMBS: dict[str, Callable[[NotebookNode], None]] = {
    "magics-499": _code(MAGICS * 499),
    "magics-600": _code(MAGICS * 600),
    "magics-in-many-cells": _code(*(f"{MAGICS * 100}!{number}" for number in range(20))),
    "help": _code("x?\n" * 499),
    "assigned-magics": _code("files = !ls\n" * 499),
    "math": _text(*["\\\\(" * 20_000] * 4),
    "environments": _text("\\begin{a}" * 30_000),
    "heading": _text("# a" + " " * 200_000 + "b"),
    "nested": _text("<div><p>" * 20_000),
    "brackets": _code("(" * 100_000, "x = " + "-" * 50_000 + "1", "a" + ".b" * 100_000),
}
"""What students add to a right notebook."""


def _add(path: Path, bomb: Callable[[NotebookNode], None]) -> None:
    notebook = nbformat.read(path, as_version=4)
    bomb(notebook)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Two ordinary students, and one with each bomb: in the notebook, and beside it as ``other``."""
    folder = tmp_path_factory.mktemp("costly")
    course = make_course(folder, ann=RIGHT, bob=SLIP)
    for name, bomb in BOMBS.items():
        _add(hand_in(folder, name, RIGHT), bomb)
    path = hand_in(folder, "other", RIGHT)
    beside = nbformat.v4.new_notebook()
    for name in ("magics-499", "magics-600", "brackets"):
        own = copy.deepcopy(beside)
        BOMBS[name](own)
        nbformat.write(own, path.with_name(f"{name}.ipynb"))
    deep = "[" * 200_000
    path.with_name("deep.ipynb").write_text(f'{{"cells": {deep}', encoding="utf-8")
    return course


@pytest.fixture(scope="module")
def reports(course: Course) -> dict[str, Report]:
    """The class, graded once."""
    started = time.monotonic()
    graded = grade_class(course, "backprop", workers=2)
    assert time.monotonic() - started < 120
    return {report.student: report for report in graded}


def test_the_others_are_as_alone(reports: dict[str, Report]) -> None:
    """Their scores are their own, and everyone who handed in a bomb has a report too."""
    assert {*reports} == {"ann", "bob", "other", *BOMBS}
    assert reports["ann"].score == 26.0
    assert reports["bob"].score == SLIP.score
    for name in (*BOMBS, "other"):
        with named(name):
            # cheap enough to be graded: a cell that cannot be read costs nothing
            assert reports[name].outcome == "graded" or reports[name].message
            assert reports[name].outcome != "graded" or reports[name].score == 26.0


def test_a_page_for_everyone(course: Course, reports: dict[str, Report]) -> None:
    """What takes too long to render is shown as it was typed, and the page says so."""
    for name in ("math", "environments"):
        page = (course.root / "feedback" / name / "backprop" / "backprop.html").read_text(encoding="utf-8")
        assert "shown as it was typed" in page
    assert len(list(course.root.glob("feedback/*/backprop/backprop.html"))) == sum(
        report.outcome == "graded" for report in reports.values()
    )


def test_other_commands(course: Course, reports: dict[str, Report]) -> None:
    """A dry run, the stored reports and the look-alikes read the same class."""
    started = time.monotonic()
    assert len(what_would_change(course, "backprop", workers=1)) == len(reports)
    assert len(stored_reports(course, "backprop")) == len(reports)
    assert isinstance(look_alikes(course, "backprop"), list)
    assert time.monotonic() - started < 60


def test_nbgraders_commands(course: Course, reports: dict[str, Report]) -> None:
    """`nbgrader autograde` and `generate_feedback` read the same files, and end with a page for everyone."""
    folder = course.root
    # nbgrader refuses notebooks that the assignment does not have
    options = ["backprop", "--force", "--CourseDirectory.student_id_exclude=other"]
    for command in ("autograde", "generate_feedback"):
        done = subprocess.run(
            ["nbgrader", command, *options],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert "shown as it was typed" in (folder / "feedback/math/backprop/backprop.html").read_text(encoding="utf-8")
    stored = {report.student: report for report in stored_reports(course, "backprop")}
    assert {stored[name].score for name in BOMBS} == {26.0}


def test_over_the_limit(course: Course) -> None:
    """Whatever takes more than its time is not graded, with a sentence, and the next submission is."""
    task = replace(Task.of(course, course.exercise("backprop")), text_seconds=0.6)
    names = {"magics-in-many-cells": "not-graded", "ann": "graded"}
    files = {name: course.root / "submitted" / name / "backprop" / "backprop.ipynb" for name in names}
    with Pool("handgrad.course.workers.worker", 1, common=(task,)) as pool:
        for name, path in files.items():
            result = pool.call("grade", SubmittedFile(name, path.name, path.read_bytes()))
            assert result.report.outcome == names[name]
            assert ("0.6 seconds of processor time" in result.report.message) == (name != "ann")


@pytest.mark.parametrize("name", ["magics-600", "math"])
def test_check(course: Course, name: str) -> None:
    """A check of one of these notebooks ends, with a report or with a sentence."""
    path = course.root / "submitted" / name / "backprop" / "backprop.ipynb"
    done = subprocess.run(
        [BIN / "handgrad", "check", path, "--format", "json"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert sum(check["points"] for check in json.loads(done.stdout)["checks"]) == 26.0


def test_a_class_of_sixty(tmp_path: Path) -> None:
    """With a file of each kind among them, the others' scores are as alone, and the time has the stated bound."""
    alone = class_of(tmp_path / "alone", 48)
    expected = {report.student: report.score for report in grade_class(alone, "backprop", workers=2)}
    together = class_of(tmp_path / "together", 48)
    for name, bomb in BOMBS.items():
        _add(hand_in(together.root, name, RIGHT), bomb)
    hand_in(together.root, "drip", attack("slow-drip"))
    path = hand_in(together.root, "link", RIGHT)
    (together.root / "seeds.txt").write_text("31415926", encoding="utf-8")
    path.with_name("timestamp.txt").symlink_to(together.root / "seeds.txt")
    started = time.monotonic()
    reports = {report.student: report for report in grade_class(together, "backprop", workers=2)}
    elapsed = time.monotonic() - started
    assert len(reports) == 60
    assert {name: reports[name].score for name in expected} == expected
    assert reports["link"].outcome == "unreadable"
    assert "timestamp.txt is a link" in reports["link"].message
    assert "31415926" not in reports["link"].message
    # docs/why/security.md: a worker is killed at twice the 30 s of a text, plus 5 s; cells have the course's limits
    hostile = len(reports) - len(expected)
    assert elapsed < hostile * (65 + together.settings.limits.submission_seconds)
