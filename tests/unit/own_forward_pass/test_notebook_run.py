"""One run of somebody's own notebook: what stops it."""

import pytest

from handgrad.own_forward_pass.notebook_run import Cell, NotebookRun, TimeLimits
from handgrad.own_forward_pass.surroundings import Surroundings

ENDLESS = "while True:\n    pass\n"
CAUGHT = """
if True:
    try:
        while True:
            pass
    except BaseException:
        pass
    while True:
        pass
"""
IN_A_CALLBACK = """
import weakref

def endless(_):
    while True:
        pass

class Kept:
    pass

if True:
    kept = Kept()
    reference = weakref.ref(kept, endless)
    del kept
    while True:
        pass
"""


@pytest.mark.parametrize("source", [ENDLESS, CAUGHT, IN_A_CALLBACK])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_endless_cell(source: str) -> None:
    """It is left when its time is up, also if the first alarm is caught, or rings where exceptions are ignored."""
    run = NotebookRun(Surroundings(b""), TimeLimits(cell=0.3, notebook=20), lambda _: None)
    run.run([Cell(1, source), Cell(2, "x = 2")])
    assert [(stop.cell, stop.error) for stop in run.stops] == [(1, "TimeLimit")]
    assert run.namespace["x"] == 2
