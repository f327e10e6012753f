"""The passes of one submission, and the parameters of each."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ATTEMPTS", "Kind", "Pass", "Round", "plan_values", "rounds", "secret_seed", "seeds_and_sizes"]

Kind = Literal["visible", "as written", "step", "helped", "values", "plain", "plain as written"]
ATTEMPTS = 4
"""Largest number of runs of a pass: one, and three more without a cell that ended its process."""


@dataclass(frozen=True)
class Pass:
    """One run of a submission's cells.

    Every pass has its own parameters, so that a reference sent in one pass is useless in another.
    """

    kind: Kind
    """What is set in it, and what is collected."""
    round: int
    """The round that it belongs to; 0 for the visible pass."""
    parameters: Mapping[str, Any]
    """What it sets after the parameters cell."""
    part: int = 1
    """Number of a step pass in its round: there is more than one if no scales make all branches visible at once."""

    @property
    def name(self) -> str:
        """A name for the pass, unique within a plan."""
        if self.kind == "visible":
            return self.kind
        return f"{self.kind} {self.round}" + (f", part {self.part}" if self.part > 1 else "")

    @property
    def parameter_set(self) -> str:
        """The name of the locked cells that it runs after."""
        return self.name.replace("plain as written", "plain")

    @property
    def is_double(self) -> bool:
        """Whether it runs plain statements, in double precision."""
        return self.kind in ("plain", "plain as written")

    @property
    def helps(self) -> bool:
        """Whether each answer is replaced by its reference once it has been collected."""
        return self.kind in ("step", "helped", "plain")

    @property
    def is_optional(self) -> bool:
        """Whether it cannot change the verdict on a gradient that is right in every step pass."""
        return self.kind in ("as written", "helped")


def secret_seed(seed: int, *place: object) -> int:
    """A seed for what stands at this ``place`` of a plan; it cannot be guessed without ``seed``."""
    text = "/".join(map(str, (seed, *place)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@dataclass(frozen=True)
class Round:
    """The hidden passes over gradients that belong together: one or several step passes, as written, and helped."""

    steps: tuple[Pass, ...]
    as_written: Pass
    helped: Pass


def plan_values(
    seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
) -> tuple[Pass, ...]:
    """The hidden passes over values: for each seed, and each of the ``sizes``, one with each of the ``settings``."""
    planned = [({**setting, **size}, seed) for seed, size in seeds_and_sizes(seeds, sizes) for setting in settings]
    return tuple(
        Pass("values", number, {**parameters, "seed": secret_seed(seed, number, "values")})
        for number, (parameters, seed) in enumerate(planned, start=1)
    )


def seeds_and_sizes(seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """The rounds of hidden passes: one for each seed, and one more for each of the ``sizes``, on the first seed."""
    return [(seed, {}) for seed in seeds] + [(seeds[0], size) for size in sizes]


def rounds(passes: Sequence[Pass]) -> list[Round]:
    """The hidden passes over gradients, round by round."""
    numbers = sorted({pass_.round for pass_ in passes if pass_.kind == "step"})
    found = []
    for number in numbers:
        own = [pass_ for pass_ in passes if pass_.round == number]
        steps = tuple(pass_ for pass_ in own if pass_.kind == "step")
        (as_written,) = (pass_ for pass_ in own if pass_.kind == "as written")
        (helped,) = (pass_ for pass_ in own if pass_.kind == "helped")
        found.append(Round(steps, as_written, helped))
    return found
