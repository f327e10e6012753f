"""Check a notebook against its own forward pass in this process: for tests, whose notebooks are ours."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from tempfile import TemporaryDirectory
from unittest.mock import Mock, patch

from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode

from handgrad.own_forward_pass.findings import Findings, Row
from handgrad.own_forward_pass.known_exercise import ExerciseLines
from handgrad.own_forward_pass.worker import review
from helpers.paths import ROOT

__all__ = ["outcomes", "reviewed", "reviewed_cells", "row"]


def reviewed(
    notebook: NotebookNode, exercises: Sequence[ExerciseLines] = (), *, seconds: float = 20.0, **renames: str
) -> Findings:
    """What is found in a notebook; each cell may take so many ``seconds``."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return reviewed_cells(*sources, exercises=exercises, seconds=seconds, renames=renames)


def reviewed_cells(
    *sources: str,
    exercises: Sequence[ExerciseLines] = (),
    seconds: float = 20.0,
    renames: Mapping[str, str] | None = None,
) -> Findings:
    """What is found in a notebook of these code cells."""
    request = {
        "cells": [{"number": number, "source": source} for number, source in enumerate(sources, start=1)],
        "limits": {"cell": seconds, "notebook": 60.0},
        "exercises": [asdict(exercise) for exercise in exercises],
        "renames": dict(renames or {}),
        "died": {},
    }
    # a notebook's `!pip install` would install into the environment of the tests; as in the sandbox, there is no shell
    no_shell = patch.multiple(InteractiveShell, system=Mock(side_effect=OSError), getoutput=Mock(side_effect=OSError))
    # what the notebook writes, such as a downloaded list of names, must not stay
    with TemporaryDirectory() as folder, contextlib.chdir(folder), no_shell:
        return review(request, (ROOT / "data" / "names.txt").read_bytes())


def row(findings: Findings, tensor: str) -> Row:
    """The only row of a tensor."""
    (found,) = [finding for finding in findings.rows if finding.tensor == tensor]
    return found


def outcomes(findings: Findings) -> dict[str, str]:
    """The outcome of each tensor; of several rows the worst."""
    found: dict[str, str] = {}
    for finding in findings.rows:
        if found.get(finding.tensor, "passed") == "passed":
            found[finding.tensor] = finding.outcome
    return found
