"""The report as JUnit XML, for continuous integration."""

import xml.etree.ElementTree as ET

from handgrad.render.words import headline, lecture_line, lines, number, one_line, sentence
from handgrad.report import Outcome, Report, Verdict

__all__ = ["report_junit"]

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
