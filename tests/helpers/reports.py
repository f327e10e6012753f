"""Reports made by hand: every outcome once, and classes of any size."""

from dataclasses import replace

from handgrad.report.records import Comparison, Diagnosis, ForwardGraph, Report, ReportOutcome, Verdict
from handgrad.report.term import Term, TermAssignment

RIGHT = Comparison((32, 27), (32, 27), exact=True, approximate=True, maxdiff=0.0, relative=0.0)
WRONG = Comparison((32, 27), (32, 27), exact=False, approximate=False, maxdiff=0.012345678, relative=0.4)
RESHAPED = Comparison((64,), (1, 64), exact=False, approximate=False, maxdiff=None, relative=None, reshaped=True)
BRANCH = Diagnosis("missing-branch", "The branch through counts_sum is missing.", "Add up both branches.", "dcounts")
SHAPE = Diagnosis("shape-rank", "The values of dbnmeani are right, but not the shape.", "Use keepdim=True.", "dbnmeani")

CHECKS = (
    Verdict("check_dprobs", "dprobs", "passed", 1.0, 1.0, RIGHT),
    Verdict("check_dcounts", "dcounts", "failed", 0.0, 1.0, WRONG, BRANCH, "dcounts is not the gradient of counts."),
    Verdict("check_dbnmeani", "dbnmeani", "partial", 0.5, 1.0, RESHAPED, SHAPE),
    Verdict("check_dlogits", "dlogits", "missing", 0.0, 1.0, message="dlogits is not written yet."),
    Verdict("check_dh", "dh", "error", 0.0, 1.0, message="The cell of dh raises NameError: name 'dlogit' is unknown"),
    Verdict("check_dW2", "dW2", "timeout", 0.0, 2.0, message="The cell did not finish within 10 seconds."),
    Verdict("check_db2", "db2", "memory", 0.0, 1.0),
    Verdict("check_dC", "dC", "crashed", 0.0, 1.0),
    Verdict("check_demb", "demb", "tampered", 0.0, 1.0),
    Verdict("check_dbnvar", "dbnvar", "held", 0.0, 1.0, RIGHT),
)
PASSED = CHECKS[0]
GRAPH = ForwardGraph(
    {"C": ("emb",), "emb": ("h",), "h": ("logits",), "W2": ("logits",), "b2": ("logits",), "logits": ("probs",)}
    | {"bnmeani": ("probs",), "counts": ("probs",), "probs": ("loss",)},
    frozenset({"C", "W2", "b2"}),
)


def report(outcome: ReportOutcome = "graded", student: str = "s01", checks: tuple[Verdict, ...] = CHECKS) -> Report:
    """A report of the given outcome; only a graded one has checks."""
    return Report(
        assignment="backprop",
        notebook="backprop",
        outcome=outcome,
        handgrad="0.1.0",
        isolation="full",
        student=student,
        message="" if outcome == "graded" else "a reason of its own",
        seconds=0.0212,
        checks=checks if outcome == "graded" else (),
    )


def a_class(size: int) -> list[Report]:
    """Reports of students who are not all alike: each has made some of the steps right."""
    right = [
        replace(verdict, outcome="passed", points=verdict.max_points, message="", diagnosis=None) for verdict in CHECKS
    ]
    pairs = list(zip(CHECKS, right, strict=True))
    return [
        report(student=f"s{number:04}", checks=tuple(pair[number >> place & 1] for place, pair in enumerate(pairs)))
        for number in range(size)
    ]


NAMES = {
    f"s{number:04}": f"{first} {last}"
    for number, (first, last) in enumerate(
        (first, last) for first in ("Ada", "Kurt", "Emmy", "Sofja", "Alan") for last in ("Lovelace", "Gödel", "Noether")
    )
}
"""Names of the first students of a class."""


def a_term(size: int, assignments: int) -> Term:
    """A class over a term; each student leaves out one assignment, and the last has handed in nothing."""
    found = []
    for place in range(assignments):
        reports = {
            graded.student: replace(graded, assignment=f"week_{place}")
            for number, graded in enumerate(a_class(size))
            if number % assignments != place
        }
        links = {student: f"feedback/{student}/week_{place}/week_{place}.html" for student in reports}
        found.append(TermAssignment(f"week_{place}", reports, {}, links))
    return Term(found, NAMES, [f"s{size:04}"])
