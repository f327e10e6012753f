"""What an entry of the catalogue is, and how the one that fits is found; the entries stand in ``mistakes``."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from handgrad.readings import Words
from handgrad.report import Diagnosis
from handgrad.scenes import View

__all__ = ["CATALOGUE", "ORDER", "Mistake", "asks", "recognise", "recognise_in_any_shape", "told"]

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

Question = Literal["defined", "tensor", "shape", "dtype", "finite", "values", "moves"]
Readings = Callable[[View], Iterator[Words]]


@dataclass(frozen=True)
class Mistake:
    """One entry of the catalogue.

    Attributes
    ----------
    slug
        Its name.
    question
        Which question about an answer it says no to.
    what, advice
        The text, with the names of its words in braces.
    readings
        How it is recognised.
    is_note
        Whether it is told of right answers too.
    """

    slug: str
    question: Question
    what: str
    advice: str
    readings: Readings
    is_note: bool = False

    def told(self, gradient: str, words: Words, cell: str = "") -> Diagnosis:
        """What a student is told; ``cell`` is where the mistake is, the gradient's own unless told."""
        words = {"gradient": gradient, "tensor": gradient.removeprefix("d"), **words}
        return Diagnosis(self.slug, self.what.format(**words), self.advice.format(**words), cell or gradient)


CATALOGUE: dict[str, Mistake] = {}
"""Every known mistake by its slug; the decorator :func:`asks` enters them."""


def asks(question: Question, *, is_note: bool = False) -> Callable[[Readings], Readings]:
    """Enter a function into the catalogue under its name."""

    def enter(readings: Readings) -> Readings:
        what, _, advice = " ".join((readings.__doc__ or "").split()).partition(" Try: ")
        slug = readings.__name__.replace("_", "-")
        CATALOGUE[slug] = Mistake(slug, question, what, advice, readings, is_note)
        return readings

    return enter


def told(slug: str, gradient: str, cell: str = "", **words: str) -> Diagnosis:
    """What a student is told of a mistake that is known otherwise than from one value."""
    return CATALOGUE[slug].told(gradient, words, cell)


def recognise(gradient: str, views: Sequence[View], slugs: Sequence[str] = ()) -> Diagnosis | None:
    """The first mistake of the catalogue that fits in all ``views``, and in one way only.

    Parameters
    ----------
    gradient
        The student's variable.
    views
        Its answers, pass by pass.
    slugs
        The mistakes that are asked for; all of them unless told.
    """
    if not views:
        return None
    right = any(view.is_right for view in views)
    for mistake in (CATALOGUE[slug] for slug in ORDER if slug in CATALOGUE):
        if (slugs and mistake.slug not in slugs) or (right and not mistake.is_note):
            continue
        found = [{tuple(words.items()) for words in mistake.readings(views[0])}]
        # most entries do not fit the first pass: the others need not be looked at
        found += [{tuple(words.items()) for words in mistake.readings(view)} for view in views[1:] if found[0]]
        if len(same := set.intersection(*found)) == 1:
            return mistake.told(gradient, dict(same.pop()))
    return None


def recognise_in_any_shape(gradient: str, views: Sequence[View | None], slugs: Sequence[str] = ()) -> Diagnosis | None:
    """The mistake that fits in every view; where none does, the one in the values of an answer in another shape.

    Parameters are those of :func:`recognise`; a view that is None is left out.
    """
    there = [view for view in views if view]
    if found := recognise(gradient, there, slugs):
        return found
    # one number, stretched, would look like a value of the right shape
    laid_over = [other for view in there if view.answer.numel() > 1 and (other := view.laid_over())]
    found = recognise(gradient, laid_over, slugs) if len(laid_over) == len(there) else None
    if found is None:
        return None
    first = there[0]
    shape = f"Its shape is not right either: {first.shape} where {first.name} has {first.wanted}."
    return replace(found, what=f"{found.what} {shape}")
