"""How a process that runs the locked cells is started: what it is told, its environment, what it answers."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from handgrad.errors import ExerciseError
from handgrad.sandbox.child import unpack_json
from handgrad.sandbox.limits import Limits
from handgrad.sandbox.messages import State

__all__ = ["PRELOAD", "START_SECONDS", "environment", "last_words", "printed", "start_order"]

PRELOAD = ("numpy", "matplotlib.pyplot", "matplotlib_inline.backend_inline")
"""What honest notebooks import besides torch; imported before the locked cells run."""

START_SECONDS = 300.0
"""Seconds that the locked cells may take."""

_KEPT = ("PATH", "SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What Python and its libraries need to know of the grader's environment; Windows has SYSTEMROOT."""


def start_order(directory: Path, limits: Limits, preload: Sequence[str]) -> dict[str, Any]:
    """What a process is told before it runs the locked cells, as plain data."""
    return {"directory": str(directory.resolve()), "limits": limits.to_dict(), "preload": list(preload)}


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


def last_words(log: TextIO) -> str:
    """A sentence with the last line that a process wrote into its log."""
    log.seek(0)
    lines = log.read().strip().splitlines()
    return f"It wrote: {lines[-1]}" if lines else "It wrote nothing."


def environment(home: str) -> dict[str, str]:
    """A clean environment: one thread, no settings of the grader's user, a home that is thrown away."""
    threads = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")}
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        **threads,
        **kept,
        "HOME": home,
        "USERPROFILE": home,
        "USER": "student",
        "LOGNAME": "student",
        "IPYTHONDIR": home,
        "MPLCONFIGDIR": home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
