"""otter-grader in a separate environment, and our exercise converted to one of its assignments.

The forward pass and the solution cells are the same; each check becomes a ``grader.check`` with a test that compares
with autograd's gradient.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import nbformat

from benchmarks.running import BenchmarkFailed, Cost, run
from handgrad.exercise.exercise import Exercise, grade_id, kind_of

__all__ = ["Otter", "install"]

WANTED = "otter-grader>=7,<8"
LAST_LINES = 3
OWN = {
    "from handgrad import cmp": "",
    "from handgrad.data import read_names": "def read_names(path):\n    return open(path).read().split()",
}
"""Replacements for imports from handgrad, which otter's environment does not have."""
START = "import otter\ngrader = otter.Notebook()"
TEST = """\
OK_FORMAT = True
test = {{
    "name": "{gradient}",
    "points": {points},
    "suites": [
        {{
            "type": "doctest",
            "scored": True,
            "setup": "",
            "teardown": "",
            "cases": [
                {{"code": ">>> {gradient}.shape == {tensor}.shape\\nTrue", "hidden": False, "locked": False}},
                {{
                    "code": ">>> torch.allclose({gradient}, {tensor}.grad, rtol=1e-4, atol=1e-7)\\nTrue",
                    "hidden": False,
                    "locked": False,
                }},
            ],
        }}
    ],
}}
"""


def install(folder: Path) -> Path:
    """Make an environment with otter-grader in ``folder`` and return its Python.

    Raises
    ------
    BenchmarkFailed
        It cannot be installed; the message has the reason.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    torch = f"torch=={version('torch').split('+')[0]}"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED, "ipykernel", torch]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split("\n")[-LAST_LINES:]).strip()
        raise BenchmarkFailed(f"otter-grader cannot be installed: {reason}")
    return python


@dataclass(frozen=True)
class Otter:
    """An assignment for otter in ``folder``: its autograder, and submissions.

    Parameters
    ----------
    python
        The Python of an environment that has otter-grader, torch and ipykernel.
    solved
        The worked solution of our exercise, as a student hands it in.
    """

    python: Path
    folder: Path
    exercise: Exercise
    solved: str

    @cached_property
    def environment(self) -> dict[str, str]:
        """Environment variables with this Python's kernel only."""
        homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
        own = {name: str(self.folder / name.lower()) for name in homes}
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        others = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER_", "PYTHONPATH"))}
        return {**others, **own, "PATH": path}

    @cached_property
    def versions(self) -> str:
        """The versions of otter-grader and torch."""
        ask = "from importlib.metadata import version as v; print(v('otter-grader') + ', with torch ' + v('torch'))"
        return subprocess.run([self.python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()

    def make(self) -> None:
        """Write the tests, and pack them with the names into an autograder."""
        tests = self.folder / "tests"
        tests.mkdir(parents=True)
        for check in self.exercise.checks:
            facts = {"gradient": check.gradient, "tensor": self.exercise.tensors[check.gradient]}
            (tests / f"{check.gradient}.py").write_text(TEST.format(points=check.points, **facts), encoding="utf-8")
        (self.folder / "names.txt").write_bytes((self.exercise.directory / "names.txt").read_bytes())
        self.run("generate", "--tests-dir", "tests", "--output-path", "autograder.zip", "names.txt")

    def hand_in(self, student: str) -> None:
        """Write a submission: our worked solution with otter's checks."""
        notebook = nbformat.reads(self.solved, as_version=4)
        for cell in notebook.cells:
            if kind_of(cell) == "check":
                cell.source = f"grader.check({grade_id(cell).removeprefix('check_')!r})"
            elif cell.cell_type == "code":
                for ours, own in OWN.items():
                    cell.source = cell.source.replace(ours, own)
            cell.metadata.clear()
        notebook.cells.insert(0, nbformat.v4.new_code_cell(START))
        notebook.cells.append(nbformat.v4.new_code_cell(f"student = {student!r}"))
        nbformat.write(notebook, self.folder / f"{student}.ipynb")

    def grade(self, student: str) -> Cost:
        """Grade one submission with ``otter run``, and check that it has full marks."""
        made = self.folder / f"results-{student}"
        made.mkdir(exist_ok=True)
        self.hand_in(student)
        cost = self.run("run", "-a", "autograder.zip", "-o", str(made), "--no-logo", f"{student}.ipynb")
        results = json.loads((made / "results.json").read_text(encoding="utf-8"))
        points = sum(test.get("score", 0.0) for test in results["tests"])
        full = sum(check.points for check in self.exercise.checks)
        if points != full:
            raise BenchmarkFailed(f"otter run gave {points} of {full} points to the worked solution.")
        return cost

    def start(self) -> Cost:
        """Start otter and do nothing: the cost of each run before it grades."""
        return run([str(self.python), "-c", "import otter.cli, otter.run"], self.folder, self.environment)

    def run(self, *command: str) -> Cost:
        """Run one of otter's commands in the folder."""
        return run([str(self.python.with_name("otter")), *command], self.folder, self.environment)
