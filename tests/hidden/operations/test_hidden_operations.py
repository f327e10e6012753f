"""The graded tests of operations: `pytest tests/hidden/layer_norm --submission NOTEBOOK`."""

from handgrad.selfcheck import Verdict


def test_gradient(gradient: str, verdicts: dict[str, Verdict]) -> None:
    """The gradient is right on hidden data, for any upstream gradients."""
    verdict = verdicts[gradient]
    assert verdict.outcome == "passed", verdict.sentence
