"""The networks of ``tests/cases/networks``: the exercise that ``handgrad new`` makes of one, and its solution."""

import tomllib
from pathlib import Path

import nbformat

from handgrad.authoring.new_exercise import new_exercise
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from helpers.paths import TESTS

NETWORKS = sorted((TESTS / "cases" / "networks").iterdir())


def network_exercise(network: Path, course: Path) -> Exercise:
    """The exercise with its worked solutions, in a course of its own in this folder."""
    (course / "nbgrader_config.py").touch()
    path, solution = new_exercise(Course.at(course), network.name, network / "forward.py"), network_solution(network)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = f"### BEGIN SOLUTION\n{solution[grade_id(cell)]}\n### END SOLUTION"
    nbformat.write(notebook, path)
    return Exercise.read(path)


def network_solution(network: Path) -> dict[str, str]:
    """The right formula of every gradient."""
    solution: dict[str, str] = tomllib.loads((network / "formulas.toml").read_text(encoding="utf-8"))["solution"]
    return solution
