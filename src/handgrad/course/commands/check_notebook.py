"""Check one notebook: find its exercise, draw seeds, grade it. Needs no course and no gradebook."""

import functools
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nbformat

import handgrad
from handgrad.course import hand_ins
from handgrad.course.course import CONFIG, Course
from handgrad.errors import ExerciseError, HandgradError, RenameError, SubmissionError, closest
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.exercise.release_file import EXERCISE_FILE, read_released
from handgrad.grading.confined_grader import ConfinedGrader
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.notebook.reading import read_notebook
from handgrad.notebook.syntax import ParsedCell
from handgrad.notebook.text_limits import limited
from handgrad.own_forward_pass.check import NothingToCheck, OwnCheck
from handgrad.own_forward_pass.known_exercise import ExerciseLines
from handgrad.report import wording
from handgrad.report.records import Report, Verdict
from handgrad.sandbox.sandbox import Required, enough
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.student import installation
from handgrad.submission.alignment import Alignment
from handgrad.submission.find_notebook import find_notebook
from handgrad.submission.submission import Submission

__all__ = ["check", "check_own", "exercise_for", "failure", "forward_lines", "gradients", "is_own", "verdict"]

ENOUGH_ANSWERS = 3
"""Gradients of an exercise that a notebook must assign, if nothing else says that it follows the exercise."""
_OWN = ("source", "release", "solutions")
PACKAGED = Path(handgrad.__file__).parent / "exercises"
"""The released exercises in the package, written by `make release`."""


