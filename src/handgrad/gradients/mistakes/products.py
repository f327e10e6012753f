"""Known mistakes in products: a matrix the wrong way round, another variable in a product, sums too early."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, ratio, scale_of
from handgrad.gradients.mistakes.local_derivatives import FUNCTIONS, Function
from handgrad.gradients.mistakes.mistake import TemplateValues, lines, listed, mistake, part
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer, family

__all__ = ["matrix_products", "multiple_of"]

_Order = tuple[bool, bool, bool]
"""Of a matrix product: whether the value comes first, whether the gradient is transposed, whether the value is."""
_ORDERS: list[_Order] = list(itertools.product((False, True), (False, True), (False, True)))


def matrix_products(upstream: torch.Tensor, value: torch.Tensor, shape: tuple[int, ...]) -> dict[_Order, torch.Tensor]:
    """The matrix products of two tensors that have ``shape`` once their batch dimensions are summed.

    The keys are: whether ``value`` comes first, whether ``upstream`` is transposed, whether ``value`` is transposed.
    A ``value`` of a single row, as a state with which every example begins, stands for as many rows as are needed.
    """
    products: dict[_Order, torch.Tensor] = {}
    value = _rows(value, upstream)
    if min(upstream.ndim, value.ndim) < 2:
        return products
    for order in _ORDERS:
        left, right = _operands(upstream, value, order)
        if left.shape[-1] != right.shape[-2] or (left.shape[-2], right.shape[-1]) != shape[-2:]:
            continue
        try:
            product = left @ right
        except RuntimeError:
            # the batch dimensions do not fit
            continue
        if tuple(product.shape[product.ndim - len(shape) :]) == shape:
            products[order] = product.sum_to_size(shape)
    return products


def _rows(value: torch.Tensor, upstream: torch.Tensor) -> torch.Tensor:
    """A ``value`` that is a single row, stretched to the rows of the gradient."""
    row = value[None] if value.ndim == 1 else value
    return row.expand(upstream.shape[-2], -1) if row.ndim == 2 and len(row) == 1 and upstream.ndim > 1 else row


def _operands(upstream: torch.Tensor, value: torch.Tensor, order: _Order) -> tuple[torch.Tensor, torch.Tensor]:
    """The two factors of a matrix product, in this order."""
    swapped, upstream_turned, value_turned = order
    first, second = upstream.mT if upstream_turned else upstream, value.mT if value_turned else value
    return (second, first) if swapped else (first, second)


def multiple_of(branch: torch.Tensor, product: torch.Tensor) -> float | None:
    """The number ``k`` with ``branch = k * product``; None if there is none."""
    number = ratio(branch, product)
    close = scale_of(branch - number * product) <= RELATIVE_TOLERANCE * scale_of(branch)
    return number if number and close else None


@mistake("values")
def turned(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In the matrix product of {gradient}, {factor} has to be transposed (or must not be).

    Try: Which entries of {factor} does one entry of {tensor} meet in {lines}: those of a row, or those of a column?
    """
    for consumer in wrong.consumers:
        rest = wrong.other_branches(consumer)
        for factor, product in wrong.context.recalled(
            partial(_turned, wrong, consumer), "turned", wrong.name, consumer
        ):
            if wrong.fits(rest + product):
                yield {"factor": factor, "lines": lines(wrong, (consumer,))}


def _turned(wrong: WrongAnswer, consumer: str) -> list[tuple[str, torch.Tensor]]:
    """What the matrix product of a branch gives if one factor is transposed, with that factor."""
    upstream, branch = wrong.context.gradient_of(consumer), wrong.context.branch(wrong.name, consumer)
    found = []
    for name, value in wrong.context.forward.items():
        products = matrix_products(upstream, value, wrong.expected_shape)
        for (swapped, upstream_turned, value_turned), right in products.items():
            number = multiple_of(branch, right)
            for factor, turned_product in (
                (f"d{consumer}", products.get((swapped, not upstream_turned, value_turned))),
                (name, products.get((swapped, upstream_turned, not value_turned))),
            ):
                if number and turned_product is not None:
                    found.append((factor, number * turned_product))
    return found


