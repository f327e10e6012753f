"""Claims about an exercise: checked on its notebook, by running its locked cells twice, and by grading.

Graded are the release, the worked solution and the known mistakes.
"""

from collections.abc import Iterator
from contextlib import chdir

import torch
from nbformat import NotebookNode

from handgrad.authoring.cases import Case
from handgrad.authoring.new_exercise import OPEN
from handgrad.authoring.verify.results import Fault
from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.solution_marks import SOLUTION_MARKS, without_marks
from handgrad.gradients.comparison import identical
from handgrad.grading.grader import Grader
from handgrad.notebook import execution
from handgrad.notebook.reading import parse_notebook
from handgrad.notebook.syntax import is_untouched
from handgrad.report.records import Report
from handgrad.submission.submission import Submission

__all__ = [
    "faults_of_case",
    "faults_of_cells",
    "faults_of_outcomes",
    "faults_of_randomness",
    "faults_of_release",
    "open_answers",
]

SEEDS = (1, 2)


def open_answers(exercise: Exercise) -> tuple[str, ...]:
    """The answers without a solution yet."""
    return tuple(
        cell.name
        for cell in exercise.cells
        if cell.kind == "stub" and is_untouched(without_marks(cell.source), cell.name)
    )


def faults_of_cells(exercise: Exercise, file: str) -> Iterator[Fault]:
    """What is wrong with the texts, the marks and the points of an instructor's notebook."""
    open_texts = [cell.source for cell in exercise.cells if cell.kind == "text" and OPEN in cell.source]
    if unwritten := [text.strip().splitlines()[0] for text in open_texts]:
        contain = "1 text contains" if len(unwritten) == 1 else f"{len(unwritten)} texts contain"
        yield Fault(file, f"{contain} {OPEN}: {', '.join(unwritten)}", "write what is missing there")
    for number, cell in enumerate(exercise.cells):
        if cell.kind == "stub":
            yield from _faults_of_stub(exercise, number, file)
    for check in exercise.checks:
        if check.points == 0:
            yield Fault(file, f"{check.id} is worth 0 points", "give it points in its nbgrader metadata")


def _faults_of_stub(exercise: Exercise, number: int, file: str) -> Iterator[Fault]:
    cell = exercise.cells[number]
    lines = [line.strip() for line in cell.source.splitlines()]
    if [line for line in lines if line in SOLUTION_MARKS] != list(SOLUTION_MARKS):
        what = f"the solution of {cell.name} is not between {' and '.join(SOLUTION_MARKS)}"
        yield Fault(file, what, "put one mark before it and one after it")
    before = exercise.cells[number - 1] if number else None
    if before is None or before.kind != "text" or cell.name not in before.source:
        what = f"there is no text above the cell of {cell.name} that names it"
        yield Fault(file, what, "write there which line it comes from, its shape, and a hint")


def faults_of_randomness(exercise: Exercise, file: str) -> Iterator[Fault]:
    """The locked cells that give different values when they run again with the same seed."""
    for seed in SEEDS:
        for name, tensor in _differing(exercise, seed):
            what = f"the locked cell {name!r} gives a different {tensor} each time, even with the same seed"
            yield Fault(file, what, "draw all random numbers from a generator seeded with `seed`")
            return


def _differing(exercise: Exercise, seed: int) -> Iterator[tuple[str, str]]:
    """The first locked cell with a tensor that differs between two runs, and that tensor; nothing if none differs."""
    first, second = execution.new_namespace(), execution.new_namespace()
    sources = exercise.setup({"seed": seed})
    # the assignment of the seed runs after the parameters cell as a cell of its own, without a name
    names = [*exercise.setup_names()]
    index = next(index for index, name in enumerate(names) if name == exercise.cells[exercise.parameters_cell].name)
    names.insert(index + 1, names[index])
    with chdir(exercise.directory), torch.enable_grad(), execution.captured():
        for name, source in zip(names, sources, strict=True):
            cell = execution.CompiledCell(source, f"<{name}>")
            for namespace in (first, second):
                execution.run_cell(cell, namespace)
            for key, value in first.items():
                if isinstance(value, torch.Tensor) and not identical(value, second.get(key)):
                    yield name, key
                    return


def faults_of_release(grader: Grader, released: NotebookNode, file: str) -> list[Fault]:
    """The released stubs that do not get the outcome ``missing``."""
    report = grader.grade(Submission.of(released, grader.exercise)).report
    return [
        Fault(file, f"the released {check.gradient} is {check.outcome}, not missing", "release it with an empty stub")
        for check in report.checks
        if check.outcome != "missing"
    ]


def faults_of_outcomes(report: Report, file: str, command: str) -> Iterator[Fault]:
    """The worked solutions that do not pass in the report of ``command``."""
    for check in report.checks:
        if check.outcome != "passed":
            what = f"the worked solution of {check.gradient} is {check.outcome} ({command})"
            yield Fault(file, what, check.sentence.rstrip(".") or "fix the solution or its check")


def faults_of_case(
    case: Case, grader: Grader, released: NotebookNode, solved: NotebookNode, folder: str
) -> Iterator[Fault]:
    """The differences between a known mistake's report and its file."""
    try:
        notebook = parse_notebook(case.content(released, solved), case.name)
        report = grader.grade(Submission.of(notebook, grader.exercise)).report
    except SubmissionError as error:
        if case.report == "graded":
            yield Fault(folder, f"it is not graded: {error}", 'write report = "unreadable" in it, or fix its cells')
        return
    if case.report != "graded":
        yield Fault(folder, f"it is graded, but its file expects {case.report}", "fix report in the case")
        return
    yield from _differences(case, report, grader.exercise, folder)


def _differences(case: Case, report: Report, exercise: Exercise, folder: str) -> Iterator[Fault]:
    expected = case.expected(exercise)
    for check in report.checks:
        mistake = check.diagnosis.mistake if check.diagnosis else "none"
        expected_mistake = case.diagnoses.get(check.gradient)
        if check.outcome != expected[check.gradient]:
            what = f"{check.gradient} is {check.outcome}, not {expected[check.gradient]}"
            yield Fault(folder, what, "fix the cell or [outcomes] in the case")
        elif expected_mistake and mistake != expected_mistake:
            what = f"the diagnosis of {check.gradient} is {mistake}, not {expected_mistake}"
            yield Fault(folder, what, "fix the cell or [diagnoses] in the case")
    if abs(report.score - case.score) > 1e-9:
        yield Fault(folder, f"it gets {report.score:g} points, not {case.score:g}", "fix score in the case")
