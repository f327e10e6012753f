"""Check your notebook: run `pytest` in this folder. One test for each gradient."""

from pathlib import Path

import pytest

from handgrad.selfcheck import gradients, verdict

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("gradient", gradients(FOLDER))
def test_gradient(gradient: str) -> None:
    """The gradient is right for any upstream gradients."""
    outcome = verdict(FOLDER, gradient)
    assert outcome.outcome == "passed", outcome.sentence
