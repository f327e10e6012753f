"""Reports on a terminal."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from handgrad.render.summary import ClassSummary, changed, grouped, has_score, score_of, summarise
from handgrad.render.words import (
    MARKS,
    headline,
    isolation,
    lines,
    match,
    noun,
    number,
    one_line,
    out_of,
    plain_sentence,
    sentence,
)
from handgrad.report import Entry, Outcome, Report, ReportOutcome, Verdict

__all__ = ["class_table", "new_console", "report_text", "text_of"]

WIDEST = 120
"""Columns used at most where no width is asked for: longer lines are hard to read."""

LONGEST_NAME = 24
"""Columns of a student's name in the class table."""

_STYLES: Mapping[Outcome, str] = {
    "passed": "green",
    "partial": "yellow",
    "failed": "red",
    "missing": "cyan",
    "error": "magenta",
    "timeout": "magenta",
    "memory": "magenta",
    "crashed": "magenta",
    "tampered": "bold red",
}

_REPORT_MARKS: Mapping[ReportOutcome, str] = {"graded": "", "unreadable": "!", "not-submitted": "○", "not-graded": "!"}


def report_text(report: Report, *, width: int | None = None, color: bool = False) -> str:
    """One submission: a row for each gradient, what is said about it below, then the score.

    Parameters
    ----------
    report
        What is shown.
    width
        Columns; the terminal's own (80 where there is none, 120 at most) unless told.
    color
        Whether to add colours; every mark has its word beside it all the same.
    """
    console = new_console(width, color)
    title = " · ".join(one_line(one) for one in (report.assignment, report.student) if one)
    console.print(Text(title, "bold"))
    if said := headline(report):
        console.print(Text(said))
    if report.checks:
        console.print()
        _print_verdicts(console, report)
    console.print()
    for line in _closing(report):
        console.print(Text(line))
    return text_of(console)


def class_table(
    reports: Sequence[Report],
    entries: Mapping[str, Entry] | None = None,
    *,
    width: int | None = None,
    color: bool = False,
) -> str:
    """A class at a glance: a line for each student, the class in figures, and who needs a person.

    Parameters
    ----------
    reports
        In the order in which they are to be shown.
    entries
        What the gradebook says of each student: its scores are shown, and what made them other than the report's.
    width, color
        As for :func:`report_text`.
    """
    console = new_console(width, color)
    entries = entries or {}
    summary = summarise(reports, entries)
    titles = dict.fromkeys(one_line(report.assignment) for report in reports)
    console.print(Text(", ".join(titles) or "No submissions", "bold"))
    if reports:
        console.print()
        console.print(_students(reports, entries, summary, console.width))
    console.print()
    for line in _figures(reports, summary):
        console.print(Text(line))
    if summary.people:
        console.print()
        console.print(Text(f"Needs a person ({len(summary.people)}):", "bold"))
        for student, why in summary.people:
            console.print(Padding(Text(f"{student or 'no name'}: {why}"), (0, 0, 0, 2)))
    return text_of(console)


