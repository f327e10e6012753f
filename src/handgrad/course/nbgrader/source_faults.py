"""What is wrong with an instructor's notebook, so that nbgrader would not release it, or would give something away."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, InstantiateTests
from nbgrader.utils import is_grade, is_solution
from traitlets.config import Config

from handgrad.exercise.exercise import grade_id
from handgrad.notebook.untrusted_files import in_quotes

__all__ = ["source_faults"]

LONGEST_QUOTE = 40
"""Characters quoted of a cell that has no grade_id."""


def source_faults(notebook: NotebookNode, config: Config, folders: tuple[Path, ...]) -> list[str]:
    """Every fault of an instructor's notebook, in a clause each: which cell, what is wrong, what to do.

    Parameters
    ----------
    config
        The course's configuration, which may have marks of its own.
    folders
        Where nbgrader looks for the file of automatic tests.
    """
    faults = list(_ids(notebook))
    solutions, tests, automatic = (step(config=config) for step in (ClearSolutions, ClearHiddenTests, InstantiateTests))
    marks = (
        ("solution", solutions.begin_solution_delimeter, solutions.end_solution_delimeter, is_solution, solutions),
        ("hidden test", tests.begin_test_delimeter, tests.end_test_delimeter, is_grade, tests),
    )
    for number, cell in enumerate(notebook.cells, 1):
        name = _name(number, cell)
        for what, begin, end, is_of, step in marks:
            if fault := _marks(cell.source, begin, end, counts=cell.cell_type == "code" or is_of(cell)):
                faults.append(f"{name}: {fault}")
            elif begin in cell.source and not is_of(cell) and step.enforce_metadata:
                kind = "a solution" if what == "solution" else "autograder tests"
                faults.append(f"{name} has a {what} but is not marked as {kind}: mark it so, or remove {begin!r}")
        faults += _automatic_tests(name, cell, automatic, folders)
    return faults


def _name(number: int, cell: NotebookNode) -> str:
    """How a cell is called: by its grade_id, or by its number from the top and its beginning."""
    if name := grade_id(cell):
        return f"cell {in_quotes(name)}"
    lines = cell.source.strip().splitlines() or [""]
    return f"cell {number} from the top ({in_quotes(lines[0][:LONGEST_QUOTE])})"


def _ids(notebook: NotebookNode) -> Iterator[str]:
    """Faults of grade_ids and points."""
    names = Counter(filter(None, map(grade_id, notebook.cells)))
    for name, times in names.items():
        if times > 1:
            yield f"{times} cells have the grade_id {in_quotes(name)}: give each one of its own"
    for number, cell in enumerate(notebook.cells, 1):
        facts = cell.metadata.get("nbgrader")
        # nbgrader itself says what to do about metadata of another version
        if not isinstance(facts, Mapping) or facts.get("schema_version") != MetadataValidator.schema_version:
            continue
        if any(facts.get(kind) for kind in ("grade", "solution", "locked", "task")) and not grade_id(cell):
            yield f"{_name(number, cell)} has no grade_id: give it one, in the sidebar *Create Assignment*"
        points = facts.get("points")
        is_number = isinstance(points, (int, float)) and not isinstance(points, bool) and points >= 0
        if (facts.get("grade") or facts.get("task")) and not is_number:
            yield f"{_name(number, cell)} has points {points!r}: give it a number of at least 0"


def _marks(source: str, begin: str, end: str, *, counts: bool) -> str:
    """What is wrong with a pair of marks in a cell; empty if nothing is. A lone end ``counts`` in code only."""
    inside = False
    for line in source.split("\n"):
        if begin in line:
            if inside:
                return f"a second {begin!r} stands before {end!r}: add the line `### {end}` above it"
            inside = True
        elif end in line:
            if not inside and counts:
                return f"{end!r} stands without {begin!r}: add the line `### {begin}` above, or students get all of it"
            inside = False
    return f"{begin!r} stands without {end!r}: add the line `### {end}`" if inside else ""


def _automatic_tests(name: str, cell: NotebookNode, step: InstantiateTests, folders: tuple[Path, ...]) -> Iterator[str]:
    """Faults of the tests that nbgrader is to write by itself."""
    mark = step.autotest_delimiter
    if cell.cell_type != "code" or mark not in cell.source:
        return
    if not any((folder / step.autotest_filename).is_file() for folder in folders):
        yield (
            f"{name} has {mark}, for which nbgrader needs {step.autotest_filename}: put that file next to the notebook "
            "or into the course's folder, or write the test itself"
        )
    elif re.search(rf"^\s*#.*{re.escape(mark)}", cell.source, re.MULTILINE) and not is_grade(cell):
        yield f"{name} has {mark} but is not marked as autograder tests: mark it so"
