"""The parts of an exercise: the headings under which its answers stand. Standard library only."""

import re
from collections.abc import Iterable, Mapping, Sequence

from handgrad.report.records import Verdict

__all__ = ["FOLDED_FROM", "by_part", "headings", "verdicts_by_part"]

FOLDED_FROM = 28
"""With more tensors than this, a graph is drawn part by part."""
_HEADING = re.compile(r"^## +(.+?)[ #]*$", re.MULTILINE)
_MARKS = re.compile(r"[`*_]")


def headings(cells: Iterable[tuple[bool, str, str]]) -> dict[str, str]:
    """The last heading ``##`` above each named cell, without Markdown's marks; empty if there is none.

    ``cells`` has for each cell whether it is a text, its grade_id, and its source.
    """
    found: dict[str, str] = {}
    heading = ""
    for is_text, name, source in cells:
        if is_text and (titles := _HEADING.findall(source)):
            heading = _MARKS.sub("", titles[-1])
        if name:
            found[name] = heading
    return found


def by_part(names: Iterable[str], parts: Mapping[str, str]) -> dict[str, list[str]]:
    """The ``names`` by their parts, in order; a name without a part is in that of the name before it.

    Empty if there are not two parts.
    """
    found: dict[str, list[str]] = {}
    title = next(iter(parts.values()), "")
    for name in names:
        title = parts.get(name) or title
        found.setdefault(title, []).append(name)
    return found if len(found) > 1 else {}


def verdicts_by_part(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """The verdicts of each part, by its heading, in order; empty if there are not two parts."""
    known = {verdict.id: verdict for verdict in verdicts}
    found = by_part(known, {name: verdict.part for name, verdict in known.items()})
    return {title: [known[name] for name in names] for title, names in found.items()}
