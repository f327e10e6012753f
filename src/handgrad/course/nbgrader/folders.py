"""A course's folders submitted/, autograded/ and feedback/, with the layout of nbgrader's configuration."""

import fnmatch
import glob
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import find_all_files, parse_utc, rmtree

from handgrad.course.course import Course
from handgrad.course.files import make_folder, write_text
from handgrad.course.nbgrader.database import course_directory
from handgrad.course.nbgrader.roster import people
from handgrad.course.people import People
from handgrad.errors import CourseError, SubmissionError, closest
from handgrad.notebook.untrusted_files import copy_file, escaped, in_quotes, is_configuration, read_file, walk

__all__ = ["Folders", "course_of", "date_in", "released_names", "trusted_folder"]

TIMESTAMP = "timestamp.txt"
LONGEST_TIMESTAMP = 1000
"""Bytes of the largest file that is read as a date or a secret."""
EXCHANGED = (TIMESTAMP, "submission_secret.txt")
"""Files that nbgrader's exchange writes next to a submission, and needs next to its feedback."""
TEMPORARY = "autograded-"
"""Prefix of temporary folders in the course's private folder, in which an autograded folder is built."""


def trusted_folder(coursedir: CourseDirectory, path: Path) -> Path:
    """The instructor's own folder above ``path``, below which a student may have named and made what there is.

    It is the folder of hand-ins or of autograded notebooks, which may be links, or else the course.
    """
    root = Path(coursedir.root)
    folders = (root / coursedir.submitted_directory, root / coursedir.autograded_directory, root)
    return next((folder for folder in folders if path.is_relative_to(folder)), path.parent)


def released_names(coursedir: CourseDirectory) -> set[str]:
    """The names of the released files of an assignment, which every student has got with it, such as exercise.json."""
    folder = Path(coursedir.format_path(coursedir.release_directory, ".", coursedir.assignment_id))
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def course_of(part: Any) -> Course:
    """The course of a part of nbgrader's that has a course directory."""
    return Course(Path(part.coursedir.root).resolve(), part.config)


def date_in(text: str) -> datetime | None:
    """The date in a text, in UTC without a zone; None if there is none."""
    try:
        return parse_utc(text) if text else None
    # the parser lets more than its own exceptions through
    except Exception:
        return None


