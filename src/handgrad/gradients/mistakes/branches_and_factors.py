"""The catalogue of known mistakes: how each is recognised from values, and what a student reads.

An entry is a generator: it yields the words of every reading that fits one answer in one pass. Its docstring is the
text: what happened, and behind ``Try:`` what to try. A mistake is named only if one reading, and no other of its kind,
fits in every pass that was looked at; of several mistakes the first speaks, in the order of ``MODULES`` and of
the file.
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

# values: what the loss cannot show


@mistake("values")
def zero_in_theory(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} looks right on this loss, whose true gradient for {tensor} is zero whatever the data: what {tensor}
    adds is taken away again further on, and the loss stays as it is. For another gradient from above it is wrong.

    Try: Write the step from {consumers} back to {tensor} as if the result were not zero.
    """
    if view.blind and view.name in view.zero:
        yield {"consumers": listed(view.consumers)}


@mistake("values")
def invisible_branch(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} looks right on this loss, but what comes back through {hidden}, zero here whatever the data, is
    missing or wrong.

    Try: {tensor} has {count} consumers ({consumers}): add up what each of them sends back.
    """
    hidden = [name for name in view.consumers if name in view.zero]
    if view.blind and hidden:
        yield {**branches(view), "hidden": listed(hidden)}


# values: the whole, or a branch of it


@mistake("values")
def zeros(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is zero everywhere, and the gradient of {tensor} is not.

    Try: See whether what is worked out for {tensor} is ever put into {gradient}.
    """
    if view.shape == view.expected_shape and not bool(view.answer.any()) and bool(view.expected.any()):
        yield {}


@mistake("values")
def missing_branch(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} lacks what comes back through {missing}.

    Try: {tensor} has {count} consumers ({consumers}): add up what each of them sends back.
    """
    for missing in strict_subsets(view.consumers):
        left = sum(view.context.branch(view.name, one) for one in view.consumers if one not in missing)
        if isinstance(left, torch.Tensor) and view.fits(left):
            yield {**branches(view), "missing": listed(missing)}


@mistake("values")
def branch_sign(view: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, what comes back through {wrong} has the wrong sign; the rest of it is right.

    Try: Look at the line of {wrong}: does it grow or fall when {tensor} grows? Branches are always added.
    """
    for wrong in strict_subsets(view.consumers):
        if view.fits(view.expected - 2 * sum(view.context.branch(view.name, one) for one in wrong)):
            yield {"wrong": listed(wrong)}


@mistake("values")
def sign(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has the wrong sign everywhere, and is right otherwise.

    Try: Follow the minus signs of {lines}, each of them once.
    """
    if view.fits(-view.expected):
        yield {"lines": lines(view, view.consumers)}


@mistake("values")
def scale(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {factor} times what it should be{size}.

    Try: Compare with {lines}: which factors stand there, and which in your formula?
    """
    for consumers, number in view.scales.items():
        yield from scaled(view, number, consumers)


@mistake("values")
def last_write_wins(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} does not add up: {index} names some rows of {tensor} more than once, and for each of them only one of
    the values sent back by {consumer} survives.

    Try: Let every lookup add to its row: in a loop, or with an operation of torch that accumulates.
    """
    for consumer in view.consumers:
        if consumer == LOSS or view.shape != view.expected_shape:
            continue
        sent = view.context.gradient_of(consumer)
        for name, index in view.context.indices.items():
            if tuple(sent.shape) == (*index.shape, *view.expected_shape[1:]) and one_of_each(view, index, sent):
                yield {"index": name, "consumer": consumer}


@mistake("values")
def other_gradient(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {other}{how}, a gradient of another tensor: the step from {tensor} to {consumer} has left no trace.

    Try: Ask how {consumer} changes when one entry of {tensor} is nudged; what arrives is multiplied by that.
    """
    if view.is_scaled:
        return
    for name in view.context.gradients:
        below = view.consumers == (name,) and view.shape == view.expected_shape
        if name != view.name and not below and view.fits(view.context.gradient_of(name)):
            yield {"part": f"d{view.name}", "other": f"d{name}", "how": "", "consumer": listed(view.consumers)}
    for consumer in view.consumers:
        sent = view.reduced_to(view.context.gradient_of(consumer)) if consumer != LOSS else None
        number = view.multiple(sent, view.other_branches(consumer)) if sent is not None else None
        if number is not None:
            factor = factor_name(view, number)
            how = "" if factor == "1" else f" times {factor}"
            how += (
                ", summed up"
                if broadcast_dims(view.expected_shape, tuple(view.context.tensors[consumer].shape))
                else ""
            )
            yield {"part": part(view, consumer), "other": f"d{consumer}", "how": how, "consumer": consumer}


@mistake("values")
def local_only(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is the slope of the step from {tensor} to {consumer} alone: {upstream}, which arrives there, is missing.

    Try: The chain rule multiplies the slope of a step by what arrives from above.
    """
    for consumer in view.consumers:
        if consumer == LOSS or view.is_scaled:
            continue
        slope = view.context.vjp(view.name, consumer, torch.ones((), dtype=torch.float64))
        if view.multiple(slope, view.other_branches(consumer)) is not None:
            yield {"part": part(view, consumer), "consumer": consumer, "upstream": f"d{consumer}"}


@mistake("values")
def wrong_variable(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is worked out with {used}{where}.

    Try: Look at {lines}, and at the gradient that arrives there: is that what your formula needs?
    """
    for stage in () if view.is_scaled else WRONG_VARIABLE_CANDIDATES:
        found = list(stage(view))
        yield from found
        if found:
            return


@mistake("values")
def factor_count(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right but for {factor}, a factor of every entry that {how}.

    Try: Follow {lines}, and count how often {factor} is met on the way back.
    """
    for name, value in view.context.forward.items():
        over = broadcast_dims(tuple(value.shape), view.expected_shape) or tuple(value.shape) == view.expected_shape
        if not over or name == view.name or view.shape != view.expected_shape or not bool((value != 0).all()):
            continue
        for how, candidate in (("is missing", view.expected / value), ("is there twice", view.expected * value)):
            if view.fits(candidate):
                yield {"factor": name, "how": how, "lines": lines(view, view.consumers)}


@mistake("values", is_note=True)
def missing_eps(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is a little off, most where {tensor} is smallest, as if a small constant were added to {tensor} in the
    forward pass and not in your formula, or the other way round.

    Try: Look at {lines}, and let your formula use {tensor} exactly as it stands there.
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


# values: right, with something to know


@mistake("values", is_note=True)
def alias_mutated(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right after its own cell and keeps its mark; the cell of {later} changes it afterwards{line},
    because {later} was made another name of the same tensor.

    Try: Build {later} in one expression, or from {gradient}.clone(); += writes into the tensor that is there.
    """
    yield from ()


@mistake("values", is_note=True)
def carried(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right for what it was made from; the error is in {first}.

    Try: Mend {first}, and run the cells below it again.
    """
    yield from ()
