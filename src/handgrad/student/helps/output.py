"""What a help shows: sentences, lines of code and small tables, as text and as HTML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch

from handgrad.student.helps.readability import written
from handgrad.student.style import BLUE, RED, TYPEWRITER, block, div, escape, with_code

__all__ = ["WRONG", "Code", "Output", "Part", "Table", "Tables", "place", "signed", "tensor_table"]

WRONG = "*"
"""Follows a wrong entry."""
_INDENT = "   "
_LISTED = 4
"""Of a tensor with more than twelve entries, at most so many that are not zero are listed alone."""
_CODE = f"{TYPEWRITER};font-size:12px;white-space:pre-wrap;margin:4px 0 4px 14px"
_CELL = "padding:0 6px;border:0;background:transparent;white-space:nowrap;color:inherit"


@dataclass(frozen=True)
class Code:
    """Lines of a cell."""

    lines: tuple[str, ...]

    def text(self) -> str:
        """The lines, indented."""
        return "\n".join(_INDENT + line for part in self.lines for line in part.splitlines())

    def html(self) -> str:
        """The lines, in a typewriter font."""
        return div(_CODE, escape("\n".join(self.lines)))


@dataclass(frozen=True)
class Table:
    """Rows of short texts under a title; an entry that ends in :data:`WRONG` is marked.

    Numbers stand to the right; the first ``words`` columns hold words and stand to the left.
    """

    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    words: int = 0

    def lines(self) -> list[str]:
        """The table as text, the title first."""
        marked = any(cell.endswith(WRONG) for row in self.rows for cell in row)
        width = max((len(row) for row in self.rows), default=0)
        rows = [tuple(self._padded(cell, column, marked) for column, cell in enumerate(row)) for row in self.rows]
        widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(width)]
        lines = [
            "  ".join(
                cell.ljust(widths[column]) if column < self.words else cell.rjust(widths[column])
                for column, cell in enumerate(row)
            ).rstrip()
            for row in rows
        ]
        return [self.title, *lines] if self.title else lines

    def html(self) -> str:
        """The table as HTML."""
        title = div(f"{TYPEWRITER};font-size:12px;opacity:0.75", escape(self.title)) if self.title else ""
        rows = "".join(f'<tr style="background:transparent">{"".join(self._html_cells(row))}</tr>' for row in self.rows)
        style = f"{TYPEWRITER};font-size:12px;border-collapse:collapse;margin:0;border:0;color:inherit"
        return div("", f'{title}<table style="{style}"><tbody>{rows}</tbody></table>')

    def _padded(self, cell: str, column: int, marked: bool) -> str:
        # a number keeps its place whether or not a mark follows it
        return cell if not marked or column < self.words or cell.endswith(WRONG) else cell + " "

    def _html_cells(self, row: Sequence[str]) -> Iterator[str]:
        for column, cell in enumerate(row):
            side = "left" if column < self.words else "right"
            wrong = f";font-weight:700;color:{RED}" if cell.endswith(WRONG) else ""
            yield f'<td style="{_CELL};text-align:{side}{wrong}">{escape(cell)}</td>'


@dataclass(frozen=True)
class Tables:
    """Tables beside each other."""

    tables: tuple[Table, ...]

    def text(self) -> str:
        """The tables, indented."""
        columns = [table.lines() for table in self.tables]
        widths = [max(map(len, lines), default=0) for lines in columns]
        rows = zip_longest(*columns, fillvalue="")
        return "\n".join(
            (_INDENT + "    ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
            for row in rows
        )

    def html(self) -> str:
        """The tables, which break into further lines on a narrow page."""
        tables = "".join(table.html() for table in self.tables)
        return div("display:flex;flex-wrap:wrap;gap:4px 22px;margin:4px 0 4px 14px;overflow-x:auto", tables)


Part = str | Code | Tables
"""A sentence, lines of code, or tables."""


@dataclass(frozen=True)
class Output:
    """What a help shows about ``name``: its parts, in order."""

    name: str
    parts: tuple[Part, ...]

    def text(self) -> str:
        """The parts, one below the other."""
        return "\n".join(part.replace("`", "") if isinstance(part, str) else part.text() for part in self.parts)

    def html(self) -> str:
        """The parts in a frame like that of a card."""
        inner = "".join(
            div("font-weight:600" if number == 0 else "", with_code(part)) if isinstance(part, str) else part.html()
            for number, part in enumerate(self.parts)
        )
        frame = (
            f"border:1px solid rgba(128,128,128,0.4);border-left:4px solid {BLUE};border-radius:6px;"
            "padding:8px 14px 9px;margin:4px 0;width:fit-content;max-width:min(860px,100%);box-sizing:border-box"
        )
        return block(inner, frame, self.name)


def place(name: str, index: Sequence[int]) -> str:
    """An entry of a tensor, as a student writes it."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def signed(value: float) -> str:
    """A measured number with its sign, in four digits."""
    return f"{value:+.4g}" if value else "0"


def tensor_table(
    tensor: torch.Tensor,
    title: str = "",
    wrong: torch.Tensor | None = None,
    *,
    logarithms: bool = False,
    scale: float = 0.0,
) -> Table:
    """A small tensor as a table; the entries where ``wrong`` is true are marked.

    A tensor with more than two dimensions is a table of its slices, below each other. Of a larger one with few entries
    that are not zero, these are listed. An entry that is nothing beside the largest one, or beside ``scale``, is shown
    as 0.
    """
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.numel():
        # what is left of an epsilon is no number to read
        tensor = torch.where(tensor.abs() < 1e-4 * max(scale, float(tensor.abs().max())), 0.0, tensor)
    marks = torch.zeros_like(tensor, dtype=torch.bool) if wrong is None else wrong

    def cell(index: tuple[int, ...]) -> str:
        return written(float(tensor[index]), logarithms=logarithms) + (WRONG if marks[index] else "")

    shown = ((tensor != 0) | marks).nonzero().tolist()
    if tensor.numel() > 12 and len(shown) <= _LISTED:
        listed = [(place("", index), cell(tuple(index))) for index in shown]
        return Table((*listed, ("all others" if listed else "all", "0")), title, words=1)
    if tensor.dim() < 2:
        indices = [(int(entry),) for entry in range(tensor.numel())] if tensor.dim() else [()]
        return Table((tuple(cell(index) for index in indices),), title)
    rows = []
    for slice_ in torch.cartesian_prod(*(torch.arange(size) for size in tensor.shape[:-1])).reshape(
        -1, tensor.dim() - 1
    ):
        *outer, row = slice_.tolist()
        cells = tuple(cell((*outer, row, column)) for column in range(tensor.shape[-1]))
        label = f"[{', '.join(map(str, outer))}]" if row == 0 else ""
        rows.append((label, *cells) if outer else cells)
    return Table(tuple(rows), title, words=int(tensor.dim() > 2))
