"""Archives that Moodle and Canvas make of an assignment: the student of each file, and the kind of the student's id."""

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
"""``lovelaceada_LATE_12345_678910_backprop-1.ipynb``: name, LATE, the student's id, the file's id, its name."""
Service = Literal["canvas", "moodle"]
_SERVICES: Mapping[str, Service] = {MOODLE: "moodle", CANVAS: "canvas"}


def matches(path: str, patterns: Sequence[str]) -> list[re.Match[str]]:
    """The match of the patterns in a path, and in the path without its first folder, which an archive may have named.

    The first match in the path counts: what comes after it was named by the student.
    """
    return [
        min(found, key=lambda match: match.start())
        for part in (path, path.partition("/")[2])
        if (found := [match for pattern in patterns if (match := re.search(pattern, part))])
    ]


def owner(path: str, patterns: Sequence[str]) -> re.Match[str] | None:
    """The match with the student of the file at ``path``; None if there is no student, or more than one."""
    found = matches(path, patterns)
    return found[0] if len({match["student_id"] for match in found}) == 1 else None


def services(folder: Path, patterns: Sequence[str]) -> dict[str, Service]:
    """For each student in the archives in ``folder`` the service of the id: ``moodle`` or ``canvas``.

    Canvas's id is that of the user, Moodle's that of the participant in this assignment. Students are left out who are
    named by both services, by an instructor's own pattern, or by Canvas without a number.
    """
    kinds: defaultdict[str, set[Service | None]] = defaultdict(set)
    for path in _paths(folder):
        if match := owner(path, patterns):
            kinds[match["student_id"]].add(_SERVICES.get(match.re.pattern))
    return {
        student: kind
        for student, known in kinds.items()
        if student.isdigit() and len(known) == 1 and (kind := next(iter(known)))
    }


def _paths(folder: Path) -> Iterator[str]:
    """Paths of the files in the archives as if extracted (but not nested archives), and of the other files."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix != ".zip":
            yield inside.as_posix()
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                yield from (f"{inside.with_suffix('').as_posix()}/{name}" for name in archive.namelist())
        except (OSError, zipfile.BadZipFile):
            yield inside.as_posix()