@mistake("values")
def forward_again(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} takes d{consumer} through the step forwards, as the forward pass takes {tensor}: a gradient goes
    backwards.

    Try: Look at {lines}: to which entries of {consumer} does one entry of {tensor} contribute, and by which factors?
    Its gradient collects from these entries, by these factors.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        forwards = _forwards(wrong, consumer)
        if forwards is not None and wrong.fits(wrong.other_branches(consumer) + forwards):
            yield {"part": part(wrong, consumer), "consumer": consumer, "lines": lines(wrong, (consumer,))}


def _forwards(wrong: WrongAnswer, consumer: str) -> torch.Tensor | None:
    """The Jacobian of a step times its upstream gradient; None if it is no square matrix, or hard to come by."""
    tensor, result = wrong.context.tensors[wrong.name], wrong.context.tensors[consumer]
    if tensor.shape != result.shape:
        return None
    upstream = wrong.context.gradient_of(consumer).to(result.dtype)
    found = autograd_graph.forwards(tensor, result, upstream, wrong.context.tensors.values())
    # another named tensor may stand in between
    if found is None or not wrong.close(found[0].double(), wrong.context.branch(wrong.name, consumer)):
        return None
    return found[1].double()


@dataclass(frozen=True)
class _Product:
    """A branch that is ``number`` times a product of a gradient with the tensor ``factor``.

    The gradient is ``upstream``, the consumer's, or that times the ``slope`` of a function that the consumer results
    from.
    ``order`` is that of :func:`matrix_products`; None for a product entry by entry.
    """

    consumer: str
    upstream: torch.Tensor
    slope: torch.Tensor | None
    factor: str
    order: _Order | None
    number: float

    @property
    def upstream_name(self) -> str:
        """The gradient in words."""
        return f"d{self.consumer}" + ("" if self.slope is None else " times the slope of its function")

    @classmethod
    def of(cls, wrong: WrongAnswer, consumer: str) -> "_Product | None":
        """The branch through ``consumer`` as a product; None if it is not one."""
        branch, result = wrong.context.branch(wrong.name, consumer), wrong.context.forward.get(consumer)
        given = wrong.context.gradient_of(consumer)
        slopes = (1 - result**2, result * (1 - result), (result > 0).double()) if result is not None else ()
        for slope in (None, *slopes):
            upstream = given if slope is None else given * slope
            for name, value in wrong.context.forward.items():
                for order, product in _products(wrong, upstream, value).items():
                    if number := multiple_of(branch, product):
                        return cls(consumer, upstream, slope, name, order, number)
        return None

    def with_factor(self, wrong: WrongAnswer, name: str) -> torch.Tensor | None:
        """The same product with another tensor as its factor; None if the shapes do not fit."""
        forward = wrong.context.forward
        value, own = forward[name] if name in forward else wrong.context.expressions[name], forward[self.factor]
        # of the states of several time steps, the first may be a row that is stretched
        rows = {tuple(_rows(tensor, self.upstream).shape) for tensor in (value, own)}
        if value.shape != own.shape and not (len(rows) == 1 and family(name) == family(self.factor)):
            return None
        return self.times(wrong, value)

    def times(self, wrong: WrongAnswer, value: torch.Tensor) -> torch.Tensor | None:
        """The same product with another ``value``; None if the shapes do not fit."""
        product = _products(wrong, self.upstream, value).get(self.order)
        return None if product is None else self.number * product

    def with_slope(self, wrong: WrongAnswer, function: Function | None) -> torch.Tensor | None:
        """The same product if another ``function`` of the result is the slope (default: none); None if it cannot be."""
        upstream = wrong.context.gradient_of(self.consumer)
        sloped = function.values(wrong.context.forward[self.consumer]) * upstream if function else upstream
        branch = replace(self, upstream=sloped).with_factor(wrong, self.factor)
        return branch if branch is not None and bool(branch.isfinite().all()) else None

    def of_sums(self, wrong: WrongAnswer) -> Iterator[torch.Tensor]:
        """What the same product gives if its factors are summed first."""
        upstream, value = self.upstream, wrong.context.forward[self.factor]
        if self.order is None:
            sums = wrong.reduced_to(upstream), wrong.reduced_to(value)
            yield from (first * second for first, second in [sums] if first is not None and second is not None)
            return
        if upstream.ndim > 2:
            dims = tuple(range(upstream.ndim - 2))
            early = matrix_products(upstream.sum(dims), value.sum(dims), wrong.expected_shape)
            yield from (early[order] for order in [self.order] if order in early)
        left, right = _operands(upstream, _rows(value, upstream), self.order)
        yield (left.sum(-1, keepdim=True) @ right.sum(-2, keepdim=True)).sum_to_size(wrong.expected_shape)


