"""What a run of the author's script does with tensors, by line: steps of autograd, and numbers taken from tensors."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch.autograd.graph import Node, get_gradient_edge
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from handgrad.gradients.autograd_graph import above

__all__ = ["Number", "Trace", "leaves", "steps_between"]

Number = int | float | list[Any]


class Trace(TorchFunctionMode):
    """Records what torch is asked for while it is entered.

    ``lines`` has for each step of autograd the lines of the file ``filename`` that it was made on: of the script, then
    of the functions that it calls. ``numbers`` has for each line the values that Python got from tensors there; on the
    lines that are ``forced`` it gets these instead, as long as there are any.
    """

    def __init__(self, filename: str, forced: Mapping[int, Sequence[Number]]) -> None:
        super().__init__()
        self.filename = filename
        self.lines: dict[Node, tuple[int, ...]] = {}
        self.numbers: dict[int, list[Number]] = {}
        self._forced = {line: iter(values) for line, values in forced.items()}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func``, and record its new steps (of an argument too: it may be changed in place) or its number."""
        before = _steps((args, kwargs))
        result = func(*args, **(kwargs or {}))
        lines = self._lines()
        for step in _steps((args, kwargs, result)) - before:
            self.lines.setdefault(step, lines)
        if lines and isinstance(result, (int, float, list)):
            result = next(self._forced.get(lines[-1], iter(())), result)
            self.numbers.setdefault(lines[-1], []).append(result)
        return result

    def _lines(self) -> tuple[int, ...]:
        """The lines that the script and its functions are at, the innermost last."""
        lines, frame = [], sys._getframe()
        while frame := frame.f_back:  # type: ignore[assignment]
            if frame.f_code.co_filename == self.filename:
                lines.append(frame.f_lineno)
        return tuple(reversed(lines))


def _steps(values: object) -> set[Node]:
    """The steps of autograd that made the tensors in nested ``values``."""
    return {leaf.grad_fn for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor) and leaf.grad_fn is not None}


def leaves(tensor: torch.Tensor) -> list[tuple[torch.Tensor, Node]]:
    """The leaves that ``tensor`` is computed from, each with a step that uses it."""
    users = _users(tensor, {})
    return [(used.variable, steps[-1]) for used, steps in users.items() if hasattr(used, "variable")]


def steps_between(tensors: Mapping[str, torch.Tensor], consumer: torch.Tensor) -> dict[str, set[Node]]:
    """For each of ``tensors`` that ``consumer`` is computed directly from, the steps of autograd in between.

    No path goes through another of ``tensors``.
    """
    edges: dict[object, str] = {
        get_gradient_edge(tensor)[:2]: name for name, tensor in tensors.items() if tensor is not consumer
    }
    users = _users(consumer, edges)
    # what uses a step or a tensor is a step
    return {name: cast("set[Node]", above(name, users)) for name in edges.values() if name in users}


def _users(tensor: torch.Tensor, ends: Mapping[object, str]) -> dict[Node | str, list[Node]]:
    """For each step of autograd below ``tensor``, the steps that use its result; it goes on to none of the ``ends``."""
    users: dict[Node | str, list[Node]] = {}
    waiting = [tensor.grad_fn]
    while waiting:
        step = waiting.pop()
        for edge in step.next_functions if step else ():
            used = ends.get(edge, edge[0])
            if used is None or step is None:
                continue
            if used not in users and not isinstance(used, str):
                waiting.append(used)
            users.setdefault(used, []).append(step)
    return users
