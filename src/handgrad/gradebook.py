"""nbgrader's database and folders, as `handgrad grade` uses them."""

import logging
import os
import shutil
import sys
import tempfile
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
from sqlalchemy.exc import DatabaseError, SAWarning

from handgrad.course import Course
from handgrad.errors import CourseError, HandgradError

__all__ = ["Desk"]


class _Autograde(Autograde):
    """nbgrader's converter, which keeps the error that it would only log."""

    fault: Exception | None = None

    def convert_single_notebook(self, notebook_filename: str) -> None:
        try:
            super().convert_single_notebook(notebook_filename)
        except Exception as error:
            self.fault = error
            raise


@contextmanager
def _at_work() -> Iterator[None]:
    """Leave out what nbgrader's own models make SQLAlchemy warn of, and say in one sentence what its database says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        try:
            yield
        except DatabaseError as error:
            raise CourseError(f"nbgrader's gradebook cannot be used ({error.orig}).") from error


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

    @_at_work()
    def register(self) -> None:
        """Make the gradebook know the assignment as it is now, by nbgrader's own steps, without writing a release.

        Raises
        ------
        CourseError
            nbgrader cannot make the assignment's student version, or finds cells added or taken away since students
            handed in.
        """
        coursedir = self._coursedir(".")
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            gradebook.update_or_create_assignment(self.assignment)
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

    def autograde(self, student: str, path: Path) -> None:
        """Grade a student's submission, the notebook at ``path``, as ``nbgrader autograde --force`` does.

        Raises
        ------
        HandgradError
            What kept our part from it.
        CourseError
            What kept nbgrader from it.
        """
        coursedir = self._coursedir(student)
        converter = _Autograde(coursedir=coursedir, config=self.course.config, log=self.log)
        converter.force = True
        self._forget_unscored(student)
        try:
            with _at_work(), tempfile.TemporaryDirectory(prefix="submitted-", dir=self.course.workshop) as folder:
                if path != self.course.folder("submitted") / student / self.assignment / f"{self.assignment}.ipynb":
                    # nbgrader knows a notebook by its name and its place
                    coursedir.submitted_directory = str(Path(folder).relative_to(self.course.root))
                    place = Path(folder) / student / self.assignment
                    place.mkdir(parents=True)
                    shutil.copyfile(path, place / f"{self.assignment}.ipynb")
                converter.start()
        except NbGraderException as error:
            self._forget_unscored(student)
            if isinstance(converter.fault, HandgradError):
                raise converter.fault from error
            fault = converter.fault or error
            raise CourseError(f"nbgrader: {type(fault).__name__}: {fault}") from error
        except OSError as error:
            self._forget_unscored(student)
            raise CourseError(f"{error.filename or 'a file'} cannot be written: {error.strerror}.") from error

    def _forget_unscored(self, student: str) -> None:
        """Take back the row that nbgrader made before it failed: without a score it would count as zero."""
        coursedir = self._coursedir()
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            try:
                submission = gradebook.find_submission(self.assignment, student)
            except MissingEntry:
                return
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            if all(grade.auto_score is None and grade.manual_score is None for grade in grades):
                gradebook.remove_submission(self.assignment, student)

    def feedback(self, student: str) -> None:
        """Write a student's feedback page as ``nbgrader generate_feedback --force`` does."""
        converter = GenerateFeedback(coursedir=self._coursedir(student), config=self.course.config, log=self.log)
        converter.force = True
        try:
            with _at_work():
                converter.start()
        except (NbGraderException, OSError, ValueError) as error:
            raise CourseError(f"nbgrader: {error}") from error
