"""The names files, and the reading and fetching of them."""

import ast
import gc
import hashlib
import importlib.util
import io
import os
import re
import sqlite3
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from handgrad.data import LECTURE_SHA256, read_names, write_lecture_names
from handgrad.errors import DataError, HandgradError
from helpers.inputs import named
from helpers.paths import ROOT

DATA = ROOT / "data"
SERVED = b"emma\nolivia\nava\n"
SERVED_HASH = hashlib.sha256(SERVED).hexdigest()

BAD_FILES = {
    "empty": (b"", None, "is empty"),
    "html": (b"\n<!DOCTYPE html>\n<html></html>\n", 2, "web page was saved"),
    "html-without-doctype": (b"<HTML lang='en'>\n", 1, "web page was saved"),
    "windows-line-ends": (b"emma\r\nolivia\r\n", 1, "Windows line ends"),
    "one-windows-line-end": (b"emma\nolivia\r\nava\n", 2, "Windows line ends"),
    "capitals": (b"emma\nOlivia\n", 2, "has capitals"),
    "inner-space": (b"emma\nmary ann\n", 2, "has spaces"),
    "trailing-space": (b"emma \n", 1, "has spaces"),
    "tab": (b"emma\t18818\n", 1, "has spaces"),
    "only-spaces": (b"emma\n  \nava\n", 2, "has spaces"),
    "non-ascii": ("emma\nava\nzoë\n".encode(), 3, r"non-ASCII character '\xeb'"),
    "non-ascii-lookalike": ("emma\n\u0430va\n".encode(), 2, r"non-ASCII character '\u0430'"),
    "byte-order-mark": (b"\xef\xbb\xbfemma\nava\n", 1, "byte order mark (UTF-8)"),
    "utf-16": ("emma\nava\n".encode("utf-16"), 1, "byte order mark (UTF-16)"),
    "utf-16-without-mark": ("emma\nava\n".encode("utf-16-le"), 1, "NUL bytes"),
    "nul": (b"emma\nav\0a\n", 2, "NUL bytes"),
    "latin-1": ("emma\nzoë\n".encode("latin-1"), 2, "not UTF-8"),
    "comma": (b"emma,F,18818\n", 1, "has the character ','"),
    "digit": (b"emma\nava2\n", 2, "has the character '2'"),
    "hyphen": (b"emma\nmary-ann\n", 2, "has the character '-'"),
    "blank-line-inside": (b"emma\n\nava\n", 2, "blank line"),
    "blank-line-at-the-end": (b"emma\nava\n\n", 3, "blank line"),
    "only-a-newline": (b"\n", 1, "blank line"),
    "link-as-text": (b"../../data/names.txt", 1, "without symbolic links"),
}


class _Server(ThreadingHTTPServer):
    """Serve `body` under /names.txt and count the requests; anything else is a 404."""

    daemon_threads = False  # so that closing the server waits for its threads
    body = SERVED
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/names.txt"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.path != "/names.txt":
            self.send_error(404)
            return
        self.send_response(200)
        # an empty body stands for a download that is cut short: more is promised than sent
        self.send_header("Content-Length", str(len(self.server.body) if self.server.body else 1000))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _Running:
    def __init__(self) -> None:
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()
        self._stopped = False

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.server.shutdown()
            self._thread.join()
            self.server.server_close()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Running]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = _Running()
    yield running
    running.stop()


@pytest.fixture
def derive() -> ModuleType:
    spec = importlib.util.spec_from_file_location("derive_names", DATA / "derive_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _archive(folder: Path, rows: list[tuple[str, str, int, int]], member: str) -> Path:
    database = folder / "tiny.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE usNameData (name TEXT, sex TEXT, births INTEGER, rank INTEGER, year INTEGER)")
        connection.executemany("INSERT INTO usNameData VALUES (?, ?, ?, 0, ?)", rows)
        connection.commit()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as inner:
        inner.write(database, "us-name-data.sqlite")
    entry = tarfile.TarInfo(member)
    entry.size = len(zipped.getvalue())
    path = folder / "tiny.tgz"
    with tarfile.open(path, "w:gz") as package:
        package.addfile(entry, io.BytesIO(zipped.getvalue()))
    return path


def test_names_are_those_of_2018() -> None:
    """The committed file holds 32,257 names of at most 15 letters and begins as the lecture's file does."""
    names = read_names(DATA / "names.txt")
    assert len(names) == 32_257 == (DATA / "names.txt").read_bytes().count(b"\n")
    assert max(map(len, names)) == 15
    assert names[:8] == ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia"]
    assert "".join(sorted(set("".join(names)))) == "abcdefghijklmnopqrstuvwxyz"


