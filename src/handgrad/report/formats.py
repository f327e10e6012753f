"""A report for other programs: JSON (the contract), JUnit XML, Gradescope's and GitHub Classroom's JSON."""

import base64
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Any

from handgrad.report.records import Outcome, Report, Verdict
from handgrad.report.wording import headline, lecture_line, lines, number, one_line, sentence

__all__ = ["FORMATS", "report_classroom", "report_gradescope", "report_json", "report_junit"]


def report_json(report: Report) -> str:
    """Schema 1, in ASCII, so that no name and no message can be one that a file cannot hold.

    Raises
    ------
    ValueError
        A number is NaN or infinite: JSON has no such numbers.
    """
    return json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"


_FAILURES: tuple[Outcome, ...] = ("failed", "partial", "missing")


def report_junit(report: Report) -> str:
    """One test suite, one test case for each gradient.

    ``failed``, ``partial`` and ``missing`` are failures; what raised or did not come to its end is an error. A report
    that is not ``graded`` gets one test case more, under the notebook's name, so that it never looks like a success.
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
    # ASCII with character references: right in whatever encoding the file is written
    return '<?xml version="1.0"?>\n' + ET.tostring(suites).decode("ascii") + "\n"


def _case(suite: ET.Element, report: Report, name: str) -> ET.Element:
    classname = f"{one_line(report.assignment)}.{one_line(report.notebook)}"
    return ET.SubElement(suite, "testcase", classname=classname, name=one_line(name))


def _add_verdict(case: ET.Element, verdict: Verdict) -> None:
    told = "\n".join(filter(None, [lecture_line(verdict), *lines(verdict)]))
    if verdict.outcome == "passed":
        if told:
            ET.SubElement(case, "system-out").text = told
        return
    kind = "failure" if verdict.outcome in _FAILURES else "error"
    element = ET.SubElement(case, kind, type=verdict.outcome, message=one_line(sentence(verdict)))
    element.text = told


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
        results["tests"] = [_gradescope_test(verdict) for verdict in report.checks]
    return json.dumps(results, indent=2, allow_nan=False) + "\n"


def _gradescope_test(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": one_line(verdict.gradient),
        "score": verdict.points,
        "max_score": verdict.max_points,
        "status": "passed" if verdict.outcome == "passed" else "failed",
        "output": "\n".join(filter(None, [lecture_line(verdict), *lines(verdict)])),
        "output_format": "text",
        "visibility": "visible",
    }


def report_classroom(report: Report) -> str:
    """The report as one line of Base64: the value that the reporter reads from ``HANDGRAD_RESULTS``.

    Inside is the JSON of Classroom's own graders: a status, the points to be had, and a test for each gradient. What
    was not graded has the status ``error``, the only way that the form has of saying so.
    """
    status = "error" if report.outcome != "graded" else "pass" if report.passed else "fail"
    tests = [_classroom_test(verdict) for verdict in report.checks]
    results = {"version": 1, "status": status, "max_score": report.max_score, "tests": tests}
    return base64.b64encode(json.dumps(results).encode()).decode() + "\n"


def _classroom_test(verdict: Verdict) -> dict[str, object]:
    return {
        "name": one_line(verdict.gradient),
        "status": "pass" if verdict.outcome == "passed" else "fail",
        "score": verdict.points,
        "message": "\n".join(filter(None, [lecture_line(verdict), *lines(verdict)])),
    }


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "json": report_json,
    "junit": report_junit,
    "gradescope": report_gradescope,
    "classroom": report_classroom,
}
"""The formats by name."""