class Folders:
    """The folders of one assignment's students; what cannot be written is a :class:`CourseError`."""

    def __init__(self, course: Course, assignment: str) -> None:
        self.course, self.assignment = course, assignment
        self._nbgrader = course_directory(course, assignment)
        self._autograde = Autograde(coursedir=self._nbgrader, config=self._nbgrader.config)
        self._feedback = GenerateFeedback(coursedir=self._nbgrader, config=self._nbgrader.config)

    def submitted(self, student: str) -> Path:
        """The folder that a student handed in, which may be under another name of the student, or their group's."""
        return self._path(self._nbgrader.submitted_directory, self.hand_ins.get(student, student))

    def trusted(self, student: str) -> Path:
        """The folder above a student's below which everything was handed in, and no link is followed."""
        return trusted_folder(self._nbgrader, self.submitted(student))

    def autograded(self, student: str) -> Path:
        """The autograded notebook of a student."""
        return self._path(self._nbgrader.autograded_directory, student) / f"{self.assignment}.ipynb"

    def feedback(self, student: str) -> Path:
        """The feedback page of a student."""
        return self._path(self._nbgrader.feedback_directory, student) / f"{self.assignment}.html"

    def _path(self, step: str, student: str) -> Path:
        return Path(self._nbgrader.format_path(step, student, self.assignment))

    def students(self, patterns: Sequence[str] = ()) -> list[str]:
        """The students who handed in something, sorted; if there are ``patterns``, those who match one of them.

        Who has withdrawn or is exempt is left out, and who ``c.CourseDirectory.student_id_exclude`` names. A pattern
        that matches nobody is a CourseError.
        """
        students = sorted(self.hand_ins)
        matching = {pattern: fnmatch.filter(students, pattern) for pattern in patterns}
        for pattern, names in matching.items():
            if not names:
                raise CourseError(
                    f"nobody called {pattern!r} has handed in {self.assignment}." + closest(pattern, students)
                )
        return sorted({name for names in matching.values() for name in names}) if patterns else students

    @cached_property
    def people(self) -> People:
        """The students of the course."""
        return people(self.course, self.assignment)

    @cached_property
    def hand_ins(self) -> dict[str, str]:
        """For each student who is graded, the name that the hand-in is under."""
        excluded = {name.strip() for name in self._nbgrader.student_id_exclude.split(",")}
        found = self.people.hand_ins(self._with_folder() - excluded)
        return {
            student: name
            for student, name in found.items()
            if student not in excluded and not self.people.status(student, self.assignment)
        }

    def second_hand_ins(self) -> list[str]:
        """A sentence for each folder that is a second one of a student's, and so is not graded."""
        return list(self.people.second_hand_ins(self._with_folder()))

    def _with_folder(self) -> set[str]:
        """The students with a folder for the assignment; of a name that is no text, bytes are escape sequences.

        Such a name is no student's: see :meth:`.Course.fault_of_name`.
        """
        step = self._nbgrader.submitted_directory
        shape = re.compile(
            self._nbgrader.format_path(step, "(?P<student>[^/]*)", re.escape(self.assignment), escape=True)
        )
        pattern = self._nbgrader.format_path(glob.escape(step), "*", glob.escape(self.assignment))
        folders = self.course.root.glob(os.path.relpath(pattern, self.course.root))
        names = {match["student"] for path in folders if path.is_dir() and (match := shape.fullmatch(str(path)))}
        return {name.encode("utf-8", "backslashreplace").decode("utf-8") for name in names}

    def timestamp(self, student: str) -> datetime | None:
        """When a student handed in, in UTC, from the folder's ``timestamp.txt``; None if there is none.

        A SubmissionError if it does not hold a date, or is a link or no regular file.
        """
        path = self.submitted(student) / TIMESTAMP
        try:
            content = read_file(path, self.trusted(student), LONGEST_TIMESTAMP).content
        except FileNotFoundError:
            return None
        text = content.decode("utf-8", "replace").strip()
        time = date_in(text)
        if text and time is None:
            raise SubmissionError(
                f"{escaped(path)} holds {in_quotes(text)}, which is not a date: write when it was handed in, or delete "
                "the file."
            )
        return time

    def write_autograded(self, student: str, notebook: str) -> None:
        """Replace a student's autograded folder by ``notebook`` and the files that belong with it; its page is deleted.

        Of a student's file and an instructor's of the same name the instructor's is there, as in nbgrader. Links, other
        special files and files that a program takes for its configuration are left out.
        """
        target = self.autograded(student).parent
        try:
            temporary = self.course.private_folder / f"{TEMPORARY}{uuid4().hex}"
            make_folder(temporary)
            try:
                for path, name in self._given_out:
                    (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, temporary / name)
                self._copy_handed_in(student, temporary)
                (temporary / f"{self.assignment}.ipynb").write_text(notebook, encoding="utf-8")
                make_folder(target.parent, shared=self._nbgrader.groupshared)
                if target.exists():
                    rmtree(str(target))
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            self._autograde.set_permissions(self.assignment, student)
            # it is out of date
            self.feedback(student).unlink(missing_ok=True)
        except OSError as error:
            raise CourseError(f"{error.filename or target} cannot be written: {error.strerror}.") from error

    def write_feedback(self, student: str, page: str) -> None:
        """Write a feedback page, and next to it the files with which nbgrader's exchange returns it."""
        path = self.feedback(student)
        try:
            make_folder(path.parent, shared=self._nbgrader.groupshared)
            for name in EXCHANGED:
                with suppress(SubmissionError, FileNotFoundError):
                    file = self.autograded(student).parent / name
                    found = read_file(file, trusted_folder(self._nbgrader, file), LONGEST_TIMESTAMP)
                    write_text(path.parent / name, found.content.decode("utf-8", "replace"))
            write_text(path, page)
            self._feedback.set_permissions(self.assignment, student)
        except OSError as error:
            raise CourseError(f"{error.filename or path} cannot be written: {error.strerror}.") from error

    def clear_up(self) -> None:
        """Delete the temporary folders of a run that was killed."""
        for folder in self.course.private_folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _copy_handed_in(self, student: str, target: Path) -> None:
        """Copy a student's files but the notebooks and what the course ignores; links and large files are left out."""
        folder, trusted, ignored = self.submitted(student), self.trusted(student), [*self._nbgrader.ignore, "*.ipynb"]

        def is_kept(name: str) -> bool:
            return not is_configuration(name) and not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)

        left = self._nbgrader.max_dir_size * 1000
        for entry in walk(folder, trusted, is_kept):
            if entry.kind != "file" or not is_kept(entry.path.name) or entry.status.st_size > left:
                continue
            path = target / entry.path
            # what the instructor has put there stays, a file in place of a folder too
            with suppress(SubmissionError, FileNotFoundError, FileExistsError, NotADirectoryError):
                path.parent.mkdir(parents=True, exist_ok=True)
                most = min(left, self._nbgrader.max_file_size * 1000)
                left -= copy_file(folder / entry.path, trusted, path, most).st_size

    @cached_property
    def _given_out(self) -> list[tuple[str, str]]:
        """The instructor's files that belong with every autograded notebook: paths, and their names in its folder."""
        kept = set(self._autograde.exclude_overwriting.get(self.assignment, []))
        folder = self.course.exercise_path(self.assignment).parent
        files = find_all_files(str(folder), [*self._nbgrader.ignore, "*.ipynb"])
        return [(path, name) for path in files if (name := os.path.relpath(path, folder)) not in kept]