def new_console(width: int | None, color: bool) -> Console:
    """A console that writes into memory; ``width`` and ``color`` as for :func:`report_text`."""
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
    header = ("result", noun(report), "points", "match", "maxdiff")
    rows = [_row(verdict) for verdict in report.checks]
    widths = [max(cell_len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    console.print(Text(_laid_out(header, widths), "dim"))
    for verdict, row in zip(report.checks, rows, strict=True):
        text = Text(_laid_out(row, widths))
        text.stylize(_STYLES[verdict.outcome], 0, len(row[0]))
        console.print(text)
        if verdict.outcome == "missing" and sentence(verdict) == plain_sentence(verdict):
            continue  # the row says it, and in a notebook just begun it would be said twenty times
        for line in lines(verdict):
            console.print(Padding(Text(line), (0, 0, 0, 4)))


def _row(verdict: Verdict) -> tuple[str, str, str, str, str]:
    seen = verdict.comparison
    return (
        f"{MARKS[verdict.outcome]} {verdict.outcome}",
        one_line(verdict.gradient),
        f"{number(verdict.points)}/{number(verdict.max_points)}",
        match(seen),
        "" if seen is None or seen.maxdiff is None else f"{seen.maxdiff:.3g}",
    )


def _laid_out(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _closing(report: Report) -> list[str]:
    """Score, isolation, and a last line that says where to go on."""
    told = []
    if has_score(report):
        told.append(f"Score: {out_of(report.score, report.max_score)}")
    else:
        told.append("Score: none")
    if report.outcome == "graded":
        told[0] += f", in {report.seconds:.2f} s"
        told.append(f"Isolation: {isolation(report)}")
        told.append(_summary(report))
    return told


def _summary(report: Report) -> str:
    outcomes = Counter(verdict.outcome for verdict in report.checks)
    open_ones = [one_line(verdict.gradient) for verdict in report.checks if verdict.outcome != "passed"]
    if not report.checks:
        return "There was nothing to check in this exercise."
    if not open_ones:
        return (
            f"All {len(report.checks)} {noun(report)}s are right."
            if len(report.checks) > 1
            else f"The {noun(report)} is right."
        )
    others = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if outcome != "passed")
    return f"{outcomes['passed']} of {len(report.checks)} {noun(report)}s right ({others}). Go on with {open_ones[0]}."


def _students(reports: Sequence[Report], entries: Mapping[str, Entry], summary: ClassSummary, width: int) -> Table:
    rows = [_student(report, entries.get(report.student)) for report in reports]
    header = ("student", "outcome", f"of {number(summary.max_score)}", "s")
    widths = [max(cell_len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    widths[0] = min(widths[0], LONGEST_NAME)
    room = max(width - sum(widths) - 2 * len(widths), 10)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name, columns in zip(header, widths, strict=True):
        right = name not in ("student", "outcome")
        table.add_column(name, width=columns, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    table.add_column("notes", width=room, no_wrap=True, overflow="ellipsis")
    for report, row in zip(reports, rows, strict=True):
        table.add_row(*map(Text, row), Text(_notes(report, entries.get(report.student), room)))
    return table


def _student(report: Report, entry: Entry | None) -> tuple[str, str, str, str]:
    score = score_of(report, entry)
    return (
        one_line(report.student) or "no name",
        f"{_REPORT_MARKS[report.outcome]} {report.outcome}".strip(),
        "-" if score is None else number(score),
        f"{report.seconds:.2f}" if report.outcome == "graded" else "",
    )


def _notes(report: Report, entry: Entry | None, room: int) -> str:
    """What was done to the score by hand, and what handgrad has found."""
    if told := changed(report, entry):
        return f"{told}; {_found(report, room - cell_len(told) - 2)}"
    return _found(report, room)


def _found(report: Report, room: int) -> str:
    """As many names of gradients as there is room for; without room for the outcomes, the number not passed."""
    if report.outcome != "graded":
        return one_line(report.message)
    if report.passed:
        return f"{MARKS['passed']} all passed"
    options = (grouped(report, names) for names in range(len(report.checks), -1, -1))
    not_passed = sum(verdict.outcome != "passed" for verdict in report.checks)
    return next((one for one in options if cell_len(one) <= room), f"{not_passed} not passed")


def _figures(reports: Sequence[Report], summary: ClassSummary) -> list[str]:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items()))
    students = f"{len(reports)} submission{'' if len(reports) == 1 else 's'}"
    told = [f"{students}: {outcomes}." if outcomes else f"{students}."]
    if summary.mean is not None and summary.median is not None:
        told.append(
            f"Scores of the {len(summary.scores)} graded: mean {summary.mean:.1f}, "
            f"median {number(summary.median)}, lowest {number(min(summary.scores))}, "
            f"highest {number(max(summary.scores))}, of {number(summary.max_score)}; {summary.perfect} with all passed."
        )
    hardest = [one for one in sorted(summary.gradients, key=lambda one: one.share("right")) if one.share("right") < 1]
    if hardest:
        named = ", ".join(f"{one_line(one.gradient)} ({one.share('right'):.0%} right)" for one in hardest[:3])
        told.append(f"Hardest: {named}.")
    return told
