"""Notebooks that were not made from the released one: a student's own, in the shape of the lecture's."""

import ast
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from handgrad.authoring.cases import Case, read_cases
from handgrad.course.commands.check_notebook import PACKAGED, exercise_for
from handgrad.course.course import Course
from handgrad.errors import ExerciseError, RenameError
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.release_file import read_released
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.notebook import execution, syntax, syntax_trees
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report
from handgrad.submission import forbidden_names
from handgrad.submission.submission import Submission
from helpers.inputs import named
from helpers.paths import MISTAKES, NOTEBOOKS, ROOT
from helpers.text_formats import FORMATS
from helpers.warm_grader import warm_grader

FORWARD, BACKWARD, CLOSED_FORM, TRAINING = "emb = C[Xb]", "# every gradient", "dlogits = None", "# fourth exercise"
"""How cells of the notebook begin."""
CASES = [case for case in read_cases(MISTAKES) if case.assignment == "backprop"]
SLIP = (r"dprobs = \(1.0 / probs\)", "dprobs = (2.0 / probs)")


@pytest.fixture(scope="session")
def lecture() -> NotebookNode:
    """A student's own notebook; copy before you change it."""
    return read_notebook(NOTEBOOKS / "colab.ipynb")


def _cell(notebook: NotebookNode, start: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.source.startswith(start))


def _replace(notebook: NotebookNode, start: str, *changes: tuple[str, str]) -> None:
    cell = _cell(notebook, start)
    for pattern, text in changes:
        assert re.search(pattern, cell.source, re.MULTILINE)
        cell.source = re.sub(pattern, text, cell.source, flags=re.MULTILINE)


def _backward(notebook: NotebookNode) -> str:
    """The lines of the backward pass, without the comparisons."""
    lines = _cell(notebook, BACKWARD).source.splitlines()
    return "\n".join(line for line in lines if not line.startswith("cmp"))


def _grade(grader: Grader, notebook: NotebookNode, *renames: str) -> Report:
    return grader.grade(Submission.of(notebook, grader.exercise, renames)).report


def _losses(report: Report) -> dict[str, str]:
    return {verdict.gradient: verdict.outcome for verdict in report.checks if verdict.outcome != "passed"}


@pytest.mark.parametrize("name", ["colab.ipynb", "percent.py", "script.py"])
def test_files(name: str, grader: Grader) -> None:
    """A right notebook has full marks as it is and as a Python file, and the note says what ran and what did not."""
    report = _grade(grader, read_notebook(NOTEBOOKS / name))
    assert _losses(report) == {}
    assert report.message == (
        "No cell of this notebook is as it was released: the answers were found by the names they assign, "
        "and the setup and forward pass of backprop replaced its own."
    )


def test_formats(solved: NotebookNode, grader: Grader, tmp_path: Path) -> None:
    """A solved notebook has full marks in every format that is read, with a magic and an odd character in it too."""
    notebook = copy.deepcopy(solved)
    cell = next(cell for cell in notebook.cells if grade_id(cell) == "dprobs")
    cell.source = f"%%time\n# % of the batch\u2028in its row\n{cell.source}"
    for name, write in FORMATS.items():
        with named(name):
            path = tmp_path / name
            path.write_bytes(write(notebook).encode())
            report = _grade(grader, read_notebook(path))
            assert (_losses(report), report.score) == ({}, 26)
            assert ("Cell 2 is not a cell." in report.message) == (name == "odd_cells.ipynb")


def test_what_runs(lecture: NotebookNode, exercise: Exercise) -> None:
    """Setup, forward pass, downloads, plots, comparisons, training and sampling do not run; the answers' lines do."""
    submission = Submission.of(lecture, exercise)
    lines = [line.strip() for cell in submission.cells for line in cell.source.splitlines()]
    answers = _backward(lecture).splitlines()
    run = [line for line in lines if line not in ("#", "pass", "")]
    # the exercise's own last cell, which this notebook does not have, comes after them
    assert run == [*(line.strip() for line in answers), "progress()"]
    *answered, last = submission.cells
    assert (last.source, last.position) == ("progress()", None)
    assert {cell.position for cell in answered} == {lecture.cells.index(_cell(lecture, BACKWARD))}
    assert [len(cell.gradients) for cell in answered] == [1] * 26


# what a student may have done to the notebook


