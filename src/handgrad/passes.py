"""The passes over one submission, and the parameters of each."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Pass", "plan", "rounds"]

Kind = Literal["visible", "as written", "step", "helped"]
HIDDEN: tuple[Kind, ...] = ("as written", "step", "helped")


@dataclass(frozen=True)
class Pass:
    """One run of a submission's cells: its kind, the round it belongs to, and what it sets in the parameters cell.

    Every pass has parameters of its own, so a reference that was sent in one pass is worth nothing in another.
    """

    kind: Kind
    round: int
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name for the pass, unique within a plan."""
        return self.kind if self.kind == "visible" else f"{self.kind} {self.round}"

    @property
    def helps(self) -> bool:
        """Whether references take the place of the answers as they are taken."""
        return self.kind in ("step", "helped")


def plan(seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]] = ()) -> tuple[Pass, ...]:
    """The passes in the order in which one child runs them.

    Parameters
    ----------
    seeds
        Hidden seeds: one round of hidden passes for each.
    sizes
        Further parameters, such as ``{"batch_size": 16}``: one more round for each, on the first seed.
    """
    rounds: list[tuple[int, Mapping[str, Any]]] = [(seed, {}) for seed in seeds]
    rounds += [(seeds[0], size) for size in sizes]
    passes = [Pass("visible", 0, {})]
    for number, (seed, size) in enumerate(rounds, start=1):
        passes += [Pass(kind, number, {**size, "seed": _derived(seed, number, kind)}) for kind in HIDDEN]
    return tuple(passes)


def _derived(seed: int, number: int, kind: str) -> int:
    """A seed for one pass that nobody finds without knowing ``seed``."""
    digest = hashlib.sha256(f"{seed}/{number}/{kind}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def rounds(passes: Sequence[Pass]) -> list[Mapping[str, Pass]]:
    """The hidden passes of a plan, round by round, by kind."""
    found: dict[int, dict[str, Pass]] = {}
    for one in passes:
        if one.kind != "visible":
            found.setdefault(one.round, {})[one.kind] = one
    return list(found.values())
