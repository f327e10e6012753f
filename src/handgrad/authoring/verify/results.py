"""What a proof found: frozen records of facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handgrad import __version__

__all__ = ["SCHEMA", "Fault", "Mutation", "Proof", "Survivor", "to_dict"]

SCHEMA = 1


@dataclass(frozen=True)
class Fault:
    """Something that has to be mended before it is handed out.

    Attributes
    ----------
    file
        The file or folder that is to be mended, as seen from the course.
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
    """A mutant that gets full marks: the answer it stands for, its kind of mistake, what it changes."""

    answer: str
    kind: str
    diff: str

    def to_dict(self) -> dict[str, str]:
        """The mutant as plain data."""
        return {"answer": self.answer, "kind": self.kind, "diff": self.diff}


@dataclass(frozen=True)
class Mutation:
    """What the checks make of the worked solution with one small mistake.

    Attributes
    ----------
    mutants
        How many mutants were graded.
    equivalent
        Those with full marks whose values are right: they are no mistakes.
    negligible
        Those with full marks that differ by less than what a comparison allows, on all data that was tried.
    survivors
        Those with full marks whose values are wrong: the checks do not see them.
    """

    mutants: int
    equivalent: tuple[Survivor, ...] = ()
    negligible: tuple[Survivor, ...] = ()
    survivors: tuple[Survivor, ...] = ()

    @property
    def killed(self) -> int:
        """How many did not get full marks."""
        return self.mutants - len(self.equivalent) - len(self.negligible) - len(self.survivors)

    def to_dict(self) -> dict[str, Any]:
        """The figures and the survivors as plain data."""
        return {
            "mutants": self.mutants,
            "killed": self.killed,
            "equivalent": [mutant.to_dict() for mutant in self.equivalent],
            "negligible": [one.to_dict() for one in self.negligible],
            "survivors": [mutant.to_dict() for mutant in self.survivors],
        }


@dataclass(frozen=True)
class Proof:
    """What is known of one assignment.

    Attributes
    ----------
    assignment
        Its name.
    proved
        What holds, a phrase each.
    faults
        What does not.
    open
        The answers whose solution the author has still to write.
    mutation
        What became of the mutants; None where they were not asked for, or could not be made.
    absent
        What was not tried because the course has nothing to try, a sentence each; no fault.
    """

    assignment: str
    proved: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    open: tuple[str, ...] = ()
    mutation: Mutation | None = None
    absent: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is to be mended or written."""
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
