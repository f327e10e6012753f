"""Archives that students hand in: what is over a limit is named and left out, and nobody else loses anything."""

import gzip
import io
import os
import stat
import tarfile
import time
import zipfile
from pathlib import Path, PurePath

import pytest

from handgrad.course.nbgrader import unpacking
from handgrad.course.nbgrader.collecting import CANVAS, MOODLE
from handgrad.course.nbgrader.unpacking import Limits, Unpacking
from handgrad.notebook.untrusted_files import Entry
from helpers.inputs import named

EVE, ADA = "Eve Moor_1111_assignsubmission_file", "Ada Lovelace_2222_assignsubmission_file"
LIMITS = Limits(file=16 << 20, student=24 << 20, members=50, small=1 << 16)


def zipped(files: dict[str, bytes], **kinds: int) -> bytes:
    """An archive; a kind is the Unix mode of a member."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = kinds.get(name, 0o100644) << 16
            archive.writestr(info, content)
    return held.getvalue()


class Unpacked:
    """What was unpacked of Eve's hand-in, and what was said; Ada's is beside it."""

    def __init__(self, folder: Path, files: dict[str, bytes], limits: Limits = LIMITS, **kinds: int) -> None:
        mine = {f"{EVE}/{name}": content for name, content in files.items()}
        kinds = {f"{EVE}/{name}": kind for name, kind in kinds.items()}
        folder.mkdir(exist_ok=True)
        (folder / "class.zip").write_bytes(zipped(mine | {f"{ADA}/ps.ipynb": b"ada"}, **kinds))
        found = Unpacking(folder / "out", limits, [MOODLE, CANVAS], [".zip", ".gz"], {"exercise.json"})
        found.open_downloaded(folder / "class.zip")
        self.root = folder / "out/class"
        assert (self.root / ADA / "ps.ipynb").read_bytes() == b"ada"
        self.files = {
            str(path.relative_to(self.root / EVE)): path for path in (self.root / EVE).rglob("*") if path.is_file()
        }
        self.said = "\n".join(found.said())
        assert "Ada" not in self.said


def test_unpacked(tmp_path: Path) -> None:
    """Files, folders and archives in archives are unpacked, for the instructor only."""
    inner = zipped({"b.ipynb": b"b", "more.zip": zipped({"c.ipynb": b"c"})})
    found = Unpacked(tmp_path, {"a.ipynb": b"a", "deep/d.txt": b"d", "work.zip": inner, "folder/": b""})
    assert set(found.files) == {"a.ipynb", "deep/d.txt", "work/b.ipynb", "work/more/c.ipynb"}
    assert found.said == ""
    for path in (found.root, *found.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_names(tmp_path: Path) -> None:
    """A member with a name that leads elsewhere, or that acts, is left out and named."""
    bad = ("../../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "C:x", "x\x1b[31m.txt", "\u202ex.txt", "a\nb")
    for name in bad:
        with named(name):
            folder = tmp_path / str(bad.index(name))
            found = Unpacked(folder, {"work.zip": zipped({name: b"1", "ps.ipynb": b"2"})})
            assert set(found.files) == {"work/ps.ipynb"}
            assert "Left out of '1111': " in found.said
            assert found.said.isprintable()
            assert {path.name for path in folder.iterdir()} == {"class.zip", "out"}


def test_names_that_show_less(tmp_path: Path) -> None:
    """Joiners, marks of direction and odd spaces in a name are nobody's attack: the file is there without them."""
    names = {
        "نام\u200cمن.ipynb": "ناممن.ipynb",
        "\u200fעברת.ipynb": "עברת.ipynb",
        "Bild 2.14\u202fPM.png": "Bild 2.14 PM.png",
        "a\u00a0b.txt": "a b.txt",
        # newer than Python's tables
        "\U0003fffd.txt": "_.txt",
    }
    found = Unpacked(tmp_path, {"work.ZIP": zipped(dict.fromkeys(names, b"1"))})
    assert set(found.files) == {f"work/{name}" for name in names.values()}
    assert found.said == ""


