"""The outputs of a check cell in the autograded notebook; nbgrader gives them the points of the verdict."""

import html
from typing import Any

from handgrad.report.records import Verdict
from handgrad.report.wording import LOOKS, code_as_html, lecture_line, line_as_html, lines, one_line, out_of, sentence

__all__ = ["check_outputs", "comment"]


def check_outputs(verdict: Verdict) -> list[dict[str, Any]]:
    """The outputs of a check cell, in nbformat's shape.

    ``nbgrader.utils.determine_grade`` reads them as ``verdict.points``: no error and no result are all points, a result
    that is a number is that number, an error is zero.

    ============ ===========================================================================
    passed       the lecture's line, as text on stdout
    partial      a result: the bare points as text, a card as HTML
    all others   a card, then an error whose name is the outcome and whose value the sentence
    ============ ===========================================================================
    """
    texts = [text for text in (lecture_line(verdict), *lines(verdict)) if text]
    if verdict.outcome == "passed":
        text = "\n".join(texts) or f"{one_line(verdict.gradient)}: passed"
        return [{"output_type": "stream", "name": "stdout", "text": f"{text}\n"}]
    if verdict.outcome == "partial":
        data = {"text/plain": repr(float(verdict.points)), "text/html": _card(verdict)}
        return [{"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data}]
    points = out_of(verdict.points, verdict.max_points)
    head = f"{LOOKS[verdict.outcome].mark} {verdict.outcome}: {one_line(verdict.gradient)}, {points}"
    return [
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"text/plain": "\n".join([head, *texts]), "text/html": _card(verdict)},
        },
        {
            "output_type": "error",
            "ename": str(verdict.outcome),
            "evalue": sentence(verdict),
            "traceback": texts,
        },
    ]


def comment(verdict: Verdict) -> str:
    """The plain-text comment for nbgrader's gradebook; empty for a plain pass."""
    return "\n".join(lines(verdict))


def _card(verdict: Verdict) -> str:
    """The verdict as HTML: inline styles only, everything escaped, and marked to be ignored by MathJax."""
    look = LOOKS[verdict.outcome]
    parts = [
        f'<div style="font-weight: bold; color: {look.color}">{look.mark} {verdict.outcome}'
        f'<span style="font-weight: normal; color: #24292f"> · {html.escape(one_line(verdict.gradient))} · '
        f"{out_of(verdict.points, verdict.max_points)}</span></div>"
    ]
    if line := lecture_line(verdict):
        parts.append(
            '<div style="margin: 6px 0; font-family: monospace; font-size: 13px; white-space: pre-wrap">'
            f"{line_as_html(line)}</div>"
        )
    comparison = verdict.comparison
    if comparison and comparison.shape != comparison.expected_shape:
        parts.append(_paragraph(f"Shape: {comparison.shape}. Expected: {comparison.expected_shape}."))
    parts += [_paragraph(line) for line in lines(verdict)]
    return (
        '<div class="tex2jax_ignore mathjax_ignore" style="max-width: 46em; margin: 4px 0; padding: 8px 12px; '
        f"border: 1px solid #d0d7de; border-left: 4px solid {look.color}; border-radius: 4px; "
        'background: #ffffff; color: #24292f; font-family: sans-serif; font-size: 14px; line-height: 1.45">'
        + "".join(parts)
        + "</div>"
    )


def _paragraph(text: str) -> str:
    code = "padding: 1px 4px; border-radius: 3px; background: #eff1f3; font-family: monospace; font-size: 13px"
    return (
        f'<div style="margin-top: 4px; white-space: pre-wrap; overflow-wrap: anywhere">{code_as_html(text, code)}</div>'
    )
