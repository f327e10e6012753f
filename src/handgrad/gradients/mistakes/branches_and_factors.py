"""Known mistakes in the branches of a gradient, its sign, its factors and the variables it uses.

In this and the other modules an entry is a generator: it yields the template values of every explanation that fits one
answer in one pass. Its docstring is the text: what happened, and after ``Try:`` what to try.
"""

from collections.abc import Iterator

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.backward_context import broadcast_dims
from handgrad.gradients.mistakes.candidates import WRONG_VARIABLE_CANDIDATES, one_of_each, strict_subsets
from handgrad.gradients.mistakes.mistake import TemplateValues, factor_name, lines, listed, mistake, part, size_note
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__: list[str] = []

NEAR = 1 / 20
"""Between two points the local derivative is interpolated if they are this share of the whole range apart or less."""
AGREED = 0.02
"""Largest difference of two equal local derivatives, as a share of the largest: they are interpolated."""
FEWEST = 16
"""Points at which the local derivative must be known."""


def _branches(wrong: WrongAnswer) -> TemplateValues:
    """How many consumers there are, and which."""
    return {"count": str(len(wrong.consumers)), "consumers": listed(wrong.consumers)}


# what the loss cannot show


@mistake("values")
def zero_in_theory(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} looks right on this loss, but only because the true gradient of {tensor} is zero whatever the data:
    later steps cancel what {tensor} adds. With other upstream gradients it is wrong.

    Try: Write the step from {consumers} back to {tensor} as if the result were not zero.
    """
    if wrong.blind and wrong.name in wrong.zero:
        yield {"consumers": listed(wrong.consumers)}


@mistake("values")
def invisible_branch(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} looks right on this loss, but the contribution through {hidden}, which is zero here whatever the data,
    is missing or wrong.

    Try: {tensor} has {count} consumers ({consumers}): add the contributions through all of them.
    """
    hidden = [name for name in wrong.consumers if name in wrong.zero]
    if wrong.blind and hidden:
        yield {**_branches(wrong), "hidden": listed(hidden)}


# the whole gradient, or a branch of it


