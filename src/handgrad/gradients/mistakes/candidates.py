"""Candidate explanations that several entries of the catalogue share: subsets, wrong variables."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from handgrad.gradients.mistakes.mistake import TemplateValues, lines, part
from handgrad.gradients.mistakes.products import matrix_products, multiple_of
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["WRONG_VARIABLE_CANDIDATES", "strict_subsets"]

MOST_CONSUMERS = 5
"""Largest number of consumers whose subsets are all tried; of more consumers, only single ones."""
_T = TypeVar("_T")


def strict_subsets(items: Sequence[_T], *, whole: bool = False) -> list[tuple[_T, ...]]:
    """The subsets of ``items``, small ones first, without the empty one and (default) without the whole set."""
    largest = len(items) if whole else len(items) - 1
    sizes = range(1, min(largest, 1 if len(items) > MOST_CONSUMERS else largest) + 1)
    return [subset for size in sizes for subset in itertools.combinations(items, size)]


def _itself(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """The answer is a forward value, or its transpose."""
    for name, value in wrong.context.forward.items():
        if wrong.fits(value) or (value.ndim == 2 and wrong.fits(value.T)):
            fault = f"d{wrong.name} is {name} itself: it holds values of the forward pass"
            yield {"fault": fault, "lines": lines(wrong, wrong.consumers)}


def _in_place_of_a_gradient(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """Another value went through the step in place of the upstream gradient."""
    for consumer in wrong.named_consumers:
        shape, rest = wrong.context.tensors[consumer].shape, wrong.other_branches(consumer)
        for name, value in wrong.other_variables():
            if value.shape == shape and name != f"d{consumer}":
                candidate = wrong.context.vjp(wrong.name, consumer, value)
                if wrong.multiple(candidate, rest) is not None:
                    fault = f"{part(wrong, consumer)} is computed from {name}, and should be computed from d{consumer}"
                    yield {"fault": fault, "lines": lines(wrong, (consumer,))}
        further = wrong.context.consumers[consumer]
        for other in further if len(further) > 1 else ():
            candidate = wrong.context.vjp(wrong.name, consumer, wrong.context.branch(consumer, other))
            if wrong.multiple(candidate, rest) is not None:
                fault = f"{part(wrong, consumer)} uses only the contribution to d{consumer} through {other}"
                yield {"fault": fault, "lines": lines(wrong, (consumer,))}


def _in_a_product(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """A matrix product of the upstream gradient with another matrix than the one in the step."""
    for consumer in wrong.consumers:
        upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
        branch = wrong.context.branch(wrong.name, consumer)
        for name, value in wrong.other_variables():
            products = matrix_products(upstream, value, wrong.expected_shape).values()
            fits = any(wrong.fits(rest + product) for product in products)
            if fits and not any(multiple_of(branch, product) for product in products):
                fault = f"{part(wrong, consumer)} is the matrix product of d{consumer} and {name}, and nothing else"
                yield {"fault": fault, "lines": lines(wrong, (consumer,))}


WRONG_VARIABLE_CANDIDATES: tuple[Callable[[WrongAnswer], Iterator[TemplateValues]], ...] = (
    _itself,
    _in_place_of_a_gradient,
    _in_a_product,
)
"""Ways of using a wrong variable, the plainest first."""
