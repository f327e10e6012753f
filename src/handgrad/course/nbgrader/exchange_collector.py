"""Collect from nbgrader's exchange, where each student owns the folder that is collected and may do anything with it.

No link is followed, and only regular files that belong to the student are taken, within limits. The time of a hand-in
is the latest of the time in its folder's name, the one in its ``timestamp.txt``, and the ctimes of its files, which
their owner cannot set back.
"""

import filecmp
import os
import re
import shutil
import tempfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from nbgrader.exchange.default import ExchangeCollect
from traitlets import Bool

from handgrad.course.file_access import account_name
from handgrad.course.files import make_folder
from handgrad.course.nbgrader.database import close_gradebook
from handgrad.course.nbgrader.folders import LONGEST_TIMESTAMP, TIMESTAMP, course_of, date_in, released_names
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.unpacking import with_reasons
from handgrad.course.people import People
from handgrad.errors import SubmissionError
from handgrad.notebook.reading import is_notebook
from handgrad.notebook.untrusted_files import (
    Entry,
    copy_file,
    folder_status,
    in_quotes,
    is_configuration,
    read_file,
    walk,
)
from handgrad.report.names import few

try:
    import pwd
except ImportError:  # Windows, where nbgrader has no exchange
    pwd = None  # type: ignore[assignment]
from handgrad.student.progress_file import FILE as PROGRESS_FILE

__all__ = ["ExchangeCollector"]

MOST_FILES = 2000
"""Maximum number of files that are collected of one hand-in; notebooks come first."""
RELEASED = "released"
"""Why a file is not collected that each student has got with the release: nothing to be told."""
_EPOCH = datetime(1970, 1, 1)


@dataclass
class HandIn:
    """One folder of the exchange's inbound folder: whose it is, and what of it is collected.

    Attributes
    ----------
    name, student
        The folder's name and the student's id in it.
    owner
        The uid that its files must have.
    time
        When it was handed in, in UTC.
    files
        What is collected.
    left_out
        Names and reasons of what is not collected and should be known.
    """

    name: str
    student: str
    owner: int
    time: datetime
    files: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def said(self) -> str:
        """A sentence about what is left out."""
        return f"{in_quotes(self.student)}: not collected: {with_reasons(self.left_out)}."


