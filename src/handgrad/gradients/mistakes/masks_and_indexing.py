"""Known mistakes in steps that mask, pick, move, repeat or transpose entries."""

from collections.abc import Iterator

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.candidates import matrix_products, multiple_of
from handgrad.gradients.mistakes.mistake import TemplateValues, lines, mistake
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__: list[str] = []

MOST_PLACES = 64
"""Largest size of a dimension whose positions are tried one by one; each takes two backward passes."""


@mistake("values")
def unreached(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right where the gradient of {tensor} is not zero, but it should be zero in all other places.

    Try: Look at {lines}: on which entries of {tensor} does the result depend? Nudging any other entry changes nothing.
    """
    if wrong.blind or wrong.shape != wrong.expected_shape:
        return
    reached = wrong.expected != 0
    allowance = wrong.tolerance * scale_of(wrong.expected)
    stray = (wrong.value.abs() > allowance) & ~reached
    right = scale_of((wrong.value - wrong.expected)[reached]) <= allowance
    # a single entry may be chance
    if right and min(int(reached.sum()), int(stray.sum())) > 1:
        yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def moved(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds the right numbers in the wrong places.

    Try: Follow one entry of {tensor} through {lines}: its gradient belongs in the place of that entry.
    """
    if wrong.shape == wrong.expected_shape and not wrong.is_right and bool(torch.isfinite(wrong.value).all()):
        answer, expected = (value.flatten().sort().values for value in (wrong.value, wrong.expected))
        # few different numbers may be the same by chance
        if len(set(expected.tolist())) > 3 and wrong.close(answer, expected):
            yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def overwritten(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} keeps only the last contribution to an entry: several positions of {consumer} along dimension {dim}
    contribute to the same entry of {tensor}, and they must be added.

    Try: Start with zeros, and add the contribution of each position.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape else ():
        for dim, size in enumerate(wrong.context.gradient_of(consumer).shape):
            if 1 < size <= MOST_PLACES and _keeps_last(wrong, consumer, dim):
                yield {"consumer": consumer, "dim": str(dim)}


def _keeps_last(wrong: WrongAnswer, consumer: str, dim: int) -> bool:
    """Whether each entry holds only the contribution of the last position along ``dim`` that contributes to it."""
    upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
    candidate = rest.clone()
    open_entries = torch.ones(wrong.expected_shape, dtype=torch.bool)
    # an answer that fits is within this; most others are not at the first position already, which saves most of the
    # backward passes (6 instead of 182 for dcounts of the first exercise)
    most = 2 * wrong.tolerance * scale_of(wrong.value)
    for position in reversed(range(upstream.shape[dim])):
        mask = torch.zeros_like(upstream)
        mask.select(dim, position).fill_(1)
        reached = open_entries & (wrong.context.vjp(wrong.name, consumer, mask) != 0)
        candidate[reached] += wrong.context.vjp(wrong.name, consumer, upstream * mask)[reached]
        if scale_of((wrong.value - candidate)[reached]) > most:
            return False
        open_entries &= ~reached
    return wrong.fits(candidate)


@mistake("values")
def turned(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In the matrix product of {gradient}, {factor} has to be transposed (or must not be).

    Try: Which entries of {factor} does one entry of {tensor} meet in {lines}: those of a row, or those of a column?
    """
    for consumer in wrong.consumers:
        upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
        branch = wrong.context.branch(wrong.name, consumer)
        for name, value in wrong.context.forward.items():
            products = matrix_products(upstream, value, wrong.expected_shape)
            for (swapped, upstream_turned, value_turned), right in products.items():
                number = multiple_of(branch, right)
                for factor, turned_product in (
                    (f"d{consumer}", products.get((swapped, not upstream_turned, value_turned))),
                    (name, products.get((swapped, upstream_turned, not value_turned))),
                ):
                    if number and turned_product is not None and wrong.fits(rest + number * turned_product):
                        yield {"factor": factor, "lines": lines(wrong, (consumer,))}