def _as_it_is(notebook: NotebookNode) -> None:
    """Nothing."""


def _in_a_with_block(notebook: NotebookNode) -> None:
    cell = _cell(notebook, BACKWARD)
    cell.source = f"import torch as th\nwith th.no_grad():\n{textwrap.indent(cell.source, '    ')}"


def _in_a_loop_of_one(notebook: NotebookNode) -> None:
    cell = _cell(notebook, BACKWARD)
    cell.source = f"for _ in range(1):\n{textwrap.indent(cell.source, '    ')}"


def _timed(notebook: NotebookNode) -> None:
    cell = _cell(notebook, BACKWARD)
    cell.source = f"%%time\n{cell.source}"


def _one_cell(notebook: NotebookNode) -> None:
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code" and "undefined" not in cell.source]
    cell = _cell(notebook, FORWARD)
    cell.source = "\n".join(sources)
    notebook.cells = [cell]


def _cell_by_cell(notebook: NotebookNode) -> None:
    cell = _cell(notebook, BACKWARD)
    place = notebook.cells.index(cell)
    parts = re.split(r"(?<=\))\n(?=d)", cell.source)
    assert len(parts) > 20
    notebook.cells[place : place + 1] = [type(cell)({**cell, "source": part}) for part in parts]


def _closed_forms(notebook: NotebookNode) -> None:
    source = "dlogits = F.softmax(logits, 1)\ndlogits[range(n), Yb] -= 1\ndlogits /= n\ncmp('logits', dlogits, logits)"
    _cell(notebook, CLOSED_FORM).source = source


def _trained_by_hand(notebook: NotebookNode) -> None:
    lines = textwrap.indent(_backward(notebook), "        ").replace("\\", r"\\")
    _replace(notebook, TRAINING, (r"^ +dlogits = None\n.*\n", f"{lines}\n"))


def _broken_cell(notebook: NotebookNode) -> None:
    cell = _cell(notebook, BACKWARD)
    notebook.cells.insert(notebook.cells.index(cell), type(cell)({**cell, "source": "dprobs = (\nwhat now?"}))


def _wrong_try_before(notebook: NotebookNode) -> None:
    source = "dcounts = dprobs * counts_sum_inv\n"
    _replace(notebook, BACKWARD, (r"^dcounts = ", f"{source}cmp('counts', dcounts, counts)\ndcounts = "))


def _own_check(notebook: NotebookNode) -> None:
    source = "def check(given, tensor):\n    assert torch.equal(given, tensor.grad)\n"
    cell = _cell(notebook, BACKWARD)
    cell.source = source + re.sub(r"cmp\('\w+', ", "check(", cell.source)


def _own_adder(notebook: NotebookNode) -> None:
    _replace(notebook, BACKWARD, (r"dC\[ix\] \+= demb\[k, j\]", "add(dC, ix, demb[k, j])"))
    cell = _cell(notebook, BACKWARD)
    cell.source = f"def add(table, k, row):\n    table[k] += row\n\n{cell.source}"


def _second_names(notebook: NotebookNode) -> None:
    """Each of these lines is another way of writing to a gradient."""
    _replace(
        notebook,
        BACKWARD,
        (r"^dlogprobs\[range.*", "for row, right in zip(dlogprobs, Yb):\n    row[right] = -1.0 / n"),
        (r"^dcounts \+= (.*)", r"d = dcounts\nd += \1"),
        (r"^dh = (.*)", r"def back():\n    global dh\n    dh = \1\nback()"),
        (r"^db2 = (.*)", r"globals()['db2'] = \1"),
        (r"^dW2 = (.*)", r"dW2 = torch.zeros_like(W2)\ntorch.matmul(h.T, dlogits, out=dW2)"),
        (r"^dbndiff \+= (.*)", r"dbndiff.view(-1).add_((\1).view(-1))"),
        (r"dC\[ix\] \+= demb\[k, j\]", "np.add.at(dC.numpy(), ix, demb[k, j].numpy())"),
    )
    cell = _cell(notebook, BACKWARD)
    cell.source = f"import numpy as np\n{cell.source}"


RIGHT = (
    *(_as_it_is, _in_a_with_block, _in_a_loop_of_one, _timed, _one_cell, _cell_by_cell, _closed_forms),
    *(_trained_by_hand, _broken_cell, _wrong_try_before, _own_check, _second_names),
)


