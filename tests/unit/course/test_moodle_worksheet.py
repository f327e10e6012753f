"""Moodle's grading worksheet."""

import csv
import io
from datetime import datetime

from handgrad.course.moodle_worksheet import parse_worksheet
from handgrad.course.participants import Participant
from helpers.inputs import named

HEADINGS = ("Identifier", "Full name", "Email address", "Group", "Last modified (submission)", "Grade")


def worksheet(*rows: tuple[str, ...], delimiter: str = ",") -> str:
    """A worksheet with these lines."""
    held = io.StringIO()
    csv.writer(held, delimiter=delimiter).writerows([HEADINGS, *rows])
    return held.getvalue()


def test_dates() -> None:
    """Dates in the English of several countries are read; other languages, and digits alone, are not guessed at."""
    afternoon, morning = datetime(2026, 6, 10, 14, 14), datetime(2026, 6, 10, 0, 5)
    for text, time in {
        "Wednesday, 10 June 2026, 2:14 PM": afternoon,
        "Wednesday, June 10, 2026, 2:14\u202fPM": afternoon,
        "Wednesday, 10 June 2026, 12:05 AM": morning,
        "Wednesday, 10 June 2026, 14:14": afternoon,
        "2026-06-10 14:14:00": afternoon,
        "Mittwoch, 10. Juni 2026, 14:14": None,
        "10/06/2026 14:14": None,
        "-": None,
        "": None,
    }.items():
        with named(text):
            found = parse_worksheet(worksheet(("Participant 7", "Ada", "", "", text, "")).encode())
            assert found == {"7": Participant("7", "Ada", time=time, text="" if text == "-" else text)}


def test_files() -> None:
    """A worksheet is known by its headings, as Moodle writes it or as a spreadsheet saves it; any other csv is none."""
    rows = ("Participant 12", "Kurt Gödel", "k@example.org", "Team 1", "-", "26"), ("nobody", "", "", "", "", "")
    participant = Participant("12", "Kurt Gödel", email="k@example.org", group="Team 1")
    for content in (
        worksheet(*rows).encode("utf-8-sig"),
        worksheet(*rows, delimiter=";").encode("cp1252"),
        worksheet(*rows, delimiter="\t").encode(),
    ):
        assert parse_worksheet(content) == {"12": participant}
    for content in (b"", b"a,b\n1,2\n", b"\0" * 9, b'"', b"Identifier,Grade\nParticipant 1,2\n", b"\xff\xfe,\n,"):
        with named(content):
            assert parse_worksheet(content) is None
