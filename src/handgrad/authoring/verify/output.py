"""The results of `handgrad verify` as text for a terminal and as JSON."""

import json
from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from handgrad.authoring.verify.results import Mutation, Proof, Survivor, to_dict

__all__ = ["as_json", "as_text", "status"]


def status(proofs: Sequence[Proof]) -> int:
    """Exit status: 0 if every assignment is sound, 1 if something has to be fixed or written."""
    return 0 if all(proof.sound for proof in proofs) else 1


def as_json(proofs: Sequence[Proof]) -> str:
    """The results as JSON, schema 1."""
    return json.dumps(to_dict(tuple(proofs)), indent=1, ensure_ascii=False) + "\n"


def as_text(proofs: Sequence[Proof], *, width: int | None = None, color: bool = False) -> str:
    """The results by assignment: claims that hold, faults, solutions to write, surviving mutants."""
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=color, highlight=False, no_color=not color)
    for proof in proofs:
        _print(console, proof)
    faults = sum(len(proof.faults) for proof in proofs)
    unwritten = sum(len(proof.open) for proof in proofs)
    sound = sum(proof.sound for proof in proofs)
    console.print(
        f"{_count(len(proofs), 'assignment')}: {sound} sound; {_count(faults, 'fault')}, "
        f"{_count(unwritten, 'solution')} to write."
    )
    return file.getvalue()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print(console: Console, proof: Proof) -> None:
    console.print(Text(proof.assignment, style="bold"))
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
