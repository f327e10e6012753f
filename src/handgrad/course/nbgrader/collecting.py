"""Plugins of nbgrader's ``zip_collect``: find the students and notebooks in what services offer for download.

A file that matches no pattern is left where it is, with a warning; so is an archive that cannot be opened. If a student
handed in no notebook, all files are collected, so that everyone who handed in something has a folder.
"""

import atexit
import logging
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal
from zoneinfo import ZoneInfo

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import find_all_notebooks
from traitlets import List, Unicode

from handgrad.course.course import Course
from handgrad.course.files import make_folder
from handgrad.course.nbgrader.folders import TIMESTAMP, course_of, released_names
from handgrad.course.nbgrader.hand_in_dates import HandInDates, due_date
from handgrad.course.nbgrader.roster import archives, people
from handgrad.course.nbgrader.unpacking import Limits, Unpacking, matches, owner
from handgrad.course.people import People
from handgrad.course.service_lists import is_list, lists_beside
from handgrad.notebook.reading import is_notebook, notebook_name
from handgrad.notebook.untrusted_files import is_configuration, walk
from handgrad.report.names import alike, alike_sentence, few, printable, shown

__all__ = [
    "CANVAS",
    "GRADESCOPE",
    "MOODLE",
    "Collector",
    "Extractor",
    "Service",
    "archived",
    "came_from",
    "flat",
    "in_archives",
    "names",
    "services",
]

MOODLE = (
    r"(?:^|/)(?:(?P<name>[^/_]*)_(?=\d+_assignsubmission_))?(?P<student_id>\d+|[^/_]+)"
    r"_assignsubmission_[a-z0-9]+(?:_?/|_)(?P<file_id>[^/].*)$"
)
"""``Ada Lovelace_1234567_assignsubmission_file/backprop.ipynb``, or in one folder with ``_file_backprop.ipynb``.

Moodle writes no underscore of a name. A group has its own number, and students without a group have none.
"""
CANVAS = (
    r"(?:^|/)(?:(?!\d+_\d+_(?:\d+_|(?:text|link)\.html$))|(?P<name>[^/]*?)_)(?:(?P<late>(?i:late))_)?"
    r"(?P<student_id>\d+|anon_[A-Za-z0-9]+)_"
    r"(?:(?P<file_number>\d+)_(?=[^/])|(?=(?:text|link)\.html$))(?P<file_id>.+)$"
)
"""``lovelaceada_LATE_12345_678910_backprop-1.ipynb``: name, LATE, the student's id, the file's id, its name.

A typed text is ``lovelaceada_12345_text.html``, a web address ``lovelaceada_12345_link.html``. Canvas keeps letters,
marks and digits of a name, which may leave digits only, or nothing; only an anonymous one has no name.
"""
GRADESCOPE = r"(?:^|/)(?P<name>submission_(?P<student_id>\d+))/(?P<file_id>.+)$"
"""``assignment_9_export/submission_123456/backprop.ipynb``: the submission's number, which the metadata explains."""
Service = Literal["canvas", "moodle"]
_SERVICES: Mapping[str, Service] = {MOODLE: "moodle", CANVAS: "canvas"}
_COPY_OF_FILE = r"(?: ?\(\d+\)|-Copy\d+| - Copy| copy(?: \d+)?)"
_BETWEEN = r"[\s_.,+-]+"
"""What stands between the name of a student and that of the assignment."""
_COPY = re.compile(r"(?: ?\(\d+\)|[-_]\d+|-Copy\d+| - Copy| copy(?: \d+)?)$", re.IGNORECASE)
"""What browsers, Canvas, Jupyter, Windows and macOS add to the name of a copy."""


