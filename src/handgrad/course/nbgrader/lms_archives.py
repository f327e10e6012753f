"""The archives that Moodle and Canvas make of an assignment: whose a file is, and what the number stands for."""

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

__all__ = ["CANVAS", "MOODLE", "Service", "matches", "owner", "services"]

MOODLE = r"(?:^|/)[^/_]+_(?P<student_id>\d+)_assignsubmission_(?:file|onlinetext)(?:_?/|_)(?P<file_id>[^/].*)$"
"""``Ada Lovelace_1234567_assignsubmission_file/backprop.ipynb``, or in one folder with ``_file_backprop.ipynb``."""
CANVAS = r"(?:^|/)(?:\w+?_)??(?:(?i:late)_)?(?P<student_id>\d+|anon_[A-Za-z0-9]+)_\d+_(?P<file_id>[^/].*)$"
"""``lovelaceada_LATE_12345_678910_backprop-1.ipynb``: name, LATE, the student's number, the file's, its name."""
Service = Literal["canvas", "moodle"]
_SERVICES: Mapping[str, Service] = {MOODLE: "moodle", CANVAS: "canvas"}


def matches(place: str, patterns: Sequence[str]) -> list[re.Match[str]]:
    """What the patterns find in a path, and in it without its first folder, which an archive may have named.

    The first in the path counts: what comes behind it was named by the student.
    """
    return [
        min(found, key=lambda match: match.start())
        for one in (place, place.partition("/")[2])
        if (found := [match for pattern in patterns if (match := re.search(pattern, one))])
    ]


def owner(place: str, patterns: Sequence[str]) -> re.Match[str] | None:
    """The match that names the one student whose the file at ``place`` is; None where it is nobody's, or several's."""
    found = matches(place, patterns)
    return found[0] if len({match["student_id"] for match in found}) == 1 else None


def services(folder: Path, patterns: Sequence[str]) -> dict[str, Service]:
    """For each student in the archives in ``folder``, whose number it is: ``moodle`` or ``canvas``.

    Canvas's is its own number of the person, Moodle's the participant's in this one assignment. Whom several of them
    name, an own pattern names, or Canvas names without a number, is left out.
    """
    found: defaultdict[str, set[Service | None]] = defaultdict(set)
    for place in _places(folder):
        if match := owner(place, patterns):
            found[match["student_id"]].add(_SERVICES.get(match.re.pattern))
    return {
        student: name
        for student, names in found.items()
        if student.isdigit() and len(names) == 1 and (name := next(iter(names)))
    }


def _places(folder: Path) -> Iterator[str]:
    """Where the files in the archives are once they are extracted, and the other files; none of archives inside."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.suffix != ".zip":
            yield place.as_posix()
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                yield from (f"{place.with_suffix('').as_posix()}/{name}" for name in archive.namelist())
        except (OSError, zipfile.BadZipFile):
            yield place.as_posix()
