"""Mutation testing of gradients: grade submissions with one mutant of each answer."""

import ast
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from nbformat import NotebookNode

from handgrad.authoring.mutants import Mutant, mutants
from handgrad.authoring.verify.equivalence import ALMOST, NEGLIGIBLE, Settings
from handgrad.authoring.verify.results import Mutation, Survivor
from handgrad.exercise.exercise import grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from handgrad.grading.grader import Grader
from handgrad.notebook.syntax import ParsedCell
from handgrad.report.records import Report
from handgrad.submission.submission import Submission

__all__ = ["all_mutants", "classify", "graded", "mutation", "solutions_in"]


def mutation(grader: Grader, solved: NotebookNode) -> Mutation:
    """Grade every mutant of the worked solution in the notebook ``solved``, and classify those that pass."""
    solutions = solutions_in(solved)
    made = all_mutants(grader, solutions)
    passed = [mutant for row in _rows(made, solutions) for mutant in _passed(row, grader, solved)]
    # two flipped signs in one submission may cancel: grade again, alone, each mutant that passed
    passed = [mutant for mutant in passed if _passed([mutant], grader, solved)]
    if not passed:
        return Mutation(len(made))
    settings = Settings(grader.exercise, solutions, grader.passes[-1].parameters)
    return classify(len(made), passed, settings.equivalent)


def solutions_in(solved: NotebookNode) -> dict[str, str]:
    """The worked solution of each stub in the notebook ``solved``, in order."""
    return {grade_id(cell): without_marks(cell.source) for cell in solved.cells if kind_of(cell) == "stub"}


def classify(made: int, passed: Sequence[Mutant], agrees: Callable[[Mutant, float], bool]) -> Mutation:
    """Classify the ``passed`` of ``made`` mutants as equivalent, negligible or survivors.

    Parameters
    ----------
    agrees
        Whether a mutant gives what the worked solution gives, up to an allowance.
    """
    equivalent = [mutant for mutant in passed if agrees(mutant, ALMOST)]
    wrong = [mutant for mutant in passed if mutant not in equivalent]
    negligible = [mutant for mutant in wrong if agrees(mutant, NEGLIGIBLE)]
    survivors = [mutant for mutant in wrong if mutant not in negligible]
    return Mutation(made, _survivors(equivalent), _survivors(negligible), _survivors(survivors))


def all_mutants(grader: Grader, solutions: Mapping[str, str]) -> list[Mutant]:
    """Every mutant of every worked solution, in order."""
    names, made = list(solutions), []
    for number, name in enumerate(names):
        shapes = _shapes(grader, names[:number])
        made += mutants(name, solutions[name], [other for other in names[:number] if other in shapes], shapes)
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


def _passed(row: Sequence[Mutant], grader: Grader, solved: NotebookNode) -> list[Mutant]:
    """The mutants of a row that get full marks."""
    report = graded(grader, solved, {mutant.gradient: mutant.source for mutant in row})
    outcomes = {check.gradient: check.outcome for check in report.checks}
    return [mutant for mutant in row if outcomes[mutant.gradient] == "passed"]


def graded(grader: Grader, solved: NotebookNode, sources: Mapping[str, str]) -> Report:
    """The report of the notebook ``solved`` with the ``sources`` of some stubs replaced."""
    notebook = copy.deepcopy(solved)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = sources.get(grade_id(cell), cell.source)
    return grader.grade(Submission.of(notebook, grader.exercise)).report


def _survivors(mutants: Sequence[Mutant]) -> tuple[Survivor, ...]:
    """The mutants as records."""
    return tuple(Survivor(mutant.gradient, mutant.kind, mutant.diff) for mutant in mutants)