class Extractor(ExtractorPlugin):
    """Opens archives, within limits for each student; what is over them is named and left out, and the rest collected.

    Limits are those of the course (``c.CourseDirectory.max_file_size`` and ``max_dir_size``), of an archive's members
    and of how much smaller a member was made. Links, names that lead out of the folder, and files that a program takes
    for its configuration are left out too.
    """

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Copy a folder, and extract each archive in it into a folder of the archive's name."""
        self.log.addFilter(_is_printable)
        archives = Path(archive_path)
        endings = [ending.lower() for ending in self.zip_ext]
        found = sorted(path.name for path in archives.iterdir() if path.suffix.lower() in endings)
        if len(found) > 1:
            self.log.warning(
                "There are %d archives in %s: %s. If one is a newer download of another, keep only the newest and "
                "collect again with --force: otherwise all versions of a student's files are collected.",
                *(len(found), archive_path, ", ".join(found)),
            )
        course = self.parent.coursedir
        collector = Collector(parent=self.parent, config=self.config)
        patterns = [collector.named_regexp] if collector.named_regexp else collector.layout
        unpacking = Unpacking(Path(extracted_path), Limits.of(course), patterns, endings, released_names(course))
        dates = lists_beside(archives)
        for entry in walk(archives):
            if entry.kind == "file" and len(entry.path.parts) == 1 and entry.path.suffix.lower() in endings:
                self.log.info("Extracting from: %s", archives / entry.path)
                unpacking.open_downloaded(archives / entry.path)
            elif entry.kind != "folder" and entry.path.as_posix() not in dates:
                unpacking.copy(archives, entry)
        for line in unpacking.said():
            self.log.warning("%s", line)
        for path in unpacking.left_out():
            # of whom everything was left out has a folder too, and so a line in every report
            if match := owner(path, patterns):
                collector.make_folder(collector._student(match, PurePath(path)))


