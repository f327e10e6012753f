"""A class's scores for other tools: CSV, JSON, and the files that Canvas, Moodle and Gradescope import."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from typing import Any, Literal

from handgrad.report.class_summary import changed, is_earlier, resubmitted, score_of
from handgrad.report.formats import report_gradescope
from handgrad.report.names import is_hidden, printable
from handgrad.report.records import SCHEMA, AcceptedAnswer, Report, ScoreEntry

__all__ = ["EXPORTS", "ExportRow", "csv_text"]


@dataclass(frozen=True)
class ExportRow:
    """The exported data of one student; names, address and ``lms_user_id`` are empty if the gradebook has none."""

    student: str
    """The name that the student handed in under."""
    report: Report | None = None
    """The verdicts; None if only the gradebook knows of a submission."""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""
    grades: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """For each gradient, score and points in the gradebook: the manual score, or else the automatic one, plus extra
    credit. Empty if nothing was graded."""
    entry: ScoreEntry | None = None
    """The gradebook's score of the whole notebook; None if it has none."""
    needs_person: bool = False
    """Whether it needs manual review."""
    note: str = ""
    """What there is to know about the score; empty if nothing."""
    is_final: bool = True
    """Whether nothing of it waits for manual grading."""
    is_exempt: bool = False
    """Whether the student is exempt from the assignment: no score counts."""
    service: Literal["", "canvas", "moodle"] = ""
    """The service whose archive the submission is from; empty if no archive tells."""
    number: str = ""
    """The student's number in that archive; empty if no archive tells."""
    earlier: tuple[Report, ...] = ()
    """The reports that resubmissions have replaced, the oldest first."""
    accepted: tuple[AcceptedAnswer, ...] = ()
    """The student's lines of the log of accepted answers."""

    @property
    def score(self) -> float | None:
        """Points earned after the late penalty; None (not 0) if nothing was graded."""
        return None if self.is_exempt else score_of(self.report, self.entry)

    @property
    def penalty(self) -> float:
        """Points taken off for handing in late."""
        return self.entry.penalty if self.entry else 0.0

    @property
    def is_earlier(self) -> bool:
        """Whether the score is from an earlier hand-in: the last one could not be graded."""
        return not self.is_exempt and is_earlier(self.report, self.entry)

    @property
    def outcome(self) -> str:
        """The outcome of the submission, or ``exempt``."""
        if self.is_exempt:
            return "exempt"
        return self.report.outcome if self.report else "graded" if self.score is not None else "not-submitted"


