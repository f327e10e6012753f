"""What of a notebook has to run for its answers: the statements that assign them, and what these use.

For a notebook that was not made from the released one. Its setup, forward pass, training and plots do not run: the
exercise's own locked cells take their place.
"""

import ast
import itertools
from collections.abc import Collection, Iterator, Mapping

from handgrad.places import Place
from handgrad.sources import Step, steps_of

__all__ = ["needed"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def needed(
    steps: Mapping[Place, Step], gradients: Collection[str], tensors: Collection[str], ours: Collection[str]
) -> dict[int, set[int]]:
    """For each cell the indices of the statements that the answers need.

    Parameters
    ----------
    steps
        The notebook's statements, in order, without those that are never an answer.
    gradients, tensors
        The names of the exercise's gradients and of their tensors.
    ours
        What the locked cells make. Such names are theirs: the notebook's own statements for them count only behind
        the first answer, where a student uses one again as a variable of another kind.
    """
    answers = [place for place, step in steps.items() if any(step.writes(name) for name in gradients)]
    first = min(answers, default=None)
    mutators = {name for step in steps.values() for name in _mutator(step.node)} - set(ours)
    kept: dict[int, set[int]] = {}
    wanted: set[str] = set()
    for place, step in sorted(steps.items(), reverse=True):
        own = {name for name in step.bound if name not in ours}
        if first is not None and place > first:
            own = step.bound - set(tensors)
        if place in answers or own & wanted or _is_given(step.node, gradients, mutators):
            kept.setdefault(place.position, set()).add(place.step)
            wanted = wanted - _rebound(step) | _loads(step)
    return kept


def _rebound(step: Step) -> set[str]:
    """The names whose earlier value is gone behind a statement."""
    match step.node:
        case ast.Assign(targets=targets):
            return {
                name.id
                for target in targets
                for name in getattr(target, "elts", [target])
                if isinstance(name, ast.Name)
            }
        case ast.FunctionDef() | ast.Import() | ast.ImportFrom():
            return step.bound
    return set()


def _loads(step: Step) -> set[str]:
    """The names that a statement uses; loop variables and parameters of its own are not among them."""
    names: set[str] = set()
    own: set[str] = set()
    headers = (item for block in step.blocks if isinstance(block, ast.With) for item in block.items)
    for node in itertools.chain(ast.walk(step.node), *map(ast.walk, headers)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                names.add(name)
            case ast.AugAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.For(target=target) | ast.comprehension(target=target):
                own |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
            case ast.arg(arg=name):
                own.add(name)
    return names - own


def _is_given(node: ast.stmt, gradients: Collection[str], mutators: Collection[str]) -> bool:
    """Whether one of ``mutators`` is given one of ``gradients`` to change."""
    return any(
        isinstance(call.func, ast.Name)
        and call.func.id in mutators
        and any(isinstance(argument, ast.Name) and argument.id in gradients for argument in call.args)
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
    )


def _mutator(node: ast.stmt) -> Iterator[str]:
    """The name of a function that changes what it is given."""
    if isinstance(node, _FUNCTIONS):
        changed = {name for step in steps_of(node.body) for name in step.bound - _rebound(step)}
        if changed & {argument.arg for argument in node.args.args}:
            yield node.name
