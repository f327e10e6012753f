"""The forward graph as plain data that can be stored and sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["ForwardGraph", "distances"]


@dataclass(frozen=True)
class ForwardGraph:
    """Which tensor is computed from which.

    Attributes
    ----------
    consumers
        For each named tensor, in forward order, the tensors (or the loss) computed directly from it.
    leaves
        Tensors without inputs: parameters.
    """

    consumers: Mapping[str, tuple[str, ...]]
    leaves: frozenset[str] = frozenset()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The graph that :meth:`to_dict` gave."""
        consumers = {name: tuple(names) for name, names in data["consumers"].items()}
        return cls(consumers, frozenset(data["leaves"]))

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data."""
        consumers = {name: list(names) for name, names in self.consumers.items()}
        return {"consumers": consumers, "leaves": sorted(self.leaves)}


def distances(consumers: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """For each name, the number of steps on the longest path to the loss."""
    known: dict[str, int] = {}

    def distance(name: str) -> int:
        if name not in known:
            known[name] = 1 + max((distance(consumer) for consumer in consumers.get(name, ())), default=-1)
        return known[name]

    return {name: distance(name) for name in consumers}
