"""Known mistakes in steps that mask, pick, move or repeat entries."""

from collections.abc import Iterator
from functools import partial

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.mistake import TemplateValues, lines, listed, mistake, numbered
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__: list[str] = []

MOST_PLACES = 64
"""Largest size of a dimension whose positions are tried one by one; each takes two backward passes."""
MOST_TOGETHER = 16
"""Largest size of a dimension whose positions are tried together."""


@mistake("values")
def unreached(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right where the gradient of {tensor} is not zero, but it should be zero in all other places.

    Try: Look at {lines}: on which entries of {tensor} does the result depend? Nudging any other entry changes nothing.
    """
    if wrong.blind or wrong.shape != wrong.expected_shape:
        return
    reached = wrong.expected != 0
    allowance = wrong.tolerance * scale_of(wrong.expected)
    stray = (wrong.value.abs() > allowance) & ~reached
    right = scale_of((wrong.value - wrong.expected)[reached]) <= allowance
    # a single entry may be chance
    if right and min(int(reached.sum()), int(stray.sum())) > 1:
        # or only what arrives is zero there
        if any(bool(wrong.context.slopes(wrong.name, consumer)[stray].any()) for consumer in wrong.consumers):
            return
        yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def moved(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} holds the right numbers in the wrong places.

    Try: Follow one entry of {tensor} through {lines}: its gradient belongs in the place of that entry.
    """
    # in another shape too: pieces that are laid along another dimension
    if wrong.value.numel() == wrong.expected.numel() and not wrong.is_right and bool(torch.isfinite(wrong.value).all()):
        answer, expected = (value.flatten().sort().values for value in (wrong.value, wrong.expected))
        # few different numbers may be the same by chance
        if len(set(expected.tolist())) > 3 and wrong.close(answer, expected):
            yield {"lines": lines(wrong, wrong.consumers)}


@mistake("values")
def last_write_wins(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{index} some rows of {tensor} more than once. The upstream gradients of such a row, from {consumer}, must be
    added; {gradient} keeps only one of them.

    Try: Let every lookup add to its row: in a loop, or with a torch operation that accumulates.
    """
    if wrong.shape != wrong.expected_shape:
        return
    lookups = wrong.recalled("lookups", _lookups)
    for consumer, name in lookups.items():
        if _one_of_each(wrong, consumer, wrong.context.indices[name]):
            yield {"index": f"{name} contains", "consumer": consumer}
    if len(lookups) > 1:
        kept = [_last_of_each(wrong, consumer, wrong.context.indices[name]) for consumer, name in lookups.items()]
        if wrong.fits(torch.stack([wrong.other_branches(*lookups), *kept]).sum(0)):
            yield {"index": f"{listed(dict.fromkeys(lookups.values()))} contain", "consumer": listed(lookups)}


@mistake("values")
def averaged_lookups(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, each row gets the number of its lookups times the mean of all upstream gradients, in place of its
    own ones.

    Try: Which upstream gradients, from {consumer}, belong to the first row that {index} contains?
    """
    lookups = wrong.recalled("lookups", _lookups) if wrong.shape == wrong.expected_shape else {}
    for consumers in dict.fromkeys((*zip(lookups, strict=True), tuple(lookups))) if lookups else ():
        branches = [wrong.other_branches(*consumers)]
        for consumer in consumers:
            rows = wrong.context.indices[lookups[consumer]].reshape(-1)
            upstream = wrong.context.gradient_of(consumer).reshape(len(rows), *wrong.expected_shape[1:])
            counts = torch.bincount(rows, minlength=len(wrong.expected)).double()
            branches.append(counts.reshape(-1, *[1] * (wrong.expected.ndim - 1)) * upstream.mean(0))
        if wrong.fits(torch.stack(branches).sum(0)):
            yield {"consumer": listed(consumers), "index": listed(dict.fromkeys(lookups[name] for name in consumers))}


def _lookups(wrong: WrongAnswer) -> dict[str, str]:
    """The consumers that are rows of the tensor, some of them more than once, each with the name of its index."""
    found = {}
    for consumer in wrong.named_consumers:
        upstream, branch = wrong.context.gradient_of(consumer), wrong.context.branch(wrong.name, consumer)
        for name, index in wrong.context.indices.items():
            rows = index.reshape(-1)
            if tuple(upstream.shape) != (*index.shape, *wrong.expected_shape[1:]) or bool((rows < 0).any()):
                continue
            if bool((rows >= len(branch)).any()) or len(set(rows.tolist())) == len(rows):
                continue
            added = torch.zeros_like(branch).index_add_(0, rows, upstream.reshape(len(rows), *branch.shape[1:]))
            if wrong.close(added, branch):
                found[consumer] = name
                break
    return found


def _last_of_each(wrong: WrongAnswer, consumer: str, index: torch.Tensor) -> torch.Tensor:
    """What comes back to a table if each row keeps its last upstream gradient."""
    kept = torch.zeros_like(wrong.expected)
    values = wrong.context.gradient_of(consumer).reshape(-1, *kept.shape[1:])
    for row, value in zip(index.reshape(-1).tolist(), values, strict=True):
        kept[row] = value
    return kept


def _one_of_each(wrong: WrongAnswer, consumer: str, index: torch.Tensor) -> bool:
    """Whether each row of the branch is one of its upstream gradients, where several must be added."""
    rows = index.reshape(-1)
    values = wrong.context.gradient_of(consumer).reshape(len(rows), -1)
    answer = (wrong.value - wrong.other_branches(consumer)).reshape(len(wrong.value), -1)
    allowance = wrong.tolerance * scale_of(values)
    for row, value in enumerate(answer):
        candidates = values[rows == row] if bool((rows == row).any()) else torch.zeros_like(values[:1])
        if not bool(((candidates - value).abs().amax(1) <= allowance).any()):
            return False
    return True


@mistake("values")
def overwritten(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} keeps only the last contribution to an entry: several positions of {consumer} along dimension {dim}
    contribute to the same entry of {tensor}, and they must be added.

    Try: Start with zeros, and add the contribution of each position.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape else ():
        for dim, size in enumerate(wrong.context.gradient_of(consumer).shape):
            if 1 < size <= MOST_PLACES and _keeps_last(wrong, consumer, dim):
                yield {"consumer": consumer, "dim": str(dim)}


def _keeps_last(wrong: WrongAnswer, consumer: str, dim: int) -> bool:
    """Whether each entry holds only the contribution of the last position along ``dim`` that contributes to it."""
    candidate = wrong.other_branches(consumer).clone()
    size = wrong.context.gradient_of(consumer).shape[dim]
    open_entries = torch.ones(wrong.expected_shape, dtype=torch.bool)
    # an answer that fits is within this; most others are not at the first position already
    most = 2 * wrong.tolerance * scale_of(wrong.value)
    for position in reversed(range(size)):
        reaches, sent = _from_position(wrong, consumer, dim, position)
        reached = open_entries & reaches
        candidate[reached] += sent[reached]
        if scale_of((wrong.value - candidate)[reached]) > most:
            return False
        open_entries &= ~reached
    return wrong.fits(candidate)


def _from_position(wrong: WrongAnswer, consumer: str, dim: int, position: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which entries one position of a consumer along ``dim`` contributes to, and what it contributes."""

    def sent() -> tuple[torch.Tensor, torch.Tensor]:
        upstream = wrong.context.gradient_of(consumer)
        mask = torch.zeros_like(upstream)
        mask.select(dim, position).fill_(1)
        reached = wrong.context.vjp(wrong.name, consumer, mask) != 0
        return reached, wrong.context.vjp(wrong.name, consumer, upstream * mask)

    return wrong.context.recalled(sent, "position", wrong.name, consumer, dim, position)


@mistake("values")
def some_positions(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} uses only {places} of d{consumer} along dimension {dim}.

    Try: Each position of {consumer} depends on {tensor}: add what all of them send back.
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        rest = wrong.other_branches(consumer)
        for dim, size in enumerate(wrong.context.gradient_of(consumer).shape):
            if not 1 < size <= MOST_TOGETHER:
                continue
            columns = {position: _from_position(wrong, consumer, dim, position)[1] for position in range(size)}
            found = wrong.combination(columns, rest)
            if found and set(found.values()) == {1} and len(found) < size:
                yield {"consumer": consumer, "places": numbered("position", list(found)), "dim": str(dim)}


@mistake("values")
def wrong_positions(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """Along dimension {dim}, {answer} {takes} of d{consumer}; that is not where {source} goes in {consumer}.

    Try: Look at {lines}: to which positions of {consumer} does {source} go?
    """
    for consumer in wrong.named_consumers if wrong.shape == wrong.expected_shape and not wrong.scales else ():
        upstream = wrong.context.gradient_of(consumer)
        parts = wrong.value - wrong.other_branches(consumer), wrong.context.branch(wrong.name, consumer)
        # a tensor without the dimension is one position of it, as in a stack
        lacks = upstream.ndim - wrong.expected.ndim == 1
        for dim, size in enumerate(upstream.shape):
            value, branch = (part.unsqueeze(dim) if lacks else part for part in parts)
            others = [tensor.shape[:dim] + tensor.shape[dim + 1 :] for tensor in (value, upstream)]
            if others[0] != others[1] or value.ndim != upstream.ndim or not value.shape[dim] < size <= MOST_TOGETHER:
                continue
            needed_positions = partial(_added_up, wrong, branch, upstream, dim)
            right = wrong.context.recalled(needed_positions, "positions", wrong.name, consumer, dim)
            used = _added_up(wrong, value, upstream, dim) if right else []
            pairs = enumerate(zip(used, right, strict=False))
            # without any, that place of the branch is missing
            place = next((place for place, (taken, needed) in pairs if taken and taken != needed), None)
            if place is not None:
                whose = "" if lacks else f"position {place} of "
                taking = "adds up" if len(used[place]) > 1 else "takes"
                yield {
                    "dim": str(dim),
                    "answer": f"{whose}d{wrong.name}",
                    "source": f"{whose}{wrong.name}",
                    "takes": f"{taking} {numbered('position', used[place])}",
                    "consumer": consumer,
                    "lines": lines(wrong, (consumer,)),
                }


def _added_up(wrong: WrongAnswer, value: torch.Tensor, upstream: torch.Tensor, dim: int) -> list[list[int]]:
    """For each position of ``value`` along ``dim``, the positions of ``upstream`` of which it is the sum; else none."""
    columns, targets = (tensor.movedim(dim, -1).reshape(-1, tensor.shape[dim]) for tensor in (upstream, value))
    if len(columns) < 2 * columns.shape[1] or int(torch.linalg.matrix_rank(columns)) < columns.shape[1]:
        return []
    numbers = torch.linalg.lstsq(columns, targets).solution.round().clamp(0, 1)
    if not wrong.close(columns @ numbers, targets):
        return []
    return [[position for position, number in enumerate(column) if number] for column in numbers.T.tolist()]
