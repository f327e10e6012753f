"""Gradescope's list of submissions: read as text, within bounds."""

from datetime import UTC, datetime

import yaml

from handgrad.course.gradescope_metadata import DEEPEST, parse_metadata
from helpers.inputs import named


def test_what_is_read() -> None:
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


def test_what_another_reader_says() -> None:
    """A library that writes YAML gives the same students back."""
    students = [{":name": f"Student {number}", ":sid": f"s{number:02}", ":email": ""} for number in range(20)]
    text = yaml.safe_dump({f"submission_{number}": {":submitters": [one]} for number, one in enumerate(students)})
    found = parse_metadata(text.encode())
    assert found is not None
    assert [(one.name, one.id_number) for one in found.values()] == [
        (one[":name"], one[":sid"]) for one in sorted(students, key=lambda one: str(students.index(one)))
    ]


def test_what_is_no_list() -> None:
    """What has another form is none, however deep it is."""
    for content in (b"", b"- 1", b"a: [", b"\xff\xfe\x00", b"a: " + b"[" * (DEEPEST + 1), b"[" * 100_000):
        with named(content[:20]):
            assert parse_metadata(content) is None
