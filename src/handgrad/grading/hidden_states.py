"""Choose the numbers of the hidden passes such that every branch, and each side of every kink, is seen."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.new_weights import with_new_weights
from handgrad.exercise.reference import SHOWN, Reference
from handgrad.gradients.branches import Feature
from handgrad.grading.passes import Kind, Pass, secret_seed, seeds_and_sizes
from handgrad.grading.worked_solution import default_dtype
from handgrad.submission.plain_code import in_double

__all__ = ["HiddenStates", "PlainState"]

TRIES = 6
"""Largest number of seeds that are compared for a pass."""
CANDIDATES = 24
"""Largest number of seeds that are tried, with those whose gradients are all zero, or not finite."""
PARTS = 6
"""Largest number of step passes in a round."""
FIRST, SAMPLES = 7, 11
"""Seeds from which it is learnt what a forward pass can reach: the first ones, and all if these do not agree."""
OFTEN = 2
"""What this many of them reach should be reached by a step pass."""


@dataclass(frozen=True)
class PlainState:
    """The pass over the plain statements of a submission, in double precision."""

    pass_: Pass
    setup: tuple[str, ...]
    """The exercise's locked cells."""
    reference: Reference
    """The reference, in float64."""
    replaces: Pass | None = None
    """The step pass that shows nothing more than this one; None if there is none."""

    @property
    def as_written(self) -> Pass:
        """The same pass without help."""
        return replace(self.pass_, kind="plain as written")

    @classmethod
    def of(cls, exercise: Exercise, parameters: Mapping[str, Any]) -> "PlainState | None":
        """The pass with these parameters; None if the exercise cannot be run in double precision."""
        cells = tuple(
            replace(cell, source=in_double(cell.source)) if cell.kind == "locked" else cell for cell in exercise.cells
        )
        double = replace(exercise, cells=cells)
        with suppress(ExerciseError), default_dtype(torch.float64):
            reference = Reference.of(double, parameters)
            if all(value.dtype == torch.float64 for value in reference.gradients.values()) and reference.is_finite:
                # what follows from it is computed in double precision too
                _ = reference.step, reference.branches.features
                return cls(Pass("plain", 1, parameters), double.setup(parameters), reference)
        return None

    def shows_all_of(self, step: Reference) -> bool:
        """Whether this pass reaches all that a step pass reaches, and shows each branch that it shows."""
        own, other = self.reference.branches, step.branches
        unseen = own.unseen(self.reference.scales) <= other.unseen(step.scales)
        return unseen and own.features >= other.features


