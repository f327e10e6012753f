"""What a cell is called in a message: by the number that a student sees beside it."""

from collections.abc import Mapping
from typing import Any

__all__ = ["LARGEST_COUNT", "cell_name", "execution_count"]

LARGEST_COUNT = 1_000_000
"""The largest number of an execution that is believed."""


def execution_count(cell: Mapping[str, Any]) -> int | None:
    """The number in brackets that Jupyter shows beside a code cell; None if it has none."""
    count = cell.get("execution_count")
    return count if type(count) is int and 0 < count <= LARGEST_COUNT else None


def cell_name(cell: Mapping[str, Any], position: int) -> str:
    """``Cell [12]`` if that number is beside it in Jupyter, else its ``position`` among all cells, from 1."""
    count = execution_count(cell)
    return f"Cell {position}" if count is None else f"Cell [{count}]"
