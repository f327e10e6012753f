"""Reference: the right answers for one parameter set, from the exercise's forward pass under autograd.

It runs the instructor's locked cells in this process, and must never run a student's.
"""

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from typing import Any, Self

import torch

from handgrad.errors import ExerciseError, closest
from handgrad.exercise.exercise import Exercise
from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS, is_scalar_loss
from handgrad.gradients.mistakes.backward_context import BackwardContext
from handgrad.notebook import execution
from handgrad.notebook.syntax import assigning_lines, gradients_taken
from handgrad.report.records import ForwardGraph

__all__ = ["ForwardFacts", "Reference", "forward_graph", "run_locked"]


@dataclass(frozen=True)
class Reference:
    """Forward values and gradients of an exercise for one parameter set.

    The ``namespace`` has every name that the locked cells define; its forward tensors are part of the autograd graph.
    The named ``tensors`` are those with a stub in forward order, then those whose gradient is given. Each has the true
    gradient of the loss in ``gradients``, and in ``step`` that of a single step under random upstream gradients (see
    :func:`.autograd_graph.random_step`), with its shape and dtype.
    """

    parameters: Mapping[str, Any]
    namespace: dict[str, Any]
    tensors: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    step: autograd_graph.StepGradients
    _contexts: dict[bool, BackwardContext] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, exercise: Exercise, parameters: Mapping[str, Any]) -> Self:
        """Run the locked cells of ``exercise`` with ``parameters``, and compute the gradients with autograd.

        Raises
        ------
        ExerciseError
            A locked cell raises, there is no scalar ``loss``, or a named tensor does not lead to it. (An exercise
            without gradients needs no loss.)
        """
        namespace = run_locked(exercise, parameters)
        if not exercise.tensors:
            return cls(parameters, namespace, {}, {}, autograd_graph.StepGradients({}, {}))
        loss = namespace.get(LOSS)
        if not is_scalar_loss(loss):
            raise ExerciseError(f"{exercise.name}: the locked cells define no scalar tensor called {LOSS!r}.")
        tensors = _named_tensors(exercise, namespace)
        try:
            with autograd_graph.gradients_kept(tensors.values()):
                found = torch.autograd.grad(loss, list(tensors.values()), retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            raise ExerciseError(
                f"{exercise.name}: the graph of the loss was freed ({error}). "
                "The locked cell must call loss.backward(retain_graph=True)."
            ) from error
        gradients = {}
        for (name, _), gradient in zip(tensors.items(), found, strict=True):
            if gradient is None:
                has = "has a given gradient" if name in exercise.given_gradients.values() else "has a stub"
                raise ExerciseError(f"{exercise.name}: the tensor {name} {has} but does not lead to the loss.")
            gradients[name] = gradient.detach().clone()
        for given, name in exercise.given_gradients.items():
            value = namespace.get(given)
            if given in namespace and not (isinstance(value, torch.Tensor) and torch.equal(value, gradients[name])):
                raise ExerciseError(_not_given(exercise, given))
        step = autograd_graph.random_step(loss, tensors, gradients, _generator(exercise, parameters))
        return cls(parameters, namespace, tensors, gradients, step)

    def backward_context(self, facts: "ForwardFacts", *, step: bool) -> BackwardContext:
        """What the diagnosis of a wrong answer needs, for random upstream gradients (``step``) or the true ones.

        It is cached, and computes its branches only if they are needed: not if every answer is right.
        """
        if step not in self._contexts:
            gradients = self.step.upstream if step else self.gradients
            context = BackwardContext(self.namespace, self.tensors, gradients, facts.consumers, facts.lines)
            self._contexts[step] = context
        return self._contexts[step]

    def zero(self) -> frozenset[str]:
        """Tensors whose true gradient is only rounding noise for this parameter set."""
        return frozenset(
            name for name, true in self.gradients.items() if autograd_graph.is_zero(true, self.step.gradients[name])
        )


@dataclass(frozen=True)
class ForwardFacts:
    """Facts about an exercise that do not depend on the data.

    ``consumers`` are for each named tensor the tensors (or the loss) computed directly from it. The true gradient of
    the ``zero`` tensors is zero by construction; the ``blind`` ones are these and those with such a consumer, where the
    loss does not reveal a mistake. ``lines`` has the line of the forward pass that assigns a name, if the statement is
    a single line.
    """

    consumers: Mapping[str, tuple[str, ...]]
    zero: frozenset[str]
    blind: frozenset[str]
    lines: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, references: Iterable[Reference], sources: Iterable[str] = ()) -> Self:
        """The facts that hold for all ``references`` of one exercise, whose locked cells are ``sources``."""
        references = list(references)
        tensors = references[0].tensors
        consumers = autograd_graph.consumers(references[0].namespace[LOSS], tensors) if tensors else {}
        zero = frozenset.intersection(*(reference.zero() for reference in references))
        blind = frozenset(
            name for name, consuming in consumers.items() if name in zero or not zero.isdisjoint(consuming)
        )
        return cls(consumers, zero, blind, assigning_lines(sources))


