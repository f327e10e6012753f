"""Writes into a gradient through other names are assignments of the gradient."""

import pytest

from handgrad.notebook.syntax import ParsedCell
from handgrad.submission.answer_places import with_second_names


def _writers(source: str) -> list[int]:
    """Indices of the statements that assign a value to ``dx``."""
    parsed = ParsedCell.of(source)
    assert parsed is not None
    steps = with_second_names(dict(enumerate(parsed.steps)), ["dx", "dy"])
    return [index for index, step in steps.items() if step.writes("dx")]


@pytest.mark.parametrize(
    "write",
    [
        "d = dx\nd += 1",
        "d = dx.view(-1)\nd[0] = 1",
        "d = e = dx\ne.add_(1)",
        "d = dx.T\nfor i in range(3):\n    d[i] = 1",
        "d = dx.numpy()\nnp.add.at(d, i, 1)",
        "d = dx\noperator.iadd(d, 1)",
        "for i, row in enumerate(dx):\n    row[i] = 1",
        "for row, other in zip(dx, rows):\n    row += other",
        "def f():\n    global dx\n    dx = 1\nf()",
        "globals()['dx'] = 1",
        "d = dx\ntorch.mul(a, b, out=d)",
    ],
)
def test_writes(write: str) -> None:
    """The last statement writes into the gradient."""
    last = len(ParsedCell.of(f"dx = zeros\n{write}").steps) - 1  # type: ignore[union-attr]
    assert _writers(f"dx = zeros\n{write}") == [0, last]


@pytest.mark.parametrize(
    "other",
    [
        "d = dx.clone()\nd += 1",  # a copy
        "d = dx\nd = 2 * d\nd += 1",  # another value
        "dy = dx\ndy += 1",  # another answer
        "for row in rows:\n    row += 1",
        "def f():\n    dx = 1\nf()",
    ],
)
def test_others_do_not_count(other: str) -> None:
    """What is no second name changes nothing."""
    assert _writers(f"dx = zeros\n{other}") == [0]
