"""Unpack what a learning management system offers for download: an archive in which students' own archives lie.

Each student's files are counted by themselves, however they are packed: one who hands in too much loses what is over
the limits, and nobody else does.
"""

import codecs
import gzip
import os
import re
import struct
import tarfile
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Self

from nbgrader.coursedir import CourseDirectory

from handgrad.course.files import make_folder
from handgrad.notebook.reading import is_notebook, notebook_name
from handgrad.notebook.untrusted_files import DEEPEST, Entry, in_quotes, is_configuration
from handgrad.report.names import few

__all__ = ["Limits", "Unpacking", "matches", "owner", "with_reasons"]

NESTED = 3
"""Largest depth of a student's archives in the downloaded one: an archive may contain itself."""
_BYTES = 1 << 20
_DIRECTORY_BYTES = 1 << 22
"""Bytes of the list of contents of a student's archive (4 MiB, some 40,000 members): it is read into memory."""
_START = 1 << 10
"""Bytes in which a notebook begins."""
_END, _END_BYTES = b"PK\5\6", 22
_JOINERS = "\u00ad\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff"
"""Characters that show nothing and are left out of names: soft hyphens, joiners, single marks of direction."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The ways of compression that are opened: those that all systems write; others may ask for gigabytes of memory."""


@dataclass(frozen=True)
class Limits:
    """How much is unpacked.

    Attributes
    ----------
    file, student
        Bytes of one file, and of all files of a student.
    members
        Number of files of a student.
    ratio, small
        How many times larger than in its archive a file may be, if it has more than ``small`` bytes.
    """

    file: int
    student: int
    members: int = 2000
    ratio: int = 200
    small: int = 10 << 20

    @classmethod
    def of(cls, coursedir: CourseDirectory) -> Self:
        """The limits of a course."""
        return cls(coursedir.max_file_size * 1000, coursedir.max_dir_size * 1000)


class _TooMuch(Exception):
    """What is unpacked is over a limit; the text says which."""


