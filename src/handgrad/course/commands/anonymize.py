"""Anonymize a student's cell, to show it to others as an example."""

import ast
import re
from collections.abc import Collection

__all__ = ["anonymous"]

LONGEST = 1200
"""Largest number of characters of an example: a longer cell may identify its author."""
_SUBSCRIPTS = re.compile(r"[a-zA-Z. ]{0,6}(,[a-zA-Z. ]{0,6})*->[a-zA-Z. ]{0,6}")
"""Subscripts of einsum, the only strings that a formula needs."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
SHORTEST = 3
"""Smallest number of letters of an identifying word; shorter ones are in every cell."""


class _WithoutTexts(ast.NodeTransformer):
    """Replaces strings by ``…``, and removes strings that are statements."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str | bytes):
            return None
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_formula = isinstance(node.value, str) and _SUBSCRIPTS.fullmatch(node.value)
        if isinstance(node.value, str | bytes) and not is_formula:
            return ast.Constant("…")
        return node


def anonymous(source: str, identifying: Collection[str] = ()) -> str | None:
    """The code of a cell without comments, strings and layout; None if it cannot be shown to others.

    Cells that differ in these only give the same result.

    Parameters
    ----------
    source
        The cell.
    identifying
        A student's names, id and e-mail address: code that contains one of their words is not shown.
    """
    try:
        tree = _WithoutTexts().visit(ast.parse(source))
        code = ast.unparse(ast.fix_missing_locations(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not code or len(code) > LONGEST or any(word in code.casefold() for word in _words(identifying)):
        return None
    return code


def _words(identifying: Collection[str]) -> set[str]:
    """The texts in lower case, and the words and numbers in them."""
    parts = {part.casefold() for text in identifying for part in (text, *_WORD.findall(text))}
    return {part for part in parts if len(part) >= SHORTEST}
