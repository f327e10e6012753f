"""Whose a file in a downloaded archive is, by its path."""

import re
from collections.abc import Sequence

__all__ = ["matches", "owner"]


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
    # a pattern of an instructor's own may lack the groups
    found = [match for match in matches(path, patterns) if {"student_id", "file_id"} <= match.groupdict().keys()]
    return found[0] if len({match["student_id"] for match in found}) == 1 else None
