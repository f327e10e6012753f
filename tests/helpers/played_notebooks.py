"""Notebooks of the exercises as a student has run them: their variables, with the history of the cells."""

import functools
import tomllib
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch

from handgrad.exercise.exercise import grade_id, kind_of
from handgrad.student.helps.forward_code import ForwardCode
from helpers.exercises import EXERCISES, SOLUTIONS
from helpers.paths import ROOT

NOT_RUN = ("progress", "picture", "train", "curve", "samples")
"""Cells that show something, or take long."""

NOT_ALONE = ("right-awaits", "right-default-double", "right-helpers", "right-magics")
"""Cases whose cells need others of the same case, or a kernel."""


@functools.cache
def _solved(assignment: str) -> dict[str, Any]:
    """The variables after all cells of the solution, but checks."""
    namespace: dict[str, Any] = {"__name__": "__main__", "In": [""]}
    with chdir(EXERCISES[assignment].directory), torch.enable_grad(), redirect_stdout(StringIO()):
        calls = {check.id: f"{check.gradient} = {check.call}" for check in EXERCISES[assignment].checks if check.call}
        for cell in SOLUTIONS[assignment].cells:
            if cell.cell_type == "code" and kind_of(cell) != "check" and grade_id(cell) not in NOT_RUN:
                namespace["In"].append(cell.source)
                exec(cell.source, namespace)
            elif call := calls.get(grade_id(cell)):
                # what a function returns to a check
                namespace["In"].append(call)
                exec(call, namespace)
    return namespace


def play(assignment: str, *cells: str) -> dict[str, Any]:
    """The variables of a student who has run the solution, and then these ``cells``."""
    solved = _solved(assignment)
    namespace = {**solved, "In": [*solved["In"], *cells]}
    for name, value in solved.items():
        # a cell may write into a gradient
        if isinstance(value, torch.Tensor) and name.startswith("d") and name[1:] in solved:
            namespace[name] = value.clone()
    with chdir(EXERCISES[assignment].directory), torch.enable_grad(), redirect_stdout(StringIO()):
        for cell in cells:
            exec(cell, namespace)
    return namespace


def code_of(namespace: dict[str, Any]) -> ForwardCode:
    """The forward pass of a played notebook."""
    return ForwardCode.of(namespace["In"], namespace)


@dataclass(frozen=True)
class WrongFormula:
    """A cell of a known mistake that gives one gradient a wrong value."""

    case: str
    assignment: str
    gradient: str
    cell: str
    mistake: str

    def __str__(self) -> str:
        return f"{self.case}-{self.gradient}"


def wrong_formulas() -> Iterator[WrongFormula]:
    """The wrong formulas of the known mistakes: those whose cell, run alone after the solution, is the mistake."""
    for path in sorted((ROOT / "tests/cases/mistakes").glob("*.toml")):
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        for gradient, mistake in facts.get("diagnoses", {}).items():
            cell = facts.get("cells", {}).get(gradient)
            # a name that is spelt differently is no formula
            if cell and mistake != "undefined" and not path.stem.startswith("right"):
                yield WrongFormula(path.stem, facts["assignment"], gradient, cell, mistake)


def right_formulas() -> Iterator[WrongFormula]:
    """The formulas of the cases that are right."""
    for path in sorted((ROOT / "tests/cases/mistakes").glob("right-*.toml")):
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        if path.stem in NOT_ALONE:
            continue
        unusual = {*facts.get("outcomes", {}), *facts.get("diagnoses", {})}
        for gradient, cell in facts.get("cells", {}).items():
            if gradient not in unusual and gradient in EXERCISES[facts["assignment"]].tensors:
                yield WrongFormula(path.stem, facts["assignment"], gradient, cell, "")
