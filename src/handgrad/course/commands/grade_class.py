"""Grade a class: every submission of an assignment through workers; one process writes the results.

A fault costs one student only. What is done is kept, and is not done again unless something that it depends on has
changed.
"""

import fnmatch
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import chain
from statistics import median
from typing import Self, TypeVar

import nbformat

from handgrad.course.commands.progress_bar import ProgressBar
from handgrad.course.course import Course
from handgrad.course.course_lock import alone
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.gradebook import GradebookWriter
from handgrad.course.nbgrader.notebook_steps import GradebookRow, untouched
from handgrad.course.nbgrader.preprocessors import comments
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.scores import entries, entries_after, write_dates
from handgrad.course.nbgrader.student_records import join, under_another_name
from handgrad.course.report_store import ReportStore, submitted_digest
from handgrad.course.workers.pool import PRELOAD, WORKER, JobFailed, Pool
from handgrad.course.workers.reader import Reader
from handgrad.course.workers.task import ANOTHER, POINTS, Grounds, SubmittedFile, Task, WorkerResult, without_score
from handgrad.errors import CourseError, HandgradError, SandboxError, SubmissionError, TextLimitError
from handgrad.exercise.exercise import grade_id
from handgrad.notebook import tidying
from handgrad.notebook.reading import read_content
from handgrad.report.check_output import check_outputs
from handgrad.report.names import shown
from handgrad.report.records import GradeChange, Report
from handgrad.submission.find_notebook import find_notebook, found_by_name

__all__ = ["ClassGrading", "grade_class", "stored_reports", "what_would_change", "write_feedback"]

NEW, FORCED = "not graded yet", "--force"
"""Reasons to grade that need no remark."""
Found = TypeVar("Found")


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
    watch: ProgressBar | None = None,
) -> list[Report]:
    """Grade the submissions of ``assignment`` and give their reports, by student.

    Scores and comments go into the gradebook, notebooks into ``autograded/`` and ``feedback/``, reports into the
    course's store.

    Parameters
    ----------
    students, notebooks
        Whose submissions and which notebooks, as names or globs (default: all).
    workers
        Processes that grade (default: one for each processor).
    executor
        What runs the work (default: processes on this machine).
    force
        Whether to grade again what has not changed.
    feedback
        Whether to write the feedback pages.
    watch
        Follows how far things are.

    Raises
    ------
    CourseError, ExerciseError, SandboxError
        The assignment does not exist or is not an exercise, nothing isolates its submissions, or another process is
        grading: nothing is graded.
    """
    _check_name(assignment, notebooks)
    with ClassGrading(course, assignment, feedback=feedback) as grading:
        plan = grading.plan(students, force=force)
        # read back from the store: a large class is not kept in memory while it is graded
        wanted = {*plan.unchanged, *(report.student for report in grading.reports(plan, workers, executor, watch))}
        late = write_dates(course, assignment, grading.dates(plan.unchanged))
        pages = grading.without_current_page(plan.unchanged, late)
        if feedback and pages:
            with grading.pool(workers, executor, most=len(pages)) as pool:
                list(grading.pages(pages, pool, solutions=False))
        return [report for report in grading.store.reports(assignment) if report.student in wanted]


def what_would_change(
    course: Course,
    assignment: str,
    students: Sequence[str] = (),
    notebooks: Sequence[str] = (),
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    force: bool = False,
    watch: ProgressBar | None = None,
) -> list[GradeChange]:
    """What :func:`grade_class` would change, and why, by student; nothing is written.

    Parameters and errors are those of :func:`grade_class`.
    """
    _check_name(assignment, notebooks)
    with closing(ClassGrading(course, assignment, dry_run=True)) as grading:
        plan = grading.plan(students, force=force)
        graded = {report.student: report for report in grading.reports(plan, workers, executor, watch)}
        dates = grading.dates({*plan.unchanged, *plan.to_grade})
    after = {**plan.other_points, **graded}
    before = grading.by_student({report.student: report for report in grading.store.reports(assignment)})
    reports = {name: after.get(name) or before[name] for name in sorted({*plan.unchanged, *plan.to_grade})}
    now = entries(course, assignment, as_written=True)
    written = grading.by_student(now)
    new = entries_after(course, assignment, now, reports, dates, old_names=grading.old_names)
    reasons = {**plan.to_run, **dict.fromkeys(plan.other_points, POINTS)}
    return [
        GradeChange(before.get(name), report, reasons.get(name, ""), written.get(name), new.get(name))
        for name, report in reports.items()
    ]


