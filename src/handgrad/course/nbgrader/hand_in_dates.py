"""When students handed in, as far as a downloaded archive, or what lies beside it, says so.

A date counts only if the learning management system has written it. Dates of members of an archive do not: in the
system's own archive they are those of the download, and in a student's archive those of the student's machine.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import read
from handgrad.course.nbgrader.folders import date_in
from handgrad.course.nbgrader.scores import DUEDATE
from handgrad.course.service_lists import Participant
from handgrad.errors import CourseError
from handgrad.report.names import few, shown

__all__ = ["HandInDates", "due_date", "is_late"]

_Origin = Literal["known", "late", "in time", "odd", "missing"]
"""Where a date comes from; of an odd one the text is kept, of a known one the source."""


def due_date(course: Course, assignment: str) -> datetime | None:
    """The due date of an assignment in the gradebook, in UTC without a zone; None if there is none.

    A gradebook that does not exist is not made, and one that cannot be read has no due date.
    """
    try:
        (rows,) = read(course, DUEDATE, assignment=assignment)
    except CourseError:
        return None
    return next((date for (date,) in rows), None)


@dataclass
class HandInDates:
    """The dates of one assignment's hand-ins, and where each comes from.

    Attributes
    ----------
    worksheets
        See :func:`.lists_beside`.
    due
        The due date, in UTC without a zone; None if there is none.
    zone
        The time zone of the worksheets' dates; None for this machine's.
    assignment
        Name of the assignment, for messages.
    """

    worksheets: Mapping[str, Mapping[str, Participant]]
    due: datetime | None
    zone: tzinfo | None
    assignment: str
    _origins: dict[str, tuple[_Origin, str]] = field(default_factory=dict)

    def of(self, student: str, matches: Sequence[re.Match[str]]) -> datetime | None:
        """When ``student`` handed in the files with these matches, in UTC without a zone; None if that is not known.

        The last call for a student is the one that counts in :meth:`said`.
        """
        groups = [match.groupdict() for match in matches]
        # a pattern with such a mark is Canvas's, or one like it
        self._origins[student] = ("in time" if "late" in groups[0] else "missing"), ""
        times = [time for found in groups if (time := self._written(student, found))]
        # Canvas's numbers may be those of Moodle's participants
        if not times and "late" not in groups[0] and (time := self._in_worksheet(student, groups[0])):
            times.append(time)
        if not times and any(map(is_late, groups)):
            self._origins[student] = "late", ""
            return self.due and self.due + timedelta(seconds=1)
        return max(times, default=None)

    def said(self) -> Iterator[str]:
        """Where dates come from, and whose are missing: a sentence for each."""
        students: dict[tuple[_Origin, str], list[str]] = {}
        for student, (origin, text) in sorted(self._origins.items()):
            students.setdefault((origin, text if origin == "known" else ""), []).append(student)
        named = {origin: f"{len(found)} ({few(map(shown, found))})" for (origin, _), found in students.items()}
        for (origin, source), found in students.items():
            if origin == "known":
                yield f"Dates of hand-in: {len(found)} from {source}."
        if odd := students.get(("odd", "")):
            examples = few(shown(f"{student} ({self._origins[student][1]!r})") for student in odd)
            yield (
                f"Dates that cannot be read: {examples}. Switch Moodle to English, download its worksheet again and "
                "collect again with --force; or write each date into the student's timestamp.txt."
            )
        if "late" in named and self.due:
            yield (
                f"Canvas marks {named['late']} as late without a time: they count as one second late, after the due "
                f"date {self.due:%Y-%m-%d %H:%M:%S} UTC. If you know better, write the time into the student's "
                "timestamp.txt."
            )
        elif "late" in named:
            yield (
                f"Canvas marks {named['late']} as late without a time, and the gradebook has no due date of "
                f"{self.assignment}: they count as in time. Run `nbgrader db assignment add {self.assignment} "
                "--duedate='2026-01-31 23:59 UTC'` with your date, and collect again with --force."
            )
        if punctual := students.get(("in time", "")):
            yield f"Canvas's archive has no dates: {len(punctual)} without the mark LATE count as in time."
        if "missing" in named:
            advice = (
                f"{few(map(shown, sorted(self.worksheets)))} has none of them."
                if self.worksheets
                else "Moodle's dates are in its grading worksheet: put that csv beside the archive and collect again "
                "with --force."
            )
            yield f"No date of hand-in: {named['missing']}. They count as in time. {advice}"

    def _written(self, student: str, groups: Mapping[str, str | None]) -> datetime | None:
        """The date that an instructor's own pattern finds in a path."""
        text = groups.get("timestamp")
        if not text:
            return None
        time = date_in(text.replace("_", " "))
        self._origins[student] = ("known", "the names of the files") if time else ("odd", text)
        return time

    def _in_worksheet(self, student: str, groups: Mapping[str, str | None]) -> datetime | None:
        for file, participants in self.worksheets.items():
            found = participants.get(str(groups.get("student_id")))
            group = groups.get("name") or groups.get("student_id")
            members = [member for member in participants.values() if member.group and member.group == group]
            # a group's number may be that of a participant who has nothing to do with it, but has another name
            if members and (found is None or found.name != groups.get("name")):
                found = max(members, key=lambda member: member.time or datetime.min)
            if found and found.time:
                moodle = f"Moodle's worksheet {shown(file)}, read as times of {self.zone or 'this machine'}"
                is_moodles = found.time.tzinfo is None
                self._origins[student] = "known", moodle if is_moodles else f"Gradescope's {shown(file)}"
                time = found.time.replace(tzinfo=self.zone) if is_moodles else found.time
                return time.astimezone(UTC).replace(tzinfo=None)
            if found and found.text:
                self._origins[student] = "odd", found.text
        return None


def is_late(groups: Mapping[str, str | None]) -> bool:
    """Whether Canvas marks a file as late; a student may be called Late, whom Canvas writes in small letters."""
    mark = groups.get("late")
    return mark is not None and (mark == "LATE" or groups.get("name") is not None)
