"""A small picture of where an answer differs from its reference, with signs, and the values of the worst entries."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Self

import torch
from torch.nn.functional import max_pool2d

from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of
from handgrad.student.style import BLUE, ORANGE, div, escape, wide_or_narrow

__all__ = ["HeatMap", "Squares", "index_of"]

ROWS, COLUMNS, NARROW = 12, 32, 16
"""Largest numbers of rows, and of columns on a wide and on a narrow page; a larger matrix is shown in blocks."""
NAMED = 3
"""Entries whose values are given."""
_HEADS = ("entry", "yours", "autograd's")
_CELL, _INNER = 14, 12
"""Pixels from square to square, and of a square."""
_TOP, _DIGIT = 13, 6.2
"""Pixels for the numbers above the columns, and for a digit."""


@dataclass(frozen=True)
class Squares:
    """A matrix of differences in squares, each for a block of entries.

    ``sizes`` are those of the matrix, ``index`` its place in the tensor, and ``block`` the sizes of a block. ``values``
    has for each square the difference of largest absolute value, 0.0 if all of it is within the allowance. ``worst`` is
    the square of the largest difference. A vector is one row.
    """

    sizes: tuple[int, ...]
    index: tuple[int, ...]
    block: tuple[int, int]
    values: tuple[tuple[float, ...], ...]
    worst: tuple[int, int]

    @classmethod
    def of(cls, difference: torch.Tensor, index: tuple[int, ...], worst: tuple[int, ...], columns: int) -> Self:
        """The squares of a matrix or a vector, at most ``columns`` next to each other."""
        matrix = difference if difference.dim() == 2 else difference[None]
        block = (-(-matrix.shape[0] // ROWS), -(-matrix.shape[1] // columns))
        _, strongest = max_pool2d(matrix.abs()[None], block, ceil_mode=True, return_indices=True)
        row, column = (0, *worst)[-2:]
        return cls(
            sizes=tuple(difference.shape),
            index=index,
            block=block,
            values=tuple(map(tuple, matrix.flatten()[strongest[0]].tolist())),
            worst=(row // block[0], column // block[1]),
        )

    @property
    def width(self) -> int:
        """Pixels of the picture."""
        return int(self._left + len(self.values[0]) * _CELL + 2)

    def svg(self, label: str) -> str:
        """The picture: a sign in each square, a frame around the worst, and the numbers of rows and columns."""
        height = _TOP + len(self.values) * _CELL + 2
        row, column = self.worst
        frame = (
            f'<rect x="{column * _CELL + 0.5}" y="{row * _CELL + 0.5}" width="{_CELL - 1}" height="{_CELL - 1}" rx="2" '
            f'fill="none" stroke="currentColor" stroke-width="2"><title>the largest difference</title></rect>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
            f'viewBox="{-self._left:g} {-_TOP} {self.width} {height}" width="{self.width}" height="{height}" '
            f'style="display:block;max-width:100%;height:auto;color:inherit;print-color-adjust:exact">'
            f"{self._numbers()}{self._squares()}{frame}</svg>"
        )

    def blocks(self) -> str:
        """What a square is; empty if it is one entry."""
        if self.block == (1, 1):
            return ""
        sizes = " \u00d7 ".join(map(str, self.block[-len(self.sizes) :]))
        return f"Each square is the largest of {sizes} entries."

    @property
    def _left(self) -> float:
        """Pixels for the numbers of the rows; a vector has none."""
        last = (len(self.values) - 1) * self.block[0]
        return 8 + _DIGIT * len(str(last)) if len(self.sizes) > 1 else 2

    def _numbers(self) -> str:
        """The first row and the first column of the squares; of the columns as many as there is room for."""
        rows = [row * self.block[0] for row in range(len(self.values))] if len(self.sizes) > 1 else []
        columns = [column * self.block[1] for column in range(len(self.values[0]))]
        step = -(-int(len(str(columns[-1])) * _DIGIT + 6) // _CELL)
        texts = [
            f'<text x="-5" y="{place * _CELL + _CELL / 2 + 3.5:g}" text-anchor="end">{row}</text>'
            for place, row in enumerate(rows)
        ]
        texts += [
            f'<text x="{place * _CELL + _CELL / 2:g}" y="-4" text-anchor="middle">{column}</text>'
            for place, column in enumerate(columns)
            if place % step == 0
        ]
        return f'<g font-size="9.5" fill="currentColor" fill-opacity="0.8">{"".join(texts)}</g>'

    def _squares(self) -> str:
        """The squares by their signs, in three groups: what is the same for many is written once."""
        peak = max(abs(value) for row in self.values for value in row)
        too_large: list[str] = []
        too_small: list[str] = []
        right: list[str] = []
        for row, values in enumerate(self.values):
            for column, value in enumerate(values):
                x, y = column * _CELL + 1, row * _CELL + 1
                if not value:
                    right.append(f"M{x} {y}h{_INNER}v{_INNER}h-{_INNER}z")
                    continue
                (too_large if value > 0 else too_small).append(
                    f'<rect x="{x}" y="{y}" width="{_INNER}" height="{_INNER}" rx="2" '
                    f'fill-opacity="{0.25 + 0.75 * abs(value) / peak:.2f}">'
                    f"<title>{self._place(row, column)}: {value:+.3g}</title></rect>"
                )
        signs = "".join(
            f"M{column * _CELL + 4} {row * _CELL + 7}h6" + ("m-3 -3v6" if value > 0 else "")
            for row, values in enumerate(self.values)
            for column, value in enumerate(values)
            if value
        )
        return (
            f'<path d="{"".join(right)}" fill="currentColor" fill-opacity="0.07"/>'
            f'<g fill="{ORANGE}">{"".join(too_large)}</g><g fill="{BLUE}">{"".join(too_small)}</g>'
            f'<path d="{signs}" fill="none" stroke="currentColor" stroke-width="1.2" pointer-events="none"/>'
        )

    def _place(self, row: int, column: int) -> str:
        """The entries of a square, as an index."""
        places = zip((row, column)[-len(self.sizes) :], self.block[-len(self.sizes) :], self.sizes, strict=True)
        spans = [_span(*place) for place in places]
        return f"[{', '.join([*map(str, self.index), *spans])}]"


@dataclass(frozen=True)
class Entry:
    """One wrong entry: where it is, what it is, and what it should be."""

    place: tuple[int, ...]
    given: float
    expected: float


@dataclass(frozen=True)
class HeatMap:
    """The difference between an answer and its reference, and a matrix of it as pictures.

    ``shape`` is that of the whole tensor, of which ``wrong`` entries are beyond the allowance; ``worst`` are those with
    the largest differences, the largest first. ``pictures`` show the matrix with the largest of them, in as many
    columns as there is room for on a wide page, and on a narrow one.
    """

    shape: tuple[int, ...]
    wrong: int
    worst: tuple[Entry, ...]
    pictures: tuple[Squares, Squares]

    @classmethod
    def of(cls, answer: torch.Tensor, reference: torch.Tensor, scale: float | None = None) -> Self | None:
        """The picture; None if it does not help: another shape, a single number, or at most one wrong entry."""
        if answer.shape != reference.shape or answer.dtype.is_complex:
            return None
        answer, reference = answer.detach(), reference.detach()
        difference = answer.double() - reference.double()
        allowed = RELATIVE_TOLERANCE * (scale_of(reference) if scale is None else scale)
        wrong = difference.abs() > allowed
        number = int(wrong.sum())
        if not bool(torch.isfinite(difference).all()) or number < 2:
            return None
        # of equal differences the first entries are named, on every machine
        largest = difference.abs().flatten().sort(descending=True, stable=True).indices[: min(NAMED, number)]
        places = [index_of(position, difference.shape) for position in largest.tolist()]
        index = places[0][:-2]
        shown = (difference * wrong)[index]
        wide, narrow = (Squares.of(shown, index, places[0], columns) for columns in (COLUMNS, NARROW))
        return cls(
            shape=tuple(difference.shape),
            wrong=number,
            worst=tuple(Entry(place, float(answer[place]), float(reference[place])) for place in places),
            pictures=(wide, narrow),
        )

    def text(self) -> str:
        """The differences in two sentences."""
        values = [
            f"at {list(entry.place)} yours is {entry.given:.4g}, autograd's {entry.expected:.4g}"
            for entry in self.worst
        ]
        return f"{self._share()} The largest differences: {'; '.join(values)}."

    def html(self) -> str:
        """The picture that fits into the page, what it shows, and the worst entries."""
        wide, narrow = (
            picture.svg(f"Where the entries differ. {self._share()}")
            + div("opacity:0.8", escape(" ".join([self._shown(), picture.blocks()]).strip()))
            for picture in self.pictures
        )
        share = div("margin-top:6px", escape(f"{self._share()} The largest differences:"))
        return wide_or_narrow(wide, narrow, self.pictures[0].width) + share + self._table()

    def _share(self) -> str:
        """How many entries differ."""
        total = prod(self.shape)
        return f"All {total} entries differ." if self.wrong == total else f"{self.wrong} of {total} entries differ."

    def _table(self) -> str:
        """The worst entries."""
        cell = "padding:0 14px 0 0;border:0;background:none;text-align:left;font-size:13px;line-height:1.5"
        head = "".join(f'<th scope="col" style="{cell};font-weight:600">{name}</th>' for name in _HEADS)
        rows = "".join(
            "<tr>"
            + "".join(
                f'<td style="{cell}">{text}</td>'
                for text in (list(entry.place), f"{entry.given:.4g}", f"{entry.expected:.4g}")
            )
            + "</tr>"
            for entry in self.worst
        )
        style = "border-collapse:collapse;border:0;margin:0;width:auto;font-variant-numeric:tabular-nums;color:inherit"
        return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def _shown(self) -> str:
        index = self.pictures[0].index
        part = f"Only the slice [{', '.join(map(str, index))}, :, :], with the largest difference. " if index else ""
        return f"{part}Yours minus autograd's: + too large, \u2212 too small."


def index_of(position: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The index of the entry at a position of the flattened tensor."""
    # torch.unravel_index imports a compiler on its first call, which takes a quarter of a second
    place: tuple[int, ...] = ()
    for size in reversed(shape):
        position, at = divmod(position, size)
        place = (at, *place)
    return place


def _span(place: int, size: int, end: int) -> str:
    """The rows or columns of a square, as a slice."""
    covered = range(place * size, min((place + 1) * size, end))
    return f"{covered[0]}" if len(covered) == 1 else f"{covered[0]}:{covered[-1] + 1}"
