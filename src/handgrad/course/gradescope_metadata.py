"""Gradescope's ``submission_metadata.yml``: who handed in each submission of an export, and when.

Its keys are symbols of Ruby, ``:submitters``. It is read as plain text of bounded size and depth: no tag in it makes an
object, and what is not asked for, such as the results with the students' output, is not kept.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import yaml

from handgrad.course.participants import Participant

__all__ = ["FILE", "parse_metadata"]

FILE = "submission_metadata.yml"
DEEPEST = 50
"""Maximum depth of what is read."""
_SUBMISSION = re.compile(r"submission_(\d+)", re.ASCII)
_NAME = re.compile(r"[\w@+-][\w.@+-]*")
"""What can be the name of a folder."""
_KEPT = (":submitters", ":created_at")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Plain = str | list[Any] | dict[str, Any]


def parse_metadata(content: bytes) -> dict[str, Participant] | None:
    """The participants by the numbers of their submissions; None if the file has another form.

    Of a submission by several students, each is a participant under a key of its own, in a group that has the name of
    the submission's folder.
    """
    try:
        data = _kept(yaml.parse(content, Loader=_LOADER))
    except (yaml.YAMLError, ValueError):
        return None
    found = {}
    for folder, submission in data.items():
        if (number := _SUBMISSION.fullmatch(folder)) and isinstance(submission, dict):
            text = str(submission.get(":created_at", ""))
            students = [one for one in submission.get(":submitters") or () if isinstance(one, dict)]
            for place, student in enumerate(students):
                name, sid, email = (_text(student.get(key)) for key in (":name", ":sid", ":email"))
                group = folder if len(students) > 1 else ""
                key = f"{number[1]}/{place}" if group else number[1]
                known_as = next((one for one in (sid, email) if _NAME.fullmatch(one)), "")
                found[key] = Participant(number[1], name, sid, email, group, _time(text), text, known_as)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) and value not in ("~", "null") else ""


def _kept(events: Iterator[Any]) -> dict[str, Any]:
    """What is kept of a document.

    Raises
    ------
    ValueError
        It is no mapping, or too deep.
    """
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            data = _value(event, events, 0)
            if isinstance(data, dict):
                return data
            break
    raise ValueError("it is no mapping")


def _value(event: Any, events: Iterator[Any], depth: int) -> _Plain:
    """The value that begins with an event; of a submission only what is asked for is kept. An alias is empty."""
    if depth > DEEPEST:
        raise ValueError("it is too deep")
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(event, events, depth + 1))
        return items
    found: dict[str, _Plain] = {}
    if isinstance(event, yaml.MappingStartEvent):
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _value(event, events, depth + 1)
            value = _value(next(events), events, depth + 1)
            if isinstance(key, str) and (depth != 1 or key in _KEPT):
                found[key] = value
    return found


def _time(text: str) -> datetime | None:
    """A date as Ruby writes it, ``2026-09-14 10:00:00.123456789 Z``, in UTC."""
    with suppress(ValueError):
        time = datetime.fromisoformat(re.sub(r" (?=Z$|[+-]\d)", "", text))
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None