class Collector(FileNameCollectorPlugin):
    """Finds the student of a file by its path in the archive, and gives the notebook its released name."""

    patterns = List(
        Unicode(),
        default_value=[MOODLE, CANVAS, GRADESCOPE],
        help="Regular expressions with the groups student_id and file_id, searched for in a file's path, in turn. If "
        "no file fits one, a notebook's own name is the student's, as in alice.ipynb or bob_backprop.ipynb.",
    ).tag(config=True)
    valid_ext = List(
        [".ipynb", ".py"], help="Extensions of the files that are collected; Python files are exports of notebooks."
    ).tag(config=True)
    timezone = Unicode(
        help="Time zone of the dates in Moodle's grading worksheet, such as Europe/Berlin; empty for this machine's."
    ).tag(config=True)

    def collect(self, submitted_file: str) -> dict[str, Any] | None:
        """The student and the name of a file, and when it was handed in; None, with a warning, if they are not known.

        With a pattern of nbgrader's own, ``c.FileNameCollectorPlugin.named_regexp``, they are what nbgrader finds.
        """
        if self.named_regexp:
            return self._by_nbgrader(submitted_file)
        if not hasattr(self, "_known"):
            self.log.addFilter(_is_printable)
            self.log.addFilter(_is_not_repeated)
            self._known = self._survey()
        path = Path(submitted_file)
        if found := self._known.get(path):
            self.make_folder(found["student_id"])
            return found
        if not is_list(path.relative_to(self._root).as_posix()):
            self.log.warning("Not recognised: %s. %s", path, self._why(path))
        return None

    def make_folder(self, student: str) -> None:
        """Make the student's folder, which nbgrader would open to everybody."""
        course = self.parent.coursedir
        folder = course.format_path(course.submitted_directory, student, course.assignment_id)
        make_folder(Path(folder), shared=course.groupshared)

    @cached_property
    def layout(self) -> list[str]:
        """The patterns; that of files with the students' names, if these have that form, and no file fits another."""
        folder = Path(self.parent._format_collect_path(self.parent.archive_directory))
        paths, flat = list(_paths(folder)), self._flat
        is_flat = any(owner(path, [flat]) for path in paths) and not any(owner(path, self.patterns) for path in paths)
        return [flat] if is_flat else list(self.patterns)

    @cached_property
    def _flat(self) -> str:
        """The pattern of files with the name of a student and perhaps the assignment's, alone or in an archive."""
        return flat({self.parent.coursedir.assignment_id, *(PurePath(name).stem for name in self._released)})

    @cached_property
    def _released(self) -> list[str]:
        """The names of the released notebooks."""
        course = self.parent.coursedir
        return list(find_all_notebooks(course.format_path(course.release_directory, ".", course.assignment_id)))

    def _by_nbgrader(self, submitted_file: str) -> dict[str, Any] | None:
        found = super().collect(submitted_file)
        names = PurePosixPath(str((found or {}).get("file_id", ""))).parts
        if any(map(is_configuration, (Path(submitted_file).name, *names))):
            self.log.warning("Not collected: %s. A program would take it for its configuration.", submitted_file)
            return None
        return found

    def _why(self, path: Path) -> str:
        if path.name.startswith("."):
            return "It is metadata of another system about a file."
        if is_configuration(path.name):
            return "A program would take it for its configuration."
        if path.name == TIMESTAMP:
            return "A date from the student's own machine is no proof."
        if path.suffix.lower() == ".csv":
            return "It is no grading worksheet of Moodle in English: switch Moodle to English and download it again."
        if path.suffix.lower() not in self.valid_ext:
            return f"Its extension is not one of {', '.join(self.valid_ext)}."
        place = path.relative_to(self._root).as_posix()
        students = {match["student_id"] for match in matches(place, self.layout)}
        if len(students) == 1:
            return "Another hand-in of the same student is collected."
        if students:
            return f"Its path names {' and '.join(sorted(students))}: rename the archive."
        return (
            "No pattern of c.Collector.patterns matches its path: copy it into the student's folder by hand, or add a "
            "pattern."
        )

    @property
    def _root(self) -> Path:
        """The folder of the extracted files."""
        return Path(self.parent._format_collect_path(self.parent.extracted_directory))

    def _student(self, match: re.Match[str], path: PurePath) -> str:
        """The student who handed in the file at ``path`` in the archive, from the match of a pattern in its path.

        It is the student of the roster, or the group; who is neither keeps the archive's number.
        """
        return self._people.who(match["student_id"], match.groupdict().get("name") or "")

    @cached_property
    def _people(self) -> People:
        return people(course_of(self.parent), self.parent.coursedir.assignment_id)

    def _survey(self) -> dict[Path, dict[str, Any]]:
        """Student and name of every extracted file that is recognised, and when it was handed in."""
        root, assignment = self._root, self.parent.coursedir.assignment_id
        folder = Path(self.parent._format_collect_path(self.parent.archive_directory))
        due = due_date(course_of(self.parent), assignment)
        dates = HandInDates(lists_beside(folder), due, self._zone(), assignment)
        collected, times, without = {}, {}, {}
        doubtful: set[str] = set()
        for student, hand_ins in self._hand_ins(root).items():
            newest = hand_ins[0]
            if len(hand_ins) > 1:
                newest = self._newest(student, [(dates.of(student, hand_in.matches), hand_in) for hand_in in hand_ins])
            times[student] = dates.of(student, newest.matches)
            doubtful |= {match[0].strip("/") for match in newest.matches if _is_doubtful(match)}
            files = {path: match["file_id"] for path, match in newest.files.items()}
            notebooks = {path: name for path, name in files.items() if path.suffix.lower() in self.valid_ext}
            if notebooks:
                collected[student] = self._named(student, notebooks, root)
            else:
                collected[student] = without[student] = _apart(files, root)
        for group in alike(collected):
            self.log.warning("%s", alike_sentence(group))
        if doubtful:
            self.log.warning(
                "Three numbers in a row: %s. The first is taken for the student and the third for the file's name. If "
                "the first ends the name of a student or a group, rename these files without it and collect again.",
                few(map(shown, sorted(doubtful))),
            )
        called = {
            self._student(match, path): self._people.called(match["student_id"], match.groupdict().get("name") or "")
            for path, match in self._found(root)
        }
        unmatched = self._people.unmatched(collected, called)
        last = [*dates.said(), *([_without_notebook(without)] if without else []), *unmatched]
        # at exit: a warning now would be lost in nbgrader's long list of copied files
        atexit.register(lambda: [self.log.warning("%s", line) for line in last])
        return {
            path: {"student_id": student, "file_id": name, "timestamp": times[student]}
            for student, files in collected.items()
            for path, name in files.items()
        }

    def _hand_ins(self, root: Path) -> dict[str, list["_HandIn"]]:
        """What each student handed in, by the number that it has in the archive."""
        found: defaultdict[str, dict[str, _HandIn]] = defaultdict(dict)
        for path, match in self._found(root):
            student = self._student(match, path.relative_to(root))
            # files with a student's names are one hand-in
            number = student if self.layout == [self._flat] else match["student_id"]
            found[student].setdefault(number, _HandIn(number)).files[path] = match
        return {student: list(hand_ins.values()) for student, hand_ins in found.items()}

    def _found(self, root: Path) -> Iterator[tuple[Path, re.Match[str]]]:
        """The files of students below ``root``, each with the match of a pattern in its path."""
        for path in sorted(root.rglob("*")):
            match = owner(path.relative_to(root).as_posix(), self.layout)
            if match and path.is_file() and _is_theirs(path, match):
                yield path, match

    def _newest(self, student: str, hand_ins: Sequence[tuple[datetime | None, "_HandIn"]]) -> "_HandIn":
        """The newest of a student's hand-ins: by their dates, then by the numbers of the files and of the students."""
        ordered = [
            hand_in for _, hand_in in sorted(hand_ins, key=lambda item: (item[0] or datetime.min, item[1].order))
        ]
        self.log.warning(
            "%s handed in %d times, as %s: the newest, %s, is collected. The others stay in %s.",
            *(student, len(ordered), " and ".join(hand_in.number for hand_in in ordered), ordered[-1].number),
            self._root,
        )
        return ordered[-1]

    def _zone(self) -> ZoneInfo | None:
        try:
            return ZoneInfo(self.timezone) if self.timezone else None
        # a name that is no key of the database of zones is one of several errors
        except (OSError, ValueError, LookupError):
            self.log.warning(
                "There is no time zone %r: set c.Collector.timezone to a name such as Europe/Berlin. Moodle's dates "
                "are read as times of this machine.",
                self.timezone,
            )
            return None

    def _named(self, student: str, files: Mapping[Path, str], root: Path) -> dict[Path, str]:
        """The names of a student's ``files``; a warning if the notebook is not among them."""
        named, released = names(_apart(files, root), self._released), self._released
        if self.layout == [self._flat] and len(named) == len(released) == 1 and is_notebook(*named.values()):
            # its name is the student's
            named = dict.fromkeys(named, released[0])
        for title in set(released) - set(named.values()):
            self.log.warning(
                "%s handed in no %s, but %s: `handgrad grade` searches these for it, nbgrader's autograde does not.",
                *(student, title, ", ".join(sorted(named.values()))),
            )
        return named


