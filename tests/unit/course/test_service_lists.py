"""The lists of services: Moodle's grading worksheet, and Gradescope's metadata, read as text, within bounds."""

import csv
import io
from datetime import UTC, datetime

import yaml

from handgrad.course.service_lists import DEEPEST, Participant, parse_metadata, parse_worksheet
from helpers.inputs import named

HEADINGS = ("Identifier", "Full name", "Email address", "Group", "Last modified (submission)", "Grade")


def worksheet(*rows: tuple[str, ...], delimiter: str = ",") -> str:
    """A worksheet with these lines."""
    held = io.StringIO()
    csv.writer(held, delimiter=delimiter).writerows([HEADINGS, *rows])
    return held.getvalue()


def test_dates_of_a_worksheet() -> None:
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


def test_files_of_a_worksheet() -> None:
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


def test_what_is_read_of_metadata() -> None:
    """Names and numbers stay text, a date is one in any zone, and tags and aliases make nothing."""
    found = parse_metadata(b"""
submission_1:
  :submitters:
  - :name: Ada
    :sid: 007
    :email: !!python/name:os.system ada@school.edu
  :created_at: 2026-09-14 10:00:00.123456789 -07:00
  :results: &all
  - *all
submission_2:
  :submitters:
  - :name: ~
    :sid: ../x
    :email: null
  :created_at: yesterday
note: other
""")
    assert found is not None
    assert list(found) == ["1", "2"]
    assert (found["1"].id_number, found["1"].email, found["1"].known_as) == ("007", "ada@school.edu", "007")
    assert found["1"].time == datetime(2026, 9, 14, 17, 0, 0, 123456, tzinfo=UTC)
    assert (found["2"].name, found["2"].email, found["2"].known_as, found["2"].time) == ("", "", "", None)
    assert found["2"].text == "yesterday"


def test_what_another_reader_says_of_metadata() -> None:
    """A library that writes YAML gives the same students back."""
    students = [{":name": f"Student {number}", ":sid": f"s{number:02}", ":email": ""} for number in range(20)]
    text = yaml.safe_dump(
        {f"submission_{number}": {":submitters": [student]} for number, student in enumerate(students)}
    )
    found = parse_metadata(text.encode())
    assert found is not None
    assert [(participant.name, participant.id_number) for participant in found.values()] == [
        (student[":name"], student[":sid"])
        for student in sorted(students, key=lambda student: str(students.index(student)))
    ]


def test_what_is_no_metadata() -> None:
    """What has another form is none, however deep it is."""
    for content in (b"", b"- 1", b"a: [", b"\xff\xfe\x00", b"a: " + b"[" * (DEEPEST + 1), b"[" * 100_000):
        with named(content[:20]):
            assert parse_metadata(content) is None
