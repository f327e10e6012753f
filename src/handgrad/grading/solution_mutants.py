"""Recognise an answer as the worked solution with one small mistake: its values are those of a mutant in every pass.

Where the solution is known, its mutants are a catalogue of mistakes. The sentence says what the mutant changes, not the
formula.
"""

import ast
import itertools
import re
import types
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from handgrad.exercise.exercise import Exercise, answer_cell
from handgrad.exercise.reference import Reference
from handgrad.gradients.comparison import compare, scale_of
from handgrad.gradients.mistakes.catalogue import diagnosis_of
from handgrad.grading.mutants import Mutant, mutants, repeated_mutants
from handgrad.grading.worked_solution import is_own_function, namespaces_before, run_answer
from handgrad.report.records import Diagnosis

__all__ = ["SolutionMutants"]

Setting = tuple[str, bool]
"""The name of a pass, and whether its upstream gradients are random ones."""

SAMPLE = 512
"""About how many entries of a mutant's value are kept."""
_CHANGES = {
    "sign flipped": "one sign is the opposite",
    "transposed": "one transpose is left out or too many, or one matrix product is the other way round",
    "factor dropped": "one factor is left out",
    "term dropped": "one term is left out",
    "n for n-1": "a 1 is not subtracted",
    "wrong dimension": "one sum, mean, maximum or softmax runs along another dimension",
    "keepdim": "a sum keeps its dimension, or loses it, where it should not",
    "last write": "only the last value is kept for an index that occurs several times",
    "forward for gradient": "{word} stands where a gradient belongs",
    "gradient for forward": "{word} stands where a value of the forward pass belongs",
    "another name": "{word} stands where another tensor of the same shape belongs",
    "another size": "{word} stands where another size belongs",
    "= for +=": "a value is assigned where it should be added",
    "+= for =": "a value is added where it should be assigned",
    "divided for multiplied": "one division stands where a multiplication belongs",
    "multiplied for divided": "one multiplication stands where a division belongs",
    "exponent": "one exponent is left out, or too large by 1",
    "condition turned round": "one condition is the opposite",
    "upstream left out": "one upstream gradient is left out",
    "loop cut short": "one turn of a loop is left out",
    "another function": "{word} stands where another function belongs",
    "another slope": "one slope is the one of another function: a tanh and a sigmoid are mixed up",
    "summed early": "it sums first and multiplies then",
    "call dropped": "a call of {word} is left out",
    "statement dropped": "one line is left out",
    "on one term": "only one term is multiplied or divided, where the whole sum should be",
    "unbiased": "the variance is the biased one where the unbiased one belongs, or the other way round",
    "other order": "two lines stand in the other order",
    "opposite everywhere": "{word} has the opposite sign, wherever it stands",
    "terms dropped": "every term with {word} is left out",
    "another name everywhere": "{word} stands wherever another tensor of the same shape belongs",
}
"""What a student reads of each kind of mutant."""


