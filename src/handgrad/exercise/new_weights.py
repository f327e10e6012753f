"""The exercise with weights that are drawn again: properties of an initialisation (all ones, tiny) no longer hold."""

from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import replace
from typing import Any

import torch

from handgrad.exercise.exercise import Cell, Exercise
from handgrad.notebook import execution

__all__ = ["parts", "with_new_weights"]

_SOURCE = """
import torch as _torch
_generator = _torch.Generator().manual_seed((seed * 7919 + 104729) % 2**31)
with _torch.no_grad():
    for _weight in ({weights},):
        _noise = _torch.randn(_weight.shape, generator=_generator, dtype=_weight.dtype)
        if _weight.numel() > max(_weight.shape, default=1):
            _weight.copy_(_noise * max(float(_weight.std(correction=0)), _weight.shape[-2] ** -0.5))
        else:
            _weight.copy_(_weight * _torch.exp(0.3 * _noise) + 0.3 * _noise * (_weight == 0))
del _torch, _generator, _weight, _noise
"""
"""Matrices are drawn at their scale, at least at 1/sqrt(fan in). Vectors keep their signs, and about their sizes."""


def with_new_weights(exercise: Exercise) -> Exercise | None:
    """The exercise with a locked cell more, after the one that makes the last weight; None if there is no such cell.

    The cell names the weights: where autograd is off, ``requires_grad`` tells nothing.
    """
    namespace = execution.new_namespace()
    last, weights = None, list[str]()
    with chdir(exercise.directory), torch.enable_grad(), execution.captured():
        for number, cell in enumerate(exercise.cells[: exercise.first_stub]):
            if cell.kind != "locked":
                continue
            if execution.run_cell(execution.CompiledCell(cell.source, f"<{cell.name}>"), namespace):
                return None
            found = dict(_tensors(namespace))
            if any(not tensor.is_leaf for tensor in found.values()):
                break
            if found:
                last, weights = number, list(found)
    if last is None:
        return None
    cell = Cell("locked", "new-weights", _SOURCE.format(weights=", ".join(weights)))
    return replace(exercise, cells=(*exercise.cells[: last + 1], cell, *exercise.cells[last + 1 :]))


def _tensors(namespace: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a namespace that need a gradient, each once, with an expression for it."""
    seen: set[int] = set()
    for name, value in namespace.items():
        if name.startswith("_"):
            continue
        for expression, part in parts(name, value):
            if part.requires_grad and part.is_floating_point() and id(part) not in seen:
                seen.add(id(part))
                yield expression, part


def parts(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in the value of ``name``, each with an expression for it.

    They are the value itself, those in a list, a tuple or a dictionary, or the parameters of a module.
    """
    match value:
        case torch.Tensor():
            yield name, value
        case torch.nn.Module():
            for path, part in value.named_parameters():
                plain = all(piece.isidentifier() for piece in path.split("."))
                yield f"{name}.{path}" if plain else f"{name}.get_parameter({path!r})", part
        case list() | tuple():
            for index, part in enumerate(value):
                yield from parts(f"{name}[{index}]", part)
        case dict():
            for key, part in value.items():
                if isinstance(key, (str, int)):
                    yield from parts(f"{name}[{key!r}]", part)
