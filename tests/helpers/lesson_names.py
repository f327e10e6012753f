"""What the names of a forward pass stand for: the tables in the notebooks, and docs/reference/names.md with them.

``python -m helpers.lesson_names`` in the folder ``tests`` writes it.
"""

import re

import nbformat

from helpers.paths import ASSIGNMENTS, ROOT

PAGE = ROOT / "docs/reference/names.md"
_ROW = re.compile(r"^\| (`.+?) \| (.+) \|$", re.MULTILINE)


def meanings(assignment: str) -> dict[str, str]:
    """What each name of an exercise stands for, from its notebook; names in one row have the same text."""
    notebook = nbformat.read(ROOT / "source" / assignment / f"{assignment}.ipynb", as_version=4)
    [table] = [cell.source for cell in notebook.cells if cell.id == "names"]
    return {name: text for names, text in _ROW.findall(table) for name in re.findall(r"`(\w+)`", names)}


def page() -> str:
    """The page: the tables of all exercises."""
    pieces = [
        "# The names in the exercises",
        "*Reference, for students.*",
        "Each notebook has its own table under *The names*.",
    ]
    for assignment in ASSIGNMENTS:
        notebook = nbformat.read(ROOT / "source" / assignment / f"{assignment}.ipynb", as_version=4)
        [table] = [cell.source for cell in notebook.cells if cell.id == "names"]
        rows = [line for line in table.splitlines() if line.startswith("|")]
        pieces += [f"## `{assignment}`", "\n".join(rows)]
    return "\n\n".join(pieces) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
