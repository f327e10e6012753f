"""The networks of ``tests/cases/networks``: the exercise that ``handgrad new`` makes of one, and its solution."""

import tomllib
from pathlib import Path

from handgrad.authoring.new_exercise import new_exercise
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from helpers.paths import TESTS

NETWORKS = sorted((TESTS / "cases" / "networks").iterdir())


def network_exercise(network: Path, course: Path) -> Exercise:
    """The exercise, in a course of its own in this folder."""
    (course / "nbgrader_config.py").touch()
    return Exercise.read(new_exercise(Course.at(course), network.name, network / "forward.py"))


def network_solution(network: Path) -> dict[str, str]:
    """The right formula of every gradient."""
    solution: dict[str, str] = tomllib.loads((network / "formulas.toml").read_text(encoding="utf-8"))["solution"]
    return solution
