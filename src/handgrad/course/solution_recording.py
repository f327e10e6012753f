"""Record the values of a worked solution for a release: the same bytes, whatever the machine's processor offers.

Which vector instructions PyTorch uses depends on the processor, and so do the last bits of random weights and of all
that is computed from them. They are computed in a process of their own, with one thread and with the instructions that
almost every x86 processor has, so that the weights are those of almost every student too.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from handgrad.course.stop_signals import run_program
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise

__all__ = ["record_solution"]

SAME_ARITHMETIC = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Variables of the environment: the instructions of PyTorch and of the library for its matrix products, one thread."""


def record_solution(exercise: Exercise, path: Path) -> list[dict[str, Any]]:
    """The values of the worked solution in the instructor's notebook at ``path``, as plain data; nothing without any.

    A solution that cannot be run is an :class:`.ExerciseError`.
    """
    if not exercise.values:
        return []
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, str(path)]
    for capability in (SAME_ARITHMETIC["ATEN_CPU_CAPABILITY"], "default"):
        environment = {**os.environ, **SAME_ARITHMETIC, "ATEN_CPU_CAPABILITY": capability}
        done = run_program(command, env=environment)
        if done.returncode != -signal.SIGILL:  # a processor without these instructions
            break
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the process has printed nothing"]
        raise ExerciseError(f"the values of {path} cannot be recorded: {lines[-1]}")
    found = json.loads(done.stdout)
    if isinstance(found, str):
        raise ExerciseError(found)
    return list(found)


def _main(path: Path) -> None:
    """Print the recorded values as JSON, or why there are none as a string."""
    from handgrad.grading.solution_values import record  # noqa: PLC0415 - it imports torch

    found: list[dict[str, Any]] | str
    try:
        found = record(Exercise.read(path))
    except ExerciseError as error:
        found = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
