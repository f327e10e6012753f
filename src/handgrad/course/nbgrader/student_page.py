"""A released notebook as one HTML page, after a student's first *Run All*. It runs cells: only for an author's own."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor
from traitlets.config import Config

from handgrad.course.course import Course
from handgrad.errors import CourseError
from handgrad.exercise.exercise import grade_id

__all__ = ["student_page"]


def student_page(course: Course, path: Path, title: str) -> tuple[str, str]:
    """The page of the notebook at ``path``, run in its folder, and why *Run All* stops; empty if it does not.

    The course's settings ``c.ExecutePreprocessor`` hold, such as the time for one cell. A kernel that cannot be
    started, or that dies, is a CourseError.
    """
    with TemporaryDirectory() as folder:
        # nbclient leaves this file where a kernel that is being started is stopped
        connection = {"connection_file": str(Path(folder, "kernel.json"))}
        return _run(Config(course.config, ConnectionFileMixin=connection), path, title)


def _run(config: Config, path: Path, title: str) -> tuple[str, str]:
    notebook, stopped, begun = nbformat.read(path, as_version=4), "", list[int]()
    run = ExecutePreprocessor(
        config=config,
        # a kernel logs warnings about its transport, and errors if it is stopped
        extra_arguments=["--log-level=CRITICAL"],
        on_cell_start=lambda cell, cell_index: begun.append(cell_index),
    )
    try:
        run.preprocess(notebook, {"metadata": {"path": str(path.parent)}})
    except (CellExecutionError, CellTimeoutError) as error:
        why = (
            f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error).partition("\n")[0]
        )
        stopped = f"Run All stops at cell {grade_id(notebook.cells[begun[-1]]) or begun[-1] + 1} ({why.rstrip('.')})"
    except (DeadKernelError, NoSuchKernel) as error:
        raise CourseError(f"{path.name} cannot be run: {error}.") from error
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook, {"metadata": {"name": title}})
    return page, stopped
