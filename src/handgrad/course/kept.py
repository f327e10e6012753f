"""What a course keeps because it takes long to find out: values in its private folder, each for a state."""

import json
from contextlib import suppress
from typing import Any

from handgrad.course.course import PRIVATE, Course
from handgrad.course.files import make_folder, private_mode, write_text

__all__ = ["keep", "kept"]


def kept(course: Course, name: str, state: str) -> Any:
    """The value in the file ``name`` of the private folder, if it was kept for this state; else None.

    What another version wrote, or somebody changed, is None too.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((course.root / PRIVATE / name).read_text(encoding="utf-8"))
        if found["state"] == state:
            return found["value"]
    return None


def keep(course: Course, name: str, state: str, value: Any) -> None:
    """Keep a value, as plain data, for a state; a CourseError if it cannot be written."""
    path = course.private_folder / name
    make_folder(path.parent, shared=course.is_shared)
    write_text(path, json.dumps({"state": state, "value": value}) + "\n", mode=private_mode(path.parent))
