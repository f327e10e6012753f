"""A roster as a csv of nbgrader, Canvas, Moodle or Gradescope: who is enrolled, and how each system knows them."""

import csv
from collections.abc import Mapping

from handgrad.course.files import csv_rows
from handgrad.course.people import RosterEntry
from handgrad.errors import CourseError
from handgrad.report.names import is_hidden, shown

__all__ = ["parse_roster"]

_COLUMNS = {
    "id": ("student_id", "sis login id", "login id", "username", "sis user id", "sid", "id number", "id"),
    "first_name": ("first_name", "first name", "given name"),
    "last_name": ("last_name", "last name", "surname", "family name"),
    "email": ("email", "email address", "e-mail", "e-mail address"),
    "lms_user_id": ("lms_user_id", "canvas user id", "moodle id"),
}
"""The headings of each field, in small letters; the first that a file has counts."""
_CANVAS = {"student", "id", "sis login id"}
"""Headings of Canvas's gradebook, whose ``ID`` is its own number, and whose names are "Lovelace, Ada"."""
_NO_STUDENTS = ("points possible", "student, test", "test student")
"""Names of lines of Canvas's that are no students."""


def parse_roster(content: bytes, where: str) -> dict[str, RosterEntry]:
    """The students of a csv by their ids.

    The id is the login or number of the file; of somebody without one, the e-mail address up to the @. ``where`` is the
    file's name in messages.

    Raises
    ------
    CourseError
        It is no csv in UTF-8, has no column of ids or addresses, or two lines have the same id.
    """
    try:
        rows = list(csv_rows(content.decode("utf-8-sig")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{where} is no csv in UTF-8 ({error}): save it as one.") from error
    found: dict[str, RosterEntry] = {}
    for line, row in enumerate(rows, 2):
        fields = {str(title).strip().casefold(): str(value or "").strip() for title, value in row.items()}
        if not any(name in fields for name in (*_COLUMNS["id"], *_COLUMNS["email"])):
            raise CourseError(
                f"{where} has no column of ids: name one of them id, and others first_name, last_name, email and "
                "lms_user_id."
            )
        student, entry = _student(fields)
        is_staff = fields.get("role", "student").casefold() not in ("", "student", "learner")
        if not student or is_staff or fields.get("student", "").casefold() in _NO_STUDENTS:
            continue
        if any(is_hidden(sign) for text in (student, *vars(entry).values()) for sign in text):
            raise CourseError(f"{where}, line {line}: {shown(student)} has an invisible character: type it again.")
        if student in found and found[student] != entry:
            raise CourseError(f"{where}, line {line}: {shown(student)} is there twice, with other facts.")
        found[student] = entry
    if not found:
        raise CourseError(f"{where} names no student.")
    return found


def _student(fields: Mapping[str, str]) -> tuple[str, RosterEntry]:
    """The id and the rest of a line."""

    def field(name: str, leave_out: str = "") -> str:
        titles = (title for title in _COLUMNS[name] if title != leave_out)
        return next((fields[title] for title in titles if fields.get(title)), "")

    email = field("email")
    if fields.keys() >= _CANVAS:
        last, _, first = fields["student"].partition(",")
        entry = RosterEntry(first.strip(), last.strip(), email, fields["id"])
        return field("id", leave_out="id") or fields["id"], entry
    entry = RosterEntry(field("first_name"), field("last_name"), email, field("lms_user_id"))
    return field("id") or email.partition("@")[0], entry
