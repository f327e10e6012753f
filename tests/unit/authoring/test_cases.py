"""The files of cases: what they hold, what is built from them, and every fault that is named."""

import copy
from pathlib import Path

import nbformat
import pytest

from handgrad.authoring.cases import Case, known_mistakes, read_cases
from handgrad.errors import CourseError, SubmissionError
from handgrad.exercise.exercise import grade_id
from handgrad.notebook.reading import read_notebook
from helpers.exercises import EXERCISES, RELEASES, SOLUTIONS
from helpers.paths import ATTACKS

EXERCISE, SOLUTION, RELEASE = EXERCISES["backprop"], SOLUTIONS["backprop"], RELEASES["backprop"]

FACTS = """
about = "A sentence."
assignment = "backprop"
start = "solution"
score = 25
"""


def _write(path: Path, facts: str = FACTS, **cells: str) -> Path:
    """The file of a case; in the names of cells, two underlines are a hyphen."""
    lines = [f"{name.replace('__', '-')} = '''\n{source}\n'''" for name, source in cells.items()]
    file = path.with_suffix(".toml")
    file.write_text("\n".join([facts, *(["[cells]"] if cells else []), *lines, ""]), encoding="utf-8")
    return file


def _write_folder(folder: Path, **files: bytes) -> Path:
    """The folder of a case with the facts; in the names of files, two underlines are a dot."""
    folder.mkdir()
    (folder / "case.toml").write_text(FACTS.replace("25", "0") + 'report = "unreadable"\n', encoding="utf-8")
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def test_unreadable_cases(tmp_path: Path) -> None:
    """An attack that is not a notebook is refused with a sentence, and not built from cells."""
    cases = [case for case in read_cases(ATTACKS) if case.report == "unreadable"]
    assert len(cases) >= 5
    for case in cases:
        path = tmp_path / f"{case.name}.ipynb"
        path.write_bytes(case.content(RELEASE, SOLUTION))
        with pytest.raises(SubmissionError, match="notebook"):
            read_notebook(path)
        with pytest.raises(CourseError, match="not a notebook, on purpose"):
            case.notebook(RELEASE, SOLUTION)


def test_read(tmp_path: Path) -> None:
    """A file is read as the docstring of the module says."""
    text = (
        FACTS
        + '''student = "s09"
[outcomes]
dh = "failed"
[diagnoses]
dh = "transposed"
[cells]
dh = """
dh = None

"""
before-forward = "x = 1"
[texts]
"after-dprobs" = "So far."
'''
    )
    assert Case.read(_write(tmp_path / "slip", text)) == Case(
        name="slip",
        about="A sentence.",
        assignment="backprop",
        start="solution",
        score=25.0,
        student="s09",
        outcomes={"dh": "failed"},
        diagnoses={"dh": "transposed"},
        cells={"dh": "dh = None", "before-forward": "x = 1"},
        texts={"after-dprobs": "So far."},
    )


def test_notebook_places(tmp_path: Path) -> None:
    """Every cell is in its place, and the notebooks it was built from are left alone."""
    before = nbformat.writes(RELEASE), nbformat.writes(SOLUTION)
    cells = {"first": "1", "last": "2", "before__forward": "3", "after__dprobs": "4", "dh": "dh = 5"}
    case = Case.read(_write(tmp_path / "slip", FACTS + '[texts]\nafter-dprobs = "so"\n', **cells))
    notebook = case.notebook(RELEASE, SOLUTION)
    nbformat.validate(notebook)
    names = [grade_id(cell) or cell.get("id") for cell in notebook.cells]
    sources = {name: cell.source for name, cell in zip(names, notebook.cells, strict=True)}
    assert (names[0], names[-1]) == ("first", "last")
    assert names[names.index("forward") - 1] == "before-forward"
    after = names.index("dprobs") + 1
    assert [(cell.cell_type, cell.source) for cell in notebook.cells[after : after + 2]] == [
        ("markdown", "so"),
        ("code", "4"),
    ]
    assert sources["dh"] == "dh = 5"
    assert sources["dC"] == next(cell.source for cell in SOLUTION.cells if grade_id(cell) == "dC")
    assert (nbformat.writes(RELEASE), nbformat.writes(SOLUTION)) == before


def test_notebook_start_release(tmp_path: Path) -> None:
    """With the release as its start, the other stubs stay as they were released, and what is missing is expected so."""
    facts = FACTS.replace('"solution"', '"release"') + '[outcomes]\ndh = "passed"\n'
    case = Case.read(_write(tmp_path / "slip", facts, dh="dh = dlogits @ W2.T"))
    sources = {grade_id(cell): cell.source for cell in case.notebook(RELEASE, SOLUTION).cells}
    assert sources["dC"] == "dC = None  # your code here"
    assert case.expected(EXERCISE) == {stub: "passed" if stub == "dh" else "missing" for stub in EXERCISE.stubs}


