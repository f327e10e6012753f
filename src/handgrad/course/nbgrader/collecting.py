"""Plugins of nbgrader's ``zip_collect``: who handed in what, in the archives that Moodle and Canvas make.

A file that no pattern knows is left where it is and named, never dropped in silence; an archive that cannot be opened
is such a file. Of a student without any notebook everything is collected: whoever handed in something has a folder.
"""

import atexit
import logging
import re
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import find_all_notebooks, unzip
from traitlets import List, Unicode
from traitlets.config import Config

from handgrad.course.nbgrader.lms_archives import CANVAS, MOODLE, Service, matches, owner, services

__all__ = ["Collector", "Extractor", "came_from", "names"]

DEEPEST = 3
"""Archives inside archives that are opened at most: one may hold itself."""
NAMED = 5
"""Files of one student that are named in a sentence."""
_COPY = re.compile(r"(?: ?\(\d+\)|[-_]\d+|-Copy\d+| - Copy| copy(?: \d+)?)$", re.IGNORECASE)
"""What browsers, Canvas, Jupyter, Windows and macOS add to the name of a copy."""


class Extractor(ExtractorPlugin):
    """Open archives as nbgrader does; one that cannot be opened is left as a file, and the others are opened."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Copy everything in one folder to another, archives opened, each into a folder of its own name."""
        if len(archives := sorted(one.name for one in Path(archive_path).iterdir() if one.suffix in self.zip_ext)) > 1:
            self.log.warning(
                "There are %d archives in %s: %s. If one was downloaded later than another, keep only the newest there "
                "and collect again with --force: of a student who is in several, the versions are collected side by "
                "side.",
                *(len(archives), archive_path, ", ".join(archives)),
            )
        shutil.copytree(archive_path, extracted_path, dirs_exist_ok=True)
        seen: set[Path] = set()
        for _ in range(DEEPEST):
            for path in sorted(set(Path(extracted_path).rglob("*")) - seen):
                seen.add(path)
                if path.suffix in self.zip_ext and path.is_file():
                    self._open(path)

    def _open(self, path: Path) -> None:
        self.log.info("Extracting from: %s", path)
        try:
            unzip(str(path), str(path.parent), zip_ext=self.zip_ext, create_own_folder=True)
        # whatever the packers of this world make of a name that ends with .zip
        except Exception as error:
            self.log.warning("%s cannot be opened (%s): ask for it again, or open it by hand.", path, error)
        else:
            path.unlink()


class Collector(FileNameCollectorPlugin):
    """Tell whose a file is by its path in the archive, and give the notebook the name that it was released with."""

    patterns = List(
        Unicode(),
        default_value=[MOODLE, CANVAS],
        help="Regular expressions with the groups student_id and file_id, searched for in a file's path, in turn.",
    ).tag(config=True)
    valid_ext = List(
        [".ipynb", ".py"], help="Extensions of the files that are collected; Python files are exports of notebooks."
    ).tag(config=True)

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """The student and the name of a file; None where they are not known, which a warning says."""
        if not hasattr(self, "_known"):
            self.log.addFilter(_not_said_again)
            self._known = self._survey()
        path = Path(submitted_file)
        if path in self._known:
            return self._known[path]
        self.log.warning("Not recognised: %s. %s", path, self._why(path))
        return None

    def _why(self, path: Path) -> str:
        if path.name.startswith("."):
            return "Another system wrote this note about a file."
        if path.suffix.lower() not in self.valid_ext:
            return f"It is none of {', '.join(self.valid_ext)}."
        place = path.relative_to(self._root).as_posix()
        students = {match["student_id"] for match in matches(place, self.patterns)}
        if students:
            return f"Its path names {' and '.join(sorted(students))}: give the archive another name."
        return (
            "No pattern of c.Collector.patterns finds a student in its path: copy it into the student's folder by "
            "hand, or add a pattern."
        )

    @property
    def _root(self) -> Path:
        """The folder of what was extracted."""
        return Path(self.parent._format_collect_path(self.parent.extracted_directory))

    def _survey(self) -> dict[Path, dict[str, str]]:
        """Student and name of every file that was extracted and is recognised."""
        root, course = self._root, self.parent.coursedir
        released = find_all_notebooks(course.format_path(course.release_directory, ".", course.assignment_id))
        handed_in: dict[str, dict[Path, str]] = {}
        others: dict[str, dict[Path, str]] = {}
        for path in sorted(root.rglob("*")):
            match = owner(path.relative_to(root).as_posix(), self.patterns)
            if match and path.is_file() and not _is_a_note(path, match["file_id"]):
                kind = handed_in if path.suffix.lower() in self.valid_ext else others
                kind.setdefault(match["student_id"], {})[path] = match["file_id"]
        without = {student: _apart(files, root) for student, files in others.items() if student not in handed_in}
        if without:
            # the collector is not told when it is over, and what nbgrader copies is a long list
            atexit.register(self.log.warning, _without_notebook(without))
        collected = {
            **{student: self._named(student, files, root, released) for student, files in handed_in.items()},
            **without,
        }
        return {
            path: {"student_id": student, "file_id": name}
            for student, files in collected.items()
            for path, name in files.items()
        }

    def _named(self, student: str, files: Mapping[Path, str], root: Path, released: Sequence[str]) -> dict[Path, str]:
        """The names of a student's ``files``; a warning where the notebook is not among them."""
        named = names(_apart(files, root), released)
        for title in set(released) - set(named.values()):
            self.log.warning(
                "%s handed in no %s, but %s: `handgrad grade` looks into these, nbgrader's autograde does not.",
                *(student, title, ", ".join(sorted(named.values()))),
            )
        return named


