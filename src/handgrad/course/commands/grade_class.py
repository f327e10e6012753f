"""Grade a class: every submission of an assignment through workers, what comes back written by one writer.

A fault is one student's fault; what is done is kept, and is not done again unless something that it depends on has
changed.
"""

import fnmatch
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol, Self

from filelock import FileLock, Timeout

from handgrad.course.answer_store import AnswerStore
from handgrad.course.course import Course
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.gradebook import GradebookWriter
from handgrad.course.nbgrader.notebook_steps import GradebookRow
from handgrad.course.workers import calls
from handgrad.course.workers.pool import JobFailed, Pool
from handgrad.course.workers.task import SubmittedFile, Task, WorkerResult, without_score
from handgrad.errors import CourseError, HandgradError, SandboxError, SubmissionError
from handgrad.notebook.reading import read_content
from handgrad.report.records import Report
from handgrad.sandbox.fork_server import ForkServer
from handgrad.sandbox.warm_process import why_no_isolation
from handgrad.submission.find_notebook import find_notebook

__all__ = ["ClassGrading", "grade_class", "stored_reports", "write_feedback"]


class Watcher(Protocol):
    """Whoever wants to know how far things are."""

    def begin(self, unchanged: int, left: int) -> None:
        """Told once, before the first submission is graded."""

    def take(self, report: Report) -> None:
        """Told of each report as it is done."""


def grade_class(
    course: Course,
    assignment: str,
    students: Sequence[str] = (),
    notebooks: Sequence[str] = (),
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    force: bool = False,
    feedback: bool = True,
    watch: Watcher | None = None,
) -> list[Report]:
    """Grade the submissions of ``assignment`` and give their reports, by student.

    Scores and comments go into the gradebook, notebooks into ``autograded/`` and ``feedback/``, answers and reports
    into the course's store.

    Parameters
    ----------
    students, notebooks
        Whose submissions and which notebooks, as names or globs; all unless given.
    workers
        Processes that grade; as many as there are processors unless given.
    executor
        What runs the work, in place of processes on this machine.
    force
        Whether to grade again what has not changed since.
    feedback
        Whether to write the feedback pages.
    watch
        Told how far things are.

    Raises
    ------
    CourseError, ExerciseError, SandboxError
        The assignment does not exist or is no exercise, nothing isolates its submissions, or another process is
        grading: nothing is graded.
    """
    if notebooks and not any(fnmatch.fnmatchcase(assignment, one) for one in notebooks):
        raise CourseError(f"{assignment} has one notebook, {assignment}: --notebook {notebooks[0]} names none of it.")
    with ClassGrading(course, assignment, feedback=feedback) as batch:
        unchanged, left = batch.plan(students, force=force)
        if watch:
            watch.begin(len(unchanged), len(left))
        if left:
            pool = batch.pool(workers, executor, most=len(left))
            with _stem(pool, executor), pool:
                for report in batch.run(left, pool):
                    if watch:
                        watch.take(report)
        # they are stored as they come: a large class is not held in memory while it is graded
        wanted = {*unchanged, *left}
        return [report for report in batch.store.reports(assignment) if report.student in wanted]


def write_feedback(
    course: Course,
    assignment: str,
    students: Sequence[str] = (),
    *,
    solutions: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
) -> tuple[list[str], list[str]]:
    """Write feedback pages anew, with what the gradebook says now; nothing is graded.

    Parameters
    ----------
    students
        Whose, as names or globs; everybody's unless given.
    solutions
        Whether the pages show the worked solution of what is not right.
    workers, executor
        As for :func:`grade_class`.

    Returns
    -------
    tuple
        The students whose pages are written, and those who have no graded notebook.

    Raises
    ------
    CourseError
        The assignment does not exist, another process is grading, or a page cannot be written.
    """
    with ClassGrading(course, assignment) as batch:
        wanted = batch.folders.students(students)
        graded = [student for student in wanted if batch.folders.autograded(student).is_file()]
        with batch.pool(workers, executor, most=max(len(graded), 1)) as pool:
            written = sorted(batch.pages(graded, pool, solutions=solutions))
    return written, sorted({*wanted}.difference(written))


