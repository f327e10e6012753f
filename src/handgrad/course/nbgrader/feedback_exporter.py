"""Render a student's feedback page, for `handgrad grade` and for nbgrader's ``generate_feedback``."""

import functools
import html
import re
from collections.abc import Container, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import Exporter, HTMLExporter
from nbconvert.filters import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Number, Operator, String
from traitlets import Bool, Instance

from handgrad.course.nbgrader.sanitize import sanitize_comment
from handgrad.exercise.exercise import grade_id, is_exercise, kind_of
from handgrad.exercise.release_file import STUDENTS_PAGE
from handgrad.exercise.solution_marks import without_marks
from handgrad.notebook.text_limits import limited
from handgrad.report.check_output import comment
from handgrad.report.pages import Feedback, Piece, feedback_page
from handgrad.report.parts import headings
from handgrad.report.records import ForwardGraph, Report, Verdict

__all__ = ["NO_RESPONSE", "FeedbackExporter", "with_verdicts"]

FACTS = "handgrad"
"""Key of the autograded notebook's metadata with its report and the exercise's graph."""
_HEADING = re.compile(r"\s*#{1,6}\s+(.+)(?:\n\s*|$)")
_PICTURES = ("image/png", "image/jpeg")
MAX_HIGHLIGHTED = 50_000
"""Characters of the longest cell whose code is coloured, which takes a second for a megabyte."""
_COLOURS_OF_CODE = {"k": (Keyword, Operator.Word), "s": (String,), "m": (Number,), "c": (Comment,)}
"""The classes that the page colours, and their tokens; no other token of code has a tag."""
_TOKEN = re.compile(r'<span(?: class="([a-z])[a-z0-9]*")?>([^<]*)</span>')
"""A token of code in a text cell, by the first letter of its class."""
NO_RESPONSE = "No response."
"""nbgrader's comment on an unchanged stub."""


def with_verdicts(notebook: NotebookNode, report: Report, graph: ForwardGraph) -> None:
    """Put the report and the graph into the metadata of an autograded notebook, for its feedback page."""
    facts = replace(report, student="").to_dict()
    notebook.metadata[FACTS] = {"report": {**facts, "seconds": 0.0}, "graph": graph.to_dict()}


class FeedbackExporter(HTMLExporter):
    """Render an autograded handgrad exercise as a student's feedback page; any other notebook as nbgrader does."""

    with_solutions = Bool(False, help="Show the worked solution of what is not right: after the deadline.").tag(
        config=True
    )
    # a validation after each of nbconvert's dozen steps took half of the time of a page
    optimistic_validation = Bool(True, help="Validate the notebook once, after all steps.").tag(config=True)
    source = Instance(
        NotebookNode, allow_none=True, help="The instructor's notebook (default: read from the course's folder)."
    )

    def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """Convert an autograded notebook."""
        source = self.source or _source(self.parent, resources)
        if source is None or FACTS not in nb.metadata:
            return super().from_notebook_node(nb, resources, **kw)
        notebook, resources = Exporter.from_notebook_node(self, nb, resources, **kw)
        facts = notebook.metadata[FACTS]
        report = Report.from_dict(facts["report"])
        facts_of_student = resources["nbgrader"]
        verdicts = {verdict.gradient: verdict for verdict in report.checks}
        solutions = {}
        if self.with_solutions:
            solutions = {grade_id(cell): without_marks(cell.source) for cell in source.cells if kind_of(cell) == "stub"}
        given = {cell.source for cell in source.cells if not cell.metadata.get("nbgrader", {}).get("solution")}
        with limited():
            pieces = [self._piece(cell, verdicts, solutions, given) for cell in notebook.cells]
        page = Feedback(
            report=report,
            student=facts_of_student["student"],
            graph=ForwardGraph.from_dict(facts["graph"]),
            pieces=pieces,
            grades=_grades(notebook),
            penalty=facts_of_student["late_penalty"],
            name=_name(facts_of_student),
        )
        return feedback_page(page), resources

    def _piece(
        self,
        cell: NotebookNode,
        verdicts: Mapping[str, Verdict],
        solutions: Mapping[str, str],
        given: Container[str],
    ) -> Piece:
        kind, name = kind_of(cell), grade_id(cell)
        if kind in ("text", "free") and not cell.source.strip():
            return Piece("nothing")
        if kind in ("text", "locked") and cell.source in given and not _failed(cell):
            # the student's notebook has it too
            heading = headings([(kind == "text", "here", cell.source)])["here"]
            return Piece("heading" if heading else "nothing", head=heading)
        if kind == "text":
            return _text(cell)
        if kind == "check":
            gradient = name.removeprefix("check_")
            is_open = gradient in verdicts and verdicts[gradient].outcome != "passed"
            return Piece("check", gradient, solution=_code(solutions[gradient]) if is_open and solutions else "")
        code, outputs = _code(cell.source), "".join(map(_output, cell.outputs))
        if kind == "locked":
            return Piece("locked", name, body=code, outputs=outputs)
        if kind == "stub":
            return Piece("answer", name, body=code, outputs=outputs, remark=_remark(cell, verdicts.get(name)))
        return Piece("code", name, body=code, outputs=outputs)


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def _source(converter: Any, resources: Any) -> NotebookNode | None:
    """The instructor's notebook in the course's folder; None if it is not a handgrad exercise."""
    ids = resources["nbgrader"]
    course = converter.coursedir
    folder = Path(course.format_path(course.source_directory, ".", ids["assignment"]))
    path = folder / f"{ids['notebook']}.ipynb"
    notebook = nbformat.read(path, as_version=4) if path.is_file() else None
    return notebook if notebook is not None and is_exercise(notebook) else None


