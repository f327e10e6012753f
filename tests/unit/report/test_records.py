"""The records of facts, and their plain data: schema 1."""

import json
from dataclasses import FrozenInstanceError, replace
from typing import get_args

import pytest

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference, forward_graph
from handgrad.report.records import (
    SCHEMA,
    Comparison,
    Diagnosis,
    ForwardGraph,
    Outcome,
    Report,
    ReportOutcome,
    Verdict,
    distances,
)
from helpers.inputs import named

SEEN = Comparison((32, 27), (32, 27), exact=True, approximate=True, maxdiff=0.0, relative=0.0)
DIAGNOSIS = Diagnosis("missing-branch", "A branch is missing.", "Add it.", "dcounts")
VERDICTS = tuple(
    Verdict(f"check_{outcome}", outcome, outcome, 1.0 if outcome == "passed" else 0.0, 1.0, seen, found, message)
    for outcome, seen, found, message in zip(
        get_args(Outcome), [SEEN, None] * 9, [None, None, DIAGNOSIS] * 9, ["", "ünï ∂"] * 9, strict=False
    )
)
REPORT = Report("backprop", "notebook", "graded", "0.1.0", "full", "s01", "", 0.0212, VERDICTS)

KEYS = {
    "schema", "handgrad", "assignment", "notebook", "isolation", "student", "outcome", "message", "score", "max_score",
    "seconds", "checks",
}  # fmt: skip
CHECK_KEYS = {"id", "gradient", "outcome", "points", "max_points", "comparison", "diagnosis", "message"}
COMPARISON_KEYS = {"shape", "expected_shape", "exact", "approximate", "maxdiff", "relative"}


def _strict(text: str) -> object:
    """JSON as the standard has it: NaN and Infinity are no numbers."""

    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def test_round_trip() -> None:
    """A report comes back from its plain data, through JSON, as it was."""
    assert len(VERDICTS) == len(get_args(Outcome))
    data = REPORT.to_dict()
    assert Report.from_dict(data) == REPORT
    assert Report.from_dict(json.loads(json.dumps(data))) == REPORT
    assert Report.from_dict(data).to_dict() == data


def test_round_trip_of_every_outcome() -> None:
    """A report without checks comes back too, whatever its outcome."""
    for outcome in get_args(ReportOutcome):
        with named(outcome):
            report = replace(REPORT, outcome=outcome, checks=(), message="why")
            assert Report.from_dict(report.to_dict()) == report


def test_keys() -> None:
    """The keys are those of schema 1, and the sums are those of the checks."""
    data = REPORT.to_dict()
    assert SCHEMA == data["schema"] == 1
    assert set(data) == KEYS
    assert data["score"] == sum(check["points"] for check in data["checks"])
    assert data["max_score"] == sum(check["max_points"] for check in data["checks"]) == len(VERDICTS)
    for check in data["checks"]:
        assert set(check) == CHECK_KEYS
        assert check["comparison"] is None or set(check["comparison"]) == COMPARISON_KEYS
        assert check["diagnosis"] is None or set(check["diagnosis"]) == {"mistake", "what", "try", "cell"}
    assert any(check["comparison"] for check in data["checks"])
    assert any(check["diagnosis"] for check in data["checks"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_not(value: float) -> None:
    """NaN and infinity become None, so that the data are JSON to the letter."""
    seen = replace(SEEN, maxdiff=value, relative=value, finite=False)
    report = replace(REPORT, checks=(replace(VERDICTS[0], comparison=seen),))
    data = _strict(json.dumps(report.to_dict(), allow_nan=False))
    assert data["checks"][0]["comparison"]["maxdiff"] is None  # type: ignore[index]
    assert data["checks"][0]["comparison"]["relative"] is None  # type: ignore[index]
    assert Report.from_dict(report.to_dict()).to_dict() == report.to_dict()


def test_another_schema() -> None:
    """Data of another schema are refused by its name."""
    for schema in [0, 2, None, "1"]:
        with named(schema):
            with pytest.raises(ValueError, match="reads 1") as caught:
                Report.from_dict({**REPORT.to_dict(), "schema": schema})
            assert repr(schema) in str(caught.value)


def test_scores() -> None:
    """Score and greatest score are sums; nothing graded is nothing earned."""
    assert REPORT.score == 1.0
    assert REPORT.max_score == len(VERDICTS)
    assert replace(REPORT, checks=()).score == 0


def test_passed() -> None:
    """Passed is a graded report in which every check passed; partly right is not."""
    assert replace(REPORT, checks=VERDICTS[:1]).passed
    assert not REPORT.passed
    for verdict in VERDICTS[1:]:
        assert not replace(REPORT, checks=(VERDICTS[0], verdict)).passed
    for outcome in set(get_args(ReportOutcome)) - {"graded"}:
        assert not replace(REPORT, outcome=outcome, checks=()).passed


def test_verdicts_and_student() -> None:
    """Verdicts are found by the id of their check, and a report can be given a student's name."""
    assert all(REPORT.verdicts()[verdict.id] is verdict for verdict in VERDICTS)
    assert REPORT.student == "s01"


def test_sentence() -> None:
    """A diagnosis says what happened and what to try; without one the message stands."""
    assert replace(VERDICTS[0], diagnosis=DIAGNOSIS, message="m").sentence == f"{DIAGNOSIS.what} {DIAGNOSIS.advice}"
    assert replace(VERDICTS[0], diagnosis=None, message="m").sentence == "m"


def test_records_are_frozen() -> None:
    """Facts cannot be changed."""
    for record in [SEEN, DIAGNOSIS, VERDICTS[0], REPORT]:
        with named(record), pytest.raises(FrozenInstanceError):
            record.message = "other"  # type: ignore[attr-defined]


def test_the_forward_graph_travels_as_json() -> None:
    """The graph is the same after it was written as JSON and read back, the order of its tensors included."""
    graph = ForwardGraph({"W": ("h",), "x": ("h", "y"), "h": ("y",), "y": ("loss",)}, frozenset({"W", "x"}))
    again = ForwardGraph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again == graph
    assert list(again.consumers) == list(graph.consumers)


def test_the_graph_of_the_exercise(exercise: Exercise, references: tuple[Reference, ...]) -> None:
    """The graph of a reference holds its tensors in forward order, each before what is computed from it."""
    graph = forward_graph(references[0])
    order = [*graph.consumers, "loss"]
    assert sorted(order[:-1]) == sorted(exercise.tensors.values())
    assert all(order.index(name) < order.index(user) for name, users in graph.consumers.items() for user in users)
    assert graph.leaves == {name for name, tensor in references[0].tensors.items() if tensor.is_leaf}
    assert graph == forward_graph(references[1])
    assert distances(graph.consumers)["logprobs"] == 1
