"""Run worked solutions, and variants of them, in this process: never a student's cell."""

import ast
import copy
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from handgrad.notebook import execution

__all__ = ["default_dtype", "is_own_function", "namespaces_before", "plain", "run_answer"]

_COPIED = (torch.Tensor, list, tuple, dict)


def namespaces_before(
    solutions: Mapping[str, str],
    namespace: Mapping[str, Any],
    gradients: Mapping[str, torch.Tensor],
    dtype: torch.dtype = torch.float32,
) -> dict[str, dict[str, Any]]:
    """For each of the ``solutions``, the sources of the stubs in order, the namespace in which its cell runs.

    ``namespace`` is that of the forward pass, ``gradients`` has the upstream gradient of each tensor; answers that are
    not gradients come from the solutions.
    """
    current = {name: plain(value) for name, value in namespace.items()}
    before: dict[str, dict[str, Any]] = {}
    for name, source in solutions.items():
        # a gradient that the exercise gives is one of them too
        current |= {f"d{tensor}": value for tensor, value in gradients.items() if f"d{tensor}" in current}
        before[name] = dict(current)
        current = run_answer(source, current, dtype)
    return before


def plain(value: Any) -> Any:
    """A value without autograd's graph, also inside lists, tuples and dictionaries."""
    match value:
        case torch.Tensor():
            return value.detach()
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(plain, value))
        case dict() if type(value) is dict:
            return {key: plain(part) for key, part in value.items()}
    return value


def run_answer(source: str, namespace: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The namespace after a cell; exceptions of the cell propagate.

    The cell gets copies of the values that it names, and of those that the functions it names use: whatever it changes
    is its own.
    """
    named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    functions: dict[str, types.FunctionType] = {}
    while new := [name for name in named - functions.keys() if is_own_function(namespace.get(name))]:
        functions |= {name: namespace[name] for name in new}
        for name in new:
            named |= _names_in(namespace[name].__code__)
    # one deepcopy of all of them: tensors that share memory do so in the copy too
    copies = copy.deepcopy({name: namespace[name] for name in named if isinstance(namespace.get(name), _COPIED)})
    generators = {
        name: torch.Generator().set_state(value.get_state())
        for name, value in namespace.items()
        if isinstance(value, torch.Generator)
    }
    own = {**namespace, **copies, **generators}
    for name, function in functions.items():
        own[name] = types.FunctionType(function.__code__, own, name, copy.deepcopy(function.__defaults__))
        own[name].__kwdefaults__ = copy.deepcopy(function.__kwdefaults__)
    with default_dtype(dtype), torch.no_grad(), execution.captured():
        exec(compile(source, "<answer>", "exec"), own)
    return own


def is_own_function(value: Any) -> bool:
    """Whether a value is a function of a notebook's cell that keeps nothing but what its globals and defaults hold."""
    return (
        isinstance(value, types.FunctionType)
        and value.__module__ == "__main__"
        and not value.__closure__
        and not value.__dict__
    )


def _names_in(code: types.CodeType) -> set[str]:
    """The global names and attributes of a function, and of the functions in it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make ``dtype`` the default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
