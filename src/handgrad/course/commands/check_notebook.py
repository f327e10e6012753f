"""Check one notebook, alone: find its exercise, draw seeds, grade it. No course and no gradebook is needed."""

import functools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import nbformat

import handgrad
from handgrad.course.course import Course
from handgrad.errors import CourseError, SubmissionError
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.exercise.release_file import EXERCISE_FILE, read_released
from handgrad.grading.grader import Grader, GradingResult
from handgrad.grading.settings import GradingSettings
from handgrad.notebook.reading import read_notebook
from handgrad.notebook.syntax import ParsedCell
from handgrad.report.records import Verdict
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.submission.find_notebook import find_notebook
from handgrad.submission.submission import Submission

__all__ = ["check", "exercise_for", "gradients", "verdict"]

PACKAGED = Path(handgrad.__file__).parent / "exercises"
"""The released exercises that come with handgrad: `make release` puts them there."""


def check(
    path: Path,
    exercise: Exercise | None = None,
    course: Course | None = None,
    renames: Sequence[str] = (),
    process: WarmProcess | None = None,
) -> GradingResult:
    """Grade the notebook at ``path`` with fresh hidden seeds.

    Parameters
    ----------
    path
        A student's notebook, or a folder with one.
    exercise
        What it answers; found by :func:`exercise_for` unless given.
    course
        Whose marking policy, limits and sizes of hidden passes hold; handgrad's own unless given.
    renames
        ``THEIRS=OURS`` for each name of the notebook that the exercise calls otherwise.
    process
        A warm process that has been started already; one is started unless given.

    Raises
    ------
    RenameError
        One of ``renames`` cannot be followed.
    SubmissionError
        The file is not a notebook, or holds no answer to the exercise.
    ExerciseError, CourseError
        No exercise is found, or it cannot be graded.
    """
    note = ""
    if path.is_dir():
        path, note = _inside(path, exercise)
    notebook = read_notebook(path)
    exercise = exercise or exercise_for(path, notebook)
    submission = Submission.of(notebook, exercise, renames)
    if note:
        submission = replace(submission, note=" ".join(one for one in (note, submission.note) if one))
    settings = course.settings if course else GradingSettings()
    # seeds of its own for every check: numbers copied from the notebook's own data are worth nothing here either
    # the notebook is one's own: it is checked also where nothing isolates it, and the report says so
    seeds = [secrets.randbits(48)]
    with Grader(exercise, seeds, settings.trusted(), process) as grader:
        return grader.grade(submission)


def _inside(folder: Path, exercise: Exercise | None) -> tuple[Path, str]:
    """The notebook in a folder, and what is to be said of the choice."""
    if exercise is None:
        released = folder / EXERCISE_FILE
        if not released.is_file():
            raise SubmissionError(f"{folder} is a folder: name the notebook in it, or its exercise with --exercise.")
        exercise = read_released(released)
    found = find_notebook(folder, exercise)
    if found.path is None:
        raise SubmissionError(found.note or f"there is no notebook in {folder}.")
    return found.path, found.note


def exercise_for(path: Path, notebook: nbformat.NotebookNode) -> Exercise:
    """The exercise that ``notebook`` answers.

    It is one of the course around it; else the one released beside it (``exercise.json``); else one of the course
    around the current folder; else one that comes with handgrad. Of several it is the one with which it shares most
    grade_ids, or most of whose gradients it assigns; of two that are alike in this, the one that asks for less.
    """
    ids = {grade_id(cell) for cell in notebook.cells} - {""}
    names = _assigned(notebook)

    def shared(exercise: Exercise) -> tuple[int, int, int]:
        every = [cell.name for cell in exercise.cells if cell.name]
        return (
            len(ids.intersection(exercise.stubs)),
            len(ids.intersection(every)),
            len(names.intersection(exercise.tensor_of)),
        )

    def fits(exercise: Exercise) -> bool:
        stubs, _, assigned = shared(exercise)
        return bool(stubs or assigned)

    def fit(exercise: Exercise) -> tuple[tuple[int, int, int], bool, int]:
        # the name breaks ties: a notebook without metadata is still called after its exercise
        asked = len(exercise.stubs) if fits(exercise) else 0
        return shared(exercise), path.stem.startswith(exercise.name), -asked

    first = None
    for exercises in filter(None, _offers(path.resolve().parent)):
        best = max(exercises, key=fit)
        if fits(best):
            return best
        first = first or best
    # at least the exercises that come with handgrad were offered
    assert first is not None
    return first


def _offers(folder: Path) -> Iterator[list[Exercise]]:
    """The exercises that a notebook in ``folder`` may answer, the likeliest place first."""
    around, beside = _exercises_around(folder), folder / EXERCISE_FILE
    yield around
    # inside a course (in submitted/) what lies beside a notebook is a student's: its cells must not run here
    if not around and beside.is_file():
        yield [read_released(beside)]
    yield _exercises_around(Path.cwd())
    yield [read_released(path) for path in sorted(PACKAGED.glob(f"*/{EXERCISE_FILE}"))]


def _assigned(notebook: nbformat.NotebookNode) -> set[str]:
    """Every name that a notebook assigns."""
    parsed = (ParsedCell.of(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    return {name for one in parsed if one for name in one.names()}


def _exercises_around(start: Path) -> list[Exercise]:
    """The exercises of the course that ``start`` lies in; none outside a course."""
    try:
        course = Course.at(start)
    except CourseError:
        return []
    return [course.exercise(name) for name in course.assignments()]


def gradients(folder: Path) -> tuple[str, ...]:
    """The answers that the exercise released in ``folder`` asks for, in order."""
    return tuple(check.gradient for check in read_released(folder / EXERCISE_FILE).checks)


def verdict(folder: Path, gradient: str) -> Verdict:
    """The verdict on one answer of the notebook in ``folder``; the notebook is graded once."""
    return next(check for check in _graded(folder).report.checks if check.gradient == gradient)


@functools.cache
def _graded(folder: Path) -> GradingResult:
    exercise = read_released(folder / EXERCISE_FILE)
    return check(folder / f"{exercise.name}.ipynb", exercise)
