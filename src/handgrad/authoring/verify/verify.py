"""Verify the assignments of a course one by one, and go on after every fault."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from handgrad.authoring.cases import MISTAKES, Case, known_mistakes
from handgrad.authoring.small_gradients import small_gradients
from handgrad.authoring.verify.claims import (
    faults_of_cells,
    faults_of_outcomes,
    faults_of_randomness,
    faults_of_release,
    open_answers,
)
from handgrad.authoring.verify.dry_run import SOLVED, UNTOUCHED, DryRun, drift, dry_run_of
from handgrad.authoring.verify.leaks import Leaks
from handgrad.authoring.verify.mutation_testing import (
    Subject,
    found_by,
    mutation,
    mutation_of_values,
    shortened,
    workers,
)
from handgrad.authoring.verify.proof_store import ProofStore
from handgrad.authoring.verify.results import Fault, Mutation, Proof
from handgrad.authoring.verify.worker import faults_of_mistake
from handgrad.course.commands.check_notebook import check
from handgrad.course.course import Course
from handgrad.course.workers.pool import Pool
from handgrad.errors import HandgradError, OrdinaryAssignmentError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import EXERCISE_FILE, read_released
from handgrad.grading.grader import Grader

__all__ = ["verify"]

Say = Callable[[str], None]
MORE_SEEDS = range(1, 21)
"""Hidden seeds with which the mutants are tried besides the course's own: what survives should not depend on luck."""


def verify(
    course: Course,
    assignments: Sequence[str] = (),
    *,
    mutants: bool = False,
    more_seeds: Sequence[int] = MORE_SEEDS,
    keep: bool = False,
    force: bool = False,
    say: Say = lambda step: None,
) -> tuple[Proof, ...]:
    """Verify the ``assignments`` of a course (default: all of them).

    Nothing in the course is written but, with ``keep``, the proofs: releasing and grading happen in a temporary folder.

    Parameters
    ----------
    mutants
        Whether to run mutation testing: break each solution by small rules, and count what the checks do not notice.
    more_seeds
        Hidden seeds with which the mutants are graded besides the course's own.
    keep
        Whether a sound proof is kept in the course's private folder, and used again if nothing has changed since.
    force
        Whether kept proofs are ignored.
    say
        Called with each claim before it is tried.

    Raises
    ------
    CourseError
        The course has no such assignment or none at all, or a link in its source is broken.
    """
    store = ProofStore(course, mutants=mutants, more_seeds=more_seeds) if keep else None
    proofs = []
    for name in course.select(assignments):
        proof = store.find(name) if store else None
        if proof is None or force:
            proof = AssignmentVerification(course, name, say, mutants, more_seeds).proof()
            if store:
                store.keep(proof)
        proofs.append(proof)
    return tuple(proofs)


