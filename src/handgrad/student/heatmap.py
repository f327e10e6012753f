"""A small picture of where an answer differs from its reference, with signs, and the worst cell marked."""

from dataclasses import dataclass
from typing import Self

import torch
from torch.nn.functional import max_pool2d

from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of
from handgrad.student.style import BLUE, ORANGE, escape

__all__ = ["HeatMap"]

ROWS, COLUMNS = 12, 32
"""Largest numbers of cells; in a larger matrix each cell shows the largest difference of a block of entries."""
_CELL = 14


@dataclass(frozen=True)
class HeatMap:
    """The difference between an answer and its reference, in at most 12 by 32 cells.

    ``shape`` are the sizes of the whole matrix, and ``block`` those of the entries in one cell. ``cells`` has for each
    block the difference of largest absolute value, 0.0 if all of it is within the allowance; ``wrong`` entries are
    beyond that. ``worst`` is where the largest difference is, between the values ``given`` and ``expected``.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    cells: tuple[tuple[float, ...], ...]
    wrong: int
    worst: tuple[int, int]
    given: float
    expected: float

    @classmethod
    def of(cls, answer: torch.Tensor, reference: torch.Tensor, scale: float | None = None) -> Self | None:
        """The picture; None if it does not help: another shape, not two dimensions, or at most one wrong entry."""
        if answer.shape != reference.shape or answer.dim() != 2 or answer.dtype.is_complex:
            return None
        answer, reference = answer.detach(), reference.detach()
        difference = answer.double() - reference.double()
        allowed = RELATIVE_TOLERANCE * (scale_of(reference) if scale is None else scale)
        wrong = difference.abs() > allowed
        if not bool(torch.isfinite(difference).all()) or int(wrong.sum()) < 2:
            return None
        rows, columns = difference.shape
        block = (-(-rows // ROWS), -(-columns // COLUMNS))
        row, column = divmod(int(difference.abs().argmax()), columns)
        shown = difference * wrong
        _, strongest = max_pool2d(shown.abs()[None], block, ceil_mode=True, return_indices=True)
        return cls(
            shape=(rows, columns),
            block=block,
            cells=tuple(map(tuple, shown.flatten()[strongest[0]].tolist())),
            wrong=int(wrong.sum()),
            worst=(row, column),
            given=float(answer[row, column]),
            expected=float(reference[row, column]),
        )

    def text(self) -> str:
        """The picture in two sentences."""
        rows, columns = self.shape
        share = "All" if self.wrong == rows * columns else f"{self.wrong} of"
        return (
            f"{share} {rows * columns} entries differ. The largest difference is at "
            f"[{self.worst[0]}, {self.worst[1]}]: yours is {self.given:.4g}, autograd's {self.expected:.4g}."
        )

    def svg(self) -> str:
        """The picture: a square for each block, its sign in it, a frame around the worst."""
        width, height = len(self.cells[0]) * _CELL, len(self.cells) * _CELL
        peak = max(abs(value) for row in self.cells for value in row)
        marks = [
            self._square(row, column, value, peak)
            for row, values in enumerate(self.cells)
            for column, value in enumerate(values)
        ]
        row, column = self.worst[0] // self.block[0], self.worst[1] // self.block[1]
        frame = (
            f'<rect x="{column * _CELL + 0.5}" y="{row * _CELL + 0.5}" width="{_CELL - 1}" height="{_CELL - 1}" rx="2" '
            f'fill="none" stroke="currentColor" stroke-width="2"><title>the largest difference</title></rect>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(self.text())}" '
            f'viewBox="-1 -1 {width + 2} {height + 2}" width="{width + 2}" height="{height + 2}" '
            f'style="display:block;max-width:100%;height:auto;color:inherit">{"".join(marks)}{frame}</svg>'
        )

    def _square(self, row: int, column: int, value: float, peak: float) -> str:
        x, y, inner = column * _CELL + 1, row * _CELL + 1, _CELL - 2
        place = f"{_span(row, self.block[0], self.shape[0])}, {_span(column, self.block[1], self.shape[1])}"
        rect = f'<rect x="{x}" y="{y}" width="{inner}" height="{inner}" rx="2"'
        if not value:
            return f'{rect} fill="currentColor" fill-opacity="0.07"><title>[{place}]: right</title></rect>'
        sign, colour = ("+", ORANGE) if value > 0 else ("\u2212", BLUE)
        strength = 0.25 + 0.75 * abs(value) / peak
        return (
            f"<g><title>[{place}]: {value:+.3g}</title>"
            f'{rect} fill="{colour}" fill-opacity="{strength:.2f}"/>'
            f'<text x="{x + inner / 2:g}" y="{y + inner / 2 + 3.5:g}" text-anchor="middle" font-size="10" '
            f'fill="currentColor">{sign}</text></g>'
        )


def _span(index: int, size: int, end: int) -> str:
    """The rows or columns of a cell, as a slice."""
    covered = range(index * size, min((index + 1) * size, end))
    return f"{covered[0]}" if len(covered) == 1 else f"{covered[0]}:{covered[-1] + 1}"
