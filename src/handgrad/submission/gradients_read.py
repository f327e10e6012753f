"""Which gradients an answer is made from."""

import ast
from collections.abc import Collection, Mapping, Sequence

from handgrad.notebook.syntax import Statement, steps_of
from handgrad.submission.alignment import StudentCell

__all__ = ["gradients_read"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def gradients_read(cells: Sequence[StudentCell], tensor_of: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """For each gradient, the named tensors whose gradients its answer reads, also through helpers in other cells.

    At the end of its stub a gradient is replaced, so what reads it afterwards reads the replacement. The submission's
    ``cells`` are in order; ``tensor_of`` has the named tensor of each gradient, with a stub or given.
    """
    own = {gradient for cell in cells for gradient in cell.gradients}
    read: dict[str, frozenset[str]] = {
        gradient: frozenset([tensor]) for gradient, tensor in tensor_of.items() if gradient not in own
    }
    answers: dict[str, frozenset[str]] = {}
    functions: dict[str, set[str]] = {}
    tensors = set(tensor_of.values())
    for cell in cells:
        for step in steps_of(cell.source):
            if isinstance(step.node, _FUNCTIONS):
                # what a function uses may be assigned after it
                functions[step.node.name] = _names(step)
                continue
            used = _with_functions(_names(step), functions)
            sources = frozenset().union(*(read.get(name, frozenset()) for name in used), _taken(step, tensors))
            for name in step.bound:
                read[name] = sources if name in step.rebound else sources | read.get(name, frozenset())
        for gradient in cell.gradients:
            answers[gradient] = read.get(gradient, frozenset())
            read[gradient] = frozenset([tensor_of[gradient]]) if gradient in tensor_of else frozenset()
    return answers


def _names(step: Statement) -> set[str]:
    """The names that a statement loads; a function's are those of its body, without its own."""
    loaded = {node.id for node in ast.walk(step.node) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    functions = [node for node in ast.walk(step.node) if isinstance(node, (*_FUNCTIONS, ast.Lambda))]
    own = {part.arg for function in functions for part in ast.walk(function) if isinstance(part, ast.arg)}
    if isinstance(step.node, _FUNCTIONS):
        own |= {
            node.id for node in ast.walk(step.node) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
    return loaded - own


def _with_functions(names: set[str], functions: Mapping[str, set[str]]) -> set[str]:
    """``names``, and those that the functions among them use."""
    found, waiting = set[str](), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= functions.get(name, set()) - found
    return found


def _taken(step: Statement, tensors: Collection[str]) -> frozenset[str]:
    """The named tensors whose ``.grad`` a statement loads."""
    return frozenset(
        node.value.id
        for node in ast.walk(step.node)
        if isinstance(node, ast.Attribute)
        and node.attr == "grad"
        and isinstance(node.value, ast.Name)
        and node.value.id in tensors
    )
