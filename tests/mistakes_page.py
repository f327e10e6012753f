"""Write docs/mistakes.md: every known mistake, its text, and an example with the message to the student.

The texts come from the catalogue, the examples from ``tests/mistakes``, graded: ``python tests/mistakes_page.py``.
"""

import functools
import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import shortened
from nbformat import NotebookNode

from handgrad.authoring.cases import Case, read_cases
from handgrad.exercise.exercise import Exercise, kind_of
from handgrad.gradients.mistakes.catalogue import CATALOGUE
from handgrad.grading.grader import Grader
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mistakes.md"
SEED = 271828
FIRST = "backprop"
QUESTIONS = {
    "defined": "Is there an answer?",
    "tensor": "Is it a tensor?",
    "shape": "Has it the shape of its tensor?",
    "dtype": "Can its dtype hold the values?",
    "finite": "Is every entry finite?",
    "values": "Are the values right?",
    "moves": "Does a value that is not a gradient change as it should?",
}
HEAD = """# Known mistakes

The mistakes that handgrad recognises from the values of an answer, in the order in which they are tried; the first that
fits is reported. A mistake is reported only if it explains the values, up to the tolerance of the comparison, in the
pass with random upstream gradients, and if no other explanation of its kind does. If there is none, the message only
tells that the gradient is not right yet. No text gives the formula away. [marking.md](marking.md) explains how a
gradient is judged, and what was measured.

A check that fails in the student's own notebook gives the same text, based on the student's own upstream gradients.
What only random upstream gradients can show is left to the grader ([students.md](students.md)).

Every example is a folder of `tests/mistakes`. This page is written by `python tests/mistakes_page.py`; a test fails if
it is out of date.
"""


SHORTENED = "training"
"""The exercise that is shortened, because its visible pass takes long."""


def _exercise(name: str) -> Exercise:
    source = ROOT / "source" / name / f"{name}.ipynb"
    return shortened.exercise() if name == SHORTENED else Exercise.read(source)


def _solved(name: str) -> NotebookNode:
    """The instructor's notebook, with nbgrader's marks removed from the stubs."""
    if name == SHORTENED:
        return shortened.solved()
    notebook = read_notebook(ROOT / "source" / name / f"{name}.ipynb")
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("### "))
    return notebook


def examples(cases: Iterable[Case]) -> dict[str, tuple[Case, str]]:
    """For each mistake the case with the fewest and shortest cells, and its gradient; cases of ``FIRST`` come first."""
    best: dict[str, tuple[Case, str]] = {}
    for case in sorted(cases, key=_plainness):
        for gradient, slug in case.diagnoses.items():
            best.setdefault(slug, (case, gradient))
    return best


def _plainness(case: Case) -> tuple[bool, int, int, str]:
    return case.assignment != FIRST, len(case.cells), sum(map(len, case.cells.values())), case.name


def page() -> str:
    """The text of the page."""
    chosen = examples(read_cases(ROOT / "tests" / "mistakes"))
    parts, question = [HEAD], ""
    with ExitStack() as stack:

        @functools.cache
        def grader(name: str) -> Grader:
            return stack.enter_context(Grader(_exercise(name), [SEED], limits=Limits(cell_seconds=6.0)))

        for slug, mistake in sorted(CATALOGUE.items(), key=lambda item: [*QUESTIONS].index(item[1].question)):
            if mistake.question != question:
                question = mistake.question
                parts.append(f"## {QUESTIONS[question]}\n")
            case, gradient = chosen[slug]
            solution, exercise = _solved(case.assignment), grader(case.assignment).exercise
            report = grader(case.assignment).grade(Submission.of(case.notebook(solution, solution), exercise)).report
            verdict = next(check for check in report.checks if check.gradient == gradient)
            parts.append(_entry(slug, mistake.what, mistake.advice, case, verdict))
    return "\n".join(parts)


def _entry(slug: str, what: str, advice: str, case: Case, verdict: Verdict) -> str:
    assert verdict.diagnosis is not None
    cell = verdict.diagnosis.cell
    of = "" if case.assignment == FIRST else f" (of `{case.assignment}`)"
    shown = case.cells.get(cell) or case.cells.get(verdict.gradient) or next(iter(case.cells.values()))
    return "\n".join(
        [
            f"### `{slug}`\n",
            f"> {_slots(what)}\n>",
            f"> Try: {_slots(advice)}\n",
            f"For example, `{case.name}`{of}: {case.about}\n",
            f"```python\n{shown}\n```\n",
            f"`{verdict.gradient}`, {verdict.outcome}: {verdict.diagnosis.what}  ",
            f"Try{f', in the cell of {cell}' if cell != verdict.gradient else ''}: {verdict.diagnosis.advice}\n",
        ]
    )


def _slots(text: str) -> str:
    """A text with its template values in italics; those that may be empty are an ellipsis."""
    return re.sub(r"{(\w+)}", r"*\1*", re.sub(r"{(?:instead|how|line|where|size)}", " …", text))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
