"""Measure how fast a class is graded: stock nbgrader against handgrad, the same submissions, in one go.

``python benchmarks/grading.py [-n 20] [--runs 3] [--output benchmarks/results.md]`` makes two courses in a temporary
folder, one with nbgrader's defaults and one with this project's nbgrader_config.py. Both get N copies of the worked
solution, and three ways of grading them are timed, each as a whole process. The clock tells nothing about wrong
results, so every timed run must leave full marks for every student in the gradebook; one that does not ends it all.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import nbformat
from ipykernel.kernelspec import install as install_kernel
from nbgrader.api import Gradebook, MissingEntry
from rich.console import Console
from rich.table import Table

from handgrad.batch import stored_reports
from handgrad.cases import Case
from handgrad.course import CONFIG, WORKSHOP, Course, write_text
from handgrad.errors import HandgradError

PROJECT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "backprop"
STOCK = """\
c = get_config()
c.CourseDirectory.course_id = "stock"
c.Execute.timeout = 600
"""
NBGRADER = (sys.executable, "-m", "nbgrader")
HANDGRAD = (sys.executable, "-m", "handgrad.cli")
NAMES = ("stock nbgrader", "nbgrader with handgrad", "handgrad grade")

progress = Console(stderr=True, highlight=False)


class BenchmarkFailed(Exception):
    """A run did not do its work, so that its time means nothing."""


@dataclass(frozen=True)
class Place:
    """A course in a temporary folder, and the environment in which commands run there."""

    root: Path
    environment: Mapping[str, str]

    @property
    def gradebook(self) -> Path:
        """The course's database."""
        return self.root / "gradebook.db"

    @property
    def registered(self) -> Path:
        """A copy of the database as it is before anything has been graded."""
        return self.root / "gradebook.registered"

    def run(self, *command: str) -> float:
        """Run a command in the course; its wall time in seconds."""
        begin = time.perf_counter()
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, errors="replace", check=False
        )
        seconds = time.perf_counter() - begin
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise BenchmarkFailed(f"{' '.join(command)} ended with status {done.returncode}:\n{said}")
        return seconds

    def reset(self) -> None:
        """Take the course back to where nothing has been graded."""
        for folder in ("autograded", "feedback", WORKSHOP):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        shutil.copyfile(self.registered, self.gradebook)


@dataclass(frozen=True)
class Way:
    """One way of grading a class, and what the clock said: seconds for the whole class and for one submission."""

    name: str
    place: Place
    command: tuple[str, ...]
    whole: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)

    def grade(self, students: Sequence[str], student: str = "") -> float:
        """Grade everyone in ``students``, or ``student`` alone; wall time in seconds."""
        self.place.reset()
        seconds = self.place.run(*self.command, *(("--student", student) if student else ()))
        check_marks(self.place, [student] if student else students, self.name)
        return seconds

    def slopes(self, count: int) -> list[float]:
        """Seconds that each further submission took, run by run."""
        return [(whole - single) / (count - 1) for whole, single in zip(self.whole, self.single, strict=True)]


def check_marks(place: Place, students: Sequence[str], way: str) -> None:
    """Make sure that the gradebook holds full marks for ``students`` and nothing for anyone else."""
    with Gradebook(f"sqlite:///{place.gradebook}", "") as gradebook:
        full = gradebook.find_assignment(ASSIGNMENT).max_score
        found = {submission.student_id: submission.score for submission in gradebook.assignment_submissions(ASSIGNMENT)}
        try:
            scores = {student: gradebook.find_submission(ASSIGNMENT, student).score for student in students}
        except MissingEntry as error:
            raise BenchmarkFailed(f"{way} left a student out of the gradebook: {error}") from error
    wrong = {student: score for student, score in scores.items() if score != full}
    if not full or wrong or len(found) != len(students):
        raise BenchmarkFailed(f"{way}: {len(found)} of {len(students)} graded, not {full} points: {wrong or found}")


