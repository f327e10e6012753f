"""The students of a course: the roster in the gradebook, and what ``students.csv`` says of them.

A student or an assignment that does not exist is a :class:`.CourseError`, and so is a gradebook or a file that cannot
be read or written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from handgrad.course.commands.class_list import second_hand_ins
from handgrad.course.course import Course
from handgrad.course.course_lock import alone
from handgrad.course.files import LARGEST_CSV
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.scores import entries
from handgrad.course.nbgrader.student_records import (
    bring_up_to_date,
    delete_student,
    extensions,
    files_of,
    give_extension,
    join,
    write_roster,
)
from handgrad.course.people import EXEMPT, STUDENTS_FILE, WITHDRAWN, People, StudentLine, read_lines, write_lines
from handgrad.course.report_store import ReportStore
from handgrad.course.roster_csv import parse_roster
from handgrad.errors import CourseError
from handgrad.report.names import shown
from handgrad.report.students_table import ClassRows, StudentRow
from handgrad.report.wording import number

__all__ = ["Purge", "class_rows", "exempt", "extend", "import_roster", "match", "purge", "to_purge", "withdraw"]

DAY = 24 * 60 * 60
LONGEST_EXTENSION = 3650
"""Days of the longest extension."""


def class_rows(course: Course, assignments: Sequence[str] = ()) -> ClassRows:
    """Every student who is enrolled or handed in one of the ``assignments`` (default: all)."""
    chosen = course.select(assignments) if assignments or course.assignments() else ()
    students, longer = people(course), extensions(course)
    handed_in = {name: Folders(course, name).hand_ins for name in chosen}
    names = sorted(students.enrolled.union(*handed_in.values()))
    statuses = {line.student_id: line.status for line in reversed(students.lines) if line.status}
    groups = {student: group for group, members in students.groups.items() for student in members}
    rows = [
        StudentRow(
            name,
            students.full_name(name),
            students.roster[name].email if name in students.roster else "",
            groups.get(name, ""),
            statuses.get(name, ""),
            {assignment: found[name] for assignment, found in handed_in.items() if name in found},
            {
                assignment: extension.total_seconds() / DAY
                for assignment, extension in longer.get(name, {}).items()
                if assignment in chosen
            },
        )
        for name in names
    ]
    there = set().union(*(found.values() for found in handed_in.values()))
    return ClassRows(rows, list(students.unmatched(there)))


def import_roster(course: Course, path: Path) -> tuple[int, int]:
    """Add the students of a csv to the roster; how many are new, and of how many something has changed."""
    try:
        if path.stat().st_size > LARGEST_CSV:
            raise CourseError(f"{path} is larger than {LARGEST_CSV:,} bytes: it is no roster.")
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from error
    entries = parse_roster(content, str(path))
    for student in entries:
        if fault := course.fault_of_name(student):
            raise CourseError(f"{path}: {fault.replace('is not graded', 'cannot be a student')}")
    with alone(course):
        counts = write_roster(course, entries)
        join(course)
    return counts


def match(course: Course, name: str, student: str) -> tuple[Path, list[str]]:
    """Write into ``students.csv`` that what was handed in as ``name`` is a student's.

    Returns
    -------
    tuple
        The path of the file, and a sentence for each assignment that the student has handed in twice now.
    """
    students = people(course)
    _require_student(students, student)
    if name != student and name in students.enrolled:
        raise CourseError(
            f"{shown(name)} is a student of the roster, not another name of {shown(student)}. If they are the same, "
            f"take one off the roster first: `nbgrader db student remove {shown(name)} --force` (its scores too)."
        )

    def change(lines: list[StudentLine]) -> list[StudentLine]:
        # what else such a line says is about the student, whoever hands in under that name
        kept = [replace(line, handed_in_as="") if line.handed_in_as == name else line for line in lines]
        return [*filter(_says_something, kept), StudentLine(name, student)]

    path = _change(course, change)
    with alone(course):
        join(course)
    folders = (Folders(course, assignment) for assignment in course.assignments())
    told = (sentence for found in folders for sentence in second_hand_ins(found))
    return path, [sentence for sentence in dict.fromkeys(told) if shown(student) in sentence]


def exempt(course: Course, student: str, assignments: Sequence[str] = (), *, undo: bool = False) -> Path:
    """Write into ``students.csv`` that a student is exempt from assignments (default: all), or no more; its path.

    Who has withdrawn cannot be exempt, and who is exempt from all assignments not from one less.
    """
    for assignment in assignments:
        course.select([assignment])

    def status(before: str) -> str:
        kind, *named = before.split() or [""]
        if kind == WITHDRAWN:
            raise CourseError(f"{shown(student)} has withdrawn: `handgrad students withdraw {student} --undo` first.")
        if undo and kind and assignments and not named:
            raise CourseError(
                f"{shown(student)} is exempt from all assignments: take that back, and name those that stay exempt."
            )
        if not assignments or (kind and not named):
            return "" if undo else EXEMPT
        left = set(named) - set(assignments) if undo else set(named) | set(assignments)
        return " ".join((EXEMPT, *sorted(left))) if left else ""

    return _set_status(course, student, status)


def withdraw(course: Course, student: str, *, undo: bool = False) -> Path:
    """Write into ``students.csv`` that a student has left, or is back; its path. An exemption ends with it."""

    def status(before: str) -> str:
        if undo and before != WITHDRAWN:
            raise CourseError(f"{shown(student)} has not withdrawn.")
        return "" if undo else WITHDRAWN

    return _set_status(course, student, status)


def _set_status(course: Course, student: str, status: Callable[[str], str]) -> Path:
    """Change the status of a student from what it is; the path of the file."""
    _require_student(people(course), student)

    def change(lines: list[StudentLine]) -> list[StudentLine]:
        new = status(next((line.status for line in lines if line.student_id == student and line.status), ""))
        lines = [replace(line, status="") if line.student_id == student else line for line in lines]
        # another name of the student keeps a line of its own
        place = next(
            (place for place, line in enumerate(lines) if line.student_id == student and not line.handed_in_as), None
        )
        if place is None:
            lines.append(StudentLine("", student, new))
        else:
            lines[place] = replace(lines[place], status=new)
        return list(filter(_says_something, lines))

    return _change(course, change)


def _says_something(line: StudentLine) -> bool:
    return any((line.handed_in_as, line.status, line.group, line.note, *line.others.values()))


def _change(course: Course, change: Callable[[list[StudentLine]], list[StudentLine]]) -> Path:
    """Change the lines of ``students.csv``, which is made if there is none; its path."""
    path = course.root / STUDENTS_FILE
    with alone(course):
        write_lines(path, change(read_lines(path)), mode=course.file_mode)
    return path


def _require_student(students: People, student: str) -> None:
    if student not in students.enrolled:
        near = students.nearest(student)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise CourseError(
            f"{shown(student)} is not in the roster.{hint} `handgrad students list` shows it, and `handgrad students "
            "import` adds to it."
        )


def extend(course: Course, student: str, days: float, assignments: Sequence[str]) -> list[str]:
    """Give a student so many days after the due date of assignments; for each a sentence about what it changes."""
    _require_student(people(course), student)
    if not days <= LONGEST_EXTENSION:
        raise CourseError(f"an extension of {days:g} days is longer than {LONGEST_EXTENSION} days.")
    return [_extend(course, student, days, assignment) for assignment in course.select(assignments)]


def _extend(course: Course, student: str, days: float, assignment: str) -> str:
    with alone(course):
        has_date = give_extension(course, assignment, student, days)
    bring_up_to_date(course, assignment)
    entry = entries(course, assignment).get(student)
    has = f"{days:g} day{'' if days == 1 else 's'} more" if days else "no extension"
    said = [f"{shown(student)} has {has} for {assignment}"]
    if entry and entry.is_scored:
        said.append(f"the late penalty is {number(entry.penalty)} now, the score {number(entry.final)}")
    if not has_date:
        said.append(
            f"there is no due date yet: set it with `nbgrader db assignment add {assignment} --duedate '2026-03-01 "
            "23:59:00 UTC'`"
        )
    return f"{'; '.join(said)}."


@dataclass(frozen=True)
class Purge:
    """What would be deleted of a student.

    Attributes
    ----------
    names
        All names of the student.
    lines
        What there is, as text.
    archives
        Downloaded archives, which may hold hand-ins of everybody.
    """

    names: frozenset[str]
    lines: tuple[str, ...]
    archives: tuple[Path, ...]


def to_purge(course: Course, student: str) -> Purge:
    """What the course holds of a student; a CourseError if it is nothing."""
    names, folder = {student}, course.folder("submitted")
    handed_in = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    for assignment in ("", *course.assignments()):
        students = people(course, assignment)
        names |= {name for name in (*students.participants, *students.roster) if students.student(name) == student}
        names |= {line.handed_in_as for line in students.lines if line.student_id == student and line.handed_in_as}
        names |= {name for name in handed_in if students.student(name) == student}
    students = people(course)
    paths, archives = files_of(course, names)
    store = ReportStore.of(course)
    stored = [
        assignment
        for assignment in course.assignments()
        if any(report.student in names for report in store.reports(assignment))
    ]
    lines = [
        *(
            f"the entry {name} in the gradebook, with all scores and comments"
            for name in sorted(names & {*students.roster})
        ),
        *(f"the stored report of {assignment}" for assignment in stored),
        *(str(path.relative_to(course.root) if path.is_relative_to(course.root) else path) for path in paths),
        *(f"a line in {STUDENTS_FILE}" for line in students.lines if line.student_id == student),
    ]
    if not lines:
        _require_student(students, student)
    return Purge(frozenset(names), tuple(lines), tuple(archives))


def purge(course: Course, plan: Purge) -> None:
    """Delete what :func:`to_purge` found; if something cannot be deleted, the rest is, and it can be run again."""
    with alone(course):
        delete_student(course, set(plan.names))
        path = course.root / STUDENTS_FILE
        if lines := read_lines(path):
            write_lines(path, [line for line in lines if line.student_id not in plan.names], mode=course.file_mode)
