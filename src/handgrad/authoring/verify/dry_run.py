"""A course rehearsed in a folder of its own: released, solved and graded by nbgrader's commands and ours."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from handgrad.authoring.verify.results import Fault
from handgrad.course.commands.grade_class import grade_class
from handgrad.course.course import CONFIG, Course
from handgrad.course.nbgrader import commands
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.scores import scores_of
from handgrad.errors import CourseError
from handgrad.exercise.exercise import grade_id
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report

__all__ = ["SOLVED", "UNTOUCHED", "Rehearsal", "drift", "rehearsed"]

UNTOUCHED, SOLVED = "untouched", "solved"
"""The two students of a rehearsal: one hands in the release as it is, the other the worked solution."""
_OWN = """
# of the rehearsal alone: its folder and its gradebook, and code that is the author's own
c.CourseDirectory.root = {root!r}
c.CourseDirectory.db_url = {database!r}
c.Handgrad.trust_submissions = True
"""
LONGEST_OUTPUT = 300
"""Characters quoted of what a command said last."""


@dataclass(frozen=True)
class Rehearsal:
    """One assignment of a course, in a folder of its own.

    Attributes
    ----------
    course
        The course that is proved.
    stage
        Its double, in which everything is tried.
    assignment
        The assignment.
    """

    course: Course
    stage: Course
    assignment: str

    def path(self, kind: str) -> Path:
        """The notebook of a kind (``release`` or ``solution``) that the source gives."""
        return self.stage.folder(kind) / self.assignment / f"{self.assignment}.ipynb"

    def generate(self) -> None:
        """Let nbgrader make release and solution of the source."""
        commands.run("generate_assignment", self.stage, self.assignment)
        commands.run("generate_solution", self.stage, self.assignment)

    def notebook(self, kind: str) -> NotebookNode:
        """The same, read."""
        return read_notebook(self.path(kind))

    def hand_in(self) -> None:
        """Let the two students hand in."""
        for student, kind in ((UNTOUCHED, "release"), (SOLVED, "solution")):
            folder = self.stage.folder("submitted") / student / self.assignment
            folder.mkdir(parents=True)
            shutil.copy(self.path(kind), folder)

    def grade(self) -> dict[str, Report]:
        """The reports of `handgrad grade`, by student."""
        return {one.student: one for one in grade_class(self.stage, self.assignment, workers=1, force=True)}

    def autograde(self) -> dict[str, float]:
        """The scores of nbgrader's own commands, by student; its feedback is written too."""
        done = self._run("nbgrader", "autograde", self.assignment, "--force", folder=self.stage.root)
        if done.returncode:
            said = _last_line(done.stderr or done.stdout)
            raise CourseError(f"`nbgrader autograde {self.assignment}` fails: {said}")
        commands.run("generate_feedback", self.stage, self.assignment)
        return scores_of(*Folders(self.stage, self.assignment).database, self.assignment)

    @property
    def hidden_tests(self) -> Path:
        """The folder of the course's hidden tests for pytest; it need not be there."""
        return self.course.root / "tests" / "hidden"

    def pytest(self) -> Iterator[Fault]:
        """Run the course's hidden tests on the worked solution."""
        folder = self.hidden_tests / self.assignment
        name = folder.relative_to(self.course.root).as_posix()
        if not list(folder.glob("test_*.py")):
            yield Fault(name, "there are no hidden tests for pytest", "make the folder as those beside it are made")
            return
        done = self._run("pytest", "-q", "-p", "no:cacheprovider", str(folder), f"--submission={self.path('solution')}")
        if done.returncode:
            said = _last_line(done.stdout)
            yield Fault(name, f"the worked solution does not pass the hidden tests ({said})", f"run pytest {name}")

    def _run(self, module: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a module of this environment."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=folder or self.course.root,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def rehearsed(course: Course, assignment: str) -> Iterator[Rehearsal]:
    """A rehearsal in a folder that is gone afterwards; nothing in the course itself is written.

    Raises
    ------
    CourseError
        nbgrader cannot release or solve the assignment.
    """
    with tempfile.TemporaryDirectory(prefix="handgrad-") as folder:
        root = Path(folder).resolve()
        source = course.folder("source").relative_to(course.root)
        shutil.copytree(course.root / source / assignment, root / source / assignment)
        own = _OWN.format(root=str(root), database=f"sqlite:///{root}/gradebook.db")
        config = (course.root / CONFIG).read_text(encoding="utf-8")
        (root / CONFIG).write_text(config + own, encoding="utf-8")
        rehearsal = Rehearsal(course, Course.at(root), assignment)
        rehearsal.generate()
        yield rehearsal


def drift(rehearsal: Rehearsal) -> Iterator[Fault]:
    """Where the release and the solutions of a course are not what its source gives."""
    for kind in ("release", "solution"):
        made = rehearsal.stage.folder(kind) / rehearsal.assignment
        there = rehearsal.course.folder(kind) / rehearsal.assignment
        name = there.relative_to(rehearsal.course.root).as_posix()
        command = f"`handgrad release {rehearsal.assignment}`"
        if not there.is_dir():
            yield Fault(name, "it is not there", f"run {command}")
            continue
        ours = {path.name for path in made.iterdir()}
        theirs = {path.name for path in there.iterdir() if path.suffix != ".whl" and not path.name.startswith(".")}
        for file in sorted(ours ^ theirs):
            what = "is not there" if file in ours else "does not come from the source"
            yield Fault(f"{name}/{file}", f"it {what}", f"run {command}, or take it away")
        for file in sorted(ours & theirs):
            if not _alike(made / file, there / file):
                yield Fault(f"{name}/{file}", "it is not what the source gives", f"run {command}")


def _alike(path: Path, other: Path) -> bool:
    """Whether two files say the same; of notebooks the outputs are not looked at."""
    if path.suffix != ".ipynb":
        return path.read_bytes() == other.read_bytes()
    return _cells(read_notebook(path)) == _cells(read_notebook(other))


def _cells(notebook: NotebookNode) -> list[tuple[object, ...]]:
    return [(cell.cell_type, cell.id, grade_id(cell), cell.source, dict(cell.metadata)) for cell in notebook.cells]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:LONGEST_OUTPUT] if lines else "it says nothing"