def environment(home: Path) -> dict[str, str]:
    """An environment in which only this Python's kernel and no personal configuration is found."""
    install_kernel(prefix=str(home), kernel_name="python3")  # its kernel.json names this Python by its full path
    own = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    for folder in own.values():
        Path(folder).mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, **own, "JUPYTER_PATH": str(home / "share" / "jupyter"), "PATH": path}


def make_course(root: Path, config: str, env: Mapping[str, str]) -> Place:
    """Make a course with this project's exercise, registered and released by nbgrader."""
    shutil.copytree(PROJECT / "source" / ASSIGNMENT, root / "source" / ASSIGNMENT)
    write_text(root / CONFIG, config)
    place = Place(root, env)
    place.run(*NBGRADER, "generate_assignment", ASSIGNMENT)
    shutil.copyfile(place.gradebook, place.registered)
    return place


def hand_in(place: Place, solution: nbformat.NotebookNode, students: Sequence[str]) -> None:
    """Hand in the worked solution for each student, in the course's own released notebook.

    A last cell holds the student's name: no two submissions are alike, so nothing that was found for one can be used
    for the next.
    """
    file = Path(ASSIGNMENT) / f"{ASSIGNMENT}.ipynb"
    release = nbformat.read(place.root / "release" / file, as_version=4)
    for student in students:
        case = Case(student, "", ASSIGNMENT, "solution", 0.0, cells={"last": f"student = {student!r}"})
        path = place.root / "submitted" / student / file
        path.parent.mkdir(parents=True)
        write_text(path, nbformat.writes(case.notebook(release, solution)))


def measure(ways: Sequence[Way], students: Sequence[str], runs: int) -> None:
    """Time every way on one submission and on all of them, ``runs`` times, the ways taking turns."""
    for way in ways:
        progress.print(f"warming up, not counted: {way.name}")
        way.grade(students, students[0])
    for run in range(1, runs + 1):
        for way in ways:
            way.single.append(way.grade(students, students[0]))
            way.whole.append(way.grade(students))
            progress.print(f"run {run} of {runs}: {way.name}: {way.whole[-1]:.2f} s, one: {way.single[-1]:.2f} s")


def table(ways: Sequence[Way], count: int) -> list[list[str]]:
    """The figures, a column for each way: medians over the runs, with the lowest and the highest in brackets."""
    slopes = [way.slopes(count) for way in ways]
    whole = [way.whole for way in ways]
    return [
        ["", *(way.name for way in ways)],
        ["whole, s", *(spread(one, "{:.2f}") for one in whole)],
        ["s per submission", *(spread([seconds / count for seconds in one], "{:.3f}") for one in whole)],
        ["submissions per s", *(spread([count / seconds for seconds in one], "{:.2f}") for one in whole)],
        ["times as fast as stock", *ratios(whole)],
        ["one submission alone (N = 1), s", *(spread(way.single, "{:.2f}") for way in ways)],
        ["without the start: s per submission", *(spread(one, "{:.3f}") for one in slopes)],
        ["without the start: times as fast as stock", *ratios(slopes)],
    ]


def ratios(figures: Sequence[Sequence[float]]) -> list[str]:
    """How many times the first median each median goes into; a dash where noise has left nothing to divide by."""
    stock, *_ = medians = [median(one) for one in figures]
    return [f"{stock / one:.1f}" if one > 0 else "-" for one in medians]


def spread(figures: Sequence[float], form: str) -> str:
    """The median of ``figures`` and, where there are several, their range."""
    text = form.format(median(figures))
    return text if len(figures) == 1 else f"{text} ({form.format(min(figures))} to {form.format(max(figures))})"


def circumstances(load: float, isolation: str) -> dict[str, str]:
    """What the figures depend on."""
    return {
        "Python": sys.version.split()[0],
        **{name: version(name) for name in ("torch", "nbgrader", "handgrad")},
        "CPUs": str(os.cpu_count()),
        "load average (1 minute) before the first run": f"{load:.2f}",
        "isolation of submissions in handgrad": isolation,
    }


