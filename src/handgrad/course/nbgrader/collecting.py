"""Plugins of nbgrader's ``zip_collect``: find the students and notebooks in the archives of Moodle and Canvas.

A file that matches no pattern is left where it is, with a warning; so is an archive that cannot be opened. If a student
handed in no notebook, all files are collected, so that everyone who handed in something has a folder.
"""

import atexit
import logging
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import find_all_notebooks
from traitlets import List, Unicode
from traitlets.config import Config

from handgrad.course.files import make_folder
from handgrad.course.nbgrader.folders import TIMESTAMP
from handgrad.course.nbgrader.owners import matches, owner
from handgrad.course.nbgrader.unpacking import Limits, Unpacking
from handgrad.notebook.untrusted_files import is_configuration, walk
from handgrad.report.names import alike, alike_sentence, printable

__all__ = [
    "CANVAS",
    "MOODLE",
    "Collector",
    "Extractor",
    "Service",
    "archive_folder",
    "archived",
    "came_from",
    "names",
    "services",
]

MOODLE = r"(?:^|/)[^/_]+_(?P<student_id>\d+)_assignsubmission_(?:file|onlinetext)(?:_?/|_)(?P<file_id>[^/].*)$"
"""``Ada Lovelace_1234567_assignsubmission_file/backprop.ipynb``, or in one folder with ``_file_backprop.ipynb``."""
CANVAS = r"(?:^|/)(?:\w+?_)??(?:(?i:late)_)?(?P<student_id>\d+|anon_[A-Za-z0-9]+)_\d+_(?P<file_id>[^/].*)$"
"""``lovelaceada_LATE_12345_678910_backprop-1.ipynb``: name, LATE, the student's id, the file's id, its name."""
Service = Literal["canvas", "moodle"]
_SERVICES: Mapping[str, Service] = {MOODLE: "moodle", CANVAS: "canvas"}
NAMED = 5
"""Largest number of a student's files in a message."""
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
        found = sorted(path.name for path in archives.iterdir() if path.suffix in self.zip_ext)
        if len(found) > 1:
            self.log.warning(
                "There are %d archives in %s: %s. If one is a newer download of another, keep only the newest and "
                "collect again with --force: otherwise all versions of a student's files are collected.",
                *(len(found), archive_path, ", ".join(found)),
            )
        course = self.parent.coursedir
        limits = Limits(course.max_file_size * 1000, course.max_dir_size * 1000)
        released = Path(course.format_path(course.release_directory, ".", course.assignment_id))
        names = {path.name for path in released.iterdir()} if released.is_dir() else set()
        collector = Collector(config=self.config)
        patterns = [collector.named_regexp] if collector.named_regexp else collector.patterns
        unpacking = Unpacking(Path(extracted_path), limits, patterns, self.zip_ext, names)
        for entry in walk(archives):
            if entry.kind == "file" and len(entry.path.parts) == 1 and entry.path.suffix in self.zip_ext:
                self.log.info("Extracting from: %s", archives / entry.path)
                unpacking.open_downloaded(archives / entry.path)
            elif entry.kind != "folder":
                unpacking.copy(archives, entry)
        for line in unpacking.said():
            self.log.warning("%s", line)


