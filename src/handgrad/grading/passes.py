"""Plan the passes of one submission, and the parameters of each."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ATTEMPTS", "HIDDEN", "Kind", "Pass", "plan", "plan_values", "rounds"]

Kind = Literal["visible", "as written", "step", "helped", "values"]
ATTEMPTS = 4
"""Largest number of runs of a pass: one, and three more without a cell that ended its process."""
HIDDEN: tuple[Kind, ...] = ("step", "as written", "helped")
"""The hidden passes of a round over gradients; values have their own passes."""


@dataclass(frozen=True)
class Pass:
    """One run of a submission's cells: its kind, the round it belongs to, and what it sets in the parameters cell.

    Every pass has its own parameters, so that a reference sent in one pass is useless in another.
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
        """Whether each answer is replaced by its reference once it has been collected."""
        return self.kind in ("step", "helped")

    @property
    def is_optional(self) -> bool:
        """Whether it cannot change the verdict on a gradient that is right in every step pass."""
        return self.kind in HIDDEN and self.kind != "step"


def plan(
    seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]] = (), settings: Mapping[str, Any] | None = None
) -> tuple[Pass, ...]:
    """The passes over gradients, in the order in which one child runs them: the optional ones come last.

    Parameters
    ----------
    seeds
        Hidden seeds: one round of hidden passes for each.
    sizes
        Further parameters, such as ``{"batch_size": 16}``: one more round for each, on the first seed.
    settings
        Parameters of every hidden pass besides its seed.
    """
    passes = [Pass("visible", 0, {})]
    for number, (seed, size) in enumerate(_rounds(seeds, sizes), start=1):
        parameters = {**(settings or {}), **size}
        passes += [Pass(kind, number, {**parameters, "seed": _derived(seed, number, kind)}) for kind in HIDDEN]
    return tuple(sorted(passes, key=lambda pass_: pass_.is_optional))


def plan_values(
    seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
) -> tuple[Pass, ...]:
    """The hidden passes over values: for each seed, and each of the ``sizes``, one with each of the ``settings``."""
    planned = [({**setting, **size}, seed) for seed, size in _rounds(seeds, sizes) for setting in settings]
    return tuple(
        Pass("values", number, {**parameters, "seed": _derived(seed, number, "values")})
        for number, (parameters, seed) in enumerate(planned, start=1)
    )


def _rounds(seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    return [(seed, {}) for seed in seeds] + [(seeds[0], size) for size in sizes]


def _derived(seed: int, number: int, kind: str) -> int:
    """A seed for one pass that cannot be guessed without ``seed``."""
    digest = hashlib.sha256(f"{seed}/{number}/{kind}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def rounds(passes: Sequence[Pass]) -> list[Mapping[str, Pass]]:
    """The hidden passes of a plan over gradients, round by round, by kind."""
    by_round: dict[int, dict[str, Pass]] = {}
    for pass_ in passes:
        if pass_.kind in HIDDEN:
            by_round.setdefault(pass_.round, {})[pass_.kind] = pass_
    return list(by_round.values())
