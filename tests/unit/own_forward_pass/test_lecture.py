"""The lecture's network as people write it: other names, loops, later exercises, errors; against their own lines."""

import pytest

from handgrad.course.commands.check_notebook import PACKAGED, forward_lines
from handgrad.exercise.release_file import read_released
from handgrad.notebook.reading import parse_script
from handgrad.own_forward_pass.findings import Findings
from helpers.own_forward_pass import outcomes, reviewed, row
from helpers.paths import NOTEBOOKS

LECTURE = NOTEBOOKS / "lecture"
BACKPROP = forward_lines(read_released(PACKAGED / "backprop" / "exercise.json"))
RIGHT = {
    "batch-names-own-data": 26,
    "blind-skips-a-consumer": 8,
    "closed-form-uncompared": 26,
    "cmp-text-with-d": 26,
    "error-not-told": 7,
    "grad-of-the-consumer": 13,
    "gradient-name-only": 8,
    "gradient-prefix": 26,
    "marimo": 26,
    "n-or-batch-size": 26,
    "only-in-a-loop": 26,
    "own-parameter": 21,
    "row-loop-view": 2,
    "shape-before-closed-form": 25,
}
"""How many gradients are written and right."""


def _reviewed(name: str) -> Findings:
    notebook = parse_script((LECTURE / f"{name}.py").read_text(encoding="utf-8"))
    return reviewed(notebook, exercises=[BACKPROP])


def test_every_notebook_is_expected() -> None:
    """No notebook of the folder is left out; the one whose data cannot be loaded has a test of its own."""
    assert {path.stem for path in LECTURE.glob("*.py")} == {*RIGHT, "batch-names-zeros"}


@pytest.mark.parametrize("name", RIGHT)
def test_verdicts(name: str) -> None:
    """What is written is right, in the order of the exercise's 26; the rest is missing, or partly right."""
    findings = _reviewed(name)
    found = list(outcomes(findings).values())
    assert findings.exercise == "backprop"
    assert len(found) == 26
    assert found.count("passed") == RIGHT[name]
    assert "failed" not in found


def test_what_is_not_right_is_said() -> None:
    """An error comes first, autograd as upstream is named, and a shape is a shape."""
    assert row(_reviewed("error-not-told"), "logits").message.startswith("Cell 3, line 10, stops with AttributeError")
    said = row(_reviewed("grad-of-the-consumer"), "bngain")
    assert (said.outcome, said.message) == ("passed", "It is made from hpreact.grad, which is autograd's.")
    shape = row(_reviewed("shape-before-closed-form"), "b1")
    assert shape.diagnosis is not None
    assert (
        shape.diagnosis.what
        == "The values of db1 are right, but its shape is (1, 64) instead of (64,), the shape of b1."
    )


def test_the_first_cause_is_said() -> None:
    """Where the data cannot be loaded no loss is reached, and the first statement that stopped is named."""
    findings = _reviewed("batch-names-zeros")
    assert findings.why_not.startswith("No loss was reached: cell 1, line 1, stops with ModuleNotFoundError")