def markdown(rows: Sequence[Sequence[str]], facts: Mapping[str, str], count: int, runs: int, date: str) -> str:
    """The results as a page."""
    head, *rest = rows
    figures = "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---", *["---:"] * len(head[1:])], *rest])
    around = "\n".join(f"* {name}: {fact}" for name, fact in facts.items())
    several = (
        "Medians of the runs, lowest to highest in brackets." if runs > 1 else "One run, so the spread is unknown."
    )
    return f"""\
# Grading a class: handgrad and stock nbgrader

Measured on {date} by `python benchmarks/grading.py -n {count} --runs {runs}`, which writes this page.
Submissions: {count}. Runs: {runs}. {several}

{figures}

{around}

## What was measured

* Every submission is the worked solution of `{ASSIGNMENT}`, with a last cell that holds the student's name: no two are
  alike. After every run the gradebook must show full marks for every student, or no page is written.
* *{NAMES[0]}*: `nbgrader autograde {ASSIGNMENT}` in a course with nbgrader's defaults (and a longer timeout). The
  notebook runs once, in a Jupyter kernel of its own for each submission.
* *{NAMES[1]}*: the same command in a course with this project's `nbgrader_config.py`. The notebook runs
  several times in a child process, once on its own data and then on hidden data, isolated as said above.
* *{NAMES[2]}*: `handgrad grade {ASSIGNMENT} --no-feedback` in that course. Neither of the others writes feedback pages.
* *whole* is the wall time of one process from start to end, imports included, and the lines below it divide it.
  *Without the start* is the slope, (whole - alone) / (N - 1): what each further submission costs.
* The ways take turns within one go, after one run of each that is not counted. *Times as fast* divides medians.
"""


def benchmark(folder: Path, count: int, runs: int) -> tuple[list[list[str]], dict[str, str]]:
    """Make the courses in ``folder`` and measure: the rows of the table, and the circumstances."""
    load = os.getloadavg()[0]
    home = folder / "home"
    home.mkdir()
    env = environment(home)
    progress.print("making the courses")
    stock = make_course(folder / "stock", STOCK, env)
    ours = make_course(folder / "handgrad", (PROJECT / CONFIG).read_text(encoding="utf-8"), env)
    ours.run(*NBGRADER, "generate_solution", ASSIGNMENT)
    solutions = Course.at(ours.root).folder("solution")
    solution = nbformat.read(solutions / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", as_version=4)
    students = [f"s{number:03}" for number in range(1, count + 1)]
    for place in (stock, ours):
        hand_in(place, solution, students)
    ways = [
        Way(NAMES[0], stock, (*NBGRADER, "autograde", ASSIGNMENT)),
        Way(NAMES[1], ours, (*NBGRADER, "autograde", ASSIGNMENT)),
        Way(NAMES[2], ours, (*HANDGRAD, "grade", ASSIGNMENT, "--no-feedback")),
    ]
    measure(ways, students, runs)
    isolation = {report.isolation for report in stored_reports(Course.at(ours.root), ASSIGNMENT)}
    return table(ways, count), circumstances(load, ", ".join(sorted(isolation)))


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of at least ``least``, for the command line."""

    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the page; 1 where a run did not do its work."""
    parser = argparse.ArgumentParser(description="Time stock nbgrader and handgrad on the same class.")
    parser.add_argument("-n", type=at_least(2), default=20, help="submissions; default: %(default)s")
    parser.add_argument("--runs", type=at_least(1), default=3, help="runs of everything; default: %(default)s")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("results.md"), help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    count, runs, output = int(options.n), int(options.runs), Path(options.output)
    try:
        with tempfile.TemporaryDirectory(prefix="handgrad-benchmark-") as folder:
            rows, facts = benchmark(Path(folder).resolve(), count, runs)
        write_text(output, markdown(rows, facts, count, runs, datetime.now(UTC).date().isoformat()))
    except (BenchmarkFailed, HandgradError) as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    shown = Table(*rows[0], title=f"{count} submissions, runs: {runs}")
    for row in rows[1:]:
        shown.add_row(*row)
    console = Console()
    console.print(shown)
    for name, fact in facts.items():
        console.print(f"{name}: {fact}", highlight=False)
    print(f"The page is {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
