"""The released exercises, and how far a student is in a whole course of them: what their progress files say.

The order, the prerequisites and the minutes of an exercise are in the metadata of its notebook. Standard library only.
Whatever is wrong with a file of the student's folders, no error is raised.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from handgrad.report.names import shown
from handgrad.report.parts import headings
from handgrad.report.records import Report
from handgrad.student import progress_file

__all__ = ["CourseExercise", "course_progress", "html", "next_exercise", "note_check", "released", "text"]

EXERCISE, COURSE = "exercise.json", "nbgrader_config.py"
METADATA = "handgrad"
"""The key in the notebook's metadata."""
PARAMETERS = "parameters"
"""The cell with this tag is meant to be changed."""
_LARGEST = 20_000_000
"""A longer file is none of ours."""


@dataclass(frozen=True)
class Released:
    """An exercise as it was released.

    ``order`` is its place in the course and ``minutes`` how long it takes (None if its notebook does not say); the
    exercises ``after`` which it comes are named. It asks for ``gradients``, which ``cmp`` compares, and for ``others``.
    ``headings`` has the part of the exercise in which each answer and each named cell is, ``locked`` the sources of the
    locked cells that are not meant to be changed, by their grade_ids.
    """

    name: str
    order: float | None
    after: tuple[str, ...]
    minutes: float | None
    gradients: tuple[str, ...]
    others: tuple[str, ...]
    headings: Mapping[str, str]
    locked: Mapping[str, str]

    @property
    def total(self) -> int:
        """How many answers it asks for."""
        return len(self.gradients) + len(self.others)


@dataclass(frozen=True)
class CourseExercise(Released):
    """A released exercise in a ``folder``; ``right`` answers were right in the notebook or in ``handgrad check``."""

    folder: Path
    right: int

    @property
    def is_done(self) -> bool:
        """Whether every answer was right."""
        return self.right >= self.total


def released(folder: Path) -> Released | None:
    """The exercise that was released in ``folder``; None if no file tells."""
    path = folder / EXERCISE
    with suppress(OSError):
        status = path.stat()
        if status.st_size <= _LARGEST:
            return _released(path.resolve(), status.st_mtime)
    return None


def course_progress(folder: Path) -> list[CourseExercise]:
    """The exercises in ``folder``, in the folders in it, or, if it is one exercise's own, beside it; in their order."""
    places = [folder, *_folders(folder), *_folders(folder / "release")]
    if (folder / EXERCISE).is_file():
        places = _folders(folder.resolve().parent)
    found = [exercise for place in places if (exercise := _exercise(place))]
    return sorted(found, key=lambda exercise: (exercise.order is None, exercise.order or 0, exercise.name))


def note_check(folder: Path, report: Report) -> None:
    """Note in the progress file of a released folder what was right in a check; not in an instructor's course."""
    exercise, above = _exercise(folder), [folder.resolve(), *folder.resolve().parents]
    if exercise and exercise.name == report.assignment and not any((path / COURSE).exists() for path in above):
        right = [verdict.gradient for verdict in report.checks if verdict.outcome == "passed"]
        progress_file.checked(folder, exercise.name, right)


def next_exercise(exercises: Sequence[CourseExercise]) -> CourseExercise | None:
    """The exercise to go on with: one that was begun, or the first whose prerequisites are done; None if all are."""
    open_ones = [exercise for exercise in exercises if not exercise.is_done]
    names = {exercise.name for exercise in open_ones}
    ready = [exercise for exercise in open_ones if names.isdisjoint(exercise.after)]
    begun = [exercise for exercise in ready if exercise.right]
    return next(iter([*begun, *ready, *open_ones]), None)


def text(exercises: Sequence[CourseExercise]) -> str:
    """The course as text: a line for each exercise, and what comes next."""
    following = next_exercise(exercises)
    names = max((len(shown(exercise.name)) for exercise in exercises), default=0)
    open_names = {exercise.name for exercise in exercises if not exercise.is_done}
    done = sum(exercise.is_done for exercise in exercises)
    lines = [f"{done} of {len(exercises)} exercises done. {_advice(following)}"]
    for exercise in exercises:
        sign = "\u2713" if exercise.is_done else "\u2192" if exercise is following else "\u00b7"
        minutes = "" if exercise.minutes is None else f"{exercise.minutes:g} min"
        after = [name for name in exercise.after if name in open_names]
        rest = "" if exercise.is_done or not after else f"after {', '.join(map(shown, after))}"
        count = f"{exercise.right} of {exercise.total}"
        lines.append(f"{sign} {shown(exercise.name):{names}s}  {count:>8s}  {minutes:>7s}  {rest}".rstrip())
    return "\n".join(lines)


def html(exercises: Sequence[CourseExercise]) -> str:
    """The same as HTML, folded below one line."""
    head, *lines = text(exercises).splitlines()
    rows = escape("\n".join(lines))
    return (
        f'<details style="margin-top:10px"><summary style="cursor:pointer">The course: {escape(head)}</summary>'
        f'<pre style="margin:6px 0;background:transparent">{rows}</pre></details>'
    )


def _advice(following: CourseExercise | None) -> str:
    if following is None:
        return "All of it is done."
    verb = "Go on with" if following.right else "Next:"
    return f"{verb} {shown(following.name)}."


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return []


def _exercise(folder: Path) -> CourseExercise | None:
    if (found := released(folder)) is None:
        return None
    right = progress_file.right_in(folder, found.name, found.gradients, found.others)
    return CourseExercise(**vars(found), folder=folder, right=right)


@functools.lru_cache(maxsize=64)
def _released(path: Path, _: float) -> Released | None:
    # the file is the student's own: whatever is wrong with it, there is only nothing to say
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        data = json.loads(path.read_text(encoding="utf-8"))
        facts = data["notebook"]["metadata"].get(METADATA)
        facts = facts if isinstance(facts, dict) else {}
        cells: list[tuple[bool, str, str]] = []
        is_compared: dict[str, bool] = {}
        locked: dict[str, str] = {}
        for cell in data["notebook"]["cells"]:
            marks, source = cell["metadata"].get("nbgrader") or {}, "".join(cell["source"])
            name = str(marks.get("grade_id", ""))
            cells.append((cell["cell_type"] == "markdown", name, source))
            if cell["cell_type"] == "code" and marks.get("grade"):
                is_compared[name.removeprefix("check_")] = "cmp(" in source
            elif cell["cell_type"] == "code" and marks.get("locked") and not marks.get("solution"):
                locked |= {} if PARAMETERS in cell["metadata"].get("tags", ()) else {name: source}
        titles = headings(cells)
        return Released(
            name=str(data["name"]),
            order=_number(facts.get("order")),
            after=tuple(map(str, facts.get("after", ()))),
            minutes=_number(facts.get("minutes")),
            gradients=tuple(name for name, compared in is_compared.items() if compared),
            others=tuple(name for name, compared in is_compared.items() if not compared),
            headings={**{name.removeprefix("check_"): title for name, title in titles.items()}, **titles},
            locked=locked,
        )
    return None


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) else None
