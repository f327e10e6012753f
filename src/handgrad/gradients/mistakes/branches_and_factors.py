"""Known mistakes in the branches of a gradient, its sign, its factors and the variables it uses.

In this and the other modules an entry is a generator: it yields the template values of every explanation that fits one
answer in one pass. Its docstring is the text: what happened, and after ``Try:`` what to try.
"""

from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.mistakes.backward_context import broadcast_dims
from handgrad.gradients.mistakes.candidates import WRONG_VARIABLE_CANDIDATES, one_of_each, strict_subsets
from handgrad.gradients.mistakes.mistake import mistake
from handgrad.gradients.mistakes.wording import TemplateValues, branches, factor_name, lines, listed, part, scaled
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__: list[str] = []

# what the loss cannot show


@mistake("values")
def zero_in_theory(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} looks right on this loss, but only because the true gradient of {tensor} is zero whatever the data:
    later steps cancel what {tensor} adds. With other upstream gradients it is wrong.

    Try: Write the step from {consumers} back to {tensor} as if the result were not zero.
    """
    if view.blind and view.name in view.zero:
        yield {"consumers": listed(view.consumers)}


@mistake("values")
def invisible_branch(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} looks right on this loss, but the contribution through {hidden}, which is zero here whatever the data,
    is missing or wrong.

    Try: {tensor} has {count} consumers ({consumers}): add the contributions through all of them.
    """
    hidden = [name for name in view.consumers if name in view.zero]
    if view.blind and hidden:
        yield {**branches(view), "hidden": listed(hidden)}


# the whole gradient, or a branch of it