def _check_name(assignment: str, notebooks: Sequence[str]) -> None:
    if notebooks and not any(fnmatch.fnmatchcase(assignment, pattern) for pattern in notebooks):
        raise CourseError(f"{assignment} has one notebook, {assignment}: --notebook {notebooks[0]} does not match it.")


def write_feedback(
    course: Course,
    assignment: str,
    students: Sequence[str] = (),
    *,
    solutions: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
) -> tuple[list[str], list[str]]:
    """Write feedback pages again, with the gradebook's current scores; nothing is graded.

    Parameters
    ----------
    students, workers, executor
        As for :func:`grade_class`.
    solutions
        Whether the pages show the solution of what is not right.

    Returns
    -------
    tuple
        The students whose pages are written, and those who have no graded notebook.

    Raises
    ------
    CourseError
        The assignment does not exist, another process is grading, or a page cannot be written; all other pages are.
    """
    with ClassGrading(course, assignment) as grading:
        write_dates(course, assignment)
        wanted = grading.folders.students(students)
        graded = [student for student in wanted if grading.folders.autograded(student).is_file()]
        with grading.pool(workers, executor, most=max(len(graded), 1)) as pool:
            pages = dict(grading.pages(graded, pool, solutions=solutions))
    if faults := {student: fault for student, fault in sorted(pages.items()) if fault}:
        listed = "; ".join(f"{shown(student)} ({fault.rstrip('.')})" for student, fault in faults.items())
        raise CourseError(f"{len(faults)} of {len(pages)} feedback pages cannot be written: {listed}.")
    written = sorted(pages)
    return written, sorted({*wanted}.difference(written))


def stored_reports(course: Course, assignment: str) -> list[Report]:
    """The reports of the last grading, by student, without those who have withdrawn or are exempt."""
    course.exercise(assignment)
    students = people(course, assignment)
    reports = ReportStore.of(course).reports(assignment)
    return [report for report in reports if students.counts(report.student, assignment)]


@dataclass(frozen=True)
class Plan:
    """What there is to do for a class.

    Attributes
    ----------
    unchanged
        The students whose stored reports still hold.
    other_points
        By student, reports that hold but for the points of the checks; here they have the new points.
    to_run
        By student, why the submission must be run.
    seconds_each
        Seconds that a submission took when it was graded last; 0 if that is not known.
    """

    unchanged: list[str] = field(default_factory=list)
    other_points: dict[str, Report] = field(default_factory=dict)
    to_run: dict[str, str] = field(default_factory=dict)
    seconds_each: float = 0.0

    @property
    def to_grade(self) -> list[str]:
        """The students whose reports no longer hold."""
        return [*self.other_points, *self.to_run]

    @property
    def why_again(self) -> dict[str, int]:
        """How many students are graded again for which reason, other than what they handed in themselves."""
        reasons = [*self.to_run.values(), *[POINTS] * len(self.other_points)]
        return dict(Counter(reason for reason in reasons if reason not in (NEW, ANOTHER, FORCED)))

    def seconds(self, workers: int) -> float:
        """How long running them is expected to take."""
        return len(self.to_run) * self.seconds_each / workers


