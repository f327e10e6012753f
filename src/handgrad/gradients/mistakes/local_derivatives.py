"""Known mistakes in a local derivative: that of another function, at other values, a factor too many or too few."""

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.backward_context import broadcast_dims, stretches, with_last_dims
from handgrad.gradients.mistakes.mistake import TemplateValues, factor_name, has_name, lines, listed, mistake, part
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["FUNCTIONS", "Function"]

NEAR = 1 / 20
"""Between two points the local derivative is interpolated if they are this share of the whole range apart or less."""
AGREED = 0.02
"""Largest difference of two equal local derivatives, as a share of the largest: they are interpolated."""
_PART, _SMALL = 4, 256
"""A tensor of more entries than the second number is first tried at so many positions along one dimension."""
_MOST = 1 << 22
"""Largest number of entries that are tried at once."""
_WIDE = 20
"""A part may be this many times further off than the whole."""
FEWEST = 16
"""Points at which the local derivative must be known."""


class Function(NamedTuple):
    """A function that is often a factor in a derivative: its formula, with ``x`` in it, and what it is."""

    formula: str
    values: Callable[[torch.Tensor], torch.Tensor]
    known_as: str = ""

    def of(self, name: str) -> str:
        """The formula for a variable."""
        return re.sub(r"\bx\b", name, self.formula)


FUNCTIONS = (
    Function("x", lambda x: x),
    Function("1 / x", lambda x: 1 / x),
    Function("1 - x**2", lambda x: 1 - x**2, "the derivative of tanh, if x is its result"),
    Function("x * (1 - x)", lambda x: x * (1 - x), "the derivative of a sigmoid, if x is its result"),
    Function("(x > 0)", lambda x: (x > 0).double(), "the derivative of a ReLU"),
    Function("x**2", lambda x: x**2),
    Function("1 / x**2", lambda x: x**-2),
    Function("1 - x", lambda x: 1 - x),
    Function("1 + x", lambda x: 1 + x),
    Function("x.sign()", torch.sign, "the derivative of an absolute value"),
    Function("x.exp()", torch.exp, "the derivative of exp"),
    Function("x.sqrt()", torch.sqrt),
    Function("x**-0.5", lambda x: x**-0.5, "up to a number, the derivative of a square root"),
    Function("x**-1.5", lambda x: x**-1.5, "up to a number, the derivative of x**-0.5"),
    Function("x**3", lambda x: x**3),
    Function("x.log()", torch.log),
    Function("torch.tanh(x)", torch.tanh),
    Function("1 - torch.tanh(x)**2", lambda x: 1 - torch.tanh(x) ** 2, "the derivative of tanh"),
    Function("torch.sigmoid(x)", torch.sigmoid, "the derivative of softplus"),
    Function("sigmoid(x) * (1 - sigmoid(x))", lambda x: torch.sigmoid(x) * torch.sigmoid(-x), "that of a sigmoid"),
    Function("x.cos()", torch.cos, "the derivative of sin"),
)
"""The plainest first."""


class _Factor(NamedTuple):
    """A function of a tensor of the forward pass, or of a gradient: the name, the formula, what it is, its values."""

    name: str
    formula: str
    known_as: str
    values: torch.Tensor