def _is_a_note(path: Path, name: str) -> bool:
    """Whether a file is another system's note about one, in the archive or by the name that the student gave it."""
    return path.name.startswith(".") or PurePosixPath(name).name.startswith(".")


def _not_said_again(record: logging.LogRecord) -> bool:
    """Leave out what nbgrader says of every file of which we have said why it is not recognised."""
    return not str(record.msg).startswith("Skipped submission with no match information provided")


def _without_notebook(students: Mapping[str, Mapping[Path, str]]) -> str:
    """Who handed in something, and no notebook among it."""

    def few(names: Sequence[str]) -> str:
        return ", ".join(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"

    told = [f"{student} ({few(list(files.values()))})" for student, files in sorted(students.items())]
    return f"Without a notebook are {'; '.join(told)}: `handgrad grade` lists them as not-submitted."


def _apart(files: Mapping[Path, str], root: Path) -> dict[Path, str]:
    """A student's files by their names; by their paths those of the same name, or of the name of another's folder."""
    taken = {name for name, count in Counter(files.values()).items() if count > 1}
    taken |= {parent.as_posix() for name in files.values() for parent in PurePosixPath(name).parents}
    return {path: path.relative_to(root).as_posix() if name in taken else name for path, name in files.items()}


def names(files: Mapping[Path, str], released: Collection[str]) -> dict[Path, str]:
    """What a student's ``files``, by the names that they were given, are called where they are collected.

    The one that can only be a released notebook, in a folder or as a copy such as ``backprop (1).ipynb``, gets the
    name that was released. Where several could be it, all stay as they are: their contents will tell.
    """
    named = dict(files)
    for title in released:
        if title not in named.values():
            copies = [path for path, name in named.items() if _original(name, released) == title]
            if len(copies) == 1:
                named[copies[0]] = title
    return named


def _original(name: str, released: Collection[str]) -> str:
    """The released notebook that a file of this name seems to be; itself where it seems to be none."""
    path = PurePosixPath(name)
    plain = f"{_COPY.sub('', path.stem)}{path.suffix}"
    return next((one for one in (path.name, plain) if one in released), name)


def came_from(root: Path, config: Config, assignment: str) -> dict[str, Service]:
    """For each student of an assignment whom an archive still names, whose number it is: Moodle's or Canvas's."""
    app = ZipCollectApp(config=config)
    folder = app.collect_directory_structure.format(
        downloaded=app.downloaded_directory, assignment_id=assignment, collect_step=app.archive_directory
    )
    return services(root / folder, Collector(config=config).patterns)
