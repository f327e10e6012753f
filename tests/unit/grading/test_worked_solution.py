"""Worked solutions run in the grader's process, and change nothing there."""

from typing import Any

import torch

from handgrad.grading.worked_solution import run_answer

LOCKED = """
calls = []
total = 0
start = torch.zeros(2)


def twice(value, seen=[]):
    global total
    total += 1
    seen.append(total)
    return doubled(value)


def doubled(value):
    calls.append(total)
    start.add_(1)
    return 2 * value
"""


def test_functions_change_copies_only() -> None:
    """A function of a locked cell works, also through another one, and writes into the cell's own values."""
    namespace: dict[str, Any] = {"__name__": "__main__", "torch": torch}
    exec(LOCKED, namespace)
    for _ in range(2):
        own = run_answer("dx = twice(3.0)", namespace, torch.float32)
        assert (own["dx"], own["total"], own["calls"], own["start"].tolist()) == (6.0, 1, [1], [1.0, 1.0])
    assert (namespace["total"], namespace["calls"], namespace["start"].tolist()) == (0, [], [0.0, 0.0])
    assert namespace["twice"].__defaults__ == ([],)
