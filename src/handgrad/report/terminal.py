"""One report as text for a terminal."""

import shutil
from collections import Counter
from collections.abc import Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from handgrad.report.class_summary import has_score
from handgrad.report.names import shown
from handgrad.report.parts import verdicts_by_part
from handgrad.report.records import Report, Verdict
from handgrad.report.wording import (
    LOOKS,
    headline,
    isolation,
    lines,
    match,
    noun,
    number,
    one_line,
    out_of,
    part_progress,
    plain_sentence,
    sentence,
)

__all__ = ["new_console", "report_text", "text_of"]

WIDEST = 120
"""Largest default width in columns: longer lines are hard to read."""


def report_text(report: Report, *, width: int | None = None, color: bool = False) -> str:
    """One submission: a row for each gradient with its text below, then the score.

    ``width`` is in columns (default: those of the terminal, 120 at most; 80 if there is no terminal). With ``color`` or
    without, every sign has its word next to it.
    """
    console = new_console(width, color)
    title = " · ".join(shown(name) for name in (report.assignment, report.student) if name)
    console.print(Text(title, "bold"))
    if text := headline(report):
        console.print(Text(text))
    if report.checks:
        console.print()
        _print_verdicts(console, report)
    console.print()
    for line in _closing(report):
        console.print(Text(line))
    return text_of(console)


def new_console(width: int | None, color: bool = False) -> Console:
    """A console that writes to memory; ``width`` and ``color`` as for :func:`report_text`."""
    if width is None:
        width = min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
    return Console(
        file=StringIO(),
        width=width,
        force_terminal=color,
        force_jupyter=False,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def text_of(console: Console) -> str:
    """What was printed on a console of :func:`new_console`."""
    assert isinstance(console.file, StringIO)
    rows = [line.rstrip() for line in console.file.getvalue().split("\n")]
    return "\n".join(rows).rstrip() + "\n"


def _print_verdicts(console: Console, report: Report) -> None:
    if report.forward_pass == "own":
        header: tuple[str, ...] = ("result", "tensor", "your variable", "where", "match", "maxdiff")
    else:
        header = ("result", noun(report), "points", "match", "maxdiff")
    rows = [_row(verdict, is_own=report.forward_pass == "own") for verdict in report.checks]
    widths = [max(cell_len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    console.print(Text(_laid_out(header, widths), "dim"))
    parts = verdicts_by_part(report.checks)
    first = {verdicts[0].id: title for title, verdicts in parts.items()}
    for verdict, row in zip(report.checks, rows, strict=True):
        if title := first.get(verdict.id):
            console.print(Text(f"{title}: {part_progress(parts[title])}", "bold"))
        text = Text(_laid_out(row, widths))
        text.stylize(LOOKS[verdict.outcome].style, 0, len(row[0]))
        console.print(text)
        if verdict.outcome == "missing" and sentence(verdict) == plain_sentence(verdict):
            continue  # the row shows it, and in a notebook just begun the sentence would be repeated twenty times
        for line in lines(verdict):
            console.print(Padding(Text(line), (0, 0, 0, 4)))


def _row(verdict: Verdict, *, is_own: bool) -> tuple[str, ...]:
    seen = verdict.comparison
    points = f"{number(verdict.points)}/{number(verdict.max_points)}"
    told = (one_line(verdict.tensor), one_line(verdict.gradient), one_line(verdict.place))
    return (
        f"{LOOKS[verdict.outcome].mark} {verdict.outcome}",
        *(told if is_own else (one_line(verdict.gradient), points)),
        match(seen),
        "" if seen is None or seen.maxdiff is None else f"{seen.maxdiff:.3g}",
    )


def _laid_out(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _closing(report: Report) -> list[str]:
    """Score, isolation, and a last line with the next gradient to work on."""
    texts = [f"Score: {out_of(report.score, report.max_score) if has_score(report) else 'none'}"]
    if report.forward_pass == "own":
        texts = ["Checked against your notebook's own forward pass: a self-check, not a grade"]
    if report.outcome == "graded":
        texts[0] += f", in {report.seconds:.2f} s"
        texts.append(f"Isolation: {isolation(report)}")
        texts.append(_summary(report))
    return texts


def _summary(report: Report) -> str:
    outcomes = Counter(verdict.outcome for verdict in report.checks)
    if not report.checks:
        return "There was nothing to check in this exercise."
    if report.passed:
        many = len(report.checks) > 1
        return f"All {len(report.checks)} {noun(report)}s are right." if many else f"The {noun(report)} is right."
    others = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if outcome != "passed")
    said = f"{outcomes['passed']} of {len(report.checks)} {noun(report)}s right ({others})."
    # what is held is right
    to_do = [one_line(verdict.gradient) for verdict in report.checks if verdict.outcome not in ("passed", "held")]
    return f"{said} Continue with {to_do[0]}." if to_do else said
