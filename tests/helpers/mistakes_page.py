"""Write docs/reference/mistakes.md: every known mistake, its text, and an example with the message to the student.

The texts come from the catalogue, the examples from ``tests/cases/mistakes``, graded. In ``tests``:
``python -m helpers.mistakes_page``.
"""

import re
from collections.abc import Callable, Iterable

from handgrad.authoring.cases import Case, read_cases
from handgrad.gradients.mistakes.catalogue import CATALOGUE
from handgrad.report.records import Report, Verdict
from helpers.exercises import grade, warm_graders
from helpers.paths import MISTAKES, ROOT

PAGE = ROOT / "docs/reference/mistakes.md"
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

*Reference, for everybody.*

The mistakes that handgrad recognises from the values of an answer, in the order in which they are tried; the first that
fits is reported. A mistake is reported only if it explains the values, up to the tolerance of the comparison, in the
pass with random upstream gradients, and if no other explanation of its kind does. If there is none, the message only
tells that the gradient is not right yet. No text gives the formula away.
[How marking works](../why/marking.md) explains how a gradient is judged, and what was measured.

A check that fails in the student's own notebook gives the same text, based on the student's own upstream gradients.
What only random upstream gradients can show is left to the grader
([in the notebook](../student/feedback-in-the-notebook.md)).

Every example is a file in `tests/cases/mistakes`. This page is written by `python -m helpers.mistakes_page`, run in
`tests`; a test fails if it is out of date.
"""

NO_EXAMPLE = "No shipped exercise has such a step; `tests/cases/formulas` has examples."


def examples(cases: Iterable[Case]) -> dict[str, tuple[Case, str]]:
    """For each mistake the case with the fewest and shortest cells, and its gradient; cases of ``FIRST`` come first."""
    best: dict[str, tuple[Case, str]] = {}
    for case in sorted(cases, key=_plainness):
        for gradient, slug in case.diagnoses.items():
            best.setdefault(slug, (case, gradient))
    return best


def _plainness(case: Case) -> tuple[bool, int, int, str]:
    return case.assignment != FIRST, len(case.cells), sum(map(len, case.cells.values())), case.name


def page(report_on: Callable[[Case], Report]) -> str:
    """The text of the page; ``report_on`` grades a case."""
    found = examples(read_cases(MISTAKES))
    parts, question = [HEAD], ""
    for slug, mistake in sorted(CATALOGUE.items(), key=lambda item: [*QUESTIONS].index(item[1].question)):
        if mistake.question != question:
            question = mistake.question
            parts.append(f"## {QUESTIONS[question]}\n")
        if slug not in found:
            parts.append(_text(slug, mistake.what, mistake.advice) + f"\n{NO_EXAMPLE}\n")
            continue
        case, gradient = found[slug]
        verdict = next(verdict for verdict in report_on(case).checks if verdict.gradient == gradient)
        parts.append(_entry(slug, mistake.what, mistake.advice, case, verdict))
    return "\n".join(parts)


def _entry(slug: str, what: str, advice: str, case: Case, verdict: Verdict) -> str:
    assert verdict.diagnosis is not None
    cell = verdict.diagnosis.cell
    of = "" if case.assignment == FIRST else f" (of `{case.assignment}`)"
    shown = case.cells.get(cell) or case.cells.get(verdict.gradient) or next(iter(case.cells.values()))
    return "\n".join(
        [
            _text(slug, what, advice),
            f"For example, `{case.name}`{of}: {case.about}\n",
            f"```python\n{shown}\n```\n",
            f"`{verdict.gradient}`, {verdict.outcome}: {verdict.diagnosis.what}  ",
            f"Try{f', in the cell of {cell}' if cell != verdict.gradient else ''}: {verdict.diagnosis.advice}\n",
        ]
    )


def _text(slug: str, what: str, advice: str) -> str:
    return f"### `{slug}`\n\n> {_slots(what)}\n>\n> Try: {_slots(advice)}\n"


def _slots(text: str) -> str:
    """A text with its template values in italics; those that may be empty are an ellipsis."""
    return re.sub(r"{(\w+)}", r"*\1*", re.sub(r"{(?:instead|how|line|where|size|rest|words|sign)}", " …", text))


if __name__ == "__main__":
    with warm_graders() as graders:
        PAGE.write_text(page(lambda case: grade(case, graders(case.assignment))), encoding="utf-8")
