"""What can be seen in an instructor's notebook, and by running its locked cells twice."""

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
    """The answers whose solution is still to be written."""
    return tuple(
        cell.name
        for cell in exercise.cells
        if cell.kind == "stub" and is_untouched(without_marks(cell.source), cell.name)
    )


def faults_of_cells(exercise: Exercise, file: str) -> Iterator[Fault]:
    """What is wrong with the texts, the marks and the points of an instructor's notebook."""
    unwritten = [cell.source.strip().splitlines()[0] for cell in exercise.cells if _is_open(cell)]
    if unwritten:
        yield Fault(file, f"{len(unwritten)} texts say {OPEN}: {', '.join(unwritten)}", "write what they are to say")
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
            f"the solution of {cell.name} does not stand between {' and '.join(SOLUTION_MARKS)}",
            "put one mark above it and one below",
        )
    before = exercise.cells[number - 1] if number else None
    if before is None or before.kind != "text" or cell.name not in before.source:
        yield Fault(
            file,
            f"no text that names {cell.name} stands above its cell",
            "say there which line it comes from, its shape, and a hint",
        )


def faults_of_randomness(exercise: Exercise, file: str) -> Iterator[Fault]:
    """The locked cells that give other values when they run again with the same seed."""
    for seed in SEEDS:
        for name, tensor in _differing(exercise, seed):
            yield Fault(
                file,
                f"the locked cell {name!r} makes another {tensor} each time, also with the same seed",
                "make all that is random with a generator that `seed` starts",
            )
            return


def _differing(exercise: Exercise, seed: int) -> Iterator[tuple[str, str]]:
    """The first locked cell whose tensors are not the same twice, with the name of one; nothing where all are."""
    one, other = execution.new_namespace(), execution.new_namespace()
    sources = exercise.setup({"seed": seed})
    # what the parameters cell is followed by is a cell without a name
    names = [*exercise.setup_names()]
    place = next(at for at, name in enumerate(names) if name == exercise.cells[exercise.parameters_cell].name)
    names.insert(place + 1, names[place])
    with chdir(exercise.directory), torch.enable_grad(), execution.captured():
        for name, source in zip(names, sources, strict=True):
            cell = execution.CompiledCell(source, f"<{name}>")
            for namespace in (one, other):
                execution.run_cell(cell, namespace)
            for key, value in one.items():
                if isinstance(value, torch.Tensor) and not identical(value, other.get(key)):
                    yield name, key
                    return
