"""The report as GitHub Classroom's grading reporter takes it."""

import base64
import json

from handgrad.render.words import lecture_line, lines, one_line
from handgrad.report import Report, Verdict

__all__ = ["report_classroom"]


def report_classroom(report: Report) -> str:
    """The report as one line of Base64: the value that the reporter reads from ``HANDGRAD_RESULTS``.

    Inside is the JSON of Classroom's own graders: a status, the points to be had, and a test for each gradient. What
    was not graded has the status ``error``, the only way that the form has of saying so.
    """
    status = "error" if report.outcome != "graded" else "pass" if report.passed else "fail"
    tests = [_test(verdict) for verdict in report.checks]
    results = {"version": 1, "status": status, "max_score": report.max_score, "tests": tests}
    return base64.b64encode(json.dumps(results).encode()).decode() + "\n"


def _test(verdict: Verdict) -> dict[str, object]:
    return {
        "name": one_line(verdict.gradient),
        "status": "pass" if verdict.outcome == "passed" else "fail",
        "score": verdict.points,
        "message": "\n".join(filter(None, [lecture_line(verdict), *lines(verdict)])),
    }
