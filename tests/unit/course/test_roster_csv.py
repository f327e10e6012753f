"""Rosters as the systems export them."""

import pytest

from handgrad.course.people import RosterEntry
from handgrad.course.roster_csv import parse_roster
from handgrad.errors import CourseError
from helpers.inputs import named

ADA = RosterEntry("Ada", "Lovelace", "ada@example.org", "4711")


def test_formats() -> None:
    """nbgrader, Canvas, Moodle, Gradescope; commas, semicolons and tabs; Excel's mark; test students are none."""
    for what, text, expected in (
        (
            "nbgrader",
            "id,last_name,first_name,email,lms_user_id\nada,Lovelace,Ada,ada@example.org,4711\n",
            {"ada": ADA},
        ),
        (
            "Canvas",
            'Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"Lovelace, Ada",4711,99,ada,1\n'
            '"Student, Test",1,,abc,1\n"Noether, Emmy",4712,,,1\n',
            {"ada": RosterEntry("Ada", "Lovelace", "", "4711"), "4712": RosterEntry("Emmy", "Noether", "", "4712")},
        ),
        (
            "Moodle",
            "\ufeffFirst name;Surname;ID number;Email address\r\nAda;Lovelace;ada;ada@example.org\r\n"
            ";;;emmy@example.org\r\n",
            {"ada": RosterEntry("Ada", "Lovelace", "ada@example.org"), "emmy": RosterEntry(email="emmy@example.org")},
        ),
        (
            "Gradescope",
            "First Name\tLast Name\tSID\tEmail\nAda\tLovelace\tada\tada@example.org\n",
            {"ada": RosterEntry("Ada", "Lovelace", "ada@example.org")},
        ),
    ):
        with named(what):
            assert parse_roster(text.encode(), "roster.csv") == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name\nAda\n", "roster.csv has no column of ids: name one of them id"),
        (b"id\n", "roster.csv names no student"),
        (b"\xff\xfe\x00", "roster.csv is no csv in UTF-8"),
        (b"id,email\na,x@y\na,z@y\n", "line 3: a is there twice, with other facts"),
        ("id\na\u200b\n".encode(), "line 2: a\\u200b has an invisible character"),
    ],
)
def test_faults(content: bytes, said: str) -> None:
    """What is wrong, where, and what to do."""
    with pytest.raises(CourseError) as caught:
        parse_roster(content, "roster.csv")
    assert said in str(caught.value)