def _name(ids: Mapping[str, Any]) -> str:
    """The student's name in the gradebook, which nbgrader's own command does not pass on; empty if it has none."""
    if "name" in ids or not ids["db_url"]:
        return str(ids.get("name", ""))
    with Gradebook(ids["db_url"]) as gradebook:
        student = gradebook.find_student(ids["student"])
        return " ".join(filter(None, (student.first_name, student.last_name)))


def _grades(notebook: NotebookNode) -> dict[str, tuple[float, float]]:
    """Score and points of each graded cell, which nbgrader's ``GetGrades`` has put into its metadata."""
    cells = {grade_id(cell): cell.metadata.nbgrader for cell in notebook.cells if grade_id(cell)}
    return {name: (facts["score"] or 0.0, facts["points"]) for name, facts in cells.items() if "score" in facts}


def _remark(cell: NotebookNode, verdict: Verdict | None) -> str:
    """The instructor's comment on an answer, as HTML; the grader's own comment is in the card."""
    text = cell.metadata.nbgrader.get("comment") or ""
    ours = sanitize_comment(comment(verdict)) if verdict else ""
    return "" if text in ("", NO_RESPONSE, ours) else _markdown(html.escape(text, quote=False))


def _text(cell: NotebookNode) -> Piece:
    """A text cell; a heading at its start becomes the head of a fold."""
    if cell.cell_type == "raw":
        return Piece("text", body=f"<pre>{html.escape(cell.source)}</pre>")
    heading = _HEADING.match(cell.source)
    rest = cell.source[heading.end() :] if heading else cell.source
    # the page for students is beside their notebook, not beside this page
    rest = rest.replace(f"[{STUDENTS_PAGE}]({STUDENTS_PAGE})", f"`{STUDENTS_PAGE}`")
    attached = cell.get("attachments")
    body = _markdown_with(rest, attached) if attached else _markdown(rest)
    return Piece("text", head=heading[1].strip().replace("`", "") if heading else "", body=body)


def _markdown_with(source: str, attached: Any) -> str:
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True, attachments=attached)
    return _TOKEN.sub(_coloured, MarkdownWithMath(renderer=renderer).render(source))


def _coloured(token: re.Match[str]) -> str:
    return f'<span class="{token[1]}">{token[2]}</span>' if token[1] in _COLOURS_OF_CODE else token[2]


@functools.lru_cache(maxsize=512)
def _markdown(source: str) -> str:
    """Markdown as HTML; cached, since the instructor's texts are the same for all students."""
    return _markdown_with(source, {})


@functools.lru_cache(maxsize=512)
def _code(source: str) -> str:
    """Code in colours; the tokens of one colour are in one tag."""
    if len(source) > MAX_HIGHLIGHTED:
        return f"<pre>{html.escape(source)}</pre>"
    shown = ""
    for name, run in groupby(PythonLexer().get_tokens(source), lambda token: _colour(token[0])):
        text = html.escape("".join(text for _, text in run), quote=False)
        shown += f'<span class="{name}">{text}</span>' if name else text
    return f"<pre>{shown.rstrip()}</pre>"


@functools.cache
def _colour(kind: Any) -> str:
    """The class of a kind of token; empty for one without a colour."""
    return next((name for name, kinds in _COLOURS_OF_CODE.items() if any(kind in known for known in kinds)), "")


_COLOURS = re.compile(r'<span(?: class="[^"]*")?(?: style="([^"]*)")?>([^<]*)</span>')
"""The tags that ``ansi2html`` writes, with the style and the text of each; the page has no colour for their classes."""


def _output(output: Mapping[str, Any]) -> str:
    """One output of a cell as HTML; the autograded notebook has been sanitized."""
    kind, focus = output["output_type"], ""
    if kind == "stream":
        shown = _printed(output["text"])
    elif kind == "error":
        shown = _printed("\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}")
    else:
        shown = _shown(output["data"])
        # a table may be wider than the page: the keyboard can move it if it can be focused
        focus = ' tabindex="0" role="group" aria-label="output"'
    return f'\n<div class="output"{focus}>{shown}</div>'


def _printed(text: str) -> str:
    """Text with a terminal's colours, mixed with the page's own: they were chosen for another background."""
    return f"<pre>{_COLOURS.sub(_legible, ansi2html(text))}</pre>"


def _legible(tag: re.Match[str]) -> str:
    colour = re.search(r"(?<!-)color: (rgb\([0-9,]+\))", tag[1] or "")
    if not colour:
        return tag[2]
    return f'<span style="color: color-mix(in srgb, {colour[1]} 35%, var(--ink))">{tag[2]}</span>'


def _shown(data: Mapping[str, str]) -> str:
    """A result in its richest format."""
    if "text/html" in data:
        return data["text/html"]
    for kind in _PICTURES:
        if kind in data:
            picture = "".join(html.escape(data[kind]).split())
            alternative = html.escape(data.get("text/plain", "a picture"))
            return f'<img alt="{alternative}" src="data:{kind};base64,{picture}">'
    if "text/markdown" in data:
        return _markdown(data["text/markdown"])
    return _printed(data.get("text/latex") or data.get("text/plain", ""))
