"""The names of students and files, which may hold anything: shown on one line, and compared as a reader sees them."""

import unicodedata
from collections.abc import Iterable, Mapping

__all__ = ["alike", "alike_sentence", "called", "few", "in_ascii", "is_hidden", "printable", "shown"]

LONGEST = 200
"""Characters of a name that are shown."""
_HIDDEN_KINDS = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of what has no sign of its own: controls, formats, what is not assigned, private, line ends."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks that show nothing, though their category does not say so."""
_TWINS = str.maketrans(
    # Cyrillic; Greek; Armenian and Latin letters of other alphabets; signs
    "АВЕІЈКМНОРСЅТУХҮԚԜаеіјорсѕухһԁԛԝүкӏ"
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχγ"
    "օսհոցՏıȷɑɡǀ"
    "\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u02bc\u00b4`\u2024",
    "ABEIJKMHOPCSTYXYQWaeijopcsyxhdqwyklABEZHIKMNOPTYXaikvopuxyouhngSijagl------'''''.",
)
"""Letters and signs that most fonts draw alike."""


def is_hidden(sign: str) -> bool:
    """Whether a character shows nothing, moves what is beside it, or does something to a terminal."""
    return (
        unicodedata.category(sign) in _HIDDEN_KINDS
        or sign in _BLANK
        # variation selectors
        or "\ufe00" <= sign <= "\ufe0f"
        or "\U000e0100" <= sign <= "\U000e01ef"
        # a space of another width
        or (unicodedata.category(sign) == "Zs" and sign != " ")
    )


def printable(text: str) -> str:
    """``text`` with an escape sequence of Python for each hidden character, except for ends of lines."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign.encode("unicode_escape").decode() if sign != "\n" and is_hidden(sign) else sign for sign in text
    )


def shown(name: str) -> str:
    """A name on one line, so that two names that differ never look the same for a hidden character."""
    cut = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    return printable(cut).replace("\n", "\\n")


def called(student: str, names: Mapping[str, str]) -> str:
    """A student by the name in ``names``, with the id: ``Ada Lovelace (u01)``; the id alone if there is no name."""
    name = names.get(student, "")
    return f"{shown(name)} ({shown(student)})" if name and name != student else shown(student)


def in_ascii(name: str) -> str:
    """A name in ASCII: what is not is an escape sequence, so that look-alike letters can be told apart."""
    return shown(name).encode("ascii", "backslashreplace").decode()


def few(names: Iterable[str], most: int = 5) -> str:
    """The first of some names, which are written as they are, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups of different ``names`` that look the same but for hidden characters and look-alike letters."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(_seen(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _seen(name: str) -> str:
    """A name as a reader sees it, for comparison only."""
    if name.isascii() and name.isprintable():
        return name.translate(_TWINS)
    visible = "".join(" " if sign.isspace() else sign for sign in name if sign.isspace() or not is_hidden(sign))
    # fullwidth and other forms of a letter, and letters that are composed or not
    return " ".join(unicodedata.normalize("NFKC", visible).translate(_TWINS).split())


def alike_sentence(group: Iterable[str]) -> str:
    """What to tell an instructor about a group of :func:`alike`."""
    written = [in_ascii(name) for name in group]
    return (
        f"{', '.join(written[:-1])} and {written[-1]} look the same: the names differ only in invisible or look-alike "
        "characters. Which of them is your student?"
    )