def test_suffixes(tmp_path: Path) -> None:
    """A notebook whose suffix was changed gets it back, if it is one and the name is free."""
    book, text = b'\xef\xbb\xbf {"cells": []}', b"dprobs = 1"
    given = {
        "a.ipynb.json": book,
        "B.IPYNB": book,
        "c.ipynb (1).txt": book,
        "d.ipynb": book,
        "d.ipynb.txt": book,
        "e.ipynb.txt": text,
        "f.json": book,
    }
    found = Unpacked(tmp_path, given)
    assert set(found.files) == {"a.ipynb", "B.ipynb", "c.ipynb", "d.ipynb", "d.ipynb.txt", "e.ipynb.txt", "f.json"}
    assert found.said == ""


def test_nothing_in_an_archive(tmp_path: Path) -> None:
    """An archive of which nothing was unpacked stays, so that its student has a file."""
    archives = {"a.zip": zipped({}), "b.zip": zipped({"folder/": b""}), "c.zip": zipped({"conftest.py": b""})}
    found = Unpacked(tmp_path, {**archives, "d.zip": zipped({"in.zip": archives["a.zip"]})})
    assert set(found.files) == {"a.zip", "b.zip", "c.zip", "d/in.zip"}


def test_links_and_configurations(tmp_path: Path) -> None:
    """Links, and files that some program takes for its own, are left out; that a released file is, is not told."""
    kinds = {"passwd": stat.S_IFLNK | 0o777, "pipe": stat.S_IFIFO | 0o644}
    files = dict.fromkeys(("passwd", "pipe", "nbgrader_config.py", "deep/conftest.py", "exercise.json"), b"/etc/passwd")
    found = Unpacked(tmp_path, {**files, "ps.ipynb": b""}, **kinds)
    assert set(found.files) == {"ps.ipynb"}
    for why in ("passwd' (it is a link)", "pipe' (it is no file)", "nbgrader_config.py' (a program", "conftest.py' (a"):
        assert why in found.said
    assert "exercise.json" not in found.said


def test_flat_names(tmp_path: Path) -> None:
    """A configuration is known by the name that it would be collected under, too."""
    (tmp_path / "class.zip").write_bytes(zipped({"moor_1111_22_conftest.py": b"", "moor_1111_23_ps.ipynb": b""}))
    found = Unpacking(tmp_path / "out", LIMITS, [MOODLE, CANVAS], [".zip"])
    found.open_downloaded(tmp_path / "class.zip")
    assert [path.name for path in (tmp_path / "out/class").iterdir()] == ["moor_1111_23_ps.ipynb"]
    assert any("conftest.py" in line for line in found.said())


def _bomb(size: int) -> bytes:
    return zipped({"zeros.bin": b"\0" * size, "ps.ipynb": b"{}"})