_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NOT_ASCII = re.compile(r"[^ -~]")
_FORMULA = re.compile(r"(^|;)( *)(?=[=+@\-\uff1d\uff0b\uff20\uff0d])")
"""Where a formula begins: at the start of a field, or after a semicolon, which separates fields in many countries."""


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """The rows as CSV, each field on one line; none begins a spreadsheet's formula."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([[_field(value) for value in row] for row in rows])
    return text.getvalue()


def _field(text: str) -> str:
    """A field of a CSV file on one line, which no spreadsheet takes for a formula; numbers stay numbers.

    As OWASP advises (CSV injection), an apostrophe is put before a sign that begins a formula.
    """
    if _NUMBER.fullmatch(text):
        return text
    return _FORMULA.sub(r"\1\2'", printable(" ".join(text.splitlines())))


def _json(content: Any) -> str:
    """JSON on one line, in which hidden characters are escaped: it may be printed on a terminal."""
    return _NOT_ASCII.sub(_escaped, json.dumps(content, ensure_ascii=False))


def _escaped(sign: re.Match[str]) -> str:
    return json.dumps(sign[0])[1:-1] if is_hidden(sign[0]) else sign[0]


def _written(value: float | None) -> str:
    """Points for a file, up to ten digits; empty for None."""
    return "" if value is None else f"{value:.10g}"


def class_csv(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """A line for each student, a column for each gradient."""
    gradients = list(dict.fromkeys(name for row in students for name in row.grades))
    head = ["student", "first_name", "last_name", "email", "outcome", "score", "max_score", "late_penalty"]
    rows: list[list[str]] = [[*head, "needs_person", "message", *gradients]]
    for row in students:
        message = "; ".join(filter(None, (row.report.message if row.report else "", row.note)))
        rows.append(
            [
                *(row.student, row.first_name, row.last_name, row.email, row.outcome),
                *(_written(row.score), _written(points), _written(row.penalty)),
                *("yes" if row.needs_person else "no", message),
                *(_written(row.grades[name][0]) if name in row.grades else "" for name in gradients),
            ]
        )
    return csv_text(rows)


def class_json(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """All data of every student, with the reports; a line for each student."""

    def plain(row: ExportRow) -> dict[str, Any]:
        facts = {name: value for name, value in vars(row).items() if name != "entry"}
        return {
            **facts,
            "accepted": [asdict(answer) for answer in row.accepted],
            "outcome": row.outcome,
            "score": row.score,
            "penalty": row.penalty,
            "grades": {name: {"score": score, "points": most} for name, (score, most) in row.grades.items()},
            "report": row.report.to_dict() if row.report else None,
            "earlier": [replaced.to_dict() for replaced in row.earlier],
            "resubmitted": resubmitted(row.earlier[0], row.report) if row.earlier and row.report else "",
        }

    head = _json({"schema": SCHEMA, "assignment": assignment, "max_score": points})
    lines = ",\n".join(_json(plain(row)) for row in students)
    return f'{head[:-1]}, "students": [\n{lines}\n]}}\n'


def class_canvas(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """The columns of Canvas's gradebook import, with its row of possible points.

    ``ID`` is Canvas's own number: ``lms_user_id`` in nbgrader's gradebook, or else the number in Canvas's archive. A
    student without one is found by ``SIS Login ID``, the name that they handed in under. A student without a score has
    no line: Canvas offers to clear a score if its field is empty. ``EX`` is its word for a student who is exempt.
    """
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]]
    rows.append(["    Points Possible", "", "", "", "", _written(points)])
    for row in students:
        if row.score is None and not row.is_exempt:
            continue
        name = ", ".join(part for part in (row.last_name, row.first_name) if part) or row.student
        number = row.lms_user_id or (row.number if row.service == "canvas" else "")
        # a number that is all there is to a student is no login
        login = "" if row.service == "canvas" and row.student == row.number else row.student
        rows.append([name, number, "", login, "", "EX" if row.is_exempt else _written(row.score)])
    return csv_text(rows)


def class_moodle(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """Columns for Moodle's grade import, which maps them to ``useridnumber`` or ``useremail``, and to the grade item.

    A student without a score has no line: Moodle would replace an existing grade with an empty row.
    """
    rows = [["First name", "Last name", "ID number", "Email address", assignment]]
    for row in students:
        if row.score is not None:
            number = row.lms_user_id or row.student
            rows.append([row.first_name, row.last_name, number, row.email, _written(row.score)])
    return csv_text(rows)


def class_worksheet(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """Moodle's grading worksheet of one assignment, with the students of its archive.

    Moodle needs the English headings of the participant's number, the grade and the date of its last change. It ignores
    an empty grade.
    """
    rows = [["Identifier", "Full name", "Email address", "Grade", "Last modified (grade)"]]
    for row in students:
        if row.service == "moodle":
            name = " ".join(part for part in (row.first_name, row.last_name) if part)
            rows.append([f"Participant {row.number}", name, row.email, _written(row.score), ""])
    return csv_text(rows)


def class_gradescope(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """Gradescope's ``results.json`` of every student who has a report, by name, with the gradebook's scores."""
    lines = [f"{_json(row.student)}: {_json(_results(row, row.report))}" for row in students if row.report]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _results(row: ExportRow, report: Report) -> dict[str, Any]:
    """Gradescope's results of a student; what the score differs by from that of the tests is in ``output``."""
    results: dict[str, Any] = json.loads(report_gradescope(report))
    for test, verdict in zip(results.get("tests", ()), report.checks, strict=False):
        test["score"] = row.grades.get(verdict.gradient, (verdict.points, 0.0))[0]
    results.pop("score", None)
    if row.score is not None:
        results["score"] = row.score
    if change := changed(report, row.entry):
        results["output"] = f"{results['output']} {change[0].upper()}{change[1:]}."
    return results


EXPORTS: Mapping[str, Callable[[Sequence[ExportRow], str, float], str]] = {
    "csv": class_csv,
    "json": class_json,
    "canvas": class_canvas,
    "moodle": class_moodle,
    "moodle-worksheet": class_worksheet,
    "gradescope": class_gradescope,
}
"""The formats by name: functions of the rows, the assignment's name and its points."""