def test_notebook_is_the_same_twice(tmp_path: Path) -> None:
    """Two notebooks built from one case are equal to the byte, ids included, and no id is used twice."""
    case = Case.read(_write(tmp_path / "slip", first="1", after__dprobs="2"))
    release = copy.deepcopy(RELEASE)
    release.cells[1].id = "first"
    assert case.content(release, SOLUTION) == case.content(release, SOLUTION)
    ids = [cell.id for cell in case.notebook(release, SOLUTION).cells]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "first-2"


def test_raw(tmp_path: Path) -> None:
    """A file that is handed in whole is handed in byte for byte."""
    folder = _write_folder(tmp_path / "slip", notebook__bin=b"\xff\xfe<html>", **{".DS_Store": b""})
    case = Case.read(folder)
    assert case.name == "slip"
    assert case.content(RELEASE, SOLUTION) == b"\xff\xfe<html>"
    assert case.expected(EXERCISE) == {}
    with pytest.raises(CourseError, match="is not a notebook, on purpose"):
        case.notebook(RELEASE, SOLUTION)


FAULTS = {
    "key": (FACTS + "scor = 1", "key 'scor' is unknown. Did you mean score?"),
    "missing": ('start = "release"', "'about' is missing; 'assignment' is missing; 'score' is missing"),
    "start": (
        FACTS.replace('"solution"', '"solutions"'),
        "start = 'solutions' is not one of solution, release. Did",
    ),
    "score": (FACTS.replace("25", '"25"'), "score = '25' is not a number of points"),
    "negative": (FACTS.replace("25", "-1"), "score = -1 is not a number of points"),
    "infinite": (FACTS.replace("25", "inf"), "score = inf is not a number of points"),
    "true": (FACTS.replace("25", "true"), "score = True is not a number of points"),
    "about": (FACTS.replace("A sentence.", " "), "about = ' ' is not a text"),
    "report": (FACTS + 'report = "readable"', "Did you mean unreadable?"),
    "outcome": (FACTS + '[outcomes]\ndh = "fail"', "[outcomes] dh = 'fail' is not one of passed, partial, failed"),
    "outcome-list": (FACTS + "[outcomes]\ndh = [1]", "[outcomes] dh = [1] is not one of"),
    "table": (FACTS + "outcomes = 1", "outcomes = 1 is not a table"),
    "diagnosis": (FACTS + "[diagnoses]\ndh = 1", "[diagnoses] dh = 1 is not the name of a mistake"),
    "gradient": (FACTS + '[outcomes]\ndcount = "failed"', "not an answer of backprop. Did you mean dcounts?"),
    "not-graded": (FACTS + 'report = "unreadable"\n[outcomes]\ndh = "failed"', "has no outcomes and no diagnoses"),
    "cells": (FACTS + "cells = 1", "cells = 1 is not a table"),
    "cell": (FACTS + "[cells]\ndh = 1", "[cells] dh = 1 is not a text"),
    "text": (FACTS + "[texts]\nfirst = []", "[texts] first = [] is not a text"),
    "raw": (FACTS + "raw = 1", "key 'raw' is unknown"),
    "toml": ("about = ", "cannot be read"),
}


def test_read_faults(tmp_path: Path) -> None:
    """A fault in the file of a case is named, with the path of the file."""
    for name, (facts, message) in FAULTS.items():
        path = _write(tmp_path / "slip", facts)
        with pytest.raises(CourseError) as caught:
            read_cases(tmp_path, EXERCISE)
        assert message in str(caught.value), name
        assert str(path) in str(caught.value), name
    with pytest.raises(CourseError, match="slip cannot be used as a case: it is a case of 'other', not of 'backprop'"):
        Case.read(_write(tmp_path / "slip", FACTS.replace('"backprop"', '"other"'))).expected(EXERCISE)


def test_read_places(tmp_path: Path) -> None:
    """Places where there is no cell are all named, with the place that was probably meant."""
    text = FACTS + '[texts]\ndh = "x"\n'
    path = _write(tmp_path / "slip", text, dprob="x", after__forwrd="x", last="x")
    with pytest.raises(CourseError) as caught:
        read_cases(tmp_path, EXERCISE)
    assert "[cells] dprob is not the place of a cell. Did you mean dprobs?" in str(caught.value)
    assert "[cells] after-forwrd is not the place of a cell. Did you mean after-forward?" in str(caught.value)
    assert "[texts] dh is not the place of a cell" in str(caught.value)
    assert "last" not in str(caught.value)
    case = Case.read(path)
    for use in (lambda: case.expected(EXERCISE), lambda: case.notebook(RELEASE, SOLUTION)):
        with pytest.raises(CourseError, match=r"\[cells\] dprob is not the place"):
            use()


