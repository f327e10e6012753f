"""The graded tests of gradient_check: `pytest tests/hidden/gradient_check --submission NOTEBOOK`."""

from handgrad.selfcheck import Verdict


def test_answer(gradient: str, verdicts: dict[str, Verdict]) -> None:
    """The answer is right on hidden data."""
    verdict = verdicts[gradient]
    assert verdict.outcome == "passed", verdict.sentence
