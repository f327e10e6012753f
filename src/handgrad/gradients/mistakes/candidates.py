"""Candidate explanations that several entries of the catalogue share: subsets, lookups, wrong variables, products."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from handgrad.gradients.comparison import RELATIVE_TOLERANCE, ratio, scale_of
from handgrad.gradients.mistakes.mistake import TemplateValues, lines, part
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["WRONG_VARIABLE_CANDIDATES", "matrix_products", "multiple_of", "one_of_each", "strict_subsets"]

MOST_CONSUMERS = 5
"""Largest number of consumers whose subsets are all tried; of more consumers, only single ones."""
_T = TypeVar("_T")


def strict_subsets(items: Sequence[_T], *, whole: bool = False) -> list[tuple[_T, ...]]:
    """The subsets of ``items``, small ones first, without the empty one and (default) without the whole set."""
    largest = len(items) if whole else len(items) - 1
    sizes = range(1, min(largest, 1 if len(items) > MOST_CONSUMERS else largest) + 1)
    return [subset for size in sizes for subset in itertools.combinations(items, size)]


def one_of_each(wrong: WrongAnswer, index: torch.Tensor, upstream: torch.Tensor) -> bool:
    """Whether each row of the answer is one of its upstream gradients, where several must be added."""
    rows = index.reshape(-1)
    values = upstream.reshape(len(rows), -1)
    answer = wrong.value.reshape(len(wrong.value), -1)
    if bool((rows < 0).any()) or bool((rows >= len(answer)).any()) or len(set(rows.tolist())) == len(rows):
        return False
    added = torch.zeros_like(answer).index_add_(0, rows, values)
    if not wrong.close(added.reshape(wrong.expected.shape), wrong.expected):
        return False
    allowance = wrong.tolerance * scale_of(values)
    for row, value in enumerate(answer):
        candidates = values[rows == row] if bool((rows == row).any()) else torch.zeros_like(values[:1])
        if not bool(((candidates - value).abs().amax(1) <= allowance).any()):
            return False
    return True


def _itself(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """The answer is a forward value, or its transpose."""
    for name, value in wrong.context.forward.items():
        if wrong.fits(value) or (value.ndim == 2 and wrong.fits(value.T)):
            where = " and nothing else: it holds values of the forward pass"
            yield {"part": f"d{wrong.name}", "used": name, "where": where, "lines": lines(wrong, wrong.consumers)}


def _in_place_of_a_gradient(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """Another value went through the step in place of the upstream gradient."""
    for consumer in wrong.named_consumers:
        shape, rest = wrong.context.tensors[consumer].shape, wrong.other_branches(consumer)
        for name, value in wrong.other_variables():
            if value.shape == shape and name != f"d{consumer}":
                candidate = wrong.context.vjp(wrong.name, consumer, value)
                if wrong.multiple(candidate, rest) is not None:
                    yield _used(wrong, consumer, name, f" in place of d{consumer}")


def _as_a_factor(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """The upstream gradient is multiplied or divided by another value than the one in the step."""
    powers: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
        ("as the factor", lambda value: value),
        ("as the divisor", lambda value: 1 / value),
        ("squared, as the factor", lambda value: value**2),
        ("subtracted from 1, as the factor", lambda value: 1 - value),
    )
    for words, power in powers:
        explanations = []
        for consumer in wrong.named_consumers:
            upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
            for name, value in wrong.other_variables():
                product = _product(wrong, upstream, power(value))
                if product is not None and wrong.multiple(product, rest) is not None:
                    explanations.append(_used(wrong, consumer, name, f" {words} of d{consumer}"))
        yield from explanations
        if explanations:
            return


def _product(wrong: WrongAnswer, upstream: torch.Tensor, value: torch.Tensor) -> torch.Tensor | None:
    """``upstream * value`` in the shape of the tensor; None if the product has a shape of its own."""
    try:
        product = upstream * value
    except RuntimeError:
        return None
    return wrong.reduced_to(product) if product.shape in (upstream.shape, wrong.expected.shape) else None


def _in_a_product(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """A matrix product of the upstream gradient with another matrix than the one in the step."""
    for consumer in wrong.consumers:
        upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
        branch = wrong.context.branch(wrong.name, consumer)
        for name, value in wrong.other_variables():
            products = matrix_products(upstream, value, wrong.expected_shape).values()
            fits = any(wrong.fits(rest + product) for product in products)
            if fits and not any(multiple_of(branch, product) for product in products):
                yield _used(wrong, consumer, name, f", in a matrix product with d{consumer}")


def matrix_products(
    upstream: torch.Tensor, value: torch.Tensor, shape: tuple[int, ...]
) -> dict[tuple[bool, bool, bool], torch.Tensor]:
    """The matrix products of two tensors that have ``shape`` once their batch dimensions are summed.

    The keys are: whether ``value`` comes first, whether ``upstream`` is transposed, whether ``value`` is transposed.
    """
    products: dict[tuple[bool, bool, bool], torch.Tensor] = {}
    if min(upstream.ndim, value.ndim) < 2:
        return products
    for swapped, upstream_turned, value_turned in itertools.product((False, True), repeat=3):
        first, second = upstream.mT if upstream_turned else upstream, value.mT if value_turned else value
        left, right = (second, first) if swapped else (first, second)
        if left.shape[-1] != right.shape[-2] or (left.shape[-2], right.shape[-1]) != shape[-2:]:
            continue
        try:
            product = left @ right
        except RuntimeError:
            # the batch dimensions do not fit
            continue
        if tuple(product.shape[product.ndim - len(shape) :]) == shape:
            products[swapped, upstream_turned, value_turned] = product.sum_to_size(shape)
    return products


def multiple_of(branch: torch.Tensor, product: torch.Tensor) -> float | None:
    """The number ``k`` with ``branch = k * product``; None if there is none."""
    number = ratio(branch, product)
    close = scale_of(branch - number * product) <= RELATIVE_TOLERANCE * scale_of(branch)
    return number if number and close else None


def _used(wrong: WrongAnswer, consumer: str, name: str, where: str) -> TemplateValues:
    return {"part": part(wrong, consumer), "used": name, "where": where, "lines": lines(wrong, (consumer,))}


WRONG_VARIABLE_CANDIDATES: tuple[Callable[[WrongAnswer], Iterator[TemplateValues]], ...] = (
    _itself,
    _in_place_of_a_gradient,
    _as_a_factor,
    _in_a_product,
)
"""Ways of using a wrong variable, the plainest first."""
