"""Courses in a temporary folder, with submissions."""

import os
import shutil
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from ipykernel.kernelspec import install as install_kernel
from nbgrader.api import Gradebook

from benchmarks.running import BenchmarkFailed, Cost, run
from handgrad.authoring.cases import Case
from handgrad.course.course import CONFIG, PRIVATE, Course
from handgrad.course.files import write_text

__all__ = ["ASSIGNMENT", "FILE", "HANDGRAD", "NBGRADER", "NOBODY", "PROJECT", "Courses", "Place", "students"]

PROJECT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "backprop"
FILE = Path(ASSIGNMENT) / f"{ASSIGNMENT}.ipynb"
STOCK = """\
c = get_config()
c.CourseDirectory.course_id = "stock"
c.Execute.timeout = 600
"""
NBGRADER = (sys.executable, "-m", "nbgrader")
HANDGRAD = (sys.executable, "-m", "handgrad.cli")
NOBODY = "nobody-yet"
"""Placeholder of the student's name in the worked solution."""


@dataclass(frozen=True)
class Place:
    """A course, and the environment in which commands run there."""

    root: Path
    environment: Mapping[str, str]

    @property
    def gradebook(self) -> Path:
        """The course's database."""
        return self.root / "gradebook.db"

    @property
    def registered(self) -> Path:
        """A copy of the database before grading."""
        return self.root / "gradebook.registered"

    def run(self, *command: str, watch: Callable[[int], None] | None = None, expected: Container[int] = (0,)) -> Cost:
        """Run a command in the course."""
        return run(command, self.root, self.environment, watch=watch, expected=expected)

    def reset(self, solved: str, count: int) -> None:
        """Reset the course to ungraded, with ``count`` submissions."""
        for folder in ("submitted", "autograded", "feedback", PRIVATE):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        shutil.copyfile(self.registered, self.gradebook)
        for student in students(count):
            self.hand_in(student, solved.replace(NOBODY, student))

    def hand_in(self, student: str, text: str) -> None:
        """Hand in a notebook for a student, in place of what was handed in before."""
        path = self.root / "submitted" / student / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def check_marks(self, count: int, way: str) -> None:
        """Check that exactly ``count`` students have full marks in the gradebook and an autograded notebook.

        Raises
        ------
        BenchmarkFailed
            This is not the case.
        """
        with Gradebook(f"sqlite:///{self.gradebook}", "") as gradebook:
            full = gradebook.find_assignment(ASSIGNMENT).max_score
            scores = {row["student"]: row["score"] for row in gradebook.submission_dicts(ASSIGNMENT)}
        wrong = {student: scores.get(student) for student in students(count) if scores.get(student) != full}
        if not full or wrong or len(scores) != count:
            raise BenchmarkFailed(f"{way}: {len(scores)} of {count} graded; without {full} points: {wrong}")
        written = {path.parents[1].name for path in (self.root / "autograded").glob(f"*/{FILE}")}
        if written != set(students(count)):
            raise BenchmarkFailed(f"{way} wrote {len(written)} autograded notebooks for {count} students.")


def students(count: int) -> list[str]:
    """Names of ``count`` students."""
    return [f"s{number:04}" for number in range(1, count + 1)]


@dataclass(frozen=True)
class Courses:
    """The courses of one benchmark, in ``folder``; each is made on first use."""

    folder: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        """Environment variables with this Python's kernel only, and no personal configuration."""
        home = self.folder / "home"
        # its kernel.json names this Python by its full path
        install_kernel(prefix=str(home), kernel_name="python3")
        own = {name: home / name.lower() for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
        own["TMPDIR"] = self.temporary
        for folder in own.values():
            folder.mkdir()
        mine = {name: str(folder) for name, folder in own.items()}
        # stock nbgrader starts `alembic` by name
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, **mine, "JUPYTER_PATH": str(home / "share" / "jupyter"), "PATH": path}

    @property
    def temporary(self) -> Path:
        """Where the commands put their temporary files."""
        return self.folder / "temporary"

    @cached_property
    def stock(self) -> Place:
        """A course with nbgrader's defaults, but a longer timeout."""
        return self._made("stock", STOCK)

    @cached_property
    def ours(self) -> Place:
        """A course with this project's configuration."""
        return self._made("handgrad", (PROJECT / CONFIG).read_text(encoding="utf-8"))

    @cached_property
    def solved(self) -> str:
        """The worked solution as a student hands it in.

        A last cell holds the student's name: no two submissions are the same, so no result can be reused.
        """
        self.ours.run(*NBGRADER, "generate_solution", ASSIGNMENT)
        solution = nbformat.read(Course.at(self.ours.root).folder("solution") / FILE, as_version=4)
        release = nbformat.read(self.ours.root / "release" / FILE, as_version=4)
        case = Case("solved", "", ASSIGNMENT, "solution", 0.0, cells={"last": f"student = {NOBODY!r}"})
        return str(nbformat.writes(case.notebook(release, solution)))

    def _made(self, name: str, config: str) -> Place:
        """A course with this project's exercise, registered and released by nbgrader."""
        root = self.folder / name
        shutil.copytree(PROJECT / "source" / ASSIGNMENT, root / "source" / ASSIGNMENT)
        write_text(root / CONFIG, config)
        place = Place(root, self.environment)
        place.run(*NBGRADER, "generate_assignment", ASSIGNMENT)
        shutil.copyfile(place.gradebook, place.registered)
        return place
