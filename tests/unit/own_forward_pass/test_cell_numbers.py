"""The numbers of cells in a report are those that a student sees."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from handgrad.own_forward_pass.check import numbered


@pytest.mark.parametrize(
    ("counts", "numbers"),
    [
        ((1, 4, 9), [1, 4, 9]),
        ((None, None, None), [1, 2, 3]),
        ((1, None, 3), [1, 2, 3]),
        ((5, 2, 7), [1, 2, 3]),
        ((1, 1, 2), [1, 2, 3]),
    ],
)
def test_numbers(counts: tuple[int | None, ...], numbers: list[int]) -> None:
    """They stand beside the cells if those were run from top to bottom; else cells are counted."""
    cells = [new_code_cell(f"x = {place}", execution_count=count) for place, count in enumerate(counts)]
    notebook = new_notebook(cells=[new_markdown_cell("text"), *cells])
    assert numbered(notebook) == dict(zip(numbers, ("x = 0", "x = 1", "x = 2"), strict=True))


def test_an_empty_cell_has_no_number() -> None:
    """The empty cell at the end, which has not been run, does not matter."""
    cells = [new_code_cell("x = 1", execution_count=7), new_code_cell("")]
    assert numbered(new_notebook(cells=cells)) == {7: "x = 1"}
