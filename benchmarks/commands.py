"""How long the commands for a class of 1,000 take, and those of an author, each a process from its start to its end.

Goals that depend on the machine are multiples of ``python -c "import torch"``, in the same run.
"""

import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import nbformat

from benchmarks.courses import ASSIGNMENT, HANDGRAD, NOBODY, PROJECT, Place, students
from benchmarks.figures import Figure
from benchmarks.mistakes import solutions
from benchmarks.ways import GRADE, SUBMISSIONS, Bench, alone
from handgrad.course.course import CONFIG

CLASS = 1000
MEGABYTE = 1e6


@dataclass(frozen=True)
class Timed:
    """One command: the question, its goal in seconds if ``import torch`` takes so many, and what it does first."""

    question: str
    goal: Callable[[float], float]
    command: tuple[str, ...]
    before: Callable[[], object] = lambda: None


def figures(bench: Bench) -> list[Figure]:
    """The figures."""
    place, solved = bench.courses.ours, bench.courses.solved
    bench.say(f"a class of {CLASS}")
    place.reset(solved, CLASS)
    graded = place.run(*HANDGRAD, "grade", ASSIGNMENT)
    pages = sum(path.stat().st_size for path in (place.root / "feedback").rglob("*.html"))
    made_of = f"{pages / CLASS / 1e3:.0f} kB each; the class was graded in {graded.wall:.0f} s with its pages"
    size = Figure(f"feedback pages of {CLASS}", 25, [pages / MEGABYTE], made_of, "{:.0f} MB", at_most=True)
    output = str(bench.folder / "exported")
    of_class = (
        Timed(f"`report` of {CLASS}", lambda _: 3.0, ("report", ASSIGNMENT)),
        Timed(
            f"`export --format csv` of {CLASS}", lambda _: 1.5, ("export", ASSIGNMENT, "--format", "csv", "-o", output)
        ),
        Timed(
            f"`export --format json` of {CLASS}",
            lambda _: 2.0,
            ("export", ASSIGNMENT, "--format", "json", "-o", output),
        ),
    )
    found = [size, *_measured(bench, place, of_class), *_look_alikes(bench, place)]
    course = _course_of_authors(bench)

    def start() -> None:
        place.reset(solved, SUBMISSIONS)

    grade = Timed(
        f"`grade` of {SUBMISSIONS}, start included", lambda torch: 2 * torch + 1, GRADE[len(HANDGRAD) :], start
    )
    script = PROJECT / "tests/cases/networks/gpt2_block/forward.py"
    of_author = (
        Timed(
            "`new`",
            lambda torch: 1.5 * torch + 2,
            ("new", "again", "--forward", str(script)),
            lambda: _forget(course, "again"),
        ),
        Timed("`release` of one exercise", lambda torch: 1.5 * torch + 2, ("release", ASSIGNMENT)),
    )
    return [*_measured(bench, place, (grade,)), *found, *_measured(bench, course, of_author), _mutants(bench, course)]


def _course_of_authors(bench: Bench) -> Place:
    """A course with the exercise and its known mistakes."""
    root = bench.folder / "authors"
    for name in (f"source/{ASSIGNMENT}", "tests/cases"):
        shutil.copytree(PROJECT / name, root / name)
    shutil.copyfile(PROJECT / CONFIG, root / CONFIG)
    return Place(root, bench.courses.environment)


def _forget(course: Place, name: str) -> None:
    shutil.rmtree(course.root / "source" / name, ignore_errors=True)


def _measured(bench: Bench, place: Place, commands: Sequence[Timed]) -> list[Figure]:
    """Each command as often as there are runs, in turns, with ``import torch``."""
    torch: list[float] = []
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(bench.runs):
        torch.append(place.run(sys.executable, "-c", "import torch").wall)
        for command, values in zip(commands, seconds, strict=True):
            command.before()
            values.append(place.run(*HANDGRAD, *command.command).wall)
            bench.say(f"{command.question}: {values[-1]:.2f} s")
    made_of = f"`import torch` takes {median(torch):.2f} s"
    return [
        Figure(command.question, command.goal(median(torch)), values, made_of, "{:.1f} s", at_most=True)
        for command, values in zip(commands, seconds, strict=True)
    ]


def _look_alikes(bench: Bench, place: Place) -> list[Figure]:
    """The time for a class, and for one ten times as large, in which each cell that is rare is that of a few students.

    Each student has written a fifth of the answers in a way that some four others of the class have chosen too.
    """
    draw, answers = random.Random(0), solutions(bench.courses.solved)
    # with each source as one string, which can be replaced without reading the notebook again
    solved = json.dumps(nbformat.reads(bench.courses.solved, as_version=4))

    def seconds(size: int) -> float:
        place.reset(bench.courses.solved, 0)
        for student in students(size):
            text = solved.replace(NOBODY, student)
            for name in draw.sample(sorted(answers), len(answers) // 5):
                other = f"{answers[name]}\n{name} = {name} + {draw.randrange(size // 25)} * 0"
                text = text.replace(json.dumps(answers[name]), json.dumps(other))
            place.hand_in(student, text)
        taken = place.run(*HANDGRAD, "look-alikes", ASSIGNMENT).wall
        bench.say(f"look-alikes of {size}: {taken:.2f} s")
        return taken

    taken = seconds(CLASS)
    found = [Figure(f"`look-alikes` of {CLASS}", 4.0, [taken], "a fifth of each submission is rare", "{:.1f} s", True)]
    if not bench.quick:
        question = f"`look-alikes` of {10 * CLASS}, against {CLASS}"
        found.append(Figure(question, 12.0, [seconds(10 * CLASS) / taken], f"{taken:.1f} s for {CLASS}", at_most=True))
    return found


def _mutants(bench: Bench, course: Place) -> Figure:
    """`verify --mutants`, once: it takes a minute."""
    bench.say("verify --mutants")
    taken = course.run(*HANDGRAD, "verify", ASSIGNMENT, "--mutants", "--force").wall
    made_of = "with twenty more seeds, the known mistakes, nbgrader and the commands; without pytest"
    return Figure("`verify --mutants`, one exercise", 60, [taken], made_of, "{:.0f} s", at_most=True)


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
