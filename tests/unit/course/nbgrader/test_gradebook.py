"""What is written into the gradebook if somebody else writes there at the same time."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from nbgrader.api import Assignment, Gradebook, Student, SubmittedAssignment

from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.nbgrader.database import address
from handgrad.report.records import Report, Verdict
from helpers.courses import make_course


@pytest.fixture
def grading(tmp_path: Path) -> Iterator[ClassGrading]:
    """A grading that has looked into a gradebook without submissions."""
    with ClassGrading(make_course(tmp_path), "backprop") as grading:
        yield grading


def opened(grading: ClassGrading) -> Gradebook:
    """The gradebook, opened by somebody else."""
    return Gradebook(*address(grading.course))


def report(grading: ClassGrading, student: str) -> Report:
    """A report with full marks."""
    checks = [
        Verdict(check.id, check.gradient, "passed", check.points, check.points) for check in grading.exercise.checks
    ]
    return Report("backprop", "backprop", "graded", "0.1.0", student=student, checks=tuple(checks))


def scores(grading: ClassGrading) -> dict[str, float]:
    """The scores in the gradebook, as nbgrader counts them."""
    with opened(grading) as gradebook:
        return {row["student"]: row["score"] for row in gradebook.submission_dicts("backprop")}


def test_an_extension_that_is_given_meanwhile_is_kept(grading: ClassGrading) -> None:
    """A student who was new when the command looked is no longer: nothing is written twice, and nothing is lost."""
    with opened(grading) as gradebook:
        gradebook.add_student("ann")
        assignment = gradebook.db.query(Assignment).filter_by(name="backprop").one()
        gradebook.db.add(
            SubmittedAssignment(assignment_id=assignment.id, student_id="ann", extension=timedelta(days=2))
        )
        gradebook.db.commit()
    ann = report(grading, "ann")
    row = grading.gradebook.save(ann, {}, None)
    assert row.score == ann.max_score > 0
    assert scores(grading) == {"ann": ann.max_score}
    with opened(grading) as gradebook:
        assert gradebook.find_submission("backprop", "ann").extension == timedelta(days=2)
        assert gradebook.db.query(Student).count() == 1


def test_a_second_hand_in_while_a_class_is_graded(grading: ClassGrading) -> None:
    """Who is written twice by one command has one submission, with the second score."""
    bob = report(grading, "bob")
    grading.gradebook.save(bob, {}, None)
    grading.gradebook.save(Report(bob.assignment, bob.notebook, "graded", "0.1.0", student="bob"), {}, None)
    assert scores(grading) == {"bob": 0.0}
