"""Mutation testing: grade submissions with mutants of the worked solution.

Of gradients, one submission has one mutant of each answer. A mutant of answers that are not gradients survives if a
short training passes every check: the visible pass is as long as the longest hidden one. A check that the worked
solution does not pass then, such as one of the loss after the full training, is ignored.
"""

import ast
import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from nbformat import NotebookNode

from handgrad.authoring.verify.equivalence import ALMOST, NEGLIGIBLE, SEEDS, Settings
from handgrad.authoring.verify.results import Mutation, Survivor
from handgrad.course.workers.pool import JobFailed, Pool
from handgrad.errors import ExerciseError, HandgradError, SandboxError
from handgrad.exercise.exercise import Exercise, answer_cell, grade_id, kind_of
from handgrad.exercise.reference import run_locked
from handgrad.exercise.solution_marks import without_marks
from handgrad.gradients.comparison import scale_of
from handgrad.grading.grader import Grader
from handgrad.grading.mutants import Mutant, arguments, mutants
from handgrad.grading.settings import GradingSettings
from handgrad.grading.solution_values import SolutionValues, passes_of, run_solution
from handgrad.grading.worked_solution import default_dtype
from handgrad.notebook import slow_imports
from handgrad.notebook.syntax import ParsedCell
from handgrad.submission.submission import Submission

__all__ = [
    "Subject",
    "found_by",
    "mutation",
    "mutation_of_values",
    "passing",
    "passing_with_a_seed",
    "shortened",
    "workers",
]

WORKER = "handgrad.authoring.verify.worker"
"""The module whose functions the processes call."""


@dataclass(frozen=True)
class Subject:
    """What is verified: an exercise, how submissions are graded, and its released and its solved notebook."""

    exercise: Exercise
    settings: GradingSettings
    released: NotebookNode
    solved: NotebookNode


@contextmanager
def workers(subject: Subject, most: int) -> Iterator[Pool]:
    """At most so many processes that grade known mistakes and mutants: see :data:`WORKER`."""
    pool = Pool(WORKER, most=most, preload=(slow_imports.__name__, WORKER), common=(subject,))
    with pool.warmed(subject.settings.isolation):
        yield pool


def found_by(pool: Pool, function: str, jobs: Iterable[tuple[Any, ...]]) -> list[Any]:
    """What a function of the worker gives for each of the ``jobs``, in their order.

    Raises what a process raised, or a :class:`SandboxError` if it ended.
    """
    found = dict(pool.each(function, ((number, *job) for number, job in enumerate(jobs))))
    for result in found.values():
        if isinstance(result, JobFailed):
            raise result.error if isinstance(result.error, HandgradError) else SandboxError(f"{result}.")
    return [found[number] for number in sorted(found)]


def mutation(
    grader: Grader, solved: NotebookNode, pool: Pool | None = None, more_seeds: Sequence[int] = ()
) -> Mutation:
    """Grade every mutant of the worked solution in the notebook ``solved``, and classify those that pass.

    The ``grader`` has been entered; the ``pool`` of :func:`workers` shares its work (default: it does all). A mutant
    also survives if it passes with one of the workers' ``more_seeds``.
    """
    exercise, solutions = grader.exercise, _solutions(solved)
    made = _all_mutants(grader, solutions)
    if pool is None:
        passed = set(passing(grader, solved, made))
    else:
        passed = _passing_by(pool, grader.seeds, made)
        left = [mutant for mutant in made if mutant not in passed]
        others = [(seeds, left) for first in range(pool.workers) if (seeds := more_seeds[first :: pool.workers])]
        passed |= _union(found_by(pool, passing_with_a_seed.__name__, others))
    if not passed:
        return Mutation(len(made))
    compared = Settings(exercise, solutions, grader.passes[-1].parameters)

    def agrees(mutant: Mutant, allowance: float) -> bool:
        return all(compared.agrees(answer, allowance) for answer in _by_answer(mutant, exercise))

    return _classified(len(made), [mutant for mutant in made if mutant in passed], agrees)


def _passing_by(pool: Pool, seeds: Sequence[int], made: Sequence[Mutant]) -> set[Mutant]:
    """Those of the mutants ``made`` that pass with the hidden ``seeds``; each process has an equal share."""
    shares = [(seeds, made[first :: pool.workers]) for first in range(pool.workers)]
    return _union(found_by(pool, passing.__name__, shares))


def _union(found: Iterable[Iterable[Mutant]]) -> set[Mutant]:
    return {mutant for mutants in found for mutant in mutants}


