"""Dry run of an assignment in a temporary folder: released, solved, and graded by nbgrader and by handgrad."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from handgrad.authoring.verify.results import Fault
from handgrad.course.commands.grade_class import grade_class
from handgrad.course.course import CONFIG, Course
from handgrad.course.nbgrader import commands
from handgrad.course.nbgrader.configuration import what_is_missing
from handgrad.course.nbgrader.scores import scores_of
from handgrad.course.stop_signals import run_program, running_program
from handgrad.errors import CourseError
from handgrad.exercise.exercise import grade_id
from handgrad.exercise.release_file import EXERCISE_FILE, recorded_in
from handgrad.grading.solution_values import ROUNDING
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report

__all__ = ["SOLVED", "UNTOUCHED", "DryRun", "drift", "dry_run_of", "files_below"]

UNTOUCHED, SOLVED = "untouched", "solved"
"""The two students of a dry run: one hands in the release as it is, the other the worked solution."""
_STAGING_CONFIG = """
# settings of the dry run: a temporary folder and gradebook; the code is the author's own
c.CourseDirectory.root = {root!r}
c.CourseDirectory.db_url = {database!r}
c.NbGrader.logfile = ""
c.Handgrad.trust_submissions = True
"""
_LOGGED = re.compile(r"^\[\w+ \| \w+\] ", re.MULTILINE)
"""The beginning of a message that nbgrader prints."""
WRITTEN = ("release", "solution", "submitted", "autograded", "feedback")
"""The kinds of folders that a dry run writes."""


@dataclass(frozen=True)
class DryRun:
    """One assignment of a course, copied into the temporary course ``staging``, in which everything is run."""

    course: Course
    staging: Course
    assignment: str

    def path(self, kind: str) -> Path:
        """Path of the ``release`` or ``solution`` notebook made from the source."""
        return self.staging.folder(kind) / self.assignment / f"{self.assignment}.ipynb"

    def notebook(self, kind: str) -> NotebookNode:
        """The notebook at :meth:`path`."""
        return read_notebook(self.path(kind))

    def hand_in(self) -> None:
        """Hand in for the two students."""
        for student, kind in ((UNTOUCHED, "release"), (SOLVED, "solution")):
            folder = self.staging.folder("submitted") / student / self.assignment
            folder.mkdir(parents=True)
            shutil.copy(self.path(kind), folder)

    def grade(self) -> dict[str, Report]:
        """The reports of `handgrad grade`, by student."""
        return {report.student: report for report in grade_class(self.staging, self.assignment, workers=1, force=True)}

    def autograde(self) -> dict[str, float]:
        """The scores of `nbgrader autograde`, by student; nbgrader's feedback is written too."""
        done = run_program(_module("nbgrader", "autograde", self.assignment, "--force"), cwd=self.staging.root)
        if done.returncode:
            messages = _LOGGED.split(done.stderr or done.stdout)
            raise CourseError(f"`nbgrader autograde {self.assignment}` fails: {commands.reason(messages)}")
        commands.run("generate_feedback", self.staging, self.assignment)
        return scores_of(self.staging, self.assignment)

    @property
    def hidden_tests(self) -> Path:
        """The folder of the course's hidden tests for pytest; it may not exist."""
        return self.course.root / "tests" / "hidden"

    @contextmanager
    def pytest(self) -> Iterator[Iterator[Fault]]:
        """Run the course's hidden tests on the worked solution, beside what is done within; its faults wait for it."""
        folder = self.hidden_tests / self.assignment
        name = folder.relative_to(self.course.root).as_posix()
        if not list(folder.glob("test_*.py")):
            remedy = "write them as in the other folders of tests/hidden"
            yield iter([Fault(name, "there are no hidden tests for pytest", remedy)])
            return
        command = _module(
            "pytest", "-q", "-p", "no:cacheprovider", str(folder), f"--submission={self.path('solution')}"
        )
        with running_program(command, cwd=self.course.root) as process:
            yield _faults_of_pytest(process, name)


