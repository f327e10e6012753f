"""Known mistakes in a step that is one long expression: its paths go through unnamed tensors."""

from collections.abc import Iterator

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.mistake import (
    TemplateValues,
    factor_name,
    lines,
    listed,
    mistake,
    multiple,
    part,
    subsets,
)
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__: list[str] = []


@mistake("values")
def missing_way(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{part} lacks the path through {missing}.

    Try: Nudge one entry of {tensor} and look at {lines}: what changes there, and how does that change {consumer}?
    """
    for consumer in wrong.consumers:
        paths = wrong.context.unnamed_paths(wrong.name, consumer)
        for missing in subsets(tuple(paths)):
            if wrong.fits(wrong.expected - torch.stack([paths[name] for name in missing]).sum(0)):
                yield {
                    "part": part(wrong, consumer),
                    "missing": listed(missing),
                    "lines": lines(wrong, missing),
                    "consumer": consumer,
                }


@mistake("values")
def way_scale(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """In {gradient}, the path through {way} {fault}.

    Try: Compare the signs and factors in {lines} with those in your formula.
    """
    for consumer in wrong.consumers:
        paths = wrong.context.unnamed_paths(wrong.name, consumer)
        for ways in subsets(tuple(paths)):
            share = torch.stack([paths[name] for name in ways]).sum(0)
            number = wrong.factor(share, wrong.expected - share)
            if number is not None and factor_name(wrong, number) != "1":
                yield {"way": listed(ways), "fault": multiple(wrong, number), "lines": lines(wrong, ways)}


@mistake("values")
def picked_entries(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} is right except for the entries that {index} picks, one in each row{how}.

    Try: Ask what {lines} does with these entries that it does with no others.
    """
    for index, picked in _picks(wrong):
        off, others = wrong.value - wrong.expected, wrong.expected[~picked]
        allowance = wrong.tolerance * scale_of(wrong.expected)
        if scale_of(off[~picked]) > allowance or scale_of(others) <= 100 * allowance or "[" in index:
            continue
        if bool((off[picked].abs() > allowance).all()):
            amount = float(off[picked].mean())
            same = bool(((off[picked] - amount).abs() <= allowance).all())
            side = "large" if amount > 0 else "small"
            how = f", which are too {side} by {factor_name(wrong, abs(amount))}" if same else ""
            yield {"index": index, "how": how, "lines": lines(wrong, wrong.consumers)}


@mistake("values")
def wrong_index(wrong: WrongAnswer) -> Iterator[TemplateValues]:
    """{gradient} changes the entries that {used} picks, one in each row; {index} should pick them.

    Try: Look at {lines}: which index picks the entries there?
    """
    picks = dict(_picks(wrong))
    for index, picked in picks.items():
        for used, changed in picks.items():
            # the picked entries are the largest in the right gradient; the answer has changed others instead
            larger = float(wrong.expected[picked].abs().mean()) > float(wrong.expected[changed].abs().mean())
            if larger and wrong.factor(changed.double() - picked.double(), wrong.expected) is not None:
                yield {"index": index, "used": used, "lines": lines(wrong, wrong.consumers)}


def _picks(wrong: WrongAnswer) -> Iterator[tuple[str, torch.Tensor]]:
    """The entries, one in each row, that an index tensor or a column of it picks, as a mask; by its name.

    Only for tensors that the loss alone is computed from: further down, a pick is a branch like any other.
    """
    if wrong.consumers != (LOSS,) or wrong.shape != wrong.expected_shape or len(wrong.expected_shape) != 2:
        return
    rows, columns = wrong.expected_shape
    for name, value in wrong.context.indices.items():
        if len(value) != rows or value.ndim > 2:
            continue
        named = (
            {name: value}
            if value.ndim == 1
            else {f"{name}[:, {column}]": value[:, column] for column in range(value.shape[1])}
        )
        for shown, index in named.items():
            if 0 <= int(index.min()) <= int(index.max()) < columns:
                yield shown, torch.zeros(rows, columns, dtype=torch.bool).scatter_(1, index[:, None], value=True)