def test_names_hold_each_name_once_or_twice() -> None:
    """A name stands once for each sex that it was given to."""
    names = read_names(DATA / "names.txt")
    counts = Counter(names)
    assert set(counts.values()) == {1, 2}


def test_checksum_holds() -> None:
    """Each file in SHA256SUMS has the SHA-256 written there, and the provenance note says the same."""
    lines = (DATA / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    assert [line.split("  ")[1] for line in lines] == ["names.txt"]
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
        assert digest in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_exercise_has_the_same_names() -> None:
    """The file beside the instructor's notebook is the committed one."""
    assert (ROOT / "source" / "backprop" / "names.txt").read_bytes() == (DATA / "names.txt").read_bytes()


def test_good_files_are_read_in_order(tmp_path: Path) -> None:
    """Names come in the file's order with duplicates kept, and the last newline may be missing."""
    file = tmp_path / "names.txt"
    file.write_bytes(b"noah\nava\nnoah")
    assert read_names(file) == read_names(str(file)) == ["noah", "ava", "noah"]


def test_bad_files_name_the_line(tmp_path: Path) -> None:
    """Each kind of bad file is refused with the file, the line, the line's text and the reason."""
    for kind, (content, number, reason) in BAD_FILES.items():
        with named(kind):
            file = tmp_path / "names.txt"
            file.write_bytes(content)
            with pytest.raises(DataError) as caught:
                read_names(file)
            message = str(caught.value)
            assert reason in message
            assert message.startswith(f"{file}, line {number}: " if number else f"{file}: ")
            assert ";" in message, "no way out is given"
            assert message.isprintable()


def test_bad_lines_are_counted(tmp_path: Path) -> None:
    """The message says how many lines in all are not names."""
    file = tmp_path / "names.txt"
    file.write_bytes(b"ava\nEmma\nOlivia\nMia\n")
    with pytest.raises(DataError, match=r"line 2: 'Emma' has capitals \(3 lines in all"):
        read_names(file)


@pytest.mark.parametrize("line", [b"A" * 100_000, b"\xff" * 100_000], ids=["text", "bytes"])
def test_a_long_line_is_shortened(line: bytes, tmp_path: Path) -> None:
    """A line of any length makes a message that can be read."""
    file = tmp_path / "names.txt"
    file.write_bytes(line)
    with pytest.raises(DataError, match=re.escape("...'")) as caught:
        read_names(file)
    assert len(str(caught.value)) < 400 + len(str(file))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """A missing file is a DataError, hence an error of handgrad and a ValueError."""
    with pytest.raises(DataError, match="no such file") as caught:
        read_names(tmp_path / "names.txt")
    assert isinstance(caught.value, HandgradError)
    assert isinstance(caught.value, ValueError)


def test_a_folder_is_said(tmp_path: Path) -> None:
    """A folder in the place of the file is refused by name."""
    with pytest.raises(DataError, match="is a folder"):
        read_names(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe is refused, not read from for ever."""
    os.mkfifo(tmp_path / "names.txt")
    with pytest.raises(DataError, match="not a regular file"):
        read_names(tmp_path / "names.txt")


def test_a_file_without_rights_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is a DataError with the system's reason."""
    file = tmp_path / "names.txt"
    file.write_bytes(SERVED)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # not chmod, which does not bind root
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_names(file)


def test_importing_needs_the_standard_library_only() -> None:
    """The module's own imports do not bring in pooch."""
    tree = ast.parse((ROOT / "src" / "handgrad" / "data.py").read_text(encoding="utf-8"))
    names = [name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "handgrad"}


def _write(running: _Running, destination: Path, *, force: bool = False, known_hash: str = SERVED_HASH) -> Path:
    return write_lecture_names(destination, force=force, url=running.server.url, known_hash=known_hash)


def test_writing_puts_the_file_in_place(running: _Running, tmp_path: Path) -> None:
    """The file is at its destination, readable by all, and no other file is left there."""
    destination = tmp_path / "exercise" / "names.txt"
    assert _write(running, destination) == destination
    assert destination.read_bytes() == SERVED
    assert destination.stat().st_mode & 0o777 == 0o644
    assert list(destination.parent.iterdir()) == [destination]


def test_an_identical_file_is_left_alone(running: _Running, tmp_path: Path) -> None:
    """Nothing is downloaded or written if the file is there already."""
    destination = tmp_path / "names.txt"
    destination.write_bytes(SERVED)
    before = destination.stat()
    _write(running, destination)
    assert destination.stat().st_ino == before.st_ino
    assert destination.stat().st_mtime_ns == before.st_mtime_ns
    assert running.server.requests == 0


def test_another_file_is_kept_without_force(running: _Running, tmp_path: Path) -> None:
    """A different file is refused and kept, and replaced only by force."""
    destination = tmp_path / "names.txt"
    destination.write_bytes(b"ours\n")
    with pytest.raises(DataError, match="--force"):
        _write(running, destination)
    assert destination.read_bytes() == b"ours\n"
    assert running.server.requests == 0
    _write(running, destination, force=True)
    assert destination.read_bytes() == SERVED


def test_a_link_is_replaced_not_followed(running: _Running, tmp_path: Path) -> None:
    """By force a link becomes the file, and its target keeps its content."""
    target = tmp_path / "target.txt"
    target.write_bytes(b"ours\n")
    destination = tmp_path / "names.txt"
    destination.symlink_to(target)
    with pytest.raises(DataError, match="--force"):
        _write(running, destination)
    _write(running, destination, force=True)
    assert not destination.is_symlink()
    assert destination.read_bytes() == SERVED
    assert target.read_bytes() == b"ours\n"


@pytest.mark.parametrize("body", [b"other\n", b"<!doctype html>sign in"], ids=["other-names", "web-page"])
def test_a_wrong_hash_is_refused(body: bytes, running: _Running, tmp_path: Path) -> None:
    """Other content is refused with both hashes, the address and what to do; the old file stays, and nothing else."""
    running.server.body = body
    destination = tmp_path / "names.txt"
    destination.write_bytes(b"ours\n")
    with pytest.raises(DataError) as caught:
        _write(running, destination, force=True, known_hash=LECTURE_SHA256)
    message = str(caught.value)
    for part in (LECTURE_SHA256, hashlib.sha256(body).hexdigest(), running.server.url, str(destination), "by hand"):
        assert part in message
    assert destination.read_bytes() == b"ours\n"
    assert list(tmp_path.iterdir()) == [destination]


# pooch leaves the response of a download that was cut short to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", ["missing page", "cut short", "offline", "no address"])
def test_a_failed_download_leaves_nothing(fault: str, running: _Running, tmp_path: Path) -> None:
    """A 404, a connection that ends early, no server, and no address at all: one message, and no file."""
    url, reason = running.server.url, ""
    if fault == "missing page":
        url, reason = f"{url}.gone", "404"
    elif fault == "cut short":
        running.server.body = b""
    elif fault == "offline":
        running.stop()
    else:
        url = "names.txt"
    destination = tmp_path / "names.txt"
    with pytest.raises(DataError, match="by hand") as caught:
        write_lecture_names(destination, url=url, known_hash=SERVED_HASH)
    for part in (url, reason, SERVED_HASH, str(destination)):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    del caught
    gc.collect()


def test_places_that_cannot_be_written_are_refused(running: _Running, tmp_path: Path) -> None:
    """A folder in the file's place, and a file in the folder's place, are DataErrors."""
    with pytest.raises(DataError, match="by hand"):
        _write(running, tmp_path, force=True)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="by hand"):
        _write(running, tmp_path / "file" / "names.txt")


def test_missing_pooch_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without pooch the message says what to install."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"needs pooch, which is not installed; run.*pip install '.*\[grade\]'"):
        write_lecture_names(tmp_path / "names.txt")


def test_deriving_orders_the_rows_of_2018(
    derive: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Girls come first, then the most births, then the name; other years are left out and capitals made small."""
    rows = [
        ("noah", "M", 90, 2018),
        ("riley", "M", 5, 2018),
        ("zoe", "F", 50, 2018),
        ("Ada", "F", 50, 2018),
        ("riley", "F", 70, 2018),
        ("mary", "F", 99, 2017),
    ]
    archive = _archive(tmp_path, rows, derive.MEMBER)
    output = tmp_path / "names.txt"
    assert derive.main([str(archive), "--output", str(output)]) == 0
    assert output.read_bytes() == b"riley\nada\nzoe\nnoah\nriley\n"
    printed = capsys.readouterr().out
    assert "5 names" in printed
    assert hashlib.sha256(output.read_bytes()).hexdigest() in printed


@pytest.mark.parametrize(
    ("rows", "member"),
    [
        ([("o'neil", "M", 5, 2018)], "package/sqlite/us-name-data.sqlite.zip"),
        ([("mary", "F", 99, 2017)], "package/sqlite/us-name-data.sqlite.zip"),
        ([("mary", "F", 99, 2018)], "package/other.zip"),
    ],
    ids=["odd-name", "no-rows", "other-package"],
)
def test_deriving_refuses_another_archive(
    rows: list[tuple[str, str, int, int]],
    member: str,
    derive: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An archive that does not hold what is expected is refused, and no file is written."""
    archive = _archive(tmp_path, rows, member)
    assert derive.main([str(archive), "--output", str(tmp_path / "names.txt")]) == 2
    assert "npm pack" in capsys.readouterr().err
    assert not (tmp_path / "names.txt").exists()