@mistake("values")
def zeros(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is zero everywhere, but the gradient of {tensor} is not.

    Try: Check whether the result for {tensor} is ever put into {gradient}.
    """
    if wrong.shape == wrong.expected_shape and not bool(wrong.answer.any()) and bool(wrong.expected.any()):
        yield {}


@mistake("values")
def missing_branch(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} lacks the contribution through {missing}.

    Try: {tensor} has {count} consumers ({consumers}): add the contributions through all of them.
    """
    for missing in strict_subsets(wrong.consumers):
        left = sum(wrong.context.branch(wrong.name, name) for name in wrong.consumers if name not in missing)
        if isinstance(left, torch.Tensor) and wrong.fits(left):
            yield {**_branches(wrong), "missing": listed(missing)}


@mistake("values")
def branch_sign(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, the contribution through {wrong} has the wrong sign; the rest is right.

    Try: Look at the line of {wrong}: does it grow or fall when {tensor} grows? Branches are always added.
    """
    for subset in strict_subsets(wrong.consumers):
        if wrong.fits(wrong.expected - 2 * sum(wrong.context.branch(wrong.name, name) for name in subset)):
            yield {"wrong": listed(subset)}


@mistake("values")
def sign(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has the wrong sign everywhere; its absolute values are right.

    Try: Follow the minus signs of {lines}, each of them once.
    """
    if wrong.fits(-wrong.expected):
        yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def scale(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {factor} times what it should be{size}.

    Try: Compare the factors in {lines} with those in your formula.
    """
    for consumers, number in wrong.scales.items():
        factor = factor_name(wrong, number)
        if factor != "1":
            what = f"d{wrong.name}" if consumers == wrong.consumers else part(wrong, *consumers)
            size = size_note(wrong, factor)
            yield {"part": what, "factor": factor, "size": size, "lines": lines(wrong, consumers)}


@mistake("values")
def last_write_wins(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{index} contains some rows of {tensor} more than once. The upstream gradients of such a row, from {consumer},
    must be added; {gradient} keeps only one of them.

    Try: Let every lookup add to its row: in a loop, or with a torch operation that accumulates.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape else ():
        upstream = wrong.context.gradient_of(consumer)
        for name, index in wrong.context.indices.items():
            if tuple(upstream.shape) == (*index.shape, *wrong.expected_shape[1:]) and one_of_each(
                wrong, index, upstream
            ):
                yield {"index": name, "consumer": consumer}


@mistake("values")
def other_gradient(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {other}{how}, the gradient of another tensor: it is not multiplied by the local derivative of
    {consumer} with respect to {tensor}.

    Try: Ask how {consumer} changes when one entry of {tensor} is nudged; the upstream gradient is multiplied by that.
    """
    if wrong.scales:
        return
    for name in wrong.context.gradients:
        below = wrong.consumers == (name,) and wrong.shape == wrong.expected_shape
        if name != wrong.name and not below and wrong.fits(wrong.context.gradient_of(name)):
            yield {"part": f"d{wrong.name}", "other": f"d{name}", "how": "", "consumer": listed(wrong.consumers)}
    for consumer in wrong.named_consumers:
        upstream = wrong.reduced_to(wrong.context.gradient_of(consumer))
        number = wrong.multiple(upstream, wrong.other_branches(consumer)) if upstream is not None else None
        if number is not None:
            factor = factor_name(wrong, number)
            how = "" if factor == "1" else f" times {factor}"
            if broadcast_dims(wrong.expected_shape, tuple(wrong.context.tensors[consumer].shape)):
                how += ", summed"
            yield {"part": part(wrong, consumer), "other": f"d{consumer}", "how": how, "consumer": consumer}


@mistake("values")
def local_only(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is only the local derivative of {consumer} with respect to {tensor}; the upstream gradient {upstream} is
    missing.

    Try: The chain rule multiplies the local derivative of a step by the upstream gradient.
    """
    for consumer in () if wrong.scales else wrong.named_consumers:
        local = wrong.context.vjp(wrong.name, consumer, torch.ones((), dtype=torch.float64))
        if wrong.multiple(local, wrong.other_branches(consumer)) is not None:
            yield {"part": part(wrong, consumer), "consumer": consumer, "upstream": f"d{consumer}"}


@mistake("values")
def wrong_variable(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is computed with {used}{where}.

    Try: Look at {lines}, and at the upstream gradient: is that what your formula needs?
    """
    for candidates in () if wrong.scales else WRONG_VARIABLE_CANDIDATES:
        explanations = list(candidates(wrong))
        yield from explanations
        if explanations:
            return


@mistake("values")
def factor_count(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right except that the factor {factor} {problem} in every entry.

    Try: Follow {lines}, and count how often {factor} occurs on the way back.
    """
    for name, value in wrong.context.forward.items():
        fits = broadcast_dims(tuple(value.shape), wrong.expected_shape) or tuple(value.shape) == wrong.expected_shape
        if not fits or name == wrong.name or wrong.shape != wrong.expected_shape or not bool((value != 0).all()):
            continue
        for problem, candidate in (("is missing", wrong.expected / value), ("appears twice", wrong.expected * value)):
            if wrong.fits(candidate):
                yield {"factor": name, "problem": problem, "lines": lines(wrong, wrong.consumers)}


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


# the local derivative at other values


@mistake("values")
def slope_elsewhere(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} takes the local derivative at {used} instead of at {tensor}.

    Try: Look at {lines}: the local derivative is taken at the value that the forward pass has there.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        if wrong.context.tensors[consumer].shape != wrong.expected_shape:
            continue
        points = wrong.context.forward[wrong.name].flatten()
        slopes = wrong.context.vjp(wrong.name, consumer, torch.ones((), dtype=torch.float64)).flatten()
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


# right, with a note


@mistake("values", is_note=True)
def alias_mutated(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right after its own cell and keeps its points; the cell of {later} changes it afterwards{line},
    because {later} is another name of the same tensor.

    Try: Build {later} in one expression, or from {gradient}.clone(); += changes the existing tensor.
    """
    yield from ()


@mistake("values", is_note=True)
def carried(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right for its upstream gradients; the error is in {first}.

    Try: Fix {first}, then rerun the cells below it.
    """
    yield from ()