class ExchangeCollector(ExchangeCollect):
    """Nbgrader's ``collect``, but nothing that is collected is anybody's but the student's.

    Files belong to the student if they have the uid of the student's account. If the id is no account on this machine,
    or with ``c.ExchangeCollect.check_owner = False``, they are those of the owner of the folder that was handed in.
    """

    update = Bool(True, help="Whether a newer hand-in replaces the one that was collected.").tag(config=True)
    src_records: list[dict[str, Any]]

    def init_src(self) -> None:
        """Find each student's hand-in to collect; folders with other names or other owners are left out."""
        self._inbound = Path(self.root, self.coursedir.course_id, "inbound")
        self._handed_in: dict[str, HandIn] = {}
        self._owners: defaultdict[str, set[int]] = defaultdict(set)
        self._released = released_names(self.coursedir)
        close_gradebook(self.coursedir)
        super().init_src()
        without = sorted(name for name in self._owners if not self._is_account(name))
        if without and self.check_owner:
            self.log.warning(
                "These ids are no accounts on this machine: %s. Of each the files of its folder's owner are collected.",
                few(f"{in_quotes(name)} ({', '.join(map(account_name, self._owners[name]))})" for name in without),
            )
        doubtful = {name for name in without if len(self._owners[name]) > 1 and self.check_owner}
        for name in sorted(doubtful):
            self.log.error(
                "%s has folders of several owners in %s (%s) and is not collected: delete those that are not the "
                "student's.",
                *(in_quotes(name), self._inbound, ", ".join(map(account_name, sorted(self._owners[name])))),
            )
        kept = (record for record in self.src_records if record["username"] not in doubtful | {""})
        self.src_records = sorted(kept, key=lambda record: str(record["username"]))

    def _path_to_record(self, path: str) -> dict[str, Any]:
        """Nbgrader's record of a folder; one without a student for what is left out."""
        name = Path(path).name
        try:
            hand_in = self._hand_in(name)
        except (SubmissionError, OSError) as error:
            self.log.warning("%s is not collected: %s", in_quotes(name), error)
            return {"username": "", "filename": name, "timestamp": datetime.min}
        self._handed_in[name] = hand_in
        return {"username": hand_in.student, "filename": name, "timestamp": hand_in.time}

    def _hand_in(self, name: str) -> HandIn:
        """The hand-in in the folder called ``name``; a SubmissionError says why it is none of a student's."""
        parts = re.fullmatch(rf"(.+)\+{re.escape(self.coursedir.assignment_id)}\+([^+]*)(?:\+[^+]*)?", name, re.DOTALL)
        time = parts and date_in(parts[2])
        if not parts or not time:
            raise SubmissionError("its name is not STUDENT+ASSIGNMENT+DATE.")
        student = parts[1]
        if fault := course_of(self).fault_of_name(student):
            raise SubmissionError(fault)
        owner = folder_status(self._inbound / name, self._inbound).st_uid
        owners = {pwd.getpwnam(account).pw_uid for account in self._accounts(student)}
        if self.check_owner and owners and owner not in owners:
            raise SubmissionError(
                f"it claims to be handed in by {in_quotes(student)}, but belongs to {account_name(owner)}; cheating "
                "attempt? If ids are no accounts here, set c.ExchangeCollect.check_owner = False."
            )
        self._owners[student].add(owner)
        hand_in = HandIn(name, student, owner, time)
        self._look_into(hand_in)
        return hand_in

    def _accounts(self, student: str) -> set[str]:
        """The accounts on this machine that are a student's: the name itself, or other names of the same student."""
        if self._is_account(student):
            return {student}
        ours = self._people.student(student)
        others = {line.handed_in_as for line in self._people.lines if line.student_id == ours}
        return {name for name in {ours, *others} if name and self._is_account(name)}

    @cached_property
    def _people(self) -> People:
        return people(course_of(self), self.coursedir.assignment_id)

    def _look_into(self, hand_in: HandIn) -> None:
        """Find the files of a hand-in, and its time."""
        folder, left = self._inbound / hand_in.name, self.coursedir.max_dir_size * 1000
        entries = list(walk(folder, self._inbound, lambda name: not self._is_ignored(name)))
        for entry in sorted(entries, key=lambda entry: not is_notebook(entry.path.name)):
            if entry.kind == "folder":
                if self._is_configuration(entry.path):
                    hand_in.left_out[str(entry.path)] = "a program would take it for its configuration"
                continue
            if self._is_ignored(entry.path.name) or not any(
                fnmatch(entry.path.name, pattern) for pattern in self.coursedir.include
            ):
                continue
            if why := self._why_not(entry, hand_in, left):
                if why != RELEASED:
                    hand_in.left_out[str(entry.path)] = why
                continue
            left -= entry.status.st_size
            hand_in.files.append(entry)
            hand_in.time = max(hand_in.time, _changed(entry.status))
        if any(entry.path == PurePath(TIMESTAMP) for entry in hand_in.files):
            with suppress(SubmissionError, OSError):
                content = read_file(folder / TIMESTAMP, self._inbound, LONGEST_TIMESTAMP).content
                hand_in.time = max(hand_in.time, date_in(content.decode("utf-8", "replace").strip()) or datetime.min)

    def _why_not(self, entry: Entry, hand_in: HandIn, left: int) -> str:
        """Why a file is not collected; empty if it is."""
        if entry.kind == "link":
            return "it is a link"
        if entry.kind != "file":
            return "it is no file"
        if entry.status.st_uid != hand_in.owner:
            return f"it belongs to {account_name(entry.status.st_uid)}"
        if any(is_configuration(part) for part in entry.path.parts):
            is_released = entry.path.name in self._released
            return RELEASED if is_released else "a program would take it for its configuration"
        if entry.status.st_size > self.coursedir.max_file_size * 1000:
            return "it is larger than c.CourseDirectory.max_file_size"
        if entry.status.st_size > left:
            return "all is larger than c.CourseDirectory.max_dir_size"
        return "" if len(hand_in.files) < MOST_FILES else f"there are more than {MOST_FILES} files"

    def _is_configuration(self, path: PurePath) -> bool:
        return is_configuration(path.name) and path.name not in self._released

    def _is_ignored(self, name: str) -> bool:
        # every student's folder may have the progress file: that is nothing to report
        return name == PROGRESS_FILE or any(fnmatch(name, pattern) for pattern in self.coursedir.ignore)

    def _is_account(self, student: str) -> bool:
        if pwd is None:
            return False
        try:
            pwd.getpwnam(student)
        except (KeyError, ValueError):
            return False
        return True

    def copy_files(self) -> None:
        """Copy what is new into the folder of hand-ins; what has not changed is left as it is."""
        if not self.src_records:
            self.log.warning(
                "No submissions of '%s' for course '%s' to collect",
                *(self.coursedir.assignment_id, self.coursedir.course_id),
            )
            return
        self.log.info(
            "Processing %d submissions of '%s' for course '%s'",
            *(len(self.src_records), self.coursedir.assignment_id, self.coursedir.course_id),
        )
        for record in self.src_records:
            try:
                self._collect(self._handed_in[record["filename"]])
            except (SubmissionError, OSError) as error:
                self.log.error("%s is not collected: %s", in_quotes(record["username"]), error)

    def _collect(self, hand_in: HandIn) -> None:
        student, assignment = hand_in.student, self.coursedir.assignment_id
        target = Path(self.coursedir.format_path(self.coursedir.submitted_directory, student, assignment))
        is_there, why = target.is_dir(), "Collecting submission"
        if is_there:
            before = self._collected_time(target)
            is_newer = self.update and (before is None or hand_in.time > before)
            if not is_newer and not (self.before_duedate and before != hand_in.time):
                said = "No newer submission to collect" if self.update else "Already there, not updated"
                self.log.info("%s: %s %s", said, student, assignment)
                return
            why = "Updating submission"
        with tempfile.TemporaryDirectory(prefix="collecting-", dir=course_of(self).private_folder) as name:
            copy = Path(name, "files")
            self._copy(hand_in, copy)
            if hand_in.left_out:
                self.log.warning("%s", hand_in.said())
            if not any(path.name != TIMESTAMP for path in copy.iterdir()):
                self.log.error("%s: there is nothing in %s to collect.", in_quotes(student), in_quotes(hand_in.name))
                return
            if is_there and _same(copy, target):
                self.log.info("Unchanged: %s %s", student, assignment)
                return
            self.log.info("%s: %s %s", why, student, assignment)
            make_folder(target.parent, shared=self.coursedir.groupshared)
            if is_there:
                shutil.rmtree(target)
            shutil.move(copy, target)

    def _copy(self, hand_in: HandIn, copy: Path) -> None:
        """Copy a hand-in, for nobody but the instructors, with its time."""
        shared, folder = self.coursedir.groupshared, self._inbound / hand_in.name
        file_mode = 0o660 if shared else 0o600
        make_folder(copy, shared=shared)
        for entry in hand_in.files:
            if entry.path == PurePath(TIMESTAMP):
                continue
            path = copy / entry.path
            make_folder(path.parent, shared=shared)
            try:
                most = self.coursedir.max_file_size * 1000
                status = copy_file(folder / entry.path, self._inbound, path, most, file_mode)
                if status.st_uid != hand_in.owner:
                    # it was replaced since
                    path.unlink()
                    raise SubmissionError(f"it belongs to {account_name(status.st_uid)}")
            except (SubmissionError, OSError) as error:
                hand_in.left_out[str(entry.path)] = str(error)
                continue
            path.chmod(file_mode)
            hand_in.time = max(hand_in.time, _changed(status))
        stamp = copy / TIMESTAMP
        stamp.touch(file_mode)
        stamp.chmod(file_mode)
        stamp.write_text(f"{hand_in.time:%Y-%m-%d %H:%M:%S.%f} UTC", encoding="utf-8")

    def _collected_time(self, target: Path) -> datetime | None:
        """The time of what was collected before; None if it is not known."""
        with suppress(SubmissionError, OSError):
            content = read_file(target / TIMESTAMP, target.parent, LONGEST_TIMESTAMP).content
            return date_in(content.decode("utf-8", "replace").strip())
        return None


def _changed(status: os.stat_result) -> datetime:
    """When a file was last changed in any way, in UTC."""
    return _EPOCH + timedelta(microseconds=status.st_ctime_ns // 1000)


def _same(copy: Path, target: Path) -> bool:
    """Whether two folders hold the same files, but for the date."""
    names = [{entry.path: entry.kind for entry in walk(folder, folder)} for folder in (copy, target)]
    files = [path for path, kind in names[0].items() if kind == "file" and path != PurePath(TIMESTAMP)]
    return names[0] == names[1] and all(filecmp.cmp(copy / path, target / path, shallow=False) for path in files)
