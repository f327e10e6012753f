"""The syntax tree of a cell that is Python, and the names in it. Standard library only."""

import ast
import functools
import warnings
from collections.abc import Iterator

__all__ = ["MAX_CACHED", "MAX_SOURCE", "bound_by", "bound_in", "magic_in", "parse", "root_of", "tree_of"]

MAX_CACHED = 2_500
"""Characters of the longest text whose tree is cached: 256 trees are 3 MB of usual cells, 250 MB of `a=1` lines."""
MAX_SOURCE = 1_000_000
"""Characters of the longest cell that is parsed."""
_OWN_NAMES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def parse(text: str) -> ast.Module | None:
    """The syntax tree of ``text``; None if it is not Python. It is shared by all callers: do not change it.

    Raises
    ------
    RecursionError, MemoryError
        It is nested too deeply.
    """
    return _tree(text) if len(text) <= MAX_CACHED else _tree.__wrapped__(text)


@functools.lru_cache(maxsize=256)
def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):  # a ValueError is a null byte
        return None


def tree_of(source: str) -> ast.Module | None:
    """The same, without warnings; None if it is not Python, or too long or too deep to tell."""
    if len(source) > MAX_SOURCE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return parse(source)
    except (RecursionError, MemoryError):
        return None


def bound_by(node: ast.AST) -> Iterator[str]:
    """The names that a node binds by itself, not by what is inside it."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.alias():
            yield (node.asname or node.name).split(".")[0]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name


def bound_in(tree: ast.AST, *, augmented: bool = True) -> set[str]:
    """The names that a tree binds outside of the functions, classes and comprehensions in it.

    With ``augmented`` those that it only changes, as in ``x += 1``, are among them.
    """
    names: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        names.update(bound_by(node))
        if isinstance(node, ast.AugAssign) and not augmented:
            waiting.append(node.value)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, *_OWN_NAMES)):
            waiting += ast.iter_child_nodes(node)
    return names


def magic_in(node: ast.AST) -> tuple[str, str]:
    """The name and the code of the magic that a call of IPython's stands for, such as ``%%time``; empty if none."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="run_cell_magic" | "run_line_magic"),
            args=[ast.Constant(value=str(name)), *_, ast.Constant(value=str(code))],
        ):
            return name, code
    return "", ""


def root_of(node: ast.AST) -> str:
    """The variable in ``x[0].data``; empty if there is none."""
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
