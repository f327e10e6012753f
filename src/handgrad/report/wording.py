"""The words that every format shares: marks, the lecture's line, what is said about a verdict and about a report."""

import re
from collections.abc import Mapping

from handgrad.report.records import Comparison, Outcome, Report, ReportOutcome, Verdict

__all__ = [
    "MARKS",
    "clean",
    "comparison_line",
    "headline",
    "isolation",
    "lecture_line",
    "lines",
    "match",
    "noun",
    "number",
    "one_line",
    "out_of",
    "plain_sentence",
    "sentence",
    "shape",
]

MARKS: Mapping[Outcome, str] = {
    "passed": "✓",
    "partial": "½",
    "failed": "✗",
    "missing": "○",
    "error": "!",
    "timeout": "!",
    "memory": "!",
    "crashed": "!",
    "tampered": "⚑",
}
"""A sign for each outcome; it always stands beside the outcome's word."""

LONGEST, SLACK = 2000, 300
"""Characters of one text that are shown, and by how many it must be longer to be cut: a student's exception may carry
a megabyte, and a text that was cut, and has gained a few words, is not cut again."""

_PLAIN: Mapping[Outcome, str] = {
    "passed": "",
    "partial": "{gradient} is partly right: it earns {points}.",
    "failed": "{gradient} is not right.",
    "missing": "{gradient} is not written yet.",
    "error": "The cell of {gradient} raises an error.",
    "timeout": "The cell of {gradient} did not finish in time.",
    "memory": "The cell of {gradient} asks for more memory than a notebook may use.",
    "crashed": "The cell of {gradient} ended the whole Python process.",
    "tampered": "The cell of {gradient} reaches around the grader; a person has to look at it.",
}
"""What is said where a verdict brings no sentence of its own."""

_HEADLINES: Mapping[ReportOutcome, str] = {
    "graded": "",
    "unreadable": "The file could not be read as a notebook, so nothing in it was graded.",
    "not-submitted": "No notebook was handed in.",
    "not-graded": "The grader itself failed: this notebook has no score yet, which is not a zero.",
}

_ISOLATION = {
    "none": "none; the notebook's code ran with the rights of the account that graded it",
}

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029]")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` without what a terminal obeys, XML cannot hold, UTF-8 cannot write or the eye cannot see."""
    left_out = len(text) - LONGEST if len(text) > LONGEST + SLACK else 0
    text = _ESCAPE_SEQUENCE.sub("", text[: len(text) - left_out])
    text = _UNSEEN.sub("", _LINE_END.sub("\n", text)).replace("\t", "    ")
    text = _SURROGATE.sub("\ufffd", text).strip()
    return f"{text} [… {left_out} more characters]" if left_out else text


def one_line(text: str) -> str:
    """``text`` cleaned, and on one line."""
    return " ".join(clean(text).split())


def noun(report: Report) -> str:
    """What a report's checks are about: a gradient, or an answer where not all of them are gradients."""
    return "gradient" if all(verdict.gradient.startswith("d") for verdict in report.checks) else "answer"


def number(value: float) -> str:
    """Points as a person writes them: 1, 0.5, 24.5."""
    return f"{value:g}"


def out_of(points: float, max_points: float) -> str:
    """``0.5 of 1 point``."""
    return f"{number(points)} of {number(max_points)} point{'' if max_points == 1 else 's'}"


def shape(sizes: tuple[int, ...]) -> str:
    """A shape as Python prints it."""
    return str(tuple(sizes))


def match(comparison: Comparison | None) -> str:
    """How far an answer agrees with its reference, in a word or two; empty where there is no answer."""
    if comparison is None:
        return ""
    if comparison.exact:
        return "exact"
    if comparison.approximate:
        return "approximate"
    return "other shape" if comparison.shape != comparison.expected_shape else "no"


def comparison_line(name: str, comparison: Comparison) -> str:
    """The line that the lecture's ``cmp`` prints about the tensor ``name``."""
    maxdiff = "-" if comparison.maxdiff is None else comparison.maxdiff
    return (
        f"{name:15s} | exact: {comparison.exact!s:5s} | approximate: {comparison.approximate!s:5s} | maxdiff: {maxdiff}"
    )


def lecture_line(verdict: Verdict) -> str:
    """The lecture's line about a verdict; empty if nothing was compared."""
    if verdict.comparison is None:
        return ""
    return comparison_line(one_line(verdict.gradient).removeprefix("d"), verdict.comparison)


def sentence(verdict: Verdict) -> str:
    """The one sentence about a verdict; empty for a plain pass."""
    if verdict.message:
        return clean(verdict.message)
    if verdict.diagnosis:
        return clean(verdict.diagnosis.what)
    return plain_sentence(verdict)


def plain_sentence(verdict: Verdict) -> str:
    """What the outcome alone says."""
    return _PLAIN[verdict.outcome].format(
        gradient=one_line(verdict.gradient), points=out_of(verdict.points, verdict.max_points)
    )


def lines(verdict: Verdict) -> list[str]:
    """What is said about a verdict: the sentence, what happened, what to try; nothing for a plain pass."""
    said = [sentence(verdict)]
    if verdict.diagnosis:
        what = clean(verdict.diagnosis.what)
        cell = one_line(verdict.diagnosis.cell)
        where = "" if cell in ("", verdict.gradient) else f", in the cell of {cell}"
        said += [what] if what != said[0] else []
        said += [f"Try{where}: {clean(verdict.diagnosis.advice)}"] if verdict.diagnosis.advice else []
    return [one for one in said if one]


def headline(report: Report) -> str:
    """Why a report holds no grade, with its own message; the message alone where it was graded."""
    return " ".join(one for one in (_HEADLINES[report.outcome], clean(report.message)) if one)


def isolation(report: Report) -> str:
    """The isolation that was in force, said so that ``none`` is not overlooked."""
    return _ISOLATION.get(report.isolation, one_line(report.isolation))
