"""Plugins of nbgrader's ``zip_collect``: who handed in what, in the archives that Moodle and Canvas make.

A file that no pattern knows is left where it is and named, never dropped in silence; an archive that cannot be opened
is such a file.
"""

import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import find_all_notebooks, unzip
from traitlets import List, Unicode

__all__ = ["CANVAS", "MOODLE", "Collector", "Extractor", "names"]

MOODLE = r"(?:^|/)[^/_]+_(?P<student_id>\d+)_assignsubmission_file(?:_?/|_)(?P<file_id>[^/].*)$"
"""``Ada Lovelace_1234567_assignsubmission_file/backprop.ipynb``, or in one folder with ``_file_backprop.ipynb``."""
CANVAS = r"(?:^|/)(?:\w+?_)??(?:(?i:late)_)?(?P<student_id>\d+|anon_[A-Za-z0-9]+)_\d+_(?P<file_id>[^/].*)$"
"""``lovelaceada_LATE_12345_678910_backprop-1.ipynb``: name, LATE, the student's number, the file's, its name."""

DEEPEST = 3
"""Archives inside archives that are opened at most: one may hold itself."""
_COPY = re.compile(r"(?: ?\(\d+\)|[-_]\d+|-Copy\d+| - Copy| copy(?: \d+)?)$", re.IGNORECASE)
"""What browsers, Canvas, Jupyter, Windows and macOS add to the name of a copy."""


class Extractor(ExtractorPlugin):
    """Open archives as nbgrader does; one that cannot be opened is left as a file, and the others are opened."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Copy everything in one folder to another, archives opened, each into a folder of its own name."""
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
        students = {match["student_id"] for match in self._matches(path.relative_to(self._root).as_posix())}
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
        for path in sorted(root.rglob("*")):
            if found := self._recognised(path, path.relative_to(root).as_posix()):
                student, name = found
                handed_in.setdefault(student, {})[path] = name
        return {
            path: {"student_id": student, "file_id": name}
            for student, files in handed_in.items()
            for path, name in self._named(student, files, root, released).items()
        }

    def _recognised(self, path: Path, place: str) -> tuple[str, str] | None:
        """Whose the file at ``place`` in the archives is, and what that student called it."""
        if path.name.startswith(".") or path.suffix.lower() not in self.valid_ext or not path.is_file():
            return None
        matches = list(self._matches(place))
        if len({match["student_id"] for match in matches}) != 1:
            return None
        return matches[0]["student_id"], matches[0]["file_id"]

    def _matches(self, place: str) -> Iterator[re.Match[str]]:
        """What the patterns find in a path, and in it without its first folder, which an archive may have named.

        The first in the path counts: what comes behind it was named by the student.
        """
        for one in (place, place.partition("/")[2]):
            if found := [match for pattern in self.patterns if (match := re.search(pattern, one))]:
                yield min(found, key=lambda match: match.start())

    def _named(self, student: str, files: Mapping[Path, str], root: Path, released: Sequence[str]) -> dict[Path, str]:
        """The names of a student's ``files``; a warning where the notebook is not among them."""
        twice = {name for name, count in Counter(files.values()).items() if count > 1}
        apart = {path: path.relative_to(root).as_posix() if name in twice else name for path, name in files.items()}
        named = names(apart, released)
        for title in set(released) - set(named.values()):
            self.log.warning(
                "%s handed in no %s, but %s: `handgrad grade` looks into these, nbgrader's autograde does not.",
                *(student, title, ", ".join(sorted(named.values()))),
            )
        return named


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
