"""Submissions that look alike, on a terminal: a question for a person, with the cells side by side."""

from collections.abc import Mapping, Sequence

from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from handgrad.render.text import new_console, text_of
from handgrad.render.words import one_line

__all__ = ["alike_text"]

Row = tuple[tuple[str, str], Mapping[str, tuple[str, str, int]]]
"""Two students, and for each gradient both cells and how many wrote it so."""


def alike_text(
    rows: Sequence[Row], *, most: int = 10, cells: int = 3, width: int | None = None, color: bool = False
) -> str:
    """The first ``most`` pairs, with the ``cells`` rarest cells of each.

    Parameters
    ----------
    rows
        The pairs, those that share most first.
    width, color
        As for :func:`handgrad.render.report_text`.
    """
    console = new_console(width, color)
    if not rows:
        console.print("No two submissions share more uncommon cells than chance explains.")
        return text_of(console)
    console.print(
        Text(
            "These submissions share cells that few others wrote. Did the students work together, use the same source, "
            "or think alike? Only they can say."
        )
    )
    for (one, other), shared in rows[:most]:
        names = [one_line(one), one_line(other)]
        console.print()
        console.print(Text(f"{names[0]} and {names[1]}: {len(shared)} cells", "bold"))
        for gradient, (first, second, count) in list(shared.items())[:cells]:
            others = count - 2
            who = "nobody else" if not others else f"{others} other{'s' if others > 1 else ''}"
            table = Table(title=f"{one_line(gradient)} ({who} wrote it so)", title_justify="left", expand=True)
            for name in names:
                table.add_column(Text(name), ratio=1)
            table.add_row(
                *(Syntax(text.strip(), "python", word_wrap=True, theme="ansi_light") for text in (first, second))
            )
            console.print(table)
        if len(shared) > cells:
            console.print(Text(f"and {len(shared) - cells} more: {', '.join(list(shared)[cells:])}"))
    if len(rows) > most:
        console.print()
        console.print(Text(f"{len(rows) - most} more pairs share less."))
    return text_of(console)
