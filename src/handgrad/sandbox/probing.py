"""Notice that a cell tries values near one of the forward pass, as numerical differentiation does.

Large steps on a linear line are exact, so the value of an answer does not show how it was found; the calls of torch do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Probing", "by_shape"]

FEWEST = 5
"""Entries of a tensor that is watched: in a smaller one, a single entry that differs is no sign."""
SHIFTS, PLACES = 4, 64
"""So many different shifts of a whole tensor are none of a formula's; so many changed places of one are remembered."""
MOST_LOOKS = 2000
"""So many comparisons of one cell are made; then one in ten, and after ten times as many one in a hundred.

Otherwise a long loop would take many times as long.
"""


def by_shape(values: Iterable[object]) -> dict[tuple[int, ...], list[torch.Tensor]]:
    """Copies of the tensors among some ``values`` that can be watched, by their shape."""
    found: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)
    for value in values:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.numel() < FEWEST:
            continue
        # of a tensor whose entries are equal, any one-hot row is a step away
        if bool((value != value.flatten()[0]).any()):
            found[tuple(value.shape)].append(value.detach().clone())
    return found


class Probing(TorchFunctionMode):
    """Watches the calls of torch of one cell.

    Parameters
    ----------
    forward
        The tensors of the forward pass, by shape: see :func:`by_shape`.
    """

    def __init__(self, forward: Mapping[tuple[int, ...], Sequence[torch.Tensor]]) -> None:
        super().__init__()
        self._forward = forward
        self._places: dict[int, list[torch.Tensor]] = defaultdict(list)
        self._shifts: dict[int, set[float]] = defaultdict(set)
        self._looks = 0
        self._is_found = False

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``function``, and look at its tensors."""
        result = function(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            for value in chain(args, (result,)):
                if isinstance(value, torch.Tensor):
                    self._look(value)
        return result

    @property
    def found(self) -> bool:
        """Whether entries of one tensor were changed in places that have nothing in common, or it was shifted often."""
        return self._is_found or any(len(shifts) >= SHIFTS for shifts in self._shifts.values())

    def _look(self, value: torch.Tensor) -> None:
        try:
            for length in range(value.dim() + 1):
                for forward in self._forward.get(tuple(value.shape[value.dim() - length :]), ()):
                    self._looks += 1
                    if not self._looks % self._every():
                        self._compare(value, forward)
        except RuntimeError:
            # vmap's tensors, and others without values
            return

    def _every(self) -> int:
        if self._looks < MOST_LOOKS:
            return 1
        return 10 if self._looks < 10 * MOST_LOOKS else 100

    def _compare(self, value: torch.Tensor, forward: torch.Tensor) -> None:
        """Compare a tensor, or each of a batch of them, with one of the forward pass."""
        batch = value.reshape(-1, forward.numel()) - forward.reshape(1, -1)
        differs = batch != 0
        most = batch.masked_fill(~differs, -torch.inf).amax(1)
        least = batch.masked_fill(~differs, torch.inf).amin(1)
        # rows that differ by the same number wherever they do: all are looked at together, as they may be many
        moved = differs.any(1) & (most - least < 1e-9 * batch.abs().amax(1))
        batch, differs = batch[moved], differs[moved]
        places = self._places[id(forward)]
        for row, changed, number in zip(batch, differs, differs.sum(1).tolist(), strict=True):
            if number == forward.numel():
                self._shifts[id(forward)].add(float(row[0]))
            elif number <= forward.numel() // 2:
                # growing places are those of a loop that writes its answer
                self._is_found |= any(not bool((changed & other).any()) for other in places)
                if len(places) < PLACES:
                    places.append(changed)
