"""A student's cell as an example for others: nothing in it says whose it is."""

import ast
import re
from collections.abc import Collection

__all__ = ["anonymous"]

LONGEST = 1200
"""Characters of an example at most: a longer cell shows more of its writer than of the mistake."""
_SUBSCRIPTS = re.compile(r"[a-zA-Z. ]{0,6}(,[a-zA-Z. ]{0,6})*->[a-zA-Z. ]{0,6}")
"""What einsum is told; the one kind of text that a formula needs."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
SHORTEST = 3
"""Letters of a word that can be somebody's name; shorter ones stand in every cell."""


class _WithoutTexts(ast.NodeTransformer):
    """Takes the words out of texts, and leaves out texts that stand alone."""

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
    """The code of a cell without its comments, its texts and its layout; None where it cannot be shown to others.

    Two cells that do the same in the same words come out the same.

    Parameters
    ----------
    source
        The cell.
    identifying
        A student's names, id and address: code that still holds one of their words is not shown.
    """
    try:
        tree = _WithoutTexts().visit(ast.parse(source))
        code = ast.unparse(ast.fix_missing_locations(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not code or len(code) > LONGEST or any(told in code.casefold() for told in _told(identifying)):
        return None
    return code


def _told(identifying: Collection[str]) -> set[str]:
    """What tells who somebody is, in small letters: each text, and the words and numbers in it."""
    found = {part.casefold() for text in identifying for part in (text, *_WORD.findall(text))}
    return {part for part in found if len(part) >= SHORTEST}
