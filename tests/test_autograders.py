"""Autograders for other services, run here as far as they can be: their own scripts, in their own folders."""

import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from handgrad.autograders import write_autograder
from handgrad.course import Course
from handgrad.errors import CourseError

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
COURSE = Course.at(ROOT)


@pytest.fixture(scope="module")
def gradescope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradescope's folder, as it is after the upload: what was zipped in ``source``, the entry point beside it."""
    written = write_autograder(COURSE, "gradescope", "backprop", tmp_path_factory.mktemp("written") / "new")
    root = tmp_path_factory.mktemp("autograder")
    with zipfile.ZipFile(written[-1]) as archive:
        archive.extractall(root / "source")
    # unpacking by Python forgets who may run what, which Gradescope sees to itself
    shutil.copyfile(root / "source" / "run_autograder", root / "run_autograder")
    (root / "run_autograder").chmod(0o755)
    return root


def results(root: Path, content: bytes | None, name: str = "backprop.ipynb") -> dict[str, Any]:
    """What the entry point makes of a submission with one file."""
    shutil.rmtree(root / "submission", ignore_errors=True)
    (root / "submission").mkdir()
    if content is not None:
        (root / "submission" / name).write_bytes(content)
    environment = {**ENVIRONMENT, "AUTOGRADER_ROOT": str(root)}
    subprocess.run([root / "run_autograder"], env=environment, cwd=root, check=True, capture_output=True)
    content_ = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert isinstance(content_, dict)
    return content_


def notebook(kind: str) -> bytes:
    """The worked solution, or the released notebook."""
    return (ROOT / kind / "backprop" / "backprop.ipynb").read_bytes()


def test_gradescope(gradescope: Path) -> None:
    """Full marks for the solution, also under another name; none for the release; every gradient is a test."""
    full = results(gradescope, notebook("solutions"), "My answers (1).ipynb")
    assert full["score"] == 26
    assert "My answers (1).ipynb was graded" in full["output"]
    none = results(gradescope, notebook("release"))
    assert none["score"] == 0
    assert [one["max_score"] for one in none["tests"]] == [1.0] * 26


@pytest.mark.parametrize("content", [None, b"{"], ids=["nothing", "half a notebook"])
def test_gradescope_without_a_score(gradescope: Path, content: bytes | None) -> None:
    """What cannot be graded has a reason and no score, so that Gradescope keeps it for a person."""
    found = results(gradescope, content)
    assert "score" not in found
    assert "tests" not in found
    assert found["output"].startswith("handgrad: ")


def test_gradescope_holds_no_solution(gradescope: Path) -> None:
    """An image of the autograder holds the released exercise, no notebook, and nothing of a solution."""
    source = gradescope / "source"
    assert not list(source.rglob("*.ipynb"))
    assert "BEGIN SOLUTION" not in (source / "exercise.json").read_text(encoding="utf-8")
    assert (source / "requirements.txt").read_text(encoding="utf-8").strip().partition("[check]")[0]
    assert os.access(write_autograder(COURSE, "gradescope", "backprop", gradescope / "again")[0], os.R_OK)
    assert os.access(gradescope / "again" / "setup.sh", os.X_OK)
    subprocess.run(["bash", "-n", gradescope / "again" / "setup.sh"], check=True)


@pytest.mark.parametrize(("kind", "score", "status"), [("solutions", 26.0, "pass"), ("release", 0.0, "fail")])
def test_github(tmp_path: Path, kind: str, score: float, status: str) -> None:
    """The steps of the workflow, run in a checkout of the repository, give Classroom's reporter its points."""
    repository = tmp_path / "repository"
    write_autograder(COURSE, "github", "backprop", repository)
    (repository / "backprop.ipynb").write_bytes(notebook(kind))
    workflow = yaml.safe_load((repository / ".github/workflows/classroom.yml").read_text(encoding="utf-8"))
    # what Classroom's reporter looks for when it says how many points there are
    assert workflow["name"] == "Autograding Tests"
    steps = workflow["jobs"]["run-autograding-tests"]["steps"]
    output = tmp_path / "output"
    environment = {**ENVIRONMENT, "GITHUB_OUTPUT": str(output)}
    for step in steps:
        if "handgrad check" in step.get("run", ""):
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            subprocess.run(command, cwd=repository, env=environment, check=True, capture_output=True)
    value = output.read_text(encoding="utf-8").strip().removeprefix("result=")
    found = json.loads(base64.b64decode(value))
    assert (found["status"], found["max_score"]) == (status, 26.0)
    assert sum(one["score"] for one in found["tests"]) == score
    [reporter] = [step for step in steps if "reporter" in step.get("uses", "")]
    assert reporter["env"] == {"HANDGRAD_RESULTS": "${{ steps.handgrad.outputs.result }}"}
    assert reporter["with"] == {"runners": "handgrad"}


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A folder that holds something is not written to, and what was not released cannot be graded elsewhere."""
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CourseError, match="is not empty: name another folder with --output, or empty it"):
        write_autograder(COURSE, "github", "backprop", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    course = tmp_path / "course"
    shutil.copytree(ROOT / "source", course / "source")
    shutil.copyfile(ROOT / "nbgrader_config.py", course / "nbgrader_config.py")
    with pytest.raises(CourseError, match=r"backprop was not released: .* Run `nbgrader generate_assignment backprop`"):
        write_autograder(Course.at(course), "github", "backprop", tmp_path / "new")
    assert not (tmp_path / "new").exists()
