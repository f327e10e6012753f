"""A class: what is done is kept and not done twice, whatever happens in between."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.authoring.cases import read_cases
from handgrad.course.commands import doctor
from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import grade_class, stored_reports, what_would_change
from handgrad.course.course import Course
from handgrad.course.nbgrader import commands
from handgrad.course.nbgrader.scores import entries, set_manual_scores
from handgrad.errors import CourseError, ExerciseError
from helpers.courses import (
    RIGHT,
    SLIP,
    UNTOUCHED,
    WORKER,
    Told,
    class_of,
    done,
    grade,
    hand_in,
    hand_in_file,
    make_course,
    scores,
    wait_for,
)
from helpers.paths import ATTACKS, ENVIRONMENT, MISTAKES


@pytest.mark.slow
def test_only_what_changed(tmp_path: Path) -> None:
    """A second run does what is new or changed, or has lost its files, and nothing else; --force does all.

    A page that is missing is written again, and a date changes: nothing is run for these.
    """
    course = make_course(tmp_path, ann=RIGHT, bob=SLIP, cid=UNTOUCHED)
    first = grade(course, feedback=True)
    assert (first.unchanged, first.left) == (0, 3)
    assert scores(course) == {"ann": 26.0, "bob": SLIP.score, "cid": 0.0}
    again = grade(course, feedback=True)
    assert (again.unchanged, again.left, again.reports) == (3, 0, [])
    # another notebook with an older date is another notebook: content counts, not time
    path = hand_in(tmp_path, "bob", RIGHT)
    os.utime(path, (0, 0))
    hand_in(tmp_path, "dan", SLIP)
    (tmp_path / "feedback/cid/backprop/backprop.html").unlink()
    changed = grade(course, feedback=True)
    assert sorted(report.student for report in changed.reports) == ["bob", "dan"]
    assert (tmp_path / "feedback/cid/backprop/backprop.html").is_file()
    assert scores(course) == {"ann": 26.0, "bob": 26.0, "cid": 0.0, "dan": SLIP.score}
    shutil.rmtree(tmp_path / "autograded/ann")
    (tmp_path / "submitted/dan/backprop/timestamp.txt").write_text("2026-01-01 12:00 UTC", encoding="utf-8")
    lost = grade(course)
    assert sorted(report.student for report in lost.reports) == ["ann"]
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}", "handgrad") as gradebook:
        assert gradebook.find_submission("backprop", "dan").timestamp == datetime(2026, 1, 1, 12)
    (tmp_path / "nbgrader_config.py").write_text(
        (tmp_path / "nbgrader_config.py").read_text(encoding="utf-8").replace("[5]", "[6]"), encoding="utf-8"
    )
    assert grade(Course.at(tmp_path)).left == 4
    (tmp_path / "gradebook.db").unlink()
    assert grade(Course.at(tmp_path)).left == 4
    assert grade(Course.at(tmp_path), "ann", force=True).left == 1
    assert len(stored_reports(course, "backprop")) == 4


def test_names_and_globs(tmp_path: Path) -> None:
    """Students are named or matched; a name that fits nobody is an error that suggests one, and grades nobody."""
    course = make_course(tmp_path, ann=RIGHT, anton=SLIP, bob=UNTOUCHED)
    assert sorted(report.student for report in grade(course, "an*").reports) == ["ann", "anton"]
    assert sorted(report.student for report in grade(course, "bob", "ann", force=True).reports) == ["ann", "bob"]
    with pytest.raises(CourseError, match=r"nobody called 'antom' has handed in backprop\. Did you mean anton\?"):
        grade(course, "antom", force=True)
    for path in ("../../x", "ann/../bob", "/etc"):
        with pytest.raises(CourseError, match="nobody called"):
            grade(course, path)
    with pytest.raises(CourseError, match="--notebook other does not match it"):
        grade_class(course, "backprop", notebooks=["other"], executor=WORKER, workers=1)
    assert [
        report.student
        for report in grade_class(course, "backprop", ["ann"], ["back*"], feedback=False, executor=WORKER)
    ] == ["ann"]


def test_points_that_change(tmp_path: Path) -> None:
    """Points that are changed in the source reach a gradebook that knows the assignment, on the next run."""
    course = make_course(tmp_path, ann=RIGHT)
    grade(course)
    path = tmp_path / "source/backprop/backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "check_dprobs":
            cell.metadata.nbgrader.points = 3
    nbformat.write(notebook, path)
    assert grade(course).left == 1
    assert scores(course) == {"ann": 28.0}


def test_a_text_that_a_human_marks(tmp_path: Path) -> None:
    """A text answer waits for an instructor unless it is unchanged; its points count in every maximum."""
    course = make_course(tmp_path)
    path = tmp_path / "source/backprop/backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    facts = {"grade": True, "solution": True, "locked": False, "task": False, "schema_version": 3, "points": 4}
    question = nbformat.v4.new_markdown_cell("Why?", metadata={"nbgrader": {**facts, "grade_id": "why"}})
    notebook.cells.append(question)
    nbformat.write(notebook, path)
    commands.release(course, "backprop")
    released = nbformat.read(tmp_path / "release/backprop/backprop.ipynb", as_version=4)
    for student, text in (("bob", released.cells[-1].source), ("ann", "Since the sum is a constant.")):
        released.cells[-1].source = text
        (folder := tmp_path / "submitted" / student / "backprop").mkdir(parents=True)
        nbformat.write(released, folder / "backprop.ipynb")
    changes = what_would_change(course, "backprop", executor=WORKER, workers=1)
    assert [change.entry_after.max_score for change in changes if change.entry_after] == [30.0, 30.0]
    grade(course)
    found = entries(course, "backprop")
    assert {student: (entry.score, entry.max_score, entry.waiting) for student, entry in found.items()} == {
        "ann": (0.0, 30.0, True),
        "bob": (0.0, 30.0, False),
    }
    exported = export(course, "backprop", "csv")
    assert exported.waiting == ["ann"]
    assert ",0,30," in exported.text
    set_manual_scores(course, "backprop", "why", {"ann": 3.0})
    grade(course)
    assert entries(course, "backprop")["ann"].score == 3.0
    assert export(course, "backprop", "csv").waiting == []


def test_not_a_notebook_any_more(tmp_path: Path) -> None:
    """If a graded file is replaced by one that cannot be read, the old score stays and needs manual review."""
    course = make_course(tmp_path, ann=RIGHT, bob=RIGHT)
    grade(course)
    (tmp_path / "submitted/ann/backprop/backprop.ipynb").write_text("{", encoding="utf-8")
    (tmp_path / "submitted/zoe/backprop").mkdir(parents=True)
    (tmp_path / "submitted/zoe/backprop/backprop.ipynb").write_text("", encoding="utf-8")
    outcomes = {report.student: report.outcome for report in grade(course).reports}
    assert outcomes == {"ann": "unreadable", "zoe": "unreadable"}
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}", "handgrad") as gradebook:
        submission = gradebook.find_submission("backprop", "ann")
        assert submission.score == 26
        assert submission.needs_manual_grade
        comments = [comment.comment or "" for comment in submission.notebooks[0].comments]
        assert any("half-written" in comment for comment in comments)
        assert not gradebook.find_submission("backprop", "bob").needs_manual_grade
        assert sorted(student.id for student in gradebook.students) == ["ann", "bob"]


def test_functions_in_the_configuration(tmp_path: Path) -> None:
    """A hook or a plugin that is written in the configuration's own file keeps nobody from being graded."""
    make_course(tmp_path, ann=RIGHT)
    with (tmp_path / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write("c.Autograde.pre_convert_hook = lambda **kwargs: None\n")
        file.write("from nbgrader.plugins import LateSubmissionPlugin\n")
        file.write("class Lenient(LateSubmissionPlugin):\n    pass\nc.AssignLatePenalties.plugin_class = Lenient\n")
    course = Course.at(tmp_path)
    grade(course)
    assert scores(course) == {"ann": 26.0}
    assert grade(Course.at(tmp_path)).left == 0


def test_an_exercise_that_cannot_be_graded(tmp_path: Path) -> None:
    """An exercise whose own cells raise is one error, before anyone is graded."""
    course = make_course(tmp_path, ann=RIGHT, bob=RIGHT)
    path = tmp_path / "source/backprop/backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())).source += "\n1 / 0"
    nbformat.write(notebook, path)
    with pytest.raises(ExerciseError, match="ZeroDivisionError"):
        grade(course)
    assert scores(course) == {}
    assert stored_reports(course, "backprop") == []


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second command on the same course is told who is at work, and waits; then it gives up, or goes on."""
    course = class_of(tmp_path, 3)
    first = grade_in_background(course)
    try:
        wait_for((tmp_path / ".handgrad/grading.json").exists)
        course.config.Handgrad.wait_seconds = 0.5
        with pytest.raises(CourseError) as raised:
            grade(Course(course.root, course.config))
        for part in ("`handgrad grade backprop", f"process {first.pid}, since ", "after 0.5 seconds"):
            assert part in str(raised.value)
        second = subprocess.run(
            ["handgrad", "grade", "backprop"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert f"(process {first.pid}, " in second.stderr
        assert "waiting up to 60 seconds" in second.stderr
        assert "3 graded" in second.stdout
    finally:
        assert first.wait() == 1
    assert not (tmp_path / ".handgrad/grading.json").exists()
    # a process that died, or wrote something else, is not named
    for text in (
        '{"command": "handgrad grade", "user": "ann", "host": 1, "process": 1, "since": 2}',
        "[",
        "x" * 20_000,
    ):
        (tmp_path / ".handgrad/grading.json").write_text(text, encoding="utf-8")
        assert grade(course).left in (0, 3)


def test_a_locked_gradebook(tmp_path: Path) -> None:
    """Who may hold it is said, by each command and by `doctor`; a command waits until it is free."""
    course = make_course(tmp_path, ann=RIGHT)
    grade(course)
    program = """
import sqlite3, sys
connection = sqlite3.connect("gradebook.db", isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
    holding = [sys.executable, "-c", program]
    with subprocess.Popen(holding, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        course.config.Handgrad.wait_seconds = 0.5
        impatient = Course(course.root, course.config)
        for use in (
            lambda: grade(impatient, force=True),
            lambda: commands.release(impatient, "cross_entropy"),
            lambda: set_manual_scores(impatient, "backprop", "check_dC", {"ann": 1.0}),
            lambda: entries(impatient, "backprop"),
        ):
            with pytest.raises(CourseError) as raised:
                use()
            assert f"process {holder.pid} of " in str(raised.value)
            assert "for 0.5 seconds" in str(raised.value)
        found = "\n".join(f"{finding.what} {finding.remedy}" for finding in doctor.examine(impatient))
        assert f"is locked by another program one of these holds it; end it, or wait:\nprocess {holder.pid} " in found
        second = subprocess.Popen(
            ["handgrad", "grade", "backprop", "--force", "--no-feedback"],
            cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert second.stderr is not None
        assert f"is locked (process {holder.pid} of " in second.stderr.readline()
        holder.communicate("")
        assert "1 graded" in second.communicate()[0]
    assert "nobody holds the gradebook" in [finding.what for finding in doctor.examine(course)]


def grade_in_background(course: Course, *arguments: str) -> subprocess.Popen[bytes]:
    """`handgrad grade` as a process of its own, the head of its own group."""
    command = ["handgrad", "grade", "backprop", "--no-feedback", "--workers", "2", *arguments]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=course.root, env=ENVIRONMENT, stdout=quiet, stderr=quiet, start_new_session=True
    )


def rows(course: Course) -> list[tuple[object, ...]]:
    """Every grade and comment in the gradebook."""
    found: list[tuple[object, ...]] = []
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}", "handgrad") as gradebook:
        for submission in gradebook.assignment_submissions("backprop"):
            for notebook in submission.notebooks:
                for entry in notebook.grades:
                    found.append((submission.student_id, entry.name, entry.auto_score, entry.needs_manual_grade))
                found += [(submission.student_id, comment.name, comment.comment) for comment in notebook.comments]
    return sorted(found, key=repr)


def kill_and_go_on(course: Course, points: Iterator[int], how: signal.Signals) -> None:
    """Kill a run each time when so many are done; then let one run to its end."""
    for point in points:
        run = grade_in_background(course)
        wait_for(lambda point=point, run=run: done(course) >= point or run.poll() is not None)
        os.kill(run.pid, how)
        run.wait()
        # what the killed run had started goes away by itself
        wait_for(lambda run=run: not group(run.pid))
    assert grade_in_background(course).wait() in (0, 1)


def group(leader: int) -> list[int]:
    """Processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if fields[2] == str(leader) and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_run_again(tmp_path: Path, how: signal.Signals) -> None:
    """A run that is killed, or stopped by Ctrl-C, and run again leaves what an undisturbed one leaves."""
    disturbed, undisturbed = class_of(tmp_path / "a", 8), class_of(tmp_path / "b", 8)
    grade(undisturbed)
    kill_and_go_on(disturbed, iter((1, 4)), how)
    assert rows(disturbed) == rows(undisturbed)
    assert len(stored_reports(disturbed, "backprop")) == 8
    assert done(disturbed) == 8
    assert not [path for path in (disturbed.root / ".handgrad").iterdir() if path.name.startswith("autograded-")]


@pytest.mark.slow
def test_one_in_five_is_hostile(tmp_path: Path) -> None:
    """Of 200 submissions 40 are attacks or broken: every honest one has its score, and time is lost to limits only."""
    honest = [case for case in read_cases(MISTAKES) if case.student and case.name != "infinite-loop"]
    hostile = read_cases(ATTACKS)
    courses = {"clean": make_course(tmp_path / "clean"), "mixed": make_course(tmp_path / "mixed")}
    expected: dict[str, float] = {}
    for number in range(200):
        case = honest[number % len(honest)]
        hand_in_file(courses["clean"].root, f"s{number:03}", case)
        if number % 5 == 4:
            case = hostile[number // 5 * len(hostile) // 40]
        else:
            expected[f"s{number:03}"] = case.score
        hand_in_file(courses["mixed"].root, f"s{number:03}", case)
    seconds, reports = {}, {}
    for name, course in courses.items():
        begin, told = time.monotonic(), Told()
        grade_class(course, "backprop", workers=2, feedback=False, watch=told)
        reports[name] = told.reports
        seconds[name] = time.monotonic() - begin
    assert {student: score for student, score in scores(courses["mixed"]).items() if student in expected} == expected
    assert len(reports["mixed"]) == 200
    assert all(report.outcome != "not-graded" for report in reports["mixed"])
    # what the attackers took, limits that they ran into included; and room for a machine that has other things to do
    hit = sum(report.seconds for report in reports["mixed"] if report.student not in expected)
    print(f"clean {seconds['clean']:.1f} s, mixed {seconds['mixed']:.1f} s, of which attackers {hit:.1f} s")
    assert seconds["mixed"] <= 2 * seconds["clean"] + hit


@pytest.mark.slow
def test_killed_at_many_points(tmp_path: Path) -> None:
    """A run of 200 that is killed at six points leaves what an undisturbed one leaves."""
    disturbed, undisturbed = class_of(tmp_path / "a", 200), class_of(tmp_path / "b", 200)
    grade(undisturbed)
    kill_and_go_on(disturbed, iter((0, 1, 20, 77, 130, 199)), signal.SIGKILL)
    assert rows(disturbed) == rows(undisturbed)
    assert done(disturbed) == 200


@pytest.mark.slow
def test_a_worker_that_dies(tmp_path: Path) -> None:
    """A worker that is killed is replaced, and nobody's score is lost."""
    course = class_of(tmp_path, 8)
    run = grade_in_background(course)
    wait_for(lambda: done(course) >= 1)
    # workers are forked from a server that is the run's child
    workers = [pid for pid in group(run.pid) if "forkserver" in _command(pid) and _parent(pid) != run.pid]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert run.wait() == 1
    assert len(scores(course)) == 8
    assert set(scores(course).values()) == {26.0, SLIP.score}


def _command(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
    return ""


def _parent(process: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return 0
