"""The graded tests of optimizers: `pytest tests/hidden/optimizers --submission NOTEBOOK`."""

from handgrad.selfcheck import Verdict


def test_answer(gradient: str, verdicts: dict[str, Verdict]) -> None:
    """The answer is right on hidden data, after one step and after several."""
    verdict = verdicts[gradient]
    assert verdict.outcome == "passed", verdict.sentence
