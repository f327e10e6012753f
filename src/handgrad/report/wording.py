"""Texts that all formats share: signs, the lecture's line, the sentences about a verdict and about a report."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from handgrad.report.records import Comparison, Outcome, Report, ReportOutcome, Verdict

__all__ = [
    "KINDS",
    "LOOKS",
    "clean",
    "code_as_html",
    "comparison_line",
    "headline",
    "isolation",
    "lecture_line",
    "line_as_html",
    "lines",
    "match",
    "noun",
    "number",
    "one_line",
    "out_of",
    "part_progress",
    "plain_sentence",
    "sentence",
]


class Look(NamedTuple):
    """How an outcome is shown."""

    mark: str
    """Its sign, which is always next to the outcome's name."""
    kind: str
    """Its kind in statistics; ``stopped`` is a cell that raised or did not finish."""
    style: str
    """Its colour in a terminal."""
    color: str
    """Its colour in a notebook."""
    sentence: str
    """What is said about a verdict without a message and a diagnosis."""


_STOPPED = ("!", "stopped", "magenta", "#8250df")
LOOKS: Mapping[Outcome, Look] = {
    "passed": Look("✓", "right", "green", "#1a7f37", ""),
    "partial": Look("½", "partial", "yellow", "#9a6700", "{gradient} is partly right: it earns {points}."),
    "held": Look("?", "held", "blue", "#0969da", "{gradient} is held for manual review."),
    "failed": Look("✗", "wrong", "red", "#cf222e", "{gradient} is not right."),
    "error": Look(*_STOPPED, "The cell of {gradient} raises an error."),
    "timeout": Look(*_STOPPED, "The cell of {gradient} did not finish in time."),
    "memory": Look(*_STOPPED, "The cell of {gradient} asks for more memory than a notebook may use."),
    "crashed": Look(*_STOPPED, "The cell of {gradient} ended the whole Python process."),
    "tampered": Look(
        "⚑", "stopped", "bold red", "#cf222e", "The cell of {gradient} tampers with the grader; it needs manual review."
    ),
    "missing": Look("○", "missing", "cyan", "#57606a", "{gradient} is not written yet."),
}
KINDS = tuple(dict.fromkeys(look.kind for look in LOOKS.values()))
"""The kinds of outcomes, in the order in which they are shown."""

LONGEST, SLACK = 2000, 300
"""Characters of a text that are shown, and how many more it must have to be cut: a student's exception may have a
megabyte, and a text that was cut, and has gained a few words, must not be cut again."""

_HEADLINES: Mapping[ReportOutcome, str] = {
    "graded": "",
    "unreadable": "The file could not be read as a notebook, so nothing in it was graded.",
    "not-submitted": "No notebook was handed in.",
    "not-graded": "The grader itself failed: this notebook has no score yet, which is not a zero.",
}

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029]")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` cut, and without control characters, escape sequences, surrogates and invisible characters."""
    left_out = len(text) - LONGEST if len(text) > LONGEST + SLACK else 0
    text = _ESCAPE_SEQUENCE.sub("", text[: len(text) - left_out])
    text = _UNSEEN.sub("", _LINE_END.sub("\n", text)).replace("\t", "    ")
    text = _SURROGATE.sub("\ufffd", text).strip()
    return f"{text} [… {left_out} more characters]" if left_out else text


def one_line(text: str) -> str:
    """``text`` cleaned, and on one line."""
    return " ".join(clean(text).split())


def code_as_html(text: str, style: str = "") -> str:
    """A text as HTML, with what is between backticks as code, in the page's style or with the inline ``style``."""
    start, end = (f'<span style="{style}">', "</span>") if style else ("<code>", "</code>")
    return re.sub(r"`([^`\n]+)`", rf"{start}\1{end}", escape(text))


def line_as_html(line: str) -> str:
    """The lecture's line as HTML that is broken at its bars only, where white space is kept (``pre-wrap``)."""
    pieces = line.replace("| ", "|\0").split("\0")
    return " ".join(f'<span style="white-space:pre">{escape(piece)}</span>' for piece in pieces)


def noun(report: Report) -> str:
    """What a report's checks are about: ``gradient``, or ``answer`` if not all of them are gradients."""
    is_own = report.forward_pass == "own"
    return "gradient" if is_own or all(verdict.gradient.startswith("d") for verdict in report.checks) else "answer"


def number(value: float) -> str:
    """Points in short form: 1, 0.5, 24.5."""
    return f"{value:g}"


def out_of(points: float, max_points: float) -> str:
    """``0.5 of 1 point``."""
    return f"{number(points)} of {number(max_points)} point{'' if max_points == 1 else 's'}"


def part_progress(verdicts: Sequence[Verdict], grades: Mapping[str, tuple[float, float]] | None = None) -> str:
    """How far a part of an exercise is: ``3 of 4 right, 3 of 4 points``.

    ``grades`` has the gradebook's score and points of each check (default: those of the verdicts).
    """
    right = sum(verdict.outcome == "passed" for verdict in verdicts)
    known = [(grades or {}).get(verdict.id, (verdict.points, verdict.max_points)) for verdict in verdicts]
    return f"{right} of {len(verdicts)} right, {out_of(*map(sum, zip(*known, strict=True)))}"


def match(comparison: Comparison | None) -> str:
    """How far an answer agrees with its reference, in a word or two; empty if there is no answer."""
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
    return comparison_line(one_line(verdict.tensor or verdict.gradient.removeprefix("d")), verdict.comparison)


def sentence(verdict: Verdict) -> str:
    """The first sentence about a verdict; empty for a plain pass."""
    if verdict.message:
        return clean(verdict.message)
    if verdict.diagnosis:
        return clean(verdict.diagnosis.what)
    return plain_sentence(verdict)


def plain_sentence(verdict: Verdict) -> str:
    """The sentence for the outcome alone."""
    return LOOKS[verdict.outcome].sentence.format(
        gradient=one_line(verdict.gradient), points=out_of(verdict.points, verdict.max_points)
    )


def lines(verdict: Verdict) -> list[str]:
    """The text about a verdict: its sentence, what happened, what to try; nothing for a plain pass."""
    texts = [sentence(verdict)]
    if verdict.diagnosis:
        what = clean(verdict.diagnosis.what)
        cell = one_line(verdict.diagnosis.cell)
        where = "" if cell in ("", verdict.gradient) else f", in the cell of {cell}"
        texts += [what] if what != texts[0] else []
        texts += [f"Try{where}: {clean(verdict.diagnosis.advice)}"] if verdict.diagnosis.advice else []
    return [text for text in texts if text]


def headline(report: Report) -> str:
    """Why a report has no grade, and its own message; the message alone if it was graded."""
    return " ".join(text for text in (_HEADLINES[report.outcome], clean(report.message)) if text)


def isolation(report: Report) -> str:
    """The isolation that was in force; ``none`` is explained so that it is not overlooked."""
    if report.isolation == "none":
        return "none; the notebook's code ran with the rights of the account that graded it"
    return one_line(report.isolation)
