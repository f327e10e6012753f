"""Broken notebooks of honest students: each is graded as far as it goes, and none disturbs another."""

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.exercise.exercise import grade_id, kind_of
from handgrad.report.records import Report, ReportOutcome
from helpers import paths
from helpers.commands import handgrad
from helpers.inputs import named
from helpers.paths import ROOT, mistake

ENVIRONMENT = {**paths.ENVIRONMENT, "COLUMNS": "120"}
NEIGHBOURS = ("solution", "half-done", "bessel", "wrong-sign-at-the-top")
"""Honest students, by the case that they handed in: what they get alone stands in its folder."""


def _new(source: str) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source)
    del cell["id"]
    return cell


def _at(notebook: NotebookNode, name: str) -> int:
    return next(place for place, cell in enumerate(notebook.cells) if grade_id(cell) == name)


def _cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return notebook.cells[_at(notebook, name)]


def _copied(notebook: NotebookNode, name: str, source: str) -> NotebookNode:
    """A copy of a cell as JupyterLab makes it: with its metadata."""
    cell = copy.deepcopy(_cell(notebook, name))
    cell.source = source
    return cell


def _delete(notebook: NotebookNode, *names: str) -> None:
    notebook.cells = [cell for cell in notebook.cells if grade_id(cell) not in names]