class Collector(FileNameCollectorPlugin):
    """Finds the student of a file by its path in the archive, and gives the notebook its released name."""

    patterns = List(
        Unicode(),
        default_value=[MOODLE, CANVAS],
        help="Regular expressions with the groups student_id and file_id, searched for in a file's path, in turn.",
    ).tag(config=True)
    valid_ext = List(
        [".ipynb", ".py"], help="Extensions of the files that are collected; Python files are exports of notebooks."
    ).tag(config=True)

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """The student and the name of a file; None, with a warning, if they are not known.

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
            self._make_folder(found["student_id"])
            return found
        self.log.warning("Not recognised: %s. %s", path, self._why(path))
        return None

    def _make_folder(self, student: str) -> None:
        """Make the student's folder, which nbgrader would open to everybody."""
        course = self.parent.coursedir
        folder = course.format_path(course.submitted_directory, student, course.assignment_id)
        make_folder(Path(folder), shared=course.groupshared)

    def _by_nbgrader(self, submitted_file: str) -> dict[str, str] | None:
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
        if path.suffix.lower() not in self.valid_ext:
            return f"Its extension is not one of {', '.join(self.valid_ext)}."
        place = path.relative_to(self._root).as_posix()
        students = {match["student_id"] for match in matches(place, self.patterns)}
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

    def _survey(self) -> dict[Path, dict[str, str]]:
        """Student and name of every extracted file that is recognised."""
        root, course = self._root, self.parent.coursedir
        released = find_all_notebooks(course.format_path(course.release_directory, ".", course.assignment_id))
        handed_in: dict[str, dict[Path, str]] = {}
        others: dict[str, dict[Path, str]] = {}
        for path in sorted(root.rglob("*")):
            match = owner(path.relative_to(root).as_posix(), self.patterns)
            if match and path.is_file() and _is_theirs(path, match):
                kind = handed_in if path.suffix.lower() in self.valid_ext else others
                kind.setdefault(match["student_id"], {})[path] = match["file_id"]
        without = {student: _apart(files, root) for student, files in others.items() if student not in handed_in}
        if without:
            # at exit: a warning now would be lost in nbgrader's long list of copied files
            atexit.register(self.log.warning, _without_notebook(without))
        collected = {
            **{student: self._named(student, files, root, released) for student, files in handed_in.items()},
            **without,
        }
        for group in alike(collected):
            self.log.warning("%s", alike_sentence(group))
        return {
            path: {"student_id": student, "file_id": name}
            for student, files in collected.items()
            for path, name in files.items()
        }

    def _named(self, student: str, files: Mapping[Path, str], root: Path, released: Sequence[str]) -> dict[Path, str]:
        """The names of a student's ``files``; a warning if the notebook is not among them."""
        named = names(_apart(files, root), released)
        for title in set(released) - set(named.values()):
            self.log.warning(
                "%s handed in no %s, but %s: `handgrad grade` searches these for it, nbgrader's autograde does not.",
                *(student, title, ", ".join(sorted(named.values()))),
            )
        return named


def _is_theirs(path: Path, match: re.Match[str]) -> bool:
    """Whether a file is a student's work: no metadata, no date, no configuration, and the student's id is a name."""
    name = PurePosixPath(match["file_id"])
    is_work = not _is_metadata(path, match["file_id"]) and not any(map(is_configuration, name.parts))
    return is_work and name.name != TIMESTAMP and bool(match["student_id"].strip(". /"))


def _is_metadata(path: Path, name: str) -> bool:
    """Whether a file is metadata of another system (``._name``), by its name in the archive or the student's."""
    return path.name.startswith(".") or PurePosixPath(name).name.startswith(".")


def _is_printable(record: logging.LogRecord) -> bool:
    """Let no name in a message do anything to a terminal."""
    record.msg, record.args = printable(record.getMessage()), ()
    return True


def _is_not_repeated(record: logging.LogRecord) -> bool:
    """Drop nbgrader's message about files that are not recognised: there is a better one already."""
    return not str(record.msg).startswith("Skipped submission with no match information provided")


def _without_notebook(students: Mapping[str, Mapping[Path, str]]) -> str:
    """The message about students who handed in something, but no notebook."""

    def few(names: Sequence[str]) -> str:
        return ", ".join(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"

    lines = [f"{student} ({few(list(files.values()))})" for student, files in sorted(students.items())]
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
    plain = f"{_COPY.sub('', path.stem)}{path.suffix}"
    return next((original for original in (path.name, plain) if original in released), name)


def came_from(root: Path, config: Config, assignment: str) -> dict[str, Service]:
    """For each student in an assignment's archives the service of the id: ``moodle`` or ``canvas``."""
    return services(archive_folder(root, config, assignment), Collector(config=config).patterns)


def archive_folder(root: Path, config: Config, assignment: str) -> Path:
    """The folder of an assignment's archives as they were downloaded."""
    app = ZipCollectApp(config=config)
    return root / app.collect_directory_structure.format(
        downloaded=app.downloaded_directory, assignment_id=assignment, collect_step=app.archive_directory
    )


def archived(folder: Path, patterns: Sequence[str]) -> Iterator[tuple[str, str, Service | None]]:
    """The files of students in the archives in ``folder``.

    Of each the student, the path from where the service names the student, and the service; None for another pattern.
    """
    for path in _paths(folder):
        if match := owner(path, patterns):
            yield match["student_id"], match[0].lstrip("/"), _SERVICES.get(match.re.pattern)


def services(folder: Path, patterns: Sequence[str]) -> dict[str, Service]:
    """For each student in the archives in ``folder`` the service of the id: ``moodle`` or ``canvas``.

    Canvas's id is that of the user, Moodle's that of the participant in this assignment. Students are left out who are
    named by both services, by an instructor's own pattern, or by Canvas without a number.
    """
    kinds: defaultdict[str, set[Service | None]] = defaultdict(set)
    for student, _, service in archived(folder, patterns):
        kinds[student].add(service)
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
