"""Who handed in, mapped to who is enrolled: the gradebook's roster, ``students.csv``, and Moodle's worksheets.

A student hands in under the name of a folder: an id of the roster, or the number, login or address that a learning
management system knows the student by. What cannot be mapped stays what it is, and is listed.
"""

import csv
import difflib
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from io import StringIO
from pathlib import Path

from handgrad.course.files import write_text
from handgrad.course.moodle_worksheet import Participant
from handgrad.errors import CourseError
from handgrad.report.names import is_hidden, shown

__all__ = [
    "EXEMPT",
    "FILE",
    "LARGEST",
    "WITHDRAWN",
    "Line",
    "People",
    "RosterEntry",
    "read_lines",
    "write_lines",
]

FILE = "students.csv"
"""The file in a course's folder with what the gradebook's roster has no place for."""
WITHDRAWN, EXEMPT = "withdrawn", "exempt"
LARGEST = 10_000_000
"""Bytes of the largest csv file that is read."""
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
class Line:
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
    """

    handed_in_as: str = ""
    student_id: str = ""
    status: str = ""
    group: str = ""
    note: str = ""


_COLUMNS = tuple(column.name for column in fields(Line))


def read_lines(path: Path) -> list[Line]:
    """The lines of a ``students.csv``, with commas or semicolons; none if there is no such file.

    Raises
    ------
    CourseError
        It cannot be read, lacks a column, or a line says what cannot be.
    """
    try:
        if not path.exists():
            return []
        if path.stat().st_size > LARGEST:
            raise CourseError(f"{path} is larger than {LARGEST:,} bytes: it is no list of students.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}): save it as CSV in UTF-8.") from error
    rows = csv.DictReader(StringIO(text, newline=""), delimiter=";" if ";" in text.partition("\n")[0] else ",")
    if missing := [name for name in ("handed_in_as", "student_id") if name not in (rows.fieldnames or ())]:
        raise CourseError(f"{path} has no column {missing[0]}: its first line must be {','.join(_COLUMNS)}.")
    found = []
    try:
        for row in rows:
            line = Line(**{name: (row.get(name) or "").strip() for name in _COLUMNS})
            if fault := _fault(line):
                raise CourseError(f"{path}, line {rows.line_num}: {fault}")
            if any(vars(line).values()):
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


def _fault(line: Line) -> str:
    """What is wrong with a line, in a sentence; empty if nothing is."""
    kind = line.status.split(" ")[0]
    if kind not in ("", WITHDRAWN, EXEMPT):
        return f"the status {line.status!r} is not known: write withdrawn, exempt, or exempt and an assignment."
    if not line.student_id and any((line.handed_in_as, line.status, line.group)):
        return "the column student_id is empty: write the student's id in the gradebook."
    if any(is_hidden(sign) for value in vars(line).values() for sign in value if sign != "\n"):
        return "it has an invisible character: type it again."
    return ""


def write_lines(path: Path, lines: Iterable[Line], *, mode: int) -> None:
    """Write a ``students.csv`` in one step; a CourseError if it cannot be written."""
    text = StringIO()
    rows = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(line) for line in lines)
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
        Moodle's participants in one assignment by number, from its grading worksheet.
    """

    roster: Mapping[str, RosterEntry] = field(default_factory=dict)
    handed_in: Collection[str] = frozenset()
    lines: tuple[Line, ...] = ()
    participants: Mapping[str, Participant] = field(default_factory=dict)

    @cached_property
    def enrolled(self) -> frozenset[str]:
        """The ids of the students who are enrolled, withdrawn or not.

        Grading adds to the roster whoever handed in. If anything is known of some students but their ids, then those
        of whom nothing is known are enrolled only if they handed in nothing, or ``students.csv`` names them.
        """
        named = {line.student_id for line in self.lines}
        known = {name for name, entry in self.roster.items() if any(vars(entry).values())}
        others = {name for name in self.roster if name not in self.handed_in} if known else set(self.roster)
        return frozenset((known | others | named) - {line.handed_in_as for line in self.lines if _is_alias(line)})

    def student(self, name: str) -> str:
        """The id of the student who hands in as ``name``; the name itself if it is nobody else's.

        In this order: ``students.csv``, an id, ``lms_user_id``, an address, the part of it before the @, and what
        Moodle's worksheet says of a participant. Capitals do not matter, unless they tell two ids apart.
        """
        return self._of_line.get(name) or self._of_key(name) or name

    def is_known(self, name: str) -> bool:
        """Whether who hands in as ``name`` is enrolled, or is a group."""
        return self.is_enrolled(name) or bool(self.group(name))

    def is_enrolled(self, name: str) -> bool:
        """Whether who hands in as ``name`` is enrolled."""
        return self.student(name) in self.enrolled

    def group(self, name: str) -> str:
        """The group that an archive calls ``name``, whose capitals and spaces it may have dropped; empty if none."""
        plain = _plain(name)
        return next((group for group in self.groups if plain and _plain(group) == plain), "")

    @cached_property
    def _of_line(self) -> dict[str, str]:
        return {line.handed_in_as: line.student_id for line in self.lines if line.handed_in_as}

    def _of_key(self, name: str) -> str:
        if name in self.enrolled:
            return name
        participant = self.participants.get(name)
        for key in (name, *((participant.email, participant.id_number) if participant else ())):
            for students in self._keys:
                if len(found := students.get(key.casefold(), ())) == 1:
                    return next(iter(found))
        return ""

    @cached_property
    def _keys(self) -> list[Mapping[str, set[str]]]:
        """The students by each thing that they may be known by, the surest first."""
        tables: list[defaultdict[str, set[str]]] = [defaultdict(set) for _ in range(4)]
        for name in self.enrolled:
            entry = self.roster.get(name, RosterEntry())
            # an id of which nothing else is known is that of a folder: another one in capitals is another student's
            keys = (
                name if any(vars(entry).values()) else "",
                entry.lms_user_id,
                entry.email,
                entry.email.partition("@")[0],
            )
            for table, key in zip(tables, keys, strict=True):
                if key:
                    table[key.casefold()].add(name)
        return list(tables)

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The students of each group, by its name: from ``students.csv``, or from Moodle's worksheet."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for participant in self.participants.values():
            if participant.group and self.is_enrolled(participant.number):
                found[participant.group][self.student(participant.number)] = None
        for line in self.lines:
            if line.group:
                found[line.group][line.student_id] = None
        return {group: tuple(students) for group, students in found.items()}

    def who(self, number: str, name: str) -> str:
        """The student or the group with this number and name in an archive; the number itself if it is nobody's.

        A group of Moodle's has a number of its own, which may be some participant's too.
        """
        group = self.group(name)
        return group if group and (name == group or not self.is_enrolled(number)) else self.student(number)

    def hand_ins(self, names: Iterable[str]) -> dict[str, str]:
        """For each student with a hand-in among ``names``, the name that it is under.

        A student's own comes first, then one under another name of the student, then that of the student's group.
        """
        found: dict[str, str] = {}
        ordered = sorted(names)
        for name in (*(name for name in ordered if self.student(name) == name), *ordered):
            if not self.group(name) or self.is_enrolled(name):
                found.setdefault(self.student(name), name)
        of_group = {self.group(name): name for name in ordered}
        for group, students in self.groups.items():
            theirs = of_group.get(group) or next((found[name] for name in students if name in found), "")
            if theirs:
                for student in students:
                    found.setdefault(student, theirs)
        return found

    def status(self, student: str, assignment: str) -> str:
        """``withdrawn``, ``exempt`` (from this assignment or all), or nothing."""
        for line in self.lines:
            if line.student_id == student and line.status:
                kind, *assignments = line.status.split()
                if not assignments or assignment in assignments:
                    return kind
        return ""

    def name(self, student: str) -> str:
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
        if not self.has_roster:
            return
        for name in sorted(names):
            if not self.is_known(name):
                also = (called or {}).get(name, "")
                near = self.nearest(also or name)
                hint = f"nearest: {', '.join(near)}" if near else "nobody has a similar name"
                yield (
                    f"{shown(name)}{f' ({shown(also)})' if also else ''} is not in the roster; {hint}. Who it is, "
                    f"`handgrad students match {shlex.quote(shown(name))} STUDENT_ID` says for ever."
                )

    @cached_property
    def has_roster(self) -> bool:
        """Whether anything is known about who is enrolled, apart from who handed in."""
        return any(any(vars(entry).values()) or name not in self.handed_in for name, entry in self.roster.items())

    def nearest(self, name: str) -> list[str]:
        """The students whose id, name or address is most like ``name``, as ``u001 (Ada Lovelace)``."""
        scores: dict[str, float] = {}
        for student in self.enrolled:
            entry = self.roster.get(student, RosterEntry())
            texts = (student, entry.name, f"{entry.last_name}{entry.first_name}", entry.email.partition("@")[0])
            ratios = (difflib.SequenceMatcher(None, _plain(name), _plain(text)).ratio() for text in texts if text)
            scores[student] = max(ratios, default=0.0)
        near = sorted((name for name in scores if scores[name] > 0.6), key=lambda name: (-scores[name], name))
        return [
            f"{shown(near)} ({shown(self.name(near))})" if self.name(near) else shown(near) for near in near[:NEAREST]
        ]


def _is_alias(line: Line) -> bool:
    return bool(line.handed_in_as) and line.handed_in_as != line.student_id


def _plain(text: str) -> str:
    """The letters and digits of a name, without capitals."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())
