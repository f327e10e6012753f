"""The files beside a released notebook, with which a student can check it offline."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from handgrad import __version__
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise, Recorded
from handgrad.notebook import tidying

__all__ = [
    "EXERCISE_FILE",
    "STUDENTS_PAGE",
    "WHEEL",
    "read_exercise",
    "read_released",
    "recorded_in",
    "self_check",
    "students_page",
]

WHEEL = f"handgrad-{__version__}-py3-none-any.whl"
"""The name of this version's wheel, used in a released ``requirements.txt``."""

EXERCISE_FILE = "exercise.json"
"""The file of the unchanged released cells, next to the student's notebook."""

STUDENTS_PAGE = "README.md"
"""The page for students in a released folder, which the notebook's first and last text link to."""

_TEST = '''"""Check your notebook: run `pytest` in this folder. One test for each gradient."""

from pathlib import Path

import pytest

from handgrad.selfcheck import failure, gradients

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("gradient", gradients(FOLDER))
def test_gradient(gradient: str) -> None:
    """The gradient is right for any upstream gradients."""
    if sentence := failure(FOLDER, gradient):
        pytest.fail(sentence, pytrace=False)
'''
_NAMES = "## The names in the exercises"
"""The heading of the last part of ``docs/students.md``."""
_REQUIREMENTS = f"""# pip install -r requirements.txt
# (on Linux, install PyTorch's CPU build first, which is much smaller: README.md has the commands)
jupyterlab
pytest
./{WHEEL}[check]
"""


def self_check(released: NotebookNode, name: str, recorded: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """The files next to the released notebook ``name``: a page, a test, the released cells, the requirements.

    ``recorded`` has the values of the worked solution, for answers that are not gradients.
    """
    facts = {"schema": 1, "name": name, "notebook": json.loads(nbformat.writes(released))}
    if recorded:
        facts["recorded"] = list(recorded)
    return {
        EXERCISE_FILE: json.dumps(facts, indent=1, ensure_ascii=False) + "\n",
        f"test_{name}.py": _TEST,
        "requirements.txt": _REQUIREMENTS,
        STUDENTS_PAGE: students_page(name),
    }


def students_page(name: str) -> str:
    """``docs/students.md`` for the exercise ``name``: with its name in the commands, and without links to other pages.

    What each name of the forward pass stands for is left out: the notebook has that of its own names.
    """
    page = files("handgrad").joinpath("exercises", "students.md").read_text(encoding="utf-8")
    page, _, _ = page.partition(_NAMES)
    page = re.sub(r"<!--.*?-->\n", "", page)
    # other pages of the repository are not in the folder
    page = re.sub(r" \(\[[^\]]+\]\((?!https?:|#)[^)]+\)\)", "", page)
    return re.sub(r"\bbackprop\b", name, page).rstrip() + "\n"


def recorded_in(data: Sequence[Mapping[str, Any]]) -> tuple[Recorded, ...]:
    """The values of the worked solution, from their JSON form.

    Raises
    ------
    KeyError, TypeError, ValueError
        ``data`` does not have that form.
    """
    from handgrad.gradients.tensor_bytes import unpack_tensor  # noqa: PLC0415 - torch is imported only to decode

    return tuple(
        Recorded(
            dict(item["parameters"]),
            {name: unpack_tensor(value, base64.b64decode(value["data"])) for name, value in item["values"].items()},
        )
        for item in data
    )


def read_exercise(path: Path) -> Exercise:
    """The exercise in an instructor's notebook, or in the ``exercise.json`` of a released folder.

    Raises
    ------
    ExerciseError
        It is neither.
    """
    return read_released(path) if path.suffix == ".json" else Exercise.read(path)


def read_released(path: Path) -> Exercise:
    """The exercise whose released cells are in the ``exercise.json`` at ``path``; it is not trusted.

    Raises
    ------
    ExerciseError
        The file is not what ``nbgrader generate_assignment`` wrote.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        notebook = tidying.parse(json.dumps(data["notebook"]))
        name, recorded = str(data["name"]), recorded_in(data.get("recorded", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExerciseError(f"{path} cannot be read ({error}): download the released folder again.") from error
    return replace(Exercise.of(notebook, name, path.parent), recorded=recorded, released_in=path)
