"""Files that somebody else put into a folder."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handgrad.errors import SubmissionError
from handgrad.notebook import untrusted_files
from handgrad.notebook.untrusted_files import (
    copy_file,
    folder_status,
    in_quotes,
    is_configuration,
    links_in,
    read_file,
    walk,
)
from helpers.inputs import named
from helpers.paths import TESTS


@pytest.fixture(params=["descriptors", "names"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's folder in one that is trusted; with the system's calls for safe opening, and without them."""
    if request.param == "names":
        monkeypatch.setattr(untrusted_files, "_HAS_DESCRIPTORS", False)
    found = tmp_path / "submitted" / "eve"
    found.mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/seeds.json").write_text("314159", encoding="utf-8")
    return found


def _link(folder: Path) -> Path:
    (folder / "x").symlink_to(folder.parents[1] / "secret/seeds.json")
    return folder / "x"


def _link_to_itself(folder: Path) -> Path:
    (folder / "x").symlink_to("x")
    return folder / "x"


def _in_a_linked_folder(folder: Path) -> Path:
    (folder / "x").symlink_to(folder.parents[1] / "secret")
    return folder / "x/seeds.json"


def _folder_is_a_link(folder: Path) -> Path:
    folder.rmdir()
    folder.symlink_to(folder.parents[1] / "secret")
    return folder / "seeds.json"


def _above(folder: Path) -> Path:
    return folder / "../../secret/seeds.json"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "x")
    return folder / "x"


def _folder(folder: Path) -> Path:
    (folder / "x").mkdir()
    return folder / "x"


def _sparse(folder: Path) -> Path:
    (folder / "x").touch()
    os.truncate(folder / "x", 1 << 30)
    return folder / "x"


def _below_a_file(folder: Path) -> Path:
    (folder / "x").touch()
    return folder / "x/y"


