"""Marks in a notebook's statements: calls that tell the tape which name was bound to what, added to the syntax tree."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from handgrad.notebook.syntax_trees import bound_by

__all__ = ["MARKS", "assigned_names", "is_training", "marked"]

MARKS = ("__hg_bind__", "__hg_owner__", "__hg_item__", "__hg_call__", "__hg_turn__", "__hg_enter__", "__hg_types__")
"""The names that a marked statement uses; see :class:`.notebook_run.NotebookRun`."""
_BIND, _OWNER, _ITEM, _CALL, _TURN, _ENTER, _TYPES = MARKS
# fmt: off
_BUILTIN = frozenset((
    "super", "locals", "globals", "vars", "dir", "exec", "eval", "print", "len", "range", "zip", "enumerate",
    "isinstance", "sum", "min", "max", "sorted", "list", "set", "display", "map", "filter", "getattr", "setattr",
))
# fmt: on
"""Functions that compare nothing."""
_VIEWS = ("data", "T", "mT")
"""Attributes of a tensor that are the tensor itself."""
_COUNTS = ("range", "count", "trange")
"""What a loop over steps goes over, and a loop over parameters does not."""
_RATE = re.compile(r"(?i)(^|_)(lr|rate|alpha|eta|step_size)($|_)|learning_?rate")
"""Names of a learning rate."""


def marked(statement: ast.stmt) -> ast.Module:
    """A module with ``statement`` and its marks; the statement itself is changed."""
    return ast.fix_missing_locations(ast.Module(_Marker().several(statement), []))


def assigned_names(statement: ast.stmt) -> set[str]:
    """The names that a statement binds, also in its blocks; for ``self.dW`` and ``grads['W']`` the whole text."""
    found = set[str]()
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=targets):
                found.update(_texts(targets))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.For(target=target):
                found.update(_texts([target]))
            case ast.alias() | ast.FunctionDef() | ast.ClassDef():
                found.update(bound_by(node))
    return found


def is_training(loop: ast.For | ast.While) -> bool:
    """Whether a loop runs the whole network in each turn, so that one turn is enough.

    It calls ``loss.backward()`` or ``optimizer.step()``, sets a loss that it does not add to, or updates parameters
    over and over.
    """
    counts = isinstance(loop, ast.While) or any(
        isinstance(node, ast.Name) and node.id in _COUNTS for node in ast.walk(loop.iter)
    )
    nodes = [node for statement in loop.body for node in ast.walk(statement)]
    return any(_runs_network(node) or (counts and _updates(node)) for node in nodes)


def _runs_network(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="backward" | "step"), args=[]):
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if "loss" in name.lower():
            return name not in {part.id for part in ast.walk(value) if isinstance(part, ast.Name)}
    return False


def _updates(node: ast.AST) -> bool:
    match node:
        case ast.AugAssign(target=ast.Attribute(attr="data")) | ast.Assign(targets=[ast.Attribute(attr="data")]):
            return True
        case ast.AugAssign(op=ast.Sub(), value=value):
            return any(isinstance(part, ast.Name) and _RATE.search(part.id) for part in ast.walk(value))
    return False


def _texts(targets: Iterable[ast.expr]) -> Iterator[str]:
    for part in _parts(targets):
        match part:
            case ast.Name() | ast.Attribute() | ast.Subscript(slice=ast.Constant()) if _is_plain(part):
                yield ast.unparse(part)


def _parts(targets: Iterable[ast.expr]) -> Iterator[ast.expr]:
    """The names, attributes and items that ``targets`` consist of; before an item its container."""
    for target in targets:
        match target:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                yield from _parts(parts)
            case ast.Starred(value=value):
                yield from _parts([value])
            case ast.Attribute(value=value, attr=attr) if attr in _VIEWS:
                yield from _parts([value])
            case ast.Subscript(value=value):
                yield from _parts([value])
                yield target
            case ast.Name() | ast.Attribute():
                yield target


def _is_plain(node: ast.expr) -> bool:
    """Whether an expression can be evaluated again: names, attributes and constant or named indices."""
    match node:
        case ast.Name() | ast.Constant():
            return True
        case ast.Attribute(value=value):
            return _is_plain(value)
        case ast.Subscript(value=value, slice=key):
            return _is_plain(value) and _is_plain(key)
        case ast.BinOp(left=left, right=right):
            return _is_plain(left) and _is_plain(right)
        case ast.UnaryOp(operand=operand):
            return _is_plain(operand)
    return False


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(function: str, *args: ast.expr) -> ast.Call:
    return ast.Call(_load(function), list(args), [])


class _Marker(ast.NodeTransformer):
    """Adds the marks."""

    def several(self, statement: ast.stmt) -> list[ast.stmt]:
        found = self.visit(statement)
        return found if isinstance(found, list) else [found]

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        self.generic_visit(node)
        return [node, *self._marks(node.targets, node)]

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        self.generic_visit(node)
        return [node, *self._marks([node.target], node)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> list[ast.stmt]:
        self.generic_visit(node)
        return [node, *(self._marks([node.target], node) if node.value else [])]

    def visit_Expr(self, node: ast.Expr) -> list[ast.stmt]:
        self.generic_visit(node)
        match node.value:
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr.endswith("_"):
                return [node, *self._marks([value], node)]
            case ast.Call(keywords=keywords):
                return [node, *self._marks([word.value for word in keywords if word.arg == "out"], node)]
        return [node]

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        match node.func:
            case ast.Name(id=name) if name not in _BUILTIN and len(node.args) + len(node.keywords) > 1:
                names = tuple(arg.id if isinstance(arg, ast.Name) else None for arg in node.args)
                said = ast.Tuple([ast.Constant(name) for name in names], ast.Load())
                marks = [ast.Constant(node.lineno), said, node.func]
                return ast.copy_location(ast.Call(_load(_CALL), [*marks, *node.args], node.keywords), node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        place = 1 if len(node.body) > 1 and ast.get_docstring(node, clean=False) is not None else 0
        enter = ast.Expr(_call(_ENTER, ast.Constant(node.name)))
        node.body.insert(place, ast.copy_location(enter, node.body[0]))
        return node

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        trains = is_training(node)
        iterated = _iterated(node.iter)
        self.generic_visit(node)
        node.body[:0] = [*(self._turn(node) if trains else []), *self._marks([node.target, *iterated], node)]
        # rows that were written through the loop's variable
        return [*self._begin(node, trains), node, *self._marks(iterated, node)]

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        trains = is_training(node)
        self.generic_visit(node)
        node.body[:0] = self._turn(node) if trains else []
        return [*self._begin(node, trains), node]

    def _begin(self, loop: ast.For | ast.While, trains: bool) -> list[ast.stmt]:
        """``turn(loop, 0)``: the turns of the loop are counted from here."""
        count = ast.Expr(_call(_TURN, _key(loop), ast.Constant(0)))
        return [ast.copy_location(count, loop)] if trains else []

    def _turn(self, loop: ast.For | ast.While) -> list[ast.stmt]:
        """``if turn(loop): break``: true from the second turn on."""
        return [ast.copy_location(ast.If(_call(_TURN, _key(loop)), [ast.Break()], []), loop.body[0])]

    def _marks(self, targets: Sequence[ast.expr], at: ast.stmt) -> list[ast.stmt]:
        marks = [mark for part in _parts(targets) for mark in self._of(part, at.lineno)]
        return [ast.copy_location(ast.Expr(mark), at) for mark in marks]

    def _of(self, part: ast.expr, line: int) -> Iterator[ast.expr]:
        match part:
            case ast.Name(id=name):
                # the test stands here: a call costs more than the data in a loop over a data set
                test = _call("isinstance", _load(name), _load(_TYPES))
                bind = _call(_BIND, ast.Constant(line), ast.Constant(name), _load(name))
                yield ast.BoolOp(ast.And(), [test, bind])
            case ast.Attribute(value=value, attr=attr) if _is_plain(value):
                text, owner = ast.Constant(ast.unparse(value)), _loaded(value)
                yield _call(_OWNER, ast.Constant(line), text, owner, ast.Constant(attr))
            case ast.Subscript(value=value, slice=key) if _is_plain(value) and _is_plain(key):
                text = ast.Constant(ast.unparse(value))
                yield _call(_ITEM, ast.Constant(line), text, _loaded(value), _loaded(key))


def _key(loop: ast.For | ast.While) -> ast.Constant:
    return ast.Constant(f"{loop.lineno}:{loop.col_offset}")


def _iterated(iterable: ast.expr) -> list[ast.expr]:
    """The names over which a loop goes: ``rows``, ``enumerate(rows)``, ``zip(rows, others)``."""
    given = iterable.args if isinstance(iterable, ast.Call) else [iterable]
    return [ast.Name(arg.id, ast.Load()) for arg in given if isinstance(arg, ast.Name)]


def _loaded(node: ast.expr) -> ast.expr:
    """A copy of a plain expression that reads it."""
    return ast.parse(ast.unparse(node), mode="eval").body
