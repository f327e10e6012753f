"""A class as text for a terminal: its table, its look-alikes, and what a dry run would change."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, median

from rich.cells import cell_len
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from handgrad.report.class_summary import (
    ClassSummary,
    changed,
    grouped,
    max_score_of,
    score_of,
    scored_by_hand,
    summarise,
)
from handgrad.report.names import alike, alike_sentence, called, few, shown
from handgrad.report.records import GradeChange, Report, ReportOutcome, ScoreEntry
from handgrad.report.term import Term
from handgrad.report.terminal import new_console, text_of
from handgrad.report.wording import LOOKS, clean, number, one_line, out_of

__all__ = ["LONGEST_NAME", "Pair", "alike_text", "class_table", "dry_run_table", "term_table"]


CELLS = 3
"""Cells that are shown of a pair of submissions."""
COPIES = 8
"""Students who are named for one thing."""
LONGEST_NAME = 24
"""Columns of a student's id in the class table."""
ABSENT = 20
"""Students who have not handed in that are named."""
GRADIENTS = 3
"""Gradients that are named of a submission in a dry run."""


_REPORT_MARKS: Mapping[ReportOutcome, str] = {"graded": "", "unreadable": "!", "not-submitted": "○", "not-graded": "!"}


def class_table(
    reports: Sequence[Report],
    entries: Mapping[str, ScoreEntry] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    absent: Sequence[str] = (),
    unmatched: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """A class at a glance: a line for each student, in this order, statistics, and what needs manual review.

    The scores are those of the gradebook's ``entries``, with the reason if they differ from the report's. ``names``
    are the students' names by their ids, ``absent`` the ids of those who have not handed in,
    ``unmatched`` sentences about who is not in the roster. ``width`` is as for
    :func:`.terminal.report_text`.
    """
    console = new_console(width)
    entries, names = entries or {}, names or {}
    summary = summarise(reports, entries, names)
    titles = dict.fromkeys(one_line(report.assignment) for report in reports)
    console.print(Text(", ".join(titles) or "No submissions", "bold"))
    if reports:
        console.print()
        console.print(_students(reports, entries, names, summary, console.width))
    console.print()
    for line in _figures(reports, names, summary):
        console.print(Text(line))
    if absent:
        named = few((called(student, names) for student in absent), ABSENT)
        console.print(Text(f"Not handed in ({len(absent)}): {named}."))
    look_alikes = alike(report.student for report in reports)
    for title, sentences in (
        ("Not as in the roster", unmatched),
        ("Needs manual review", [f"{student or 'no name'}: {reason}" for student, reason in summary.needs_review]),
        ("Names that look the same", [alike_sentence(group) for group in look_alikes]),
    ):
        if sentences:
            console.print()
            console.print(Text(f"{title} ({len(sentences)}):", "bold"))
            for sentence in sentences:
                console.print(Padding(Text(sentence), (0, 0, 0, 2)))
    return text_of(console)


def _students(
    reports: Sequence[Report],
    entries: Mapping[str, ScoreEntry],
    names: Mapping[str, str],
    summary: ClassSummary,
    width: int,
) -> Table:
    rows = [_student(report, entries.get(report.student), names) for report in reports]
    header: tuple[str, ...] = ("student", "name", "outcome", f"of {number(summary.max_score)}", "s")
    if not any(row[1] for row in rows):
        header, *rows = ((row[0], *row[2:]) for row in (header, *rows))
    widths = [max(cell_len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for column in range(header.index("outcome")):
        widths[column] = min(widths[column], LONGEST_NAME if column == 0 else width // 6)
    room = max(width - sum(widths) - 2 * len(widths), 10)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name, columns in zip(header, widths, strict=True):
        right = name not in ("student", "name", "outcome")
        table.add_column(name, width=columns, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    table.add_column("notes", width=room, no_wrap=True, overflow="ellipsis")
    for report, row in zip(reports, rows, strict=True):
        table.add_row(*map(Text, row), Text(_notes(report, entries.get(report.student), room)))
    return table


def _student(report: Report, entry: ScoreEntry | None, names: Mapping[str, str]) -> tuple[str, ...]:
    score = score_of(report, entry)
    return (
        shown(report.student) or "no name",
        shown(names.get(report.student, "")),
        f"{_REPORT_MARKS[report.outcome]} {report.outcome}".strip(),
        "-" if score is None else number(score),
        f"{report.seconds:.2f}" if report.outcome == "graded" else "",
    )


def _notes(report: Report, entry: ScoreEntry | None, room: int) -> str:
    """How the score was changed after grading, and which gradients did not pass."""
    if change := changed(report, entry):
        return f"{change}; {_not_passed(report, room - cell_len(change) - 2)}"
    return _not_passed(report, room)


def _not_passed(report: Report, room: int) -> str:
    """The gradients that did not pass, by outcome; with as many names as fit into ``room``, or just their number."""
    if report.outcome != "graded":
        return one_line(report.message)
    if report.passed:
        return f"{LOOKS['passed'].mark} all passed"
    options = (grouped(report, names) for names in range(len(report.checks), -1, -1))
    count = sum(verdict.outcome != "passed" for verdict in report.checks)
    return next((option for option in options if cell_len(option) <= room), f"{count} not passed")


def _figures(reports: Sequence[Report], names: Mapping[str, str], summary: ClassSummary) -> list[str]:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items()))
    students = f"{len(reports)} submission{'' if len(reports) == 1 else 's'}"
    texts = [f"{students}: {outcomes}." if outcomes else f"{students}."]
    if scores := summary.scores:
        texts.append(
            f"Scores of the {len(scores)} graded: mean {mean(scores):.1f}, median {number(median(scores))}, lowest "
            f"{number(min(scores))}, highest {number(max(scores))}, of {number(summary.max_score)}; {summary.perfect} "
            "with all passed."
        )
    hardest = sorted(summary.gradients, key=lambda gradient: gradient.share("right"))[:3]
    named = [
        f"{one_line(item.gradient)} ({item.share('right'):.0%} right)" for item in hardest if item.share("right") < 1
    ]
    if named:
        texts.append(f"Hardest: {', '.join(named)}.")
    copies = [
        f"{called(report.student, names) or 'no name'} ({report.solution_cells})"
        for report in reports
        if report.solution_cells
    ]
    if copies:
        texts.append(f"Hold the instructor's own solution cells (how many): {few(copies, COPIES)}.")
    return texts


def term_table(term: Term, *, width: int | None = None) -> str:
    """A term at a glance: a line for each assignment, and the mistakes that come back.

    ``width`` is as for :func:`.terminal.report_text`.
    """
    console = new_console(width)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("assignment", "with a score", "mean", "median", "of"):
        table.add_column(title, justify="left" if title == "assignment" else "right")
    for assignment in term.assignments:
        scores = list(assignment.scores.values()) or [0.0]
        middle = f"{mean(scores):.1f}", number(median(scores))
        figures = (str(len(assignment.scores)), *middle, number(assignment.max_score))
        table.add_row(*map(Text, (one_line(assignment.name), *figures)))
    console.print(table)
    console.print()
    console.print(Text(f"{len(term.students)} students."))
    again = [f"{found.mistake} ({found.again})" for found in term.returning if found.again]
    if again:
        console.print(Text(f"Mistakes that students made again (how many): {few(again, COPIES)}."))
    return text_of(console)


def dry_run_table(changes: Sequence[GradeChange], *, width: int | None = None) -> str:
    """Who would get what, and why: a line for each student whose report or score would change, or who has none yet.

    There is a change for every submission; ``width`` is as for :func:`.terminal.report_text`.
    """
    console = new_console(width)
    listed = [change for change in changes if _is_listed(change)]
    if listed:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("student", "now", "would get", "why", "gradients and notes"):
            table.add_column(title, justify="right" if title in ("now", "would get") else "left")
        for change in listed:
            table.add_row(
                Text(shown(change.after.student)),
                _score_text(change.before, change.entry),
                _score_text(change.after, change.entry_after),
                Text(change.reason or "its late penalty has changed"),
                Text("; ".join(_notes_of(change))),
            )
        console.print(table)
        console.print()
    again = sum(bool(change.reason) for change in changes)
    penalties = sum(_penalties(change)[0] != _penalties(change)[1] for change in changes)
    console.print(
        Text(f"{number(len(listed))} of {number(len(changes))} submissions would get another report or score.")
    )
    if penalties:
        console.print(
            Text(f"{number(penalties)} would get another late penalty, from the dates that the gradebook has now.")
        )
    console.print(Text(f"{number(again)} would be graded again. Nothing was written."))
    return text_of(console)


def _is_listed(change: GradeChange) -> bool:
    was, would_be = _penalties(change)
    return (
        change.before is None
        or bool(change.gradients())
        or change.before.outcome != change.after.outcome
        or abs(was - would_be) > 1e-9
    )


def _penalties(change: GradeChange) -> tuple[float, float]:
    """The late penalty as it is, and as it would be."""
    was, would_be = ((entry.penalty if entry else 0.0) for entry in (change.entry, change.entry_after))
    return was, would_be


def _notes_of(change: GradeChange) -> Iterator[str]:
    """The first gradients that change, and what else there is to know."""
    if gradients := change.gradients():
        yield few((f"{name} ({old} -> {new})" for name, (old, new) in gradients.items()), GRADIENTS)
    was, would_be = _penalties(change)
    if abs(was - would_be) > 1e-9:
        yield f"late penalty {number(was)} -> {number(would_be)}"
    if change.after.outcome != "graded" and change.entry and change.entry.is_scored:
        yield f"it is {change.after.outcome}, so the earlier score stays"
    if change.entry and change.entry.by_hand:
        yield f"the manual score of {', '.join(scored_by_hand(change.after, change.entry))} stays"


def _score_text(report: Report | None, entry: ScoreEntry | None) -> str:
    """The score that counts, of its maximum; the outcome if there is none."""
    score = score_of(report, entry)
    if score is None:
        return report.outcome if report else "-"
    return out_of(score, max_score_of(report, entry))


Pair = tuple[tuple[str, str], Mapping[str, tuple[str, str, int]]]
"""Two students, and for each gradient both cells and how many students wrote this cell."""


def alike_text(rows: Sequence[Pair], *, most: int = 10, width: int | None = None) -> str:
    """The first ``most`` pairs, with a few of the rarest cells of each; those that share most come first.

    ``width`` is as for :func:`.terminal.report_text`.
    """
    console = new_console(width)
    if not rows:
        console.print("No pair of submissions shares three or more uncommon cells.")
        return text_of(console)
    console.print(
        Text(
            "These submissions share cells that few others wrote. Did the students work together, use the same source, "
            "or think alike? Only they can say."
        )
    )
    for students, shared in rows[:most]:
        names = [shown(student) for student in students]
        console.print()
        console.print(Text(f"{names[0]} and {names[1]}: {len(shared)} cells", "bold"))
        for gradient, (first, second, count) in list(shared.items())[:CELLS]:
            others = count - 2
            authors = f"{others} other{'s' if others > 1 else ''}" if others else "nobody else"
            table = Table(title=f"{one_line(gradient)} (also written by {authors})", title_justify="left", expand=True)
            for name in names:
                table.add_column(Text(name), ratio=1)
            table.add_row(
                *(Syntax(clean(text), "python", word_wrap=True, theme="ansi_light") for text in (first, second))
            )
            console.print(table)
        if len(shared) > CELLS:
            console.print(Text(f"and {len(shared) - CELLS} more: {', '.join(list(shared)[CELLS:])}"))
    if len(rows) > most:
        console.print()
        console.print(Text(f"{len(rows) - most} more pairs share less."))
    return text_of(console)
