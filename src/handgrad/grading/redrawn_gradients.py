"""Find out which branches of a wrong gradient are wrong: draw one upstream gradient again, and look at the change.

A right branch changes by what the chain rule gives from the change of its upstream gradient, whatever the others are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.catalogue import diagnosis_of
from handgrad.gradients.mistakes.mistake import listed, quoted
from handgrad.report.records import Diagnosis

__all__ = ["MOST_RUNS", "Redrawing"]

MOST_RUNS = 8
"""Largest number of upstream gradients that are drawn again for one submission; each takes one more run."""
Answers = Mapping[str, torch.Tensor | None]
"""The answer for each gradient in a step pass."""


@dataclass(frozen=True)
class Redrawing:
    """The step pass in which upstream gradients are drawn again."""

    reference: Reference
    facts: ForwardFacts
    tolerance: float
    """Largest difference, as a share of the largest value."""
    reads: Callable[[str], frozenset[str]]
    """The tensors whose gradients an answer reads."""
    run: Callable[[Mapping[str, torch.Tensor]], Answers | None]
    """Runs the submission in this pass with other upstream gradients, and gives the answers; None if it did not end."""

    def diagnoses(self, gradients: Sequence[str], before: Answers) -> dict[str, Diagnosis]:
        """What is wrong in ``gradients``, whose answers in this pass were ``before``; only where it is found."""
        tensors = {gradient: gradient.removeprefix("d") for gradient in gradients}
        asked = dict.fromkeys(
            consumer for tensor in tensors.values() for consumer in self.facts.consumers[tensor] if consumer != LOSS
        )
        seen: dict[str, dict[str, str]] = {gradient: {} for gradient in gradients}
        for consumer in list(asked)[:MOST_RUNS]:
            redrawn = self._redrawn(consumer)
            change = redrawn - self.reference.step.upstream[consumer]
            after = self.run({**self.reference.step.upstream, consumer: redrawn})
            if after is None:
                break
            for gradient, tensor in tensors.items():
                if consumer in self.facts.consumers[tensor]:
                    judged = self._judged(tensor, consumer, change, before.get(gradient), after.get(gradient))
                    # the gradient of another tensor that goes only there holds all that comes back from there
                    stands_in = any(self.facts.consumers[other] == (consumer,) for other in self.reads(gradient))
                    seen[gradient][consumer] = "" if judged == "no" and stands_in else judged
        diagnoses = {gradient: self._diagnosis(gradient, branches) for gradient, branches in seen.items()}
        return {gradient: diagnosis for gradient, diagnosis in diagnoses.items() if diagnosis}

    def _redrawn(self, consumer: str) -> torch.Tensor:
        """Other random numbers, of the same size and in the same places."""
        upstream = self.reference.step.upstream[consumer]
        generator = torch.Generator().manual_seed(self.reference.seed + 3)
        noise = torch.randn(upstream.shape, generator=generator, dtype=upstream.dtype)
        return noise * (upstream != 0) * upstream.abs().mean()

    def _judged(
        self,
        tensor: str,
        consumer: str,
        change: torch.Tensor,
        before: torch.Tensor | None,
        after: torch.Tensor | None,
    ) -> str:
        """Whether a branch is ``right``, ``wrong``, or there is ``no`` such branch; empty if it cannot be told.

        An answer that is the upstream gradient of an elementwise step times another factor is ``factor``.
        """
        if before is None or after is None or before.shape != after.shape or before.is_complex():
            return ""
        changed = after.double() - before.double()
        if not bool(changed.isfinite().all()):
            return ""
        context = self.reference.backward_context(self.facts, step=True)
        expected = context.vjp(tensor, consumer, change.double())
        # the change is a difference of two answers, each with its own rounding
        allowance = 2 * self.tolerance * max(scale_of(before.double()), scale_of(expected))
        if scale_of(expected) <= 100 * allowance:
            # too little of the answer, or nothing, comes through this consumer
            return ""
        if not bool(changed.any()):
            return "no"
        if changed.shape == expected.shape and scale_of(changed - expected) <= allowance:
            return "right"
        upstream = self.reference.step.upstream[consumer].double()
        slopes = context.slopes(tensor, consumer)
        if not changed.shape == expected.shape == upstream.shape or scale_of(change * slopes - expected) > allowance:
            return "wrong"
        # the factor of each entry is the same for both upstream gradients
        same = scale_of(before.double() * change - changed * upstream)
        return "factor" if same <= allowance * max(scale_of(change), scale_of(upstream)) else "wrong"

    def _diagnosis(self, gradient: str, seen: Mapping[str, str]) -> Diagnosis | None:
        """What is wrong in one gradient, by what was ``seen`` of its branches."""
        # not in the order in which they were redrawn, which depends on the other gradients
        seen = {name: seen[name] for name in self.facts.consumers[gradient.removeprefix("d")] if name in seen}
        right, wrong, unused = (
            [name for name, other in seen.items() if other in what]
            for what in (("right",), ("wrong", "factor"), ("no",))
        )
        if unused:
            upstream = listed(f"d{name}" for name in unused)
            return diagnosis_of("upstream-unused", gradient, upstream=upstream, lines=quoted(self.facts.lines, unused))
        if wrong and right:
            words = {"wrong": listed(wrong), "right": listed(right), "lines": quoted(self.facts.lines, wrong)}
            return diagnosis_of("wrong-branch", gradient, **words)
        if list(seen.values()) == ["factor"]:
            (consumer,) = seen
            words = {"upstream": f"d{consumer}", "consumer": consumer, "lines": quoted(self.facts.lines, seen)}
            return diagnosis_of("wrong-factor", gradient, **words)
        return None
