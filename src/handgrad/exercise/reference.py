"""Reference: the right answers for one parameter set, from the exercise's forward pass under autograd.

It runs the instructor's locked cells in this process, and must never run a student's.
"""

import hashlib
import warnings
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import torch

from handgrad.errors import ExerciseError, closest
from handgrad.exercise.exercise import Exercise
from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS, StepGradients, is_scalar_loss
from handgrad.gradients.branches import Branches, all_branches
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.backward_context import BackwardContext
from handgrad.notebook import execution
from handgrad.notebook.syntax import assigning_lines, bound_in_blocks, gradients_taken
from handgrad.report.records import ForwardGraph

__all__ = ["SHOWN", "ForwardFacts", "Reference", "forward_graph", "run_locked"]

SHOWN = 5e-3
"""Smallest share of a gradient that a branch must have, so that a mistake in it shows in the true gradient."""


@dataclass(frozen=True)
class Reference:
    """Forward values and gradients of an exercise for one parameter set.

    The ``namespace`` has every name that the locked cells define; its forward tensors are part of the autograd graph.
    The named ``tensors`` are those with a stub in forward order, then those whose gradient is given. Each has the true
    gradient of the loss in ``gradients``, with its shape and dtype, and in ``unsymmetric`` that of a single step under
    random upstream gradients at the scale of the true ones (see :func:`.autograd_graph.random_step`), which shows what
    is zero by construction. The branches of those ``of_interest`` are to be equally large in the step pass (default:
    of all).
    """

    parameters: Mapping[str, Any]
    namespace: dict[str, Any]
    tensors: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    unsymmetric: Mapping[str, torch.Tensor]
    seed: int = 0
    of_interest: frozenset[str] | None = None
    _contexts: dict[Hashable, BackwardContext] = field(default_factory=dict, repr=False, compare=False)

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
            return cls(parameters, namespace, {}, {}, {})
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
        seed = _secret(exercise, parameters)
        generator = torch.Generator().manual_seed(seed)
        unsymmetric = autograd_graph.random_step(loss, tensors, gradients, generator).gradients
        return cls(parameters, namespace, tensors, gradients, unsymmetric, seed)

    @property
    def loss(self) -> torch.Tensor:
        """The scalar at the end of the forward pass."""
        loss: torch.Tensor = self.namespace[LOSS]
        return loss

    @property
    def is_finite(self) -> bool:
        """Whether the loss and every gradient are finite."""
        return all(bool(value.isfinite().all()) for value in (self.loss.detach(), *self.gradients.values()))

    @cached_property
    def branches(self) -> Branches:
        """Every branch of every gradient under noise."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        return Branches.of(self.loss, self.tensors, self.gradients, self.zero, generator)

    @cached_property
    def scales(self) -> Mapping[str, float]:
        """The factors of the noise in the step pass."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        return self.branches.scales(self.of_interest or self.tensors.keys(), generator)

    @cached_property
    def step(self) -> StepGradients:
        """The gradients of single steps under random upstream gradients that make all branches equally large."""
        upstream = self.branches.upstream(self.scales)
        return StepGradients(upstream, autograd_graph.gradients_given(self.loss, self.tensors, upstream))

    def focused_on(self, names: Iterable[str] | None) -> Self:
        """The same reference, in whose step pass the branches of the tensors ``names`` are to be equally large."""
        focused = replace(self, of_interest=frozenset(names or ()) or None, _contexts={})
        vars(focused)["branches"] = self.branches  # as measured already
        return focused

    def redrawn(self, seed: int) -> Self:
        """The same reference, with other random upstream gradients in its step pass."""
        again = replace(self, _contexts={})
        vars(again)["branches"] = self.branches.redrawn(torch.Generator().manual_seed(seed))
        vars(again)["scales"] = self.scales
        return again

    def gradients_from(self, read: Iterable[str]) -> dict[str, torch.Tensor]:
        """The gradients in the step pass if only the upstream gradients of ``read`` are random ones.

        All others flow from the loss: this is what a formula gives that is right and reads just these gradients.
        """
        upstream = {name: self.step.upstream[name] for name in read}
        return autograd_graph.gradients_given(self.loss, self.tensors, upstream)

    def proves(
        self, name: str, read: Collection[str], given: Mapping[str, torch.Tensor], facts: "ForwardFacts"
    ) -> bool:
        """Whether an answer for ``name`` that is the one in ``given`` (see :meth:`gradients_from`) has every branch.

        The branch through each consumer that is not read, and whose gradient is not zero by construction, must be a
        visible part of it; and if ``name`` is zero by construction, it must not be small, or zeros would be right.
        """
        context, least = self.backward_context(facts, step=True), SHOWN * scale_of(given[name])
        for consumer in self.branches.consumers[name]:
            if consumer not in read and consumer not in facts.zero:
                upstream = torch.ones_like(self.loss) if consumer == LOSS else given[consumer]
                if scale_of(context.vjp(name, consumer, upstream)) < least:
                    return False
        least = SHOWN * scale_of(self.step.gradients[name]) if name in facts.zero else 0.0
        return scale_of(given[name]) > least

    def backward_context(self, facts: "ForwardFacts", *, step: bool) -> BackwardContext:
        """What the diagnosis of a wrong answer needs, for random upstream gradients (``step``) or the true ones.

        It is cached, and computes its branches only if they are needed: not if every answer is right.
        """
        if step not in self._contexts:
            gradients = self.step.upstream if step else self.gradients
            namespace = {name: value for name, value in self.namespace.items() if name not in facts.counters}
            context = BackwardContext(namespace, self.tensors, gradients, facts.consumers, facts.lines)
            self._contexts[step] = context
        return self._contexts[step]

    def skipping_context(self, name: str, read: frozenset[str], facts: "ForwardFacts") -> BackwardContext:
        """The same for an answer to ``name`` that reads the gradients of ``read`` only, as a closed form does.

        What it skips on the way to the loss has no name in the context, so that its part is one long step.
        """
        key = name, read
        if key not in self._contexts:
            skipped = autograd_graph.above(name, facts.consumers) - read
            tensors = {other: tensor for other, tensor in self.tensors.items() if other not in skipped}
            given = self.gradients_from(read)
            gradients = {other: self.step.upstream[other] if other in read else given[other] for other in tensors}
            consumers = autograd_graph.consumers(self.loss, tensors)
            known = self.backward_context(facts, step=True)
            self._contexts[key] = BackwardContext(known.namespace, tensors, gradients, consumers, facts.lines)
        return self._contexts[key]

    @cached_property
    def zero(self) -> frozenset[str]:
        """Tensors whose true gradient is only rounding noise for this parameter set."""
        return frozenset(
            name for name, true in self.gradients.items() if autograd_graph.is_zero(true, self.unsymmetric[name])
        )

    @cached_property
    def visible_branches(self) -> Mapping[tuple[str, str], float]:
        """For a tensor and a consumer, the largest entry of the branch as a share of the true gradient's."""
        branches = all_branches(self.loss, self.tensors, {**self.gradients, LOSS: torch.ones_like(self.loss)})
        scale = {
            name: scale_of((self.unsymmetric if name in self.zero else self.gradients)[name]) for name in self.tensors
        }
        return {(name, consumer): scale_of(branch) / scale[name] for name, consumer, branch in branches if scale[name]}