def _strip(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata.clear()


# what happens to the cells of a notebook


def _as_it_is(notebook: NotebookNode) -> None:
    """Nothing happened to it."""


def _copy_before(notebook: NotebookNode) -> None:
    notebook.cells.insert(_at(notebook, "dlogits"), _copied(notebook, "dlogits", ""))


def _untouched_copy_behind(notebook: NotebookNode) -> None:
    empty = _copied(notebook, "dlogits", "dlogits = None  # your code here")
    notebook.cells.insert(_at(notebook, "dlogits") + 1, empty)


def _untouched_copies_at_the_end(notebook: NotebookNode) -> None:
    for name in ("dprobs", "dlogits", "db1"):
        notebook.cells.append(_copied(notebook, name, f"{name} = None  # your code here"))


def _same_copy_at_the_end(notebook: NotebookNode) -> None:
    notebook.cells.append(copy.deepcopy(_cell(notebook, "dnorm_logits")))


def _copy_used_for_another(notebook: NotebookNode) -> None:
    answer = _cell(notebook, "dlogit_maxes").source
    _delete(notebook, "dlogit_maxes")
    notebook.cells.insert(_at(notebook, "dnorm_logits") + 1, _copied(notebook, "dnorm_logits", answer))


def _first_try_kept(notebook: NotebookNode) -> None:
    notebook.cells.insert(_at(notebook, "dh"), _copied(notebook, "dh", "dh = W2 @ dlogits  # does not work?"))


def _split(notebook: NotebookNode, name: str, metadata: bool) -> None:
    place = _at(notebook, name)
    first, second = notebook.cells[place].source.split("\n", 1)
    notebook.cells.insert(place + 1, _copied(notebook, name, second) if metadata else _new(second))
    notebook.cells[place].source = first


def _split_in_lab(notebook: NotebookNode) -> None:
    for name in ("dlogits", "dC"):
        _split(notebook, name, metadata=True)


def _split_elsewhere(notebook: NotebookNode) -> None:
    for name in ("dlogits", "dC"):
        _split(notebook, name, metadata=False)


def _merged(notebook: NotebookNode) -> None:
    names = ("dnorm_logits", "dlogit_maxes", "dlogits")
    _cell(notebook, names[0]).source = "\n\n".join(_cell(notebook, name).source for name in names)
    _delete(notebook, *names[1:], "check_dlogit_maxes")


def _merged_into_a_check(notebook: NotebookNode) -> None:
    _cell(notebook, "check_dnorm_logits").source += "\n" + _cell(notebook, "dlogit_maxes").source
    _delete(notebook, "dlogit_maxes")


def _moved(notebook: NotebookNode) -> None:
    for name in ("dW2", "db1", "dlogprobs"):
        cell = _cell(notebook, name)
        _delete(notebook, name)
        notebook.cells.insert(_at(notebook, "backward") if name == "dlogprobs" else len(notebook.cells), cell)


def _moved_too_far(notebook: NotebookNode) -> None:
    cell = _cell(notebook, "dW2")
    _delete(notebook, "dW2")
    notebook.cells.insert(_at(notebook, "dlogits"), cell)


def _answered_elsewhere(notebook: NotebookNode) -> None:
    answers = [_cell(notebook, name).source for name in ("dlogit_maxes", "dlogits")]
    _delete(notebook, "dlogit_maxes", "dlogits")
    notebook.cells.insert(_at(notebook, "check_dlogit_maxes"), _new("\n".join(answers)))


def _answered_at_the_end(notebook: NotebookNode) -> None:
    answer = _cell(notebook, "demb").source
    _delete(notebook, "demb", "dC")
    notebook.cells += [
        _new(answer),
        _new("dC = torch.zeros_like(C)"),
        _new("dC.index_add_(0, Xb.view(-1), demb.view(-1, n_embd))"),
    ]


def _deleted(notebook: NotebookNode) -> None:
    _delete(notebook, "dW1", "check_dW1")


def _checks_gone(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if kind_of(cell) != "check"]


def _checks_edited(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if kind_of(cell) == "check":
            cell.source = "raise SystemExit  # cmp is always right"


def _other_ids(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        if grade_id(cell):
            cell.metadata.nbgrader.grade_id = f"cell-{number:016x}"


def _stripped_and_edited(notebook: NotebookNode) -> None:
    _cell(notebook, "data").source = _cell(notebook, "data").source.replace("'names.txt'", "'/home/me/names.txt'")
    _cell(notebook, "forward").source += "\nprint(loss)"
    _cell(notebook, "backward").source = _cell(notebook, "backward").source.replace("retain_graph=True", "")
    _strip(notebook)


def _stripped_in_one_cell(notebook: NotebookNode) -> None:
    cells = [cell.source for cell in notebook.cells if kind_of(cell) in ("locked", "stub")]
    notebook.cells = [_new("\n\n".join(cells))]


def _stripped_like_the_lecture(notebook: NotebookNode) -> None:
    """One cell of answers, partial sums among them, and one of checks; the fused exercise comes after it."""
    _cell(notebook, "dcounts").source = "dcounts = dprobs * counts_sum_inv"
    _cell(notebook, "dcounts_sum").source = "dcounts_sum = -counts_sum**-2 * dcounts_sum_inv"
    _cell(notebook, "dnorm_logits").source = (
        "dcounts += dcounts_sum.expand_as(counts)\n" + _cell(notebook, "dnorm_logits").source
    )
    locked = [cell for cell in notebook.cells if kind_of(cell) == "locked"]
    answers = "\n".join(cell.source for cell in notebook.cells if kind_of(cell) == "stub")
    checks = "\n".join(cell.source for cell in notebook.cells if kind_of(cell) == "check")
    fused = "dlogits = F.softmax(logits, 1)\ndlogits[range(n), Yb] -= 1\ndlogits /= n\ncmp('logits', dlogits, logits)"
    notebook.cells = [*locked, _new(answers), _new(checks), _new(fused)]
    _strip(notebook)


def _stripped_untouched(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = f"{grade_id(cell)} = None  # your code here"
    _strip(notebook)


def _other_language(notebook: NotebookNode) -> None:
    notebook.metadata["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    notebook.metadata["language_info"] = {"name": "R", "version": "4.4"}


def _other_environment(notebook: NotebookNode) -> None:
    notebook.metadata["kernelspec"] = {"name": "conda-env-ml-py", "display_name": "ml", "language": "python"}


def _same_cell_ids(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell["id"] = "same"


def _foreign(notebook: NotebookNode) -> None:
    notebook.cells = [_new("import pandas"), _new("x = 1")]


GONE = "metadata is missing: the answers were found by the names they assign"
CELLS: dict[str, tuple[Callable[[NotebookNode], None], float, str]] = {
    "as-it-is": (_as_it_is, 26, ""),
    "copy-before": (_copy_before, 26, "The answer cell of dlogits is there more than once"),
    "untouched-copy-behind": (_untouched_copy_behind, 26, "The answer cell of dlogits is there more than once"),
    "untouched-copies-at-the-end": (_untouched_copies_at_the_end, 26, "answer cells of dprobs, dlogits and db1 are"),
    "same-copy-at-the-end": (_same_copy_at_the_end, 26, "The answer cell of dnorm_logits is there more than once"),
    "copy-used-for-another": (_copy_used_for_another, 26, "the answer cell of dlogit_maxes is missing"),
    "first-try-kept": (_first_try_kept, 26, "the last copy that assigns its gradient counts"),
    "split-in-lab": (_split_in_lab, 26, "The answer cells of dlogits and dC are there more than once"),
    "split-elsewhere": (_split_elsewhere, 26, "The answers of dlogits and dC continue in the cell after"),
    "merged": (_merged, 26, "The answer cells of dlogit_maxes and dlogits are missing"),
    "merged-into-a-check": (_merged_into_a_check, 26, "The answer cell of dlogit_maxes is missing"),
    "moved": (_moved, 26, ""),
    "moved-too-far": (_moved_too_far, 25, ""),
    "answered-elsewhere": (_answered_elsewhere, 26, "The answer cells of dlogit_maxes and dlogits are missing"),
    "answered-at-the-end": (_answered_at_the_end, 26, "The answer cells of demb and dC are missing"),
    "deleted": (_deleted, 25, ""),
    "checks-gone": (_checks_gone, 26, ""),
    "checks-edited": (_checks_edited, 26, ""),
    "stripped": (_strip, 26, GONE),
    "other-ids": (_other_ids, 26, GONE),
    "stripped-and-edited": (_stripped_and_edited, 26, GONE),
    "stripped-in-one-cell": (_stripped_in_one_cell, 26, "No cell of this notebook is as it was released"),
    "stripped-like-the-lecture": (_stripped_like_the_lecture, 26, GONE),
    "stripped-untouched": (_stripped_untouched, 0, GONE),
    "other-language": (_other_language, 26, ""),
    "other-environment": (_other_environment, 26, ""),
    "same-cell-ids": (_same_cell_ids, 26, ""),
}
"""Notebooks by what happened to their cells, with the score and a part of the note."""


# what happens to the file


def _text(notebook: NotebookNode) -> str:
    return json.dumps(notebook)


def _version_3(notebook: NotebookNode, folder: Path) -> None:
    old = nbformat.convert(notebook, 3)
    (folder / "backprop.ipynb").write_text(nbformat.v3.writes_json(old), encoding="utf-8")


def _minor(number: int) -> Callable[[NotebookNode, Path], None]:
    def write(notebook: NotebookNode, folder: Path) -> None:
        notebook.nbformat_minor = number
        for cell in notebook.cells:
            cell.pop("id", None)
        (folder / "backprop.ipynb").write_text(_text(notebook), encoding="utf-8")

    return write


def _large_outputs(notebook: NotebookNode, folder: Path) -> None:
    output = nbformat.v4.new_output("stream", name="stdout", text="x" * 1_000_000)
    for cell in [cell for cell in notebook.cells if cell.cell_type == "code"][:50]:
        cell.outputs = [output]
    path = folder / "backprop.ipynb"
    path.write_text(_text(notebook), encoding="utf-8")
    assert path.stat().st_size > 50_000_000


def _encoded(encoding: str) -> Callable[[NotebookNode, Path], None]:
    return lambda notebook, folder: _put((folder / "backprop.ipynb"), _text(notebook).encode(encoding))


def _bytes(make: Callable[[bytes], bytes], *names: str) -> Callable[[NotebookNode, Path], None]:
    def write(notebook: NotebookNode, folder: Path) -> None:
        for name in names or ("backprop.ipynb",):
            _put(folder / name, make(_text(notebook).encode()))

    return write


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _named(*names: str) -> Callable[[NotebookNode, Path], None]:
    return _bytes(lambda data: data, *names)


def _own(name: str) -> Callable[[NotebookNode, Path], None]:
    """A notebook that was not made from the released one, under some name."""
    return lambda notebook, folder: _put(folder / name, (ROOT / "tests/notebooks/colab.ipynb").read_bytes())


def _beside(name: str, data: bytes | None = None) -> Callable[[NotebookNode, Path], None]:
    """The released notebook, untouched, or ``data`` under the right name, and the answers under another."""

    def write(notebook: NotebookNode, folder: Path) -> None:
        released = (ROOT / "release/backprop/backprop.ipynb").read_bytes()
        _put(folder / "backprop.ipynb", released if data is None else data)
        _put(folder / name, _text(notebook).encode())

    return write


def _folder_in_its_place(notebook: NotebookNode, folder: Path) -> None:
    (folder / "backprop.ipynb").mkdir()


def _link_out(notebook: NotebookNode, folder: Path) -> None:
    (folder / "backprop.ipynb").symlink_to(folder.parents[2] / "solutions/backprop/backprop.ipynb")


def _link_to_a_neighbour(notebook: NotebookNode, folder: Path) -> None:
    (folder / "backprop.ipynb").symlink_to("../../solution/backprop/backprop.ipynb")


def _folder_is_a_link(notebook: NotebookNode, folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to(folder.parents[2] / "solutions/backprop")


def _link_in_its_folder(notebook: NotebookNode, folder: Path) -> None:
    _put(folder / "mine.ipynb", _text(notebook).encode())
    (folder / "backprop.ipynb").symlink_to("mine.ipynb")


def _pipe(notebook: NotebookNode, folder: Path) -> None:
    os.mkfifo(folder / "backprop.ipynb")


def _sparse(notebook: NotebookNode, folder: Path) -> None:
    with (folder / "backprop.ipynb").open("wb") as file:
        file.truncate(2 << 30)


def _nothing(notebook: NotebookNode, folder: Path) -> None:
    """The folder stays empty."""


LOGIN = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Session expired.</body></html>"
FILES: dict[str, tuple[Callable[[NotebookNode, Path], None], ReportOutcome, float, str]] = {
    "nbformat-3": (_version_3, "graded", 26, ""),
    **{f"nbformat-4-{number}": (_minor(number), "graded", 26.0, "") for number in range(6)},
    "large-outputs": (_large_outputs, "graded", 26, ""),
    "utf-8-mark": (_encoded("utf-8-sig"), "graded", 26, ""),
    "utf-16": (_encoded("utf-16"), "graded", 26, ""),
    "latin-1": (_bytes(lambda data: "é".encode("latin-1") + data), "unreadable", 0, "is not UTF-8 text"),
    "half": (_bytes(lambda data: data[: len(data) // 2]), "unreadable", 0, "may be half-written"),
    "empty": (_bytes(lambda data: b""), "unreadable", 0, "is empty"),
    "login-page": (_bytes(lambda data: LOGIN), "unreadable", 0, "is a web page"),
    "folder": (_folder_in_its_place, "unreadable", 0, "it is a folder"),
    "pipe": (_pipe, "unreadable", 0, "it is a pipe"),
    "sparse": (_sparse, "unreadable", 0, "it has 2,048 MiB"),
    "link-out": (_link_out, "unreadable", 0, "is a link and is not read"),
    "link-to-a-neighbour": (_link_to_a_neighbour, "unreadable", 0, "is a link and is not read"),
    "folder-is-a-link": (_folder_is_a_link, "unreadable", 0, "is a link and is not read"),
    "link-in-its-folder": (_link_in_its_folder, "graded", 26, "Links are not followed: backprop.ipynb."),
    "downloaded-twice": (_named("backprop (1).ipynb"), "graded", 26, "backprop (1).ipynb was graded: there is no"),
    "renamed-late": (_named("s01_late_backprop.ipynb"), "graded", 26, "s01_late_backprop.ipynb was graded"),
    "nested": (_named("my work/backprop.ipynb"), "graded", 26, "my work/backprop.ipynb was graded"),
    "saved-by-jupyter": (_named("backprop-checkpoint.ipynb"), "graded", 26, "backprop-checkpoint.ipynb was graded"),
    "checkpoints": (
        _named(".ipynb_checkpoints/backprop-checkpoint.ipynb"),
        "graded",
        26,
        ".ipynb_checkpoints/backprop-checkpoint.ipynb was graded",
    ),
    "checkpoints-beside": (_named("backprop.ipynb", ".ipynb_checkpoints/backprop-checkpoint.ipynb"), "graded", 26, ""),
    "two-others": (
        _named("b.ipynb", "a.ipynb"),
        "graded",
        26,
        "a.ipynb was graded: there is no backprop.ipynb. Another ",
    ),
    "answers-beside": (_beside("backprop-Copy1.ipynb"), "graded", 0, "answers was not graded: backprop-Copy1.ipynb"),
    "empty-and-copy": (_beside("backprop (1).ipynb", b""), "graded", 26, "graded: backprop.ipynb cannot be read"),
    "own-notebook": (_own("backprop.ipynb"), "graded", 26, "No cell of this notebook is as it was released"),
    "own-notebook-and-name": (_own("my_ninja.ipynb"), "graded", 26, "my_ninja.ipynb was graded: there is no backprop"),
    "no-notebook": (
        lambda notebook, folder: _put(folder / "backprop.pdf", b"%PDF"),
        "not-submitted",
        0,
        "backprop.pdf",
    ),
    "nothing": (_nothing, "not-submitted", 0, ""),
    "foreign": (
        lambda notebook, folder: _put(folder / "backprop.ipynb", _text(_changed(notebook, _foreign)).encode()),
        "unreadable",
        0,
        "none of the 26 answer cells",
    ),
}
"""Submissions by what happened to the file, with the outcome, the score and a part of the message."""


def _changed(notebook: NotebookNode, change: Callable[[NotebookNode], None]) -> NotebookNode:
    change(notebook)
    return notebook


@dataclass(frozen=True)
class Graded:
    """A course after `handgrad grade`: what the command said, and the reports that it stored."""

    course: Path
    done: subprocess.CompletedProcess[str]
    reports: dict[str, Report]


def _make_course(course: Path, solved: NotebookNode, files: Iterable[str], cells: Iterable[str]) -> None:
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind, course / kind)
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (course / "nbgrader_config.py").write_text(f"{config}\nc.Handgrad.cell_seconds = 3.0\n", encoding="utf-8")
    release, solution = (
        nbformat.read(course / kind / "backprop/backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )

    def folder(student: str) -> Path:
        place = course / "submitted" / student / "backprop"
        place.mkdir(parents=True)
        return place

    for name in NEIGHBOURS:
        case = mistake(name)
        (folder(name) / "backprop.ipynb").write_bytes(case.content(release, solution))
    for name in cells:
        notebook = _changed(copy.deepcopy(solved), CELLS[name][0])
        (folder(name) / "backprop.ipynb").write_text(_text(notebook), encoding="utf-8")
    for name in files:
        FILES[name][0](copy.deepcopy(solved), folder(name))


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, solved: NotebookNode) -> Graded:
    """A class of broken notebooks and their honest neighbours, graded by one command."""
    course = tmp_path_factory.mktemp("broken")
    _make_course(course, solved, FILES, CELLS)
    done = handgrad("grade", "backprop", "--no-feedback", folder=course)
    reports = stored_reports(Course.at(course), "backprop")
    return Graded(course, done, {report.student: report for report in reports})


def _losses(report: Report) -> list[str]:
    return [
        f"{verdict.gradient} {verdict.outcome}: {verdict.sentence}"
        for verdict in report.checks
        if verdict.outcome != "passed"
    ]


def test_command(graded: Graded) -> None:
    """The command grades everybody and fails nowhere: what could not be graded is the student's own matter."""
    assert graded.done.returncode == 1, graded.done.stderr
    assert set(graded.reports) == {*NEIGHBOURS, *CELLS, *FILES}
    assert not [report for report in graded.reports.values() if report.outcome == "not-graded"]


def test_neighbours(graded: Graded) -> None:
    """An honest student gets what the same notebook gets alone, and no note."""
    for name in NEIGHBOURS:
        with named(name):
            report = graded.reports[name]
            assert report.outcome == "graded"
            assert report.score == mistake(name).score
            assert report.message == ""


def test_cells(graded: Graded) -> None:
    """Whatever happened to the cells, the answers count, and the note says what was repaired."""
    for name, (_, score, note) in CELLS.items():
        with named(name):
            report = graded.reports[name]
            assert report.outcome == "graded", report.message
            assert report.score == score, _losses(report)
            assert note in report.message
            assert bool(note) == bool(report.message)


def test_files(graded: Graded) -> None:
    """Whatever happened to the file, it is graded where it can be read, and a sentence says why where it cannot."""
    for name, (_, outcome, score, note) in FILES.items():
        with named(name):
            report = graded.reports[name]
            assert report.outcome == outcome, report.message
            assert report.score == score, _losses(report)
            assert note in report.message
            assert bool(note) == bool(report.message)
            assert "\n" not in report.message


def test_no_silent_zero(graded: Graded) -> None:
    """What could not be graded has no score in the gradebook; everybody else has the score of the report."""
    with Gradebook(f"sqlite:///{graded.course / 'gradebook.db'}") as gradebook:
        scores = {
            submission.student.id: submission.score for submission in gradebook.assignment_submissions("backprop")
        }
    assert scores == {name: report.score for name, report in graded.reports.items() if report.outcome == "graded"}


def test_autograded(graded: Graded) -> None:
    """The autograded notebook has its ids again, each once, and shows the verdicts under the checks."""
    for name in ["stripped", "other-ids", "split-in-lab", "merged"]:
        with named(name):
            notebook = nbformat.read(graded.course / "autograded" / name / "backprop/backprop.ipynb", as_version=4)
            ids = [grade_id(cell) for cell in notebook.cells if grade_id(cell)]
            assert len(set(ids)) == len(ids)
            shown = [cell for cell in notebook.cells if kind_of(cell) == "check" and cell.outputs]
            assert len(shown) == (25 if name == "merged" else 26)


STOCK = ("as-it-is", "untouched-copy-behind", "other-ids", "stripped-in-one-cell", "utf-16")
REFUSED = ("half", "empty", "login-page", "folder", "pipe", "sparse", "foreign", "link-out", "downloaded-twice")
UNSEEN = "no-notebook"
"""What nbgrader's own command grades, what it fails on, and what it does not look at."""


@pytest.mark.proof
def test_nbgrader_autograde(tmp_path: Path, solved: NotebookNode) -> None:
    """nbgrader's command grades the same broken cells; on what cannot be read it fails aloud, and leaves rows of zero.

    It decides before our code runs: `handgrad grade` is what leaves no row.
    """
    names = {*STOCK, *REFUSED, UNSEEN}
    _make_course(tmp_path, solved, names & FILES.keys(), names & CELLS.keys())

    def nbgrader(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nbgrader", *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )

    assert nbgrader("generate_assignment", "backprop", "--force").returncode == 0
    done = nbgrader("autograde", "backprop")
    assert done.returncode != 0
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        rows = {submission.student.id: submission.score for submission in gradebook.assignment_submissions("backprop")}
    assert {name: rows[name] for name in STOCK} == dict.fromkeys(STOCK, 26)
    failed = {name for name in names if f"for student '{name}'" in done.stderr}
    assert failed == set(REFUSED)
    assert {name for name, score in rows.items() if score == 0} == set(REFUSED)
    assert UNSEEN not in rows