@dataclass
class _HandIn:
    """What was handed in under one number of a learning management system."""

    number: str
    files: dict[Path, re.Match[str]] = field(default_factory=dict)

    @property
    def matches(self) -> list[re.Match[str]]:
        """The matches of the paths of the files."""
        return list(self.files.values())

    @property
    def order(self) -> tuple[int, int, str]:
        """What is larger for a later hand-in, if no date is known: Canvas numbers files, and all systems students."""
        numbers = (match.groupdict().get("file_number") for match in self.matches)
        return (
            max(int(number or 0) for number in numbers),
            int(self.number) if self.number.isdecimal() else 0,
            self.number,
        )


def _is_theirs(path: Path, match: re.Match[str]) -> bool:
    """Whether a file is a student's work: no metadata, no date, no configuration, and the student's id is a name."""
    name = PurePosixPath(match["file_id"])
    # another system's metadata about a file, as ._name
    is_metadata = path.name.startswith(".") or name.name.startswith(".")
    is_work = not is_metadata and not any(map(is_configuration, name.parts))
    return is_work and name.name != TIMESTAMP and bool(match["student_id"].strip(". /"))


def _is_doubtful(match: re.Match[str]) -> bool:
    """Whether a name in Canvas's archive may be read in two ways: the first of three numbers may end a name."""
    found = match.groupdict()
    return bool(found.get("name") and found.get("file_number") and re.match(r"\d+_", match["file_id"]))


def _is_printable(record: logging.LogRecord) -> bool:
    """Let no name in a message do anything to a terminal."""
    record.msg, record.args = printable(record.getMessage()), ()
    return True


def _is_not_repeated(record: logging.LogRecord) -> bool:
    """Drop nbgrader's message about files that are not recognised: there is a better one already."""
    return not str(record.msg).startswith("Skipped submission with no match information provided")


def _without_notebook(students: Mapping[str, Mapping[Path, str]]) -> str:
    """The message about students who handed in something, but no notebook."""
    lines = [f"{student} ({few(map(shown, files.values()))})" for student, files in sorted(students.items())]
    return f"Without a notebook: {'; '.join(lines)}. `handgrad grade` lists them as not-submitted."