@pytest.mark.parametrize("change", RIGHT, ids=lambda change: change.__name__[1:])
def test_styles(change: Callable[[NotebookNode], None], lecture: NotebookNode, grader: Grader) -> None:
    """However a notebook is laid out, right answers have full marks, and an early slip costs one."""
    notebook = copy.deepcopy(lecture)
    change(notebook)
    assert _losses(_grade(grader, notebook)) == {}
    for cell in notebook.cells:
        cell.source = re.sub(*SLIP, cell.source)
    assert _losses(_grade(grader, notebook)) == {"dprobs": "failed"}


def test_function_that_changes(lecture: NotebookNode, grader: Grader) -> None:
    """A gradient that a function of the student's own changes in place counts as it stands at the end."""
    notebook = copy.deepcopy(lecture)
    _own_adder(notebook)
    assert _losses(_grade(grader, notebook)) == {}


@pytest.fixture(scope="session")
def pages() -> tuple[NotebookNode, NotebookNode]:
    """The released notebook and its solution, of which the cases are made."""
    release, solution = (read_notebook(ROOT / kind / "backprop/backprop.ipynb") for kind in ("release", "solutions"))
    return release, solution


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("right-")], ids=lambda case: case.name)
def test_right_answers(
    case: Case, pages: tuple[NotebookNode, NotebookNode], lecture: NotebookNode, grader: Grader
) -> None:
    """Right answers in unusual style count in a notebook of one's own as they do in the released one."""
    answered = case.notebook(*pages)
    kinds = [kind_of(cell) for cell in answered.cells]
    own = [cell for place, cell in enumerate(answered.cells) if place >= kinds.index("stub") or kinds[place] == "free"]
    for cell in own:
        cell.metadata.clear()
    notebook = copy.deepcopy(lecture)
    place = notebook.cells.index(_cell(notebook, BACKWARD))
    notebook.cells[place : place + 1] = own
    report = _grade(grader, notebook)
    assert report.message.startswith("No cell of this notebook")
    assert _losses(report) == {}


def test_half_finished(lecture: NotebookNode, grader: Grader) -> None:
    """What is not written yet, set to None or absent, is missing; what uses it is graded all the same."""
    notebook = copy.deepcopy(lecture)
    _replace(
        notebook,
        BACKWARD,
        (r"^dprobs = .*", "dprobs = None"),
        (r"^dcounts_sum = .*\n", ""),
        (r"^dembcat = (?s:.*)", "dembcat = None"),
    )
    assert _losses(_grade(grader, notebook)) == dict.fromkeys(
        ["dprobs", "dcounts_sum", "dembcat", "dW1", "db1", "demb", "dC"], "missing"
    )


def test_not_python(lecture: NotebookNode, grader: Grader) -> None:
    """A gradient that is assigned only in a cell that is no Python is told of the error there."""
    notebook = copy.deepcopy(lecture)
    _replace(notebook, BACKWARD, (r"^dC = ", "dC = = "))
    report = _grade(grader, notebook)
    assert set(_losses(report).values()) == {"error"}
    assert "raises SyntaxError" in report.verdicts()["check_dC"].message


def test_function(lecture: NotebookNode, grader: Grader) -> None:
    """Answers that one call returns are compared at its end: right ones count, and the limit is told."""
    notebook = copy.deepcopy(lecture)
    names = ", ".join(grader.exercise.stubs)
    body = textwrap.indent(_backward(notebook), "    ")
    _cell(notebook, BACKWARD).source = f"def backward():\n{body}\n    return {names}\n\n{names} = backward()"
    report = _grade(grader, notebook)
    assert _losses(report) == {"dlogit_maxes": "partial", "db1": "partial"}
    assert "22 more end in one statement" in report.message
    assert "could not be tested" in report.verdicts()["check_db1"].message


# names


def _rename(notebook: NotebookNode, theirs: str, ours: str) -> None:
    for start in (FORWARD, BACKWARD):
        _replace(notebook, start, (rf"\b(d?){ours}\b", rf"\g<1>{theirs}"))