@dataclass
class _Used:
    """What has been unpacked of a student."""

    bytes: int = 0
    members: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Member:
    """A member of an archive; ``why`` is why it is not unpacked."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]
    why: str = ""


@dataclass
class Unpacking:
    """Unpacks into the folder ``target``.

    Attributes
    ----------
    patterns
        Regular expressions that find the student in a path: see :func:`owner`.
    endings
        Those of archives, in small letters.
    released
        Names of files that every student has: that they are left out is not told.
    """

    target: Path
    limits: Limits
    patterns: Sequence[str]
    endings: Sequence[str]
    released: Collection[str] = ()
    _used: defaultdict[str, _Used] = field(default_factory=lambda: defaultdict(_Used))
    _unopened: list[str] = field(default_factory=list)

    def copy(self, folder: Path, entry: Entry) -> None:
        """Copy a file that lies beside the archives, and open it if it is an archive of a student's."""
        if entry.kind != "file":
            self._leave_out(entry.path.as_posix(), "it is a link" if entry.kind == "link" else "it is no file")
            return
        member = _Member("", entry.status.st_size, lambda: (folder / entry.path).open("rb"))
        self._unpack(member, PurePosixPath(entry.path.as_posix()), NESTED)

    def open_downloaded(self, path: Path) -> None:
        """Extract a downloaded archive, with the archives in it."""
        self._open(path, PurePosixPath(_stem(path.name)), NESTED, is_downloaded=True)

    def said(self) -> Iterator[str]:
        """A sentence for each student of whom something was left out, and for each archive that cannot be opened."""
        yield from self._unopened
        for student, used in self._used.items():
            if used.left_out:
                yield f"Left out of {in_quotes(student)}: {with_reasons(used.left_out)}."

    def left_out(self) -> Iterator[str]:
        """The paths of what was left out."""
        for used in self._used.values():
            yield from used.left_out

    def _open(self, path: Path, inside: PurePosixPath, levels: int, *, is_downloaded: bool = False) -> bool:
        """Extract the archive at ``path`` into the folder ``inside``; whether it could be opened."""
        where = str(path) if is_downloaded else str(self.target / inside.parent / path.name)
        try:
            with path.open("rb") as file:
                for member in _members(file, self.limits, is_downloaded=is_downloaded):
                    name, why = _safe(member.name)
                    if why:
                        self._leave_out(f"{inside}/{member.name}", why)
                    elif name is not None:
                        self._unpack(member, inside / name, levels)
        # unpacking may raise almost anything
        except Exception as error:
            self._unopened.append(
                f"{where if where.isprintable() else repr(where)} cannot be opened ({in_quotes(str(error))[1:-1]}): "
                "ask for it again, or extract it by hand."
            )
            return False
        return True

    def _student(self, path: str) -> str:
        """Whose file it is; where that is not known, the file or folder in the downloaded archive."""
        # the patterns end at a line's end
        found = owner(path.replace("\n", " "), self.patterns)
        return found["student_id"] if found else "/".join(PurePosixPath(path).parts[:2])

    def _leave_out(self, path: str, why: str) -> None:
        self._used[self._student(path)].left_out[path] = why

    def _unpack(self, member: _Member, path: PurePosixPath, levels: int) -> None:
        """Write one member to ``path``, and open it if it is an archive."""
        used = self._used[self._student(path.as_posix())]
        target = self.target / path
        if why := member.why or self._why_not(member, path, used):
            if path.name not in self.released:
                used.left_out[str(path)] = why
            return
        try:
            make_folder(target.parent)
            self._write(member, target, used)
        except FileExistsError:
            used.left_out[str(path)] = "there are two of this name"
            return
        except (
            _TooMuch,
            OSError,
            RuntimeError,
            NotImplementedError,
            ValueError,
            EOFError,
            zipfile.BadZipFile,
        ) as error:
            used.left_out[str(path)] = getattr(error, "strerror", "") or str(error)
            return
        except Exception as error:
            # zlib and lzma raise exceptions of their own
            used.left_out[str(path)] = f"it is damaged: {error}"
            return
        if path.suffix.lower() not in self.endings:
            _rename_notebook(target)
            return
        if not levels:
            used.left_out[str(path)] = f"archives in archives are opened {NESTED} deep"
            return
        # an archive counts by what is in it
        size = target.stat().st_size
        used.bytes -= size
        used.members -= 1
        before = used.members
        if self._open(target, path.parent / _stem(path.name), levels - 1) and used.members > before:
            target.unlink()
            return
        # who handed in nothing else has at least this
        used.bytes += size
        used.members += 1

    def _why_not(self, member: _Member, path: PurePosixPath, used: _Used) -> str:
        if self._is_configuration(path):
            return "a program would take it for its configuration"
        if len(path.parts) > DEEPEST:
            return f"it is more than {DEEPEST} folders deep"
        if used.members >= self.limits.members:
            return f"there are more than {self.limits.members} files"
        if member.size > self.limits.file:
            return "it is larger than c.CourseDirectory.max_file_size"
        if used.bytes + member.size > self.limits.student:
            return "all is larger than c.CourseDirectory.max_dir_size"
        return ""

    def _is_configuration(self, path: PurePosixPath) -> bool:
        """Whether a file has such a name, in its archive or when it is collected."""
        found = owner(path.as_posix(), self.patterns)
        names = (*path.parts, *(PurePosixPath(found["file_id"]).parts if found else ()))
        return any(map(is_configuration, names))

    def _write(self, member: _Member, target: Path, used: _Used) -> None:
        """Write a member; a file that turns out to be larger than its archive said is taken away again."""
        used.members += 1
        most = min(self.limits.file, self.limits.student - used.bytes)
        stream = member.open()
        if stream is None:
            raise _TooMuch("it is no file")
        written = 0
        with stream, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
            try:
                while chunk := stream.read(_BYTES):
                    written += len(chunk)
                    if written > most:
                        raise _TooMuch("it is larger than its archive says")
                    copy.write(chunk)
            except BaseException:
                target.unlink()
                raise
            finally:
                used.bytes += written


def with_reasons(left_out: Mapping[str, str]) -> str:
    """The first of the names of what was left out, with the reason for each, and how many more there are."""
    return few(f"{in_quotes(name)} ({why})" for name, why in left_out.items())