def _module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this environment."""
    return [sys.executable, "-m", name, *arguments]


def _faults_of_pytest(process: subprocess.Popen[str], name: str) -> Iterator[Fault]:
    printed, _ = process.communicate()
    if process.returncode:
        reason = commands.reason(printed.strip().splitlines() or [""])
        yield Fault(name, f"the worked solution does not pass the hidden tests ({reason})", f"run pytest {name}")


@contextmanager
def dry_run_of(course: Course, assignment: str) -> Iterator[DryRun]:
    """A dry run, released and solved by nbgrader in a temporary folder; nothing in the course itself is written.

    Raises
    ------
    CourseError
        The course's configuration lacks handgrad's steps, or nbgrader cannot release or solve the assignment.
    """
    if missing := what_is_missing(course):
        raise CourseError(missing)
    with tempfile.TemporaryDirectory(prefix="handgrad-") as folder:
        root = Path(folder).resolve()
        source = course.folder("source") / assignment
        # the configuration may name any file of the course: a header, tests, another configuration
        _link(course.root, root, (source, course.root / CONFIG, *map(course.folder, WRITTEN)))
        shutil.copytree(source, root / source.relative_to(course.root))
        settings = _STAGING_CONFIG.format(root=str(root), database=f"sqlite:///{root}/dry-run.db")
        config = (course.root / CONFIG).read_text(encoding="utf-8")
        (root / CONFIG).write_text(config + settings, encoding="utf-8")
        staging = Course.at(root)
        commands.run("generate_assignment", staging, assignment)
        commands.run("generate_solution", staging, assignment)
        yield DryRun(course, staging, assignment)


def _link(folder: Path, target: Path, own: Collection[Path]) -> None:
    """Fill ``target`` with links to what is in ``folder``, without hidden files and the paths ``own``."""
    target.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path in own or path.name.startswith("."):
            continue
        if any(path in file.parents for file in own):
            _link(path, target / path.name, own)
        else:
            (target / path.name).symlink_to(path)


def drift(dry_run: DryRun) -> Iterator[Fault]:
    """Differences between a course's release and solutions and what its source gives."""
    for kind in ("release", "solution"):
        made = dry_run.staging.folder(kind) / dry_run.assignment
        present = dry_run.course.folder(kind) / dry_run.assignment
        name = present.relative_to(dry_run.course.root).as_posix()
        command = f"`handgrad release {dry_run.assignment}`"
        if not present.is_dir():
            yield Fault(name, "it is missing", f"run {command}")
            continue
        expected, found = (
            {path.relative_to(folder).as_posix() for path in files_below(folder) if path.suffix != ".whl"}
            for folder in (made, present)
        )
        for file in sorted(expected ^ found):
            what = "is missing" if file in expected else "does not come from the source"
            yield Fault(f"{name}/{file}", f"it {what}", f"run {command}, or delete it")
        for file in sorted(expected & found):
            if not _same_content(made / file, present / file):
                yield Fault(f"{name}/{file}", "it differs from what the source gives", f"run {command}")


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, in order, without hidden files and what Python caches."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def _same_content(path: Path, other: Path) -> bool:
    """Whether two files have the same content; outputs of notebooks are ignored."""
    if path.suffix == ".ipynb":
        return _cells(read_notebook(path)) == _cells(read_notebook(other))
    if path.name == EXERCISE_FILE:
        return _same_exercise(*(json.loads(file.read_text(encoding="utf-8")) for file in (path, other)))
    return path.read_bytes() == other.read_bytes()


def _same_exercise(data: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two released exercises are the same; what a solution gives may be rounded differently by other CPUs."""
    runs, others = (recorded_in(facts.pop("recorded", [])) for facts in (data, other))
    if data != other or [run.parameters for run in runs] != [run.parameters for run in others]:
        return False
    pairs = [(run.values, twin.values) for run, twin in zip(runs, others, strict=True)]
    return all(values.keys() == twins.keys() for values, twins in pairs) and all(
        value.shape == twins[name].shape
        and float((value - twins[name]).abs().max()) <= ROUNDING * max(1.0, float(value.abs().max()))
        for values, twins in pairs
        for name, value in values.items()
    )


def _cells(notebook: NotebookNode) -> list[tuple[object, ...]]:
    return [(cell.cell_type, cell.id, grade_id(cell), cell.source, dict(cell.metadata)) for cell in notebook.cells]
