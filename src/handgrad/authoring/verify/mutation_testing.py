"""What the checks make of mutants: one warm grader, one mutant of each answer in a submission."""

import ast
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from nbformat import NotebookNode

from handgrad.authoring.mutants import Mutant, mutants
from handgrad.authoring.verify.equivalence import ALMOST, NEGLIGIBLE, Worlds
from handgrad.authoring.verify.results import Mutation, Survivor
from handgrad.exercise.exercise import grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from handgrad.grading.grader import Grader
from handgrad.notebook.syntax import ParsedCell
from handgrad.report.records import Report
from handgrad.submission.submission import Submission

__all__ = ["all_mutants", "graded", "mutation", "solutions_in", "sorted_out"]


def mutation(grader: Grader, solved: NotebookNode) -> Mutation:
    """Grade every mutant of the worked solution in the notebook ``solved``; the survivors, and which are right."""
    solutions = solutions_in(solved)
    made = all_mutants(grader, solutions)
    passed = [one for row in _rows(made, solutions) for one in _passed(row, grader, solved)]
    # in company two signs may cancel as the notebook is written: what passes is asked again, alone
    passed = [one for row in passed for one in _passed([row], grader, solved)]
    if not passed:
        return Mutation(len(made))
    worlds = Worlds(grader.exercise, solutions, grader.passes[-1].parameters)
    return sorted_out(len(made), passed, worlds.equivalent)


def solutions_in(solved: NotebookNode) -> dict[str, str]:
    """The worked solution of each stub in the notebook ``solved``, in order."""
    return {grade_id(cell): without_marks(cell.source) for cell in solved.cells if kind_of(cell) == "stub"}


def sorted_out(made: int, passed: Sequence[Mutant], agrees: Callable[[Mutant, float], bool]) -> Mutation:
    """Of ``made`` mutants those that ``passed``: which are right, which differ by next to nothing, which survive.

    Parameters
    ----------
    agrees
        Whether a mutant gives what the worked solution gives, up to an allowance.
    """
    equivalent = [mutant for mutant in passed if agrees(mutant, ALMOST)]
    wrong = [mutant for mutant in passed if mutant not in equivalent]
    negligible = [mutant for mutant in wrong if agrees(mutant, NEGLIGIBLE)]
    survivors = [mutant for mutant in wrong if mutant not in negligible]
    return Mutation(made, _shown(equivalent), _shown(negligible), _shown(survivors))


def all_mutants(grader: Grader, solutions: Mapping[str, str]) -> list[Mutant]:
    """Every mutant of every worked solution, in order."""
    names, found = list(solutions), []
    for number, name in enumerate(names):
        shapes = _shapes(grader, names[:number])
        found += mutants(name, solutions[name], [one for one in names[:number] if one in shapes], shapes)
    return found


def _shapes(grader: Grader, above: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the named tensors, and of the gradients that stand."""
    tensors = next(iter(grader.references.values())).tensors
    shapes = {name: tuple(one.shape) for name, one in tensors.items()}
    return shapes | {name: shapes[name.removeprefix("d")] for name in above if name.removeprefix("d") in shapes}


def _rows(made: Sequence[Mutant], solutions: Mapping[str, str]) -> Iterator[list[Mutant]]:
    """The mutants, one of each answer together; each alone where an answer uses what another one's cell makes."""
    if _is_woven(solutions):
        yield from ([mutant] for mutant in made)
        return
    by_answer = [[mutant for mutant in made if mutant.gradient == name] for name in solutions]
    for row in itertools.zip_longest(*by_answer):
        yield [one for one in row if one]


def _is_woven(solutions: Mapping[str, str]) -> bool:
    """Whether a cell reads a name, other than an answer, that another one assigns."""
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
    report = graded(grader, solved, {one.gradient: one.source for one in row})
    outcomes = {check.gradient: check.outcome for check in report.checks}
    return [one for one in row if outcomes[one.gradient] == "passed"]


def graded(grader: Grader, solved: NotebookNode, sources: Mapping[str, str]) -> Report:
    """The report of the notebook ``solved``, some of whose stubs hold other ``sources``."""
    notebook = copy.deepcopy(solved)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = sources.get(grade_id(cell), cell.source)
    return grader.grade(Submission.of(notebook, grader.exercise)).report


def _shown(ones: Sequence[Mutant]) -> tuple[Survivor, ...]:
    """The mutants as they are told."""
    return tuple(Survivor(one.gradient, one.kind, one.diff) for one in ones)