def test_same_line(lecture: NotebookNode, grader: Grader) -> None:
    """Names that the same lines of the forward pass make are followed, one after the other, and the note says so."""
    notebook = copy.deepcopy(lecture)
    for theirs, ours in (("z1", "hprebn"), ("mean", "bnmeani"), ("lp", "logprobs")):
        _rename(notebook, theirs, ours)
    _replace(notebook, FORWARD, (r"1/n\*z1.sum\(0, keepdim=True\)", "z1.sum(0, keepdims=True) * (1.0/n)"))
    report = _grade(grader, notebook)
    assert _losses(report) == {}
    assert "z1 as hprebn, mean as bnmeani, lp as logprobs" in report.message


def test_another_line(lecture: NotebookNode, grader: Grader) -> None:
    """A name that another line makes is not followed, but the note says what to type, and that fixes it."""
    notebook = copy.deepcopy(lecture)
    _rename(notebook, "avg", "bnmeani")
    _replace(notebook, FORWARD, (r"^avg = .*", "avg = z.mean(0, keepdim=True)"))
    report = _grade(grader, notebook)
    assert _losses(report) == {"dbnmeani": "missing"}
    assert "--rename avg=bnmeani" in report.message
    fixed = _grade(grader, notebook, "avg=bnmeani")
    assert _losses(fixed) == {}
    assert "--rename" not in fixed.message


def test_two_for_one(lecture: NotebookNode, exercise: Exercise) -> None:
    """Of two names for one tensor none is followed."""
    notebook = copy.deepcopy(lecture)
    _rename(notebook, "mean", "bnmeani")
    _replace(notebook, FORWARD, (r"^(mean) = (.*)", r"\1 = \2\nother = \2"))
    note = Submission.of(notebook, exercise).note
    assert "read as" not in note
    assert "add --rename mean=bnmeani, --rename other=bnmeani." in note


def test_gradient_s_name(lecture: NotebookNode, grader: Grader) -> None:
    """A gradient may be named in the place of its tensor, and functions keep their own parameters."""
    notebook = copy.deepcopy(lecture)
    _rename(notebook, "avg", "bnmeani")
    _replace(notebook, FORWARD, (r"^avg = .*", "avg = z"))
    _replace(notebook, BACKWARD, (r"^davg = (.*)", r"def back(avg, davg=None):\n    return avg\ndavg = back(avg=\1)"))
    assert _losses(_grade(grader, notebook, "davg=dbnmeani")) == {}


def test_other_gradient_s_name(lecture: NotebookNode, grader: Grader) -> None:
    """A gradient need not begin with a d."""
    notebook = copy.deepcopy(lecture)
    _replace(notebook, BACKWARD, (r"\bdprobs\b", "grad_of_probs"))
    assert _losses(_grade(grader, notebook)) == {"dprobs": "missing"}
    assert _losses(_grade(grader, notebook, "grad_of_probs=dprobs")) == {}


def test_bad_renames(lecture: NotebookNode, exercise: Exercise) -> None:
    """A rename that cannot be followed says why, with the likeliest name."""
    for renames, sentence in [
        (["bnmean"], "--rename bnmean is not THEIRS=OURS"),
        (["a b=bnmeani"], "is not THEIRS=OURS"),
        (["bnmeani=bnmeani"], "is not THEIRS=OURS"),
        (["dhh=bnmean"], "backprop has no bnmean. Did you mean bnmeani?"),
        (["embcatt=embcat"], "the notebook has no embcatt. Did you mean embcat?"),
        (["grads=bnmeani", "grads=bnvar"], "one of the two names is in another --rename too"),
        (["grads=bnvar", "lossi=bnvar"], "one of the two names is in another --rename too"),
        (["h=bnvar"], "the notebook assigns both dh and dbnvar"),
    ]:
        with named(renames, sentence), pytest.raises(RenameError, match=re.escape(sentence)):
            Submission.of(lecture, exercise, renames)


@pytest.mark.parametrize("depth", [90, 500, 5000])
def test_deep(depth: int, exercise: Exercise, make_notebook: Callable[..., NotebookNode]) -> None:
    """What is nested deeper than any person writes costs nobody an answer."""
    deep = "-" * depth
    sources = [
        f"z = {deep}q",
        f"def f(a):\n    a[0] = {deep}z",
        f"emb = {deep}z",
        "dprobs = probs\nk = 1",
        f"dh = {deep}k",
    ]
    notebook = make_notebook(*(("free", "", source) for source in sources))
    for renames in ([], ["k=bnvar"]):
        assert "dprobs" in Submission.of(notebook, exercise, renames).written()


