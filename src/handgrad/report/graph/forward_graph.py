"""The forward graph as plain data, which can be stored and sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["ForwardGraph", "distances"]


@dataclass(frozen=True)
class ForwardGraph:
    """What is computed from what.

    Attributes
    ----------
    consumers
        For each named tensor, in forward order, what is computed directly from it; the loss is among the consumers
        only.
    leaves
        Tensors without input: parameters.
    """

    consumers: Mapping[str, tuple[str, ...]]
    leaves: frozenset[str] = frozenset()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The graph that :meth:`to_dict` gave."""
        consumers = {name: tuple(users) for name, users in data["consumers"].items()}
        return cls(consumers, frozenset(data["leaves"]))

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data."""
        consumers = {name: list(users) for name, users in self.consumers.items()}
        return {"consumers": consumers, "leaves": sorted(self.leaves)}


def distances(consumers: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """For each name, the steps of the longest way to where no consumer follows."""
    found: dict[str, int] = {}

    def distance(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((distance(one) for one in consumers.get(name, ())), default=-1)
        return found[name]

    return {name: distance(name) for name in consumers}
