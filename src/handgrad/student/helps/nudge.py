"""``nudge``: a little is added to one entry, and the forward pass runs again. That is what a gradient means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.helps.forward_code import ForwardCode, NoHelp, in_double
from handgrad.student.helps.output import Output, Part, Table, Tables, place, signed

__all__ = ["STEP", "Nudge", "check_index"]

STEP = 1e-4
"""How much is added."""
_KINK = 1e-2
"""Up and down differ at a kink by at least this share; on a smooth way they differ by less."""
_ROUNDING = 1e-9
"""A change per step below this share of the largest entry is rounding."""


@dataclass(frozen=True)
class Change:
    """How one tensor of the way changes for each step: its value before, and the change of every entry."""

    before: torch.Tensor
    slope: torch.Tensor

    @property
    def moved(self) -> torch.Tensor:
        """Which entries change."""
        scale = float(self.slope.abs().max()) + float(self.before.abs().max())
        return self.slope.abs() > _ROUNDING * scale / STEP


@dataclass(frozen=True)
class Nudge:
    """What an entry of the tensor ``name`` does to each tensor that depends on it and to the loss.

    ``slope`` is the change of the loss for each step, measured in both directions, ``up`` and ``down`` each in one; at
    a kink ``slope`` is ``up``.
    ``yours`` is the student's gradient of the entry; None if there is none of this shape. ``hidden``: the loss cannot
    show all of the gradient.
    """

    name: str
    index: tuple[int, ...]
    value: float
    changes: dict[str, Change]
    loss: float
    slope: float
    up: float
    down: float
    yours: float | None
    shape: tuple[int, ...] | None
    hidden: bool

    @classmethod
    def of(cls, code: ForwardCode, name: str, index: Sequence[int] | int) -> Self:
        """Nudge ``name`` at ``index``.

        Raises
        ------
        NoHelp
            The index does not fit, or the tensors are not what their cells make now.
        """
        value = in_double(code.tensors[name])
        entry = check_index(name, tuple(value.shape), index)
        before = code.rerun(name, value)
        # named tensors only: a helper's name may have been used again
        code.check_made({other: tensor for other, tensor in before.items() if other in code.tensors})
        if LOSS not in before:
            raise NoHelp(f"no line leads from {name} to the loss")
        step = torch.zeros_like(value)
        step[entry] = STEP
        higher, lower = code.rerun(name, value + step), code.rerun(name, value - step)
        up, down = (float(higher[LOSS] - before[LOSS]) / STEP, float(before[LOSS] - lower[LOSS]) / STEP)
        # in both directions, which is far more exact; at a kink, where they differ, upwards
        start, width = (before, STEP) if _differ(up, down) else (lower, 2 * STEP)
        changes = {other: Change(tensor, (higher[other] - start[other]) / width) for other, tensor in before.items()}
        loss = changes.pop(LOSS)
        given = code.given(name)
        fits = given is not None and given.shape == value.shape
        return cls(
            name=name,
            index=entry,
            value=float(value[entry]),
            changes=changes,
            loss=float(loss.before),
            slope=float(loss.slope),
            up=up,
            down=down,
            yours=float(given[entry]) if given is not None and fits else None,
            shape=None if given is None or fits else tuple(given.shape),
            hidden=code.is_hidden(name),
        )

    @property
    def has_kink(self) -> bool:
        """Whether a little more and a little less change the loss differently."""
        return _differ(self.up, self.down)

    def output(self) -> Output:
        """The tensors on the way, the loss, and the student's number beside it."""
        where = place(self.name, self.index)
        parts: list[Part] = [f"{where} is {self.value:.4g}. What happens if it grows by {STEP:g}:"]
        rows = [("", "shape", "entries that change", "largest change / step")]
        for name, change in self.changes.items():
            count, largest = int(change.moved.sum()), change.slope.flatten()[change.slope.abs().argmax()]
            moved = f"{count} of {change.before.numel()}" if count else "none"
            rows.append((name, str(tuple(change.before.shape)), moved, signed(float(largest)) if count else ""))
        if self.changes:
            parts.append(Tables((Table(tuple(rows), words=2),)))
        moved = signed(self.slope * STEP)
        parts.append(f"The loss is {self.loss:.6g} and changes by {moved}. Change / step: {signed(self.slope)}")
        parts += self._yours(where)
        if self.has_kink:
            parts.append(
                f"There is a kink here: upwards the loss changes by {signed(self.up)} for each step, "
                f"downwards by {signed(self.down)}."
            )
        if self.hidden and self.yours is not None:
            gradient = f"d{self.name}"
            parts.append(f"This loss cannot show whether {gradient} is right; `counterexample('{gradient}')` can.")
        return Output(where, tuple(parts))

    def _yours(self, where: str) -> list[Part]:
        if self.yours is not None:
            return [f"Yours: d{where} is {signed(self.yours)}"]
        if self.shape is not None:
            return [f"Yours: d{self.name} has the shape {self.shape}, which is not that of {self.name}."]
        return []


def check_index(name: str, shape: tuple[int, ...], index: Sequence[int] | int) -> tuple[int, ...]:
    """``index`` as a tuple that fits ``shape``; negative numbers count from the end.

    Raises
    ------
    NoHelp
        It does not fit; the message says what does.
    """
    try:
        entry = tuple(int(number) for number in (index if isinstance(index, Sequence) else [index]))
    except (TypeError, ValueError):
        entry = (-1,) * (len(shape) + 1)
    fits = len(entry) == len(shape) and all(-size <= number < size for number, size in zip(entry, shape, strict=True))
    if not fits:
        last = [size - 1 for size in shape]
        raise NoHelp(f"{name} has the shape {shape}: give an index from {[0] * len(shape)} to {last}")
    return tuple(number % size for number, size in zip(entry, shape, strict=True))


def _differ(up: float, down: float) -> bool:
    return abs(up - down) > _KINK * max(abs(up), abs(down), 1e-2)
