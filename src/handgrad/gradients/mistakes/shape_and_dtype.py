"""Known mistakes in an answer before its values are compared: its type, its shape, its dtype."""

import itertools
from collections.abc import Iterator

import torch

from handgrad.gradients.mistakes.backward_context import broadcast_dims
from handgrad.gradients.mistakes.mistake import TemplateValues, listed, mistake, numbered, subsets, told
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__: list[str] = []

# defined, tensor: known before there is a value


told(
    "undefined",
    "The cell of {gradient} ran, but there is no variable {gradient} after it{instead}.",
    "Assign the result to {gradient}; upper and lower case must be the same.",
    "defined",
)
told(
    "uses-autograd",
    "{gradient} copies autograd's gradient, which is removed while a notebook is graded.",
    "Write the formula of {gradient} itself, {source}.",
    "defined",
)
told(
    "not-a-tensor",
    "{gradient} is not a tensor but of type {type}: a gradient is a tensor like {tensor}.",
    "Use torch's own functions, or convert the result to a tensor at the end.",
    "tensor",
)

# shape


def _shapes(wrong: WrongAnswer) -> TemplateValues:
    """The two shapes, as Python prints them."""
    return {"shape": str(wrong.shape), "wanted": str(wrong.expected_shape)}


@mistake("shape")
def shape_rank(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """The values of {gradient} are right, but its shape is {shape} instead of {wanted}, the shape of {tensor}.

    Try: A gradient has the shape of its tensor{how}.
    """
    reshaped = wrong.broadcast_to_expected()
    if reshaped and len(wrong.shape) != len(wrong.expected_shape) and reshaped.fits(wrong.expected):
        consumers = (tuple(wrong.context.tensors[name].shape) for name in wrong.named_consumers)
        is_summed = any(broadcast_dims(wrong.expected_shape, shape) for shape in consumers)
        how = (
            "; keepdim=True keeps a dimension that is summed over"
            if is_summed
            else ": compare the two shapes from the right"
        )
        yield {**_shapes(wrong), "how": how}
    elif not reshaped and wrong.shape != wrong.expected_shape and wrong.value.numel() == wrong.expected.numel():
        regrouped = wrong.value.reshape(wrong.expected_shape)
        # a whole gradient of zeros would fit in any shape
        if bool(wrong.expected.any()) and wrong.close(regrouped, wrong.expected):
            yield {**_shapes(wrong), "how": ": reshape or view brings dimensions back that were merged or split"}


@mistake("shape")
def shape_broadcast(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """The values of {gradient} are right, but its shape is {shape} instead of {wanted}, the shape of {tensor}.

    Try: A gradient has the shape of its tensor: do not rely on broadcasting.
    """
    reshaped = wrong.broadcast_to_expected() if broadcast_dims(wrong.shape, wrong.expected_shape) else None
    if reshaped and len(wrong.shape) == len(wrong.expected_shape) and reshaped.fits(wrong.expected):
        yield _shapes(wrong)


@mistake("shape")
def wrong_dim(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is summed over {over}, but {tensor} was broadcast along {dim} on the way to {consumer}.

    Try: Write the shapes of {tensor} and {consumer} one below the other, and sum where {tensor} has a 1 or nothing.
    """
    for consumer in wrong.named_consumers if len(wrong.consumers) == 1 else ():
        wide = tuple(wrong.context.tensors[consumer].shape)
        dims = broadcast_dims(wrong.expected_shape, wide)
        if not dims:
            continue
        parts = wrong.context.parts(wrong.name, consumer)
        for over in subsets(range(parts.ndim)):
            name = "every dimension" if len(over) == parts.ndim else numbered("dimension", over)
            summed = [parts.sum(over), parts.sum(over, keepdim=True)]
            if summed[0].numel() == wrong.expected.numel():
                # turned or stretched into the right shape, where two sizes are the same
                summed.append(summed[0].reshape(wrong.expected_shape))
            if over != dims and any(map(wrong.fits, summed)):
                yield {"over": name, "dim": numbered("dimension", dims), "consumer": consumer}


@mistake("shape")
def shape_sum(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has shape {shape} instead of {wanted}: {tensor} was broadcast along {dim} on the way to {consumer},
    and the gradient is not summed along it.

    Try: What was broadcast in the forward pass is summed in the backward pass: sum over {dim}.
    """
    dims = broadcast_dims(wrong.expected_shape, wrong.shape)
    if dims and wrong.close(wrong.value.sum_to_size(wrong.expected_shape), wrong.expected):
        yield {**_shapes(wrong), "dim": numbered("dimension", dims), "consumer": listed(wrong.consumers)}


@mistake("shape")
def summed_away(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has shape {shape} instead of {wanted}: it is the right gradient, summed along {dim}.

    Try: Each entry of {tensor} has a derivative of its own: leave the sum out.
    """
    for dims in subsets(range(wrong.expected.ndim)) if wrong.shape != wrong.expected_shape else ():
        sums = (wrong.expected.sum(dims), wrong.expected.sum(dims, keepdim=True))
        if any(wrong.expected.shape[dim] > 1 for dim in dims) and any(map(wrong.fits, sums)):
            yield {**_shapes(wrong), "dim": numbered("dimension", dims)}


@mistake("shape")
def transposed(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds the right numbers in the wrong order: dimensions {dims} are swapped.

    Try: Follow one entry of {tensor}: in which row and column of {gradient} does its gradient belong?
    """
    for first, second in itertools.combinations(range(wrong.expected.ndim), 2):
        swapped = wrong.expected.transpose(first, second)
        # transposed, or read in another order: .view() with the sizes swapped, then transposed back
        reread = wrong.expected.reshape(swapped.shape).transpose(first, second)
        if (wrong.fits(swapped) or wrong.fits(reread)) and not wrong.fits(wrong.expected):
            yield {"dims": f"{first} and {second}"}


# dtype, finite


@mistake("dtype")
def dtype(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds {type} numbers, which cannot represent the values of a gradient.

    Try: Look where the tensor is created: it needs the dtype of {tensor}, as in torch.zeros_like({tensor}).
    """
    kind = wrong.answer.dtype
    if kind.is_floating_point:
        eps = torch.finfo(kind).eps
        coarse = eps > wrong.tolerance and wrong.close(wrong.value, wrong.expected, 8 * eps)
    if kind != wrong.context.tensors[wrong.name].dtype and (not kind.is_floating_point or coarse):
        yield {"type": str(kind).removeprefix("torch.")}


@mistake("finite")
def not_finite(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds NaN or infinity.

    Try: Look for a division by zero, a log of zero or an overflow. While a notebook is graded, {tensor}.grad is NaN on
    purpose, so do not copy from it.
    """
    if not bool(torch.isfinite(wrong.answer).all()):
        yield {}
