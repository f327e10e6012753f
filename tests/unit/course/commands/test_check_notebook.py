"""Which files `handgrad check` reads."""

from pathlib import Path

import pytest

from handgrad.course.commands.check_notebook import check, check_own
from handgrad.errors import SubmissionError
from handgrad.own_forward_pass.check import files_beside
from helpers.inputs import named
from helpers.paths import ROOT

SOLUTION = ROOT / "solutions/backprop/backprop.ipynb"


@pytest.mark.parametrize("place", ["submitted/eve/backprop", "downloaded/backprop/extracted/eve"])
def test_a_link_that_was_handed_in(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook in a folder of hand-ins that is a link, or lies in one, is not read, wherever the user is."""
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "backprop.ipynb").symlink_to(SOLUTION)
    (folder / "deep").symlink_to(SOLUTION.parent)
    for start in (tmp_path, tmp_path / place.split("/", maxsplit=1)[0], folder.parent):
        monkeypatch.chdir(start)
        for path in (folder / "backprop.ipynb", folder / "deep/backprop.ipynb"):
            for way in (path, path.relative_to(start)):
                with named(str(start), str(way)):
                    for function in (check, check_own):
                        with pytest.raises(SubmissionError, match="is a link and is not read"):
                            function(way)


def test_files_beside(tmp_path: Path) -> None:
    """Of what lies beside a notebook no link is followed; a file that the user names may be one."""
    (tmp_path / "deep").mkdir()
    for name in ("a.txt", "deep/b.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "c.txt").symlink_to(ROOT / "README.md")
    (tmp_path / "all").symlink_to(ROOT)
    found = dict(files_beside(tmp_path / "x.ipynb"))
    assert found == {"a.txt": b"a.txt", "deep/b.txt": b"deep/b.txt"}
    assert dict(files_beside(tmp_path / "x.ipynb", [tmp_path / "c.txt"]))["c.txt"] == (ROOT / "README.md").read_bytes()