REFUSED: dict[Callable[[Path], Path], str] = {
    _link: "eve/x is a link and is not read",
    _link_to_itself: "eve/x is a link and is not read",
    _in_a_linked_folder: "eve/x is a link and is not read",
    _folder_is_a_link: "submitted/eve is a link and is not read",
    _above: "leads out of",
    _pipe: "it is a pipe",
    _folder: "it is a folder",
    _sparse: "it has 1,024 MiB",
    _below_a_file: "cannot be read",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_refused(make: Callable[[Path], Path], folder: Path, tmp_path: Path) -> None:
    """What is no plain file of a student's own is neither read nor copied, and is named."""
    path, trusted = make(folder), folder.parent
    with pytest.raises(SubmissionError, match=REFUSED[make]):
        read_file(path, trusted)
    with pytest.raises(SubmissionError, match=REFUSED[make]):
        copy_file(path, trusted, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_read_and_copied(folder: Path, tmp_path: Path) -> None:
    """A plain file is read and copied, and its copy is for its owner only; a file that is not there is told apart."""
    (folder / "deep").mkdir()
    path = folder / "deep/x"
    path.write_bytes(b"1234")
    path.chmod(0o666)
    assert read_file(path, folder.parent, 4).content == b"1234"
    assert copy_file(path, folder.parent, tmp_path / "copy").st_ino == path.stat().st_ino
    assert (tmp_path / "copy").read_bytes() == b"1234"
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        copy_file(path, folder.parent, tmp_path / "copy")
    with pytest.raises(SubmissionError, match="it has 4 bytes, and may have 3 bytes"):
        read_file(path, folder.parent, 3)
    with pytest.raises(FileNotFoundError):
        read_file(folder / "nothing", folder.parent)


def test_a_file_that_grows(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes too large while it is read is refused, and its copy is not left half."""
    path = folder / "x"
    path.write_bytes(b"12")

    def grown(*_: object) -> None:
        path.write_bytes(b"123456")

    monkeypatch.setattr(untrusted_files, "_require_regular_file", grown)
    with pytest.raises(SubmissionError, match="has more than 4 bytes"):
        read_file(path, folder.parent, 4)
    with pytest.raises(SubmissionError, match="has more than 4 bytes"):
        copy_file(path, folder.parent, tmp_path / "copy", 4)
    assert not (tmp_path / "copy").exists()


def test_replaced_by_a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes a link after it was looked at is not followed."""
    path = folder / "x"
    path.touch()
    look = untrusted_files._require_openable
    looked: list[Path] = []

    def exchanged(at: Path, *facts: object) -> None:
        look(at, *facts)  # type: ignore[arg-type]
        if at == path and not looked:
            looked.append(at)
            path.unlink()
            path.symlink_to(folder.parents[1] / "secret/seeds.json")

    monkeypatch.setattr(untrusted_files, "_require_openable", exchanged)
    with pytest.raises(SubmissionError, match=r"/x (is a link and is not read|cannot be read: Too many levels)"):
        read_file(path, folder.parent)
    assert looked


def test_a_users_own(folder: Path) -> None:
    """Of a user's own files links are followed."""
    assert read_file(_link(folder)).content == b"314159"


def test_walk(folder: Path) -> None:
    """What a folder holds is listed without following a link, nearest first."""
    for name in ("b/deep/file", "b/file", "a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "c").symlink_to(folder.parents[1] / "secret")
    os.mkfifo(folder / "d")
    found = [(str(entry.path), entry.kind) for entry in walk(folder, folder.parent)]
    top = [("a", "file"), ("b", "folder"), ("c", "link"), ("d", "special")]
    assert found == [*top, ("b/deep", "folder"), ("b/file", "file"), ("b/deep/file", "file")]
    assert [str(entry.path) for entry in walk(folder, folder.parent, lambda name: False)] == ["a", "b", "c", "d"]
    assert links_in(folder, folder.parent) == "Links are not followed: c."
    assert folder_status(folder, folder.parent).st_ino == folder.stat().st_ino
    with pytest.raises(SubmissionError, match="is a link and is not read"):
        list(walk(folder / "c", folder.parent))
    with pytest.raises(SubmissionError, match="is a link and is not read"):
        folder_status(folder / "c", folder.parent)


def test_walk_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither depth nor number keeps a listing busy."""
    deep = folder
    for _ in range(untrusted_files.DEEPEST + 5):
        deep /= "d"
    deep.mkdir(parents=True)
    assert len(list(walk(folder, folder.parent))) == untrusted_files.DEEPEST
    monkeypatch.setattr(untrusted_files, "MOST_ENTRIES", 5)
    assert len(list(walk(folder, folder.parent))) == 5


def test_no_descriptor_is_left(folder: Path) -> None:
    """Refusals and listings that are given up leave nothing open."""
    descriptors = Path("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd")
    before = len(list(descriptors.iterdir()))
    (folder / "a/b").mkdir(parents=True)
    path = _link(folder)
    for _ in range(3):
        with pytest.raises(SubmissionError):
            read_file(path, folder.parent)
        with pytest.raises(SubmissionError):
            read_file(path / "y", folder.parent)
        entries: Iterator[object] = walk(folder, folder.parent)
        next(entries)
        del entries
    assert len(list(descriptors.iterdir())) == before


def test_in_quotes() -> None:
    """What a message quotes is short, and obeyed by no terminal."""
    said = in_quotes("\x1b]0;pwned\x07\x1b[31m=1+1\n\u202e" + "x" * 1000)
    assert said.isprintable()
    assert len(said) < 100


def test_configuration() -> None:
    """Names that a program looks for by itself are known in any case; those of students' work are not among them."""
    for name in (
        *("nbgrader_config.py", "NBGRADER_CONFIG.PY", "jupyter_server_config.json", "ipython_config.py", "x.pth"),
        *("sitecustomize.py", "usercustomize.py", "conftest.py", "torch.py", "matplotlibrc", "pyproject.toml"),
        *("exercise.json", "handgrad.json", ".handgrad", "gradebook.db", "pytest.ini", "__init__.py", "setup.cfg"),
        *("pyvenv.cfg", ".handgrad-progress.json"),
    ):
        with named(name):
            assert is_configuration(name)
    for name in ("backprop.ipynb", "backprop.py", "names.txt", "timestamp.txt", "notes.md", "data.csv", "torch"):
        with named(name):
            assert not is_configuration(name)


@pytest.mark.slow
def test_as_an_unprivileged_user(test_as_nobody: Callable[..., None]) -> None:
    """The same holds for a user without privileges, and of collecting too."""
    test_as_nobody(Path(__file__))
    test_as_nobody(TESTS / "unit/course/nbgrader/test_exchange_collector.py")
