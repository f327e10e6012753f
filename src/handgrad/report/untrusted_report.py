"""Reports as untrusted code sends them: checked for types and sizes, with nothing else in them."""

import math
from collections.abc import Mapping
from typing import Any, get_args

from handgrad.report.records import Comparison, Diagnosis, Outcome, Report, Verdict

__all__ = ["MOST_CHECKS", "report_of", "text_of", "verdict_of"]

MOST_CHECKS = 500
"""Verdicts of a report."""
_MOST_TEXT, _MOST_POINTS, _MOST_SIZES = 4_000, 1e6, 16


def report_of(data: Any, version: str) -> Report:
    """The report in the form of :meth:`.Report.to_dict`, graded with this ``version`` of handgrad.

    Raises
    ------
    ValueError
        The data are of another form, or too large.
    """
    checks = _part(data, "checks", list)
    if len(checks) > MOST_CHECKS:
        raise ValueError("there are too many verdicts")
    assignment, notebook, message = (text_of(_part(data, name, str)) for name in ("assignment", "notebook", "message"))
    return Report(assignment, notebook, "graded", version, message=message, checks=tuple(map(verdict_of, checks)))


def verdict_of(data: Any) -> Verdict:
    """The verdict in the form of :meth:`.Verdict.to_dict`; errors are those of :func:`report_of`."""
    outcome, comparison, diagnosis = _part(data, "outcome", str), data.get("comparison"), data.get("diagnosis")
    if outcome not in get_args(Outcome):
        raise ValueError(f"there is no outcome {outcome[:20]!r}")
    points, most = _number(data, "points"), _number(data, "max_points")
    if points is None or most is None or not 0 <= points <= most <= _MOST_POINTS:
        raise ValueError("the points are not possible")
    texts = {name: text_of(data.get(name) or "") for name in ("id", "gradient", "message", "tensor", "place", "part")}
    return Verdict(
        **texts,
        outcome=outcome,
        points=points,
        max_points=most,
        comparison=None if comparison is None else _comparison(comparison),
        diagnosis=None if diagnosis is None else _diagnosis(diagnosis),
    )


def text_of(value: object) -> str:
    """A text of limited length."""
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} in place of a text")
    return value[:_MOST_TEXT]


def _comparison(data: Any) -> Comparison:
    shapes = [_part(data, name, list) for name in ("shape", "expected_shape")]
    if any(len(shape) > _MOST_SIZES or any(type(size) is not int for size in shape) for shape in shapes):
        raise ValueError("a shape is not a list of sizes")
    return Comparison(
        tuple(shapes[0]),
        tuple(shapes[1]),
        _part(data, "exact", bool),
        _part(data, "approximate", bool),
        _number(data, "maxdiff"),
        _number(data, "relative"),
    )


def _diagnosis(data: Any) -> Diagnosis:
    return Diagnosis(*(text_of(_part(data, name, str)) for name in ("mistake", "what", "try", "cell")))


def _part(data: Any, name: str, kind: type) -> Any:
    value = data.get(name) if isinstance(data, Mapping) else None
    if type(value) is not kind:
        raise ValueError(f"{name} is missing")
    return value


def _number(data: Mapping[str, Any], name: str) -> float | None:
    """A finite number; None if it is null."""
    value = data.get(name)
    if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
        raise ValueError(f"{name} is not a number")
    return value
