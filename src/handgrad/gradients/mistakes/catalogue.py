"""The catalogue: every known mistake, the order in which they are tried, and how one is recognised.

A mistake is diagnosed only if it explains every pass that was given, and in one way only.
"""

from collections.abc import Sequence
from dataclasses import replace

from handgrad.gradients.mistakes import (  # noqa: F401 - importing a module enters its mistakes
    branches_and_factors,
    closed_forms,
    local_derivatives,
    masks_and_indexing,
    parameter_updates,
    products,
    shape_and_dtype,
)
from handgrad.gradients.mistakes.mistake import ENTRIES
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

__all__ = ["CATALOGUE", "ORDER", "WHOLE", "diagnosis_of", "recognise", "recognise_in_any_shape"]

# fmt: off
ORDER = (
    # through an unnamed tensor, or at a wrong index
    "missing-way", "way-scale", "picked-entries", "wrong-index",
    # before there is a value; its shape, its dtype
    "undefined", "uses-autograd", "not-a-tensor", "shape-rank", "shape-broadcast", "wrong-dim", "shape-sum",
    "summed-away", "transposed", "dtype", "not-finite",
    # positions of entries
    "unreached", "moved", "last-write-wins", "overwritten", "some-positions", "wrong-positions",
    "turned", "slope-elsewhere",
    # what the loss cannot show; the whole gradient, or a branch of it
    "zero-in-theory", "invisible-branch", "zeros", "missing-branch", "branch-sign", "several-branches", "sign", "scale",
    "right-elsewhere", "summed-too-far", "offset", "softmax", "log-softmax", "softmax-elsewhere", "branches-multiplied",
    "summed-early", "other-gradient", "local-only", "step-too-many", "step-left-out", "step-twice",
    "forward-again", "same-factor", "product-of-sums", "wrong-pairs", "wrong-slope", "wrong-variable", "other-factor",
    "extra-factor", "missing-factor", "extra-term", "scaled-upstream", "along-another-dimension",
    "slope-added", "inverted", "partly-used", "shared-otherwise", "averaged-lookups", "function-of-right",
    "two-values", "varying-scale",
    "one-change", "upstream-unused", "wrong-branch", "wrong-factor", "hidden-from-the-loss", "missing-eps",
    # right, with a note
    "alias-mutated", "carried",
    # trained values
    "not-updated", "wrong-way", "other-length", "opposite-sign", "other-size",
)
# fmt: on
"""The order in which the mistakes are tried: the first that fits is the diagnosis, so a precise one is listed early."""

CATALOGUE = {slug: ENTRIES[slug] for slug in ORDER}
"""Every known mistake by its slug, in the order in which they are tried."""
WHOLE = ("shape-rank", "shape-broadcast", "shape-sum", "transposed", "sign", "scale")
"""Mistakes that may be named if a formula skipped its consumers' gradients: those of the value as a whole."""


def diagnosis_of(slug: str, gradient: str, cell: str = "", **words: str) -> Diagnosis:
    """The diagnosis of a mistake that was recognised by other means than the values of an answer."""
    return CATALOGUE[slug].diagnosis(gradient, words, cell)


def recognise(gradient: str, answers: Sequence[WrongAnswer], slugs: Sequence[str] = ()) -> Diagnosis | None:
    """The first mistake of the catalogue that explains all ``answers``, pass by pass, and in one way only.

    ``gradient`` is the student's variable; ``slugs`` are the mistakes that are tried (default: all).
    """
    if not answers:
        return None
    right = any(wrong.is_right for wrong in answers)
    for mistake in CATALOGUE.values():
        if (slugs and mistake.slug not in slugs) or (right and not mistake.is_note):
            continue
        explanations = [{tuple(words.items()) for words in mistake.explanations(answers[0])}]
        # most mistakes do not explain the first pass: then the other passes are not tried
        explanations += [
            {tuple(words.items()) for words in mistake.explanations(wrong)} for wrong in answers[1:] if explanations[0]
        ]
        if len(same := set.intersection(*explanations)) == 1:
            return mistake.diagnosis(gradient, dict(same.pop()))
    return None


def recognise_in_any_shape(
    gradient: str, answers: Sequence[WrongAnswer | None], slugs: Sequence[str] = ()
) -> Diagnosis | None:
    """The mistake that explains every answer; if none does, the one in their values if shapes are ignored.

    Parameters are those of :func:`recognise`; a None among ``answers`` is left out.
    """
    given = [wrong for wrong in answers if wrong]
    if diagnosis := recognise(gradient, given, slugs):
        return diagnosis
    # a single number, broadcast, would look like a value of the right shape
    reshaped = [other for wrong in given if wrong.answer.numel() > 1 and (other := wrong.broadcast_to_expected())]
    diagnosis = recognise(gradient, reshaped, slugs) if len(reshaped) == len(given) else None
    if diagnosis is None:
        return None
    first = given[0]
    shape = f"Its shape is not right either: {first.shape} instead of {first.expected_shape}."
    return replace(diagnosis, what=f"{diagnosis.what} {shape}")
