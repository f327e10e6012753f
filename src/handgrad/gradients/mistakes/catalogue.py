"""The catalogue: every known mistake, the order in which they are tried, and how one is recognised.

A mistake is diagnosed only if it explains every pass that was looked at, and in one way only.
"""

from collections.abc import Sequence
from dataclasses import replace

from handgrad.gradients.mistakes import (
    branches_and_factors,
    closed_forms,
    local_derivatives,
    masks_and_indexing,
    parameter_updates,
    shape_and_dtype,
)
from handgrad.gradients.mistakes.mistake import ENTRIES
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

__all__ = ["CATALOGUE", "MODULES", "ORDER", "WHOLE", "diagnosis_of", "recognise", "recognise_in_any_shape"]

MODULES = (
    closed_forms,
    shape_and_dtype,
    masks_and_indexing,
    local_derivatives,
    branches_and_factors,
    parameter_updates,
)
"""Where the mistakes stand; importing a module enters its mistakes."""
# fmt: off
ORDER = (
    # through a tensor between two named ones, or from another place
    "missing-way", "way-scale", "picked-entries", "wrong-index",
    # before there is a value; its shape, its dtype
    "undefined", "uses-autograd", "not-a-tensor", "shape-rank", "shape-broadcast", "wrong-dim", "shape-sum",
    "transposed", "dtype", "not-finite",
    # where entries go
    "unreached", "moved", "overwritten", "turned", "slope-elsewhere",
    # what the loss cannot show; the whole, or a branch of it
    "zero-in-theory", "invisible-branch", "zeros", "missing-branch", "branch-sign", "sign", "scale",
    "last-write-wins", "other-gradient", "local-only", "wrong-variable", "factor-count", "missing-eps",
    # right, with something to know
    "alias-mutated", "carried",
    # trained values
    "not-updated", "wrong-way", "other-length",
)
# fmt: on
"""The order in which the mistakes are tried: the first that fits is the diagnosis, so a precise one is listed early."""

CATALOGUE = {slug: ENTRIES[slug] for slug in ORDER}
"""Every known mistake by its slug, in the order in which they are tried."""
WHOLE = ("shape-rank", "shape-broadcast", "shape-sum", "transposed", "sign", "scale")
"""What may be said of an answer that used other gradients than those of its consumers: of its value as a whole."""


def diagnosis_of(slug: str, gradient: str, cell: str = "", **words: str) -> Diagnosis:
    """The diagnosis of a mistake that was recognised by other means than one value."""
    return CATALOGUE[slug].diagnosis(gradient, words, cell)


def recognise(gradient: str, views: Sequence[WrongAnswer], slugs: Sequence[str] = ()) -> Diagnosis | None:
    """The first mistake of the catalogue that explains all ``views``, and in one way only.

    Parameters
    ----------
    gradient
        The student's variable.
    views
        Its wrong answers, pass by pass.
    slugs
        The mistakes that are tried (default: all).
    """
    if not views:
        return None
    right = any(view.is_right for view in views)
    for mistake in CATALOGUE.values():
        if (slugs and mistake.slug not in slugs) or (right and not mistake.is_note):
            continue
        found = [{tuple(words.items()) for words in mistake.explanations(views[0])}]
        # most mistakes do not explain the first pass: the others need not be looked at
        found += [{tuple(words.items()) for words in mistake.explanations(view)} for view in views[1:] if found[0]]
        if len(same := set.intersection(*found)) == 1:
            return mistake.diagnosis(gradient, dict(same.pop()))
    return None


def recognise_in_any_shape(
    gradient: str, views: Sequence[WrongAnswer | None], slugs: Sequence[str] = ()
) -> Diagnosis | None:
    """The mistake that explains every view; if none does, the one in the values of an answer in another shape.

    Parameters are those of :func:`recognise`; a view that is None is left out.
    """
    there = [view for view in views if view]
    if found := recognise(gradient, there, slugs):
        return found
    # one number, broadcast, would look like a value of the right shape
    laid_over = [other for view in there if view.answer.numel() > 1 and (other := view.broadcast_to_expected())]
    found = recognise(gradient, laid_over, slugs) if len(laid_over) == len(there) else None
    if found is None:
        return None
    first = there[0]
    shape = f"Its shape is not right either: {first.shape} where {first.name} has {first.expected_shape}."
    return replace(found, what=f"{found.what} {shape}")
