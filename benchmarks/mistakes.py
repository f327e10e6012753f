"""What a submission with mistakes costs, compared with a right one: CPU time of each further one.

One mistake: the known mistakes of the exercise that change one cell take turns. Half wrong: every second answer is one
of its known mistakes or, where there is none, doubled.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import nbformat

from benchmarks.courses import ASSIGNMENT, NOBODY, PROJECT, students
from benchmarks.figures import Figure, quotients
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import GRADE, SUBMISSIONS, Bench, alone
from handgrad.authoring.cases import Case, known_mistakes
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.report.records import Report

ENDING = {"passed", "partial", "failed", "missing", "error"}
"""Outcomes of cells that come to an end."""


def kinds(bench: Bench) -> Mapping[str, Callable[[int], Mapping[str, str]]]:
    """By kind of submission, the answer cells in which the submission of each number differs from the right one."""
    cases = _cases(bench)
    return {
        "right": lambda number: {},
        "one mistake": lambda number: cases[number % len(cases)].cells,
        "half wrong": partial(_half, solutions(bench.courses.solved), cases),
    }


def figures(bench: Bench) -> list[Figure]:
    """The two figures."""
    tried, further = kinds(bench), len(_cases(bench))
    costs: dict[str, list[float]] = {kind: [] for kind in tried}
    for _ in range(bench.runs):
        for kind, cells in tried.items():
            few, many = (_graded(bench, count, cells) for count in (SUBMISSIONS, SUBMISSIONS + further))
            costs[kind].append((many - few) / further)
            bench.say(f"{kind}: {1e3 * costs[kind][-1]:.1f} ms for each further submission")
    made_of = "; ".join(f"{kind}: {1e3 * median(values):.1f} ms of processors" for kind, values in costs.items())
    return [
        Figure(f"a submission with {kind}, against a right one", goal, quotients(costs[kind], costs["right"]), made_of,
               at_most=True)
        for kind, goal in (("one mistake", 1.5), ("half wrong", 3.0))
    ]  # fmt: skip


def _cases(bench: Bench) -> list[Case]:
    """The known mistakes of the exercise that change one cell."""
    exercise = Course.at(bench.courses.ours.root).exercise(ASSIGNMENT)
    return [case for case in known_mistakes(PROJECT, exercise) if _is_one_cell(case, exercise)]


def _is_one_cell(case: Case, exercise: Exercise) -> bool:
    return (
        case.start == "solution"
        and len(case.cells) == 1
        and set(case.cells) <= set(exercise.stubs)
        and not case.name.startswith("right")
        and ENDING.issuperset(case.outcomes.values())
    )


def solutions(solved: str) -> dict[str, str]:
    """The answer cells of the worked solution."""
    cells = nbformat.reads(solved, as_version=4).cells
    return {grade_id(cell): cell.source for cell in cells if kind_of(cell) == "stub"}


def _half(solutions: Mapping[str, str], cases: list[Case], number: int) -> dict[str, str]:
    """Every second answer, wrong."""
    wrong = {}
    for name in list(solutions)[number % 2 :: 2]:
        known = [case.cells[name] for case in cases if name in case.cells]
        wrong[name] = known[number % len(known)] if known else f"{solutions[name]}\n{name} = 2 * {name}"
    return wrong


def with_cells(solved: str, cells: Mapping[str, str]) -> str:
    """The notebook ``solved`` with other answer cells, as text."""
    notebook = nbformat.reads(solved, as_version=4)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = cells.get(grade_id(cell), cell.source)
    return str(nbformat.writes(notebook))


def _graded(bench: Bench, count: int, cells: Callable[[int], Mapping[str, str]]) -> float:
    """CPU seconds of grading ``count`` submissions."""
    place = bench.courses.ours
    place.reset(bench.courses.solved, count)
    for number, student in enumerate(students(count)):
        text = with_cells(bench.courses.solved, cells(number)).replace(NOBODY, student)
        place.hand_in(student, text)
    # the status is 1 if something did not pass
    cost = place.run(*GRADE, expected=(0, 1))
    reports = stored_reports(Course.at(place.root), ASSIGNMENT)
    _check(reports, count)
    return cost.cpu


def _check(reports: list[Report], count: int) -> None:
    if len(reports) != count or any(report.outcome != "graded" for report in reports):
        raise BenchmarkFailed(f"{len(reports)} of {count} submissions with mistakes were graded.")


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
