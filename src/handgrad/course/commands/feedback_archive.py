"""Feedback for the students of a class in one archive, under the names that Moodle and Canvas look for.

Moodle (*Upload multiple feedback files in a zip*) takes the participant from a folder's name,
``Ada Lovelace_1234567_assignsubmission_file/``, and keeps the names of the files in it.

Canvas (re-upload of submissions) takes the user and the file that was handed in from the first two numbers between
underscores, and gives what comes back the name of that file. So what comes back must be of its kind: a notebook for a
notebook, an archive for an archive.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import nbformat

from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.files import write_bytes
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.collecting import Service, in_archives
from handgrad.course.nbgrader.feedback_exporter import FACTS
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.roster import archives
from handgrad.errors import CourseError
from handgrad.report.class_summary import unreviewed
from handgrad.report.names import printable
from handgrad.report.records import ScoreEntry
from handgrad.report.wording import number, out_of

__all__ = ["FORMATS", "Returned", "write_feedback_archive"]

FORMATS: Mapping[str, Service] = {"moodle-feedback": "moodle", "canvas-feedback": "canvas"}
"""The formats of `handgrad export` that are archives, and whose they are."""
_NOTEBOOKS, _ARCHIVES = (".ipynb", ".ipynb.json", ".ipynb.txt"), (".zip",)


@dataclass(frozen=True)
class Returned:
    """What an archive holds: the students whose feedback is in it, and why that of others is not, by student."""

    students: Sequence[str]
    left: Mapping[str, str]


def write_feedback_archive(
    course: Course,
    assignment: str,
    form: str,
    output: Path,
    *,
    only_final: bool = False,
) -> Returned:
    """Write the feedback on an assignment into one zip, in one of the ``FORMATS``.

    Parameters
    ----------
    only_final
        Whether the students are left out who have a gradient that waits for manual review.

    Raises
    ------
    CourseError
        There is no such assignment, no downloaded archive of this service names a student, nobody has feedback that
        could be sent back, or the file cannot be written.
    """
    archive = _Archive(course, assignment, FORMATS[form])
    if not archive.handed_in:
        service = FORMATS[form].capitalize()
        raise CourseError(
            f"no archive of {service} names a student of {assignment}, and {service} finds students by the names in "
            f"it: put the archive that you collected back into {archive.folder.relative_to(course.root)}."
        )
    left = {
        student: "Canvas would take the name in the archive for another student's"
        if student in archive.misread
        else "not in the downloaded archive"
        for student in archive.graded
        if student not in {*archive.handed_in, *archive.by_group} and archive.page(student).is_file()
    }
    content, sent = io.BytesIO(), []
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for student, paths in sorted(archive.handed_in.items()):
            if not archive.page(student).is_file():
                left[student] = "no feedback page"
            elif only_final and student in archive.waiting:
                left[student] = "a gradient waits for manual review"
            elif found := archive.returned(student, paths):
                file.writestr(*found)
                sent.append(student)
            else:
                left[student] = f"{printable(PurePosixPath(paths[0]).name)} cannot be returned as feedback"
    if not sent:
        raise CourseError(
            f"there is no feedback on {assignment} to send back: run `handgrad grade {assignment}`, or "
            f"`handgrad feedback {assignment}` if it was graded without pages."
        )
    write_bytes(output, content.getvalue(), mode=course.file_mode)
    return Returned(sent, dict(sorted(left.items())))


class _Archive:
    """The downloaded archives of one assignment, and the feedback on what is in them."""

    def __init__(self, course: Course, assignment: str, service: Service) -> None:
        self.course, self.assignment, self.service = course, assignment, service
        self.reports = {report.student: report for report in stored_reports(course, assignment)}
        self.entries = scores.entries(course, assignment)
        self.folder = archives(course, assignment)
        self._folders = Folders(course, assignment)
        self.handed_in: dict[str, list[str]] = {}
        enrolled = self._folders.people
        self.by_group: set[str] = set()
        self.misread: set[str] = set()
        found: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for identifier, path, named_by in in_archives(course, assignment):
            # who is in no group has no number in a group assignment of Moodle's
            if named_by == service and (identifier.isdecimal() or service == "canvas"):
                who = enrolled.who(identifier, path.partition("_")[0])
                first, *others = enrolled.groups.get(who, (who,))
                self.by_group.update(others)
                if service == "canvas" and not _canvas_finds(identifier, path):
                    self.misread.add(first)
                    continue
                is_own = not enrolled.is_other_name(identifier)
                found[first][is_own].append(path)
        for student, (of_other_names, own) in found.items():
            self.handed_in[student] = own or of_other_names

    @property
    def graded(self) -> list[str]:
        """The students with a report or a score."""
        student = self._folders.people.student
        return sorted(name for name in {*self.reports, *self.entries} if student(name) == name)

    @cached_property
    def waiting(self) -> set[str]:
        """The students who have a gradient that waits for manual review."""
        found = {student for student, entry in self.entries.items() if entry.waiting}
        reports = self.reports.items()
        return found | {student for student, report in reports if unreviewed(report, self.entries.get(student))}

    def page(self, student: str) -> Path:
        """The feedback page of a student, which may not be there."""
        return self._folders.feedback(student)

    def returned(self, student: str, paths: Sequence[str]) -> tuple[str, bytes] | None:
        """The name and the content of what a student gets; None if what was handed in has no kind for feedback."""
        if self.service == "moodle":
            return f"{_moodle_folder(paths[0])}/{self.assignment}.html", self.page(student).read_bytes()
        # a file that was handed in later has a larger number
        for _, start, name in sorted(filter(None, map(_canvas_parts, paths)), reverse=True):
            if name.lower().endswith(_NOTEBOOKS) and self._folders.autograded(student).is_file():
                return f"{start}_{self.assignment}.ipynb", self._notebook(student)
            if name.lower().endswith(_ARCHIVES):
                return f"{start}_{self.assignment}.zip", self._zipped(student)
        return None

    def _notebook(self, student: str) -> bytes:
        """The autograded notebook, which has the verdict under each check, with the score above it."""
        notebook = nbformat.reads(self._folders.autograded(student).read_text(encoding="utf-8"), as_version=4)
        notebook.metadata.pop(FACTS, None)
        head = _score_text(self.assignment, self.entries.get(student))
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(head, id="handgrad-score"))
        text: str = nbformat.writes(notebook)
        return text.encode("utf-8")

    def _zipped(self, student: str) -> bytes:
        """The feedback page in an archive of its own."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"{self.assignment}.html", self.page(student).read_bytes())
        return content.getvalue()


