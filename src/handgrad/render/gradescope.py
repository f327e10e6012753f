"""The report as Gradescope's ``results.json``."""

import json
from typing import Any

from handgrad.render.words import headline, lecture_line, lines, one_line
from handgrad.report import Report, Verdict

__all__ = ["report_gradescope"]


def report_gradescope(report: Report) -> str:
    """The report in the form of https://gradescope-autograders.readthedocs.io/en/latest/specs/.

    Gradescope takes a score at the top, or scores of the tests that it adds up. Both are given here: the tests show
    where the points come from, and the score at the top, which comes first there, is the report's. (The form has no
    maximum at the top; each test has its own.)

    A report that is ``not-graded`` has neither, on purpose: Gradescope then calls the run a failure of the autograder
    and keeps the submission without a score, where tests without points would add up to a zero. The reason stands in
    ``output``. Every text is of the format ``text``: nothing in it is rendered.
    """
    results: dict[str, Any] = {
        "output": headline(report) or f"Graded by handgrad {one_line(report.handgrad)}.",
        "output_format": "text",
        "execution_time": round(report.seconds, 3),
    }
    if report.outcome != "not-graded":
        results["score"] = report.score
        results["visibility"] = "visible"
        results["tests"] = [_test(verdict) for verdict in report.checks]
    return json.dumps(results, indent=2, allow_nan=False) + "\n"


def _test(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": one_line(verdict.gradient),
        "score": verdict.points,
        "max_score": verdict.max_points,
        "status": "passed" if verdict.outcome == "passed" else "failed",
        "output": "\n".join(filter(None, [lecture_line(verdict), *lines(verdict)])),
        "output_format": "text",
        "visibility": "visible",
    }
