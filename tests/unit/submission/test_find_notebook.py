"""The notebook in what a student handed in."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import students_page
from handgrad.submission.find_notebook import MAX_BYTES, MOST, Found, find_notebook
from helpers.inputs import named

LESS = ("backprop (1).ipynb", "late/backprop.ipynb", "Backprop.IPYNB", "backprop-checkpoint.ipynb")


@pytest.fixture
def content(solved: NotebookNode) -> bytes:
    """The worked solution as a file."""
    return json.dumps(solved).encode()


def _put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_where_it_should_be(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """The notebook of the right name counts, without a word about what Jupyter or a packer left beside it."""
    path = _put(tmp_path / "backprop.ipynb", content)
    _put(tmp_path / ".ipynb_checkpoints/backprop-checkpoint.ipynb", content)
    _put(tmp_path / "__MACOSX/._backprop.ipynb", b"\0\5\26\7")
    _put(tmp_path / "._backprop.ipynb", b"\0\5\26\7")
    _put(tmp_path / "other.ipynb", b"{}")
    assert find_notebook(tmp_path, exercise) == Found(path)


def test_under_another_name(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """The one notebook that is there counts, and its name is told."""
    for number, name in enumerate(LESS):
        with named(name):
            folder = tmp_path / str(number)
            path = _put(folder / name, content)
            assert find_notebook(folder, exercise) == Found(path, f"{name} was graded: there is no backprop.ipynb.")


def test_export(exercise: Exercise, solutions: dict[str, str], content: bytes, tmp_path: Path) -> None:
    """A Python file counts where no notebook has answers, and what only lies beside the notebooks is left alone."""
    _put(tmp_path / "helpers.py", b"def helper():\n    return 1\n")
    export = _put(tmp_path / "backprop.py", "\n\n".join(solutions.values()).encode())
    assert find_notebook(tmp_path, exercise) == Found(export, "backprop.py was graded: there is no backprop.ipynb.")
    path = _put(tmp_path / "mine.ipynb", content)
    assert find_notebook(tmp_path, exercise).path == path


def test_renamed(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """A notebook that a browser gave another suffix counts, and so does an export to Markdown."""
    code = [cell["source"] for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"]
    markdown = "\n".join(f"```python\n{source}\n```" for source in code).encode()
    names = ("backprop.ipynb.json", "backprop.ipynb.txt", "backprop.json", "backprop.md", "backprop.qmd")
    for number, name in enumerate(names):
        with named(name):
            folder = tmp_path / str(number)
            path = _put(folder / name, content if "md" not in name else markdown)
            _put(folder / "names.txt", b"emma\nolivia\n")
            assert find_notebook(folder, exercise) == Found(path, f"{name} was graded: there is no backprop.ipynb.")


def _zipped(**files: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, data)
    return held.getvalue()


def test_in_an_archive(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """A notebook in an archive counts where there is no other, however the archive was made; nothing is unpacked."""
    inner = _zipped(**{"backprop.ipynb.txt": content})
    archives = {
        "work.ZIP": (_zipped(**{"w\\backprop.ipynb": content, "__MACOSX/._b.ipynb": b"\0"}), "w/backprop.ipynb"),
        "deep.zip": (_zipped(**{"a/in.Zip": inner}), "a/in.Zip/backprop.ipynb.txt"),
        "outward.zip": (_zipped(**{"../../../x.ipynb": content, "conftest.py": b"1"}), "x.ipynb"),
    }
    for name, (data, inside) in archives.items():
        with named(name):
            folder = _put(tmp_path / name / name, data).parent
            note = f"{name}/{inside} was graded: there is no backprop.ipynb."
            assert find_notebook(folder, exercise) == Found(folder / name / inside, note, content)
            assert [path.name for path in folder.iterdir()] == [name]
            own = _put(folder / "mine.ipynb", content)
            assert find_notebook(folder, exercise, tmp_path).path == own
    bomb = _zipped(**{"backprop.ipynb": b" " * (MAX_BYTES + 1)})
    nested = content
    for _ in range(9):
        nested = _zipped(**{"in.zip": nested})
    for number, data in enumerate((_zipped(), b"PK\3\4 and no more", b"", bomb, nested, inner[:-9])):
        with named(number):
            folder = _put(tmp_path / str(number) / "work.zip", data).parent
            note = "There is no backprop.ipynb in the folder, which holds: work.zip."
            assert find_notebook(folder, exercise) == Found(None, note)


def test_most_answers(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """Of several the one with most answers counts, a checkpoint last, and the others with answers are named."""
    _put(tmp_path / "a.ipynb", content.replace(b"dW1 = ", b"dw1 = "))
    path = _put(tmp_path / "b.ipynb", content)
    _put(tmp_path / "c.ipynb", b"{}")
    _put(tmp_path / "b-checkpoint.ipynb", content)
    found = find_notebook(tmp_path, exercise)
    assert found.path == path
    assert found.note.endswith("there is no backprop.ipynb. Another file with answers was not graded: a.ipynb.")


def test_unreadable(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """Where nothing can be read the one of the right name is what cannot be read, or the only one that is there."""
    path = _put(tmp_path / "backprop (1).ipynb", b"{")
    assert find_notebook(tmp_path, exercise).path == path
    exact = _put(tmp_path / "backprop.ipynb", b"")
    assert find_notebook(tmp_path, exercise) == Found(exact)
    _put(path, content)
    assert find_notebook(tmp_path, exercise).path == path


def test_nothing(exercise: Exercise, tmp_path: Path) -> None:
    """Where there is no notebook, what the folder holds is told."""
    assert find_notebook(tmp_path / "nowhere", exercise) == Found(None)
    assert find_notebook(tmp_path, exercise) == Found(None)
    _put(tmp_path / "backprop.py", b"")
    note = "There is no backprop.ipynb in the folder, which holds: backprop.py."
    assert find_notebook(tmp_path, exercise) == Found(None, note)


def test_links(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """No link in what a student handed in is followed, whatever it is called, and each is named."""
    secret = _put(tmp_path / "solutions/backprop.ipynb", content)
    folder = tmp_path / "submitted"
    mine = _put(folder / "z.ipynb", content)
    for name, target in (("mine.ipynb", secret), ("also.py", "z.ipynb"), ("more", secret.parent)):
        (folder / name).symlink_to(target)
    said = "z.ipynb was graded: there is no backprop.ipynb. Links are not followed: also.py, mine.ipynb, more."
    assert find_notebook(folder, exercise, tmp_path) == Found(mine, said)
    (tmp_path / "linked").symlink_to(tmp_path / "solutions")
    assert find_notebook(tmp_path / "linked", exercise, tmp_path) == Found(tmp_path / "linked/backprop.ipynb")


def test_a_whole_disk(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """Of very many notebooks the nearest ones are looked into."""
    for number in range(3 * MOST):
        _put(tmp_path / f"deep/{number:03}.ipynb", b"{}")
    path = _put(tmp_path / "mine.ipynb", content)
    assert find_notebook(tmp_path, exercise).path == path


def test_the_page_of_a_released_folder(exercise: Exercise, content: bytes, tmp_path: Path) -> None:
    """What came with the notebook and was handed in with it is not taken for a notebook with answers."""
    (tmp_path / "README.md").write_text(students_page("backprop"), encoding="utf-8")
    found = find_notebook(tmp_path, exercise)
    assert found.path is None
    assert "There is no backprop.ipynb" in found.note
    path = _put(tmp_path / "backprop.ipynb", content)
    assert find_notebook(tmp_path, exercise) == Found(path)
