"""An empty folder becomes a course; nothing is overwritten, and nothing is half-written."""

import stat
from pathlib import Path

import pytest

from handgrad.authoring import new_course as module
from handgrad.authoring.new_course import course_material, new_course
from handgrad.authoring.release import MATERIAL, copy_for_students
from handgrad.course.course import CONFIG, Course
from handgrad.course.file_access import visitors
from handgrad.course.nbgrader.configuration import unsafe_ways_in, what_is_missing
from handgrad.errors import CourseError
from helpers.paths import ASSIGNMENTS, ROOT


def test_each_exercise_makes_a_course(tmp_path: Path) -> None:
    """The exercise is there with its data and solutions, the configuration is complete, and nobody else can enter."""
    assert course_material() == ROOT
    for exercise in ASSIGNMENTS:
        folder = tmp_path / f"my {exercise}"
        course = new_course(folder, exercise)
        assert course.assignments() == [exercise]
        assert course.exercise(exercise).digest == Course(ROOT).exercise(exercise).digest
        assert what_is_missing(course) == ""
        assert unsafe_ways_in(course) == []
        assert course.config.CourseDirectory.course_id == f"my-{exercise}"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert visitors(course) is None
        assert not [path for path in folder.rglob("*") if path.is_symlink()]
        assert {path.name for path in (ROOT / "source" / exercise).iterdir()} == {
            path.name for path in (folder / "source" / exercise).iterdir()
        }
        page = (folder / "README.md").read_text(encoding="utf-8")
        for command in ("release", "grade", "report", "export"):
            assert f"handgrad {command} {exercise}" in page


def test_an_empty_folder(tmp_path: Path) -> None:
    """A folder with nothing but hidden files and a virtual environment is empty; what is in it stays."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("mine\n", encoding="utf-8")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    new_course(tmp_path, "backprop")
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "mine\n"
    with pytest.raises(CourseError, match=r"is not empty .*`handgrad new` adds an exercise"):
        new_course(tmp_path, "backprop")


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a folder with files, an exercise that does not exist, a wheel for students: nothing is made."""
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "README.md").write_text("mine", encoding="utf-8")
    for name, exercise, expected in (
        ("file", "backprop", "file cannot be a course"),
        ("full", "backprop", r"full is not empty \(README.md\)"),
        ("new", "bakprop", "Did you mean backprop"),
        ("new", "../backprop", "there is no exercise"),
        ("file/new", "backprop", "Not a directory"),
    ):
        with pytest.raises(CourseError, match=expected):
            new_course(tmp_path / name, exercise)
    monkeypatch.setattr(module, "course_material", lambda: None)
    with pytest.raises(CourseError, match="installed from the wheel that students get"):
        new_course(tmp_path / "new", "backprop")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["README.md", "file", "full"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A course that cannot be written leaves no course behind, and the folder can be used again."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", fail)
        with pytest.raises(CourseError, match="No space left on device"):
            new_course(tmp_path / "new", "backprop")
    assert not (tmp_path / "new").exists()
    assert (new_course(tmp_path / "new", "backprop").root / CONFIG).is_file()


def test_students_get_no_solutions(tmp_path: Path) -> None:
    """The copy of a wheel for students has all but the material of a course, in its list of files too."""
    import zipfile

    whole, copied = tmp_path / "whole.whl", tmp_path / "copy.whl"
    with zipfile.ZipFile(whole, "w") as file:
        for name in ("handgrad/__init__.py", f"handgrad/{MATERIAL}/source/a/a.ipynb"):
            file.writestr(name, "text")
        file.writestr(
            "handgrad-1.dist-info/RECORD", f"handgrad/__init__.py,,\nhandgrad/{MATERIAL}/source/a/a.ipynb,,\n"
        )
    copy_for_students(whole, copied)
    with zipfile.ZipFile(copied) as file:
        assert file.namelist() == ["handgrad/__init__.py", "handgrad-1.dist-info/RECORD"]
        assert file.read("handgrad-1.dist-info/RECORD") == b"handgrad/__init__.py,,\n"
