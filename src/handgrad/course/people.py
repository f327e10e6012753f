"""Who handed in, mapped to who is enrolled: the gradebook's roster, ``students.csv``, and the lists of services.

A student hands in under the name of a folder: an id of the roster, or the number, login or address that a learning
management system knows the student by. What cannot be mapped stays what it is, and is listed.
"""

import csv
import difflib
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from io import StringIO
from pathlib import Path

from handgrad.course.files import LARGEST_CSV, csv_rows, write_text
from handgrad.course.service_lists import Participant
from handgrad.errors import CourseError
from handgrad.report.names import is_hidden, shown

__all__ = ["EXEMPT", "STUDENTS_FILE", "WITHDRAWN", "People", "RosterEntry", "StudentLine", "read_lines", "write_lines"]

STUDENTS_FILE = "students.csv"
"""The file in a course's folder with what the gradebook's roster has no place for."""
WITHDRAWN, EXEMPT = "withdrawn", "exempt"
COMPARED = 50
"""Strangers for whom the nearest names are looked for."""
NEAREST = 3
"""Names that are proposed for somebody who is not enrolled."""


@dataclass(frozen=True)
class RosterEntry:
    """A student's entry in the gradebook's roster; unknown fields are empty."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""

    @property
    def name(self) -> str:
        """First and last name; empty if neither is known."""
        return " ".join(part for part in (self.first_name, self.last_name) if part)


@dataclass(frozen=True)
class StudentLine:
    """One line of ``students.csv``.

    Attributes
    ----------
    handed_in_as
        The name of a folder, or the number in an archive; empty if the line says something else.
    student_id
        The student in the gradebook's roster.
    status
        ``withdrawn``, ``exempt``, or ``exempt`` with names of assignments; empty for everybody else.
    group
        The group that the student hands in with.
    note
        Anything.
    others
        Further columns of the instructor's own, by their headings.
    """

    handed_in_as: str = ""
    student_id: str = ""
    status: str = ""
    group: str = ""
    note: str = ""
    others: Mapping[str, str] = field(default_factory=dict)


_COLUMNS = tuple(column.name for column in fields(StudentLine))[:-1]


def read_lines(path: Path) -> list[StudentLine]:
    """The lines of a ``students.csv``, with commas or semicolons; none if there is no such file.

    Raises
    ------
    CourseError
        It cannot be read, lacks a column, or a line says what cannot be.
    """
    try:
        if not path.exists():
            return []
        if path.stat().st_size > LARGEST_CSV:
            raise CourseError(f"{path} is larger than {LARGEST_CSV:,} bytes: it is no list of students.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}): save it as CSV in UTF-8.") from error
    rows = csv_rows(text)
    if missing := [name for name in ("handed_in_as", "student_id") if name not in (rows.fieldnames or ())]:
        raise CourseError(f"{path} has no column {missing[0]}: its first line must be {','.join(_COLUMNS)}.")
    found = []
    try:
        for row in rows:
            cells = {str(title): value.strip() for title, value in row.items() if isinstance(value, str)}
            ours = {name: cells.pop(name, "") for name in _COLUMNS}
            line = StudentLine(**ours, others=cells)
            if fault := _fault(line):
                raise CourseError(f"{path}, line {rows.line_num}: {fault}")
            if any((*ours.values(), *cells.values())):
                found.append(line)
    except csv.Error as error:
        raise CourseError(f"{path}, line {rows.line_num}, is no CSV ({error}).") from error
    names: dict[str, str] = {}
    for line in found:
        if line.handed_in_as and names.setdefault(line.handed_in_as, line.student_id) != line.student_id:
            raise CourseError(
                f"{path}: {shown(line.handed_in_as)} is both {shown(names[line.handed_in_as])} and "
                f"{shown(line.student_id)}: keep one of the lines."
            )
    return found


def _fault(line: StudentLine) -> str:
    """What is wrong with a line, in a sentence; empty if nothing is."""
    kind, _, assignments = line.status.partition(" ")
    if kind not in ("", WITHDRAWN, EXEMPT) or (kind == WITHDRAWN and assignments):
        return f"the status {line.status!r} is not known: write withdrawn, exempt, or exempt and an assignment."
    for name in (line.handed_in_as, line.student_id):
        if name in (".", "..") or set(name) & {"/", "\\", "\0"}:
            return f"{name!r} cannot be the name of a folder."
    if not line.student_id and any((line.handed_in_as, line.status, line.group)):
        return "the column student_id is empty: write the student's id in the gradebook."
    values = (line.handed_in_as, line.student_id, line.status, line.group, line.note)
    if any(is_hidden(sign) for value in values for sign in value if sign != "\n"):
        return "it has an invisible character: type it again."
    return ""


def write_lines(path: Path, lines: Iterable[StudentLine], *, mode: int) -> None:
    """Write a ``students.csv`` in one step; a CourseError if it cannot be written."""
    text = StringIO()
    kept = list(lines)
    others = dict.fromkeys(title for line in kept for title in line.others)
    rows = csv.DictWriter(text, (*_COLUMNS, *others), lineterminator="\n")
    rows.writeheader()
    rows.writerows({**{name: getattr(line, name) for name in _COLUMNS}, **line.others} for line in kept)
    write_text(path, text.getvalue(), mode=mode)


@dataclass(frozen=True)
class People:
    """The students of a course.

    Attributes
    ----------
    roster
        The gradebook's students by id. Grading adds everyone who handed in.
    handed_in
        Those of the roster of whom the gradebook has a submission.
    lines
        The lines of ``students.csv``.
    participants
        Who handed in one assignment by the numbers in the archive, from Moodle's grading worksheet or Gradescope's
        metadata.
    """

    roster: Mapping[str, RosterEntry] = field(default_factory=dict)
    handed_in: Collection[str] = frozenset()
    lines: tuple[StudentLine, ...] = ()
    participants: Mapping[str, Participant] = field(default_factory=dict)

    @cached_property
    def enrolled(self) -> frozenset[str]:
        """The ids of the students who are enrolled, withdrawn or not.

        Grading adds to the roster whoever handed in. If anything is known of some students but their ids, then those
        of whom nothing is known are enrolled only if they handed in nothing, or ``students.csv`` names them.
        """
        named = {line.student_id for line in self.lines if line.student_id in self.roster or not self.roster}
        known = {name for name, entry in self.roster.items() if any(vars(entry).values())}
        others = {name for name in self.roster if name not in self.handed_in} if known else set(self.roster)
        return frozenset(
            (known | others | named) - {name for name, student in self._of_line.items() if name != student}
        )

    def _fault(self, line: StudentLine) -> str:
        """Why a line does not fit the roster, as a clause; empty if it does."""
        if self.roster and line.student_id not in self.roster:
            return f"{shown(line.student_id)} is not in the roster"
        is_student = any(vars(self.roster.get(line.handed_in_as, RosterEntry())).values())
        if line.handed_in_as != line.student_id and is_student:
            return f"{shown(line.handed_in_as)} is a student of the roster, not another name"
        return ""

    def student(self, name: str) -> str:
        """The id of the student whose folder is called ``name``; the name itself if it is nobody else's.

        In this order: ``students.csv``, an id, ``lms_user_id``, an e-mail address. Capitals do not matter, unless they
        tell two ids apart. The part of an address before the @ is not enough: students may choose it.
        """
        if name in self._of_line or name in self.enrolled:
            return self._of_line.get(name, name)
        return self._named(name, self._by_id, self._by_number, self._by_address) or name

    def who(self, number: str, name: str) -> str:
        """The student or the group with this number and name in an archive; the number itself if it is nobody's.

        In this order: ``students.csv``, what Moodle's worksheet or Gradescope's metadata says of the participant,
        ``lms_user_id``, a group of this name, and last an id, since the number is the service's, or a full name. A
        group of Moodle's has a number of its own, which may be some participant's too; who has a group's name is no
        group.
        """
        group, participant = self.group(name), self.participants.get(number)
        if number in self._of_line:
            return self._of_line[number]
        if group and (participant is None or _plain(participant.name) != _plain(name)):
            is_listed = participant or any(member.group == group for member in self.participants.values())
            return group if is_listed else self._named(number, self._by_number) or group
        if participant is not None:
            return self._enrolled_as(participant) or participant.known_as or number
        student = self._named(number, self._by_number) or self.student(number)
        return student if self.is_known(student) else self._named(_plain(number), self._by_name) or student

    def _enrolled_as(self, participant: Participant) -> str:
        """The student of the roster who is a participant; empty if nobody is."""
        keys = [key for key in (participant.id_number, participant.email) if key]
        found = (self._named(key, self._by_id, self._by_number, self._by_address) for key in keys)
        return next((key for key in keys if key in self.enrolled), "") or next(filter(None, found), "")

    def called(self, number: str, name: str) -> str:
        """The full name of who handed in with this number, as far as the service gives it; else ``name``."""
        participant = self.participants.get(number)
        return (participant.name if participant else "") or name

    def is_known(self, name: str) -> bool:
        """Whether who hands in as ``name`` is enrolled, or is a group."""
        return self.is_enrolled(name) or bool(self.group(name))

    def is_enrolled(self, name: str) -> bool:
        """Whether who hands in as ``name`` is enrolled."""
        return self.student(name) in self.enrolled

    def group(self, name: str) -> str:
        """The group that an archive calls ``name``, whose capitals and spaces it may have dropped; empty if none."""
        if name in self.groups:
            return name
        alike = self._groups_by_letters.get(_plain(name), ())
        return alike[0] if len(alike) == 1 else ""

    @cached_property
    def _groups_by_letters(self) -> Mapping[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for group in self.groups:
            found[_plain(group)].append(group)
        found.pop("", None)
        return found

    @cached_property
    def _of_line(self) -> dict[str, str]:
        return {
            line.handed_in_as: line.student_id for line in self.lines if line.handed_in_as and not self._fault(line)
        }

    def is_other_name(self, name: str) -> bool:
        """Whether ``students.csv`` says that it is another name of somebody."""
        return self._of_line.get(name, name) != name

    @staticmethod
    def _named(key: str, *tables: Mapping[str, set[str]]) -> str:
        """The one student whom the first of some tables has under a key; empty if there is none, or more than one."""
        for table in tables:
            if len(found := table.get(key.casefold(), ())) == 1:
                return next(iter(found))
        return ""

    @cached_property
    def _by_id(self) -> Mapping[str, set[str]]:
        # an id of which nothing else is known is that of a folder: another one in capitals is another student's
        known = (name for name in self.enrolled if any(vars(self.roster.get(name, RosterEntry())).values()))
        return _table((name, name) for name in known)

    @cached_property
    def _by_number(self) -> Mapping[str, set[str]]:
        return _table((self.roster[name].lms_user_id, name) for name in self.enrolled & self.roster.keys())

    @cached_property
    def _by_address(self) -> Mapping[str, set[str]]:
        return _table((self.roster[name].email, name) for name in self.enrolled & self.roster.keys())

    @cached_property
    def _by_name(self) -> Mapping[str, set[str]]:
        entries = [(self.roster[name], name) for name in self.enrolled & self.roster.keys()]
        return _table(
            (_plain(text), name)
            for entry, name in entries
            for text in (f"{entry.first_name}{entry.last_name}", f"{entry.last_name}{entry.first_name}")
        )

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The students of each group, by its name: from ``students.csv``, or from a service's list."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for participant in self.participants.values():
            if participant.group and (student := self._enrolled_as(participant)):
                found[participant.group][student] = None
        for line in self.lines:
            if line.group and not self._fault(line):
                found[line.group][line.student_id] = None
        return {group: tuple(students) for group, students in found.items()}

    def hand_ins(self, names: Iterable[str]) -> dict[str, str]:
        """For each student with a hand-in among ``names``, the name that it is under.

        A student's own comes first, then one under another name of the student, then that of the student's group.
        """
        found: dict[str, str] = {}
        ordered, of_group = sorted(names), dict[str, str]()
        for name in (*(name for name in ordered if self.student(name) == name), *ordered):
            group = self.group(name)
            if group and not self.is_enrolled(name):
                of_group.setdefault(group, name)
            else:
                found.setdefault(self.student(name), name)
        own = dict(found)
        for group, students in self.groups.items():
            theirs = of_group.get(group) or next((own[name] for name in students if name in own), "")
            if theirs:
                for student in students:
                    found.setdefault(student, theirs)
        return found

    def second_hand_ins(self, names: Iterable[str]) -> Iterator[str]:
        """A sentence for each of ``names`` that is a second one of a student's."""
        listed = sorted(names)
        graded = self.hand_ins(listed)
        for name in listed:
            student = self.student(name)
            if not (self.group(name) and not self.is_enrolled(name)) and graded.get(student) != name:
                yield (
                    f"{shown(student)} has handed in as {shown(graded[student])} and as {shown(name)}: what is graded "
                    f"is the folder {shown(graded[student])}. To grade the other one, take that folder away."
                )

    def status(self, student: str, assignment: str) -> str:
        """``withdrawn``, ``exempt`` (from this assignment or all), or nothing."""
        for line in self.lines:
            if line.student_id == student and line.status:
                kind, *assignments = line.status.split()
                if not assignments or assignment in assignments:
                    return kind
        return ""

    def counts(self, name: str, assignment: str) -> bool:
        """Whether what is there under a name counts: it is no other name of a student, not withdrawn and not exempt."""
        return self.student(name) == name and not self.status(name, assignment)

    def full_name(self, student: str) -> str:
        """First and last name of a student; empty if the roster has none."""
        return self.roster.get(student, RosterEntry()).name

    def full_names(self) -> dict[str, str]:
        """First and last name of each student who has one, by id."""
        return {student: entry.name for student, entry in self.roster.items() if entry.name}

    def unmatched(self, names: Iterable[str], called: Mapping[str, str] | None = None) -> Iterator[str]:
        """A sentence for each of the ``names`` that is nobody's who is enrolled, with the nearest names.

        ``called`` are the students' names in the archives that they come from. Nothing is said of a course that has
        no roster but those who handed in.
        """
        for line in self.lines:
            if fault := self._fault(line):
                yield f"A line of {STUDENTS_FILE} is not used: {fault} ({shown(line.handed_in_as or line.student_id)})."
        if not self.has_roster:
            return
        strangers = [name for name in sorted(names) if not self.is_known(name)]
        for place, name in enumerate(strangers):
            also = (called or {}).get(name, "")
            # comparing with everybody takes half a second in a class of thousands
            near = self.nearest(also or name) if place < COMPARED else []
            hint = f"nearest: {', '.join(near)}" if near else "nobody has a similar name"
            if not near and not any(sign.isalpha() for sign in also or name):
                hint = "no archive that is still there tells the name"
            yield (
                f"{shown(name)}{f' ({shown(also)})' if also else ''} is not in the roster; {hint}. If you know who it "
                f"is, run `handgrad students match {shlex.quote(shown(name))} STUDENT_ID` once."
            )

    @cached_property
    def has_roster(self) -> bool:
        """Whether anything is known about who is enrolled, apart from who handed in."""
        return any(any(vars(entry).values()) or name not in self.handed_in for name, entry in self.roster.items())

    def nearest(self, name: str) -> list[str]:
        """The students whose id, name or address is most like ``name``, as ``u001 (Ada Lovelace)``."""
        plain, ratios = _plain(name), dict[str, float]()
        for student in self.enrolled:
            entry = self.roster.get(student, RosterEntry())
            texts = (student, entry.name, f"{entry.last_name}{entry.first_name}", entry.email.partition("@")[0])
            found = (difflib.SequenceMatcher(None, plain, _plain(text)).ratio() for text in texts if text)
            ratios[student] = max(found, default=0.0)
        likely = sorted((student for student in ratios if ratios[student] > 0.6), key=lambda it: (-ratios[it], it))
        return [
            f"{shown(student)} ({shown(self.full_name(student))})" if self.full_name(student) else shown(student)
            for student in likely[:NEAREST]
        ]


def _table(pairs: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    """The students by a key, without capitals; empty keys are left out."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key, student in pairs:
        if key:
            found[key.casefold()].add(student)
    return found


def _plain(text: str) -> str:
    """The letters and digits of a name, without capitals."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())
