"""Where things are in the repository, and the environment in which its commands are found."""

import os
import sys
from pathlib import Path

from handgrad.authoring.cases import Case

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
MISTAKES = TESTS / "cases" / "mistakes"
ATTACKS = TESTS / "cases" / "attacks"
NOTEBOOKS = TESTS / "notebooks"
ASSIGNMENTS = sorted(path.name for path in (ROOT / "source").iterdir())
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
"""The environment of commands: nbgrader asks for its helpers by name."""


def mistake(name: str) -> Case:
    """The known mistake, or unusual right style, of this name."""
    return Case.read(MISTAKES / f"{name}.toml")


def attack(name: str) -> Case:
    """The attack of this name."""
    return Case.read(ATTACKS / f"{name}.toml")