def passing(grader: Grader, solved: NotebookNode, made: Sequence[Mutant]) -> list[Mutant]:
    """Those of the mutants ``made`` that pass."""
    if grader.exercise.values:
        expected = _passed(grader, solved, {})
        return [mutant for mutant in made if expected <= _passed(grader, solved, {mutant.gradient: mutant.source})]

    def passing_of(row: Sequence[Mutant]) -> list[Mutant]:
        passed = _passed(grader, solved, {mutant.gradient: mutant.source for mutant in row})
        return [mutant for mutant in row if passed.issuperset(grader.exercise.answers[mutant.gradient])]

    return _passed_of(made, solved, passing_of)


def passing_with_a_seed(grader: Grader, solved: NotebookNode, made: Sequence[Mutant]) -> list[Mutant]:
    """Those of the mutants ``made`` of gradients that pass with one of the grader's seeds, and with the other sizes."""
    seeds = len(grader.seeds)

    def passing_of(row: Sequence[Mutant]) -> list[Mutant]:
        sources = {mutant.gradient: mutant.source for mutant in row}
        by_round = grader.passing_by_round(_with_sources(sources, grader.exercise, solved))
        found = []
        for mutant in row:
            answers = set(grader.exercise.answers[mutant.gradient])
            if any(map(answers.issubset, by_round[:seeds])) and all(map(answers.issubset, by_round[seeds:])):
                found.append(mutant)
        return found

    return _passed_of(made, solved, passing_of)


def _by_answer(mutant: Mutant, exercise: Exercise) -> list[Mutant]:
    """A mutant of a function as one of each answer that a check gets by calling it; any other as it is."""
    calls = exercise.calls_of(mutant.gradient)
    of_calls = [replace(mutant, gradient=call.gradient, source=answer_cell(mutant.source, call)) for call in calls]
    return of_calls or [mutant]


def _passed_of(
    made: Sequence[Mutant], solved: NotebookNode, passing_of: Callable[[Sequence[Mutant]], list[Mutant]]
) -> list[Mutant]:
    """Those of the mutants ``made`` that pass; ``passing_of`` tells it of those that are in one submission."""
    rows = [row for row in _rows(made, _solutions(solved)) if row]
    passed = [(mutant, len(row) == 1) for row in rows for mutant in passing_of(row)]
    # two flipped signs in one submission may cancel: grade again, alone, each mutant that passed
    return [mutant for mutant, was_alone in passed if was_alone or passing_of([mutant])]


def shortened(exercise: Exercise) -> Exercise:
    """The exercise with a visible pass as short as its longest hidden one."""
    index, hidden = exercise.parameters_cell, exercise.training.hidden[-1]
    lines = [exercise.cells[index].source, *(f"{name} = {value!r}" for name, value in hidden.items())]
    cell = replace(exercise.cells[index], source="\n".join(lines))
    return replace(exercise, cells=(*exercise.cells[:index], cell, *exercise.cells[index + 1 :]))


def mutation_of_values(
    exercise: Exercise, solved: NotebookNode, seeds: Sequence[int], settings: GradingSettings | None = None
) -> Mutation:
    """As :func:`mutation`, each mutant alone, with the hidden ``seeds`` only; ``exercise`` is a :func:`shortened` one.

    All processors share the mutants.
    """
    settings, solutions = settings or GradingSettings(), _solutions(solved)
    made = [mutant for name, source in solutions.items() for mutant in mutants(name, source, [], {})]
    with workers(Subject(exercise, settings, solved, solved), max(len(made), 1)) as pool:
        found = _passing_by(pool, seeds, made)
    passed = [mutant for mutant in made if mutant in found]
    if not passed:
        return Mutation(len(made))
    parameters = passes_of(exercise, seeds, (*settings.sizes, *exercise.training.sizes))[-1].parameters
    trials = [{**parameters, "seed": seed} for seed in SEEDS]
    right = [_values(exercise, parameters, {}) for parameters in trials]

    def agrees(mutant: Mutant, allowance: float) -> bool:
        """Whether a mutant makes the same changes in every setting, up to ``allowance`` times their scales."""
        mutated = (_values(exercise, parameters, {mutant.gradient: mutant.source}) for parameters in trials)
        return all(
            name in values.after
            and values.change(name).shape == expected.change(name).shape
            and scale_of(values.change(name) - expected.change(name)) <= allowance * expected.scale(name)
            for values, expected in zip(mutated, right, strict=True)
            for name in {check.gradient for check in exercise.values} & expected.after.keys()
        )

    return _classified(len(made), passed, agrees)


