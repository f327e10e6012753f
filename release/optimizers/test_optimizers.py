"""Check your notebook: run `pytest` in this folder. One test for each gradient."""

from pathlib import Path

import pytest

from handgrad.selfcheck import failure, gradients

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("gradient", gradients(FOLDER))
def test_gradient(gradient: str) -> None:
    """The gradient is right for any upstream gradients."""
    if sentence := failure(FOLDER, gradient):
        pytest.fail(sentence, pytrace=False)
