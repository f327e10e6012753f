"""Worlds in which a mutant is compared with the worked solution: double precision, other numbers, other sizes.

No check is asked: a mutant is equivalent where it gives, in every world, what the worked solution gives.
"""

import ast
import copy
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from handgrad.authoring.mutants import Mutant
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Cell, Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.notebook import execution

__all__ = ["ALMOST", "NEGLIGIBLE", "SEEDS", "World", "Worlds", "double_precision"]

SEEDS = (7, 8, 9)
"""Of the worlds."""
_COPIED = (torch.Tensor, list, tuple, dict)
ALMOST = 1e-9
"""In double precision, two right formulas differ by less than this share of the largest value."""
NEGLIGIBLE = 1e-4
"""What differs by less is no mistake to a comparison, whatever a course allows: a forgotten 1e-5 beside a variance."""
_ANEW = """
import torch as _torch
_g = _torch.Generator().manual_seed(seed)
with _torch.no_grad():
    for _one in [one for one in globals().values() if isinstance(one, _torch.Tensor) and one.requires_grad]:
        _one.copy_(_torch.randn(_one.shape, generator=_g, dtype=_one.dtype) * (_one.std(correction=0) or 1))
"""
"""A cell that draws every weight anew, at its scale: what is true of these weights by their making is no longer."""


@dataclass(frozen=True)
class World:
    """One run of the locked cells in double precision.

    Attributes
    ----------
    before
        For each answer, the names that stand when its cell runs: every gradient above it random.
    true
        The same with the true gradients above it.
    """

    before: Mapping[str, Mapping[str, Any]]
    true: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, reference: Reference, solutions: Mapping[str, str]) -> Self:
        """The world of a reference, with the worked solutions of everything that is no gradient of it."""
        return cls(
            _before(reference, solutions, reference.step.upstream), _before(reference, solutions, reference.gradients)
        )


class Worlds:
    """The worlds of one exercise.

    Parameters
    ----------
    exercise
        Whose locked cells run.
    solutions
        The worked solution of each answer, in order.
    parameters
        What a hidden pass sets; each world has a seed of its own.
    """

    def __init__(self, exercise: Exercise, solutions: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        self.exercise, self.solutions, self.parameters = exercise, solutions, parameters
        with double_precision():
            references = list(self._references())
        self.blind = {f"d{name}" for name in ForwardFacts.of(references).blind}
        self.worlds = [World.of(reference, solutions) for reference in references]

    def _references(self) -> Iterator[Reference]:
        """Three seeds, other sizes, and weights drawn anew, as far as the exercise takes them."""
        for seed in SEEDS:
            yield Reference.of(self.exercise, {**self.parameters, "seed": seed})
        for size in _sizes(self.exercise):
            yield from self._if_possible(self.exercise, size)
        if anew := _with_weights_anew(self.exercise):
            yield from self._if_possible(anew, {})

    def _if_possible(self, exercise: Exercise, others: Mapping[str, Any]) -> Iterator[Reference]:
        try:
            yield Reference.of(exercise, {**self.parameters, "seed": SEEDS[0], **others})
        except (ExerciseError, RuntimeError):
            return

    def equivalent(self, mutant: Mutant, allowance: float = ALMOST) -> bool:
        """Whether a mutant gives what the worked solution gives: from random gradients, or on a loss that can tell.

        Parameters
        ----------
        allowance
            Largest difference, as a share of the largest value.
        """
        name = mutant.gradient
        if all(self._agree(mutant, setting.before[name], allowance) for setting in self.worlds):
            return True
        return name not in self.blind and all(
            self._agree(mutant, setting.true[name], allowance) for setting in self.worlds
        )

    def _agree(self, mutant: Mutant, namespace: Mapping[str, Any], allowance: float) -> bool:
        """Whether a mutant and the worked solution give the same where these names stand."""
        expected = _run(self.solutions[mutant.gradient], namespace)[mutant.gradient]
        try:
            answer = _run(mutant.source, namespace)[mutant.gradient]
        except Exception:
            return False
        return _same(answer, expected, allowance)


def _before(
    reference: Reference, solutions: Mapping[str, str], gradients: Mapping[str, torch.Tensor]
) -> dict[str, dict[str, Any]]:
    """For each answer the names that stand when its cell runs."""
    namespace = {name: _plain(value) for name, value in reference.namespace.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, source in solutions.items():
        found[name] = dict(namespace)
        namespace = _run(source, namespace)
        if name.removeprefix("d") in gradients:
            namespace[name] = gradients[name.removeprefix("d")]
    return found


def _plain(value: Any) -> Any:
    """A value without autograd's graph; of lists and tables, what stands in them."""
    match value:
        case torch.Tensor():
            return value.detach()
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(_plain, value))
        case dict() if type(value) is dict:
            return {key: _plain(one) for key, one in value.items()}
    return value


def _run(source: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The names after a cell, which works on copies of what it names; it raises what the cell raises."""
    named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    # one copy of all of them: what shares its numbers does so in the copy too
    copies = copy.deepcopy({name: one for name, one in namespace.items() if name in named and isinstance(one, _COPIED)})
    generators = {
        name: torch.Generator().set_state(one.get_state())
        for name, one in namespace.items()
        if isinstance(one, torch.Generator)
    }
    own = {**namespace, **copies, **generators}
    with double_precision(), torch.no_grad(), execution.captured():
        exec(compile(source, "<answer>", "exec"), own)
    return own


def _same(answer: Any, expected: Any, allowance: float) -> bool:
    """Whether two answers are the same up to an allowance; a list is, where its parts are."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(answer, torch.Tensor) or answer.shape != expected.shape:
            return False
        difference = (answer.double() - expected.double()).abs()
        scale = expected.double().abs().max() if expected.numel() else 0.0
        return bool((difference <= allowance * scale).all())
    if isinstance(expected, (list, tuple)) and isinstance(answer, (list, tuple)):
        return len(answer) == len(expected) and all(
            _same(one, other, allowance) for one, other in zip(answer, expected, strict=True)
        )
    return bool(answer == expected)


def _sizes(exercise: Exercise) -> Iterator[dict[str, int]]:
    """Other whole numbers for the parameters: all of them a little larger, and each by itself."""
    source = exercise.cells[exercise.parameters_cell].source
    numbers: dict[str, int] = {}
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(number))) if name != "seed":
                numbers[name] = number
    yield {name: number + 1 + place for place, (name, number) in enumerate(numbers.items())}
    yield from ({name: number + 3} for name, number in numbers.items())


def _with_weights_anew(exercise: Exercise) -> Exercise | None:
    """The exercise with its weights drawn anew behind the cell that makes the last of them; None where none is."""
    namespace = execution.new_namespace()
    place = None
    with chdir(exercise.directory), torch.enable_grad(), execution.captured():
        for number, cell in enumerate(exercise.cells[: exercise.first_stub]):
            if cell.kind != "locked":
                continue
            execution.run_cell(execution.CompiledCell(cell.source, f"<{cell.name}>"), namespace)
            tensors = [value for value in namespace.values() if isinstance(value, torch.Tensor) and value.requires_grad]
            if any(not tensor.is_leaf for tensor in tensors):
                break
            place = number if tensors else None
    if place is None:
        return None
    anew = Cell("locked", "weights-anew", _ANEW)
    return replace(exercise, cells=(*exercise.cells[: place + 1], anew, *exercise.cells[place + 1 :]))


@contextmanager
def double_precision() -> Iterator[None]:
    """Let new tensors hold numbers of 64 bits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
