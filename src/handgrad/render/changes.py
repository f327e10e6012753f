"""What a regrade changes, on a console."""

from collections.abc import Mapping, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from handgrad.render.text import new_console, text_of
from handgrad.render.words import number, one_line, out_of
from handgrad.report import Report

__all__ = ["changes_table"]

Row = tuple[Report, Report, Mapping[str, tuple[str, str]], str]
"""The report before and after, what became of which gradient, and why it could not be marked again."""


def changes_table(rows: Sequence[Row], *, written: bool = True, width: int | None = None, color: bool = False) -> str:
    """A line for each student whose marks change, and whom the stored answers do not suffice for.

    Parameters
    ----------
    rows
        All submissions that were looked at.
    written
        Whether the changes were made, or would only be.
    width, color
        As for :func:`handgrad.render.report_text`.
    """
    console = new_console(width, color)
    changed = [row for row in rows if row[2]]
    if changed:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("student", "before", "after", "gradients"):
            table.add_column(title, justify="right" if title in ("before", "after") else "left")
        for before, after, gradients, _ in changed:
            scores = [out_of(one.score, one.max_score) for one in (before, after)]
            table.add_row(Text(one_line(before.student)), *scores, Text(_named(gradients)))
        console.print(table)
        console.print()
    verb = "changed" if written else "would change"
    console.print(Text(f"{number(len(changed))} of {number(len(rows))} submissions {verb}."))
    obstacles = [(before.student, why) for before, _, _, why in rows if why]
    if obstacles:
        console.print()
        console.print(Text(f"Not marked again ({len(obstacles)}): grade them with `handgrad grade`.", "bold"))
        for student, why in obstacles:
            console.print(Padding(Text(f"{one_line(student)}: {why}."), (0, 0, 0, 2)))
    return text_of(console)


def _named(gradients: Mapping[str, tuple[str, str]], most: int = 3) -> str:
    """The first few gradients, with what they were and are."""
    shown = [f"{name} ({old} -> {new})" for name, (old, new) in list(gradients.items())[:most]]
    more = len(gradients) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