class SolutionMutants:
    """The mutants of an exercise's worked solutions, by gradient; empty for a gradient whose solution is not known.

    A release has no worked solutions. The ``references`` are by the name of their pass.
    """

    def __init__(self, exercise: Exercise, references: Mapping[str, Reference]) -> None:
        self._exercise, self._references = exercise, references
        self._stubs = {cell.name: cell.source for cell in exercise.cells if cell.kind == "stub"}
        self._cells = exercise.answer_cells(self._stubs)
        """The code of each answer that has its own, or of the stub that makes it."""
        self._namespaces: dict[Setting, dict[str, dict[str, Any]]] = {}
        self._made: dict[str, list[Mutant]] = {}
        self._right: dict[tuple[str, Setting], bool] = {}
        self._samples: dict[tuple[Setting, Mutant], tuple[tuple[int, ...] | None, torch.Tensor]] = {}

    def recognise(
        self, gradient: str, answers: Mapping[Setting, torch.Tensor], tolerance: float, lines: str, source: str
    ) -> Diagnosis | None:
        """The mistake if a mutant has the values of all ``answers``, which are those of one gradient.

        ``lines`` are those of the forward pass that a student should look at. A name that stands nowhere in the
        student's ``source`` is not what was written, whatever the values.
        """
        names = set(re.findall(r"\w+", source))
        made = self._mutants_of(gradient) if answers else []
        left = [mutant for mutant in made if mutant.word in names or not _is_swap(mutant)]
        for setting, answer in answers.items():
            if not left or not self._is_right(gradient, setting, tolerance):
                return None
            left = [mutant for mutant in left if self._fits(gradient, mutant, setting, answer, tolerance)]
        if not left:
            return None
        # of several mutants with the same values, the first is the plainest; a term that is zero without a factor of
        # it is rather left out as a whole
        plainest = min(left, key=lambda mutant: (left[0].kind == "factor dropped") & (mutant.kind != "term dropped"))
        change = _CHANGES[plainest.kind].format(word=plainest.word)
        return diagnosis_of("one-change", gradient, change=change, lines=lines)

    def _mutants_of(self, gradient: str) -> list[Mutant]:
        if gradient not in self._made:
            tensors, check = self._exercise.tensors, self._exercise.check_of(gradient)
            own = (gradient,) if check.call else self._exercise.answers[check.stub]
            earlier = list(itertools.takewhile(lambda name: name not in own, tensors))
            shapes = self._shapes | {name: self._shapes[tensors[name]] for name in earlier}
            source = self._stubs[check.stub]
            known = self._is_pure and _ends(source)
            made = mutants(gradient, source, earlier, shapes, self._exercise.sizes) if known else []
            made += repeated_mutants(gradient, source, shapes) if known else []
            self._made[gradient] = [
                replace(mutant, source=answer_cell(mutant.source, check)) for mutant in made if mutant.kind in _CHANGES
            ]
        return self._made[gradient]

    def _cell(self, gradient: str) -> str:
        """The name of the code that makes a gradient."""
        return gradient if gradient in self._cells else self._exercise.check_of(gradient).stub

    @cached_property
    def _is_pure(self) -> bool:
        """Whether no solution uses an object of a locked cell, which may write into the references."""
        namespace = next(iter(self._references.values())).namespace
        try:
            trees = [ast.parse(source) for source in self._stubs.values()]
        except SyntaxError:
            # a magic
            return False
        names = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return all(_is_plain(namespace.get(name)) for name in names)

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the named tensors, and of the indices."""
        reference = next(iter(self._references.values()))
        indices = {
            name: value
            for name, value in reference.namespace.items()
            if isinstance(value, torch.Tensor) and not value.is_floating_point()
        }
        return {name: tuple(tensor.shape) for name, tensor in (indices | dict(reference.tensors)).items()}

    def _is_right(self, gradient: str, setting: Setting, tolerance: float) -> bool:
        """Whether the worked solution is known: it gives the right gradient."""
        if (gradient, setting) not in self._right:
            name, step = setting
            reference = self._references[name]
            expected = (reference.step.gradients if step else reference.gradients)[self._exercise.tensors[gradient]]
            solution = Mutant(gradient, "", self._cells[self._cell(gradient)], "")
            self._right[gradient, setting] = _same(self._value(gradient, solution, setting), expected, tolerance)
        return self._right[gradient, setting]

    def _fits(self, gradient: str, mutant: Mutant, setting: Setting, answer: torch.Tensor, tolerance: float) -> bool:
        """Whether a mutant has the values of an answer; most have not, as some of their entries show."""
        if (setting, mutant) not in self._samples:
            self._samples[setting, mutant] = _sample(self._value(gradient, mutant, setting))
        shape, sample = self._samples[setting, mutant]
        allowance = 2 * tolerance * scale_of(answer.double())
        if shape != tuple(answer.shape) or scale_of(sample - _sample(answer)[1]) > allowance:
            return False
        return _same(self._value(gradient, mutant, setting), answer, tolerance)

    def _value(self, gradient: str, mutant: Mutant, setting: Setting) -> torch.Tensor | None:
        """The value of a mutant in one pass; None if it raises, or gives no tensor."""
        try:
            namespace = self._namespace(setting)[self._cell(gradient)]
            value = run_answer(mutant.source, namespace, torch.get_default_dtype()).get(gradient)
        except (Exception, SystemExit):
            # a mutant may raise anything
            return None
        return value if isinstance(value, torch.Tensor) else None

    def _namespace(self, setting: Setting) -> dict[str, dict[str, Any]]:
        if setting not in self._namespaces:
            name, step = setting
            reference = self._references[name]
            gradients = reference.step.upstream if step else reference.gradients
            self._namespaces[setting] = namespaces_before(self._cells, reference.namespace, gradients)
        return self._namespaces[setting]


def _is_swap(mutant: Mutant) -> bool:
    """Whether a mutant has a name in the place of another one."""
    return _CHANGES[mutant.kind].startswith("{word} stands")


def _ends(source: str) -> bool:
    """Whether every mutant of a solution ends: no condition or iterator decides how often something is done."""
    finite = ("range", "zip", "enumerate", "reversed", "sorted")
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.For(iter=ast.Call(func=ast.Name(id=name))) if name in finite:
                pass
            case ast.While() | ast.For(iter=ast.Call()):
                return False
    return True


def _is_plain(value: Any) -> bool:
    """Whether a value is no object of a locked cell: these may keep something."""
    if is_own_function(value):
        return True
    if isinstance(value, torch.nn.Module):
        return False
    kind = value if isinstance(value, type | types.FunctionType) else type(value)
    return bool(kind.__module__ != "__main__")


def _sample(value: torch.Tensor | None) -> tuple[tuple[int, ...] | None, torch.Tensor]:
    """The shape of a value, None if there is none, and some of its entries."""
    if value is None or value.is_complex():
        return None, torch.zeros(0, dtype=torch.float64)
    return tuple(value.shape), value.detach().flatten()[:: max(1, value.numel() // SAMPLE)].double().clone()


def _same(value: torch.Tensor | None, answer: torch.Tensor, tolerance: float) -> bool:
    """Whether a mutant's value is the ``answer``, in its shape."""
    if value is None or value.shape != answer.shape or not answer.is_floating_point():
        return False
    return (
        bool(answer.any())
        and bool(value.isfinite().all())
        and compare(answer.double(), value.double(), tolerance=tolerance).approximate
    )
