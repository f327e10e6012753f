"""The locked cells as they were released, and the runs that differ."""

import ast
import difflib
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from handgrad.notebook.trees import tree_of
from handgrad.student.course_progress import released
from handgrad.student.session import CellRun, names_in

__all__ = ["EditedCell", "edited_cell"]

SIMILAR = 0.6
MOST_LINES = 2


class EditedCell(NamedTuple):
    """A run of a locked cell in another form than released: its grade_id, the run, and what differs."""

    grade_id: str
    run: CellRun
    difference: str


def edited_cell(runs: Sequence[CellRun]) -> EditedCell | None:
    """The first locked cell whose last run was not as released; None if all were, or no file tells."""
    exercise = released(Path())
    locked = exercise.locked if exercise else {}
    last: dict[str, EditedCell | None] = {}
    for run in reversed(runs if locked else ()):
        same = [grade_id for grade_id, source in locked.items() if _is_same(run.source, source)]
        last |= {grade_id: None for grade_id in same if grade_id not in last}
        for grade_id, source in locked.items() if not same else ():
            if grade_id not in last and _is_like(run, source):
                last[grade_id] = EditedCell(grade_id, run, _difference(run.source, source))
    return next((found for grade_id in locked if (found := last.get(grade_id))), None)


@functools.lru_cache(maxsize=2048)
def _is_same(source: str, released: str) -> bool:
    """Whether two cells are the same but for comments, spaces and further imports."""
    if source.strip() == released.strip():
        return True
    first, second = tree_of(source), tree_of(released)
    if first is None or second is None:
        return False
    lines, wanted = (list(map(ast.dump, tree.body)) for tree in (first, second))
    imports = {ast.dump(line) for line in first.body if isinstance(line, (ast.Import, ast.ImportFrom))}
    return [line for line in lines if line not in imports - {*wanted}] == wanted


def _is_like(run: CellRun, source: str) -> bool:
    """Whether a run is of the cell with this source, edited: it has most of its lines and assigns most of its names."""
    names = names_in(source)
    if names is None or run.names is None or 2 * len(names.bound & run.names.bound) <= len(names.bound):
        return False
    matcher = difflib.SequenceMatcher(None, _lines(run.source), _lines(source), autojunk=False)
    return matcher.ratio() >= SIMILAR


def _lines(source: str) -> list[str]:
    return [line.rstrip() for line in source.strip().splitlines()]


def _difference(source: str, released: str) -> str:
    """The first lines that differ."""
    now, before = _lines(source), _lines(released)
    found = []
    for kind, start, end, first, last in difflib.SequenceMatcher(None, now, before, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for line, old in itertools.zip_longest(now[start:end], before[first:last]):
            if line and old:
                found.append(f"`{line.strip()}` was released as `{old.strip()}`")
            elif line:
                found.append(f"`{line.strip()}` was not in it")
            elif old:
                found.append(f"`{old.strip()}` is missing")
    more = f", and {len(found) - MOST_LINES} more" if len(found) > MOST_LINES else ""
    return "; ".join(found[:MOST_LINES]) + more