def test_read_other_files(tmp_path: Path) -> None:
    """What a folder holds besides its facts and one whole notebook is a fault; dot files are not."""
    files = {"notes__txt": b"x", "notebook__ipynb": b"{}", "notebook__bin": b"{}", "__DS_Store": b"x"}
    folder = _write_folder(tmp_path / "slip", **files)
    with (folder / "case.toml").open("a", encoding="utf-8") as file:
        file.write('[cells]\ndh = "x"\n')
    with pytest.raises(CourseError) as caught:
        Case.read(folder)
    for message in ("notes.txt has no meaning", "dh would be lost", "both exist"):
        assert message in str(caught.value)
    assert "DS_Store" not in str(caught.value)
    with pytest.raises(CourseError, match=r"notebook\.bin is missing: a case without one is a file empty\.toml"):
        Case.read(_write_folder(tmp_path / "empty"))


def test_former_folders(tmp_path: Path) -> None:
    """A folder of cell files, and a course that keeps its mistakes in the former place, get an error that says how."""
    folder = _write_folder(tmp_path / "slip", dh__py=b"dh = None", first__md=b"x")
    with pytest.raises(CourseError, match=r"dh\.py, first\.md: a cell is not a file any more.*write NAME\.toml"):
        Case.read(folder)
    assert known_mistakes(tmp_path) == []
    (tmp_path / "tests/mistakes").mkdir(parents=True)
    with pytest.raises(CourseError, match=r"is not read any more.*tests/cases/mistakes.*write NAME\.toml"):
        known_mistakes(tmp_path)
    (tmp_path / "tests/cases/mistakes").mkdir(parents=True)
    case = Case.read(_write(tmp_path / "tests/cases/mistakes/slip"))
    assert known_mistakes(tmp_path) == known_mistakes(tmp_path, EXERCISE) == [case]


def test_solution_without_a_stub(tmp_path: Path) -> None:
    """A worked solution that lacks a stub is a fault."""
    solution = copy.deepcopy(SOLUTION)
    solution.cells = [cell for cell in solution.cells if grade_id(cell) != "dh"]
    with pytest.raises(CourseError, match="the worked solution has no stub 'dh'"):
        Case.read(_write(tmp_path / "slip")).notebook(RELEASE, solution)


def test_no_case(tmp_path: Path) -> None:
    """A folder without a case.toml, a file that is not there, and a folder that is not there are errors."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing.toml"):
        with pytest.raises(CourseError, match=r"\.toml is missing"):
            Case.read(path)
    with pytest.raises(CourseError, match="no such folder"):
        read_cases(tmp_path / "nowhere")


def test_read_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are sorted by name, those of another exercise are left out if one is given, and each is read once."""
    for name in ("b-c", "b", "a"):
        _write(tmp_path / name)
    (tmp_path / ".c.toml").write_text("not TOML", encoding="utf-8")
    (tmp_path / ".git").mkdir()
    _write_folder(tmp_path / "ab", notebook__bin=b"")
    _write(tmp_path / "c", FACTS.replace("backprop", "other"))
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    read, parse = [], Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, **rest: read.append(path) or parse(path, **rest))
    assert [case.name for case in read_cases(tmp_path)] == ["a", "ab", "b", "b-c", "c"]
    read.clear()
    assert [case.name for case in read_cases(tmp_path, EXERCISE)] == ["a", "ab", "b", "b-c"]
    assert len(read) == 5


def test_read_cases_collects_faults(tmp_path: Path) -> None:
    """The faults of all cases are named at once, and so is a student or a case that would be there twice."""
    _write(tmp_path / "a", FACTS + 'student = "s01"')
    _write(tmp_path / "b", FACTS + 'student = "s01"')
    _write(tmp_path / "c", "score = 1")
    _write(tmp_path / "d", FACTS, dx="x")
    _write_folder(tmp_path / "a", notebook__bin=b"")
    with pytest.raises(CourseError) as caught:
        read_cases(tmp_path, EXERCISE)
    for message in (
        "a, b in ",
        "all called 's01'",
        "'about' is missing",
        "[cells] dx is not",
        "both a file and a folder",
    ):
        assert message in str(caught.value)
