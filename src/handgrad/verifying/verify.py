"""Prove the assignments of a course, one after the other, and go on after every fault."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from handgrad.cases import Case, read_cases
from handgrad.course import Course
from handgrad.errors import CourseError, HandgradError
from handgrad.exercise import Exercise
from handgrad.grade import Grader
from handgrad.selfcheck import check, read_released
from handgrad.releasing import EXERCISE_FILE
from handgrad.verifying.findings import Fault, Mutation, Proof
from handgrad.verifying.grading import faults_of_case, faults_of_outcomes, faults_of_release, faults_of_solution
from handgrad.verifying.rehearsal import SOLVED, UNTOUCHED, Rehearsal, drift, rehearsed
from handgrad.verifying.secrets import Secrets
from handgrad.verifying.source import faults_of_cells, faults_of_randomness, open_answers
from handgrad.verifying.survivors import mutation

__all__ = ["verify"]

MISTAKES = ("tests", "mistakes")
Say = Callable[[str], None]


def verify(
    course: Course, assignments: Sequence[str] = (), *, mutants: bool = False, say: Say = lambda step: None
) -> tuple[Proof, ...]:
    """Prove the assignments of a course; all of them unless some are named.

    Nothing in the course is written: what has to be released and graded is done in a folder of its own.

    Parameters
    ----------
    mutants
        Whether to break each solution by small rules, and to count what the checks do not see.
    say
        Told what is being tried, a phrase at a time.

    Raises
    ------
    CourseError
        The course has no such assignment.
    """
    known = course.assignments()
    for name in assignments:
        if name not in known:
            course.exercise(name)
    return tuple(_Trial(course, name, say).proof(mutants=mutants) for name in assignments or known)


@dataclass
class _Trial:
    """One assignment, step by step; a step that cannot be done is a fault, and the next one is tried."""

    course: Course
    assignment: str
    say: Say
    proved: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def file(self) -> str:
        """The instructor's notebook, as seen from the course."""
        return self.course.exercise_path(self.assignment).relative_to(self.course.root).as_posix()

    def proof(self, *, mutants: bool) -> Proof:
        """Try everything."""
        exercise: Exercise | None = None
        unwritten: tuple[str, ...] = ()
        found: Mutation | None = None
        with self._step("the notebook is an exercise; its ids are unique"):
            exercise = self.course.exercise(self.assignment)
        if exercise:
            unwritten = open_answers(exercise)
            self._try("every answer has a text, a stub and a check with points", faults_of_cells(exercise, self.file))
            self._try("every locked cell gives the same twice", faults_of_randomness(exercise, self.file))
            self._rehearse(exercise, solved=not unwritten)
            if mutants and not unwritten and not self.faults:
                self.say(f"{self.assignment}: mutants")
                found = mutation(self.course, exercise)
        return Proof(self.assignment, tuple(self.proved), tuple(self.faults), unwritten, found)
