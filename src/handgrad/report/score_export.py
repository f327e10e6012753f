"""A class's scores for other tools: plain CSV, JSON, and what Canvas, Moodle and Gradescope take."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from typing import Any, Literal

from handgrad.report.formats import report_gradescope
from handgrad.report.records import SCHEMA, Report

__all__ = ["EXPORTS", "ExportRow"]


@dataclass(frozen=True)
class ExportRow:
    """What is exported of one student.

    Attributes
    ----------
    student
        The name under which the student handed in.
    report
        The verdicts; None where the gradebook alone knows of a submission.
    first_name, last_name, email, lms_user_id
        As the gradebook has them; empty where it does not.
    grades
        For each gradient, score and points in the gradebook: a person's score before ours. Empty where nothing was
        graded.
    penalty
        Points taken off for handing in late.
    needs_person
        Whether a person has to look at it.
    service
        Whose number the student's name is, where the archive tells from which it came: ``canvas`` or ``moodle``.
    """

    student: str
    report: Report | None = None
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""
    grades: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    penalty: float = 0.0
    needs_person: bool = False
    service: Literal["", "canvas", "moodle"] = ""

    @property
    def score(self) -> float | None:
        """Points earned, the late penalty taken off; None where nothing was graded, which is no zero."""
        if not self.grades:
            return None
        return max(0.0, sum(score for score, _ in self.grades.values()) - self.penalty)

    @property
    def outcome(self) -> str:
        """What became of the submission."""
        return self.report.outcome if self.report else "graded" if self.grades else "not-submitted"


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _written(value: float | None) -> str:
    """Points for a file: as many digits as there are, empty where there are none."""
    return "" if value is None else f"{value:.10g}"


def _gradients(students: Sequence[ExportRow]) -> list[str]:
    """Every gradient that a row has, in the order of the exercise."""
    return list(dict.fromkeys(name for row in students for name in row.grades))


def class_csv(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """A line for each student, a column for each gradient."""
    gradients = _gradients(students)
    head = ["student", "first_name", "last_name", "email", "outcome", "score", "max_score", "late_penalty"]
    rows: list[list[str]] = [[*head, "needs_person", "message", *gradients]]
    for one in students:
        message = one.report.message if one.report else ""
        rows.append(
            [
                *(one.student, one.first_name, one.last_name, one.email, one.outcome),
                *(_written(one.score), _written(points), _written(one.penalty)),
                *("yes" if one.needs_person else "no", message),
                *(_written(one.grades[name][0]) if name in one.grades else "" for name in gradients),
            ]
        )
    return _csv(rows)


def class_json(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """Everything that is known of every student, reports included."""

    def plain(one: ExportRow) -> dict[str, Any]:
        facts = asdict(one)
        grades = {name: {"score": score, "points": most} for name, (score, most) in one.grades.items()}
        report = one.report.to_dict() if one.report else None
        return {**facts, "score": one.score, "grades": grades, "report": report}

    content = {
        "schema": SCHEMA,
        "assignment": assignment,
        "max_score": points,
        "students": [plain(e) for e in students],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def class_canvas(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """The columns of Canvas's gradebook import, with the row of possible points that it exports itself.

    ``ID`` is Canvas's own number: ``lms_user_id`` in nbgrader's gradebook, or else the number in Canvas's archive. A
    student without one is found by ``SIS Login ID``, the name under which they handed in. Nothing graded is an empty
    field, which Canvas leaves alone.
    """
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]]
    rows.append(["    Points Possible", "", "", "", "", _written(points)])
    for one in students:
        name = ", ".join(part for part in (one.last_name, one.first_name) if part) or one.student
        number, login = ("", one.student) if one.service != "canvas" else (one.student, "")
        rows.append([name, one.lms_user_id or number, "", login, "", _written(one.score)])
    return _csv(rows)


def class_moodle(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """Columns that Moodle's grade import maps: to ``useridnumber`` or ``useremail``, and to the grade item.

    A student without a score has no line: Moodle would write an empty grade over what is there.
    """
    rows = [["First name", "Last name", "ID number", "Email address", assignment]]
    for one in students:
        if one.score is not None:
            number = one.lms_user_id or one.student
            rows.append([one.first_name, one.last_name, number, one.email, _written(one.score)])
    return _csv(rows)


def class_worksheet(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """The grading worksheet of one assignment in Moodle, with those whom its archive named.

    Moodle looks for the headings, in English, of the participant's number, the grade and the day of its last change,
    and passes over an empty grade.
    """
    rows = [["Identifier", "Full name", "Email address", "Grade", "Last modified (grade)"]]
    for one in students:
        if one.service == "moodle":
            name = " ".join(part for part in (one.first_name, one.last_name) if part)
            rows.append([f"Participant {one.student}", name, one.email, _written(one.score), ""])
    return _csv(rows)


def class_gradescope(students: Sequence[ExportRow], assignment: str, points: float) -> str:
    """Gradescope's ``results.json`` of every student who has a report, by name."""
    results = {one.student: json.loads(report_gradescope(one.report)) for one in students if one.report}
    return json.dumps(results, indent=2, ensure_ascii=False) + "\n"


EXPORTS: Mapping[str, Callable[[Sequence[ExportRow], str, float], str]] = {
    "csv": class_csv,
    "json": class_json,
    "canvas": class_canvas,
    "moodle": class_moodle,
    "moodle-worksheet": class_worksheet,
    "gradescope": class_gradescope,
}
"""The formats by name: functions of the rows, the assignment's name and its points."""
