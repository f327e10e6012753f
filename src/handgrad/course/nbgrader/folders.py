"""A course's folders of handed-in, autograded and returned notebooks, laid out as nbgrader's configuration says."""

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
"""What nbgrader's exchange has put beside a submission, and looks for beside its feedback."""
ROOM = "autograded-"
"""How a folder is called, in the course's workshop, in which an autograded folder is made."""


class Folders:
    """The folders of one assignment's students."""

    def __init__(self, course: Course, assignment: str) -> None:
        self.course, self.assignment = course, assignment
        config = copy.deepcopy(course.config)
        config.CourseDirectory.root = str(course.root)
        self._nbgrader = CourseDirectory(config=config, assignment_id=assignment)
        self._autograde = Autograde(coursedir=self._nbgrader, config=config)
        self._feedback = GenerateFeedback(coursedir=self._nbgrader, config=config)

    @property
    def database(self) -> tuple[str, str]:
        """Address of the gradebook's database, and the course's id in it."""
        return self._nbgrader.db_url, self._nbgrader.course_id

    def submitted(self, student: str) -> Path:
        """The folder that a student handed in."""
        return self._path(self._nbgrader.submitted_directory, student)

    def leads_away(self, student: str) -> bool:
        """Whether a student's folder is a link, or lies behind one, to somewhere else."""
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
        """The students who handed in something, sorted; those whose names fit one of ``patterns``, if there are any.

        Raises
        ------
        CourseError
            A pattern fits nobody.
        """
        excluded = {name.strip() for name in self._nbgrader.student_id_exclude.split(",")}
        found = sorted(self._with_folder() - excluded)
        fitting = {pattern: fnmatch.filter(found, pattern) for pattern in patterns}
        for pattern, names in fitting.items():
            if not names:
                raise CourseError(
                    f"nobody called {pattern!r} has handed in {self.assignment}." + closest(pattern, found)
                )
        return sorted({name for names in fitting.values() for name in names}) if patterns else found

    def _with_folder(self) -> set[str]:
        """The students for whom there is a folder of the assignment."""
        step = self._nbgrader.submitted_directory
        shape = re.compile(
            self._nbgrader.format_path(step, "(?P<student>[^/]*)", re.escape(self.assignment), escape=True)
        )
        pattern = self._nbgrader.format_path(glob.escape(step), "*", glob.escape(self.assignment))
        found = self.course.root.glob(os.path.relpath(pattern, self.course.root))
        return {match["student"] for path in found if path.is_dir() and (match := shape.fullmatch(str(path)))}

    def timestamp(self, student: str) -> datetime | None:
        """When a student handed in, in UTC, as the folder's ``timestamp.txt`` says; None where nothing does.

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
            found: datetime | None = parse_utc(text) if text else None
        except (ValueError, OverflowError):
            raise SubmissionError(
                f"{path} holds no date but {text!r}: write when it was handed in, or delete it."
            ) from None
        return found

    def write_autograded(self, student: str, notebook: str) -> None:
        """Put an autograded notebook into its folder, with the files beside it, in the place of what is there.

        The student's files come first, then the instructor's, as in nbgrader; a link, or whatever else is no file, is
        left out.

        Raises
        ------
        CourseError
            The folder cannot be written.
        """
        target = self.autograded(student).parent
        try:
            made = self.course.private_folder / f"{ROOM}{uuid4().hex}"
            made.mkdir()
            try:
                for path, name in self._beside(student):
                    (made / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, made / name)
                (made / f"{self.assignment}.ipynb").write_text(notebook, encoding="utf-8")
                self._swap(made, target)
            finally:
                shutil.rmtree(made, ignore_errors=True)
            self._autograde.set_permissions(self.assignment, student)
        except OSError as error:
            raise CourseError(f"{error.filename or target} cannot be written: {error.strerror}.") from error

    def write_feedback(self, student: str, page: str) -> None:
        """Put a feedback page into its folder, and beside it what nbgrader's exchange needs to return it.

        Raises
        ------
        CourseError
            The folder cannot be written.
        """
        path = self.feedback(student)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for name in EXCHANGED:
                if (beside := self.autograded(student).parent / name).is_file():
                    write_text(path.parent / name, beside.read_text(encoding="utf-8", errors="replace"))
            write_text(path, page)
            self._feedback.set_permissions(self.assignment, student)
        except OSError as error:
            raise CourseError(f"{error.filename or path} cannot be written: {error.strerror}.") from error

    def clear_up(self) -> None:
        """Take away what a run that was killed has left half-made."""
        for room in self.course.private_folder.glob(f"{ROOM}*"):
            shutil.rmtree(room, ignore_errors=True)

    def forget_feedback(self, student: str) -> None:
        """Take away a feedback page that is no longer true."""
        self.feedback(student).unlink(missing_ok=True)

    def _beside(self, student: str) -> Iterator[tuple[str, str]]:
        """The files that belong beside an autograded notebook: paths, and their names in its folder."""
        for path, name in self._found(self.submitted(student)):
            if _is_plain(path, self._nbgrader.max_file_size * 1000):
                yield path, name
        yield from self._given_out

    @cached_property
    def _given_out(self) -> list[tuple[str, str]]:
        """The instructor's files that belong beside every autograded notebook: paths, and their names there."""
        kept = set(self._autograde.exclude_overwriting.get(self.assignment, []))
        found = self._found(self.course.exercise_path(self.assignment).parent)
        return [(path, name) for path, name in found if name not in kept]

    def _found(self, folder: Path) -> Iterator[tuple[str, str]]:
        """The files in a folder that are no notebooks and that the course does not ignore, with their names in it."""
        for path in find_all_files(str(folder), [*self._nbgrader.ignore, "*.ipynb"]):
            yield path, os.path.relpath(path, folder)

    def _swap(self, made: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            rmtree(str(target))
        made.rename(target)


def _is_plain(path: str, most: int) -> bool:
    facts = os.lstat(path)
    return stat.S_ISREG(facts.st_mode) and facts.st_size <= most
