"""Moodle's grading worksheet: a csv with a line for each participant of one assignment, and when each handed in.

Moodle writes it in the language and the time zone of the instructor's profile; it is read in English.
"""

import csv
import io
import re
from contextlib import suppress
from datetime import datetime

from handgrad.course.participants import Participant

__all__ = ["parse_worksheet"]

IDENTIFIER, SUBMITTED = "Identifier", "Last modified (submission)"
"""The headings of the columns without which a csv is no worksheet."""
_NUMBER = re.compile(r"(\d+)\s*$", re.ASCII)
_FORMATS = (
    *("%A, %d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M", "%A, %B %d, %Y, %I:%M %p", "%A, %B %d, %Y, %H:%M"),
    *("%d %B %Y, %I:%M %p", "%d %B %Y, %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"),
)
"""The dates of Moodle in the English of several countries, and those that a spreadsheet may make of them.

Dates of digits alone are not among them: 10/6 is a day in June, or in October.
"""


def parse_worksheet(content: bytes) -> dict[str, Participant] | None:
    """The participants of a worksheet by their number; None if the csv is no worksheet in English."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # a spreadsheet on Windows has saved it
        text = content.decode("cp1252", "replace")
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return None
    if not rows or not {IDENTIFIER, SUBMITTED} <= rows[0].keys():
        return None
    found = (_participant({str(name): str(value or "").strip() for name, value in row.items()}) for row in rows)
    return {participant.number: participant for participant in found if participant}


def _participant(row: dict[str, str]) -> Participant | None:
    number = _NUMBER.search(row[IDENTIFIER])
    if number is None:
        return None
    date = row[SUBMITTED]
    return Participant(
        number[1],
        row.get("Full name", ""),
        row.get("ID number", ""),
        row.get("Email address", ""),
        row.get("Group", ""),
        _time(date),
        "" if date == "-" else date,
    )


def _time(text: str) -> datetime | None:
    # newer versions of Moodle write a narrow space that does not break before AM and PM
    plain = " ".join(text.split())
    for form in _FORMATS:
        with suppress(ValueError):
            return datetime.strptime(plain, form)
    return None