def _large(size: int) -> bytes:
    """What shrinks, but not so much that it could be nothing but a bomb."""
    return os.urandom(size // 50) + b"\0" * size


def _damaged() -> bytes:
    data = bytearray(zipped({"a.txt": os.urandom(1000), "ps.ipynb": b"{}"}))
    data[data.index(b"a.txt") + 100] ^= 255
    return bytes(data)


def _many(number: int) -> bytes:
    return zipped({**{f"{index}.txt": b"" for index in range(number)}, "z/ps.ipynb": b"{}"})


def _nested(depth: int) -> bytes:
    content = zipped({"deepest.ipynb": b"{}"})
    for _ in range(depth):
        content = zipped({"in.zip": content, "ps.ipynb": b"{}"})
    return content


def _tar(*names: str, size: int = 0) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size if name.endswith(".bin") else 2
            archive.addfile(info, io.BytesIO(b"{}" if info.size == 2 else b"\0" * size))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return held.getvalue()


BOMBS: dict[str, tuple[str, bytes, str, bool]] = {
    "large": (
        "w.zip",
        zipped({"x.bin": _large(17 << 20), "ps.ipynb": b"{}"}),
        "larger than c.CourseDirectory.max_file_size",
        True,
    ),
    "ratio": ("w.zip", _bomb(1 << 19), "more than 200 times as large", True),
    "many": ("w.zip", _many(1000), "there are more than 50 files", True),
    "too-many": ("w.zip", _many(90_000), "it has too many files", False),
    "nested": ("w.zip", _nested(10), "are opened 3 deep", True),
    "deep": ("w.zip", zipped({"d/" * 30 + "x.txt": b"", "ps.ipynb": b""}), "more than 20 folders deep", True),
    "all": (
        "w.zip",
        zipped({**{f"{index}.bin": _large(7 << 20) for index in range(5)}, "ps.ipynb": b""}),
        "all is larger than c.CourseDirectory.max_dir_size",
        True,
    ),
    "tar": ("w.tar.gz", _tar("ps.ipynb", "../x", "x.bin", size=2 << 20), "its name leads out", True),
    "tar-bomb": ("w.tar.gz", _tar("ps.ipynb", "x.bin", "y.bin", "z.bin", size=1 << 20), "link' (it is a link)", True),
    "endless-tar": ("w.tar.gz", _tar("ps.ipynb", *["x.bin"] * 9, size=4 << 20), "unpacks to more than", True),
    "no-tar": ("w.gz", gzip.compress(b"hello"), "cannot be opened", False),
    "no-zip": ("w.zip", b"PK\3\4 and no more", "cannot be opened", False),
    "half": ("w.zip", _bomb(1000)[:-30], "cannot be opened", False),
    "damaged": ("w.zip", _damaged(), "a.txt' (", True),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb: str, tmp_path: Path) -> None:
    """What is over a limit is named, quickly, and takes no room; the student's notebook is there if it can be."""
    name, content, said, is_there = BOMBS[bomb]
    begun = time.process_time()
    found = Unpacked(tmp_path, {name: content, "own.ipynb": b"{}"})
    assert time.process_time() - begun < 5
    assert said in found.said
    assert "own.ipynb" in found.files
    assert any(path.endswith("ps.ipynb") for path in found.files) == is_there
    assert sum(path.stat().st_size for path in found.files.values()) <= LIMITS.student
    assert len(found.files) <= LIMITS.members
    assert all(len(line) < 1000 for line in found.said.splitlines())


def test_a_password(tmp_path: Path) -> None:
    """A member with a password is named; an archive of which nothing was unpacked stays."""
    data = bytearray(zipped({"ps.ipynb": b"{}"}))
    for place, mark in ((6, b"PK\3\4"), (8, b"PK\1\2")):
        data[data.index(mark) + place] |= 1
    found = Unpacked(tmp_path, {"w.zip": bytes(data), "own.ipynb": b""})
    assert "it has a password" in found.said
    assert set(found.files) == {"own.ipynb", "w.zip"}


def test_beside_the_archives(tmp_path: Path) -> None:
    """What an instructor has unpacked already is copied; a link in it is not followed."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/moor_1111_22_ps.ipynb").write_bytes(b"{}")
    (tmp_path / "in/moor_1111_23_w.zip").write_bytes(zipped({"x.ipynb": b"{}"}))
    (tmp_path / "in/moor_1111_24_l.ipynb").symlink_to("/etc/passwd")
    found = Unpacking(tmp_path / "out", LIMITS, [MOODLE, CANVAS], [".zip"])
    kinds = {"moor_1111_22_ps.ipynb": "file", "moor_1111_23_w.zip": "file", "moor_1111_24_l.ipynb": "link"}
    for name, kind in kinds.items():
        found.copy(tmp_path / "in", Entry(PurePath(name), kind, (tmp_path / "in" / name).lstat()))  # type: ignore[arg-type]
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"moor_1111_22_ps.ipynb", "moor_1111_23_w/x.ipynb"}
    assert any("moor_1111_24_l.ipynb' (it is a link)" in line for line in found.said())


def test_nobody_knows_whose(tmp_path: Path) -> None:
    """Files whose student is not known are counted by the first folder: no class is one student."""
    (tmp_path / "class.zip").write_bytes(zipped({f"s{number}/x.bin": b"\0" * 1000 for number in range(80)}))
    found = Unpacking(tmp_path / "out", LIMITS, [MOODLE], [".zip"])
    found.open_downloaded(tmp_path / "class.zip")
    assert len(list((tmp_path / "out/class").rglob("*.bin"))) == 80
    assert unpacking.NESTED == 3
