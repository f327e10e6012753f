"""Known mistakes in steps that mask, pick, move, repeat or transpose entries."""

from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.candidates import matrix_products, multiple_of
from handgrad.gradients.mistakes.mistake import mistake
from handgrad.gradients.mistakes.wording import TemplateValues, lines
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["moved", "overwritten", "turned", "unreached"]

MOST_PLACES = 64
"""Largest size of a dimension whose positions are tried one by one; each takes two backward passes."""


@mistake("values")
def unreached(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right where the gradient of {tensor} is not zero, but it should be zero in all other places.

    Try: Look at {lines}: on which entries of {tensor} does the result depend? Nudging any other entry changes nothing.
    """
    if view.blind or view.shape != view.expected_shape:
        return
    reached = view.expected != 0
    allowance = view.tolerance * scale_of(view.expected)
    stray = (view.value.abs() > allowance) & ~reached
    right = scale_of((view.value - view.expected)[reached]) <= allowance
    # a single entry may be chance
    if right and min(int(reached.sum()), int(stray.sum())) > 1:
        yield {"lines": lines(view, view.consumers)}


@mistake("values")
def moved(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds the right numbers in the wrong places.

    Try: Follow one entry of {tensor} through {lines}: its gradient belongs in the place of that entry.
    """
    if view.shape == view.expected_shape and not view.is_right and bool(torch.isfinite(view.value).all()):
        answer, expected = (value.flatten().sort().values for value in (view.value, view.expected))
        # few different numbers may be the same by chance
        if len(set(expected.tolist())) > 3 and view.close(answer, expected):
            yield {"lines": lines(view, view.consumers)}


@mistake("values")
def overwritten(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} keeps only the last contribution to an entry: several positions of {consumer} along dimension {dim}
    contribute to the same entry of {tensor}, and they must be added.

    Try: Start with zeros, and add the contribution of each position.
    """
    for consumer in view.consumers if view.shape == view.expected_shape else ():
        if consumer == LOSS:
            continue
        for dim, size in enumerate(view.context.gradient_of(consumer).shape):
            if 1 < size <= MOST_PLACES and _keeps_last(view, consumer, dim):
                yield {"consumer": consumer, "dim": str(dim)}


def _keeps_last(view: WrongAnswer, consumer: str, dim: int) -> bool:
    """Whether each entry holds only the contribution of the last position along ``dim`` that contributes to it."""
    upstream, rest = view.context.gradient_of(consumer), view.other_branches(consumer)
    candidate = rest.clone()
    open_entries = torch.ones(view.expected_shape, dtype=torch.bool)
    # an answer that fits the candidate is no further from it than this; most are, at the first position
    most = 2 * view.tolerance * scale_of(view.value)
    for position in reversed(range(upstream.shape[dim])):
        mask = torch.zeros_like(upstream)
        mask.select(dim, position).fill_(1)
        reached = open_entries & (view.context.vjp(view.name, consumer, mask) != 0)
        candidate[reached] += view.context.vjp(view.name, consumer, upstream * mask)[reached]
        if scale_of((view.value - candidate)[reached]) > most:
            return False
        open_entries &= ~reached
    return view.fits(candidate)


@mistake("values")
def turned(view: WrongAnswer) -> Iterator[TemplateValues]:
    """In the matrix product of {gradient}, {factor} has to be transposed (or must not be).

    Try: Which entries of {factor} does one entry of {tensor} meet in {lines}: those of a row, or those of a column?
    """
    for consumer in view.consumers:
        upstream, branch, rest = (
            view.context.gradient_of(consumer),
            view.context.branch(view.name, consumer),
            view.other_branches(consumer),
        )
        for name, value in view.context.forward.items():
            products = matrix_products(upstream, value, view.expected_shape)
            for (swapped, upstream_turned, value_turned), right in products.items():
                number = multiple_of(branch, right)
                for factor, wrong in (
                    (f"d{consumer}", products.get((swapped, not upstream_turned, value_turned))),
                    (name, products.get((swapped, upstream_turned, not value_turned))),
                ):
                    if number and wrong is not None and view.fits(rest + number * wrong):
                        yield {"factor": factor, "lines": lines(view, (consumer,))}