class _Factors:
    """All that a tensor of one shape can be multiplied by: each function of each value that has this shape, or repeats.

    Most do not explain an answer. So they are tried on a part of it first, all at once: ``part`` takes this part.
    """

    def __init__(self, wrong: WrongAnswer, shape: tuple[int, ...]) -> None:
        self.values = {
            name: value
            for name, value in (*wrong.other_variables(), *wrong.context.expressions.items())
            if stretches(tuple(value.shape), shape)
        }
        kept = [dim for dim, size in enumerate(wrong.expected_shape, -len(wrong.expected_shape)) if size > 2 * _PART]
        # along the last dimension that is not summed over
        self._dim = kept[-1] if kept and math.prod(shape) > _SMALL else None
        parts = [self.part(value.expand(shape)) for value in self.values.values()]
        if sum(part.numel() for part in parts) > _MOST:
            parts, self.values = [], {}
        self._stacked = torch.stack(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def part(self, value: torch.Tensor) -> torch.Tensor:
        """A few positions along one dimension; all of a small tensor."""
        return value if self._dim is None else value.narrow(self._dim, 0, _PART)

    def fitting(self, may_fit: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[list[_Factor]]:
        """For each function, the plainest first, the factors of which ``may_fit`` is true.

        It gets the parts of all of them, stacked, and returns a mask.
        """
        for function in FUNCTIONS if self.values else ():
            found = []
            for name, fits in zip(self.values, may_fit(function.values(self._stacked)).tolist(), strict=True):
                if fits and bool((values := function.values(self.values[name])).isfinite().all()):
                    known_as = f" ({function.known_as.replace('if x', f'if {name}')})" if function.known_as else ""
                    found.append(_Factor(name, function.of(name), known_as, values))
            if found:
                yield found


def _factors(wrong: WrongAnswer, shape: tuple[int, ...]) -> _Factors:
    return wrong.recalled(f"factors {shape}", lambda answer: _Factors(answer, shape))


def _close(parts: torch.Tensor, target: torch.Tensor, allowance: float) -> torch.Tensor:
    """Which of the stacked ``parts`` are the ``target``, up to the allowance."""
    return (parts - target).reshape(len(parts), -1).abs().amax(1) <= allowance


def _numbers(parts: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The number by which each of the stacked ``parts`` comes nearest to the ``target``, in their shape."""
    sizes = (parts**2).reshape(len(parts), -1).sum(1)
    return ((parts * target).reshape(len(parts), -1).sum(1) / sizes).reshape(-1, *[1] * target.ndim)


@mistake("values")
def other_factor(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is d{consumer} times `{factor}`{words}, which is not the local derivative of {consumer} with respect to
    {tensor}{rest}.

    Try: Look at {lines}: how does {consumer} change when one entry of {tensor} is nudged?
    """
    if wrong.scales or wrong.shape != wrong.expected_shape:
        return
    # with the other branches right, or all of them missing
    for alone in (False, True) if len(wrong.consumers) > 1 else (False,):
        for consumer in wrong.named_consumers:
            rest = 0.0 if alone else wrong.other_branches(consumer)
            for explanation in _other_factors(wrong, consumer, rest):
                words = {
                    "part": f"d{wrong.name}" if alone else part(wrong, consumer),
                    "rest": "; the other contributions are missing" if alone else "",
                }
                yield {**words, "consumer": consumer, **explanation, "lines": lines(wrong, (consumer,))}


def _other_factors(wrong: WrongAnswer, consumer: str, rest: torch.Tensor | float) -> list[TemplateValues]:
    """The factors with which the consumer's gradient is the branch in the answer; the plainest function only."""
    upstream = wrong.context.gradient_of(consumer)
    narrow, wide = wrong.expected_shape, tuple(upstream.shape)
    if narrow[: len(wide)] == wide and len(wide) < len(narrow):
        # a sum along the last dimensions has dropped them
        upstream = with_last_dims(upstream, len(narrow))
        wide = tuple(upstream.shape)
    if broadcast_dims(wide, narrow):
        upstream, wide = upstream.expand(narrow), narrow
    dims = broadcast_dims(narrow, wide)
    if not dims and wide != narrow:
        return []
    known, allowance = _factors(wrong, wide), _WIDE * wrong.tolerance * scale_of(wrong.value)
    target = known.part(wrong.value - rest)

    def may_fit(parts: torch.Tensor) -> torch.Tensor:
        products = known.part(upstream) * parts
        if dims:
            products = products.sum([dim + 1 for dim in dims]).reshape(len(parts), *target.shape)
        return _close(_numbers(products, target) * products, target, allowance)

    for factors in known.fitting(may_fit):
        found = {}
        for factor in factors:
            product = wrong.reduced_to(upstream * factor.values)
            if product is not None and (number := wrong.multiple(product, rest)) is not None:
                summed = ", summed" if product.shape != upstream.shape else ""
                formula = _times(factor_name(wrong, number), factor.formula)
                found[factor.name] = {"factor": formula, "words": factor.known_as + summed}
        # the same numbers may be a less plain function of another tensor, or of an expression
        found = {name: words for name, words in found.items() if name.isidentifier()} or found
        if found:
            return [found[wrong.name]] if wrong.name in found else list(found.values())
    return []


def _times(number: str, formula: str) -> str:
    """A formula times a number, as one writes it: ``-1 / x``, ``1/2 * x``, ``2 * (1 - x)``."""
    if formula.startswith("1 / "):
        return f"{number} / {formula[4:]}"
    is_sum = re.match(r"1 [-+] ", formula)
    return formula if number == "1" else f"{number} * ({formula})" if is_sum else f"{number} * {formula}"


@mistake("values")
def extra_factor(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} has one factor too many: without `{factor}` it would be right{rest}.

    Try: Look at {lines}, and count how often each factor belongs into the formula.
    """
    yield from _factor_changed(wrong, torch.mul)


@mistake("values")
def missing_factor(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} lacks a factor: times `{factor}` it would be right{rest}.

    Try: Look at {lines}, and count how often each factor belongs into the formula.
    """
    yield from _factor_changed(wrong, torch.div)


def _factor_changed(
    wrong: WrongAnswer, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> Iterator[TemplateValues]:
    """The branches that are right but for one factor: ``change`` makes the answer from the right branch and the factor.

    There is none for a factor that is the same everywhere.
    """
    if wrong.scales or wrong.shape != wrong.expected_shape or (wrong.expected.numel() == 1 == wrong.passes):
        return
    allowance = _WIDE * wrong.tolerance * scale_of(wrong.value)
    for alone in (False, True) if len(wrong.consumers) > 1 else (False,):
        for consumer in wrong.consumers:
            branch = wrong.context.branch(wrong.name, consumer)
            others = torch.zeros_like(branch) if alone else wrong.other_branches(consumer)
            known = _factors(wrong, wrong.expected_shape)
            target, part_of_branch = known.part(wrong.value - others), known.part(branch)
            missing = listed(other for other in wrong.consumers if other != consumer)
            rest = f"; the contribution through {missing} is missing" if alone else ""

            def may_fit(
                parts: torch.Tensor, target: torch.Tensor = target, branch: torch.Tensor = part_of_branch
            ) -> torch.Tensor:
                changed = change(branch.expand(parts.shape), parts)
                return _close(_numbers(changed, target) * changed, target, allowance)

            for factors in known.fitting(may_fit):
                found = {}
                for factor in factors:
                    # a division too many is a factor that is missing
                    if factor.name not in wrong.context.forward or factor.formula.startswith("1 / "):
                        continue
                    candidate = change(branch, factor.values)
                    number = 1.0 if wrong.fits(others + candidate) else wrong.multiple(candidate, others)
                    is_plain = factor.formula == factor.name and not alone
                    if number != 1 and not (number and is_plain and has_name(wrong, number)):
                        continue
                    times = number if change is torch.mul else 1 / number
                    found[factor.name] = _times(factor_name(wrong, times), factor.formula)
                if found:
                    words = {"part": part(wrong, consumer), "rest": rest, "lines": lines(wrong, (consumer,))}
                    names = [wrong.name] if wrong.name in found else list(found)
                    yield from (words | {"factor": found[name]} for name in names)
                    break


@mistake("values")
def scaled_upstream(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is right except that d{consumer} is {fault}.

    Try: Look at {lines}: by which factors does the chain rule multiply d{consumer} in this step?
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        rest = wrong.other_branches(consumer)
        for fault, upstream in _scaled(wrong, consumer):
            back = wrong.context.sent(wrong.name, consumer, f"d{consumer} {fault}", upstream)
            if bool(back.isfinite().all()) and wrong.fits(rest + back):
                words = {"part": part(wrong, consumer), "lines": lines(wrong, (consumer,))}
                yield {**words, "consumer": consumer, "fault": fault}


def _scaled(wrong: WrongAnswer, consumer: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The consumer's gradient, multiplied or divided by what stands in this step or in the next ones."""
    upstream = wrong.context.gradient_of(consumer)
    words, shape = wrong.context.words_of((consumer, *wrong.context.consumers[consumer])), tuple(upstream.shape)
    # counts are whole numbers
    for name, value in {**wrong.context.forward, **wrong.context.indices}.items():
        if name in words and value.numel() > 1 and stretches(tuple(value.shape), shape):
            yield f"multiplied by {name} first", upstream * value
            is_left_out = _is_factor(name, wrong.context.lines.get(consumer, ""))
            yield f"not multiplied by {name}" if is_left_out else f"divided by {name} first", upstream / value
    # what the next step multiplies by, entry by entry, as an activation function does
    for following in wrong.context.consumers[consumer]:
        if wrong.context.is_elementwise(consumer, following):
            factor = wrong.context.slopes(consumer, following)
            yield f"multiplied by the local derivative of {following} first", upstream * factor


def _is_factor(name: str, line: str) -> bool:
    """Whether a line of the forward pass multiplies by a tensor, and does not divide by it."""
    formula = line.partition("=")[2]
    return bool(re.search(rf"\b{name}\b", formula)) and not re.search(rf"/\s*\(?{name}\b", formula)


@mistake("values")
def softmax(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, {fault}, which is not the derivative of a softmax: each entry of {consumer} depends on all entries
    of {tensor} along dimension {dim}.

    Try: Write one entry of {consumer} as a formula of the entries of {tensor}, and take its derivative by its own
    entry and by another one.
    """
    for consumer in () if wrong.scales else wrong.named_consumers:
        rest = wrong.other_branches(consumer)
        for dim in _softmax_dims(wrong, consumer):
            probs, upstream = wrong.context.forward[consumer], wrong.context.gradient_of(consumer)
            for fault, candidate in _softmax_faults(consumer, probs, upstream, dim):
                if wrong.fits(rest + candidate):
                    yield {"consumer": consumer, "fault": fault, "dim": str(dim)}


@mistake("values")
def log_softmax(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, {fault}, which is not the derivative of a log-softmax: each entry of {consumer} depends on all
    entries of {tensor} along dimension {dim}.

    Try: Write one entry of {consumer} as a formula of the entries of {tensor}, and take its derivative by its own
    entry and by another one.
    """
    for consumer in () if wrong.scales else wrong.named_consumers:
        result, upstream = wrong.context.forward.get(consumer), wrong.context.gradient_of(consumer)
        if result is None or result.shape != wrong.expected.shape:
            continue
        probs, rest = result.exp(), wrong.other_branches(consumer)
        branch = wrong.context.branch(wrong.name, consumer)
        for dim, size in enumerate(probs.shape):
            if size == 1 or not wrong.close(branch, upstream - probs * upstream.sum(dim, keepdim=True)):
                continue
            for fault, candidate in _log_softmax_faults(consumer, probs, upstream, dim):
                if wrong.fits(rest + candidate):
                    yield {"consumer": consumer, "fault": fault, "dim": str(dim)}


@mistake("values")
def softmax_elsewhere(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is the derivative of a softmax whose result is {result}, with the upstream gradient {upstream}; but
    {consumers} {are} not computed from {tensor} by a whole softmax.

    Try: Look at {lines}, and take the derivative of this line alone.
    """
    if wrong.scales or not wrong.named_consumers or any(_softmax_dims(wrong, name) for name in wrong.named_consumers):
        return
    for name, probs in wrong.context.forward.items():
        if probs.shape != wrong.expected.shape or not bool((probs >= 0).all()):
            continue
        for dim in range(probs.ndim):
            if bool((probs.sum(dim) - 1).abs().max() < wrong.tolerance):
                for other in dict.fromkeys((*wrong.named_consumers, *({name} - {wrong.name}))):
                    if other not in wrong.context.gradients or wrong.context.gradients[other].shape != probs.shape:
                        continue
                    if wrong.fits(_softmax_gradient(probs, wrong.context.gradient_of(other), dim)):
                        yield {
                            "result": name,
                            "upstream": f"d{other}",
                            "consumers": listed(wrong.consumers),
                            "are": "is" if len(wrong.consumers) == 1 else "are",
                            "lines": lines(wrong, wrong.consumers),
                        }


@mistake("values")
def same_factor(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, {upstream} are {multiplied}, and should be multiplied by the local derivatives of {consumers} with
    respect to {tensor}.

    Try: Look at {lines}: which function stands there, and what is its derivative?
    """
    if wrong.scales or len(wrong.named_consumers) < 2 or wrong.shape != wrong.expected_shape:
        return
    branches = {(name, True): wrong.context.branch(wrong.name, name) for name in wrong.consumers}
    given = {name: (wrong.context.gradient_of(name), wrong.context.forward.get(name)) for name in wrong.named_consumers}
    for function in (None, *FUNCTIONS):
        columns = dict(branches)
        for name, (upstream, result) in given.items():
            factor = function.values(result) if function and result is not None else torch.ones_like(upstream)
            column = _spread(upstream * factor, branches[name, True])
            if column is not None and bool(column.isfinite().all()):
                columns[name, False] = column
        found = wrong.combination(columns)
        strange = [name for name, right in found if not right]
        each_once = sorted(name for name, _ in found) == sorted(wrong.consumers)
        if len(strange) > 1 and set(found.values()) == {1} and each_once:
            formulas = [f"`{function.of(name)}`" for name in strange] if function else []
            yield {
                "upstream": listed(f"d{name}" for name in strange),
                "multiplied": f"multiplied by {listed(formulas)}" if formulas else "handed on as they are",
                "consumers": listed(strange),
                "lines": lines(wrong, strange),
            }
            return


def _spread(value: torch.Tensor, branch: torch.Tensor) -> torch.Tensor | None:
    """``value`` summed, or its entries in the places where the ``branch`` has some; None if there are not as many."""
    if value.shape == branch.shape or broadcast_dims(tuple(branch.shape), tuple(value.shape)):
        return value.sum_to_size(branch.shape)
    places = branch != 0
    if int(places.sum()) != value.numel():
        return None
    spread = torch.zeros_like(branch)
    spread[places] = value.flatten()
    return spread


def _softmax_gradient(probs: torch.Tensor, upstream: torch.Tensor, dim: int) -> torch.Tensor:
    """What comes back through a softmax along ``dim`` whose result is ``probs``."""
    return probs * (upstream - (probs * upstream).sum(dim, keepdim=True))


def _softmax_dims(wrong: WrongAnswer, consumer: str) -> list[int]:
    """The dimensions along which a consumer is the softmax of the tensor; none if it is not."""
    probs, upstream = wrong.context.forward.get(consumer), wrong.context.gradient_of(consumer)
    if probs is None or probs.shape != wrong.expected.shape:
        return []
    branch = wrong.context.branch(wrong.name, consumer)
    return [
        dim
        for dim, size in enumerate(probs.shape)
        if size > 1 and wrong.close(branch, _softmax_gradient(probs, upstream, dim))
    ]


def _softmax_faults(
    name: str, probs: torch.Tensor, upstream: torch.Tensor, dim: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """What may be wrong in the derivative of a softmax ``probs`` along ``dim``, and the branch that it gives."""
    weighted = probs * upstream
    yield f"d{name} is multiplied by `{name} * (1 - {name})`, entry by entry", weighted * (1 - probs)
    yield f"d{name} is only multiplied by {name}", weighted
    for other in range(probs.ndim):
        if other != dim:
            along = f"the sum of {name} * d{name} runs along dimension {other}"
            yield along, probs * (upstream - weighted.sum(other, keepdim=True))
    yield f"the sum of {name} * d{name} runs over all entries", probs * (upstream - weighted.sum())
    yield f"the mean of {name} * d{name} stands for its sum", probs * (upstream - weighted.mean(dim, keepdim=True))
    yield f"the sum is one of {name} alone, without d{name}", probs * (upstream - probs.sum(dim, keepdim=True))
    yield f"the sum is one of d{name} alone, without {name}", probs * (upstream - upstream.sum(dim, keepdim=True))
    yield (
        f"the mean of d{name} stands for the sum of {name} * d{name}",
        probs * (upstream - upstream.mean(dim, keepdim=True)),
    )
    yield f"the difference is not multiplied by {name}", upstream - weighted.sum(dim, keepdim=True)
    yield f"the sum is not multiplied by {name}", weighted - weighted.sum(dim, keepdim=True)
    yield f"the upstream gradient is not multiplied by {name}", upstream - probs * weighted.sum(dim, keepdim=True)
    yield f"the sum of {name} * d{name} is added", probs * (upstream + weighted.sum(dim, keepdim=True))
    yield f"only the sum of {name} * d{name} is left", -probs * weighted.sum(dim, keepdim=True)


def _log_softmax_faults(
    name: str, probs: torch.Tensor, upstream: torch.Tensor, dim: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """What may be wrong in the derivative of a log-softmax ``name``, and the branch that it gives."""
    total = upstream.sum(dim, keepdim=True)
    yield f"d{name} is multiplied by `1 - {name}.exp()`, entry by entry", upstream * (1 - probs)
    yield f"d{name} is not summed", upstream - probs
    yield f"d{name} is divided by {name}.exp(), entry by entry", upstream / probs
    yield f"the sum of d{name} is not multiplied by {name}.exp()", upstream - total
    yield f"the sum of d{name} times {name}.exp() is added", upstream + probs * total
    yield f"only the sum of d{name} is left", -probs * total
    yield f"the mean of d{name} stands for its sum", upstream - probs * upstream.mean(dim, keepdim=True)
    yield f"the mean of d{name} is subtracted", upstream - upstream.mean(dim, keepdim=True)
    weighted = (probs * upstream).sum(dim, keepdim=True)
    yield f"d{name} goes back through a softmax", probs * (upstream - weighted)
    for other in range(probs.ndim):
        if other != dim:
            yield (
                f"the sum of d{name} runs along dimension {other}",
                upstream - probs * upstream.sum(other, keepdim=True),
            )
    yield f"the sum of d{name} runs over all entries", upstream - probs * upstream.sum()


@mistake("values")
def shared_otherwise(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, each entry of d{consumer} is shared among the entries of {tensor} {how}, which is not the local
    derivative of {consumer} with respect to {tensor}.

    Try: Look at {lines}: how does {consumer} change when one entry of {tensor} is nudged?
    """
    value = wrong.context.forward.get(wrong.name)
    if value is None or wrong.scales or wrong.shape != wrong.expected_shape:
        return
    for consumer in wrong.named_consumers:
        upstream, rest = wrong.context.gradient_of(consumer), wrong.other_branches(consumer)
        wide = with_last_dims(upstream, value.ndim)
        dims = broadcast_dims(tuple(wide.shape), wrong.expected_shape)
        if not dims:
            continue
        for how, weights in _shares(value, dims):
            if bool(weights.isfinite().all()) and wrong.fits(rest + wide * weights):
                yield {"consumer": consumer, "how": how, "lines": lines(wrong, (consumer,))}


def _shares(value: torch.Tensor, dims: tuple[int, ...]) -> Iterator[tuple[str, torch.Tensor]]:
    """How a reduction of the ``value`` along ``dims`` may be thought to share its gradient, and the weights."""
    largest, positive, grown = value.amax(dims, keepdim=True), (value > 0).double(), value.exp()
    yield "so that the largest one gets all", (value == largest).double()
    yield "so that the smallest one gets all", (value == value.amin(dims, keepdim=True)).double()
    yield "in proportion to their values", value / value.sum(dims, keepdim=True)
    yield "by a softmax", grown / grown.sum(dims, keepdim=True)
    yield "equally", torch.full_like(value, 1 / (value.numel() / largest.numel()))
    yield "equally among the positive ones", positive / positive.sum(dims, keepdim=True).clamp(min=1)


@mistake("values", is_note=True)
def missing_eps(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is slightly off, most where {tensor} is smallest, as if the forward pass added a small constant to
    {tensor} and your formula did not, or the other way round.

    Try: Look at {lines}, and use {tensor} in your formula exactly as it is used there.
    """
    values = wrong.context.tensors[wrong.name].detach().double()
    if wrong.shape != wrong.expected_shape or not bool((values > 0).all()):
        return
    large = wrong.expected.abs() > 1e-2 * wrong.expected.abs().max()
    off = (wrong.value / wrong.expected - 1)[large]
    # (v / (v + eps)) ** p is 1 - p * eps / v to first order
    constants = off * values[large]
    middle = constants.median()
    spread = float(values[large].max() / values[large].min()) if bool(large.any()) else 0.0
    same = bool((constants - middle).abs().max() <= 0.1 * middle.abs()) if bool(large.any()) else False
    if same and spread > 1.5 and 5e-6 < float(off.abs().max()) < 0.1:
        yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def slope_elsewhere(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} takes the local derivative at {used} instead of at {tensor}.

    Try: Look at {lines}: the local derivative is taken at the value that the forward pass has there.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        if wrong.context.tensors[consumer].shape != wrong.expected_shape:
            continue
        values = wrong.context.forward.get(wrong.name)
        if values is None:
            continue
        points = values.flatten()
        slopes = wrong.context.slopes(wrong.name, consumer).flatten()
        upstream = wrong.context.gradient_of(consumer).flatten()
        taken = (wrong.value - wrong.other_branches(consumer)).flatten() / upstream
        # a small upstream gradient leaves only rounding of the local derivative
        readable = upstream.abs() > 1e-2 * scale_of(upstream)
        if not _is_function(points, slopes):
            continue
        for used, value in wrong.other_variables():
            if used != wrong.name and tuple(value.shape) == wrong.expected_shape:
                known, interpolated = _interpolate(points, slopes, value.flatten())
                if _agree(taken[readable & known], interpolated[readable & known], scale_of(slopes)):
                    yield {"part": part(wrong, consumer), "used": used, "lines": lines(wrong, (consumer,))}


def _is_function(points: torch.Tensor, slopes: torch.Tensor) -> bool:
    """Whether every second slope is interpolated by its neighbours: the step is elementwise and smooth."""
    order = points.argsort()
    points, slopes = points[order], slopes[order]
    if len(points) <= 2 * FEWEST:
        return False
    (known, interpolated), inner = _interpolate(points[::2], slopes[::2], points[1::2]), slopes[1::2]
    return _agree(inner[known], interpolated[known], scale_of(slopes))


def _interpolate(points: torch.Tensor, slopes: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """At which of the values ``at`` a slope is known, and the slopes there, by linear interpolation."""
    order = points.argsort()
    points, slopes = points[order], slopes[order]
    right = torch.searchsorted(points, at.contiguous()).clamp(1, len(points) - 1)
    width = points[right] - points[right - 1]
    share = (at - points[right - 1]) / width
    inside = (share >= 0) & (share <= 1) & (width <= NEAR * (points[-1] - points[0]))
    return inside, slopes[right - 1] + share * (slopes[right] - slopes[right - 1])


def _agree(slopes: torch.Tensor, reference: torch.Tensor, scale: float) -> bool:
    """Whether two lists of slopes are the same, and long and varied enough to tell."""
    return (
        len(slopes) >= FEWEST
        and scale_of(slopes - reference) <= AGREED * scale
        and float(reference.max() - reference.min()) > 10 * AGREED * scale
    )