@mistake("values")
def zeros(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is zero everywhere, but the gradient of {tensor} is not.

    Try: Check whether the result for {tensor} is ever put into {gradient}.
    """
    if view.shape == view.expected_shape and not bool(view.answer.any()) and bool(view.expected.any()):
        yield {}


@mistake("values")
def missing_branch(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} lacks the contribution through {missing}.

    Try: {tensor} has {count} consumers ({consumers}): add the contributions through all of them.
    """
    for missing in strict_subsets(view.consumers):
        left = sum(view.context.branch(view.name, name) for name in view.consumers if name not in missing)
        if isinstance(left, torch.Tensor) and view.fits(left):
            yield {**branches(view), "missing": listed(missing)}


@mistake("values")
def branch_sign(view: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, the contribution through {wrong} has the wrong sign; the rest is right.

    Try: Look at the line of {wrong}: does it grow or fall when {tensor} grows? Branches are always added.
    """
    for wrong in strict_subsets(view.consumers):
        if view.fits(view.expected - 2 * sum(view.context.branch(view.name, name) for name in wrong)):
            yield {"wrong": listed(wrong)}


@mistake("values")
def sign(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has the wrong sign everywhere; its absolute values are right.

    Try: Follow the minus signs of {lines}, each of them once.
    """
    if view.fits(-view.expected):
        yield {"lines": lines(view, view.consumers)}


@mistake("values")
def scale(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {factor} times what it should be{size}.

    Try: Compare the factors in {lines} with those in your formula.
    """
    for consumers, number in view.scales.items():
        yield from scaled(view, number, consumers)


@mistake("values")
def last_write_wins(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{index} contains some rows of {tensor} more than once. The upstream gradients of such a row, from {consumer},
    must be added; {gradient} keeps only one of them.

    Try: Let every lookup add to its row: in a loop, or with a torch operation that accumulates.
    """
    for consumer in view.consumers:
        if consumer == LOSS or view.shape != view.expected_shape:
            continue
        upstream = view.context.gradient_of(consumer)
        for name, index in view.context.indices.items():
            if tuple(upstream.shape) == (*index.shape, *view.expected_shape[1:]) and one_of_each(view, index, upstream):
                yield {"index": name, "consumer": consumer}


@mistake("values")
def other_gradient(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {other}{how}, the gradient of another tensor: it is not multiplied by the local derivative of
    {consumer} with respect to {tensor}.

    Try: Ask how {consumer} changes when one entry of {tensor} is nudged; the upstream gradient is multiplied by that.
    """
    if view.is_scaled:
        return
    for name in view.context.gradients:
        below = view.consumers == (name,) and view.shape == view.expected_shape
        if name != view.name and not below and view.fits(view.context.gradient_of(name)):
            yield {"part": f"d{view.name}", "other": f"d{name}", "how": "", "consumer": listed(view.consumers)}
    for consumer in view.consumers:
        upstream = view.reduced_to(view.context.gradient_of(consumer)) if consumer != LOSS else None
        number = view.multiple(upstream, view.other_branches(consumer)) if upstream is not None else None
        if number is not None:
            factor = factor_name(view, number)
            how = "" if factor == "1" else f" times {factor}"
            if broadcast_dims(view.expected_shape, tuple(view.context.tensors[consumer].shape)):
                how += ", summed"
            yield {"part": part(view, consumer), "other": f"d{consumer}", "how": how, "consumer": consumer}


@mistake("values")
def local_only(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is only the local derivative of {consumer} with respect to {tensor}; the upstream gradient {upstream} is
    missing.

    Try: The chain rule multiplies the local derivative of a step by the upstream gradient.
    """
    for consumer in view.consumers:
        if consumer == LOSS or view.is_scaled:
            continue
        local = view.context.vjp(view.name, consumer, torch.ones((), dtype=torch.float64))
        if view.multiple(local, view.other_branches(consumer)) is not None:
            yield {"part": part(view, consumer), "consumer": consumer, "upstream": f"d{consumer}"}


@mistake("values")
def wrong_variable(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is computed with {used}{where}.

    Try: Look at {lines}, and at the upstream gradient: is that what your formula needs?
    """
    for candidates in () if view.is_scaled else WRONG_VARIABLE_CANDIDATES:
        explanations = list(candidates(view))
        yield from explanations
        if explanations:
            return


@mistake("values")
def factor_count(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right except that the factor {factor} {problem} in every entry.

    Try: Follow {lines}, and count how often {factor} occurs on the way back.
    """
    for name, value in view.context.forward.items():
        fits = broadcast_dims(tuple(value.shape), view.expected_shape) or tuple(value.shape) == view.expected_shape
        if not fits or name == view.name or view.shape != view.expected_shape or not bool((value != 0).all()):
            continue
        for problem, candidate in (("is missing", view.expected / value), ("appears twice", view.expected * value)):
            if view.fits(candidate):
                yield {"factor": name, "problem": problem, "lines": lines(view, view.consumers)}


@mistake("values", is_note=True)
def missing_eps(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is slightly off, most where {tensor} is smallest, as if the forward pass added a small constant to
    {tensor} and your formula did not, or the other way round.

    Try: Look at {lines}, and use {tensor} in your formula exactly as it is used there.
    """
    values = view.context.tensors[view.name].detach().double()
    if view.shape != view.expected_shape or not bool((values > 0).all()):
        return
    large = view.expected.abs() > 1e-2 * view.expected.abs().max()
    off = (view.value / view.expected - 1)[large]
    # (v / (v + eps)) ** p is 1 - p * eps / v to first order
    constants = off * values[large]
    middle = constants.median()
    spread = float(values[large].max() / values[large].min()) if bool(large.any()) else 0.0
    same = bool((constants - middle).abs().max() <= 0.1 * middle.abs()) if bool(large.any()) else False
    if same and spread > 1.5 and 5e-6 < float(off.abs().max()) < 0.1:
        yield {"lines": lines(view, view.consumers)}


# right, with a note


@mistake("values", is_note=True)
def alias_mutated(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right after its own cell and keeps its points; the cell of {later} changes it afterwards{line},
    because {later} is another name of the same tensor.

    Try: Build {later} in one expression, or from {gradient}.clone(); += changes the existing tensor.
    """
    yield from ()


@mistake("values", is_note=True)
def carried(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right for its upstream gradients; the error is in {first}.

    Try: Fix {first}, then rerun the cells below it.
    """
    yield from ()
