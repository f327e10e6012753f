"""Arrows between packages point one way, and only a few packages know the outside world."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from subprocess import run
from sys import executable

from helpers.courses import make_course
from helpers.paths import ROOT

PACKAGE = ROOT / "src" / "handgrad"

FLOORS = (
    ("errors",),
    ("report",),
    ("gradients", "notebook"),
    ("exercise", "sandbox", "student"),
    ("submission", "data"),
    ("grading", "own_forward_pass"),
    ("course",),
    ("authoring", "cli", "nbgrader", "selfcheck"),
)
"""From the ground up: a package imports from floors below its own only."""
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}
OUTSIDE = {
    "nbgrader": {"course/nbgrader"},
    "sqlalchemy": {"course/nbgrader"},
    "nbconvert": {"course/nbgrader"},
    "typer": {"cli"},
    "dask": {"course/workers"},
    "IPython": {"notebook"},
}
"""Packages that are known in these places and nowhere else."""
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


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


def _package(path: Path) -> str:
    """The package of a module, or the module's own name where it stands in none."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_package_has_its_floor() -> None:
    """No module stands outside the plan, and the plan names none that is gone."""
    assert {_package(path) for path in FILES} == set(FLOOR)
    assert len(FLOORS) == 8


def test_the_top_is_small() -> None:
    """A newcomer sees at most nineteen names."""
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert len(entries) <= 19, sorted(entries)


def test_imports_point_down() -> None:
    """A module imports from its own package or from floors below it."""
    for path in FILES:
        package = _package(path)
        for name in _imports(path):
            root, _, rest = name.partition(".")
            if root == "handgrad" and (other := rest.split(".")[0]) in FLOOR and other != package:
                assert FLOOR[other] < FLOOR[package] or package == "cli", f"{path} imports {name}"


def test_folders_of_a_package_point_one_way() -> None:
    """Inside a package too, folders import each other in one direction; a circle raises CycleError."""
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        here = path.relative_to(PACKAGE).parent.as_posix()
        for name in _imports(path):
            place = PACKAGE.parent / name.replace(".", "/")
            module = place if place.with_suffix(".py").is_file() else place.parent
            if name.startswith("handgrad.") and module.with_suffix(".py").is_file():
                there = module.parent.relative_to(PACKAGE).as_posix()
                arrows.setdefault(here, set()).update({there} - {here})
    TopologicalSorter({here: heads for here, heads in arrows.items() if here != "."}).prepare()


def test_packages_hold_a_docstring_only() -> None:
    """An ``__init__`` says what stands in its package and does nothing; no name is a module and something else."""
    for path in PACKAGE.glob("*/**/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_outside_world() -> None:
    """nbgrader, databases, the command line and IPython are known where they must be, and nowhere else."""
    for path in FILES:
        place = path.relative_to(PACKAGE).as_posix().removesuffix(".py")
        for name in _imports(path):
            known = OUTSIDE.get(name.split(".")[0])
            assert known is None or any(place == home or place.startswith(f"{home}/") for home in known), (path, name)


def test_reports_know_nothing_else() -> None:
    """Renderers are functions of a record: they know nothing else of the package."""
    for path in (PACKAGE / "report").rglob("*.py"):
        ours = {name.split(".")[1] for name in _imports(path) if name.startswith("handgrad.")}
        assert ours <= {"report"}, path


def test_the_writer_of_a_class_does_without_torch(tmp_path: Path) -> None:
    """The process that owns the gradebook only asks workers: it must not grow by torch."""
    make_course(tmp_path)
    program = """
import sys
sys.modules["torch"] = None  # whoever imports it fails
import handgrad.cli
from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import Course
with ClassGrading(Course.at("."), "backprop") as grading:
    assert grading.plan().to_grade == []
"""
    done = run([executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_bytes_leave_a_sandbox() -> None:
    """No module that talks to a child can unpickle: no pickle, no connection of multiprocessing, no ``torch.load``."""
    for path in (PACKAGE / "sandbox").rglob("*.py"):
        roots = {name.split(".")[0] for name in _imports(path)}
        assert roots.isdisjoint(("pickle", "_pickle", "marshal", "shelve", "copyreg", "multiprocessing")), path
        assert not any("multiprocessing" in name or "serialization" in name for name in _imports(path)), path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="torch" | "pickle" | "np"), attr="load")):
                    raise AssertionError(f"{path}:{node.lineno} unpickles")
                # a socket's recv has a size; without one it is a connection's, which unpickles
                case ast.Call(func=ast.Attribute(attr="recv" | "send"), args=[]):
                    raise AssertionError(f"{path}:{node.lineno} receives an object")
                case ast.Call(func=ast.Attribute(attr="send")):
                    raise AssertionError(f"{path}:{node.lineno} may pickle: use sendall")
