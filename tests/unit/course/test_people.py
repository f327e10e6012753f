"""Who handed in, mapped to who is enrolled."""

from pathlib import Path

import pytest

from handgrad.course.people import People, RosterEntry, StudentLine, read_lines, write_lines
from handgrad.course.service_lists import Participant
from handgrad.errors import CourseError
from helpers.inputs import named

ROSTER = {
    "u001": RosterEntry("Ada", "Lovelace", "ada.l@example.org", "4711"),
    "u002": RosterEntry("Émilie", "du Châtelet", "emilie@example.org", "4712"),
    "u003": RosterEntry("Ada", "Byron", "ada.l@elsewhere.org", "4713"),
    "7": RosterEntry(lms_user_id="4714"),
}


def test_ways_to_know_a_student() -> None:
    """By the id, the system's number, the address, the login, Moodle's worksheet; students.csv goes before all."""
    people = People(
        ROSTER,
        handed_in={"u001", "7000", "guest"},
        lines=(StudentLine("guest", "u002"), StudentLine("4713", "u001")),
        participants={"7001": Participant("7001", email="EMILIE@example.org"), "7": Participant("7", email="x@y")},
    )
    for name, student in {
        "u001": "u001",
        "4711": "u001",
        "emilie@example.org": "u002",
        # who chooses an address chooses what is before the @
        "Emilie": "Emilie",
        "7001": "7001",
        "guest": "u002",
        "7": "7",
        "4713": "u001",
        "7000": "7000",
    }.items():
        with named(name):
            assert people.student(name) == student
            assert people.is_enrolled(name) == (student in ROSTER)


def test_numbers_of_archives() -> None:
    """students.csv, Moodle's worksheet, the service's number, a group; and an id last, which it may be by chance."""
    roster = {**ROSTER, "4712": RosterEntry("Kurt", "Gödel", "kurt@example.org", "4715")}
    people = People(
        roster,
        lines=(
            StudentLine("50", "u003"),
            StudentLine("", "u001", group="Team 1"),
            StudentLine("", "u002", group="Team 1"),
        ),
        participants={
            "4711": Participant("4711", "Emmy", email="emilie@example.org"),
            "9": Participant("9", "Team 1", email="kurt@example.org"),
            "10": Participant("10", "Nobody", email="x@y"),
        },
    )
    for number, name, student in (
        ("50", "x", "u003"),
        # the participant's address goes before a student's number of another service
        ("4711", "Emmy", "u002"),
        # the service's number goes before an id that is the same
        ("4712", "x", "u002"),
        ("4715", "team1", "4712"),
        ("u003", "x", "u003"),
        ("77", "Team 1", "Team 1"),
        # who calls themselves like a group is not the group
        ("9", "Team 1", "4712"),
        ("10", "Nobody", "10"),
        ("99", "x", "99"),
    ):
        with named(number, name):
            assert people.who(number, name) == student


def test_a_course_without_a_roster() -> None:
    """Where grading alone has filled the roster, every name is a student of its own, capitals or not."""
    people = People({"ann": RosterEntry(), "4711": RosterEntry()}, handed_in={"ann", "4711"})
    assert people.student("Ann") == "Ann"
    assert people.hand_ins(["ann", "Ann", "4711"]) == {"ann": "ann", "Ann": "Ann", "4711": "4711"}
    assert not list(people.unmatched(["Ann"]))


