"""A term: the scores of a class over all assignments, the mistakes that come back, and the items of all exercises."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from handgrad.report.class_summary import Item, items, max_score_of, score_of, summarise
from handgrad.report.names import shown
from handgrad.report.records import Report, ScoreEntry
from handgrad.report.score_export import csv_text
from handgrad.report.wording import one_line

__all__ = ["ReturningMistake", "Term", "TermAssignment", "TermItem", "TermStudent", "term_csv"]


@dataclass(frozen=True)
class TermAssignment:
    """One assignment of a term."""

    name: str
    reports: Mapping[str, Report] = field(default_factory=dict)
    """The reports, by student."""
    entries: Mapping[str, ScoreEntry] = field(default_factory=dict)
    """The gradebook's entries of everybody who has a score, by student."""
    links: Mapping[str, str] = field(default_factory=dict)
    """By student, the relative link to the feedback page, where there is one."""
    exempt: Collection[str] = ()
    """The students for whom it does not count."""

    @cached_property
    def max_score(self) -> float:
        """Points that can be earned."""
        students = {*self.reports, *self.entries}
        points = (max_score_of(self.reports.get(student), self.entries.get(student)) for student in students)
        return max(points, default=0.0)

    @cached_property
    def scores(self) -> Mapping[str, float]:
        """The final scores of those who have one, by student."""
        found = {student: score_of(report, self.entries.get(student)) for student, report in self.reports.items()}
        # an assignment that nbgrader's own steps grade has no reports
        found.update({name: entry.final for name, entry in self.entries.items() if name not in self.reports})
        return {student: score for student, score in found.items() if score is not None}

    def mistakes(self, student: str) -> set[str]:
        """The slugs of the recognised mistakes in a student's gradients that did not pass."""
        report = self.reports.get(student)
        checks = report.checks if report else ()
        return {one_line(check.diagnosis.mistake) for check in checks if check.diagnosis and check.outcome != "passed"}


@dataclass(frozen=True)
class TermStudent:
    """A student over the term."""

    student: str
    scores: tuple[float | None, ...]
    """The final score of each assignment, in their order; None if there is none."""
    returning: Mapping[str, Sequence[str]]
    """The mistakes that were made in more than one assignment, each with the names of these."""

    @property
    def total(self) -> float | None:
        """The sum of the scores; None if there is none."""
        known = [score for score in self.scores if score is not None]
        return sum(known) if known else None


@dataclass(frozen=True)
class ReturningMistake:
    """A mistake that was made in more than one assignment."""

    mistake: str
    """Its slug."""
    students: Mapping[str, int]
    """How many students made it, by assignment, in the order of the assignments."""
    again: int
    """How many of them made it in more than one assignment."""


@dataclass(frozen=True)
class TermItem:
    """One gradient of one assignment: its statistics, and its most frequent mistake with the number of students."""

    assignment: str
    gradient: str
    statistics: Item
    mistake: str
    mistaken: int


@dataclass(frozen=True)
class Term:
    """All assignments of a course, the students' names by their ids, and the ids of the roster."""

    assignments: Sequence[TermAssignment]
    names: Mapping[str, str] = field(default_factory=dict)
    roster: Collection[str] = ()

    @property
    def max_score(self) -> float:
        """Points that can be earned in all assignments."""
        return sum(assignment.max_score for assignment in self.assignments)

    @cached_property
    def students(self) -> Sequence[TermStudent]:
        """Everybody of the roster and everybody who handed in something, by id."""
        known = {student for assignment in self.assignments for student in (*assignment.reports, *assignment.entries)}
        rows = []
        for student in sorted(known.union(self.roster)):
            made: defaultdict[str, list[str]] = defaultdict(list)
            for assignment in self.assignments:
                for mistake in assignment.mistakes(student):
                    made[mistake].append(one_line(assignment.name))
            returning = {mistake: made[mistake] for mistake in sorted(made) if len(made[mistake]) > 1}
            scores = tuple(assignment.scores.get(student) for assignment in self.assignments)
            rows.append(TermStudent(student, scores, returning))
        return rows

    @cached_property
    def returning(self) -> Sequence[ReturningMistake]:
        """The mistakes that were made in more than one assignment; those that most students repeat come first."""
        counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for assignment in self.assignments:
            made = Counter(mistake for student in assignment.reports for mistake in assignment.mistakes(student))
            for mistake, count in made.items():
                counts[mistake][assignment.name] = count
        again = Counter(mistake for row in self.students for mistake in row.returning)
        found = [ReturningMistake(name, made, again[name]) for name, made in counts.items() if len(made) > 1]
        return sorted(found, key=lambda found: (-found.again, -sum(found.students.values()), found.mistake))

    @cached_property
    def items(self) -> Sequence[TermItem]:
        """The gradients of all assignments, the hardest first."""
        found = []
        for assignment in self.assignments:
            reports = list(assignment.reports.values())
            analysis = items(reports)
            for gradient in summarise(reports).gradients:
                statistics = analysis[gradient.gradient]
                name, mistake = one_line(gradient.gradient), one_line(gradient.mistake)
                found.append(TermItem(assignment.name, name, statistics, mistake, gradient.mistaken))
        return sorted(found, key=lambda item: item.statistics.difficulty)


def term_csv(term: Term) -> str:
    """A line for each student, a column for each assignment's final score; a score that is missing is empty."""
    names = [one_line(assignment.name) for assignment in term.assignments]
    rows = [["student", "name", *names, "total", "max_total", "mistakes_again"]]
    for row in term.students:
        again = "; ".join(f"{mistake}: {', '.join(where)}" for mistake, where in row.returning.items())
        most = sum(found.max_score for found in term.assignments if row.student not in found.exempt)
        scores = ["" if score is None else f"{score:.10g}" for score in (*row.scores, row.total, most)]
        rows.append([row.student, shown(term.names.get(row.student, "")), *scores, again])
    return csv_text(rows)
