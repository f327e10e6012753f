"""What the verification of a course found: its records, as text for a terminal, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from handgrad import __version__

__all__ = ["SCHEMA", "Fault", "Mutation", "Proof", "Survivor", "as_json", "as_text", "status"]

SCHEMA = 1


@dataclass(frozen=True)
class Fault:
    """Something that has to be fixed before release.

    The file or folder, relative to the course; what is wrong with it; and what to do: a sentence each.
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


@dataclass(frozen=True)
class Mutation:
    """Results of mutation testing: the worked solution graded with one small mistake at a time."""

    mutants: int
    """How many mutants were graded."""
    equivalent: tuple[Survivor, ...] = ()
    """Those with full marks and right values: they are not mistakes."""
    negligible: tuple[Survivor, ...] = ()
    """Those with full marks that differ by less than a comparison allows, on all data that was tried."""
    survivors: tuple[Survivor, ...] = ()
    """Those with full marks and wrong values: the checks do not notice them."""

    @property
    def killed(self) -> int:
        """The number that did not get full marks."""
        return self.mutants - len(self.equivalent) - len(self.negligible) - len(self.survivors)

    def to_dict(self) -> dict[str, Any]:
        """The figures and the survivors as plain data."""
        return {"mutants": self.mutants, "killed": self.killed, **asdict(self)}


@dataclass(frozen=True)
class Proof:
    """The result of verifying one assignment."""

    assignment: str
    proved: tuple[str, ...] = ()
    """The claims that hold, a phrase each."""
    faults: tuple[Fault, ...] = ()
    open: tuple[str, ...] = ()
    """The answers without a solution yet."""
    mutation: Mutation | None = None
    """Results of mutation testing; None if it was not requested or could not be run."""
    absent: tuple[str, ...] = ()
    """What was not tried because the course has nothing to try, a sentence each; not a fault."""
    ordinary: bool = False
    """Whether it is not an exercise of handgrad, and so nothing was tried."""
    since: str = ""
    """When it was tried, if nothing has changed since and it was not tried again; else empty."""

    @property
    def sound(self) -> bool:
        """Whether nothing has to be fixed or written."""
        return not self.faults and not self.open and not (self.mutation and self.mutation.survivors)

    def to_dict(self) -> dict[str, Any]:
        """The proof as plain data."""
        parts = {
            "faults": [fault.to_dict() for fault in self.faults],
            "mutation": self.mutation.to_dict() if self.mutation else None,
        }
        return {"assignment": self.assignment, "sound": self.sound, **vars(self), **parts}


def status(proofs: Sequence[Proof]) -> int:
    """Exit status: 0 if every assignment is sound, 1 if something has to be fixed or written."""
    return 0 if all(proof.sound for proof in proofs) else 1


def as_json(proofs: Sequence[Proof]) -> str:
    """The results as JSON, schema 1."""
    content = {"schema": SCHEMA, "handgrad": __version__, "assignments": [proof.to_dict() for proof in proofs]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_text(proofs: Sequence[Proof], *, width: int | None = None, color: bool = False) -> str:
    """The results by assignment: claims that hold, faults, solutions to write, surviving mutants."""
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=color, highlight=False, no_color=not color)
    for proof in proofs:
        _print(console, proof)
    faults = sum(len(proof.faults) for proof in proofs)
    unwritten = sum(len(proof.open) for proof in proofs)
    ordinary = sum(proof.ordinary for proof in proofs)
    sound = sum(proof.sound for proof in proofs) - ordinary
    left = f", {ordinary} left to nbgrader" if ordinary else ""
    console.print(
        f"{_count(len(proofs), 'assignment')}: {sound} sound{left}; {_count(faults, 'fault')}, "
        f"{_count(unwritten, 'solution')} to write."
    )
    return file.getvalue()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print(console: Console, proof: Proof) -> None:
    console.print(Text(proof.assignment, style="bold"))
    if proof.since:
        text = (
            f"not verified again: nothing has changed since {proof.since}, when all this was found (--force verifies)."
        )
        console.print(_row("=", text, "cyan"))
    for claim in proof.proved:
        console.print(_row("✓", claim, "green"))
    for sentence in proof.absent:
        console.print(_row("-", f"{sentence}.", "cyan"))
    for fault in proof.faults:
        console.print(_row("✗", f"{fault.file}: {fault.what}.", "red"))
        console.print(Padding(Text(f"Try: {fault.remedy}."), (0, 0, 0, 4), expand=False))
    if proof.open:
        console.print(_row("…", f"{_count(len(proof.open), 'solution')} to write: {', '.join(proof.open)}.", "cyan"))
    if proof.mutation:
        _print_mutation(console, proof.mutation)
    console.print()


def _print_mutation(console: Console, mutation: Mutation) -> None:
    mark, style = ("✗", "red") if mutation.survivors else ("✓", "green")
    text = f"{mutation.mutants} mutants of the worked solution: {mutation.killed} killed, "
    text += f"{len(mutation.equivalent)} right (equivalent), {len(mutation.negligible)} differ by less than a "
    text += f"comparison allows, {len(mutation.survivors)} survive."
    console.print(_row(mark, text, style))
    kinds = {"survives": mutation.survivors, "is negligible": mutation.negligible, "is equivalent": mutation.equivalent}
    for name, mutants in kinds.items():
        for mutant in mutants:
            console.print(Padding(_survivor(mutant, name), (0, 0, 0, 4), expand=False))


def _survivor(mutant: Survivor, name: str) -> Text:
    text = Text(f"{mutant.answer}, {mutant.kind}: {name}\n")
    for line in mutant.diff.splitlines():
        text.append(f"  {line}\n", style="red" if line.startswith("-") else "green")
    text.rstrip()
    return text


def _row(mark: str, text: str, style: str) -> Text:
    return Text.assemble((f"{mark} ", style), text)
