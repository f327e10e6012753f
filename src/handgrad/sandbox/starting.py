"""What a process that runs the locked cells is told, and what it answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handgrad.errors import ExerciseError
from handgrad.sandbox.child import unpack_json
from handgrad.sandbox.limits import Limits
from handgrad.sandbox.messages import State

__all__ = ["START_SECONDS", "printed", "start_order"]

START_SECONDS = 300.0
"""Seconds that the locked cells may take."""


def start_order(directory: Path, limits: Limits) -> dict[str, Any]:
    """What a process is told before it runs the locked cells, as plain data."""
    return {"directory": str(directory.resolve()), "limits": limits.to_dict()}


def printed(
    answer: Mapping[str, Any], payload: bytes, states: Sequence[State], directory: Path
) -> dict[str, list[list[dict[str, Any]]]]:
    """What the locked cells printed, by parameter set and cell, from a process's answer.

    Raises
    ------
    ExerciseError
        A locked cell raised.
    """
    if error := answer["error"]:
        raise ExerciseError(
            f"locked cell {answer['cell'] + 1} in {directory} raises {error['name']} when the sandbox runs "
            f"it ({answer['state']} parameters): {error['message']} Run the notebook in Jupyter and mend it."
        )
    return dict(zip((state.name for state in states), unpack_json(payload), strict=True))