@dataclass
class HiddenStates:
    """The hidden passes of an exercise over its gradients, and the reference of each pass."""

    exercise: Exercise
    """The exercise as the hidden passes run it: with new weights, if that works."""
    references: dict[str, Reference]
    """The reference of each pass, by its name; the visible pass is among them."""
    passes: list[Pass] = field(default_factory=list)
    """The passes, in the order in which one child runs them: the optional ones come last."""
    plain: PlainState | None = None
    """The pass over the plain statements; None if the forward pass does not run in double precision."""
    reachable: frozenset[Feature] = frozenset()
    """What the forward pass reaches for enough seeds."""
    _known: dict[str, Reference | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        exercise: Exercise,
        seeds: Sequence[int],
        sizes: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
    ) -> "HiddenStates":
        """Plan the hidden passes: a round for each seed, and on the first seed one for each of the ``sizes``.

        All of them have these ``parameters`` besides a seed.

        Raises
        ------
        ExerciseError
            The exercise cannot be run with these parameters.
        """
        visible = Pass("visible", 0, {})
        reference = Reference.of(exercise, {})
        if not exercise.tensors:
            return cls(exercise, {visible.name: reference}, [visible])
        for candidate in filter(None, (with_new_weights(exercise), exercise)):
            states = cls(candidate, {visible.name: reference}, [visible])
            try:
                for number, (seed, size) in enumerate(seeds_and_sizes(seeds, sizes), start=1):
                    states._add_round(number, seed, {**parameters, **size}, is_resized=bool(size))
            except ExerciseError:
                if candidate is exercise:
                    raise
                continue
            if candidate is exercise or all(other.is_finite for other in states.references.values()):
                break
        states.passes.sort(key=lambda pass_: pass_.is_optional)
        states._known.clear()
        return states

    def shows(self, name: str, consumers: Collection[str], passes: Iterable[Pass]) -> bool:
        """Whether the true gradients of some passes together would show any mistake in the gradient of ``name``.

        They must reach, for the tensor and its ``consumers``, all that the forward pass can reach, and each branch must
        be a visible part of the gradient in one of them.
        """
        references = [self.references[pass_.name] for pass_ in passes]
        reached = frozenset[Feature]().union(*(reference.branches.features for reference in references))
        near = {name, *consumers}
        return near.isdisjoint(feature[0] for feature in self.reachable - reached) and all(
            any(reference.visible_branches.get((name, consumer), 0.0) >= SHOWN for reference in references)
            for consumer in consumers
        )

    def _add_round(self, number: int, seed: int, parameters: Mapping[str, Any], *, is_resized: bool) -> None:
        # the passes of a round take their parameters from one list, each in its turn
        left_over = [{**parameters, "seed": secret_seed(seed, number, attempt)} for attempt in range(CANDIDATES)]
        if number == 1:
            self._learn(left_over[:SAMPLES])
        # what no step pass of this round has reached, and the tensors with a branch that none has shown
        wanted = frozenset() if is_resized else self.reachable
        hidden: frozenset[str] | None = None
        for part in range(1, PARTS + 1):
            reference = self._best(left_over, wanted)
            reference = reference.focused_on(hidden)
            unseen = reference.branches.unseen(reference.scales)
            if hidden and hidden <= unseen:
                # no scales show all of them at once: one at a time
                reference = reference.focused_on([min(hidden)])
                unseen = reference.branches.unseen(reference.scales)
            reached = wanted & reference.branches.features
            still_hidden = frozenset(unseen if hidden is None else hidden & unseen)
            if part > 1 and not reached and still_hidden == hidden:
                break
            self._add(Pass("step", number, reference.parameters, part), reference)
            wanted, hidden = wanted - reached, still_hidden
            if not wanted and not hidden:
                break
        left = frozenset() if is_resized else self.reachable
        kinds: tuple[Kind, ...] = ("as written", "helped")
        for kind in kinds:
            reference = self._best(left_over, left)
            self._add(Pass(kind, number, reference.parameters), reference)
            # together they should reach as much as possible
            left -= reference.branches.features
        if number == 1:
            plain = PlainState.of(self.exercise, self._best(left_over, self.reachable).parameters)
            step = next(pass_ for pass_ in self.passes if pass_.kind == "step")
            if plain and plain.shows_all_of(self.references[step.name]):
                plain = replace(plain, replaces=step)
            self.plain = plain

    def _add(self, pass_: Pass, reference: Reference) -> None:
        self.passes.append(pass_)
        self.references[pass_.name] = reference

    def _learn(self, samples: Iterable[Mapping[str, Any]]) -> None:
        """Learn from several parameters what the forward pass reaches; from more if the first ones do not agree."""
        reached = (reference.branches.features for reference in map(self._tried, samples) if reference)
        found = list(itertools.islice(reached, FIRST))
        if any(features != found[0] for features in found):
            found += reached
        counts = Counter(feature for features in found for feature in features)
        self.reachable = frozenset(feature for feature, count in counts.items() if count >= OFTEN)

    def _best(self, candidates: list[dict[str, Any]], wanted: frozenset[Feature]) -> Reference:
        """The first candidate that reaches all that is ``wanted`` and is not flat, or the one that comes closest.

        It is removed from the ``candidates``.
        """
        usable = (reference for parameters in candidates if (reference := self._tried(parameters)))
        compared: list[tuple[int, Reference]] = []
        for reference in itertools.islice(usable, TRIES):
            missing = len(wanted - reference.branches.features) + self._flat(reference)
            compared.append((missing, reference))
            if not missing:
                break
        if compared:
            _, best = min(compared, key=lambda candidate: candidate[0])
        else:
            # none can be used: let the first one say why
            best = Reference.of(self.exercise, candidates[0])
        candidates.remove(dict(best.parameters))
        return best

    def _flat(self, reference: Reference) -> int:
        """How many local derivatives of single numbers are flat, or zero where they are not for other numbers."""
        branches = reference.branches
        single = {feature[:2] for feature in self.reachable if branches.noise[feature[0]].numel() == 1}
        return branches.flat + len(single - {feature[:2] for feature in branches.features})

    def _tried(self, parameters: Mapping[str, Any]) -> Reference | None:
        """The reference for ``parameters``; None if the locked cells raise, or no gradient, or not all, can be used."""
        key = repr(parameters)
        if key not in self._known:
            with suppress(ExerciseError):
                reference = Reference.of(self.exercise, parameters)
                is_usable = reference.is_finite and any(map(torch.any, reference.gradients.values()))
                self._known[key] = reference if is_usable else None
        return self._known.setdefault(key, None)
