"""The folders of a class: the date of a hand-in, and what goes along with an autograded notebook."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from handgrad.course.course import Course
from handgrad.course.nbgrader.folders import TIMESTAMP, Folders
from handgrad.errors import SubmissionError


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The folders of a course in which Eve has handed in something, beside the course's secrets."""
    (tmp_path / "source/backprop").mkdir(parents=True)
    (tmp_path / "source/backprop/names.txt").write_text("emma\n", encoding="utf-8")
    (tmp_path / "submitted/eve/backprop").mkdir(parents=True)
    (tmp_path / ".handgrad").mkdir()
    (tmp_path / ".handgrad/seeds.json").write_text('{"seeds": [314159]}', encoding="utf-8")
    return Folders(Course(tmp_path), "backprop")


def test_timestamp(folders: Folders) -> None:
    """A date is read; a folder without one has none."""
    path = folders.submitted("eve") / TIMESTAMP
    assert folders.timestamp("eve") is None
    path.write_text("2026-01-15 12:00:00.5 UTC\n", encoding="utf-8")
    assert folders.timestamp("eve") == datetime(2026, 1, 15, 12, 0, 0, 500_000)
    path.write_bytes(b"")
    assert folders.timestamp("eve") is None


def test_no_timestamp(folders: Folders) -> None:
    """What is no date is quoted short and escaped; a link is named, and its target is not read."""
    path = folders.submitted("eve") / TIMESTAMP
    texts = (b"\x1b]0;pwned\x07\x1b[31m=1+1", b"x" * 900, b"\xff\n\r\t", b"9" * 900, b"1/1/1 " * 9, b"((((")
    for text in texts:
        path.write_bytes(text)
        with pytest.raises(SubmissionError, match="which is not a date") as caught:
            folders.timestamp("eve")
        said = str(caught.value).replace(str(path), "")
        assert said.isprintable()
        assert len(said) < 200
    path.write_bytes(b"2026-01-15" + b" " * 2000)
    with pytest.raises(SubmissionError, match="may have 1,000 bytes"):
        folders.timestamp("eve")
    for make in (lambda: path.symlink_to("../../../.handgrad/seeds.json"), lambda: os.mkfifo(path)):
        path.unlink()
        make()
        with pytest.raises(SubmissionError, match=r"timestamp\.txt (is a link and is not read|.* is a pipe)") as caught:
            folders.timestamp("eve")
        assert "314159" not in str(caught.value)


def test_what_goes_along(folders: Folders) -> None:
    """A student's plain files go along with an autograded notebook; no link's target, no configuration, no pipe."""
    handed_in = folders.submitted("eve")
    (handed_in / "deep/nested").mkdir(parents=True)
    (handed_in / "names.txt").mkdir()
    for name in (
        "plot.png",
        "deep/nested/notes.txt",
        "names.txt/x",
        "nbgrader_config.py",
        "deep/conftest.py",
        "b.ipynb",
    ):
        (handed_in / name).write_text("theirs", encoding="utf-8")
    (handed_in / "seeds.json").symlink_to("../../../.handgrad/seeds.json")
    (handed_in / "all").symlink_to("../../..")
    os.mkfifo(handed_in / "pipe")
    folders.write_autograded("eve", "{}")
    target = folders.autograded("eve").parent
    files = {str(path.relative_to(target)): path for path in target.rglob("*") if not path.is_dir()}
    assert set(files) == {"backprop.ipynb", "plot.png", "deep/nested/notes.txt", "names.txt"}
    assert files["names.txt"].read_text(encoding="utf-8") == "emma\n"
    assert not any(path.is_symlink() for path in files.values())
