"""Notice that a cell tries values near one of the forward pass, as numerical differentiation does.

Large steps on a linear line are exact, so the value of an answer does not show how it was found; the calls of torch do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Probing"]

FEWEST = 5
"""Entries of a tensor that is watched: in a smaller one, a single entry that differs is no sign."""
ENTRIES, SHIFTS = 2, 4
"""So many different entries of one tensor that are tried alone, or so many different shifts of a whole tensor, are none
of a formula's."""
MOST_CALLS = 20_000
"""Calls that are looked at in one cell: a long loop would take many times as long."""


class Probing(TorchFunctionMode):
    """Watches the calls of torch of one cell.

    Parameters
    ----------
    forward
        The tensors of the forward pass.
    """

    def __init__(self, forward: Iterable[object]) -> None:
        super().__init__()
        self._forward: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)
        for value in forward:
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() >= FEWEST:
                self._forward[tuple(value.shape)].append(value.detach().clone())
        self._entries: dict[int, set[int]] = defaultdict(set)
        self._shifts: dict[int, set[float]] = defaultdict(set)
        self._calls = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``function``, and look at its tensors."""
        result = function(*args, **(kwargs or {}))
        if self._calls < MOST_CALLS:
            self._calls += 1
            with torch._C.DisableTorchFunction():
                for value in chain(args, (result,)):
                    if isinstance(value, torch.Tensor):
                        self._look(value)
        return result

    @property
    def found(self) -> bool:
        """Whether one tensor was tried with several of its entries changed alone, or with several shifts."""
        return any(len(entries) >= ENTRIES for entries in self._entries.values()) or any(
            len(shifts) >= SHIFTS for shifts in self._shifts.values()
        )

    def _look(self, value: torch.Tensor) -> None:
        try:
            for length in range(value.dim() + 1):
                for forward in self._forward.get(tuple(value.shape[value.dim() - length :]), ()):
                    self._compare(value, forward)
        except RuntimeError:
            # vmap's tensors, and others without values
            return

    def _compare(self, value: torch.Tensor, forward: torch.Tensor) -> None:
        """Compare a tensor, or each of a batch of them, with one of the forward pass."""
        batch = value.reshape(-1, forward.numel()) - forward.reshape(1, -1)
        differs = batch != 0
        count = differs.sum(1)
        single = count == 1
        if bool(single.any()):
            self._entries[id(forward)].update(differs[single].int().argmax(1).tolist())
        for row in batch[count == forward.numel()][:SHIFTS]:
            size = row.abs().max()
            if bool(row.max() - row.min() < 1e-9 * size):
                self._shifts[id(forward)].add(float(row[0]))
