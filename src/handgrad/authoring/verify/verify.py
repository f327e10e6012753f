"""Prove the assignments of a course, one after the other, and go on after every fault."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from handgrad.authoring.cases import MISTAKES, Case, known_mistakes
from handgrad.authoring.verify.dry_run import SOLVED, UNTOUCHED, Rehearsal, drift, rehearsed
from handgrad.authoring.verify.graded_claims import faults_of_case, faults_of_outcomes, faults_of_release
from handgrad.authoring.verify.leaks import Secrets
from handgrad.authoring.verify.mutation_of_values import mutation_of_values, shortened
from handgrad.authoring.verify.mutation_testing import mutation
from handgrad.authoring.verify.notebook_claims import faults_of_cells, faults_of_randomness, open_answers
from handgrad.authoring.verify.results import Fault, Mutation, Proof
from handgrad.course.commands.check_notebook import check
from handgrad.course.course import Course
from handgrad.errors import HandgradError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import EXERCISE_FILE, read_released
from handgrad.grading.grader import Grader

__all__ = ["verify"]

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
        The course has no such assignment, or none at all; or links in its source lead nowhere.
    """
    return tuple(_Trial(course, name, say, mutants).proof() for name in course.select(assignments))


@dataclass
class _Trial:
    """One assignment, claim by claim; where one cannot be tried, that is a fault, and the next one is."""

    course: Course
    assignment: str
    say: Say
    mutants: bool
    proved: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    mutation: Mutation | None = None

    def proof(self) -> Proof:
        """Try everything."""
        unwritten: tuple[str, ...] = ()
        try:
            exercise = self.course.exercise(self.assignment)
            unwritten = open_answers(exercise)
            self._try("every answer has a text, a stub and a check with points", faults_of_cells(exercise, self._file))
            self._try("every locked cell gives the same twice", faults_of_randomness(exercise, self._file))
            with rehearsed(self.course, self.assignment) as rehearsal:
                self._release(exercise, rehearsal)
                self._grade(exercise, rehearsal, solved=not unwritten)
                if not unwritten:
                    self._commands(exercise, rehearsal)
        except HandgradError as error:
            self.faults.append(self._stopped(error))
        return Proof(
            self.assignment, tuple(self.proved), tuple(self.faults), unwritten, self.mutation, tuple(self.absent)
        )

    @property
    def _file(self) -> str:
        """The instructor's notebook, as seen from the course."""
        return self.course.exercise_path(self.assignment).relative_to(self.course.root).as_posix()

    def _stopped(self, error: HandgradError) -> Fault:
        return Fault(self._file, str(error).rstrip("."), "mend it, and verify again: what comes behind was not tried")

    def _try(self, claim: str, faults: Iterable[Fault]) -> None:
        """Note the faults; where there are none, the claim is proved."""
        self.say(f"{self.assignment}: {claim}")
        try:
            found = list(faults)
        except HandgradError as error:
            found = [self._stopped(error)]
        self.faults += found
        if not found:
            self.proved.append(claim)

    def _release(self, exercise: Exercise, rehearsal: Rehearsal) -> None:
        """What the source gives, and what students get of it."""
        self._try("release and solutions are what the source gives", drift(rehearsal))
        secrets = Secrets.of(exercise)
        name = f"release/{self.assignment}"
        folders = [one.folder("release") / self.assignment for one in (rehearsal.stage, self.course)]
        told = (fault for folder in folders for fault in secrets.told_in(folder, name))
        self._try("no solution and no hidden test stands in the release", dict.fromkeys(told))

    def _grade(self, exercise: Exercise, rehearsal: Rehearsal, *, solved: bool) -> None:
        """What a warm grader says of the release, the solution, the known mistakes and the mutants."""
        with rehearsal.stage.grader(exercise) as grader:
            released = rehearsal.notebook("release")
            self._try("every released stub is missing", faults_of_release(grader, released, self._file))
            if not solved:
                return
            self._mistakes(grader, rehearsal)
            if self.mutants:
                self.say(f"{self.assignment}: mutants")
                self.mutation = self._mutation(exercise, grader, rehearsal)

    def _mutation(self, exercise: Exercise, grader: Grader, rehearsal: Rehearsal) -> Mutation:
        """What the checks make of every mutant; where they ask for values, in a training of a few steps."""
        solved = rehearsal.notebook("solution")
        if not exercise.values:
            return mutation(grader, solved)
        with rehearsal.stage.grader(shortened(exercise)) as quick:
            return mutation_of_values(quick, solved)

    def _mistakes(self, grader: Grader, rehearsal: Rehearsal) -> None:
        try:
            cases = known_mistakes(self.course.root, grader.exercise)
        except HandgradError as error:
            self.faults.append(self._stopped(error))
            return
        if cases:
            faults = self._faults_of_cases(cases, grader, rehearsal)
            self._try("every known mistake is graded as its file says", faults)
        else:
            self.absent.append(f"no known mistake of {self.assignment} was tried: {MISTAKES} has none")

    def _faults_of_cases(self, cases: Iterable[Case], grader: Grader, rehearsal: Rehearsal) -> Iterator[Fault]:
        for case in cases:
            self.say(f"{self.assignment}: {case.name}")
            released, solved = rehearsal.notebook("release"), rehearsal.notebook("solution")
            yield from faults_of_case(case, grader, released, solved, f"{MISTAKES}/{case.name}")

    def _commands(self, exercise: Exercise, rehearsal: Rehearsal) -> None:
        """What every command says of two students, and what stands in the notebooks and pages that it writes."""
        full = sum(check.points for check in exercise.checks)
        secrets = Secrets.of(exercise)
        rehearsal.hand_in()
        for way, faults in (
            ("nbgrader autograde", self._autograded(rehearsal, full)),
            ("handgrad grade", self._graded(rehearsal)),
        ):
            self._try(f"the worked solution has full marks by {way}", faults)
            self._try(f"no solution and no hidden test stands in what {way} writes", _told(secrets, rehearsal))
        self._try("the worked solution has full marks by handgrad check", self._checked(rehearsal))
        if rehearsal.hidden_tests.is_dir():
            self._try("the worked solution has full marks by pytest", rehearsal.pytest())
        else:
            self.absent.append("pytest was not run: the course has no tests/hidden")

    def _autograded(self, rehearsal: Rehearsal, full: float) -> Iterator[Fault]:
        scores = rehearsal.autograde()
        for student, points in ((SOLVED, full), (UNTOUCHED, 0.0)):
            if scores.get(student) != points:
                what = f"nbgrader autograde gives the {student} notebook {scores.get(student)} points, not {points:g}"
                yield Fault(self._file, what, "look at its solutions, its checks and their points")

    def _graded(self, rehearsal: Rehearsal) -> Iterator[Fault]:
        reports = rehearsal.grade()
        yield from faults_of_outcomes(reports[SOLVED], self._file, "handgrad grade")
        if reports[UNTOUCHED].score:
            what = f"handgrad grade gives the untouched notebook {reports[UNTOUCHED].score:g} points"
            yield Fault(self._file, what, "release it with nothing in its stubs")

    def _checked(self, rehearsal: Rehearsal) -> Iterator[Fault]:
        """As a student does, beside the released folder's files and with nothing else."""
        folder = rehearsal.path("release").parent
        handed_in = folder / "handed-in.ipynb"
        shutil.copy(rehearsal.path("solution"), handed_in)
        report = check(handed_in, read_released(folder / EXERCISE_FILE)).report
        yield from faults_of_outcomes(report, self._file, "handgrad check")


def _told(secrets: Secrets, rehearsal: Rehearsal) -> Iterator[Fault]:
    """The secrets that stand in autograded notebooks and feedback pages."""
    for kind in ("autograded", "feedback"):
        for student in (UNTOUCHED, SOLVED):
            folder = rehearsal.stage.folder(kind) / student
            if not folder.is_dir():
                yield Fault(f"{kind}/{student}", "it was not written", "grade a submission by hand and see why")
            yield from secrets.told_in(folder, f"{kind}/{student}", solved=student == SOLVED)
