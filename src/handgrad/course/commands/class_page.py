"""Write the page of a class: its reports, with data from the gradebook, the exercise and the students' notebooks."""

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from handgrad.course.commands.class_list import ClassList, class_list
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.roster import people
from handgrad.course.people import RosterEntry
from handgrad.course.report_store import ReportStore
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.grading.code_digest import bytes_digest
from handgrad.report.anonymity import without_names
from handgrad.report.class_summary import CommonMistake, Example, find_common_mistakes
from handgrad.report.pages import ClassContext, Links, class_page
from handgrad.report.records import ForwardGraph, Report

__all__ = ["anonymous", "link_from", "write_class_page"]

LOOKED_INTO = 40
"""Largest number of notebooks read for the examples of one mistake."""
EXAMPLES = 2
LONGEST = 1200
"""Largest number of characters of an example: a longer cell may identify its author."""
_SUBSCRIPTS = re.compile(r"[a-zA-Z. ]{0,6}(,[a-zA-Z. ]{0,6})*->[a-zA-Z. ]{0,6}")
"""Subscripts of einsum, the only strings that a formula needs."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
PARSED = 20_000
"""Largest number of characters of a cell that is looked at for an example: parsing it must cost nothing."""
SHORTEST = 3
"""Smallest number of letters of an identifying word; shorter ones are in every cell."""


def write_class_page(
    course: Course,
    assignment: str,
    reports: Sequence[Report],
    output: Path | None = None,
    *,
    listed: ClassList | None = None,
    with_names: bool = True,
) -> Path:
    """Write the page of a class (default: ``report.html`` in the course) and return its path.

    Scores and names come from the gradebook (``listed``, if the class is known already), the graph from the current
    instructor's notebook. Without names the page is for showing in class (default: ``report-without-names.html``).

    Raises
    ------
    CourseError
        The page cannot be written, or the gradebook cannot be read.
    """
    path = (output or course.root / ("report.html" if with_names else "report-without-names.html")).resolve()
    folders = Folders(course, assignment)
    roster, listed = people(course, assignment).roster, listed or class_list(course, assignment)
    store = ReportStore.of(course)
    context = ClassContext(
        graph=_graph(course, course.exercise(assignment)),
        entries=scores.entries(course, assignment),
        examples=_examples(folders, find_common_mistakes(reports), roster),
        links={report.student: _links(folders, report.student, path.parent) for report in reports},
        names=listed.names,
        absent=listed.absent,
        unmatched=listed.unmatched,
        first={student: replaced[0] for student, replaced in store.replaced(assignment).items()},
        accepted=store.accepted(assignment),
    )
    if not with_names:
        identifying = [text for student, entry in roster.items() for text in (student, *vars(entry).values())]
        reports, context = without_names(reports, context, identifying)
    write_text(path, class_page(reports, assignment, context), mode=course.file_mode)
    return path


def _graph(course: Course, exercise: Exercise) -> ForwardGraph | None:
    """The exercise's forward graph; None if its notebook does not run any more, which leaves the reports valid.

    It is kept in the private folder: without it, torch is imported and the notebook's locked cells are run.
    """
    name, state = f"graphs/{exercise.name}.json", f"{exercise.digest} {bytes_digest()}"
    if (found := course.kept(name, state)) is not None:
        return ForwardGraph.from_dict(found)
    from handgrad.exercise.reference import Reference, forward_graph  # noqa: PLC0415 - it imports torch

    try:
        graph = forward_graph(Reference.of(exercise, {}))
    except ExerciseError:
        return None
    course.keep(name, state, graph.to_dict())
    return graph


def _links(folders: Folders, student: str, start: Path) -> Links:
    """Links to a student's files, relative to the folder ``start``."""
    return Links(link_from(start, folders.autograded(student)), link_from(start, folders.feedback(student)))


def link_from(start: Path, path: Path) -> str:
    """The link to a file from a page in the folder ``start``; empty if there is no file."""
    return quote(os.fsencode(os.path.relpath(path, start))) if path.is_file() else ""


def _examples(
    folders: Folders, mistakes: Sequence[CommonMistake], roster: Mapping[str, RosterEntry]
) -> dict[tuple[str, str], tuple[Example, ...]]:
    """For each mistake the most frequent cells of its students, anonymized."""
    cells = lru_cache(maxsize=None)(lambda student: _cells(folders.autograded(student)))
    examples = {}
    for mistake in mistakes:
        written: Counter[str] = Counter()
        for student in mistake.students[:LOOKED_INTO]:
            sources = cells(student)
            source = sources.get(mistake.cell, sources.get(mistake.gradient, ""))
            entry = roster.get(student, RosterEntry())
            if code := anonymous(source, (student, entry.first_name, entry.last_name, entry.email)):
                written[code] += 1
        examples[mistake.mistake, mistake.gradient] = tuple(Example(*pair) for pair in written.most_common(EXAMPLES))
    return examples


def _cells(path: Path) -> dict[str, str]:
    """The sources of an autograded notebook's cells by grade_id; empty if there is no notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):
        return {}
    return {cell["metadata"].get("nbgrader", {}).get("grade_id", ""): "".join(cell["source"]) for cell in cells}


class _WithoutTexts(ast.NodeTransformer):
    """Replaces strings by ``…``, and removes strings that are statements."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str | bytes):
            return None
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_formula = isinstance(node.value, str) and _SUBSCRIPTS.fullmatch(node.value)
        if isinstance(node.value, str | bytes) and not is_formula:
            return ast.Constant("…")
        return node


def anonymous(source: str, identifying: Collection[str] = ()) -> str | None:
    """The code of a cell without comments, strings and layout; None if it cannot be shown to others.

    Cells that differ in these only give the same result. ``identifying`` are a student's names, id and e-mail address:
    code that contains one of their words is not shown.
    """
    if len(source) > PARSED:
        return None
    try:
        tree = _WithoutTexts().visit(ast.parse(source))
        code = ast.unparse(ast.fix_missing_locations(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    # the texts, and the words and numbers in them
    words = {part.casefold() for text in identifying for part in (text, *_WORD.findall(text)) if len(part) >= SHORTEST}
    if not code or len(code) > LONGEST or any(word in code.casefold() for word in words):
        return None
    return code