@dataclass
class AssignmentVerification:
    """The verification of one assignment, claim by claim; a claim that cannot be tried is a fault."""

    course: Course
    assignment: str
    say: Say
    mutants: bool
    more_seeds: Sequence[int]
    proved: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    mutation: Mutation | None = None

    def proof(self) -> Proof:
        """Try every claim."""
        unwritten: tuple[str, ...] = ()
        try:
            exercise = self.course.exercise(self.assignment)
            unwritten = open_answers(exercise)
            self._try("every answer has a text, a stub and a check with points", faults_of_cells(exercise, self._file))
            self._try("every locked cell gives the same values twice", faults_of_randomness(exercise, self._file))
            for names in exercise.equal_sizes():
                self.absent.append(f"no check can see one of {names} taken for the other: they are the same number")
            self.say(f"{self.assignment}: gradients that are zero or small")
            self.absent += small_gradients(exercise)
            with dry_run_of(self.course, self.assignment) as dry_run:
                leaks = Leaks.of(exercise)
                self._release(leaks, dry_run)
                self._grade(exercise, dry_run, solved=not unwritten)
                if not unwritten:
                    self._commands(exercise, leaks, dry_run)
        except OrdinaryAssignmentError:
            return Proof(self.assignment, absent=("not an exercise of handgrad: left to nbgrader",), ordinary=True)
        except HandgradError as error:
            self.faults.append(self._stopped(error))
        return Proof(
            self.assignment, tuple(self.proved), tuple(self.faults), unwritten, self.mutation, tuple(self.absent)
        )

    @property
    def _file(self) -> str:
        """The instructor's notebook, relative to the course."""
        return self.course.exercise_path(self.assignment).relative_to(self.course.root).as_posix()

    def _stopped(self, error: HandgradError) -> Fault:
        return Fault(self._file, str(error).rstrip("."), "fix it and run verify again: later checks were skipped")

    def _try(self, claim: str, faults: Iterable[Fault]) -> None:
        """Record the faults; if there are none, the claim is proved."""
        self.say(f"{self.assignment}: {claim}")
        try:
            failures = list(faults)
        except HandgradError as error:
            failures = [self._stopped(error)]
        # a leak is one fault in all its copies
        self.faults += [failure for failure in dict.fromkeys(failures) if failure not in self.faults]
        if not failures:
            self.proved.append(claim)

    def _release(self, leaks: Leaks, dry_run: DryRun) -> None:
        """Check the release and the solutions against the source, and the release for leaks."""
        self._try("release and solutions are what the source gives", drift(dry_run))
        name = f"release/{self.assignment}"
        folders = [course.folder("release") / self.assignment for course in (dry_run.staging, self.course)]
        leaked = (fault for folder in folders for fault in leaks.found_in(folder, name))
        self._try("no solution and no hidden test is in the release", leaked)

    def _grade(self, exercise: Exercise, dry_run: DryRun, *, solved: bool) -> None:
        """Grade the release, the known mistakes and the mutants."""
        seeds, settings = self.course.seeds(keep=False), dry_run.staging.settings
        with Grader(exercise, seeds, settings) as grader:
            released = dry_run.notebook("release")
            self._try("every released stub is missing", faults_of_release(grader, released, self._file))
            if not solved:
                return
            subject = Subject(exercise, settings, released, dry_run.notebook("solution"))
            self._mistakes(grader, subject)
        if self.mutants and exercise.values:
            self.say(f"{self.assignment}: mutants")
            # those of trained values in a training of a few steps
            self.mutation = mutation_of_values(shortened(exercise), subject.solved, seeds, settings)

    def _mistakes(self, grader: Grader, subject: Subject) -> None:
        """Grade the known mistakes, and the mutants of gradients, by all processors."""
        cases, has_mutants = self._known_mistakes(subject.exercise), self.mutants and not subject.exercise.values
        if not cases and not has_mutants:
            return
        with workers(subject, sys.maxsize if has_mutants else len(cases)) as pool:
            if cases:
                faults = self._faults_of(cases, grader.seeds, pool)
                self._try("every known mistake is graded as its file says", faults)
            if has_mutants:
                self.say(f"{self.assignment}: mutants")
                self.mutation = mutation(grader, subject.solved, pool, self.more_seeds)

    def _faults_of(self, cases: Sequence[Case], seeds: Sequence[int], pool: Pool) -> Iterator[Fault]:
        def jobs() -> Iterator[tuple[Sequence[int], Case]]:
            # endless cells first: the other processors have work while one of them waits for the limit
            for case in sorted(cases, key=lambda case: "timeout" not in case.outcomes.values()):
                self.say(f"{self.assignment}: {case.name}")
                yield seeds, case

        for found in found_by(pool, faults_of_mistake.__name__, jobs()):
            yield from found

    def _known_mistakes(self, exercise: Exercise) -> list[Case]:
        try:
            cases = known_mistakes(self.course.root, exercise)
        except HandgradError as error:
            self.faults.append(self._stopped(error))
            return []
        if not cases:
            self.absent.append(f"no known mistake of {self.assignment} was tried: {MISTAKES} has none")
        return cases

    def _commands(self, exercise: Exercise, leaks: Leaks, dry_run: DryRun) -> None:
        """Check the scores that every command gives two students, and what it writes for leaks."""
        full = sum(check.points for check in exercise.checks)
        dry_run.hand_in()
        with dry_run.pytest() if dry_run.hidden_tests.is_dir() else nullcontext() as tested:
            for command, faults in (
                ("nbgrader autograde", self._autograded(dry_run, full)),
                ("handgrad grade", self._graded(dry_run)),
            ):
                self._try(f"the worked solution has full marks by {command}", faults)
                self._try(f"no solution and no hidden test is in what {command} writes", _leaked(leaks, dry_run))
            self._try("the worked solution has full marks by handgrad check", self._checked(dry_run))
            if tested:
                self._try("the worked solution has full marks by pytest", tested)
            else:
                self.absent.append("pytest was not run: the course has no tests/hidden")

    def _autograded(self, dry_run: DryRun, full: float) -> Iterator[Fault]:
        scores = dry_run.autograde()
        for student, points in ((SOLVED, full), (UNTOUCHED, 0.0)):
            if scores.get(student) != points:
                what = f"nbgrader autograde gives the {student} notebook {scores.get(student)} points, not {points:g}"
                yield Fault(self._file, what, "check its solutions, its checks and their points")

    def _graded(self, dry_run: DryRun) -> Iterator[Fault]:
        reports = dry_run.grade()
        yield from faults_of_outcomes(reports[SOLVED], self._file, "handgrad grade")
        if reports[UNTOUCHED].score:
            what = f"handgrad grade gives the untouched notebook {reports[UNTOUCHED].score:g} points"
            yield Fault(self._file, what, "release it with empty stubs")

    def _checked(self, dry_run: DryRun) -> Iterator[Fault]:
        """Run `handgrad check` as a student does: in the released folder, with its files only."""
        folder = dry_run.path("release").parent
        handed_in = folder / "handed-in.ipynb"
        shutil.copy(dry_run.path("solution"), handed_in)
        report = check(handed_in, read_released(folder / EXERCISE_FILE))
        yield from faults_of_outcomes(report, self._file, "handgrad check")


def _leaked(leaks: Leaks, dry_run: DryRun) -> Iterator[Fault]:
    """Solutions and hidden tests in autograded notebooks and feedback pages."""
    for kind in ("autograded", "feedback"):
        for student in (UNTOUCHED, SOLVED):
            folder = dry_run.staging.folder(kind) / student
            if not folder.is_dir():
                remedy = "run the command on a submission and read its messages"
                yield Fault(f"{kind}/{student}", "it was not written", remedy)
            yield from leaks.found_in(folder, f"{kind}/{student}", solved=student == SOLVED)