# which exercise, and the command


def test_found_by_gradients(
    lecture: NotebookNode, make_notebook: Callable[..., NotebookNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its name, a notebook belongs to the exercise of the course whose gradients it assigns."""
    course = tmp_path / "course"
    for name in ("another", "backprop"):
        (course / "source" / name).mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", course)
    shutil.copy(ROOT / "source/backprop/backprop.ipynb", course / "source/backprop")
    other = make_notebook(
        ("locked", "parameters", "seed = 1"),
        ("locked", "forward", "from handgrad import cmp\nz = seed"),
        ("stub", "dz", "dz = None"),
        ("check", "check_dz", "cmp('z', dz, z)"),
    )
    (course / "source/another/another.ipynb").write_text(json.dumps(other), encoding="utf-8")
    monkeypatch.chdir(course / "source")
    own = course / "solutions" / "another"
    assert exercise_for(own / "another (1).ipynb", lecture).name == "backprop"
    another = make_notebook(("free", "", "dz = 1"))
    assert exercise_for(own / "my_ninja.ipynb", another).name == "another"
    # what lies elsewhere is not the course's, unless the course is named
    for place in (tmp_path, course, course / "submitted/ann/another"):
        assert exercise_for(place / "another.ipynb", another).directory.parent == PACKAGED
        assert exercise_for(place / "another.ipynb", another, Course(course)).name == "another"
    # and a course in a student's folder is no course
    theirs = course / "submitted/eve"
    shutil.copytree(course / "source", theirs / "source")
    shutil.copy(ROOT / "nbgrader_config.py", theirs)
    monkeypatch.chdir(theirs)
    assert exercise_for(theirs / "source/another/another.ipynb", another).directory.parent == PACKAGED


def test_beside_other_assignments(
    lecture: NotebookNode, make_notebook: Callable[..., NotebookNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary assignment and a half-written exercise matter to their own notebooks only."""
    monkeypatch.chdir(tmp_path)
    course = Course(tmp_path)
    others = {
        "sums": make_notebook(("stub", "total", "total = sum"), ("check", "test_total", "assert total([1]) == 1")),
        "half": make_notebook(("locked", "parameters", "seed = 1"), ("stub", "dz", "dz = None")),
    }
    for name, notebook in others.items():
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / f"source/{name}/{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    hers = tmp_path / "submitted/ann/backprop"
    assert exercise_for(hers / "backprop.ipynb", lecture, course).directory == PACKAGED / "backprop"
    shutil.copytree(ROOT / "source/backprop", tmp_path / "source/backprop")
    assert exercise_for(hers / "backprop.ipynb", lecture, course).directory == tmp_path / "source/backprop"
    with pytest.raises(ExerciseError, match=r"sums.ipynb is not an exercise of handgrad"):
        exercise_for(tmp_path / "source/sums/sums.ipynb", others["sums"])
    with pytest.raises(ExerciseError, match="stub 'dz' has no check"):
        exercise_for(tmp_path / "submitted/ann/half/mine.ipynb", others["half"], course)


def test_a_released_exercise_is_not_trusted(
    lecture: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file beside a notebook may be a student's: one that is ours is taken from the package, and one among hand-ins
    is not read.
    """
    monkeypatch.chdir(tmp_path)
    for folder, is_read in ((tmp_path / "release/backprop", True), (tmp_path / "submitted/ann/backprop", False)):
        shutil.copytree(ROOT / "release/backprop", folder)
        found = exercise_for(folder / "backprop.ipynb", lecture)
        assert (found.is_trusted, found.directory) == (True, PACKAGED / "backprop")
        path = folder / "exercise.json"
        path.write_text(path.read_text(encoding="utf-8").replace("import torch", "import torch  # mine"), "utf-8")
        found = exercise_for(folder / "backprop.ipynb", lecture)
        assert (found.is_trusted, found.directory) == ((False, folder) if is_read else (True, PACKAGED / "backprop"))


@pytest.mark.parametrize("kind", ["release", "solutions"])
def test_found_among_exercises_that_share_gradients(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A released notebook under another name belongs to its own exercise, also where another asks for as much."""
    monkeypatch.chdir(tmp_path)
    for name in sorted(path.name for path in (ROOT / "source").iterdir()):
        notebook = read_notebook(ROOT / kind / name / f"{name}.ipynb")
        assert exercise_for(tmp_path / "mine.ipynb", notebook).name == name


@pytest.mark.parametrize("name", ["cross_entropy", pytest.param("batch_norm", marks=pytest.mark.slow)])
def test_one_notebook_for_several_exercises(name: str, lecture: NotebookNode) -> None:
    """A notebook of all exercises answers each; the training loop, with a forward pass of its own, answers none."""
    exercise = Exercise.read(ROOT / "source" / name / f"{name}.ipynb")
    (stub,) = exercise.stubs
    wrong = copy.deepcopy(lecture)
    _replace(wrong, BACKWARD, (rf"^{stub} = (.*)", rf"{stub} = 2 * \1"))
    with warm_grader(exercise, [5]) as grader:
        for notebook, losses in ((lecture, {}), (wrong, {stub: "failed"})):
            assert _losses(_grade(grader, notebook)) == losses


def test_packaged() -> None:
    """The exercises that come with handgrad are those that were released, with their files."""
    packaged = {path.parent.name for path in PACKAGED.glob("*/exercise.json")}
    assert packaged == {path.name for path in (ROOT / "release").iterdir()}
    for name in packaged:
        for path in (PACKAGED / name).iterdir():
            assert path.read_bytes() == (ROOT / "release" / name / path.name).read_bytes()
        beside = {path.name for path in (ROOT / "source" / name).iterdir()} - {f"{name}.ipynb"}
        assert {path.name for path in (PACKAGED / name).iterdir()} == {"exercise.json", *beside}
        assert read_released(PACKAGED / name / "exercise.json").name == name


def _check(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "handgrad.cli", "check", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_command(tmp_path: Path, lecture: NotebookNode) -> None:
    """`handgrad check` needs nothing but the notebook."""
    notebook = copy.deepcopy(lecture)
    _rename(notebook, "avg", "bnmeani")
    _replace(notebook, FORWARD, (r"^avg = .*", "avg = hprebn.mean(0, keepdim=True)"))
    path = tmp_path / "my_ninja (1).ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    done = _check(path, "--rename", "avg=bnmeani", "--format", "json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["score"] == 26


def test_a_source_is_parsed_once(exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that looks into a cell shares one syntax tree, also when names are replaced and cells are cut."""
    parsed: list[str] = []
    parse = ast.parse

    def counting(source: str, *arguments: Any, **keywords: Any) -> ast.Module:
        parsed.append(source)
        return parse(source, *arguments, **keywords)

    syntax_trees._tree.cache_clear()
    syntax._parsed_cell.cache_clear()
    forbidden_names._after.cache_clear()
    monkeypatch.setattr(ast, "parse", counting)
    submission = Submission.of(read_notebook(ROOT / "tests/notebooks/colab.ipynb"), exercise)
    with warm_grader(exercise, [314159], GradingSettings(trust=True)) as grader:
        grader.grade(submission)
    assert len(parsed) > 50
    assert [source for source, count in Counter(parsed).items() if count > 1] == []


def test_few_syntax_trees_are_kept() -> None:
    """A worker that grades hundreds of submissions keeps the trees of the newest cells, and of no long cell."""
    for number in range(400):
        assert syntax.ParsedCell.of(f"x = {number}") is not None
    long = "x = 1\n" * syntax_trees.MAX_CACHED
    held = syntax._parsed_cell.cache_info().currsize, syntax_trees._tree.cache_info().currsize
    assert held == (256, 256)
    before = syntax_trees._tree.cache_info()
    assert syntax.ParsedCell.of(long) is not None
    assert syntax_trees._tree.cache_info() == before


def test_a_tree_is_not_changed() -> None:
    """Running a cell, reading it and replacing names in it leave the shared tree as it was."""
    source = "import torch\nx = torch.ones(2).grad\nfor i in range(1):\n    dx = x\ndx"
    before = ast.dump(syntax_trees.parse(source) or ast.Module([], []))
    execution.CompiledCell(source).code()
    forbidden_names.find_forbidden([source], ["dx"])
    parsed = syntax.ParsedCell.of(source)
    assert parsed is not None
    parsed.cut(["dx"])
    assert ast.dump(syntax_trees.parse(source) or ast.Module([], [])) == before
