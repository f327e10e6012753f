"""One run of somebody's own notebook: what stops it."""

import pytest

from handgrad.own_forward_pass.missing import Surroundings
from handgrad.own_forward_pass.notebook_run import Cell, NotebookRun, TimeLimits

ENDLESS = "while True:\n    pass\n"
CAUGHT = f"try:\n    while True:\n        pass\nexcept BaseException:\n    pass\n{ENDLESS}"
IN_A_CALLBACK = f"import weakref\nclass A: pass\na = A()\nr = weakref.ref(a, endless)\ndel a\n{ENDLESS}"


@pytest.mark.parametrize("source", [ENDLESS, CAUGHT, f"def endless(_):\n    while True: pass\n{IN_A_CALLBACK}"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_endless_cell(source: str) -> None:
    """It is left when its time is up, also if the first alarm is caught, or rings where exceptions are ignored."""
    run = NotebookRun(Surroundings(b""), TimeLimits(cell=0.3, notebook=20), lambda _: None)
    run.run([Cell(1, source), Cell(2, "x = 2")])
    assert [(stop.cell, stop.error) for stop in run.stops] == [(1, "TimeLimit")]
    assert run.namespace["x"] == 2
