"""Known mistakes in the branches of a gradient, its sign, its factors and the variables it uses.

In this and the other modules an entry is a generator: it yields the template values of every explanation that fits one
answer in one pass. Its docstring is the text: what happened, and after ``Try:`` what to try.
"""

from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import above
from handgrad.gradients.comparison import ratio, scale_of
from handgrad.gradients.mistakes.backward_context import broadcast_dims, stretches, with_last_dims
from handgrad.gradients.mistakes.mistake import (
    TemplateValues,
    factor_name,
    has_name,
    lines,
    listed,
    mistake,
    multiple,
    numbered,
    part,
    subsets,
    told,
)
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer, family

__all__: list[str] = []

_SAMPLE = 16
"""Entries of which a sum of two values is looked at first."""


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


told(
    "hidden-from-the-loss",
    "{gradient} looks right on this loss, which cannot show every mistake in it. With other upstream gradients it is "
    "wrong.",
    "Write the step from {consumers} back to {tensor} for every entry, also where the result is zero here.",
)

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
    missing = [name for name, number in wrong.coefficients.items() if number == 0]
    if missing and set(wrong.coefficients.values()) == {0, 1}:
        yield {**_branches(wrong), "missing": listed(missing)}


@mistake("values")
def branch_sign(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, the contribution through {wrong} has the wrong sign; the rest is right.

    Try: Look at the line of {wrong}: does it grow or fall when {tensor} grows? Branches are always added.
    """
    flipped = [name for name, number in wrong.coefficients.items() if number == -1]
    if flipped and set(wrong.coefficients.values()) == {1, -1}:
        yield {"wrong": listed(flipped)}


@mistake("values")
def several_branches(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, {faults}; the rest is right.

    Try: {tensor} has {count} consumers ({consumers}): work out the contribution through each, and add them.
    """
    words = {"0": "is missing", "-1": "has the wrong sign", "2": "is there twice", "1/2": "is halved"}
    named = {name: factor_name(wrong, number) for name, number in wrong.coefficients.items()}
    # with any other number a sum of two branches may be a multiple of one of them by chance
    if len(set(named.values()) - {"1"}) > 1 and set(named.values()) <= {"1", *words}:
        faults = (f"the contribution through {name} {words[factor]}" for name, factor in named.items() if factor != "1")
        yield {**_branches(wrong), "faults": listed(faults)}


@mistake("values")
def sign(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has the wrong sign everywhere; its absolute values are right.

    Try: Follow the minus signs of {lines}, each of them once.
    """
    if wrong.fits(-wrong.expected):
        yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def scale(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} {fault}.

    Try: Compare the factors in {lines} with those in your formula.
    """
    for consumers, number in wrong.scales.items():
        if factor_name(wrong, number) != "1":
            yield {
                "part": f"d{wrong.name}" if consumers == wrong.consumers else part(wrong, *consumers),
                "fault": multiple(wrong, number),
                "lines": lines(wrong, consumers),
            }


@mistake("values")
def varying_scale(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is right up to a factor, which is another one if the numbers in the notebook are others.

    Try: Compare the sums, means and counts in {lines} with those in your formula.
    """
    for words in scale(wrong):
        yield {"part": words["part"], "lines": words["lines"]}


@mistake("values")
def offset(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right except that {amount} is added to every entry.

    Try: From which value does {gradient} start before the contributions are added? It should be zero.
    """
    if wrong.shape == wrong.expected_shape and wrong.expected.numel() > 1:
        amount = float((wrong.value - wrong.expected).mean())
        if amount and has_name(wrong, amount) and wrong.fits(wrong.expected + amount):
            yield {"amount": factor_name(wrong, amount)}


@mistake("values")
def other_gradient(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {other}{how}: it is not multiplied by the local derivative of {consumer} with respect to {tensor}.

    Try: Ask how {consumer} changes when one entry of {tensor} is nudged; the upstream gradient is multiplied by that.
    """
    for consumer in () if wrong.scales else wrong.named_consumers:
        if wrong.shape != wrong.expected_shape and wrong.fits(wrong.context.gradient_of(consumer)):
            is_view = wrong.value.numel() == wrong.expected.numel() and wrong.close(
                wrong.value.reshape(wrong.expected_shape), wrong.context.branch(wrong.name, consumer)
            )
            if not is_view:
                how = f", of shape {wrong.shape} instead of {wrong.expected_shape}"
                yield {"part": f"d{wrong.name}", "other": f"d{consumer}", "how": how, "consumer": consumer}
            continue
        upstream = wrong.reduced_to(wrong.context.gradient_of(consumer))
        number = wrong.multiple(upstream, wrong.other_branches(consumer)) if upstream is not None else None
        if number is not None:
            factor = factor_name(wrong, number)
            how = "" if factor == "1" else f" times {factor}"
            if broadcast_dims(wrong.expected_shape, tuple(wrong.context.tensors[consumer].shape)):
                how += ", summed"
            yield {"part": part(wrong, consumer), "other": f"d{consumer}", "how": how, "consumer": consumer}


@mistake("values")
def step_left_out(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is {other}, the gradient of another tensor{where}.

    Try: Go back one step at a time: {consumers} {comes} directly after {tensor}.
    """
    later = above(wrong.name, wrong.context.consumers)
    for name in wrong.context.gradients if not wrong.scales else ():
        if name not in (wrong.name, *wrong.consumers) and wrong.fits(wrong.context.gradient_of(name)):
            where = f": the steps between {wrong.name} and {name} are left out" if name in later else ""
            comes = "come" if len(wrong.consumers) > 1 else "comes"
            yield {"other": f"d{name}", "where": where, "consumers": listed(wrong.consumers), "comes": comes}


@mistake("values")
def extra_term(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right except that {term} is {done}.

    Try: Look at {lines}, and write down which terms contribute to {gradient}.
    """
    if wrong.shape != wrong.expected_shape or wrong.coefficients:
        return
    # beside a large term any gradient would be right
    if scale_of(wrong.expected) <= 100 * wrong.tolerance * scale_of(wrong.value):
        return
    for terms in (_values(wrong), _sent_back(wrong), _branches_of_others(wrong), _with_itself(wrong)):
        explanations = []
        for term, value in terms:
            number = wrong.factor(value, wrong.expected)
            if number is not None and abs(abs(number) - 1) <= 100 * wrong.tolerance:
                explanations.append({"term": term, "done": "added" if number > 0 else "subtracted"})
        yield from (words | {"lines": lines(wrong, wrong.consumers)} for words in explanations)
        # the same numbers may come about in a less plain way too
        if explanations:
            return


def _values(wrong: WrongAnswer) -> Iterator[tuple[str, torch.Tensor]]:
    """Values of the forward pass and gradients that can be added to the gradient."""
    for name, value in wrong.other_variables():
        if (reduced := wrong.reduced_to(value)) is not None:
            yield name if value.shape == reduced.shape else f"{name}, summed or repeated,", reduced


def _sent_back(wrong: WrongAnswer) -> Iterator[tuple[str, torch.Tensor]]:
    """What a weight, or the gradient of another time step, sends back if it is added to a consumer's gradient."""
    leaves = {name for name, tensor in wrong.context.tensors.items() if tensor.is_leaf}
    for consumer in wrong.named_consumers:
        shape = tuple(wrong.context.tensors[consumer].shape)
        values = {name: value for name, value in wrong.context.forward.items() if name in leaves}
        values |= {
            f"d{name}": wrong.context.gradient_of(name)
            for name in wrong.context.gradients
            if name != consumer and family(name) == family(consumer)
        }
        for name, value in values.items():
            if stretches(tuple(value.shape), shape):
                yield f"{name}, sent back from {consumer},", wrong.context.sent(wrong.name, consumer, name, value)


def _branches_of_others(wrong: WrongAnswer) -> Iterator[tuple[str, torch.Tensor]]:
    """The branches of another tensor of the same shape, as of the same one at another time step."""
    for other, tensor in wrong.context.tensors.items():
        if other != wrong.name and tuple(tensor.shape) == wrong.expected_shape:
            for consumer in wrong.context.consumers[other]:
                yield f"the contribution to d{other} through {consumer}", wrong.context.branch(other, consumer)


def _with_itself(wrong: WrongAnswer) -> Iterator[tuple[str, torch.Tensor]]:
    """Another gradient times the tensor, or divided by it, or else a multiple of the tensor, as a weight decay adds."""
    own = wrong.context.tensors[wrong.name].detach().double()
    explained = False
    for name in wrong.context.gradients:
        upstream = wrong.context.gradient_of(name)
        if own.shape[: upstream.ndim] == upstream.shape:
            # one number for each example
            upstream = with_last_dims(upstream, own.ndim)
        if name == wrong.name or (fitting := wrong.reduced_to(upstream)) is None:
            continue
        for operator, term in (("*", fitting * own), ("/", fitting / own)):
            number = wrong.multiple(term, wrong.expected)
            if number is not None and has_name(wrong, number):
                explained = True
                times = "" if factor_name(wrong, abs(number)) == "1" else f"{factor_name(wrong, abs(number))} * "
                yield f"{times}d{name} {operator} {wrong.name}", abs(number) * term
    number = wrong.multiple(own, wrong.expected)
    if number is not None and not explained:
        yield f"{factor_name(wrong, abs(number))} times {wrong.name}", abs(number) * own


@mistake("values")
def along_another_dimension(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is {sign}the {what} of {other} along {dim}, which is not the way back through {consumer}.

    Try: Look at {lines}: along which dimension does it sum, or repeat entries?
    """
    for consumer in () if wrong.scales or wrong.shape != wrong.expected_shape else wrong.named_consumers:
        rest = wrong.other_branches(consumer)
        for name in wrong.context.gradients:
            value = wrong.context.gradient_of(name)
            if name == wrong.name or value.ndim < 2 or tuple(value.shape) != wrong.expected_shape:
                continue
            branch = wrong.context.branch(wrong.name, consumer)
            for dim in range(value.ndim):
                if wrong.close(branch, branch.mean(dim, keepdim=True).expand_as(branch)):
                    # this dimension is the right one
                    continue
                for what, reduced in (("sum", value.sum(dim, keepdim=True)), ("mean", value.mean(dim, keepdim=True))):
                    for sign, number in (("", 1), ("minus ", -1)):
                        if wrong.fits(rest + number * reduced.expand_as(value)):
                            yield {
                                "part": part(wrong, consumer),
                                "sign": sign,
                                "what": what,
                                "other": f"d{name}",
                                "dim": f"dimension {dim}",
                                "consumer": consumer,
                                "lines": lines(wrong, (consumer,)),
                            }


@mistake("values")
def summed_too_far(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """Along {dims}, each entry of {gradient} is the sum of the entries that should stand there.

    Try: Look at {lines}: sum only over the dimensions along which {tensor} is repeated there.
    """
    if wrong.shape != wrong.expected_shape or wrong.scales:
        return
    dims = [dim for dim, size in enumerate(wrong.shape) if size > 1]
    for summed in subsets(dims):
        if wrong.fits(wrong.expected.sum(summed, keepdim=True).expand(wrong.shape)):
            yield {
                "dims": numbered("dimension", summed),
                "lines": lines(wrong, wrong.consumers),
            }


@mistake("values")
def right_elsewhere(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right except at {places} along dimension {dim}{how}.

    Try: What is different for these entries of {tensor} in {lines}?
    """
    if wrong.blind:
        # on the notebook's own loss it is right at these places too: the sentence would not be true there
        return
    if wrong.shape != wrong.expected_shape or wrong.expected.ndim == 0:
        return
    allowance = wrong.tolerance * scale_of(wrong.expected)
    off = (wrong.value - wrong.expected).abs() > allowance
    for dim, size in enumerate(wrong.expected_shape):
        slices = off.movedim(dim, 0).reshape(size, -1).any(1).nonzero().flatten().tolist()
        first, last = (slices[0], slices[-1]) if slices else (0, size)
        largest = wrong.expected.abs().movedim(dim, 0).reshape(size, -1).amax(1)
        # a part that is small beside the rest counts as right whatever is there
        hidden = (largest > 0) & (largest <= 100 * allowance)
        if bool(hidden.any()):
            continue
        if len(slices) <= size / 2 and len(slices) == last - first + 1:
            value, expected = (all_.narrow(dim, first, len(slices)) for all_ in (wrong.value, wrong.expected))
            places = f"position {first}" if first == last else f"positions {first} to {last}"
            yield {
                "places": places,
                "dim": str(dim),
                "how": _how(wrong, value, expected),
                "lines": lines(wrong, wrong.consumers),
            }


def _how(wrong: WrongAnswer, value: torch.Tensor, expected: torch.Tensor) -> str:
    """In which way a part of the answer is wrong; empty if it is not known."""
    if not bool(value.any()):
        return ", where it is zero"
    number = ratio(value, expected)
    if scale_of(value - number * expected) > wrong.tolerance * scale_of(value) or not has_name(wrong, number):
        return ""
    factor = factor_name(wrong, number)
    return ", where its sign is wrong" if factor == "-1" else f", where it is {factor} times what it should be"


@mistake("values")
def step_too_many(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} goes one step too far: it is what {tensor} sends back to {earlier}.

    Try: Stop at {tensor}: the step from {tensor} back to {earlier} belongs to d{earlier}.
    """
    earlier = [name for name, consuming in wrong.context.consumers.items() if wrong.name in consuming]
    for name in earlier if not wrong.scales else ():
        if wrong.fits(wrong.context.vjp(name, wrong.name, wrong.expected)):
            yield {"earlier": name}


@mistake("values")
def step_twice(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} takes d{consumer} through this step twice.

    Try: Look at {lines}: how often does {tensor} go through it on the way to {consumer}?
    """
    for consumer in () if wrong.scales else wrong.named_consumers:
        if wrong.context.gradient_of(consumer).shape == wrong.expected.shape:
            once = wrong.context.branch(wrong.name, consumer)
            twice = wrong.context.sent(wrong.name, consumer, "the branch itself", once)
            if wrong.fits(wrong.other_branches(consumer) + twice):
                yield {"part": part(wrong, consumer), "consumer": consumer, "lines": lines(wrong, (consumer,))}


@mistake("values")
def function_of_right(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """Each entry of {gradient} is {function} of what it should be, up to a constant factor.

    Try: Look at the last operation of your formula: what in {lines} asks for it?
    """
    functions = {"the square": wrong.expected**2, "the sign": wrong.expected.sign()}
    sizes = wrong.expected.abs()
    differ = bool(sizes.max() - sizes.min() > 100 * wrong.tolerance * sizes.max()) if sizes.numel() else False
    for function, value in functions.items() if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        if differ and wrong.multiple(value) is not None:
            yield {"function": function, "lines": lines(wrong, wrong.consumers)}


@mistake("values")
def two_values(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is `{formula}`, entry by entry: the chain rule multiplies an upstream gradient by a local derivative,
    and adds whole branches only.

    Try: Look at {lines}: how does the result change when one entry of {tensor} is nudged?
    """
    if wrong.scales or wrong.shape != wrong.expected_shape or wrong.expected.numel() == 1:
        return
    values = {name: value for name, value in wrong.other_variables() if tuple(value.shape) == wrong.shape}
    constants = {name: value for name, value in wrong.context.namespace.items() if isinstance(value, float)}
    terms = values | {name: torch.full_like(wrong.value, value) for name, value in constants.items()}
    # most pairs do not fit, as a few entries show
    samples = torch.stack([term.flatten()[:_SAMPLE] for term in terms.values()]) if values else wrong.value[:0]
    for name, value in values.items():
        for sign, rest in (("+", wrong.value - value), ("-", wrong.value + value)):
            off = (samples - rest.flatten()[:_SAMPLE]).abs().amax(1)
            for other, fits in zip(terms, (off <= 2 * wrong.tolerance * scale_of(rest)).tolist(), strict=True):
                # a sum of two values is found twice
                is_known = sign == "+" and other in values and other > name
                if fits and other != name and not is_known and wrong.close(rest, terms[other]) and bool(rest.any()):
                    yield {"formula": f"{other} {sign} {name}", "lines": lines(wrong, wrong.consumers)}


@mistake("values")
def local_only(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} is only the local derivative of {consumer} with respect to {tensor}; the upstream gradient {upstream} is
    missing.

    Try: The chain rule multiplies the local derivative of a step by the upstream gradient.
    """
    for consumer in () if wrong.scales else wrong.named_consumers:
        local = wrong.context.slopes(wrong.name, consumer)
        if wrong.multiple(local, wrong.other_branches(consumer)) is not None:
            yield {"part": part(wrong, consumer), "consumer": consumer, "upstream": f"d{consumer}"}


told(
    "one-change",
    "{gradient} has the values that the right formula gives with one change: {change}.",
    "Compare your formula with {lines}, one factor and one term at a time.",
)
told(
    "wrong-factor",
    "{gradient} is {upstream} times a factor, entry by entry, which is not the local derivative of {consumer} with "
    "respect to {tensor}.",
    "Look at {lines}: which function stands there, and what is its derivative?",
)
told(
    "upstream-unused",
    "{gradient} does not use {upstream}: with other values there, and all else the same, it stays the same.",
    "Look at {lines}: what comes back from there needs its upstream gradient. A formula that takes several steps at "
    "once needs every factor and every term of all of them.",
)
told(
    "wrong-branch",
    "In {gradient}, the contribution through {wrong} is wrong; what comes through {right} is right.",
    "Look at {lines}, and work out what comes back from there alone.",
)

# right, with a note


told(
    "alias-mutated",
    "{gradient} is right after its own cell and keeps its points; the cell of {later} changes it afterwards{line}, "
    "because {later} is another name of the same tensor.",
    "Build {later} in one expression, or from {gradient}.clone(); += changes the existing tensor.",
    is_note=True,
)
told(
    "carried",
    "{gradient} is right for its upstream gradients; the error is in {first}.",
    "Fix {first}, then rerun the cells below it.",
    is_note=True,
)
