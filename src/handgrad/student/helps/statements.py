"""The statements of the cells that were run, and which of them a name was made by."""

import ast
import builtins
import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType

from handgrad.notebook.syntax_trees import bound_by, magic_in, root_of, tree_of

__all__ = ["BUILTINS", "Statement", "needed", "statements_of"]

BUILTINS = frozenset(dir(builtins))
_SHOWING = frozenset(
    (
        *("print", "display", "show", "plt", "cmp", "progress", "hint", "nudge", "counterexample"),
        *("backward", "retain_grad", "requires_grad_", "grad"),
    )
)
"""An expression or a loop with one of these words makes no value of the forward pass."""
_WRAPPERS = frozenset(("time", "timeit", "capture", "prun"))
"""Magics that run the cell which they are given."""
_Definition = (ast.FunctionDef, ast.ClassDef)
_Compound = (ast.For, ast.While, ast.If, ast.With)


@dataclass(frozen=True)
class Statement:
    """One statement of a cell, and what it does to names.

    ``binds`` are the names that it gives a value, ``touches`` those whose value it may change in place, ``reads`` those
    that it reads. After it, a name in ``replaces`` has nothing left of its earlier value. ``shows`` tells that it only
    shows something or asks autograd, so that no value depends on it. ``cell`` is the number of the cell.
    """

    node: ast.stmt
    cell: int
    text: str
    code: CodeType
    binds: frozenset[str]
    touches: frozenset[str]
    reads: frozenset[str]
    replaces: frozenset[str]
    shows: bool

    @classmethod
    def of(cls, node: ast.stmt, cell: int) -> "Statement":
        """Look at one statement."""
        parts = list(ast.walk(node))
        names = [part for part in parts if isinstance(part, ast.Name)]
        # the names that comprehensions give values to are their own
        inner = {name for part in parts if isinstance(part, ast.comprehension) for name in ast.walk(part.target)}
        reads = {name.id for name in names if isinstance(name.ctx, ast.Load)}
        reads -= {name.id for name in names if name in inner}
        binds = {name.id for name in names if not isinstance(name.ctx, ast.Load) and name not in inner}
        binds |= {name for part in parts if isinstance(part, (ast.alias, *_Definition)) for name in bound_by(part)}
        # an entry or an attribute of these is assigned
        changed = [part for part in parts if isinstance(part, ast.Subscript | ast.Attribute)]
        touches = {root_of(part) for part in changed if isinstance(part.ctx, ast.Store)} - {""}
        match node:
            case ast.AugAssign(target=ast.Name(id=name)):
                reads.add(name)
                touches.add(name)
            case ast.FunctionDef() | ast.ClassDef():
                own = {part.arg for part in parts if isinstance(part, ast.arg)}
                reads -= own | binds
                binds = {node.name}
            # random.shuffle(words), shapes[2].fill_(1)
            case ast.Expr():
                touches |= reads
            case ast.For() | ast.While() | ast.If() | ast.With():
                touches |= binds | set(_called_in_place(node))
        whole = isinstance(
            node, ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
        )
        words = reads | {part.attr for part in parts if isinstance(part, ast.Attribute)}
        return cls(
            node=node,
            cell=cell,
            text=ast.unparse(node),
            code=compile(ast.Module([node], []), f"<cell {cell}>", "exec", dont_inherit=True),
            binds=frozenset(binds),
            touches=frozenset(touches),
            reads=frozenset(reads),
            replaces=frozenset(binds) if whole else frozenset(),
            shows=isinstance(node, ast.Expr | ast.For) and not words.isdisjoint(_SHOWING),
        )

    @property
    def assigns(self) -> bool:
        """Whether this is an assignment, plain or augmented."""
        return isinstance(self.node, ast.Assign | ast.AnnAssign | ast.AugAssign)

    @property
    def imports(self) -> bool:
        """Whether this is an import."""
        return isinstance(self.node, ast.Import | ast.ImportFrom)


def statements_of(cells: Iterable[str]) -> list[Statement]:
    """The statements of all ``cells``, as IPython transformed them; a cell that is no Python has none.

    The body of a cell with ``%%time`` or a similar magic is taken out of its call.
    """
    return [statement for number, text in enumerate(cells) for statement in _statements_in(text, number)]


def needed(
    statements: Sequence[Statement], names: Collection[str], last: int, given: Collection[str] = frozenset()
) -> list[int]:
    """Positions of the statements, up to position ``last``, that the values of ``names`` were made by.

    The names in ``given`` have their values already.
    """
    wanted, picked = set(names), []
    for position in range(last, -1, -1):
        statement = statements[position]
        # what a star import binds is not known
        makes = "*" in statement.binds or not wanted.isdisjoint(statement.binds | statement.touches)
        if statement.shows or not makes:
            continue
        picked.append(position)
        wanted -= statement.replaces
        wanted |= statement.reads - frozenset(given)
    return picked[::-1]


@functools.lru_cache(maxsize=4096)
def _statements_in(text: str, number: int) -> tuple[Statement, ...]:
    found = []
    for node in _nodes(text):
        # `await` and `return` outside a function are parsed, and not compiled
        with suppress(SyntaxError, ValueError):
            found.append(Statement.of(node, number))
    return tuple(found)


def _nodes(text: str) -> Iterator[ast.stmt]:
    tree = tree_of(text)
    for node in tree.body if tree else ():
        magic, inner = magic_in(node.value) if isinstance(node, ast.Expr) else ("", "")
        if magic in _WRAPPERS:
            yield from _nodes(inner)
        else:
            yield node


def _called_in_place(node: ast.stmt) -> Iterator[str]:
    """Names with a method called whose name ends in an underscore, as torch's methods that change a tensor do."""
    for part in ast.walk(node):
        match part:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method.endswith(("_", "append")):
                yield name
