"""Entries of the catalogue for what an answer is before its values are looked at: its shape, its dtype."""

import itertools
from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.mistakes.backward_context import broadcast_dims
from handgrad.gradients.mistakes.candidates import strict_subsets
from handgrad.gradients.mistakes.mistake import mistake
from handgrad.gradients.mistakes.wording import TemplateValues, dimensions, listed, shapes
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = [
    "dtype",
    "not_a_tensor",
    "not_finite",
    "shape_broadcast",
    "shape_rank",
    "shape_sum",
    "transposed",
    "undefined",
    "uses_autograd",
    "wrong_dim",
]

# defined, tensor: known before there is a value


@mistake("defined")
def undefined(view: WrongAnswer) -> Iterator[TemplateValues]:
    """The cell of {gradient} ran, and there is no variable {gradient} after it{instead}.

    Try: Assign the result to {gradient}; the name is looked up as it is written, capital letters included.
    """
    yield from ()


@mistake("defined")
def uses_autograd(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} copies autograd's answer, which is taken away while a notebook is graded.

    Try: Write the formula of {gradient} itself, {source}.
    """
    yield from ()


@mistake("tensor")
def not_a_tensor(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is not a tensor but a {type}: a gradient is a tensor like {tensor}.

    Try: Keep to torch's own functions, or make a tensor of the result at the end.
    """
    yield from ()


# shape


@mistake("shape")
def shape_rank(view: WrongAnswer) -> Iterator[TemplateValues]:
    """The values of {gradient} are right, but its shape is {shape} where {tensor} has {wanted}.

    Try: A gradient has the shape of its tensor; keepdim=True keeps a dimension that was summed over.
    """
    laid_over = view.broadcast_to_expected()
    if laid_over and len(view.shape) != len(view.expected_shape) and laid_over.fits(view.expected):
        yield shapes(view)


@mistake("shape")
def shape_broadcast(view: WrongAnswer) -> Iterator[TemplateValues]:
    """The values of {gradient} are right, but its shape is {shape} where {tensor} has {wanted}.

    Try: A gradient has the shape of its tensor: do not leave it to broadcasting.
    """
    laid_over = view.broadcast_to_expected() if broadcast_dims(view.shape, view.expected_shape) else None
    if laid_over and len(view.shape) == len(view.expected_shape) and laid_over.fits(view.expected):
        yield shapes(view)


@mistake("shape")
def wrong_dim(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is summed over {over}; {tensor} was stretched along {dim} on the way to {consumer}.

    Try: Write the shapes of {tensor} and {consumer} one below the other, and sum where {tensor} has a 1 or nothing.
    """
    for consumer in view.consumers:
        if consumer == LOSS or len(view.consumers) > 1:
            continue
        wide = tuple(view.context.tensors[consumer].shape)
        dims = broadcast_dims(view.expected_shape, wide)
        if not dims or view.shape == view.expected_shape:
            continue
        parts = view.context.parts(view.name, consumer)
        for over in strict_subsets(range(parts.ndim), whole=True):
            name = "every dimension" if len(over) == parts.ndim else dimensions(over)
            summed = (parts.sum(over), parts.sum(over, keepdim=True))
            if over != dims and any(map(view.fits, summed)):
                yield {"over": name, "dim": dimensions(dims), "consumer": consumer}


@mistake("shape")
def shape_sum(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} has shape {shape} where {tensor} has {wanted}: {tensor} was stretched along {dim} on the way
    to {consumer}, and what comes back is not added up along it.

    Try: What was stretched on the way forward is added up on the way back: sum over {dim}.
    """
    dims = broadcast_dims(view.expected_shape, view.shape)
    if dims and view.close(view.value.sum_to_size(view.expected_shape), view.expected):
        yield {**shapes(view), "dim": dimensions(dims), "consumer": listed(view.consumers)}


@mistake("shape")
def transposed(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds the right numbers in the wrong order: dimensions {dims} are swapped.

    Try: Follow one entry of {tensor}: in which row and column of {gradient} does what comes back to it stand?
    """
    for one, other in itertools.combinations(range(view.expected.ndim), 2):
        swapped = view.expected.transpose(one, other)
        # swapped itself, or read in another order: .view() with the sizes swapped, swapped back
        again = view.expected.reshape(swapped.shape).transpose(one, other)
        if (view.fits(swapped) or view.fits(again)) and not view.fits(view.expected):
            yield {"dims": f"{one} and {other}"}


# dtype, finite


@mistake("dtype")
def dtype(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds {type} numbers, which cannot hold the values of a gradient.

    Try: Look where the tensor is made: it needs the dtype of {tensor}, as torch.zeros_like({tensor}) has it.
    """
    kind = view.answer.dtype
    if kind.is_floating_point:
        eps = torch.finfo(kind).eps
        coarse = eps > view.tolerance and view.close(view.value, view.expected, 8 * eps)
    if not kind.is_floating_point or coarse:
        yield {"type": str(kind).removeprefix("torch.")}


@mistake("finite")
def not_finite(view: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds NaN or infinity.

    Try: Look for a division by zero, a log of zero or an overflow; and {tensor}.grad is NaN on purpose while a notebook
    is graded, so nothing may be copied from it.
    """
    if not bool(torch.isfinite(view.answer).all()):
        yield {}