def _apart(files: Mapping[Path, str], root: Path) -> dict[Path, str]:
    """A student's files with their names; paths for names that occur twice or are another file's folder."""
    taken = {name for name, count in Counter(files.values()).items() if count > 1}
    taken |= {parent.as_posix() for name in files.values() for parent in PurePosixPath(name).parents}
    return {path: path.relative_to(root).as_posix() if name in taken else name for path, name in files.items()}


def names(files: Mapping[Path, str], released: Collection[str]) -> dict[Path, str]:
    """The names under which a student's ``files`` are collected.

    If exactly one file can be a released notebook, in a folder or as a copy such as ``backprop (1).ipynb``, it gets the
    released name. If several can be, all keep their names: `handgrad grade` decides by their contents.
    """
    named = dict(files)
    for title in released:
        if title not in named.values():
            copies = [path for path, name in named.items() if _original(name, released) == title]
            if len(copies) == 1:
                named[copies[0]] = title
    return named


def _original(name: str, released: Collection[str]) -> str:
    """The released notebook of which a file with this name seems to be a copy; else ``name``."""
    path = PurePosixPath(name)
    seen = notebook_name(path.name)
    plain = f"{_COPY.sub('', PurePosixPath(seen).stem)}{PurePosixPath(seen).suffix}"
    titles = {title.casefold(): title for title in released}
    return next((titles[title] for title in (seen.casefold(), plain.casefold()) if title in titles), name)


def flat(titles: Collection[str]) -> str:
    """The pattern of notebooks with the name of a student and perhaps one of ``titles``, alone or in an archive."""
    title = f"(?i:{'|'.join(map(re.escape, sorted(titles)))})"
    ending = rf"{_COPY_OF_FILE}?\.(?i:ipynb|py)(?:\.[a-z]+)?"
    return (
        rf"^(?:[^/]+/)?(?P<file_id>(?!{title}{ending}$)(?:{title}{_BETWEEN})?(?P<student_id>[^/.][^/]*?)"
        rf"(?:{_BETWEEN}{title})?{ending})$"
    )


def came_from(course: Course, assignment: str) -> dict[str, Service]:
    """For each number in an assignment's archives the service that has given it: ``moodle`` or ``canvas``."""
    return services(archives(course, assignment), Collector(config=course.config).patterns)


def in_archives(course: Course, assignment: str) -> Iterator[tuple[str, str, Service | None]]:
    """The files of students in an assignment's archives: see :func:`archived`."""
    return archived(archives(course, assignment), Collector(config=course.config).patterns)


def archived(folder: Path, patterns: Sequence[str]) -> Iterator[tuple[str, str, Service | None]]:
    """The files of students in the archives in ``folder``.

    Of each the student's number or name, the path from where the service names the student, and the service; None for
    another pattern.
    """
    for path in _paths(folder):
        if match := owner(path, patterns):
            yield match["student_id"], match[0].lstrip("/"), _SERVICES.get(match.re.pattern)


def services(folder: Path, patterns: Sequence[str]) -> dict[str, Service]:
    """For each number in the archives in ``folder`` the service that has given it: ``moodle`` or ``canvas``.

    Canvas's number is that of the user, Moodle's that of the participant in this assignment. Numbers are left out that
    both services have given, that are a group's, or that an instructor's own pattern has found.
    """
    kinds: defaultdict[str, set[Service | None]] = defaultdict(set)
    groups = {member.group for found in lists_beside(folder).values() for member in found.values()} - {""}
    for student, path, service in archived(folder, patterns):
        if student.isdecimal():
            # a group's number is no participant's, but may be the same
            is_group = service == "moodle" and path.partition("_")[0] in groups
            kinds[student].add(None if is_group else service)
    return {student: kind for student, known in kinds.items() if len(known) == 1 and (kind := next(iter(known)))}


def _paths(folder: Path) -> Iterator[str]:
    """Paths of the files in the archives as if extracted (but not nested archives), and of the other files."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() != ".zip":
            yield inside.as_posix()
            continue
        folder_of_archive = inside.with_suffix("").as_posix()
        try:
            with zipfile.ZipFile(path) as archive:
                yield from (f"{folder_of_archive}/{name}".replace("\\", "/") for name in archive.namelist())
        except (OSError, zipfile.BadZipFile):
            yield inside.as_posix()