@dataclass(frozen=True)
class ForwardFacts:
    """Facts about an exercise that do not depend on the data.

    ``consumers`` are for each named tensor the tensors (or the loss) computed directly from it. The true gradient of
    the ``zero`` tensors is zero by construction. Of the ``blind`` ones the true gradients do not show every mistake: an
    entry of theirs, or of a consumer, is zero by construction, or a branch is less than :data:`SHOWN` of the gradient.
    ``lines`` has the line of the forward pass that assigns a name, if the statement is a single line. The ``counters``
    are numbers that a loop or another block assigns: no sizes.
    """

    consumers: Mapping[str, tuple[str, ...]]
    zero: frozenset[str]
    blind: frozenset[str]
    lines: Mapping[str, str] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()

    @classmethod
    def of(cls, references: Iterable[Reference], sources: Iterable[str] = ()) -> Self:
        """The facts that hold for all ``references`` of one exercise, whose locked cells are ``sources``."""
        references = list(references)
        tensors = references[0].tensors
        consumers = autograd_graph.consumers(references[0].namespace[LOSS], tensors) if tensors else {}
        zero = frozenset.intersection(*(reference.zero for reference in references))
        partly = zero | {name for name in tensors if _has_zero_entries(name, references)}
        shares = [reference.visible_branches for reference in references] if tensors else []
        blind = frozenset(
            name
            for name, consuming in consumers.items()
            if name in partly
            or not partly.isdisjoint(consuming)
            or any(max(share.get((name, consumer), 0.0) for share in shares) < SHOWN for consumer in consuming)
        )
        sources = list(sources)
        namespace = references[0].namespace
        counters = frozenset(name for name in bound_in_blocks(sources) if isinstance(namespace.get(name), int))
        return cls(consumers, zero, blind, assigning_lines(sources), counters)


def _has_zero_entries(name: str, references: Sequence[Reference]) -> bool:
    """Whether the same entry of the gradient of ``name`` is rounding noise in all ``references`` of one size."""
    masks = [each.gradients[name].abs() < autograd_graph.ZERO * each.unsymmetric[name].abs() for each in references]
    alike = [mask for mask in masks if mask.shape == masks[0].shape]
    return bool(torch.stack(alike).all(0).any())


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
    """The namespace of the locked cells above the first stub, with ``parameters``; an ExerciseError if one raises."""
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


def _secret(exercise: Exercise, parameters: Mapping[str, Any]) -> int:
    """A seed that is as secret as the parameters, and the same in every run."""
    text = repr((exercise.name, sorted(parameters.items()))).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
