"""nbgrader's database and folders, as `handgrad grade` uses them."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import SaveCells
from sqlalchemy.exc import SAWarning

from handgrad.course import Course
from handgrad.errors import CourseError, HandgradError

__all__ = ["Desk"]


class _Autograde(Autograde):
    """nbgrader's converter, which tells the first error of ours from the ones it only logs."""

    fault: HandgradError | None = None

    def convert_single_notebook(self, notebook_filename: str) -> None:
        try:
            super().convert_single_notebook(notebook_filename)
        except HandgradError as error:
            self.fault = error
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what nbgrader's own models make SQLAlchemy warn of: an instructor can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


class Desk:
    """One assignment of one course, seen from the instructor's desk."""

    def __init__(self, course: Course, assignment: str) -> None:
        self.course, self.assignment = course, assignment
        # nbgrader asks for the program alembic by name, also where the environment is not activated
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self.log = logging.getLogger("handgrad.nbgrader")
        self.log.setLevel(logging.CRITICAL)

    def _coursedir(self, student: str = "*") -> CourseDirectory:
        config = self.course.config.copy()
        config.CourseDirectory.root = str(self.course.root)
        return CourseDirectory(config=config, assignment_id=self.assignment, student_id=student)

    def students(self) -> list[str]:
        """Students with a folder for the assignment, sorted."""
        pattern = self._coursedir().format_path(self.course.folder("submitted").name, "*", self.assignment)
        return sorted(
            path.parent.name for path in self.course.root.glob(str(Path(pattern).relative_to(self.course.root)))
        )

    def register(self) -> None:
        """Make the gradebook know the assignment, by nbgrader's own steps, without writing a release.

        Raises
        ------
        CourseError
            nbgrader cannot make the assignment's student version.
        """
        coursedir = self._coursedir(".")
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            try:
                gradebook.find_notebook(self.assignment, self.assignment)
            except MissingEntry:
                gradebook.update_or_create_assignment(self.assignment)
            else:
                return
        notebook = nbformat.read(self.course.exercise_path(self.assignment), as_version=4)
        ids = {"assignment": self.assignment, "notebook": self.assignment, "student": ".", "db_url": coursedir.db_url}
        resources = {"nbgrader": ids}
        try:
            for step in GenerateAssignment(config=self.course.config).preprocessors:
                notebook, resources = step(config=self.course.config, log=self.log).preprocess(notebook, resources)
                if step is SaveCells:
                    return
        except (RuntimeError, ValueError) as error:
            raise CourseError(f"nbgrader cannot make the student's version of {self.assignment}: {error}.") from error

    def autograde(self, student: str) -> None:
        """Grade a student's submission as ``nbgrader autograde --force`` does.

        Raises
        ------
        HandgradError
            What kept our part from it.
        CourseError
            What kept nbgrader from it.
        """
        converter = _Autograde(coursedir=self._coursedir(student), config=self.course.config, log=self.log)
        converter.force = True
        try:
            with _quiet():
                converter.start()
        except NbGraderException as error:
            raise converter.fault or CourseError(f"nbgrader: {error}") from error
        except OSError as error:
            raise CourseError(f"{error.filename or 'a file'} cannot be written: {error.strerror}.") from error

    def feedback(self, student: str) -> None:
        """Write a student's feedback page as ``nbgrader generate_feedback --force`` does."""
        converter = GenerateFeedback(coursedir=self._coursedir(student), config=self.course.config, log=self.log)
        converter.force = True
        try:
            with _quiet():
                converter.start()
        except NbGraderException as error:
            raise CourseError(f"nbgrader: {error}") from error
