"""What the names of a forward pass stand for: the tables in the notebooks, and the part of docs/students.md with them.

``python -m helpers.lesson_names`` in the folder ``tests`` writes that part.
"""

import re

import nbformat

from helpers.paths import ASSIGNMENTS, ROOT

HEADING = "## The names in the exercises"
PAGE = ROOT / "docs" / "students.md"
_ROW = re.compile(r"^\| (`.+?) \| (.+) \|$", re.MULTILINE)


def meanings(assignment: str) -> dict[str, str]:
    """What each name of an exercise stands for, from its notebook; names in one row have the same text."""
    notebook = nbformat.read(ROOT / "source" / assignment / f"{assignment}.ipynb", as_version=4)
    [table] = [cell.source for cell in notebook.cells if cell.id == "names"]
    return {name: text for names, text in _ROW.findall(table) for name in re.findall(r"`(\w+)`", names)}


def part() -> str:
    """The last part of the page for students: the tables of all exercises."""
    pieces = [HEADING, "Each notebook has its own table under *The names*."]
    for assignment in ASSIGNMENTS:
        notebook = nbformat.read(ROOT / "source" / assignment / f"{assignment}.ipynb", as_version=4)
        [table] = [cell.source for cell in notebook.cells if cell.id == "names"]
        rows = [line for line in table.splitlines() if line.startswith("|")]
        pieces += [f"### `{assignment}`", "\n".join(rows)]
    return "\n\n".join(pieces) + "\n"


def write() -> None:
    """Write the part into the page."""
    page, _, _ = PAGE.read_text(encoding="utf-8").partition(HEADING)
    PAGE.write_text(f"{page.rstrip()}\n\n{part()}", encoding="utf-8")


if __name__ == "__main__":
    write()
