"""Whose a file in a downloaded archive is, and when it was handed in."""

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from nbgrader.api import Gradebook

from handgrad.course.course import Course
from handgrad.course.nbgrader.collecting import CANVAS, MOODLE, services
from handgrad.course.nbgrader.hand_in_dates import HandInDates, due_date, is_late
from handgrad.course.nbgrader.unpacking import owner
from handgrad.course.service_lists import Participant
from helpers.inputs import named

OWNERS = {
    # Canvas keeps letters, marks, digits and underscores of a name, in small letters
    "कुमारराज_12_901_b.ipynb": ("12", "b.ipynb"),
    "สมชายน้ำ_LATE_12_901_b.ipynb": ("12", "b.ipynb"),
    "nguyễnvăn_12_901_b.ipynb": ("12", "b.ipynb"),
    "go\u0308delkurt_12_901_b.ipynb": ("12", "b.ipynb"),
    "محمدعلی_12_901_b.ipynb": ("12", "b.ipynb"),
    "o'brien_12_901_b.ipynb": ("12", "b.ipynb"),
    "d.arc_12_901_b.ipynb": ("12", "b.ipynb"),
    "smith2ann_12_901_b.ipynb": ("12", "b.ipynb"),
    "van_der_waerden_12_901_a_1_2_b.ipynb": ("12", "a_1_2_b.ipynb"),
    # what it keeps may be digits only, as of a group called 1, or nothing
    "1_12_901_b.ipynb": ("12", "b.ipynb"),
    "1_LATE_12_901_b.ipynb": ("12", "b.ipynb"),
    "1_12_text.html": ("12", "text.html"),
    "_12_901_b.ipynb": ("12", "b.ipynb"),
    "_LATE_12_901_b.ipynb": ("12", "b.ipynb"),
    "_12_link.html": ("12", "link.html"),
    "late_12_901_b.ipynb": ("12", "b.ipynb"),
    "late_LATE_12_901_b.ipynb": ("12", "b.ipynb"),
    "lateann_12_901_b.ipynb": ("12", "b.ipynb"),
    "anon_Xy7_901_b.ipynb": ("anon_Xy7", "b.ipynb"),
    "LATE_anon_Xy7_901_b.ipynb": ("anon_Xy7", "b.ipynb"),
    "anon_Xy7_text.html": ("anon_Xy7", "text.html"),
    # a typed text, a web address; and a student's file of that name
    "smithjane_12_link.html": ("12", "link.html"),
    "smithjane_LATE_12_text.html": ("12", "text.html"),
    "smithjane_12_901_text.html": ("12", "text.html"),
    # Moodle
    "Ada Lovelace_7_assignsubmission_file/b.ipynb": ("7", "b.ipynb"),
    "Ada Lovelace_7_assignsubmission_file_b_1_2_c.ipynb": ("7", "b_1_2_c.ipynb"),
    "سعید\u200cرضوی_7_assignsubmission_file_/b.ipynb": ("7", "b.ipynb"),
    "_7_assignsubmission_file/b.ipynb": ("7", "b.ipynb"),
    "Teilnehmer_7_assignsubmission_onlinetext/onlinetext.html": ("7", "onlinetext.html"),
    "Ada Lovelace_7_assignsubmission_onlinetext_onlinetext.html": ("7", "onlinetext.html"),
    "Group A-Ada Lovelace_7_assignsubmission_file/b.ipynb": ("7", "b.ipynb"),
    "Group A_55_assignsubmission_file/b.ipynb": ("55", "b.ipynb"),
    "Default group_assignsubmission_file/b.ipynb": ("Default group", "b.ipynb"),
    # nobody's
    "s01_late_b.ipynb": None,
    "smithjane_text.html": None,
    "me-4-x.ipynb": None,
    "12_901": None,
}


def test_owners() -> None:
    """The student and the file's own name are found in every form that Canvas and Moodle write."""
    for name, expected in OWNERS.items():
        with named(name):
            found = owner(f"archive/{name}", [MOODLE, CANVAS])
            assert (found and (found["student_id"], found["file_id"])) == expected
            if found and found.re.pattern == CANVAS:
                assert is_late(found.groupdict()) == ("LATE" in name)


def test_services(tmp_path: Path) -> None:
    """A number is that of the service whose pattern it has, but for the numbers of groups."""
    for name in ("adalovelace_12_901_b.ipynb", "kurt_14_text.html"):
        (tmp_path / name).touch()
    assert services(tmp_path, [CANVAS]) == {"12": "canvas", "14": "canvas"}
    (tmp_path / "Team 1_7_assignsubmission_file_b.ipynb").touch()
    assert services(tmp_path, [MOODLE]) == {"7": "moodle"}
    worksheet = "Identifier,Group,Last modified (submission)\nParticipant 9,Team 1,-\n"
    (tmp_path / "grades.csv").write_text(worksheet, encoding="utf-8")
    assert services(tmp_path, [MOODLE]) == {}


def _match(name: str) -> re.Match[str]:
    found = owner(f"archive/{name}", [MOODLE, CANVAS])
    assert found
    return found


def test_dates() -> None:
    """Moodle's worksheet has dates, for a group those of its members; Canvas's mark means just after the due date."""
    noon = datetime(2026, 6, 10, 12)
    line = {"text": "x", "time": datetime(2026, 6, 10, 14, 14)}
    participants = {
        "7": Participant("7", **line),
        "8": Participant("8", text="10. Juni 2026"),
        "9": Participant("9"),
        # of a group with the number of a participant who has nothing to do with it
        "55": Participant("55"),
        "56": Participant("56", group="Group A", **line),
    }
    dates = HandInDates({"g.csv": participants}, noon, ZoneInfo("Europe/Berlin"), "backprop")
    names = {"7": "A_7", "8": "B_8", "9": "C_9", "10": "D_10", "55": "Group A_55"}
    found = {student: dates.of(student, [_match(f"{name}_assignsubmission_file/b")]) for student, name in names.items()}
    in_utc = datetime(2026, 6, 10, 12, 14)
    assert found == {"7": in_utc, "8": None, "9": None, "10": None, "55": in_utc}
    assert dates.of("21", [_match("ada_21_901_a.py"), _match("ada_LATE_21_902_b.ipynb")]) == datetime(
        2026, 6, 10, 12, 0, 1
    )
    # a number of Canvas's that is a participant's too
    assert dates.of("22", [_match("kurt_7_903_b.ipynb")]) is None
    assert [re.split(r" \(|\.", sentence)[0] for sentence in dates.said()] == [
        "Dates of hand-in: 2 from Moodle's worksheet g",
        "Dates that cannot be read: 8",
        "Canvas marks 1",
        "Canvas's archive has no dates: 1 without the mark LATE count as in time",
        "No date of hand-in: 2",
    ]
    dates.due = None
    assert dates.of("23", [_match("emmy_LATE_23_904_b.ipynb")]) is None
    assert any("the gradebook has no due date of backprop" in sentence for sentence in dates.said())


def test_due_date(tmp_path: Path) -> None:
    """The due date is the gradebook's; a gradebook that is missing or none has none, and none is made."""
    course = Course(tmp_path)
    assert due_date(course, "backprop") is None
    assert not list(tmp_path.iterdir())
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        gradebook.add_assignment("backprop", duedate=datetime(2026, 6, 10, 12))
    assert due_date(course, "backprop") == datetime(2026, 6, 10, 12)
    (tmp_path / "gradebook.db").write_bytes(b"no database at all" * 99)
    assert due_date(course, "backprop") is None