def _solutions(solved: NotebookNode) -> dict[str, str]:
    """The worked solution of each stub in the notebook ``solved``, in order."""
    return {grade_id(cell): without_marks(cell.source) for cell in solved.cells if kind_of(cell) == "stub"}


def _classified(made: int, passed: Sequence[Mutant], agrees: Callable[[Mutant, float], bool]) -> Mutation:
    """The ``passed`` of ``made`` mutants as equivalent, negligible or survivors.

    ``agrees`` tells whether a mutant gives what the worked solution gives, up to an allowance.
    """
    equivalent = [mutant for mutant in passed if agrees(mutant, ALMOST)]
    wrong = [mutant for mutant in passed if mutant not in equivalent]
    negligible = [mutant for mutant in wrong if agrees(mutant, NEGLIGIBLE)]
    survivors = [mutant for mutant in wrong if mutant not in negligible]
    return Mutation(made, _survivors(equivalent), _survivors(negligible), _survivors(survivors))


def _all_mutants(grader: Grader, solutions: Mapping[str, str]) -> list[Mutant]:
    """Every mutant of every worked solution, in order."""
    exercise, made = grader.exercise, list[Mutant]()
    above: list[str] = []
    for name, source in solutions.items():
        shapes = _shapes(grader, above)
        known = [other for other in above if other in shapes]
        for check in exercise.calls_of(name):
            shapes |= {
                parameter: shapes[argument]
                for parameter, argument in arguments(source, check.call).items()
                if argument in shapes
            }
        made += mutants(name, source, known, shapes, exercise.sizes)
        above += exercise.answers[name]
    return made


def _shapes(grader: Grader, above: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the named tensors and of the gradients ``above``, by name."""
    tensors = next(iter(grader.references.values())).tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return shapes | {name: shapes[name.removeprefix("d")] for name in above if name.removeprefix("d") in shapes}


def _rows(made: Sequence[Mutant], solutions: Mapping[str, str]) -> Iterator[list[Mutant]]:
    """Groups of mutants for one submission: one of each answer, or single mutants if answers share other names."""
    if _share_names(solutions):
        yield from ([mutant] for mutant in made)
        return
    by_answer = [[mutant for mutant in made if mutant.gradient == name] for name in solutions]
    for row in itertools.zip_longest(*by_answer):
        yield [mutant for mutant in row if mutant]


def _share_names(solutions: Mapping[str, str]) -> bool:
    """Whether a cell reads a name, other than an answer, that another cell assigns."""
    assigned: set[str] = set()
    for source in solutions.values():
        parsed = ParsedCell.of(source)
        names = parsed.bound() - set(solutions) if parsed else set()
        read = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        if (read - names) & assigned:
            return True
        assigned |= names
    return False


def _passed(grader: Grader, solved: NotebookNode, sources: Mapping[str, str]) -> set[str]:
    """The answers that pass in the notebook ``solved`` with the ``sources`` of some stubs replaced."""
    with grader.without_diagnoses():
        report = grader.grade(_with_sources(sources, grader.exercise, solved)).report
    # what is held for review has passed its check
    return {check.gradient for check in report.checks if check.outcome in ("passed", "held")}


def _with_sources(sources: Mapping[str, str], exercise: Exercise, solved: NotebookNode) -> Submission:
    """The notebook ``solved`` with the ``sources`` of some stubs replaced, handed in."""
    notebook = copy.deepcopy(solved)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = sources.get(grade_id(cell), cell.source)
    return Submission.of(notebook, exercise)


def _survivors(mutants: Sequence[Mutant]) -> tuple[Survivor, ...]:
    """The mutants as records."""
    return tuple(Survivor(mutant.gradient, mutant.kind, mutant.diff) for mutant in mutants)


def _values(exercise: Exercise, parameters: Mapping[str, Any], sources: Mapping[str, str]) -> SolutionValues:
    """The values in double precision, with the ``sources`` of some stubs; none if a cell raises."""
    cells = tuple(replace(cell, source=sources.get(cell.name, cell.source)) for cell in exercise.cells)
    with default_dtype(torch.float64), suppress(ExerciseError):
        namespace = run_locked(exercise, parameters)
        before = _doubles(namespace)
        run_solution(replace(exercise, cells=cells), namespace)
        return SolutionValues(before, _doubles(namespace))
    return SolutionValues({}, {})


def _doubles(namespace: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors: a mutant may make a value boolean."""
    tensors = {name: value for name, value in namespace.items() if isinstance(value, torch.Tensor)}
    return {name: tensor.detach().double().clone() for name, tensor in tensors.items() if not tensor.is_complex()}