def check(
    path: Path,
    exercise: Exercise | None = None,
    course: Course | None = None,
    renames: Sequence[str] = (),
    process: WarmProcess | None = None,
    *,
    require_isolation: Required = "none",
    holds: bool = True,
) -> Report:
    """Grade the notebook at ``path`` against an exercise, with fresh hidden seeds.

    Parameters
    ----------
    path
        A student's notebook, or a folder with one.
    exercise
        The exercise that it answers (default: found by :func:`exercise_for`).
    course
        The course with the marking policy, limits and sizes of hidden passes, and perhaps the exercise (default:
        handgrad's own).
    renames
        ``THEIRS=OURS`` for each name that differs between the notebook and the exercise.
    process
        A warm process that has been started already (default: one is started).
    require_isolation
        The least isolation with which the notebook is run, unless the course's settings trust submissions.
    holds
        Whether a right answer that is not plain arithmetic is held for review; else the report only says so.

    Raises
    ------
    IsolationError
        There is less isolation than is required; nothing of the notebook was run.
    RenameError
        One of ``renames`` is not possible.
    SubmissionError
        The file is not a notebook, or has no answer to the exercise.
    ExerciseError, CourseError
        No exercise is found, or it cannot be graded.
    """
    note = ""
    with _readable(path):
        if path.is_dir():
            path, note = _inside(path, exercise)
        notebook = read_notebook(path, hand_ins.trusted_folder(path, CONFIG))
        exercise = _shipped(exercise) if exercise else exercise_for(path, notebook, course)
    settings = replace(course.settings if course else GradingSettings(), holds=holds)
    # a new seed for every check: numbers copied from an earlier one earn nothing
    seeds = [secrets.randbits(48)]
    required = "none" if settings.trust else require_isolation
    # students check their own notebooks: without isolation it runs too, and the report says so
    settings = replace(settings, trust=True)
    if not exercise.is_trusted:
        report = ConfinedGrader(exercise, seeds, settings, renames, required).report(notebook, process)
    else:
        with _readable(path):
            submission = Submission.of(notebook, exercise, renames)
        with Grader(exercise, seeds, settings, process) as grader, _readable(path):
            enough(required, grader.sandbox.isolation)
            report = grader.grade(submission).report
    untried = f"Note: {why}." if (why := installation.why_untried_torch()) else ""
    return replace(report, message=" ".join(filter(None, (note, report.message, untried))))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Limit the time and memory that the text at ``path`` takes, and let a parser that fails at it say so in words."""
    try:
        with limited():
            yield
    except HandgradError:
        raise
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SubmissionError(
            f"{path} cannot be graded: reading it fails ({type(error).__name__}: {error}). Look for a cell with very "
            "long or deeply nested text."
        ) from error


def check_own(
    path: Path,
    renames: Sequence[str] = (),
    data: Sequence[Path] = (),
    process: WarmProcess | None = None,
    require_isolation: Required = "none",
) -> Report:
    """Check the notebook at ``path``: against its own forward pass, unless it was made from a release.

    Parameters, if not as for :func:`check`, and errors:

    data
        Files that the notebook opens and that are not beside it.

    Raises
    ------
    NothingToCheck
        No loss was reached in it, or no gradient was found.
    RenameError, SubmissionError, ExerciseError, CourseError
        As for :func:`check`.
    """
    if path.is_dir():
        return check(path, renames=renames, process=process, require_isolation=require_isolation, holds=False)
    with _readable(path):
        notebook = read_notebook(path, hand_ins.trusted_folder(path, CONFIG))
        exercise = exercise_for(path, notebook)
        own = is_own(notebook, exercise)
    if missing := [str(path) for path in data if not path.is_file()]:
        raise SubmissionError(f"--data {missing[0]}: there is no such file.")
    if not own:
        return check(path, exercise, None, renames, process, require_isolation=require_isolation, holds=False)
    known = [exercise, *(packaged for packaged in _packaged() if packaged.name != exercise.name)]
    names = (PACKAGED / "backprop" / "names.txt").read_bytes()
    lines, theirs = list(map(forward_lines, known)), _renames(renames, notebook, exercise)
    try:
        return OwnCheck(path, notebook, lines, names, data, theirs).report(process, require_isolation)
    except NothingToCheck as nothing:
        return _fallback(path, notebook, exercise, renames, nothing, require_isolation=require_isolation)


def is_own(notebook: nbformat.NotebookNode, exercise: Exercise) -> bool:
    """Whether a notebook was not made from a release: it has no stub and no setup cell of an exercise."""
    # the exercise first: for a release the others need not be read
    return Alignment(notebook.cells, exercise).is_foreign and all(
        Alignment(notebook.cells, packaged).is_foreign for packaged in _packaged() if packaged.name != exercise.name
    )


def _fallback(
    path: Path,
    notebook: nbformat.NotebookNode,
    exercise: Exercise,
    renames: Sequence[str],
    nothing: NothingToCheck,
    *,
    require_isolation: Required,
) -> Report:
    """The report against the exercise, for a notebook with some of its answers in which no loss was reached."""
    try:
        with _readable(path):
            written = Submission.of(notebook, exercise, renames).written()
    except SubmissionError:
        written = set()
    uses_torch = any("torch" in str(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    if len(written) < ENOUGH_ANSWERS or not uses_torch:
        raise SubmissionError(f"{path}: {nothing}") from nothing
    report = check(path, exercise, renames=renames, require_isolation=require_isolation, holds=False)
    said = f"{nothing} So the answers were checked against the forward pass of {exercise.name}."
    return replace(report, message=" ".join(filter(None, (said, report.message))))


def forward_lines(exercise: Exercise) -> ExerciseLines:
    """The forward pass of an exercise, as far as it is written in single lines."""
    tensors = {*exercise.tensor_of.values()}
    return ExerciseLines.of(exercise.name, exercise.tensors, tensors, exercise.setup({}))


def _renames(options: Sequence[str], notebook: nbformat.NotebookNode, exercise: Exercise) -> dict[str, str]:
    """The tensor by the variable, from ``VARIABLE=TENSOR`` options; ``VARIABLE=dTENSOR`` says the same.

    An option of another form, a variable that the notebook lacks, or a tensor that nothing has is a RenameError.
    """
    words = {word for cell in notebook.cells for word in re.findall(r"\w+", str(cell.source))}
    known = words | {*exercise.tensors.values()}
    names: dict[str, str] = {}
    for option in options:
        variable, _, tensor = (part.strip() for part in option.partition("="))
        if not (variable.isidentifier() and tensor.isidentifier()):
            raise RenameError(f"--rename {option} is not VARIABLE=TENSOR, two names such as g1=probs.")
        if variable not in words:
            raise RenameError(f"--rename {option}: the notebook has no {variable}.{closest(variable, words)}")
        tensor = tensor if tensor in words else exercise.tensors.get(tensor, tensor)
        if tensor not in known:
            raise RenameError(f"--rename {option}: there is no tensor {tensor}.{closest(tensor, known)}")
        names[variable] = tensor
    return names


def _inside(folder: Path, exercise: Exercise | None) -> tuple[Path, str]:
    """The notebook in a folder, and a note on the choice."""
    if exercise is None:
        released = folder / EXERCISE_FILE
        if not released.is_file():
            raise SubmissionError(f"{folder} is a folder: name the notebook in it, or its exercise with --exercise.")
        exercise = read_released(released)
    found = find_notebook(folder, exercise, hand_ins.trusted_folder(folder, CONFIG))
    if found.path is None:
        raise SubmissionError(found.note or f"there is no notebook in {folder}.")
    if found.content is not None:
        raise SubmissionError(f"the notebook is in an archive, {found.path}: unpack it, and check it then.")
    return found.path, found.note


def exercise_for(path: Path, notebook: nbformat.NotebookNode, course: Course | None = None) -> Exercise:
    """The exercise that ``notebook`` answers.

    Searched in this order: the ``course``; the course around the current folder, for a notebook in its own source,
    release or solutions; the ``exercise.json`` next to the notebook, which is not trusted unless it is one of ours; the
    exercises in the package. Of several exercises the one counts that shares most grade_ids with the notebook, then the
    one with most gradients assigned in it, then the one with fewest answers.

    Nothing that lies beside the notebook is executed: it may have been handed in with it.
    """
    ids = {grade_id(cell) for cell in notebook.cells} - {""}
    parsed = (ParsedCell.of(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    names = {name for cell in parsed if cell for name in cell.names()}

    def fit(exercise: Exercise) -> tuple[int, int, int, bool, int]:
        stubs, assigned = len(ids.intersection(exercise.stubs)), len(names.intersection(exercise.tensor_of))
        every = len(ids.intersection(cell.name for cell in exercise.cells))
        # the name breaks ties: a notebook without metadata may still have its exercise's name
        is_named = path.stem.startswith(exercise.name)
        return stubs, every, assigned, is_named, -len(exercise.stubs) if stubs or assigned else 0

    first = None
    for exercises in filter(None, _candidates(path.resolve(), course)):
        best = max(exercises, key=fit)
        stubs, _, assigned, *_ = fit(best)
        if stubs or assigned:
            return best
        first = first or best
    # there are always the exercises in the package
    assert first is not None
    return first


def _candidates(path: Path, course: Course | None) -> Iterator[list[Exercise]]:
    """The exercises that the notebook at ``path`` may answer, by place."""
    if course:
        yield _exercises_of(course, path)
    if own := _own_course(path):
        yield _exercises_of(own, path)
    # what was handed in is to be graded against the exercise of the course, or ours
    if (released := path.parent / EXERCISE_FILE).is_file() and not hand_ins.around(path.parent, CONFIG):
        yield [_shipped(read_released(released))]
    yield list(_packaged())


@functools.cache
def _packaged() -> tuple[Exercise, ...]:
    """The exercises in the package."""
    return tuple(map(_ours, sorted(PACKAGED.glob(f"*/{EXERCISE_FILE}"))))


@functools.cache
def _ours(path: Path) -> Exercise:
    """An exercise in the package, which is trusted."""
    return replace(read_released(path), released_in=None)


def _shipped(exercise: Exercise) -> Exercise:
    """The exercise in the package that is the same, or else the exercise itself."""
    if exercise.is_trusted:
        return exercise
    same_name = (path for path in PACKAGED.glob(f"*/{EXERCISE_FILE}") if path.parent.name == exercise.name)
    return next((found for found in map(_ours, same_name) if found.digest == exercise.digest), exercise)


def _own_course(path: Path) -> Course | None:
    """The course around the current folder, if the notebook at ``path`` is one of its own.

    Its configuration is not run. A folder of files that were handed in is nobody's course.
    """
    here = Path.cwd().resolve()
    root = next((folder for folder in (here, *here.parents) if (folder / CONFIG).is_file()), None)
    if root is None or hand_ins.around(root, CONFIG):
        return None
    course = Course(root)
    return course if any(path.is_relative_to(course.folder(kind)) for kind in _OWN) else None


def _exercises_of(course: Course, path: Path) -> list[Exercise]:
    """The exercises of a course; an assignment that is none matters only if the notebook at ``path`` is named so."""
    found = []
    for name in course.assignments():
        try:
            found.append(course.exercise(name))
        except ExerciseError:
            if name in (path.stem, path.parent.name):
                raise
    return found


def gradients(folder: Path) -> tuple[str, ...]:
    """The answers of the exercise released in ``folder``, in order."""
    return tuple(check.gradient for check in read_released(folder / EXERCISE_FILE).checks)


def verdict(folder: Path, gradient: str) -> Verdict:
    """The verdict on one answer of the notebook in ``folder``; the notebook is graded once."""
    return next(check for check in _checked(folder).checks if check.gradient == gradient)


def failure(folder: Path, gradient: str) -> str:
    """Why one answer of the notebook in ``folder`` is not right, in sentences; empty if it is."""
    try:
        found = verdict(folder, gradient)
    except HandgradError as error:
        return str(error)
    return "" if found.outcome == "passed" else wording.sentence(found)


@functools.cache
def _checked(folder: Path) -> Report:
    exercise = read_released(folder / EXERCISE_FILE)
    return check(folder / f"{exercise.name}.ipynb", exercise)
