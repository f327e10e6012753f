"""Claims checked on the instructor's notebook itself, and by running its locked cells twice."""

from collections.abc import Iterator
from contextlib import chdir

import torch

from handgrad.authoring.new_exercise import OPEN
from handgrad.authoring.verify.results import Fault
from handgrad.exercise.exercise import Cell, Exercise
from handgrad.exercise.solution_marks import SOLUTION_MARKS, without_marks
from handgrad.gradients.comparison import identical
from handgrad.notebook import execution
from handgrad.notebook.syntax import is_untouched

__all__ = ["faults_of_cells", "faults_of_randomness", "open_answers"]

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
    unwritten = [cell.source.strip().splitlines()[0] for cell in exercise.cells if _is_open(cell)]
    if unwritten:
        yield Fault(file, f"{len(unwritten)} texts contain {OPEN}: {', '.join(unwritten)}", "write them")
    for number, cell in enumerate(exercise.cells):
        if cell.kind == "stub":
            yield from _faults_of_stub(exercise, number, file)
    for check in exercise.checks:
        if check.points == 0:
            yield Fault(file, f"{check.id} is worth 0 points", "give it points in its nbgrader metadata")


def _is_open(cell: Cell) -> bool:
    return cell.kind == "text" and OPEN in cell.source


def _faults_of_stub(exercise: Exercise, number: int, file: str) -> Iterator[Fault]:
    cell = exercise.cells[number]
    lines = [line.strip() for line in cell.source.splitlines()]
    if [line for line in lines if line in SOLUTION_MARKS] != list(SOLUTION_MARKS):
        yield Fault(
            file,
            f"the solution of {cell.name} is not between {' and '.join(SOLUTION_MARKS)}",
            "put one mark before it and one after it",
        )
    before = exercise.cells[number - 1] if number else None
    if before is None or before.kind != "text" or cell.name not in before.source:
        yield Fault(
            file,
            f"there is no text above the cell of {cell.name} that names it",
            "write there which line it comes from, its shape, and a hint",
        )


def faults_of_randomness(exercise: Exercise, file: str) -> Iterator[Fault]:
    """The locked cells that give different values when they run again with the same seed."""
    for seed in SEEDS:
        for name, tensor in _differing(exercise, seed):
            yield Fault(
                file,
                f"the locked cell {name!r} gives a different {tensor} each time, even with the same seed",
                "draw all random numbers from a generator seeded with `seed`",
            )
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
