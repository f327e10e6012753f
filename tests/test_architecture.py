"""Arrows between modules point one way, and only a few rooms know the outside world."""

import ast
from pathlib import Path
from subprocess import run
from sys import executable

import pytest
from test_batch import make_course

PACKAGE = Path(__file__).parents[1] / "src" / "handgrad"

FLOORS = (
    ("errors", "report", "passes", "plain", "lean", "frozen", "choices", "drawing", "anonymous"),
    ("notebooks", "scripts", "data", "cells", "compare", "marking", "render", "releasing", "inert", "sharing"),
    ("sources", "wheels"),
    ("graph", "sandbox", "exercise", "reaching", "remarking"),
    ("scenes", "forward", "mutants"),
    ("readings",),
    ("catalogue",),
    ("expressions", "forms", "routing", "slopes"),
    ("mistakes", "moves"),
    ("standing", "reference", "places"),
    ("slicing", "renames", "worked"),
    ("alignment",),
    ("jupyter", "submission", "tutor"),
    ("student",),
    ("answers", "finding", "checking"),
    ("diagnose",),
    ("values",),
    ("grade",),
    ("course", "cases", "store"),
    ("records", "tasks", "demo", "selfcheck", "authoring"),
    ("nbgrader", "statements", "pool", "cluster", "watch", "autograders"),
    ("gradebook", "folders", "worker"),
    ("jobs",),
    ("batch", "scores"),
    ("regrading", "exporting", "lookalikes", "overview", "verifying", "releases"),
    ("cli",),
)
"""The house from the ground up: a module imports from floors below its own, never from above."""

FLOOR = {module: number for number, floor in enumerate(FLOORS) for module in floor}
OUTSIDE = {
    "nbgrader": {"nbgrader", "gradebook", "statements", "scores", "folders"},
    "sqlalchemy": {"gradebook", "statements", "scores"},
    "typer": {"cli"},
    "dask": {"cluster"},
    "IPython": {"cells"},
    "nbconvert": {"inert", "nbgrader"},
    "nbformat": {
        *(
            "inert",
            "notebooks",
            "scripts",
            "renames",
            "exercise",
            "alignment",
            "submission",
            "releasing",
            "selfcheck",
            "cases",
            "demo",
            "authoring",
            "verifying",
        ),
        *("nbgrader", "gradebook", "tasks", "regrading"),
    },
}
"""Packages that only these rooms know."""


def _imports(path: Path) -> set[str]:
    """Full names of what a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_room_has_its_floor() -> None:
    """No module stands outside the house, and the plan names none that is gone."""
    assert {_room(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """A module imports from its own room or from floors below it."""
    room = _room(path)
    for name in _imports(path):
        package, _, rest = name.partition(".")
        if package == "handgrad" and (other := rest.split(".")[0]) in FLOOR and other != room:
            assert FLOOR[other] < FLOOR[room], f"{room} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_outside_world(path: Path) -> None:
    """nbgrader, databases, the terminal and notebooks are known where they must be, and nowhere else."""
    for name in _imports(path):
        rooms = OUTSIDE.get(name.split(".")[0])
        assert rooms is None or _room(path) in rooms, f"{_room(path)} imports {name}"


def test_render_sees_only_reports() -> None:
    """Renderers are functions of a report, and may draw a graph: they know nothing else of the package."""
    for path in (PACKAGE / "render").glob("*.py"):
        ours = {name for name in _imports(path) if name.split(".")[0] == "handgrad"}
        assert all(name.split(".")[1] in ("render", "report", "drawing") for name in ours if "." in name)


def test_modules_stay_small() -> None:
    """A module beyond 400 lines is two modules."""
    long = {str(path.relative_to(PACKAGE)): lines for path in FILES if (lines := path.read_text().count("\n")) > 400}
    assert not long


def test_the_writer_of_a_class_does_without_torch(tmp_path: Path) -> None:
    """The process that owns the gradebook only asks workers: it must not grow by torch."""
    make_course(tmp_path)
    program = """
import sys
sys.modules["torch"] = None  # whoever imports it fails
import handgrad.cli
from handgrad.batch import Batch
from handgrad.course import Course
with Batch(Course.at("."), "backprop") as batch:
    assert batch.plan() == ([], [])
"""
    done = run([executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
