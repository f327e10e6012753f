"""What a cell raised, in plain words."""

import pytest

from handgrad.grading.diagnosis import raises
from handgrad.notebook.execution import CellError

CPU = "and notebooks are graded on the CPU: leave the device out, or take that of another tensor."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            CellError("NameError", "name 'yb' is not defined", line=2),
            "raises NameError in line 2: name 'yb' is not defined",
        ),
        (
            CellError("AssertionError", "Torch not compiled with CUDA enabled", line=1),
            f"asks for cuda in line 1, {CPU}",
        ),
        (
            CellError(
                "NotImplementedError", "Could not run 'aten::empty' with arguments from the 'MPS' backend.", line=1
            ),
            f"asks for mps in line 1, {CPU}",
        ),
        (
            CellError("SyntaxError", "f-string: unmatched '['", line=3),
            "raises SyntaxError in line 3: f-string: unmatched '['. Notebooks are graded with Python 3.",
        ),
        (CellError("SyntaxError", "invalid syntax", line=1), "raises SyntaxError in line 1: invalid syntax"),
    ],
)
def test_sentences(error: CellError, said: str) -> None:
    """The class, the line and the message; what this machine lacks has a sentence of its own."""
    assert raises("dx", error).startswith(f"The cell of dx {said}")
