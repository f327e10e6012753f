"""What travels with a released exercise so that a student can check it alone, offline."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import nbformat
from nbformat import NotebookNode

from handgrad import __version__

__all__ = ["EXERCISE_FILE", "WHEEL", "self_check"]

WHEEL = f"handgrad-{__version__}-py3-none-any.whl"
"""The name of this version's wheel, as a released ``requirements.txt`` has it."""

EXERCISE_FILE = "exercise.json"
"""The pristine released cells, beside the notebook in which the student works."""

_TEST = '''"""Check your notebook: run `pytest` in this folder. One test for each gradient."""

from pathlib import Path

import pytest

from handgrad.selfcheck import gradients, verdict

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("gradient", gradients(FOLDER))
def test_gradient(gradient: str) -> None:
    """The gradient is right, whatever gradients arrive from above."""
    outcome = verdict(FOLDER, gradient)
    assert outcome.outcome == "passed", outcome.sentence
'''


def self_check(released: NotebookNode, name: str, recorded: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """The files beside the released notebook ``name``, by their names: a test, the pristine cells, the requirements.

    ``recorded`` is what the worked solution gives, where answers are asked for that are no gradients.
    """
    facts = {"schema": 1, "name": name, "notebook": json.loads(nbformat.writes(released))}
    if recorded:
        facts["recorded"] = list(recorded)
    return {
        EXERCISE_FILE: json.dumps(facts, indent=1, ensure_ascii=False) + "\n",
        f"test_{name}.py": _TEST,
        "requirements.txt": _requirements(),
    }


def _requirements() -> str:
    return (
        "# pip install -r requirements.txt\n"
        "# (on Linux, PyTorch's CPU build is much smaller: see https://pytorch.org/get-started/locally)\n"
        "jupyterlab\n"
        "pytest\n"
        f"./{WHEEL}[check]\n"
    )
