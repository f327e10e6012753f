"""A report for other programs: JSON (schema 1), JUnit XML, and the JSON of Gradescope and Classroom 50."""

import json
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from handgrad.report.records import Outcome, Report, Verdict
from handgrad.report.wording import headline, lecture_line, lines, number, one_line, sentence

__all__ = ["FORMATS", "report_classroom50", "report_gradescope", "report_json", "report_junit"]


def report_json(report: Report) -> str:
    """The report as JSON (schema 1), in ASCII, so that it can be written in any encoding.

    Raises
    ------
    ValueError
        A number is NaN or infinite, which JSON does not have.
    """
    return json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"


_FAILURES: tuple[Outcome, ...] = ("failed", "partial", "missing")


def report_junit(report: Report) -> str:
    """One test suite, one test case for each gradient.

    ``failed``, ``partial`` and ``missing`` are failures; a cell that raised or did not finish is an error. A report
    that is not ``graded`` gets one more test case, under the notebook's name, so that it never looks like a success.
    """
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", name=one_line(report.assignment))
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("handgrad", report.handgrad),
        ("isolation", report.isolation),
        ("student", report.student),
        ("outcome", report.outcome),
        *((("score", number(report.score)), ("max_score", number(report.max_score))) * (report.outcome == "graded")),
    ):
        ET.SubElement(properties, "property", name=name, value=one_line(value))
    if report.outcome != "graded":
        case = _case(suite, report, report.notebook)
        kind = "failure" if report.outcome == "not-submitted" else "error"
        ET.SubElement(case, kind, type=report.outcome, message=one_line(headline(report)))
    for verdict in report.checks:
        _add_verdict(_case(suite, report, verdict.gradient), verdict)
    totals = {
        "tests": str(len(suite.findall("testcase"))),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": str(len(suite.findall("testcase/error"))),
        "skipped": "0",
        "time": f"{report.seconds:.3f}",
    }
    for element in (suites, suite):
        element.attrib.update(totals)
    ET.indent(suites)
    # ASCII with character references can be written in any encoding
    return '<?xml version="1.0"?>\n' + ET.tostring(suites).decode("ascii") + "\n"


def _case(suite: ET.Element, report: Report, name: str) -> ET.Element:
    classname = f"{one_line(report.assignment)}.{one_line(report.notebook)}"
    return ET.SubElement(suite, "testcase", classname=classname, name=one_line(name))


def _add_verdict(case: ET.Element, verdict: Verdict) -> None:
    text = _text(verdict)
    if verdict.outcome == "passed":
        if text:
            ET.SubElement(case, "system-out").text = text
        return
    kind = "failure" if verdict.outcome in _FAILURES else "error"
    element = ET.SubElement(case, kind, type=verdict.outcome, message=one_line(sentence(verdict)))
    element.text = text


def _text(verdict: Verdict) -> str:
    return "\n".join(filter(None, [lecture_line(verdict), *lines(verdict)]))


def report_gradescope(report: Report) -> str:
    """The report in the form of https://gradescope-autograders.readthedocs.io/en/latest/specs/.

    Gradescope uses the score at the top level if there is one, or else the sum of the tests. Both are given: the tests
    show where the points come from. (There is no maximum at the top level; each test has its own.)

    A ``not-graded`` report has neither, on purpose: Gradescope then reports a failure of the autograder and keeps the
    submission without a score, while tests without points would add up to zero. The reason is in ``output``. All texts
    have the format ``text``, so that nothing in them is rendered.
    """
    results: dict[str, Any] = {
        "output": headline(report) or f"Graded by handgrad {one_line(report.handgrad)}.",
        "output_format": "text",
        "execution_time": round(report.seconds, 3),
    }
    if report.outcome != "not-graded":
        results["score"] = report.score
        results["visibility"] = "visible"
        results["tests"] = [
            {
                "name": one_line(verdict.gradient),
                "score": verdict.points,
                "max_score": verdict.max_points,
                "status": "passed" if verdict.outcome == "passed" else "failed",
                "output": _text(verdict),
                "output_format": "text",
                "visibility": "visible",
            }
            for verdict in report.checks
        ]
    return json.dumps(results, indent=2, allow_nan=False) + "\n"


_CLASSROOM50 = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
    "review": "REVIEW_URL",
}
"""Fields of a result for Classroom 50, and the variables in which its runner gives them."""
_DOUBLED = 2
"""What points are multiplied with for Classroom 50, which takes whole ones: partial credit is half a point."""


def report_classroom50(report: Report, given: Mapping[str, str] = os.environ) -> str:
    """The ``result.json`` of an autograder of Classroom 50: its schema ``classroom50/result/v1``.

    Its points are whole numbers. So all points are doubled, also those of a student without partial credit, and
    ``message`` of each test, a field of our own, has the points as they are. What is not whole then is rounded.

    Which submission it is stands in the variables that its runner sets. The runner itself adds the owner, and writes
    the time of the submission.

    Raises
    ------
    ValueError
        The report is not ``graded``: nothing in the schema says so, and no tests would be a success. Or a variable is
        missing.
    """
    if report.outcome != "graded":
        raise ValueError(headline(report))
    given = {"REVIEW_URL": given.get("COMMIT_URL", ""), **given}
    if missing := [name for name in _CLASSROOM50.values() if not given.get(name)]:
        raise ValueError(
            f"the format classroom50 is for the runner of Classroom 50, which sets {', '.join(missing)}: "
            "elsewhere, choose another --format."
        )
    tests: list[dict[str, Any]] = [
        {
            "test-name": one_line(verdict.gradient),
            "passed": verdict.outcome == "passed",
            "score": _whole(verdict.points),
            "max-score": _whole(verdict.max_points),
            "message": f"{number(verdict.points)} of {number(verdict.max_points)} points; {_text(verdict)}",
        }
        for verdict in report.checks
    ]
    results = {
        "schema": "classroom50/result/v1",
        **{name: given[variable] for name, variable in _CLASSROOM50.items()},
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }
    return json.dumps(results, indent=2, allow_nan=False) + "\n"


def _whole(points: float) -> int:
    return math.floor(_DOUBLED * points + 0.5)


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "json": report_json,
    "junit": report_junit,
    "gradescope": report_gradescope,
    "classroom50": report_classroom50,
}
"""The formats by name."""
