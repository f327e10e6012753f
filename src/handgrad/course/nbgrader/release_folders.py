"""Write what is released beside what was released before, which is replaced only when all is written.

nbgrader deletes the old folder before it begins, and what it has written if anything fails.
"""

import copy
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment, GenerateSolution
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.preprocessors import NbGraderPreprocessor, SaveCells

from handgrad.course.nbgrader.database import at_work, refuse_other_cells, ways_out
from handgrad.course.nbgrader.source_faults import source_faults
from handgrad.errors import CourseError, ExerciseError, HandgradError
from handgrad.exercise.release_file import EXERCISE_FILE
from handgrad.notebook import tidying

__all__ = ["CheckSource", "SaveCellsLast", "write_beside"]

NEW, OLD = ".new-", ".old-"
"""What is between the assignment and a number in the names of the folders beside a released one."""


class WritesBeside(BaseConverter):
    """A converter of nbgrader's that writes beside the released folder, and replaces that when all is written.

    Attributes
    ----------
    fault
        Why a notebook could not be converted; nbgrader itself only prints it.
    beside
        Files that an exercise is released with, besides those that are written.
    is_held
        Whether the folder is replaced by a call of :meth:`replace` only.
    """

    fault: HandgradError | None = None
    beside: Sequence[Path] = ()
    is_held = False
    _new: Path | None = None
    _assignment = ""
    _saved: Sequence[tuple[NotebookNode, Any]] = ()

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        """Whether the assignment is converted; the folder that is there is left alone."""
        self._new, folder = None, Path(os.path.normpath(super()._format_dest(assignment_id, student_id)))
        with self._noted():
            _clear_up(folder)
        if folder.exists() and not self.force:
            # nbgrader leaves it as it is
            return bool(super().init_destination(assignment_id, student_id))
        if student_id in self.coursedir.student_id_exclude.split(","):
            return False
        new = folder.with_name(f".{folder.name}{NEW}{uuid4().hex}")
        if folder.exists() and self.coursedir.notebook_id != "*":
            with self._noted():
                shutil.copytree(folder, new)
        self._new, self._assignment, self._saved = new, assignment_id, ()
        return True

    def _format_dest(self, assignment_id: str, student_id: str, escape: bool = False) -> str:
        if self._new is not None and assignment_id == self._assignment and not escape:
            return str(self._new)
        return str(super()._format_dest(assignment_id, student_id, escape=escape))

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Copy the files of the source."""
        with self._noted():
            try:
                super().init_assignment(assignment_id, student_id)
            except NbGraderException as error:
                if "there are submissions" not in str(error):
                    raise
                raise CourseError(
                    f"notebooks were added to {assignment_id} or removed from it since submissions were graded, and "
                    "nbgrader's gradebook keeps the notebooks of an assignment with submissions. "
                    f"{ways_out(assignment_id)}"
                ) from error

    def convert_single_notebook(self, notebook_filename: str) -> None:
        """Convert one notebook of the source."""
        with self._noted():
            path = Path(notebook_filename)
            try:
                tidying.parse(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise CourseError(f"{path} is not a notebook that can be read ({error}).") from error
            super().convert_single_notebook(notebook_filename)

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """Finish the folder; it replaces the old one, if it is not held."""
        with self._noted():
            if self._new is not None and (self._new / EXERCISE_FILE).is_file():
                for path in self.beside:
                    shutil.copy(path, self._new)
            super().set_permissions(assignment_id, student_id)
        if self._new is not None and not self.is_held:
            self.replace()

    def save_last(self, notebook: NotebookNode, resources: Any) -> None:
        """Save the cells of a notebook when all is written."""
        self._saved = (*self._saved, (copy.deepcopy(notebook), copy.deepcopy(resources)))

    def replace(self) -> None:
        """Save the cells in the gradebook, and put the new folder into the place of the old one."""
        if self._new is None or not self._new.exists():
            return
        with self._noted():
            for notebook, resources in self._saved:
                SaveCells(parent=self.exporter).preprocess(notebook, resources)
            folder = Path(os.path.normpath(super()._format_dest(self._assignment, ".")))
            old = folder.with_name(f".{folder.name}{OLD}{uuid4().hex}")
            try:
                if os.path.lexists(folder):
                    folder.rename(old)
                self._new.rename(folder)
            finally:
                _clear_up(folder)

    def clear_up(self) -> None:
        """Delete a new folder that has replaced nothing."""
        if self._new is not None:
            shutil.rmtree(self._new, ignore_errors=True)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note an error, which nbgrader only prints, as one for the user."""
        try:
            with at_work():
                yield
        except HandgradError as error:
            self.fault = error
            raise
        except OSError as error:
            where = error.filename or self.coursedir.release_directory
            self.fault = CourseError(f"{where} cannot be written or read: {error.strerror or error}.")
            raise self.fault from error


def _clear_up(folder: Path) -> None:
    """Delete what a command that was killed has left beside a released folder, and put back what it has taken away."""
    if not folder.parent.is_dir():
        return
    for old in sorted(folder.parent.glob(f".{folder.name}{OLD}*")):
        if not os.path.lexists(folder):
            old.rename(folder)
        elif old.is_symlink():
            old.unlink()
        else:
            shutil.rmtree(old, ignore_errors=True)
    for new in folder.parent.glob(f".{folder.name}{NEW}*"):
        shutil.rmtree(new, ignore_errors=True)


def write_beside(converter: Any) -> Any:
    """Let a converter that releases or solves assignments write beside what is there; the converter."""
    kind = type(converter)
    if isinstance(converter, (GenerateAssignment, GenerateSolution)) and not isinstance(converter, WritesBeside):
        converter.__class__ = type(kind.__name__, (WritesBeside, kind), {})
    return converter


def _converter(step: NbGraderPreprocessor) -> Any:
    """The converter that runs a step; None if there is none."""
    return getattr(step.parent, "parent", None)


class CheckSource(NbGraderPreprocessor):
    """Check the instructor's notebook first, and let what was released stay if the command fails."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # nbgrader makes its steps before it deletes anything
        write_beside(_converter(self))

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Check a notebook of the source; an ExerciseError lists all of its faults."""
        folders = (Path(resources.get("metadata", {}).get("path") or "."), Path())
        if _converter(self) is not None and (faults := source_faults(nb, self.config, folders)):
            name = resources["nbgrader"]["notebook"]
            raise ExerciseError(f"{name}.ipynb cannot be released: {'; '.join(faults)}.")
        return nb, resources


class SaveCellsLast(SaveCells):
    """Save the cells of an assignment in the gradebook when all of it is written, as far as it can be."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Remember the notebook; if its cells cannot be saved, :func:`.refuse_other_cells` says so at once."""
        converter, ids = _converter(self), resources["nbgrader"]
        if not isinstance(converter, WritesBeside):
            return super().preprocess(nb, resources)
        with Gradebook(ids["db_url"], converter.coursedir.course_id) as gradebook:
            refuse_other_cells(gradebook, nb, ids["assignment"], ids["notebook"])
        converter.save_last(nb, resources)
        return nb, resources