def forward_graph(reference: Reference, consumers: Mapping[str, tuple[str, ...]] | None = None) -> ForwardGraph:
    """The forward graph of a reference, from the inputs to the loss; empty without gradients."""
    if not reference.tensors:
        return ForwardGraph({}, frozenset())
    consumers = consumers or autograd_graph.consumers(reference.namespace[LOSS], reference.tensors)
    far = autograd_graph.distances(consumers)
    leaves = frozenset(name for name, tensor in reference.tensors.items() if tensor.is_leaf)
    return ForwardGraph({name: consumers[name] for name in sorted(consumers, key=lambda name: -far[name])}, leaves)


def _named_tensors(exercise: Exercise, namespace: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors with a stub in forward order, the last stub's first, then those whose gradient is given."""
    tensors: dict[str, torch.Tensor] = {}
    faults = []
    for name in (*reversed(exercise.tensors.values()), *exercise.given_gradients.values()):
        value = namespace.get(name)
        if isinstance(value, torch.Tensor) and value.requires_grad:
            tensors[name] = value
        else:
            what = "a locked cell gives" if name in exercise.given_gradients.values() else "there is a stub for"
            faults.append(f"{what} d{name}, but no tensor {name} that has a gradient.{closest(name, namespace)}")
    if faults:
        raise ExerciseError(f"{exercise.name}: " + " ".join(faults))
    return tensors


def _not_given(exercise: Exercise, given: str) -> str:
    tensor = exercise.given_gradients[given]
    return (
        f"{exercise.name}: the {given} of a locked cell is not the gradient of {tensor}. It must be assigned after "
        f"loss.backward(retain_graph=True), and {tensor} must lead to the loss; if it is not a leaf, call "
        f"{tensor}.retain_grad() before backward."
    )


def run_locked(exercise: Exercise, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run the locked cells before the first stub, with ``parameters`` set; the resulting namespace.

    Raises
    ------
    ExerciseError
        One of them raises.
    """
    namespace = execution.new_namespace()
    with chdir(exercise.directory), torch.enable_grad(), execution.captured():
        for index, source in enumerate(exercise.setup(parameters)):
            error = execution.run_cell(execution.CompiledCell(source, f"<locked {index}>"), namespace)
            if error and (given := _given_as_nothing(exercise, source, namespace)):
                raise ExerciseError(_not_given(exercise, given))
            if error:
                raise ExerciseError(
                    f"{exercise.name}: locked cell {index + 1} raises {error.name}: {error.message} "
                    "Run the notebook in Jupyter and fix it."
                )
    return namespace


def _given_as_nothing(exercise: Exercise, source: str, namespace: Mapping[str, Any]) -> str:
    """The gradient that a locked cell, which raised, takes from a tensor without one; empty if there is none."""
    for given, tensor in gradients_taken([source]).items():
        value = namespace.get(tensor)
        if given in exercise.given_gradients and isinstance(value, torch.Tensor):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns about .grad of a tensor that is not a leaf
                if value.grad is None:
                    return given
    return ""


def _generator(exercise: Exercise, parameters: Mapping[str, Any]) -> torch.Generator:
    """Random numbers that are as secret as the parameters, and the same in every run."""
    text = repr((exercise.name, sorted(parameters.items()))).encode()
    seed = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
    return torch.Generator().manual_seed(seed)