class ClassGrading:
    """One grading of one assignment: the course's lock, its gradebook, its store.

    A context manager; with ``dry_run`` it is not entered but closed, and nothing is written.
    """

    def __init__(self, course: Course, assignment: str, *, feedback: bool = True, dry_run: bool = False) -> None:
        self.course, self.assignment, self.with_feedback, self.dry_run = course, assignment, feedback, dry_run
        self.exercise = course.exercise(assignment)
        self.task = Task.of(course, self.exercise, dry_run=dry_run)
        self.grounds = Grounds.of(course, self.exercise, self.task, dry_run=dry_run)
        self.folders = Folders(course, assignment)
        self.store = ReportStore.of(course)
        self.reader = Reader()
        self._read: dict[str, SubmittedFile] = {}
        self._states: dict[str, tuple[str, str]] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(alone(self.course))
            self.folders.clear_up()
            stack.enter_context(self.store.held_open())
            self.gradebook = GradebookWriter(self.course, self.assignment)
            stack.enter_context(self.gradebook)
            self.gradebook.register(self.task.source())
            join(self.course)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back."""
        self.reader.close()
        self._open.close()

    def pool(self, workers: int | None, executor: Executor | None, *, most: int) -> Pool:
        """Workers that know the assignment."""
        return Pool(WORKER, workers, executor, most=most, preload=PRELOAD, common=(self.task,))

    @cached_property
    def old_names(self) -> dict[str, str]:
        """For a dry run, which moves nothing: the names under which students were graded, if they are others by now."""
        names = under_another_name(self.course) if self.dry_run else {}
        return {student: name for name, student in names.items()}

    def by_student(self, found: Mapping[str, Found]) -> dict[str, Found]:
        """What there is by the names under which students were graded, by student: the student's own name counts."""
        others = {student: found[name] for student, name in self.old_names.items() if name in found}
        return {**others, **{name: value for name, value in found.items() if name not in self.old_names.values()}}

    def plan(self, students: Sequence[str] = (), *, force: bool = False) -> Plan:
        """What there is to do for ``students`` (default: everyone); with ``force`` no stored report holds."""
        plan = Plan()
        wanted = self.folders.students(students)
        self._states = states = self.by_student(self.store.states(self.assignment))
        known = entries(self.course, self.assignment) if self.dry_run else dict.fromkeys(self.gradebook.graded())
        graded = self.by_student(known)
        for name in wanted:
            if reason := FORCED if force else self._reason(name, *states.get(name, ("", "")), graded):
                plan.to_run[name] = reason
            else:
                plan.unchanged.append(name)
        again = {name for name in plan.to_run if states.get(name, ("", ""))[1] == "graded"}
        reports = [report for report in self.store.reports(self.assignment) if report.student in again] if again else []
        for report in reports:
            if plan.to_run[report.student] == POINTS and (repriced := self._with_points(report)):
                plan.other_points[report.student] = repriced
                del plan.to_run[report.student]
        return replace(plan, seconds_each=median(report.seconds for report in reports) if reports else 0.0)

    def _reason(self, student: str, state: str, outcome: str, graded: Collection[str]) -> str:
        """Why a student's stored report no longer holds; empty if it does."""
        if not state:
            return NEW
        submitted: list[SubmittedFile] = []

        def digest() -> str:
            submitted.append(self.submitted(student))
            return submitted[0].digest

        reason = self.grounds.why_changed(state, digest)
        if submitted and reason not in ("", POINTS):
            # kept, so that it is not read a second time when it is run
            self._read[student] = submitted[0]
        autograded = self.folders.autograded(self.old_names.get(student, student))
        is_written = student in graded and autograded.is_file()
        if reason in ("", POINTS) and outcome == "graded" and not is_written:
            return "its autograded notebook or score is missing"
        return reason

    def _with_points(self, report: Report) -> Report | None:
        """A report with the points that the checks have now; None if the shares of the old ones are not known."""
        if not all(verdict.max_points for verdict in report.checks):
            return None
        points = {check.id: check.points for check in self.exercise.checks}
        checks = []
        for verdict in report.checks:
            most = points[verdict.id]
            checks.append(replace(verdict, points=verdict.points / verdict.max_points * most, max_points=most))
        return replace(report, checks=tuple(checks))

    def reports(
        self, plan: Plan, workers: int | None, executor: Executor | None, watch: ProgressBar | None
    ) -> Iterator[Report]:
        """Grade what is planned; reports as all of a student's files are written, if it is no dry run."""
        left = plan.to_run if self.dry_run else plan.to_grade
        pool = self.pool(workers, executor, most=max(len(left), 1))
        watch = watch or ProgressBar(quiet=True)
        watch.begin(len(plan.unchanged), len(left), plan.seconds(pool.workers), plan.why_again)
        if left:
            with pool.warmed(self.task.settings.isolation):
                unwritten = (result.report for _, result in self._results(plan.to_run, pool))
                for report in unwritten if self.dry_run else self._written(plan, pool):
                    watch.take(report)
                    yield report

    def _written(self, plan: Plan, pool: Pool) -> Iterator[Report]:
        without_page: list[tuple[Report, GradebookRow]] = []
        graded = (self._keep(submitted, result) for submitted, result in self._results(plan.to_run, pool))
        repriced = ((report, self._keep_points(report)) for report in plan.other_points.values())
        for report, row in chain(graded, repriced):
            if row and self.with_feedback:
                without_page.append((report, row))
            else:
                yield report
        jobs = ((report, report.student, self._autograded(report.student), row) for report, row in without_page)
        for report, page in pool.each("feedback", jobs):
            yield self._keep_page(report, page)

    def _results(self, students: Iterable[str], pool: Pool) -> Iterator[tuple[SubmittedFile, WorkerResult]]:
        """What the workers of ``pool`` give for ``students``; a report that says why, if a worker's process ended."""
        if not students:
            return
        # a fault that stops one worker from starting would stop every submission
        for _, result in pool.each("warm_up", [(number,) for number in range(pool.workers)]):
            if isinstance(result, JobFailed):
                raise result.error if isinstance(result.error, HandgradError) else SandboxError(f"{result}.")
        for submitted, result in pool.each("grade", map(self._job, students)):
            if isinstance(result, JobFailed):
                yield submitted, without_score(self.assignment, submitted.student, "not-graded", f"{result}.")
            else:
                yield submitted, result

    def _job(self, student: str) -> tuple[SubmittedFile, SubmittedFile, GradebookRow | None]:
        """A worker's job for a student: the submission, and the gradebook's row if a page is wanted."""
        submitted = self._read.pop(student, None) or self.submitted(student)
        with_page = self.with_feedback and not self.dry_run and not submitted.fault
        return submitted, submitted, self.gradebook.known(student, submitted.timestamp) if with_page else None

    def pages(self, students: Iterable[str], pool: Pool, *, solutions: bool) -> Iterator[tuple[str, str]]:
        """Write the pages of graded ``students`` again in the workers of ``pool``; the students, as that is done.

        With each, why there is no page; empty if there is one.
        """
        jobs = (
            (student, student, self._autograded(student), self.gradebook.row(student), solutions)
            for student in students
        )
        for student, page in pool.each("feedback", jobs):
            if isinstance(page, JobFailed):
                # the course's own fault is that of every page
                if isinstance(page.error, CourseError):
                    raise page.error
                yield student, str(page)
            elif page:
                self.folders.write_feedback(student, page)
                yield student, ""

    def _autograded(self, student: str) -> str:
        return self.folders.autograded(student).read_text(encoding="utf-8")

    def submitted(self, student: str) -> SubmittedFile:
        """What a student handed in; messages name files relative to the course."""
        try:
            submitted = self._submitted(student)
        except (OSError, ValueError) as error:
            why = f"what was handed in cannot be looked at ({error}): rename or replace it."
            submitted = SubmittedFile(student, str(self.folders.submitted(student)), fault=("not-graded", why))
        root = f"{self.course.root}{os.sep}"
        fault = submitted.fault and (submitted.fault[0], submitted.fault[1].replace(root, ""))
        return replace(submitted, where=submitted.where.removeprefix(root), fault=fault)

    def _submitted(self, student: str) -> SubmittedFile:
        folder, trusted = self.folders.submitted(student), self.folders.trusted(student)
        if fault := self.course.fault_of_name(student):
            return SubmittedFile(student, str(folder), fault=("not-graded", fault))
        found = found_by_name(folder, self.exercise, trusted)
        if found is None:
            # which of the files is the notebook is in the files
            try:
                found = self.reader(find_notebook, folder, self.exercise, trusted)
            except TextLimitError as error:
                return SubmittedFile(student, str(folder), fault=("not-graded", str(error)))
        if found.path is None:
            return SubmittedFile(student, str(folder), fault=("not-submitted", found.note))
        try:
            content = read_content(found.path, trusted) if found.content is None else found.content
            return SubmittedFile(student, str(found.path), content, self.folders.timestamp(student), found.note)
        except SubmissionError as error:
            return SubmittedFile(student, str(found.path), fault=("unreadable", str(error)))

    def dates(self, students: Iterable[str]) -> dict[str, datetime]:
        """When students handed in, in UTC, from their folders; without those for whom that is not known."""
        found = {}
        for student in students:
            # a file that is no date is told where the submission is graded
            with suppress(SubmissionError):
                if date := self.folders.timestamp(student):
                    found[student] = date
        return found

    def without_current_page(self, students: Iterable[str], changed: Collection[str]) -> list[str]:
        """Those of the graded ``students`` who have no feedback page, or one with another score than they have now."""
        graded = [name for name in students if self.folders.autograded(name).is_file()]
        return [name for name in graded if name in changed or not self.folders.feedback(name).is_file()]

    def _keep(self, submitted: SubmittedFile, result: WorkerResult) -> tuple[Report, GradebookRow | None]:
        """Write one student's result; the report, and the gradebook's row if the page has still to be rendered."""
        report, row = result.report, None
        try:
            if report.outcome == "graded":
                self.folders.write_autograded(report.student, result.notebook)
                before = submitted_digest(self._states.get(report.student, ("", ""))[0])
                is_same = before == submitted.digest
                row = self.gradebook.save(report, result.comments, submitted.timestamp, is_same=is_same)
            elif report.outcome != "not-submitted":
                self.gradebook.flag(report.student, report.message)
        # a ValueError is a text that cannot be encoded
        except (HandgradError, ValueError) as error:
            report, row = without_score(self.assignment, submitted.student, "not-graded", str(error)).report, None
        # without a state a submission that could not be graded is tried again next time
        self.store.put(report, "" if report.outcome == "not-graded" else self.grounds.state(submitted.digest))
        if row and row == result.row:
            return self._keep_page(report, result.page), None
        return report, row

    def _keep_points(self, report: Report) -> GradebookRow:
        """Write a report in which only points have changed; the gradebook's row now."""
        submitted = self.submitted(report.student)
        notebook = nbformat.reads(self._autograded(report.student), as_version=4)
        texts = comments(self.exercise, report, untouched(notebook))
        verdicts = report.verdicts()
        for cell in notebook.cells:
            if verdict := verdicts.get(grade_id(cell)):
                cell.metadata.nbgrader.points = verdict.max_points
                cell.outputs = nbformat.from_dict(check_outputs(verdict))
        self.folders.write_autograded(report.student, tidying.text_of(notebook))
        row = self.gradebook.save(report, texts, submitted.timestamp, is_same=True)
        self.store.put(report, self.grounds.state(submitted.digest))
        return row

    def _keep_page(self, report: Report, page: str | JobFailed) -> Report:
        """Write a student's feedback page; the report, which says so if there is none."""
        try:
            if isinstance(page, JobFailed):
                raise CourseError(f"{page}.")
            self.folders.write_feedback(report.student, page)
        except CourseError as error:
            report = replace(report, message=f"It is graded, but has no feedback page: {error}")
            self.store.put(report)
        return report
