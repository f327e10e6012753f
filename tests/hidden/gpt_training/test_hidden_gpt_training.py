"""The graded tests of gpt_training: `pytest tests/hidden/gpt_training --submission NOTEBOOK`."""

import pytest

from handgrad.selfcheck import Verdict


@pytest.mark.slow
def test_answer(gradient: str, verdicts: dict[str, Verdict]) -> None:
    """The answer is right on hidden data; that of `train` in the notebook's own training."""
    verdict = verdicts[gradient]
    assert verdict.outcome == "passed", verdict.sentence