def test_one_hand_in_for_each() -> None:
    """A student's own folder goes before another name, and that before the group's; nobody is there twice."""
    team = tuple(StudentLine("", student, group="Team 3") for student in ("u001", "u002", "u003"))
    people = People(ROSTER, lines=team)
    assert people.hand_ins(["4711", "u001", "7"]) == {"u001": "u001", "7": "7", "u002": "u001", "u003": "u001"}
    assert people.hand_ins(["4711"]) == dict.fromkeys(("u001", "u002", "u003"), "4711")
    # as an archive writes the group's name
    assert people.hand_ins(["team3", "u002"]) == {"u002": "u002", "u001": "team3", "u003": "team3"}
    (sentence,) = people.second_hand_ins(["4711", "u001", "7", "team3"])
    assert sentence.startswith("u001 has handed in as u001 and as 4711: what is graded is the folder u001.")
    # a group is called by its letters if they are one group's only
    others = (StudentLine("", "u001", group="C"), StudentLine("", "u002", group="C++"))
    people = People(ROSTER, lines=others)
    assert people.hand_ins(["C", "C++", "c"]) == {"c": "c", "u001": "C", "u002": "C++"}


def test_groups_of_moodle() -> None:
    """Who is in a group is in Moodle's worksheet."""
    participants = {
        number: Participant(number, email=ROSTER[student].email, group="Group A")
        for number, student in (("7001", "u001"), ("7002", "u002"))
    }
    people = People(ROSTER, participants=participants)
    assert people.hand_ins(["Group A"]) == {"u001": "Group A", "u002": "Group A"}


def test_who_is_not_in_the_roster() -> None:
    """Each with the nearest names: by the name in the archive, or the name of the folder."""
    people = People(ROSTER, handed_in={"9999"})
    (sentence,) = people.unmatched(["u001", "9999"], {"9999": "duchateletemilie"})
    assert sentence.startswith("9999 (duchateletemilie) is not in the roster; nearest: u002 (Émilie du Châtelet)")
    assert sentence.endswith("run `handgrad students match 9999 STUDENT_ID` once.")
    (sentence,) = people.unmatched(["xyz"])
    assert "nobody has a similar name" in sentence


def test_status() -> None:
    """Withdrawn holds for all assignments, exempt for those that are named, or all."""
    people = People(
        ROSTER,
        lines=(
            StudentLine("", "u001", "withdrawn"),
            StudentLine("", "u002", "exempt backprop"),
            StudentLine("", "7", "exempt"),
        ),
    )
    assert [people.status(student, "backprop") for student in ("u001", "u002", "u003", "7")] == [
        *("withdrawn", "exempt", "", "exempt")
    ]
    assert people.status("u002", "training") == ""


def test_the_file(tmp_path: Path) -> None:
    """It is read as it was written, with commas or semicolons, and a mark of Excel's; without it nothing is there."""
    path = tmp_path / "students.csv"
    assert read_lines(path) == []
    lines = [
        StudentLine("4711", "u001", others={"tutor": ""}),
        StudentLine("", "u002", "exempt", "Team 3", "ill, until May", {"tutor": "Kurt"}),
    ]
    write_lines(path, lines, mode=0o600)
    assert read_lines(path) == lines
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("\ufeffhanded_in_as;student_id\r\n4711;u001\r\n;;\r\n", encoding="utf-8")
    assert read_lines(path) == [StudentLine("4711", "u001")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name,number\n",
            "has no column handed_in_as: its first line must be handed_in_as,student_id,status,group,note",
        ),
        ("handed_in_as,student_id,status\n,u1,ill\n", "line 2: the status 'ill' is not known"),
        ("handed_in_as,student_id,status\n4711,,\n", "line 2: the column student_id is empty"),
        ("handed_in_as,student_id,status\n,a,withdrawn backprop\n", "line 2: the status 'withdrawn backprop' is not"),
        ("handed_in_as,student_id\n../source,a\n", "line 2: '../source' cannot be the name of a folder"),
        ("handed_in_as,student_id\n1,a\n1,b\n", "1 is both a and b: keep one of the lines"),
        ("handed_in_as,student_id\n1,a\u202e\n", "line 2: it has an invisible character"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, said: str) -> None:
    """What is wrong, where, and what to do."""
    path = tmp_path / "students.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CourseError) as caught:
        read_lines(path)
    assert said in str(caught.value)