def _rename_notebook(path: Path) -> None:
    """Give a notebook the suffix of one, if a browser or a mail program has changed it and the name is free."""
    name = notebook_name(path.name)
    if name == path.name or os.path.lexists(path.with_name(name)):
        return
    with path.open("rb") as file:
        start = file.read(_START).removeprefix(codecs.BOM_UTF8).lstrip()
    # what is text under such a name is read as what it is
    if start.startswith(b"{"):
        path.rename(path.with_name(name))


def _stem(name: str) -> str:
    """The folder for an archive of this name."""
    stem = PurePosixPath(name).stem
    return stem.removesuffix(".tar") or name


def _safe(name: str) -> tuple[PurePosixPath | None, str]:
    """A member's path, None for a folder; and why it is not unpacked."""
    plain = "".join(map(_plain, name.replace("\\", "/")))
    path = PurePosixPath(plain)
    if path.is_absolute() or PureWindowsPath(plain).drive:
        return None, "its name is absolute"
    if ".." in path.parts:
        return None, "its name leads out of the folder"
    if not plain.isprintable():
        return None, "its name has invisible characters"
    # names are UTF-8 on the disk, whatever the locale says
    return (None if plain.endswith("/") or not path.parts else PurePosixPath(os.fsdecode(plain.encode()))), ""


def _plain(sign: str) -> str:
    """A character of a name: names in many languages have joiners and marks of direction, which show nothing.

    What controls a terminal, or turns the order of letters around, stays: such a name is nobody's by chance.
    """
    kind = unicodedata.category(sign)
    if kind == "Zs":
        return " "
    if kind in ("Cn", "Co"):
        return "_"
    return "" if sign in _JOINERS else sign


def _members(file: IO[bytes], limits: Limits, *, is_downloaded: bool) -> Iterator[_Member]:
    """The members of an archive, notebooks first where its list of contents can be read.

    Almost any exception is raised for what is no archive that can be opened.
    """
    if file.read(2) == b"\x1f\x8b":
        file.seek(0)
        yield from _tar_members(file, limits)
        return
    if not is_downloaded:
        _require_short_directory(file)
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        for info in sorted(archive.infolist(), key=lambda info: not is_notebook(info.filename)):
            yield _Member(info.filename, info.file_size, partial(archive.open, info), _why_no_member(info, limits))


def _why_no_member(info: zipfile.ZipInfo, limits: Limits) -> str:
    kind = info.external_attr >> 28
    if info.flag_bits & 1:
        return "it has a password"
    # a Unix system's kind of file: 4 a folder, 8 a file, 10 a link
    if kind == 10:
        return "it is a link"
    if info.create_system == 3 and kind not in (0, 4, 8):
        return "it is no file"
    if info.compress_type not in _METHODS:
        return "it is compressed in an unusual way"
    if info.file_size > limits.small and info.file_size > limits.ratio * max(info.compress_size, 1):
        return f"it would be more than {limits.ratio} times as large as in its archive"
    return ""


def _require_short_directory(file: IO[bytes]) -> None:
    """Refuse an archive whose list of contents would fill the memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES - (1 << 16)))
    end = file.read()
    place = end.rfind(_END)
    if place < 0 or len(end) - place < _END_BYTES:
        raise zipfile.BadZipFile("File is not a zip file")
    if struct.unpack_from("<L", end, place + 12)[0] > _DIRECTORY_BYTES:
        raise _TooMuch("it has too many files")


class _Counted:
    """A stream that ends with an error after so many bytes: what is skipped must be unpacked too."""

    def __init__(self, stream: Any, most: int) -> None:
        self.stream, self.left = stream, most

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise _TooMuch("it unpacks to more than c.CourseDirectory.max_dir_size")
        return data


def _tar_members(file: IO[bytes], limits: Limits) -> Iterator[_Member]:
    with gzip.open(file) as unpacked:
        stream: Any = _Counted(unpacked, limits.student + (limits.members << 10))
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                if info.isdir():
                    continue
                why = "" if info.isfile() else "it is a link" if info.islnk() or info.issym() else "it is no file"
                yield _Member(info.name, info.size, partial(archive.extractfile, info), why)


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
