"""A student who hands in again: the first report is kept, and compared with the present one."""

import json
from pathlib import Path

from handgrad.course.commands.class_page import write_class_page
from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import stored_reports
from helpers.courses import RIGHT, SLIP, UNTOUCHED, grade, hand_in, make_course


def test_the_first_report_is_compared(tmp_path: Path) -> None:
    """Page and JSON say what a resubmission changed; grading the same again changes nothing of it."""
    course = make_course(tmp_path, ann=SLIP, bob=RIGHT)
    grade(course)
    first = {report.student: report for report in stored_reports(course, "backprop")}
    hand_in(tmp_path, "ann", UNTOUCHED)
    grade(course)
    hand_in(tmp_path, "ann", RIGHT)
    grade(course)
    wrong = [check.gradient for check in first["ann"].checks if check.outcome != "passed"]
    sentence = f"first {first['ann'].score:g}, now 26; now right: {', '.join(wrong)}"
    grade(course, force=True)
    page = write_class_page(course, "backprop", stored_reports(course, "backprop")).read_text(encoding="utf-8")
    assert page.count("handed in again:") == 1
    assert f"handed in again: {sentence}" in page
    students = {row["student"]: row for row in json.loads(export(course, "backprop", "json").text)["students"]}
    assert [report["score"] for report in students["ann"]["earlier"]] == [first["ann"].score, 0]
    assert {name: row["resubmitted"] for name, row in students.items()} == {"ann": sentence, "bob": ""}
