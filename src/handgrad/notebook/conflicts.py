"""git's conflict marks in a file whose merge was not finished."""

import re

__all__ = ["ADVICE", "first_mark", "sides"]

ADVICE = (
    "a merge was not finished. Keep one of the two versions, delete the lines that begin with <<<<<<<, ======= and "
    ">>>>>>>, and hand it in again."
)
_MARK = re.compile(r"(<{7}|\|{7}|={7}|>{7})(?:[ \t].*)?\r?")
_FIRST = re.compile(r"^(?:<{7}|>{7}|\|{7})(?:[ \t].*)?\r?$", re.MULTILINE)
"""A mark that nothing else looks like: a line ``=======`` alone may also be below a title."""
_NEXT = {
    ("both", "<<<<<<<"): "ours",
    ("ours", "|||||||"): "base",
    ("ours", "======="): "theirs",
    ("base", "======="): "theirs",
    ("theirs", ">>>>>>>"): "both",
}
"""The part of the file that begins at a mark, by the part that it ends; ``base`` is in the styles diff3 and zdiff3."""


def first_mark(text: str) -> int:
    """The number of the first line with a conflict mark; 0 if there is none."""
    if "<<<<<<<" not in text and ">>>>>>>" not in text:
        return 0  # most files, a hundred times faster than the search
    found = _FIRST.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def sides(text: str) -> tuple[str, str] | None:
    """The two versions of a text with conflicts; None if a mark is missing."""
    ours, theirs, part = list[str](), list[str](), "both"
    for line in text.split("\n"):
        mark = _MARK.fullmatch(line)
        if mark and (part, mark[1]) in _NEXT:
            part = _NEXT[part, mark[1]]
        elif mark and mark[1] != "=======":
            return None
        else:
            ours += [line] * (part in ("both", "ours"))
            theirs += [line] * (part in ("both", "theirs"))
    return ("\n".join(ours), "\n".join(theirs)) if part == "both" else None
