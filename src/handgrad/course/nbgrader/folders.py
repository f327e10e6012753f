"""A course's folders submitted/, autograded/ and feedback/, with the layout of nbgrader's configuration."""

import copy
import fnmatch
import glob
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import find_all_files, parse_utc, rmtree

from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.errors import CourseError, SubmissionError, closest

__all__ = ["Folders"]

TIMESTAMP = "timestamp.txt"
EXCHANGED = (TIMESTAMP, "submission_secret.txt")
"""Files that nbgrader's exchange writes next to a submission, and needs next to its feedback."""
TEMPORARY = "autograded-"
"""Prefix of temporary folders in the course's private folder, in which an autograded folder is built."""


class Folders:
    """The folders of one assignment's students; what cannot be written is a :class:`CourseError`."""

    def __init__(self, course: Course, assignment: str) -> None:
        self.course, self.assignment = course, assignment
        config = copy.deepcopy(course.config)
        config.CourseDirectory.root = str(course.root)
        self._nbgrader = CourseDirectory(config=config, assignment_id=assignment)
        self._autograde = Autograde(coursedir=self._nbgrader, config=config)
        self._feedback = GenerateFeedback(coursedir=self._nbgrader, config=config)

    @property
    def database(self) -> tuple[str, str]:
        """URL of the gradebook's database, and the course's id in it."""
        return self._nbgrader.db_url, self._nbgrader.course_id

    def submitted(self, student: str) -> Path:
        """The folder that a student handed in."""
        return self._path(self._nbgrader.submitted_directory, student)

    def leads_away(self, student: str) -> bool:
        """Whether a student's folder, or a folder above it, is a link to somewhere else."""
        folder, root = self.submitted(student), self.course.root / self._nbgrader.submitted_directory
        return bool(folder.resolve() != root.resolve() / folder.relative_to(root))

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

        Raises
        ------
        CourseError
            A pattern matches nobody.
        """
        excluded = {name.strip() for name in self._nbgrader.student_id_exclude.split(",")}
        students = sorted(self._with_folder() - excluded)
        matching = {pattern: fnmatch.filter(students, pattern) for pattern in patterns}
        for pattern, names in matching.items():
            if not names:
                raise CourseError(
                    f"nobody called {pattern!r} has handed in {self.assignment}." + closest(pattern, students)
                )
        return sorted({name for names in matching.values() for name in names}) if patterns else students

    def _with_folder(self) -> set[str]:
        """The students with a folder for the assignment."""
        step = self._nbgrader.submitted_directory
        shape = re.compile(
            self._nbgrader.format_path(step, "(?P<student>[^/]*)", re.escape(self.assignment), escape=True)
        )
        pattern = self._nbgrader.format_path(glob.escape(step), "*", glob.escape(self.assignment))
        folders = self.course.root.glob(os.path.relpath(pattern, self.course.root))
        return {match["student"] for path in folders if path.is_dir() and (match := shape.fullmatch(str(path)))}

    def timestamp(self, student: str) -> datetime | None:
        """When a student handed in, in UTC, from the folder's ``timestamp.txt``; None if there is none.

        Raises
        ------
        SubmissionError
            The file does not hold a date.
        """
        path = self.submitted(student) / TIMESTAMP
        if not path.is_file():
            return None
        text = path.read_bytes()[:100].decode("utf-8", "replace").strip()
        try:
            time: datetime | None = parse_utc(text) if text else None
        except (ValueError, OverflowError):
            raise SubmissionError(
                f"{path} holds {text!r}, which is not a date: write when it was handed in, or delete the file."
            ) from None
        return time

    def write_autograded(self, student: str, notebook: str) -> None:
        """Replace a student's autograded folder by ``notebook`` and the files that belong with it; its page is deleted.

        The student's files are copied first, then the instructor's, as in nbgrader; links and other special files are
        left out.
        """
        target = self.autograded(student).parent
        try:
            temporary = self.course.private_folder / f"{TEMPORARY}{uuid4().hex}"
            temporary.mkdir()
            try:
                for path, name in self._files_with(student):
                    (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, temporary / name)
                (temporary / f"{self.assignment}.ipynb").write_text(notebook, encoding="utf-8")
                target.parent.mkdir(parents=True, exist_ok=True)
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
            path.parent.mkdir(parents=True, exist_ok=True)
            for name in EXCHANGED:
                if (file := self.autograded(student).parent / name).is_file():
                    write_text(path.parent / name, file.read_text(encoding="utf-8", errors="replace"))
            write_text(path, page)
            self._feedback.set_permissions(self.assignment, student)
        except OSError as error:
            raise CourseError(f"{error.filename or path} cannot be written: {error.strerror}.") from error

    def clear_up(self) -> None:
        """Delete the temporary folders of a run that was killed."""
        for folder in self.course.private_folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _files_with(self, student: str) -> Iterator[tuple[str, str]]:
        """The files that belong with an autograded notebook: paths, and their names in its folder."""
        for path, name in self._files_in(self.submitted(student)):
            facts = os.lstat(path)
            if stat.S_ISREG(facts.st_mode) and facts.st_size <= self._nbgrader.max_file_size * 1000:
                yield path, name
        yield from self._given_out

    @cached_property
    def _given_out(self) -> list[tuple[str, str]]:
        """The instructor's files that belong with every autograded notebook: paths, and their names in its folder."""
        kept = set(self._autograde.exclude_overwriting.get(self.assignment, []))
        files = self._files_in(self.course.exercise_path(self.assignment).parent)
        return [(path, name) for path, name in files if name not in kept]

    def _files_in(self, folder: Path) -> Iterator[tuple[str, str]]:
        """The files in a folder, except notebooks and those that the course ignores, with their names in it."""
        for path in find_all_files(str(folder), [*self._nbgrader.ignore, "*.ipynb"]):
            yield path, os.path.relpath(path, folder)
