"""The tokens of code, and of texts about code: a formula is found whatever spaces, quotes or marks are around it.

Tokens are compared as text, with one space between them and at both ends: ``" dx = 2 * x "``.
"""

import io
import keyword
import re
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Line", "lines_of", "operands", "prose_of", "spaced"]

_TOKEN = re.compile(r"[^\W\d]\w*|\d+(?:\.\d+)?\w*|\S")
"""A name, a number, or any other character."""
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_STRINGS = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))  # the latter from Python 3.12
_COMPARISONS = ("==", "!=", "<=", ">=")
_KEYWORDS = ("return", "assert")


@dataclass(frozen=True)
class Line:
    """A logical line of code without comments, as tokens, and its first line as it was ``written``.

    ``right`` are those of its right side: what it assigns, returns or asserts, else all of it; empty for the header of
    a block.
    """

    tokens: str
    right: str
    written: str


def spaced(text: str) -> str:
    """The tokens of any text."""
    return f" {' '.join(_TOKEN.findall(text))} "


def operands(tokens: str) -> int:
    """How many names and numbers are among tokens."""
    return sum(bool(re.match(r"\w", token)) and not keyword.iskeyword(token) for token in tokens.split())


def lines_of(source: str, *, strings: bool = True) -> Iterator[Line]:
    """The logical lines of code, with or without strings; of what is not Python, the lines."""
    try:
        tokens = _tokens(source)
    except (SyntaxError, tokenize.TokenError):
        yield from (Line(spaced(line), spaced(line), line.strip()) for line in source.splitlines() if line.strip())
        return
    line: list[tokenize.TokenInfo] = []
    for token in tokens:
        if token.type == tokenize.NEWLINE or token.string == ";":
            if line:
                yield _line(line)
            line = []
        elif token.type not in _LAYOUT and (strings or token.type not in _STRINGS):
            line.append(token)


def prose_of(source: str) -> str:
    """The tokens of the comments and strings in code: one text each."""
    try:
        tokens = _tokens(source)
    except (SyntaxError, tokenize.TokenError):
        return ""
    comments = " ".join(token.string.lstrip("#") for token in tokens if token.type == tokenize.COMMENT)
    return "\n".join(spaced(text) for text in (comments, *(token.string for token in tokens if token.type in _STRINGS)))


def _tokens(source: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(textwrap.dedent(source)).readline))


def _line(tokens: Sequence[tokenize.TokenInfo]) -> Line:
    words = [token.string for token in tokens]
    right = words[_beginning_of_right(words) :] if words[-1] != ":" else []
    return Line(spaced(" ".join(words)), spaced(" ".join(right)) if right else "", tokens[0].line.strip())


def _beginning_of_right(words: Sequence[str]) -> int:
    """The index after the last assignment outside brackets, or after a keyword."""
    depth, beginning = 0, int(words[0] in _KEYWORDS)
    for index, word in enumerate(words, start=1):
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
        if depth == 0 and word.endswith("=") and word not in _COMPARISONS:
            beginning = index
    return beginning
