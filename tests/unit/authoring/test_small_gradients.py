"""Gradients that are zero or small with many seeds are named, by `handgrad new` and by `handgrad verify`."""

import re
from pathlib import Path

from handgrad.authoring.new_exercise import new_exercise
from handgrad.authoring.small_gradients import small_gradients
from handgrad.course.course import Course
from helpers.exercises import EXERCISES

SCRIPT = """import torch

seed = 1
n, m = 5, 3

g = torch.Generator().manual_seed(seed)
x = torch.randn((n, m), generator=g)
W = torch.randn((m, m), generator=g).requires_grad_()
b = torch.randn(m, generator=g).requires_grad_()
h = x @ W + b
c = h - h.mean(0)
s = (x @ W).sum(1)
late = (s + {shift}).relu()
loss = c.square().mean() + {factor} * late.mean()
"""


def _notes(tmp_path: Path, shift: float = 50, factor: float = 1) -> list[str]:
    (tmp_path / "nbgrader_config.py").touch()
    script = tmp_path / "forward.py"
    script.write_text(SCRIPT.format(shift=shift, factor=factor), encoding="utf-8")
    said: list[str] = []
    new_exercise(Course.at(tmp_path), "small", script, said.append)
    return said


def test_zero(tmp_path: Path) -> None:
    """A gradient may be zero by construction, or because nothing comes through for most data."""
    (note,) = _notes(tmp_path)
    assert (
        note == "db is zero for 20 of 20 seeds: zeros are right there, so the loss cannot tell them from the formula."
    )


def test_dead(tmp_path: Path) -> None:
    """It is said with how many of the seeds nothing comes through."""
    always, sometimes = _notes(tmp_path, shift=-2)
    assert always.startswith("db is zero for 20 of 20 seeds")
    assert re.match(r"ds is zero for ([5-9]|1\d) of 20 seeds", sometimes)


def test_small(tmp_path: Path) -> None:
    """A gradient of less than a thousandth of the largest is named with the largest."""
    zero, small = _notes(tmp_path, factor=1e-6)
    assert zero.startswith("db is zero")
    assert small.startswith("ds and dlate are less than a thousandth of the largest gradient (mostly dW) for 20 of 20")


def test_shipped_exercises() -> None:
    """The shipped exercises have what docs/why/step.md says is zero by construction; values have no gradients."""
    assert not list(small_gradients(EXERCISES["training"]))
    zero, *_ = small_gradients(EXERCISES["backprop"])
    assert zero.startswith("db1 and dlogit_maxes are zero for 20 of 20 seeds")