def stored_reports(course: Course, assignment: str) -> list[Report]:
    """The reports of the last grading, by student."""
    course.exercise(assignment)
    return _store(course).reports(assignment)


def _store(course: Course) -> AnswerStore:
    return AnswerStore(course.private_folder / "answers.sqlite")


@contextmanager
def _stem(pool: Pool, executor: Executor | None) -> Iterator[None]:
    """Let the workers of this machine, where there are several, fork their warm processes from one that they share."""
    if executor is not None or pool.workers == 1 or why_no_isolation():
        yield
        return
    stem = ForkServer()
    try:
        pool.first = partial(calls.begin, stem.client)
        yield
    finally:
        stem.close()


@contextmanager
def _alone(course: Course) -> Iterator[None]:
    """Let no other process grade in this course."""
    try:
        with FileLock(course.private_folder / "grading.lock", timeout=0):
            yield
    except Timeout:
        raise CourseError(
            f"another `handgrad grade` is at work in {course.root}: wait until it has finished, then run this again."
        ) from None


class ClassGrading:
    """One grading of one assignment: holds the course's lock, its gradebook and its store; a context manager."""

    def __init__(self, course: Course, assignment: str, *, feedback: bool = True) -> None:
        self.course, self.assignment, self.with_feedback = course, assignment, feedback
        self.exercise = course.exercise(assignment)
        self.task = Task.of(course, self.exercise)
        self.folders = Folders(course, assignment)
        self.store = _store(course)
        self.book = GradebookWriter(course, assignment, *self.folders.database)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_alone(self.course))
            self.folders.clear_up()
            stack.enter_context(self.store.held_open())
            stack.enter_context(self.book)
            self.book.register(self.task.source())
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pool(self, workers: int | None, executor: Executor | None, *, most: int) -> Pool:
        """Workers who know the assignment."""
        preload = ("handgrad._startup", "handgrad.course.workers.worker")
        return Pool(workers, executor, most=most, preload=preload, common=(self.task,))

    def plan(self, students: Sequence[str] = (), *, force: bool = False) -> tuple[list[str], list[str]]:
        """The students whose reports still hold, and those to be graded.

        Parameters
        ----------
        students
            Names or globs; everyone who handed in unless given.
        force
            Whether no report holds any longer.
        """
        wanted = self.folders.students(students)
        if force:
            return [], wanted
        states, graded = self.store.states(self.assignment), self.book.graded()

        def holds(name: str) -> bool:
            """Whether nothing has changed since the last report, and all that it left is there."""
            state, outcome = states.get(name, ("", ""))
            if not state or state != self.state(self.handed(name)):
                return False
            return outcome != "graded" or (name in graded and self._is_written(name))

        hold = {name for name in wanted if holds(name)}
        return [name for name in wanted if name in hold], [name for name in wanted if name not in hold]

    def run(self, students: Iterable[str], pool: Pool) -> Iterator[Report]:
        """Grade ``students`` in the workers of ``pool``; their reports as all of a student's files are written."""
        self._warm_up(pool)
        everyone = map(self.handed, students)
        marked = pool.each(calls.grade, ((handed, handed) for handed in everyone))
        kept = (self._keep(handed, result) for handed, result in marked)
        if not self.with_feedback:
            yield from (report for report, _, _ in kept)
            return
        pages = pool.each(calls.feedback, ((report, report.student, text, facts) for report, text, facts in kept))
        for report, page in pages:
            yield self._keep_page(report, page)

    def pages(self, students: Iterable[str], pool: Pool, *, solutions: bool) -> Iterator[str]:
        """Write the pages of graded ``students`` anew in the workers of ``pool``; whose are written, as they are."""

        def asked() -> Iterator[tuple[object, ...]]:
            for student in students:
                text = self.folders.autograded(student).read_text(encoding="utf-8")
                yield student, student, text, self.book.facts(student), solutions

        for student, page in pool.each(calls.feedback, asked()):
            if isinstance(page, JobFailed):
                raise page.error if isinstance(page.error, HandgradError) else CourseError(f"{page}.")
            if page:
                self.folders.write_feedback(student, page)
                yield student

    def _warm_up(self, pool: Pool) -> None:
        """Let every worker get ready; what keeps one from it would keep every submission from being graded."""
        for _, result in pool.each(calls.warm_up, [(number,) for number in range(pool.workers)]):
            if isinstance(result, JobFailed):
                raise result.error if isinstance(result.error, HandgradError) else SandboxError(f"{result}.")

    def handed(self, student: str) -> SubmittedFile:
        """What a student handed in, read anew; it speaks of files as they lie in the course."""
        handed = self._handed(student)
        root = f"{self.course.root}{os.sep}"
        fault = handed.fault and (handed.fault[0], handed.fault[1].replace(root, ""))
        return replace(handed, where=handed.where.removeprefix(root), fault=fault)

    def _handed(self, student: str) -> SubmittedFile:
        folder = self.folders.submitted(student)
        if fault := self.course.fault_of_name(student):
            return SubmittedFile(student, str(folder), fault=("not-graded", fault))
        if self.folders.leads_away(student):
            fault = f"{folder} is a link and is not read: the folder itself must be handed in."
            return SubmittedFile(student, str(folder), fault=("unreadable", fault))
        found = find_notebook(folder, self.exercise, folder)
        if found.path is None:
            return SubmittedFile(student, str(folder), fault=("not-submitted", found.note))
        try:
            content = read_content(found.path, folder)
            return SubmittedFile(student, str(found.path), content, self.folders.timestamp(student), found.note)
        except SubmissionError as error:
            return SubmittedFile(student, str(found.path), fault=("unreadable", str(error)))

    def state(self, handed: SubmittedFile) -> str:
        """A digest of everything that a report depends on: of what was handed in, the answers, and the marks."""
        beside = (handed.timestamp, handed.note, handed.fault, len(handed.content))
        submission = hashlib.sha256(repr(beside).encode() + handed.content).hexdigest()
        return f"{submission} {self.task.answers_digest} {self.task.digest}"

    def obstacle(self, student: str, state: str) -> str:
        """Why a report that was made in ``state`` cannot be marked again from its answers; empty where it can."""
        (submission, answers, _), old = self.state(self.handed(student)).split(), state.split()
        if old[:1] != [submission]:
            return "another notebook was handed in since"
        if old[1:2] != [answers]:
            return "the exercise, its seeds or its limits have changed since"
        if not self.folders.autograded(student).is_file():
            return "its autograded notebook is gone"
        return ""

    def _is_written(self, student: str) -> bool:
        page = self.folders.feedback(student)
        return self.folders.autograded(student).is_file() and (page.is_file() or not self.with_feedback)

    def _keep(self, handed: SubmittedFile, result: WorkerResult | JobFailed) -> tuple[Report, str, GradebookRow | None]:
        """Write what came back for one student: report, autograded notebook, and what the gradebook says now."""
        if isinstance(result, JobFailed):
            result = without_score(self.assignment, handed.student, "not-graded", f"{result}.")
        report, facts = result.report, None
        try:
            if report.outcome == "graded":
                self.folders.write_autograded(report.student, result.notebook)
                self.folders.forget_feedback(report.student)
                facts = self.book.save(report, result.comments, handed.timestamp)
            elif report.outcome != "not-submitted":
                self.book.flag(report.student, report.message)
        except HandgradError as error:
            report, facts = without_score(self.assignment, handed.student, "not-graded", str(error)).report, None
        # what the grader could not do is tried again the next time
        state = "" if report.outcome == "not-graded" else self.state(handed)
        self.store.put(report, result.key, result.record, state)
        return report, result.notebook, facts

    def _keep_page(self, report: Report, page: str | JobFailed) -> Report:
        """Write a student's feedback page; the report, which says so where there is none."""
        try:
            if isinstance(page, JobFailed):
                raise CourseError(f"{page}.")
            if page:
                self.folders.write_feedback(report.student, page)
        except CourseError as error:
            report = replace(report, message=f"It is graded, but has no feedback page: {error}")
            self.store.put(report)
        return report
