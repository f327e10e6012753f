"""The exact versions for a machine that grades."""

import re
from importlib import metadata

import nbformat

from handgrad.authoring.locked_requirements import locked
from handgrad.exercise.release_file import self_check
from helpers.paths import ROOT


def _pins(text: str) -> dict[str, str]:
    """The versions in a requirements file, by normalised name."""
    lines = [line.removesuffix(" \\") for line in text.splitlines() if line and line[0] not in "# "]
    return {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower(): line.split("==")[1] for line in lines}


def test_the_file_is_what_is_pinned() -> None:
    """The repository's file has the development environment's pins of all that grading needs, each with hashes, and
    nothing else; torch is installed before it.
    """
    pins = _pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lock = _pins(text)
    assert {name: version for name, version in lock.items() if pins.get(name) != version}.keys() <= {"setuptools"}
    assert {"numpy", "nbgrader", "ipython", "sympy"} <= lock.keys()
    needed = _pins(locked("grade")).keys() & pins.keys() - {"torch"}
    assert needed - {"setuptools"} == lock.keys() - {"setuptools"}
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\w)", text)[1:])
    assert not {"torch", "pytest", "ruff", "mypy", "distributed", "handgrad"} & lock.keys()


def test_what_is_installed_here() -> None:
    """Every requirement of an extra, and what that requires, is there with one exact version and no local tag."""
    check, grade = _pins(locked("check")), _pins(locked("grade"))
    assert check.items() <= grade.items()
    assert {"torch", "numpy", "sympy", "matplotlib"} <= check.keys()
    assert "nbgrader" not in check
    assert not any("+" in version for version in grade.values())


def test_students_keep_ranges() -> None:
    """What students install pins nothing, torch least of all: a hosted notebook keeps its own."""
    text = self_check(nbformat.v4.new_notebook(), "small")["requirements.txt"]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not any("==" in line or line.startswith("torch") for line in lines)
    torch = [
        requirement
        for requirement in metadata.requires("handgrad") or []
        if requirement.startswith("torch") and "extra" not in requirement
    ]
    assert torch == ["torch>=2.4"]
