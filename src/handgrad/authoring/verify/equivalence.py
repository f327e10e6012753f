"""Settings in which a mutant is compared with the worked solution: double precision, other numbers, other sizes.

No check runs: a mutant is equivalent if it gives the same values as the worked solution in every setting.
"""

import ast
import copy
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch

from handgrad.authoring.mutants import Mutant
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Cell, Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.notebook import execution

__all__ = ["ALMOST", "NEGLIGIBLE", "SEEDS", "Settings", "double_precision"]

SEEDS = (7, 8, 9)
"""Seeds of the settings."""
_COPIED = (torch.Tensor, list, tuple, dict)
ALMOST = 1e-9
"""In double precision, two right formulas differ by less than this share of the largest value."""
NEGLIGIBLE = 1e-4
"""A comparison accepts any smaller relative difference, such as a forgotten 1e-5 added to a variance."""
_NEW_WEIGHTS = """
import torch as _torch
_g = _torch.Generator().manual_seed(seed)
with _torch.no_grad():
    for _w in [value for value in globals().values() if isinstance(value, _torch.Tensor) and value.requires_grad]:
        _w.copy_(_torch.randn(_w.shape, generator=_g, dtype=_w.dtype) * (_w.std(correction=0) or 1))
"""
"""A cell that draws every weight again at its scale: properties of its initialisation (all ones) no longer hold."""


Namespaces = Mapping[str, Mapping[str, Any]]
"""For each answer the namespace in which its cell runs."""


class Settings:
    """The settings of one exercise: runs of its locked cells in double precision.

    They have the ``parameters`` of a hidden pass, each with its own seed. There is a worked solution of each answer, in
    order.
    """

    def __init__(self, exercise: Exercise, solutions: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        self.exercise, self.solutions, self.parameters = exercise, solutions, parameters
        with double_precision():
            references = list(self._references())
        self.blind = {f"d{name}" for name in ForwardFacts.of(references).blind}
        self.random = [_before(reference, solutions, reference.step.upstream) for reference in references]
        """Of each setting, with random upstream gradients."""
        self.true = [_before(reference, solutions, reference.gradients) for reference in references]
        """The same with the true ones."""

    def _references(self) -> Iterator[Reference]:
        """Three seeds, other sizes, and new weights, as far as the exercise accepts them."""
        for seed in SEEDS:
            yield Reference.of(self.exercise, {**self.parameters, "seed": seed})
        others = [(self.exercise, size) for size in _sizes(self.exercise)]
        if changed := _with_new_weights(self.exercise):
            others.append((changed, {}))
        for exercise, size in others:
            with suppress(ExerciseError, RuntimeError):
                yield Reference.of(exercise, {**self.parameters, "seed": SEEDS[0], **size})

    def equivalent(self, mutant: Mutant, allowance: float = ALMOST) -> bool:
        """Whether a mutant equals the solution for random upstream gradients, or, if not blind, for the true ones.

        ``allowance`` is the largest difference, as a share of the largest value.
        """
        upstream = [self.random] if mutant.gradient in self.blind else [self.random, self.true]
        return any(all(self._agree(mutant, setting, allowance) for setting in settings) for settings in upstream)

    def _agree(self, mutant: Mutant, setting: Namespaces, allowance: float) -> bool:
        """Whether a mutant and the worked solution give the same in this setting."""
        namespace = setting[mutant.gradient]
        expected = _run(self.solutions[mutant.gradient], namespace)[mutant.gradient]
        try:
            answer = _run(mutant.source, namespace)[mutant.gradient]
        except Exception:
            return False
        return _same(answer, expected, allowance)


def _before(reference: Reference, solutions: Mapping[str, str], gradients: Mapping[str, torch.Tensor]) -> Namespaces:
    """The namespaces with these upstream gradients; answers that are not gradients come from the worked solutions."""
    namespace = {name: _plain(value) for name, value in reference.namespace.items()}
    before: dict[str, dict[str, Any]] = {}
    for name, source in solutions.items():
        before[name] = dict(namespace)
        namespace = _run(source, namespace)
        if name.removeprefix("d") in gradients:
            namespace[name] = gradients[name.removeprefix("d")]
    return before


def _plain(value: Any) -> Any:
    """A value without autograd's graph, also inside lists, tuples and dictionaries."""
    match value:
        case torch.Tensor():
            return value.detach()
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(_plain, value))
        case dict() if type(value) is dict:
            return {key: _plain(part) for key, part in value.items()}
    return value


def _run(source: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The namespace after a cell, which gets copies of the values it names; exceptions of the cell propagate."""
    named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    # one deepcopy of all of them: tensors that share memory do so in the copy too
    copies = copy.deepcopy({name: namespace[name] for name in named if isinstance(namespace.get(name), _COPIED)})
    generators = {
        name: torch.Generator().set_state(value.get_state())
        for name, value in namespace.items()
        if isinstance(value, torch.Generator)
    }
    own = {**namespace, **copies, **generators}
    with double_precision(), torch.no_grad(), execution.captured():
        exec(compile(source, "<answer>", "exec"), own)
    return own


def _same(answer: Any, expected: Any, allowance: float) -> bool:
    """Whether two answers are the same up to an allowance; lists are compared part by part."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(answer, torch.Tensor) or answer.shape != expected.shape:
            return False
        difference = (answer.double() - expected.double()).abs()
        scale = expected.double().abs().max() if expected.numel() else 0.0
        return bool((difference <= allowance * scale).all())
    if isinstance(expected, (list, tuple)) and isinstance(answer, (list, tuple)):
        return len(answer) == len(expected) and all(
            _same(part, other, allowance) for part, other in zip(answer, expected, strict=True)
        )
    return bool(answer == expected)


def _sizes(exercise: Exercise) -> Iterator[dict[str, int]]:
    """Other integers for the parameters: all of them a little larger, then one at a time."""
    source = exercise.cells[exercise.parameters_cell].source
    numbers: dict[str, int] = {}
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(number))) if name != "seed":
                numbers[name] = number
    yield {name: number + 1 + index for index, (name, number) in enumerate(numbers.items())}
    yield from ({name: number + 3} for name, number in numbers.items())


def _with_new_weights(exercise: Exercise) -> Exercise | None:
    """The exercise with new weights drawn after the cell that makes the last of them; None if there is no such cell."""
    namespace = execution.new_namespace()
    last = None
    with chdir(exercise.directory), torch.enable_grad(), execution.captured():
        for number, cell in enumerate(exercise.cells[: exercise.first_stub]):
            if cell.kind != "locked":
                continue
            execution.run_cell(execution.CompiledCell(cell.source, f"<{cell.name}>"), namespace)
            tensors = [value for value in namespace.values() if isinstance(value, torch.Tensor) and value.requires_grad]
            if any(not tensor.is_leaf for tensor in tensors):
                break
            last = number if tensors else None
    if last is None:
        return None
    cell = Cell("locked", "new-weights", _NEW_WEIGHTS)
    return replace(exercise, cells=(*exercise.cells[: last + 1], cell, *exercise.cells[last + 1 :]))


@contextmanager
def double_precision() -> Iterator[None]:
    """Make float64 the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
