"""Write the page of a class: its reports, with data from the gradebook, the exercise and the students' notebooks."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from handgrad.course.commands.anonymize import anonymous
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.folders import Folders
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference, forward_graph
from handgrad.report.class_summary import CommonMistake, Example, find_common_mistakes
from handgrad.report.pages import ClassContext, Links, class_page
from handgrad.report.records import ForwardGraph, Report

__all__ = ["write_class_page"]

LOOKED_INTO = 40
"""Largest number of notebooks read for the examples of one mistake."""
EXAMPLES = 2


def write_class_page(course: Course, assignment: str, reports: Sequence[Report], output: Path | None = None) -> Path:
    """Write the page of a class (default: ``report.html`` in the course) and return its path.

    Scores come from the gradebook, the graph from the current instructor's notebook.

    Raises
    ------
    CourseError
        The page cannot be written, or the gradebook cannot be read.
    """
    path = (output or course.root / "report.html").resolve()
    folders = Folders(course, assignment)
    known = scores.names(course, assignment)
    context = ClassContext(
        graph=_graph(course.exercise(assignment)),
        entries=scores.entries(course, assignment),
        examples=_examples(folders, find_common_mistakes(reports), known),
        links={report.student: _links(folders, report.student, path.parent) for report in reports},
    )
    write_text(path, class_page(reports, assignment, context))
    return path


def _graph(exercise: Exercise) -> ForwardGraph | None:
    """The exercise's forward graph; None if its notebook does not run any more, which leaves the reports valid."""
    try:
        return forward_graph(Reference.of(exercise, {}))
    except ExerciseError:
        return None


def _links(folders: Folders, student: str, start: Path) -> Links:
    """Links to a student's files, relative to the folder ``start``."""

    def link(path: Path) -> str:
        return quote(os.fsencode(os.path.relpath(path, start))) if path.is_file() else ""

    return Links(link(folders.autograded(student)), link(folders.feedback(student)))


def _examples(
    folders: Folders, mistakes: Sequence[CommonMistake], names: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], tuple[Example, ...]]:
    """For each mistake the most frequent cells of its students, anonymized."""
    cells = lru_cache(maxsize=None)(lambda student: _cells(folders.autograded(student)))
    examples = {}
    for mistake in mistakes:
        written: Counter[str] = Counter()
        for student in mistake.students[:LOOKED_INTO]:
            sources = cells(student)
            source = sources.get(mistake.cell, sources.get(mistake.gradient, ""))
            if code := anonymous(source, (student, *names.get(student, ()))):
                written[code] += 1
        examples[mistake.mistake, mistake.gradient] = tuple(Example(*pair) for pair in written.most_common(EXAMPLES))
    return examples


def _cells(path: Path) -> dict[str, str]:
    """The sources of an autograded notebook's cells by grade_id; empty if there is no notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):
        return {}
    return {cell["metadata"].get("nbgrader", {}).get("grade_id", ""): _source(cell) for cell in cells}


def _source(cell: Mapping[str, str | list[str]]) -> str:
    return "".join(cell["source"])
