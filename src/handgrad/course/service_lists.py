"""The lists of services beside downloaded archives: who handed in what, and when.

Moodle's grading worksheet is a csv with a line for each participant of one assignment. Moodle writes it in the language
and the time zone of the instructor's profile; it is read in English.

Gradescope's ``submission_metadata.yml`` has who handed in each submission of an export. Its keys are symbols of Ruby,
``:submitters``. It is read as plain text of bounded size and depth: no tag in it makes an object, and what is not asked
for, such as the results with the students' output, is not kept.
"""

import csv
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from handgrad.course.files import LARGEST_CSV, csv_rows
from handgrad.errors import SubmissionError
from handgrad.notebook.untrusted_files import read_file

__all__ = ["Participant", "is_list", "lists_beside", "parse_metadata", "parse_worksheet"]

IDENTIFIER, SUBMITTED = "Identifier", "Last modified (submission)"
"""The headings of the columns without which a csv is no worksheet."""
_NUMBER = re.compile(r"(\d+)\s*$", re.ASCII)
_FORMATS = (
    *("%A, %d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M", "%A, %B %d, %Y, %I:%M %p", "%A, %B %d, %Y, %H:%M"),
    *("%d %B %Y, %I:%M %p", "%d %B %Y, %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"),
)
"""The dates of Moodle in the English of several countries, and those that a spreadsheet may make of them.

Dates of digits alone are not among them: 10/6 is a day in June, or in October.
"""
METADATA = "submission_metadata.yml"
DEEPEST = 50
"""Maximum depth of what is read."""
_SUBMISSION = re.compile(r"submission_(\d+)", re.ASCII)
_NAME = re.compile(r"[\w@+-][\w.@+-]*")
"""What can be the name of a folder."""
_KEPT = (":submitters", ":created_at")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Plain = str | list[Any] | dict[str, Any]
_HANDED_IN_FILE = re.compile(r"_assignsubmission_|_\d+_\d+_|(?:^|/)submission_\d+/")
"""What is in the path of a file that a student handed in, as Moodle, Canvas and Gradescope write it."""
_LEVELS = 3
"""Parts of the longest path of metadata: in the export's folder, in that of the archive's name."""
LARGEST_METADATA = 1 << 27
"""Bytes of the largest ``submission_metadata.yml`` that is read (128 MiB): it has all results of all submissions."""


@dataclass(frozen=True)
class Participant:
    """One hand-in in the list, or one student of a group that handed in; what the list does not say is empty.

    Attributes
    ----------
    number
        The number by which the archive names the hand-in, in this assignment: of Moodle's participant, of Gradescope's
        submission.
    group
        The group that handed in, if several students did together.
    time
        When something was last handed in. Without a zone, in Moodle's worksheet, it is in that of the instructor's
        profile, to the minute. None if nothing was handed in, or if the date cannot be read.
    text
        The same as it is written.
    known_as
        What the student is called who is not in the roster, where that is not the number: Gradescope has another
        number for each submission.
    """

    number: str
    name: str = ""
    id_number: str = ""
    email: str = ""
    group: str = ""
    time: datetime | None = None
    text: str = ""
    known_as: str = ""


def lists_beside(folder: Path) -> dict[str, dict[str, Participant]]:
    """The lists of services beside the archives in ``folder`` or above it, or in them, by where they were found.

    They are Moodle's grading worksheets and Gradescope's metadata. Of each the participants by their numbers. A file
    that a student handed in is none, whatever is in it.
    """
    found = {}
    for path in sorted((*folder.glob("*"), *folder.parent.glob("*"))):
        if path.suffix.lower() == ".csv" and not _HANDED_IN_FILE.search(path.name):
            # what cannot be read is no worksheet
            with suppress(OSError, SubmissionError):
                participants = parse_worksheet(read_file(path, path.parent, LARGEST_CSV).content)
                if participants is not None:
                    found[path.name] = participants
    for place, content in _metadata(folder):
        participants = parse_metadata(content)
        if participants is not None:
            found[place] = participants
    return found


def is_list(path: str) -> bool:
    """Whether a file at this path in an archive, or beside it, is Gradescope's metadata, and no student's file."""
    parts = PurePosixPath(path).parts
    return parts[-1:] == (METADATA,) and len(parts) <= _LEVELS and not _HANDED_IN_FILE.search(path)


def _metadata(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The metadata of Gradescope's exports in ``folder``, unpacked or not, and where they are."""
    for path in sorted((*folder.glob(METADATA), *folder.glob(f"*/{METADATA}"))):
        place = path.relative_to(folder).as_posix()
        if is_list(place):
            with suppress(OSError, SubmissionError):
                yield place, read_file(path, folder, LARGEST_METADATA).content
    for path in sorted(folder.glob("*")):
        # what cannot be read is no metadata
        if path.suffix.lower() == ".zip":
            with (
                suppress(OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error),
                zipfile.ZipFile(path) as archive,
            ):
                for info in archive.infolist():
                    if is_list(info.filename) and info.file_size <= LARGEST_METADATA:
                        yield f"{path.name}/{info.filename}", archive.read(info)


def parse_worksheet(content: bytes) -> dict[str, Participant] | None:
    """The participants of a worksheet by their number; None if the csv is no worksheet in English."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # a spreadsheet on Windows has saved it
        text = content.decode("cp1252", "replace")
    try:
        rows = list(csv_rows(text))
    except csv.Error:
        return None
    if not rows or not {IDENTIFIER, SUBMITTED} <= rows[0].keys():
        return None
    found = (_participant({str(name): str(value or "").strip() for name, value in row.items()}) for row in rows)
    return {participant.number: participant for participant in found if participant}


def _participant(row: dict[str, str]) -> Participant | None:
    number = _NUMBER.search(row[IDENTIFIER])
    if number is None:
        return None
    date = row[SUBMITTED]
    return Participant(
        number[1],
        row.get("Full name", ""),
        row.get("ID number", ""),
        row.get("Email address", ""),
        row.get("Group", ""),
        _moodle_time(date),
        "" if date == "-" else date,
    )


def _moodle_time(text: str) -> datetime | None:
    # newer versions of Moodle write a narrow space that does not break before AM and PM
    plain = " ".join(text.split())
    for form in _FORMATS:
        with suppress(ValueError):
            return datetime.strptime(plain, form)
    return None


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
            students = [student for student in submission.get(":submitters") or () if isinstance(student, dict)]
            for place, student in enumerate(students):
                name, sid, email = (_text(student.get(key)) for key in (":name", ":sid", ":email"))
                group = folder if len(students) > 1 else ""
                key = f"{number[1]}/{place}" if group else number[1]
                known_as = next((candidate for candidate in (sid, email) if _NAME.fullmatch(candidate)), "")
                found[key] = Participant(number[1], name, sid, email, group, _ruby_time(text), text, known_as)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) and value not in ("~", "null") else ""


def _kept(events: Iterator[Any]) -> dict[str, Any]:
    """What is kept of a document; a ValueError if it is no mapping, or too deep."""
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


def _ruby_time(text: str) -> datetime | None:
    """A date as Ruby writes it, ``2026-09-14 10:00:00.123456789 Z``, in UTC."""
    with suppress(ValueError):
        time = datetime.fromisoformat(re.sub(r" (?=Z$|[+-]\d)", "", text))
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None
