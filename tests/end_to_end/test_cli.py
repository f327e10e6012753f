"""The command line as its users meet it: real files, exit statuses, and processes where they matter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from handgrad.authoring.cases import read_cases
from handgrad.authoring.demo_class import only_samples
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from helpers import paths
from helpers.commands import handgrad
from helpers.inputs import named
from helpers.paths import MISTAKES, ROOT

ENVIRONMENT = {**paths.ENVIRONMENT, "COLUMNS": "120"}


def process(*arguments: str | Path, folder: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """Run the command in ``folder`` as a process of its own; ``encoding`` is what its output is written in."""
    command = ["handgrad", *map(str, arguments)]
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding=encoding, check=False
    )


def make_course(folder: Path) -> Path:
    """A fresh copy of the project's course, with short time limits."""
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind, folder / kind)
    shutil.copytree(MISTAKES, folder / "tests" / "cases" / "mistakes")
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (folder / "nbgrader_config.py").write_text(f"{config}\nc.Handgrad.cell_seconds = 3.0\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A fresh course in which `handgrad demo` has been run once."""
    course = make_course(tmp_path_factory.mktemp("demo"))
    return course, process("demo", folder=course)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A fresh course."""
    return make_course(tmp_path)


SAMPLES = [case for case in read_cases(MISTAKES) if case.student]


@pytest.mark.slow
def test_demo_is_a_class(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The demo grades at least twelve students, prints the class and tells where the report is."""
    course, done = demo
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(SAMPLES) >= 12
    for case in SAMPLES:
        assert str(case.student) in done.stdout
    assert str(course / "report.html") in done.stdout
    assert "s01" in (course / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_demo_scores(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Each sample student has the score of the known mistake in the gradebook, a notebook and a feedback page."""
    for case in SAMPLES:
        with named(case):
            course, _ = demo
            student = str(case.student)
            with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
                assert gradebook.find_submission("backprop", student).score == case.score
            assert (course / "autograded" / student / "backprop" / "backprop.ipynb").is_file()
            assert (course / "feedback" / student / "backprop" / "backprop.html").is_file()


@pytest.mark.slow
def test_only_the_sample_class_is_trusted(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The demo trusts what it wrote itself: a sample that was edited, or anybody else's work, is not trusted."""
    course = Course.at(demo[0])
    assert only_samples(course, "backprop")
    path = next(iter(sorted(course.folder("submitted").glob("*/backprop/backprop.ipynb"))))
    kept = path.read_text(encoding="utf-8")
    path.write_text(f"{kept} ", encoding="utf-8")
    assert not only_samples(course, "backprop")
    path.write_text(kept, encoding="utf-8")
    assert only_samples(course, "backprop")
    other = course.folder("submitted") / "zoe" / "backprop"
    other.mkdir(parents=True)
    shutil.copy(path, other)
    assert not only_samples(course, "backprop")
    shutil.rmtree(other.parent)


def test_demo_leaves_submissions_alone(course: Path) -> None:
    """Where there are submissions, none is added, and a file that is no notebook is no zero."""
    folder = course / "submitted" / "zoe" / "backprop"
    folder.mkdir(parents=True)
    (folder / "backprop.ipynb").write_text('{"cells": [', encoding="utf-8")
    done = handgrad("demo", folder=course)
    assert [path.name for path in (course / "submitted").iterdir()] == ["zoe"]
    assert "unreadable" in done.stdout
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert not gradebook.students


def test_make_clean_keeps_grades(tmp_path: Path) -> None:
    """`make clean` deletes what can be made again; submissions, grades and seeds only after somebody has typed yes."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("dist", "release/backprop", "submitted", "autograded", "feedback", ".handgrad"):
        (tmp_path / name).mkdir(parents=True)
    pages = {"report.html", "report-without-names.html", "term.html", "term.csv"}
    for name in ("gradebook.db", *pages, "release/backprop/handgrad.whl"):
        (tmp_path / name).touch()
    for name in ("submitted/README.md", "submitted/s01/backprop/backprop.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    grades = {"submitted", "autograded", "feedback", ".handgrad", "gradebook.db", *pages}

    def make(target: str, answer: str) -> set[str]:
        subprocess.run(["make", target], cwd=tmp_path, input=answer, text=True, capture_output=True, check=False)
        return {path.name for path in tmp_path.iterdir()} - {"Makefile", "release"}

    assert make("clean", "") == grades
    assert not list((tmp_path / "release/backprop").iterdir())
    for answer in ("", "\n", "no\n"):
        assert make("clean-course", answer) == grades
    assert make("clean-course", "yes\n") == {"submitted", "autograded"}
    assert [path.name for path in (tmp_path / "submitted").iterdir()] == ["README.md"]


def test_grade_names_everybody(course: Path) -> None:
    """A good, an empty, a foreign, a misnamed and no submission each get an outcome; only what is graded a score."""
    for student in ("ann", "bob", "cid", "dan", "eve"):
        (course / "submitted" / student / "backprop").mkdir(parents=True)
    solution = course / "solutions/backprop/backprop.ipynb"
    shutil.copy(solution, course / "submitted/ann/backprop/backprop.ipynb")
    (course / "submitted/bob/backprop/backprop.ipynb").write_text("", encoding="utf-8")
    foreign = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (course / "submitted/cid/backprop/backprop.ipynb").write_text(json.dumps(foreign), encoding="utf-8")
    shutil.copy(solution, course / "submitted/dan/backprop/backprop (1).ipynb")
    (course / "submitted/eve/backprop/backprop.txt").write_text("dprobs", encoding="utf-8")
    done = handgrad("grade", "backprop", "--no-feedback", folder=course)
    assert done.returncode == 1
    students = {path.name for path in (course / "submitted").iterdir()}
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line[:3] in students}
    assert "all passed" in rows["ann"]
    assert "unreadable" in rows["bob"]
    assert "unreadable" in rows["cid"]
    assert "not submitted" in rows["eve"].replace("-", " ")
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert sorted(student.id for student in gradebook.students) == ["ann", "dan"]
        assert [gradebook.find_submission("backprop", student).score for student in ("ann", "dan")] == [26, 26]
    again = handgrad("report", "backprop", folder=course)
    assert again.returncode == 0
    text = " ".join(again.stdout.split())
    assert "backprop (1).ipynb was graded" in text
    assert "which holds: backprop.txt" in text


def test_students_outside_the_course(course: Path) -> None:
    """A path in a student's place is refused with a sentence, and nothing is read or written there."""
    bait = course.parent / "x" / "backprop" / "backprop.ipynb"
    bait.parent.mkdir(parents=True)
    shutil.copy(course / "solutions/backprop/backprop.ipynb", bait)
    (course / "submitted").mkdir(exist_ok=True)
    before = sorted(course.parent.rglob("x/**"))
    done = handgrad("grade", "backprop", "--student", "../../x", "--student", "*", "--no-feedback", folder=course)
    assert done.returncode == 2
    assert "nobody called '../../x' has handed in backprop" in done.stderr
    assert sorted(course.parent.rglob("x/**")) == before
    assert not (course / "autograded").exists()
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert not gradebook.students


def test_check_json(tmp_path: Path, exercise: Exercise) -> None:
    """`check --format json` writes schema 1, and its exit status tells whether everything passed.

    A notebook that lies nowhere near an exercise is checked with the one that comes with handgrad.
    """
    shutil.copy(ROOT / "solutions/backprop/backprop.ipynb", tmp_path)
    done = process("check", "backprop.ipynb", "--format", "json", folder=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert {name: report[name] for name in ("schema", "assignment", "outcome", "score", "max_score")} == {
        "schema": 1,
        "assignment": "backprop",
        "outcome": "graded",
        "score": 26.0,
        "max_score": 26.0,
    }
    assert [check["gradient"] for check in report["checks"]] == list(exercise.stubs)


def test_check_beside_the_release(tmp_path: Path) -> None:
    """A student who has nothing but the released folder can check there."""
    folder = tmp_path / "backprop"
    shutil.copytree(ROOT / "release" / "backprop", folder)
    shutil.copy(ROOT / "solutions/backprop/backprop.ipynb", folder)
    done = process("check", "backprop.ipynb", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "26 of 26" in done.stdout


def test_output_in_an_old_encoding(tmp_path: Path) -> None:
    """Where the output has no ticks, crosses and lines, as on Windows in a pipe, the report is whole without them."""
    notebook = tmp_path / "backprop.ipynb"
    text = (ROOT / "solutions/backprop/backprop.ipynb").read_text(encoding="utf-8")
    assert text.count("dprobs = dlogprobs / probs") == 1
    notebook.write_text(text.replace("dprobs = dlogprobs / probs", "dprobs = -dlogprobs / probs"), encoding="utf-8")
    done = process("check", notebook, folder=ROOT, encoding="cp1252")
    assert (done.returncode, done.stderr) == (1, "")
    assert "25 of 26" in done.stdout
    assert "?" in done.stdout
    assert all(name in done.stdout for name in ("dlogprobs", "dprobs", "dC"))


def _half(path: Path) -> None:
    text = (ROOT / "solutions/backprop/backprop.ipynb").read_text(encoding="utf-8")
    path.write_text(text[: len(text) // 2], encoding="utf-8")


def _foreign(path: Path) -> None:
    notebook = json.loads((ROOT / "solutions/backprop/backprop.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = notebook["cells"][:1]
    path.write_text(json.dumps(notebook), encoding="utf-8")


def test_check_bad_input(tmp_path: Path) -> None:
    """What is no notebook of the exercise gets one clear sentence and exit status 2."""
    inputs = [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("x = 1\n", encoding="utf-8"), "is not a notebook"),
        (lambda path: path.write_text("", encoding="utf-8"), "is empty"),
        (lambda path: path.write_text("<html></html>", encoding="utf-8"), "is a web page"),
        (lambda path: path.mkdir(), "there is no notebook in"),
        (_half, "half-written"),
        (_foreign, "none of the 26 answer cells"),
    ]
    for number, (make, sentence) in enumerate(inputs):
        with named(sentence):
            path = tmp_path / f"mine-{number}.ipynb"
            make(path)  # type: ignore[operator]
            done = handgrad("check", path, "--exercise", ROOT / "source/backprop/backprop.ipynb", folder=tmp_path)
            assert done.returncode == 2
            # of a notebook without answers it is said when it was saved
            assert done.stdout == "" or (done.stdout.startswith(f"{path.name}, saved ") and "none of" in sentence)
            assert done.stderr.startswith("handgrad: ")
            assert done.stderr.count("\n") == 1
            assert sentence in done.stderr


def test_answered_before_torch_is_imported(tmp_path: Path) -> None:
    """Help, the version, a missing file and a file of the wrong kind do not wait for torch."""
    (tmp_path / "page.html").write_text("<html></html>", encoding="utf-8")
    (tmp_path / "half.ipynb").write_text('{"cells": [', encoding="utf-8")
    inputs = (
        (("--help",), 0, "Learn backpropagation"),
        (("--version",), 0, "0.1.0"),
        (("check", "--help"), 0, "Check your own notebook"),
        (("check", "nothing.ipynb"), 2, "no such file"),
        (("check", "page.html"), 2, "is a web page"),
        (("check", "half.ipynb"), 2, "half-written"),
        (("check", "https://example.org/a.ipynb"), 2, "is an address"),
    )
    code = "import sys; sys.modules['torch'] = None; from handgrad.cli import main; main()"
    for arguments, status, text in inputs:
        with named(arguments):
            command = [sys.executable, "-c", code, *arguments]
            done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
            assert text in done.stdout + done.stderr


def test_check_says_which_file(tmp_path: Path) -> None:
    """The only notebook in a folder is checked; its time of saving is shown, and what to do if nothing is in it."""
    shutil.copy(ROOT / "release/backprop/backprop.ipynb", tmp_path / "mine.ipynb")
    done = process("check", tmp_path, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("mine.ipynb, saved ")
    assert "26 missing" in done.stdout
    assert done.stdout.rstrip().endswith("save the notebook and check it again: the check reads the file.")


def test_unknown_assignment(course: Path) -> None:
    """An assignment that is not there is answered with the likeliest name, and nothing is written."""
    for verb in ["grade", "feedback", "report", "demo"]:
        with named(verb):
            before = set(course.rglob("*"))
            done = handgrad(verb, "backdrop", folder=course)
            assert done.returncode == 2
            assert "there is no assignment 'backdrop'" in done.stderr
            assert "Did you mean backprop?" in done.stderr
            assert set(course.rglob("*")) == before


def test_no_course(tmp_path: Path) -> None:
    """Outside a course the commands say so."""
    for verb in ["grade", "feedback", "report", "demo"]:
        with named(verb):
            done = handgrad(verb, "backprop", folder=tmp_path)
            assert done.returncode == 2
            assert "is not in a course" in done.stderr


def test_unwritable_folders(course: Path) -> None:
    """A folder that cannot be written is named, and nothing is half-written."""
    (course / ".handgrad").write_text("in the way", encoding="utf-8")
    done = handgrad("grade", "backprop", folder=course)
    assert done.returncode == 2
    assert ".handgrad" in done.stderr
    assert "Traceback" not in done.stderr
    (course / ".handgrad").unlink()
    (course / "submitted/ann/backprop").mkdir(parents=True)
    shutil.copy(course / "solutions/backprop/backprop.ipynb", course / "submitted/ann/backprop")
    (course / "autograded").write_text("in the way", encoding="utf-8")
    done = handgrad("grade", "backprop", folder=course)
    assert done.returncode == 2
    assert "not graded" in done.stdout.replace("-", " ")
    assert "Traceback" not in done.stderr
    page = course / "nowhere" / "report.html"
    done = handgrad("report", "backprop", "--output", page, folder=course)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert not page.exists()


def test_broken_configuration(course: Path) -> None:
    """A configuration that raises is named with its error."""
    (course / "nbgrader_config.py").write_text("1 / 0\n", encoding="utf-8")
    done = handgrad("grade", "backprop", folder=course)
    assert done.returncode == 2
    assert "nbgrader_config.py cannot be read: ZeroDivisionError" in done.stderr


def test_version_and_help() -> None:
    """The command tells its version, and every verb is described."""
    assert process("--version", folder=ROOT).stdout.strip() == "0.1.0"
    text = process("--help", folder=ROOT).stdout
    for verb in ("check", "grade", "report", "demo", "data", "new", "verify"):
        assert verb in text


def test_new(course: Path) -> None:
    """`handgrad new` says where the notebook is, once; then, and for a script that is none, it says why not."""
    script = course / "forward.py"
    script.write_text("import torch\nseed = 1\nloss = 3\n", encoding="utf-8")
    done = handgrad("new", "small", "--forward", script, folder=course)
    assert done.returncode == 2
    assert done.stderr == f"handgrad: no exercise can be made of {script}: line 3: loss is not a tensor but int.\n"
    script.write_text(
        "import torch\nseed = 1\ng = torch.Generator().manual_seed(seed)\n"
        "w = torch.randn(3, generator=g).requires_grad_()\nloss = w.square().sum()\n",
        encoding="utf-8",
    )
    done = handgrad("new", "small", "--forward", "forward.py", folder=course)
    assert done.returncode == 0, done.stderr
    assert str(course / "source/small/small.ipynb") in done.stdout
    assert handgrad("new", "small", "--forward", script, folder=course).returncode == 2


@pytest.mark.parametrize("verb", ["new", "verify"])
def test_authors_verbs_outside_a_course(tmp_path: Path, verb: str) -> None:
    """Outside a course an author is told so, and nothing is written."""
    options = ["--forward", "forward.py"] if verb == "new" else []
    done = handgrad(verb, "small", *options, folder=tmp_path)
    assert done.returncode == 2
    assert "is not in a course" in done.stderr
    assert not list(tmp_path.iterdir())


def test_missing_package(course: Path) -> None:
    """Where a package is not installed the command names it instead of showing a traceback."""
    code = "import sys; sys.modules['nbgrader'] = None; sys.argv[1:] = ['grade', 'backprop']; "
    code += "from handgrad.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=course, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs the package nbgrader" in done.stderr


def _in_locale(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The exit status of a command and what it wrote, in an environment of its own."""
    environment = {**ENVIRONMENT, **environment}
    done = subprocess.run(["handgrad", *arguments], cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


@pytest.mark.slow
def test_what_a_terminal_cannot_show(tmp_path: Path) -> None:
    """Whatever the locale and the names, a class is graded, and no command ends in a traceback."""
    name = "cross_entropy"
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind / name, tmp_path / kind / name)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    notebook = (tmp_path / f"solutions/{name}/{name}.ipynb").read_bytes()
    students = ("Jörg", "Zoë", "王", "s01")
    # the last of these names is no text
    for student in (*students, os.fsdecode(b"J\xffrg")):
        path = tmp_path / "submitted" / student / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(notebook)
    (tmp_path / "submitted/s01" / name / os.fsdecode(b"\xff.ipynb")).write_bytes(notebook)
    printing = [
        (2, ("grade", name, "--workers", "2")),
        (0, ("report", name)),
        (0, ("export", name)),
        (0, ("check", f"submitted/Jörg/{name}/{name}.ipynb")),
    ]
    others = [
        (0, ("grade", name, "--dry-run")),
        (0, ("feedback", name, "--student", "J*rg")),
        (0, ("export", name, "--format", "canvas", "-o", "zoë.csv")),
        (2, ("accept", name, "dlogits", "--student", "王")),
        (2, ("check", f"submitted/Zoë/{name}/nö.ipynb")),
    ]
    for environment, commands in (
        ({"LC_ALL": "C", "PYTHONUTF8": "0"}, printing + others),
        ({"PYTHONIOENCODING": "cp1252"}, printing),
        ({"PYTHONIOENCODING": "latin-1:strict"}, printing[:2]),
    ):
        for status, arguments in commands:
            with named(environment, arguments):
                returned, said = _in_locale(tmp_path, environment, *arguments)
                assert "Traceback" not in said
                assert "codec can't" not in said
                assert returned == status, said
    rows = json.loads(process("export", name, "--format", "json", folder=tmp_path).stdout)["students"]
    assert {row["student"]: row["score"] for row in rows} == {**dict.fromkeys(students, 4.0), "J\\udcffrg": None}
    (fault,) = [row["report"]["message"] for row in rows if row["score"] is None]
    assert "bytes that are not UTF-8; rename the folder" in fault
    assert "Zoë" in (tmp_path / "zoë.csv").read_text(encoding="utf-8")
    assert "王" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "feedback").iterdir()} == set(students)
