"""Mark a class again from its stored answers: other points, another tolerance, other shares; no student's code runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import nbformat

from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import Course
from handgrad.course.nbgrader.notebook_steps import untouched
from handgrad.course.nbgrader.preprocessors import comments
from handgrad.course.workers.calls import feedback
from handgrad.exercise.exercise import grade_id
from handgrad.grading.remarking import asks_for_more, evidence_from, remarked, repriced
from handgrad.notebook import tidying
from handgrad.report.check_output import check_outputs
from handgrad.report.records import Report, Verdict

__all__ = ["Change", "regrade_class"]


MORE = "with the smaller tolerance it must be run again: `handgrad grade` does that"
"""The obstacle where the answers that a right step made unnecessary are needed after all."""


@dataclass(frozen=True)
class Change:
    """What a regrade does to one student's report.

    Attributes
    ----------
    before, after
        The report as it was and as it is; the same object where nothing changes.
    key
        Under which the answers and comparisons behind it are kept.
    obstacle
        Why it cannot be marked again from what is stored; empty where it can.
    """

    before: Report
    after: Report
    key: str
    obstacle: str = ""

    @property
    def is_one(self) -> bool:
        """Whether any verdict changes."""
        return self.before.checks != self.after.checks

    def gradients(self) -> dict[str, tuple[str, str]]:
        """The gradients whose outcome or points change: what they were and what they are, for a person."""
        pairs = zip(self.before.checks, self.after.checks, strict=True)
        described = {old.gradient: (_described(old, new), _described(new, old)) for old, new in pairs}
        return {gradient: (was, now) for gradient, (was, now) in described.items() if was != now}


def _described(one: Verdict, other: Verdict) -> str:
    """A verdict for a person; with the points that could be had, where ``other`` has others."""
    points = f"{one.points:g}" if one.max_points == other.max_points else f"{one.points:g} of {one.max_points:g}"
    return f"{one.outcome}, {points}"


def regrade_class(course: Course, assignment: str, *, dry_run: bool = False) -> list[Change]:
    """Mark every graded submission of ``assignment`` again by the points and the policy that the course has now.

    Scores and comments go into the gradebook, verdicts into ``autograded/`` and ``feedback/``; a person's scores stay.

    Parameters
    ----------
    dry_run
        Whether to say only what would change: nothing is written.

    Raises
    ------
    CourseError, ExerciseError
        The assignment does not exist or is no exercise, or another process is grading.
    """
    batch = ClassGrading(course, assignment)
    changes = list(_changes(batch))
    if not dry_run and any(not one.obstacle for one in changes):
        with batch:
            for change in changes:
                if not change.obstacle:
                    _write(batch, change)
    return changes


def _changes(batch: ClassGrading) -> Iterator[Change]:
    policy = batch.course.settings.policy()
    points = {check.id: check.points for check in batch.exercise.checks}
    kept = batch.store.kept(batch.assignment)
    for report in batch.store.reports(batch.assignment):
        if report.outcome != "graded":
            continue
        key, state = kept[report.student]
        record = batch.store.evidence(key)
        obstacle = batch.obstacle(report.student, state) if record else "its answers were not kept"
        if obstacle or record is None:
            yield Change(report, report, key, obstacle)
            continue
        evidence = {name: [evidence_from(one) for one in rounds] for name, rounds in record["evidence"].items()}
        if any(asks_for_more(one, policy.tolerance) for rounds in evidence.values() for one in rounds):
            yield Change(report, report, key, MORE)
            continue
        checks = tuple(
            remarked(one, evidence[one.gradient], points[one.id], policy)
            if one.gradient in batch.exercise.tensors
            else repriced(one, points[one.id])
            for one in map(Verdict.from_dict, record["verdicts"])
        )
        yield Change(report, replace(report, checks=checks), key)


def _write(batch: ClassGrading, change: Change) -> None:
    """Keep a report that was marked again; the pages are written where it says something else than before."""
    report = change.after
    handed = batch.handed(report.student)
    path = batch.folders.autograded(report.student)
    notebook = nbformat.read(path, as_version=4)
    said: dict[str, str | None] = dict.fromkeys(untouched(notebook), "No response.")
    said.update(comments(batch.exercise, report))
    facts = batch.book.save(report, said, handed.timestamp)
    if change.is_one:
        text = _marked(notebook, report, {check.id: check.points for check in batch.exercise.checks})
        batch.folders.write_autograded(report.student, text)
        if batch.folders.feedback(report.student).is_file():
            batch.folders.write_feedback(report.student, feedback(batch.task, report.student, text, facts))
    batch.store.put(report, change.key, state=batch.state(handed))


def _marked(notebook: nbformat.NotebookNode, report: Report, points: Mapping[str, float]) -> str:
    """The text of an autograded notebook with the verdicts of ``report`` under its check cells."""
    verdicts = report.verdicts()
    for cell in notebook.cells:
        if verdict := verdicts.get(grade_id(cell)):
            cell.metadata.nbgrader.points = points[verdict.id]
            cell.outputs = nbformat.from_dict(check_outputs(verdict))
    return tidying.text_of(notebook)
