"""The files that the cells of a notebook may open."""

import os
from pathlib import Path

import pytest

from handgrad.submission import files_beside as module
from handgrad.submission.files_beside import files_beside


def test_plain_files_only(tmp_path: Path) -> None:
    """No link is followed, no pipe is read; notebooks, wheels and hidden files stay where they are."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "mine"
    (folder / "data/deep/deeper").mkdir(parents=True)
    (folder / "words.txt").write_text("a b")
    (folder / "data/deep/numbers.csv").write_text("1,2")
    (folder / "data/deep/deeper/far.csv").write_text("3")
    for name in ("my.ipynb", "handgrad.whl", ".hidden", "page.html"):
        (folder / name).write_text("")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    assert dict(files_beside(folder / "my.ipynb", [tmp_path / "secret.txt"])) == {
        "secret.txt": b"secret",
        "words.txt": b"a b",
        "data/deep/numbers.csv": b"1,2",
    }


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest files come first, and what is over a limit is left out."""
    monkeypatch.setattr(module, "MAX_FILE", 10)
    monkeypatch.setattr(module, "MAX_FILES", 25)
    monkeypatch.setattr(module, "MOST_FILES", 3)
    for number, size in enumerate((11, 10, 9, 8, 3, 1, 1)):
        (tmp_path / f"{number}.txt").write_bytes(bytes(size))
    assert [name for name, _ in files_beside(tmp_path / "my.ipynb")] == ["1.txt", "2.txt", "4.txt"]
