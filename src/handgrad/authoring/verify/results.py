"""Records of what the verification of a course found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handgrad import __version__

__all__ = ["SCHEMA", "Fault", "Mutation", "Proof", "Survivor", "to_dict"]

SCHEMA = 1


@dataclass(frozen=True)
class Fault:
    """Something that has to be fixed before release.

    Attributes
    ----------
    file
        The file or folder to fix, relative to the course.
    what
        What is wrong with it, in a sentence.
    remedy
        What to do, in a sentence.
    """

    file: str
    what: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """The fault as plain data."""
        return {"file": self.file, "what": self.what, "try": self.remedy}


@dataclass(frozen=True)
class Survivor:
    """A mutant that gets full marks: its answer, its kind of mistake, and its diff."""

    answer: str
    kind: str
    diff: str

    def to_dict(self) -> dict[str, str]:
        """The mutant as plain data."""
        return {"answer": self.answer, "kind": self.kind, "diff": self.diff}


@dataclass(frozen=True)
class Mutation:
    """Results of mutation testing: the worked solution graded with one small mistake at a time.

    Attributes
    ----------
    mutants
        How many mutants were graded.
    equivalent
        Those with full marks and right values: they are not mistakes.
    negligible
        Those with full marks that differ by less than a comparison allows, on all data that was tried.
    survivors
        Those with full marks and wrong values: the checks do not notice them.
    """

    mutants: int
    equivalent: tuple[Survivor, ...] = ()
    negligible: tuple[Survivor, ...] = ()
    survivors: tuple[Survivor, ...] = ()

    @property
    def killed(self) -> int:
        """The number that did not get full marks."""
        return self.mutants - len(self.equivalent) - len(self.negligible) - len(self.survivors)

    def to_dict(self) -> dict[str, Any]:
        """The figures and the survivors as plain data."""
        return {
            "mutants": self.mutants,
            "killed": self.killed,
            "equivalent": [mutant.to_dict() for mutant in self.equivalent],
            "negligible": [mutant.to_dict() for mutant in self.negligible],
            "survivors": [mutant.to_dict() for mutant in self.survivors],
        }


@dataclass(frozen=True)
class Proof:
    """The result of verifying one assignment.

    Attributes
    ----------
    assignment
        Its name.
    proved
        The claims that hold, a phrase each.
    faults
        What has to be fixed.
    open
        The answers without a solution yet.
    mutation
        Results of mutation testing; None if it was not requested or could not be run.
    absent
        What was not tried because the course has nothing to try, a sentence each; not a fault.
    """

    assignment: str
    proved: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    open: tuple[str, ...] = ()
    mutation: Mutation | None = None
    absent: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing has to be fixed or written."""
        return not self.faults and not self.open and not (self.mutation and self.mutation.survivors)

    def to_dict(self) -> dict[str, Any]:
        """The proof as plain data."""
        return {
            "assignment": self.assignment,
            "sound": self.sound,
            "proved": list(self.proved),
            "faults": [fault.to_dict() for fault in self.faults],
            "open": list(self.open),
            "mutation": self.mutation.to_dict() if self.mutation else None,
            "absent": list(self.absent),
        }


def to_dict(proofs: tuple[Proof, ...]) -> Mapping[str, Any]:
    """The proofs of a course as plain data."""
    return {"schema": SCHEMA, "handgrad": __version__, "assignments": [proof.to_dict() for proof in proofs]}
