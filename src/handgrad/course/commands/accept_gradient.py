"""Give points for a gradient that the checks did not accept, or take them back; a log says who did it, when and why."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.course_lock import account, alone
from handgrad.course.nbgrader.scores import manual_scores, set_manual_scores, write_dates
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError, closest
from handgrad.exercise.exercise import Check
from handgrad.report.names import shown
from handgrad.report.records import NEEDS_REVIEW, AcceptedAnswer, Report, Verdict

__all__ = ["accept", "undo"]


def accept(
    course: Course,
    assignment: str,
    gradient: str,
    students: Sequence[str] = (),
    *,
    mistake: str = "",
    points: float | None = None,
    reason: str = "",
) -> list[AcceptedAnswer]:
    """Give points of a gradient, as a manual score in the gradebook: for a mistake, or to students by name.

    Parameters
    ----------
    students
        Names or globs. Without a mistake, a name may be that of any student whose gradient did not pass, if there is a
        reason; of those that a glob matches the ones have it whose gradient is held for manual review.
    mistake
        The slug of a mistake: all who made it get the points, or those of ``students``.
    points
        Points that they get (default: all).
    reason
        Why; needed if the gradient is not held.

    Returns
    -------
    list
        The lines of the log, by student. Who has a manual score of another source is left out.

    Raises
    ------
    CourseError
        There is no such assignment, gradient, student or mistake, nothing is there to accept, the only student has a
        manual score already, another process is grading, or the gradebook cannot be written. Nothing is changed then.
    """
    check = _check(course, assignment, gradient)
    most = check.points
    if points is not None and not 0 <= points <= most:
        raise CourseError(f"{gradient} has {most:g} points: give 0 to {most:g}, not {points:g}.")
    if not students and not mistake:
        raise CourseError("say whose answer it is: --student NAME, or --mistake SLUG for all who made it.")
    reports = {report.student: report for report in stored_reports(course, assignment)}
    if not reports:
        raise CourseError(f"no submission of {assignment} has been graded: run `handgrad grade {assignment}` first.")
    chosen = _chosen(reports, assignment, gradient, students, mistake)
    if not reason and (unsaid := [name for name in chosen if _of(reports[name], gradient).outcome not in NEEDS_REVIEW]):
        raise CourseError(
            f"{gradient} of {shown(unsaid[0])} is not held for review, so the log needs a reason: add --reason TEXT."
        )
    after = most if points is None else points
    with alone(course):
        scores = manual_scores(course, assignment, check.id)
        logged = {answer.student: answer for answer in _valid(course, assignment, gradient)}
        # another manual score is somebody's decision, and what has these points needs no second line in the log
        left = [
            name
            for name in chosen
            if name in scores
            and (name not in logged or logged[name].after == after or scores[name] != logged[name].after)
        ]
        if left and len(left) == len(chosen):
            is_ours = left[0] in logged and scores[left[0]] == after
            how = "was accepted" if is_ours else "has a manual score"
            undo_it = "`--undo` takes it back" if is_ours else "change it in the formgrader"
            raise CourseError(
                f"{gradient} of {shown(left[0])} {how} already ({scores[left[0]]:g} of {most:g} points): {undo_it}."
            )
        answers, now = [], datetime.now(UTC).isoformat(timespec="microseconds")
        for name in chosen:
            if name not in left:
                before = scores.get(name, _of(reports[name], gradient).points)
                # a line whose points were never given is from a run that was killed: it is written again
                at = logged[name].at if name in logged and name not in scores else now
                answers.append(
                    AcceptedAnswer(assignment, gradient, name, mistake, before, after, reason, account(), at)
                )
        # the log first: points without a line in it could not be taken back
        ReportStore.of(course).log(answers)
        set_manual_scores(course, assignment, check.id, {answer.student: after for answer in answers})
        write_dates(course, assignment)
    return answers


def undo(
    course: Course, assignment: str, gradient: str, students: Sequence[str] = (), *, mistake: str = ""
) -> list[AcceptedAnswer]:
    """Take back what :func:`accept` gave: the automatic scores count again; the lines of the log, by student.

    Who has got another manual score since keeps it, and is not among them; the log says then too that it was undone.
    It is a CourseError if there is nothing to take back, or as for :func:`accept`.

    Parameters
    ----------
    students
        Names or globs (default: all).
    mistake
        Only what was given for this mistake.
    """
    check = _check(course, assignment, gradient)
    found = [
        answer
        for answer in _valid(course, assignment, gradient)
        if (not mistake or answer.mistake == mistake)
        and (not students or any(fnmatch.fnmatchcase(answer.student, pattern) for pattern in students))
    ]
    if not found:
        raise CourseError(f"nothing was accepted for {gradient} that could be taken back.")
    with alone(course):
        scores = manual_scores(course, assignment, check.id)
        # a manual score that was changed since is somebody's decision
        ours = [answer.student for answer in found if scores.get(answer.student) == answer.after]
        reports = {report.student: report for report in stored_reports(course, assignment)}
        held = [name for name in ours if name in reports and _of(reports[name], gradient).outcome in NEEDS_REVIEW]
        set_manual_scores(course, assignment, check.id, dict.fromkeys(ours, None), waiting=held)
        ReportStore.of(course).log([replace(answer, undone=True) for answer in found])
        write_dates(course, assignment)
    return [replace(answer, undone=True) for answer in found if answer.student in ours]


def _valid(course: Course, assignment: str, gradient: str) -> list[AcceptedAnswer]:
    """What was accepted for a gradient and not taken back: of each student the last line of the log."""
    lines = ReportStore.of(course).accepted(assignment)
    last = {line.student: line for line in lines if line.gradient == gradient and not line.undone}
    return [last[name] for name in sorted(last)]


def _chosen(
    reports: dict[str, Report], assignment: str, gradient: str, patterns: Sequence[str], mistake: str
) -> list[str]:
    """The students whose answer is accepted, by name."""
    if mistake:
        found = {name: _of(report, gradient).diagnosis for name, report in reports.items()}
        made = [name for name, diagnosis in found.items() if diagnosis and diagnosis.mistake == mistake]
        made = [name for name in made if _of(reports[name], gradient).outcome != "passed"]
        if not made:
            slugs = sorted({diagnosis.mistake for diagnosis in found.values() if diagnosis})
            raise CourseError(
                f"nobody has the mistake {mistake!r} in {gradient}.{closest(mistake, slugs)} "
                f"There are: {', '.join(slugs) or 'none'}."
            )
        reports = {name: reports[name] for name in made}
        if not patterns:
            return sorted(reports)
    chosen: set[str] = set()
    for pattern in patterns:
        matching = sorted(name for name in reports if name == pattern or fnmatch.fnmatchcase(name, pattern))
        if not matching:
            whom = f"has {mistake!r} in {gradient}" if mistake else f"was graded in {assignment}"
            raise CourseError(f"nobody who {whom} is called {shown(pattern)}.")
        if mistake:
            chosen.update(matching)
            continue
        is_name = matching == [pattern]
        fit = [name for name in matching if _is_open(_of(reports[name], gradient), is_named=is_name)]
        if not fit:
            raise CourseError(
                f"{gradient} of {shown(pattern)} is not held for review: its outcome is "
                f"{_of(reports[pattern], gradient).outcome}."
                if is_name
                else f"{gradient} is not held for review in any of the {len(matching)} submissions of {shown(pattern)}."
            )
        chosen.update(fit)
    return sorted(chosen)


def _is_open(verdict: Verdict, *, is_named: bool) -> bool:
    """Whether there is something to accept: what is held, or for a student who is named, what did not pass."""
    return verdict.outcome in NEEDS_REVIEW or (is_named and verdict.outcome != "passed")


def _check(course: Course, assignment: str, gradient: str) -> Check:
    checks = course.exercise(assignment).checks
    for check in checks:
        if check.gradient == gradient:
            return check
    raise CourseError(
        f"{assignment} has no gradient {gradient!r}.{closest(gradient, [check.gradient for check in checks])}"
    )


def _of(report: Report, gradient: str) -> Verdict:
    """The verdict on a gradient; for a report without one, a verdict that nothing was found."""
    found = (verdict for verdict in report.checks if verdict.gradient == gradient)
    return next(found, Verdict("", gradient, "missing", 0.0, 0.0))
