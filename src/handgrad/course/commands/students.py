"""The students of a course: the roster in the gradebook, and what ``students.csv`` says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from handgrad.course.commands.grade_class import report_store
from handgrad.course.commands.up_to_date import bring_up_to_date
from handgrad.course.course import Course
from handgrad.course.course_lock import alone
from handgrad.course.nbgrader.enrolment import extensions, give_extension, write_roster
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.student_records import delete_student, files_of, join
from handgrad.course.people import EXEMPT, FILE, LARGEST, Line, People, read_lines, write_lines
from handgrad.course.roster_csv import parse_roster
from handgrad.errors import CourseError
from handgrad.report.class_summary import score_of
from handgrad.report.names import shown
from handgrad.report.students_table import ClassRows, StudentRow
from handgrad.report.wording import number

__all__ = ["Purge", "class_rows", "extend", "import_roster", "match", "purge", "set_status", "to_purge"]

DAY = 24 * 60 * 60


def class_rows(course: Course, assignments: Sequence[str] = ()) -> ClassRows:
    """Every student who is enrolled or handed in one of the ``assignments`` (default: all).

    Raises
    ------
    CourseError
        There is no such assignment, or the gradebook or ``students.csv`` cannot be read.
    """
    chosen = course.select(assignments) if assignments or course.assignments() else ()
    students, longer = people(course), extensions(course)
    handed_in = {name: Folders(course, name).hand_ins for name in chosen}
    names = sorted(students.enrolled.union(*handed_in.values()))
    statuses: dict[str, str] = {line.student_id: line.status for line in students.lines if line.status}
    groups = {student: group for group, members in students.groups.items() for student in members}
    rows = [
        StudentRow(
            name,
            students.name(name),
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
    return ClassRows(rows, list(students.unmatched(set().union(*handed_in.values()))))


def import_roster(course: Course, path: Path) -> tuple[int, int]:
    """Add the students of a csv to the roster; how many are new, and of how many something has changed.

    Raises
    ------
    CourseError
        The file cannot be read or is no roster, or the gradebook cannot be written.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise CourseError(f"{path} is larger than {LARGEST:,} bytes: it is no roster.")
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from error
    entries = parse_roster(content, str(path))
    for student in entries:
        if fault := course.fault_of_name(student):
            raise CourseError(f"{path}: {fault.replace('is not graded', 'cannot be a student')}")
    with alone(course):
        counts = write_roster(course, entries)
        join(course, report_store(course))
    return counts


def match(course: Course, name: str, student: str) -> Path:
    """Write into ``students.csv`` that what was handed in as ``name`` is a student's; its path.

    Raises
    ------
    CourseError
        There is no such student, or a file or the gradebook cannot be written.
    """
    students = people(course)
    _require_student(students, student)

    def change(lines: list[Line]) -> list[Line]:
        kept = [line for line in lines if line.handed_in_as != name]
        return [*kept, Line(name, student)]

    path = _change(course, change)
    with alone(course):
        join(course, report_store(course))
    return path


def set_status(course: Course, student: str, status: str, assignments: Sequence[str] = ()) -> Path:
    """Write into ``students.csv`` what holds for a student: ``withdrawn``, ``exempt``, or nothing; its path.

    Raises
    ------
    CourseError
        There is no such student or assignment, or the file cannot be read or written.
    """
    _require_student(people(course), student)
    for assignment in assignments:
        course.select([assignment])

    def change(lines: list[Line]) -> list[Line]:
        before = next((line.status for line in lines if line.student_id == student and line.status), "")
        kind, _, names = before.partition(" ")
        named = names.split()
        new = status
        if assignments and (status or kind == EXEMPT):
            # exemptions add up; taking one back leaves the others
            others = set(named) | set(assignments) if status else set(named) - set(assignments)
            whole = kind == EXEMPT and not named
            new = EXEMPT if whole and status else " ".join((EXEMPT, *sorted(others))) if others else ""
        lines = [replace(line, status="") if line.student_id == student else line for line in lines]
        place = next((place for place, line in enumerate(lines) if line.student_id == student), len(lines))
        lines[place : place + 1] = [replace(lines[place], status=new) if place < len(lines) else Line("", student, new)]
        return [line for line in lines if any((line.handed_in_as, line.status, line.group, line.note))]

    return _change(course, change)


def _change(course: Course, change: Callable[[list[Line]], list[Line]]) -> Path:
    """Change the lines of ``students.csv``, which is made if there is none; its path."""
    path = course.root / FILE
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
    """Give a student so many days after the due date of assignments; for each a sentence about what it changes.

    Raises
    ------
    CourseError
        There is no such student or assignment, or the gradebook cannot be written.
    """
    _require_student(people(course), student)
    return [_extend(course, student, days, assignment) for assignment in course.select(assignments)]


def _extend(course: Course, student: str, days: float, assignment: str) -> str:
    with alone(course):
        has_date = give_extension(course, assignment, student, days)
    entry = bring_up_to_date(course, assignment).get(student)
    has = f"{days:g} day{'' if days == 1 else 's'} more" if days else "no extension"
    said = [f"{shown(student)} has {has} for {assignment}"]
    if entry:
        score = score_of(None, entry) or 0.0
        said.append(f"the late penalty is {number(entry.penalty)} now, the score {number(score)}")
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
    """What the course holds of a student.

    Raises
    ------
    CourseError
        It holds nothing, or cannot be read.
    """
    names = {student}
    for assignment in ("", *course.assignments()):
        students = people(course, assignment)
        names |= {name for name in (*students.participants, *students.roster) if students.student(name) == student}
        names |= {line.handed_in_as for line in students.lines if line.student_id == student and line.handed_in_as}
        names |= {name for name in _folders(course) if students.student(name) == student}
    students = people(course)
    paths, archives = files_of(course, names)
    store = report_store(course)
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
        *(f"a line in {FILE}" for line in students.lines if line.student_id == student),
    ]
    if not lines:
        _require_student(students, student)
    return Purge(frozenset(names), tuple(lines), tuple(archives))


def _folders(course: Course) -> list[str]:
    folder = course.folder("submitted")
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def purge(course: Course, plan: Purge) -> None:
    """Delete what :func:`to_purge` found.

    Raises
    ------
    CourseError
        Another process is grading, or something cannot be deleted: what can be is, and it can be run again.
    """
    with alone(course):
        delete_student(course, report_store(course), set(plan.names))
        path = course.root / FILE
        if lines := read_lines(path):
            write_lines(path, [line for line in lines if line.student_id not in plan.names], mode=course.file_mode)