def _products(wrong: WrongAnswer, upstream: torch.Tensor, value: torch.Tensor) -> dict[_Order | None, torch.Tensor]:
    """The products of two tensors in the shape of the answer: entry by entry (None), and the matrix products."""
    products: dict[_Order | None, torch.Tensor] = {}
    products.update(matrix_products(upstream, value, wrong.expected_shape).items())
    if value.shape == upstream.shape and (reduced := wrong.reduced_to(upstream * value)) is not None:
        products[None] = reduced
    return products


@mistake("values")
def product_of_sums(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is a product of two sums, {upstream} and {factors}: so each gradient is multiplied by each tensor.

    Try: Multiply each gradient by its own tensor (see {lines}), and add the products.
    """
    own, found = wrong.recalled("pairs", _pairs)
    grid = {(consumer, factor) for consumer in own for factor in own.values()}
    is_whole = len(own) == len(wrong.consumers)
    if is_whole and len(set(own.values())) > 1 and set(found) == grid and set(found.values()) == {1}:
        upstream = " + ".join(
            product.upstream_name for product in wrong.recalled("products", _branch_products).values()
        )
        yield {"upstream": upstream, "factors": " + ".join(own.values()), "lines": lines(wrong, own)}


@mistake("values")
def wrong_pairs(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, {pairs}{rest}.

    Try: Look at {lines}: by what is {tensor} multiplied there?
    """
    own, found = wrong.recalled("pairs", _pairs)
    strange = [pair for pair in found if own.get(pair[0]) != pair[1]]
    if strange and set(found.values()) == {1}:
        (consumer, factor), *further = strange
        pairs = listed([f"d{consumer} is multiplied by {factor}", *(f"d{other} by {name}" for other, name in further)])
        if set(own.items()) <= set(found):
            pairs += ", besides the right products"
        else:
            pairs += ", which are the wrong tensors" if further else ", which is the wrong tensor"
        missing = [consumer for consumer in own if consumer not in {pair[0] for pair in found}]
        rest = f"; the contribution through {listed(missing)} is missing" if missing else ""
        yield {"pairs": pairs, "rest": rest, "lines": lines(wrong, own)}


@mistake("values")
def wrong_slope(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, {upstream} {fault} whose {result}.

    Try: Look at {lines}: which function is applied last there, and what is its derivative?
    """
    products = {} if wrong.scales else wrong.recalled("products", _branch_products)
    sloped = [name for name, product in products.items() if product.slope is not None]
    # in one branch, or in all, as in the steps of a loop
    for names in dict.fromkeys((*zip(sloped, strict=True), tuple(sloped))) if sloped else ():
        others = wrong.other_branches(*names)
        for function in (None, *FUNCTIONS):
            branches = [branch for name in names if (branch := products[name].with_slope(wrong, function)) is not None]
            if len(branches) == len(names) and wrong.fits(torch.stack([others, *branches]).sum(0)):
                formulas = listed(f"`{function.of(name)}`" for name in names) if function else ""
                is_single = len(names) == 1
                derivative = "the derivative of the function" if is_single else "the derivatives of the functions"
                does = f"{'is' if is_single else 'are'} {'multiplied by' if formulas else 'not multiplied by'}"
                yield {
                    "upstream": listed(f"d{name}" for name in names),
                    "fault": f"{does} {formulas}, not by {derivative}" if formulas else f"{does} {derivative}",
                    "result": f"{'result is' if is_single else 'results are'} {listed(names)}",
                    "lines": lines(wrong, names),
                }
                return


@mistake("values")
def slope_added(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} adds the local derivative to d{consumer}: the chain rule multiplies them.

    Try: When {tensor} changes by a little, by how much does {consumer} change, and by how much the loss?
    """
    products = {} if wrong.scales else wrong.recalled("products", _branch_products)
    for consumer in wrong.named_consumers if not wrong.scales else ():
        upstream, product = wrong.context.gradient_of(consumer), products.get(consumer)
        if product and product.slope is not None:
            branch = replace(product, upstream=upstream + product.slope).with_factor(wrong, product.factor)
        else:
            slopes = wrong.context.slopes(wrong.name, consumer)
            branch = upstream + slopes if upstream.shape == slopes.shape else None
        if branch is not None and wrong.fits(wrong.other_branches(consumer) + branch):
            yield {"part": part(wrong, consumer), "consumer": consumer}


@mistake("values")
def inverted(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} multiplies d{consumer} by the inverse of {factor}: the chain rule needs the transpose.

    Try: Look at {lines}: by what is a change of {tensor} multiplied on its way to {consumer}?
    """
    products = {} if wrong.scales else wrong.recalled("products", _branch_products)
    for consumer, product in products.items():
        value = wrong.context.forward[product.factor]
        if product.order is None or value.ndim < 2:
            continue
        branch = product.times(wrong, torch.linalg.pinv(value).mT)
        if branch is not None and wrong.close(wrong.value, wrong.other_branches(consumer) + branch, 1e-3):
            yield {
                "part": part(wrong, consumer),
                "consumer": consumer,
                "factor": product.factor,
                "lines": lines(wrong, (consumer,)),
            }


@mistake("values")
def partly_used(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is computed from {used}, and should be computed from d{consumer} as it is.

    Try: Which entries of {consumer} does one entry of {tensor} change in {lines}?
    """
    for consumer in wrong.named_consumers if not wrong.scales and wrong.shape == wrong.expected_shape else ():
        upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
        if upstream.ndim < 2 or upstream.shape[-1] != upstream.shape[-2]:
            continue
        diagonal = torch.diag_embed(upstream.diagonal(dim1=-2, dim2=-1))
        for used, value in (
            (f"the diagonal of d{consumer} alone", diagonal),
            (f"d{consumer} without its diagonal", upstream - diagonal),
            (f"the sum of d{consumer} and its transpose", upstream + upstream.mT),
        ):
            if wrong.fits(rest + wrong.context.sent(wrong.name, consumer, used, value)):
                yield {
                    "part": part(wrong, consumer),
                    "used": used,
                    "consumer": consumer,
                    "lines": lines(wrong, (consumer,)),
                }


@mistake("values")
def branches_multiplied(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is the product of the contributions through {consumers}, and should be their sum.

    Try: When {tensor} changes a little, each consumer changes the loss a little, and these changes add up.
    """
    branches = [wrong.context.branch(wrong.name, consumer) for consumer in wrong.consumers]
    if len(branches) > 1 and wrong.fits(torch.stack(branches).prod(0)):
        yield {"consumers": listed(wrong.consumers)}


@mistake("values")
def summed_early(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} multiplies the sum of {upstream} by the sum of {factor}: the sum of the products is needed.

    Try: Multiply first, entry by entry, and sum afterwards.
    """
    products = {} if wrong.scales else wrong.recalled("products", _branch_products)
    for consumer, product in products.items():
        rest = wrong.other_branches(consumer)
        if any(wrong.multiple(candidate, rest) is not None for candidate in product.of_sums(wrong)):
            words = {"upstream": product.upstream_name, "factor": product.factor}
            yield {"part": part(wrong, consumer), **words}


def _branch_products(wrong: WrongAnswer) -> dict[str, _Product]:
    """The branches that are products, by consumer."""
    products = {
        consumer: wrong.context.recalled(partial(_Product.of, wrong, consumer), "product", wrong.name, consumer)
        for consumer in wrong.named_consumers
    }
    return {consumer: product for consumer, product in products.items() if product}


def _pairs(wrong: WrongAnswer) -> tuple[Mapping[str, str], Mapping[tuple[str, str], float]]:
    """The tensor by which each consumer's gradient is multiplied, and the pairs that the answer has, with numbers.

    Both are empty if the branches are no such products, or the answer is no sum of them.
    """
    nothing: tuple[dict[str, str], dict[tuple[str, str], float]] = {}, {}
    if wrong.shape != wrong.expected_shape or wrong.coefficients:
        return nothing
    known = list(wrong.recalled("products", _branch_products).values())
    if not known:
        return nothing
    own = {product.consumer: product.factor for product in known}
    rest = wrong.other_branches(*own)
    for factors in _rearranged(list(own.values()), list(wrong.context.forward)):
        pairs = zip(known, factors, strict=True)
        fitting = [column for product, name in pairs if (column := product.with_factor(wrong, name)) is not None]
        if len(fitting) == len(known) and wrong.fits(rest + torch.stack(fitting).sum(0)):
            return own, dict.fromkeys(zip(own, factors, strict=True), 1.0)
    # one factor is wrong: another tensor, or a part of the line that makes it
    for product in known:
        remaining = wrong.expected - wrong.context.branch(wrong.name, product.consumer)
        texts = [name for name in (*wrong.context.forward, *wrong.context.expressions) if name != product.factor]
        columns_by_name = {name: product.with_factor(wrong, name) for name in texts}
        factor = wrong.context.forward[product.factor]
        for dim in range(factor.ndim):
            text = f"{product.factor} - {product.factor}.mean({dim}, keepdim=True)"
            columns_by_name[text] = product.times(wrong, factor - factor.mean(dim, keepdim=True))
        for name, column in columns_by_name.items():
            if column is not None and wrong.fits(remaining + column):
                shown = name if name.isidentifier() else f"`{name}`"
                return own, dict.fromkeys(({**own, product.consumer: shown}).items(), 1.0)
    families = {family(name) for name in own.values()}
    alike = [name for name in wrong.context.forward if family(name) in families]
    for names in (dict.fromkeys(own.values()), alike, wrong.context.forward):
        columns = {
            (product.consumer, name): column
            for product in known
            for name in names
            if (column := product.with_factor(wrong, name)) is not None
        }
        if found := wrong.combination(columns, rest):
            return own, found
    return nothing


def _rearranged(factors: list[str], names: Sequence[str]) -> Iterator[list[str]]:
    """The factors of several time steps in other orders, or tensors of another name with the numbers of these steps.

    Backwards, one step later, one step earlier.
    """
    if len(factors) < 2:
        return
    yield factors[::-1]
    numbers = [re.search(r"\d+$", name) for name in factors]
    stems = dict.fromkeys(name.rstrip("0123456789") for name in names)
    for stem, step in itertools.product(stems, (0, 1, -1)):
        moved = [f"{stem}{int(number[0]) + step}" for number in numbers if number]
        if len(moved) == len(factors) and moved != factors and set(moved) <= set(names):
            yield moved


@mistake("values")
def wrong_variable(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{fault}.

    Try: Look at {lines}, and at the upstream gradient: which values does the formula need?
    """
    # the plainest first
    for candidates in () if wrong.scales else (_itself, _in_place_of_a_gradient, _in_a_product):
        explanations = list(candidates(wrong))
        yield from explanations
        if explanations:
            return


def _itself(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """The answer is a forward value, its transpose, or a constant."""
    for name, constant in wrong.context.namespace.items() if wrong.passes > 1 else ():
        if isinstance(constant, float) and wrong.fits(torch.full_like(wrong.value, constant)):
            yield {"fault": f"d{wrong.name} is {name} itself, a constant", "lines": lines(wrong, wrong.consumers)}
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
                candidate = wrong.context.sent(wrong.name, consumer, name, value)
                if wrong.multiple(candidate, rest) is not None:
                    fault = f"{part(wrong, consumer)} is computed from {name}, and should be computed from d{consumer}"
                    yield {"fault": fault, "lines": lines(wrong, (consumer,))}
        further = wrong.context.consumers[consumer]
        for other in further if len(further) > 1 else ():
            branch = wrong.context.branch(consumer, other)
            candidate = wrong.context.sent(wrong.name, consumer, f"the branch through {other}", branch)
            if wrong.multiple(candidate, rest) is not None:
                fault = f"{part(wrong, consumer)} uses only the contribution to d{consumer} through {other}"
                yield {"fault": fault, "lines": lines(wrong, (consumer,))}


def _in_a_product(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """A matrix product of the upstream gradient with another matrix than the one in the step, in any shape."""
    has_shape = wrong.shape == wrong.expected_shape
    for consumer in wrong.consumers if has_shape or len(wrong.consumers) == 1 else ():
        upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer) if has_shape else 0.0
        branch = wrong.context.branch(wrong.name, consumer)
        for name, value in wrong.other_variables():
            products = matrix_products(upstream, value, wrong.shape).values()
            fits = any(wrong.fits(rest + product) for product in products)
            own = products if has_shape else matrix_products(upstream, value, wrong.expected_shape).values()
            if fits and not any(multiple_of(branch, product) for product in own):
                fault = f"{part(wrong, consumer)} is the matrix product of d{consumer} and {name}, and nothing else"
                yield {"fault": fault, "lines": lines(wrong, (consumer,))}