def _moodle_folder(path: str) -> str:
    """The name of a participant's folder, from a path in Moodle's archive; the name in it is for readers only."""
    name, _, rest = path.partition("_assignsubmission_")[0].rpartition("_")
    number = rest or name
    return f"{name if name and name == printable(name) else 'Participant'}_{number}_assignsubmission_file"


def _canvas_finds(identifier: str, path: str) -> bool:
    """Whether Canvas finds a student by a name in its own archive: it takes the first number for the user."""
    numbers = [part for part in path.partition("/")[0].split("_") if part.isascii() and part.isdigit()]
    return path.startswith("anon_") or numbers[:1] == [identifier]


def _canvas_parts(path: str) -> tuple[int, str, str] | None:
    """Of a path in Canvas's archive the number of the file, the name up to it, and the rest: what the student chose.

    None for a typed text or a web address, which has no number.

    After ``LATE`` is taken out, Canvas reads the user and the file in the first two numbers, or after ``anon``. A rest
    that begins with ``link`` would make it take the file for a web address.
    """
    parts = path.partition("/")[0].split("_")
    ids = [place for place, part in enumerate(parts) if part.isascii() and part.isdigit()]
    if parts[0] == "anon":
        ids = [place for place, part in enumerate(parts) if part != "LATE"][1:]
    if len(ids) < 2 or not parts[ids[1]].isdecimal():
        return None
    last = ids[1]
    return int(parts[last]), "_".join(parts[: last + 1]), "_".join(parts[last + 1 :])


def _score_text(assignment: str, entry: ScoreEntry | None) -> str:
    """The head of a returned notebook."""
    lines = [f"# {assignment}"]
    if entry:
        lines.append(f"**{number(entry.final)}** of {out_of(entry.max_score, entry.max_score).partition(' of ')[2]}.")
        if entry.penalty:
            lines.append(f"{out_of(entry.penalty, entry.penalty).partition(' of ')[2]} off for handing in late.")
    lines.append("The verdict on each gradient is below its check.")
    return "\n\n".join(lines)
