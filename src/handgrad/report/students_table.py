"""The students of a course as a table for a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text

from handgrad.report.names import shown
from handgrad.report.terminal import new_console, text_of

__all__ = ["ClassRows", "StudentRow", "students_table"]


@dataclass(frozen=True)
class StudentRow:
    """A student of a course, as in the roster and ``students.csv``; what is not known is empty."""

    student: str
    name: str = ""
    email: str = ""
    group: str = ""
    status: str = ""
    handed_in: Mapping[str, str] = field(default_factory=dict)
    """The assignments that were handed in, each with the name that it is under if that is another one."""
    extensions: Mapping[str, float] = field(default_factory=dict)
    """Days of extension, by assignment."""


@dataclass(frozen=True)
class ClassRows:
    """The students, and a sentence for each hand-in that is nobody's of the roster."""

    rows: Sequence[StudentRow]
    unmatched: Sequence[str] = ()


def students_table(found: ClassRows, *, width: int | None = None) -> str:
    """The table; columns that would be empty are left out. ``width`` is as for :func:`.terminal.report_text`."""
    console = new_console(width)
    lines = [
        {
            "student": shown(row.student),
            "name": shown(row.name),
            "e-mail": shown(row.email),
            "group": shown(row.group),
            "status": row.status,
            "handed in": ", ".join(
                assignment + (f" (as {shown(name)})" if name != row.student else "")
                for assignment, name in row.handed_in.items()
            ),
            "extension": ", ".join(
                f"{assignment}: {days:g} day{'' if days == 1 else 's'}" for assignment, days in row.extensions.items()
            ),
        }
        for row in found.rows
    ]
    if lines:
        columns = [title for title in lines[0] if title == "student" or any(line[title] for line in lines)]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in columns:
            table.add_column(title)
        for line in lines:
            table.add_row(*(Text(line[title]) for title in columns))
        console.print(table)
        console.print()
    console.print(Text(f"{len(lines)} student{'' if len(lines) == 1 else 's'}."))
    for sentence in found.unmatched:
        console.print(Text(sentence))
    return text_of(console)
