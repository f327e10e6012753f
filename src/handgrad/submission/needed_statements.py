"""The part of a notebook that its answers need: the statements that assign them, and what these use.

For notebooks that were not made from the release. Their setup, forward pass, training and plots are not run: the
exercise's locked cells replace them.
"""

import ast
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from handgrad.notebook.syntax import Statement, statements_of
from handgrad.submission.answer_places import StatementPosition

__all__ = ["needed"]

_SHOWN = {"_"}
"""What a cell's last expression assigns."""
_SHOWS = ("print", "display")
_IMPORTS = (ast.Import, ast.ImportFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def needed(
    steps: Mapping[StatementPosition, Statement],
    gradients: Collection[str],
    tensors: Collection[str],
    ours: Collection[str],
) -> dict[int, set[int]]:
    """For each cell, the indices of the statements that the answers need.

    ``steps`` are the notebook's statements, in order, without those that are never an answer. The names of ``tensors``,
    given gradients among them, are never the student's. Those of ``ours`` are assigned by the locked cells: the
    notebook's own assignments to them count only after the first answer, where a student may use a name again for
    something else.
    """
    answers = {place for place, step in steps.items() if any(step.writes(name) for name in gradients)}
    first = min(answers, default=None)
    effects = _Effects.of(steps.values(), gradients, ours)
    functions: set[str] = set()
    last = {place.position: place for place in sorted(steps)}
    while True:
        kept: dict[int, set[int]] = {}
        wanted, used = set(functions), set(functions)
        for place, step in sorted(steps.items(), reverse=True):
            own = step.bound - set(tensors if first is not None and place > first else ours)
            shown = _SHOWN if place == last[place.position] and isinstance(step.node, ast.Expr) else set()
            if place in answers or (own | shown) & wanted or effects.has(step.node, wanted):
                kept.setdefault(place.position, set()).add(place.step)
                wanted = wanted - step.rebound - shown | _loads(step)
                # what a function uses may be assigned after it
                used |= _loads(step) if isinstance(step.node, _FUNCTIONS) else set()
        if used == functions:
            return kept
        functions = used


def _loads(step: Statement) -> set[str]:
    """The names that a statement uses, without its own loop variables and parameters."""
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
                own |= {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
            case ast.arg(arg=name):
                own.add(name)
    return names - own


@dataclass(frozen=True)
class _Effects:
    """Which calls in a notebook change their arguments.

    No call changes the names in ``others``: modules, and what the locked cells assign. ``mutators`` are functions of
    the student's that change an argument, ``readers`` functions that do not.
    """

    gradients: frozenset[str]
    others: frozenset[str]
    mutators: frozenset[str]
    readers: frozenset[str]

    @classmethod
    def of(cls, steps: Collection[Statement], gradients: Collection[str], ours: Collection[str]) -> Self:
        """The effects in a notebook with these statements."""
        modules = {name for step in steps if isinstance(step.node, _IMPORTS) for name in step.bound}
        functions = {step.node.name for step in steps if isinstance(step.node, _FUNCTIONS)}
        mutators = {name for step in steps for name in _mutator(step.node)} - set(ours)
        readers = {*_SHOWS, *ours, *functions} - mutators
        return cls(frozenset(gradients), frozenset({*ours, *modules}), frozenset(mutators), frozenset(readers))

    def has(self, node: ast.stmt, wanted: Collection[str]) -> bool:
        """Whether a statement's call changes a ``wanted`` name, a gradient, or torch's defaults."""
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            return False
        calls = [
            part.value for part in ast.walk(node) if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call)
        ]
        return any(self._changes(call, set(wanted) - self.others - self.gradients) for call in calls)

    def _changes(self, call: ast.Call, helpers: set[str]) -> bool:
        """Whether a call changes one of ``helpers``: ``rows.append(...)``, ``np.copyto(rows, ...)``; or a gradient."""
        names = {argument.id for argument in call.args if isinstance(argument, ast.Name)}
        match call.func:
            case ast.Attribute(value=ast.Name(id="torch"), attr="set_default_dtype"):
                return True
            case ast.Attribute(value=owner):
                return bool(helpers & {*names, *([owner.id] if isinstance(owner, ast.Name) else [])})
            case ast.Name(id=name):
                changed = helpers | self.gradients if name in self.mutators else helpers
                return name not in self.readers and bool(changed & names)
        return False


def _mutator(node: ast.stmt) -> Iterator[str]:
    """The name of a function that changes an argument."""
    if isinstance(node, _FUNCTIONS):
        changed = {name for step in statements_of(node.body) for name in step.bound - step.rebound}
        if changed & {argument.arg for argument in node.args.args}:
            yield node.name
