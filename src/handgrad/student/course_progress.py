"""How far a student is in a whole course: the released exercises beside each other, and what their progress files say.

The order, the prerequisites and the minutes of an exercise are in the metadata of its notebook. Standard library only.
Whatever is wrong with a file of the student's folders, no error is raised.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from handgrad.report.names import shown
from handgrad.report.records import Report
from handgrad.student import progress_file

__all__ = ["CourseExercise", "course_progress", "html", "next_exercise", "note_check", "text"]

EXERCISE, COURSE = "exercise.json", "nbgrader_config.py"
METADATA = "handgrad"
"""The key in the notebook's metadata."""
_LARGEST = 20_000_000
"""A longer file is none of ours."""


@dataclass(frozen=True)
class CourseExercise:
    """One released exercise, and how far a student is in it.

    Attributes
    ----------
    name, folder
        Its name, and the folder in which it is.
    order
        Its place in the course; None if its notebook does not say.
    after
        The names of the exercises that come before it.
    minutes
        How long it takes; None if its notebook does not say.
    total, right
        How many answers it asks for, and how many of them were right in the notebook or in ``handgrad check``.
    """

    name: str
    folder: Path
    order: float | None
    after: tuple[str, ...]
    minutes: float | None
    total: int
    right: int

    @property
    def is_done(self) -> bool:
        """Whether every answer was right."""
        return self.right >= self.total


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
    there = {exercise.name for exercise in exercises}
    done = {exercise.name for exercise in exercises if exercise.is_done}
    open_ones = [exercise for exercise in exercises if not exercise.is_done]
    ready = [exercise for exercise in open_ones if done.issuperset(there.intersection(exercise.after))]
    begun = [exercise for exercise in ready if exercise.right]
    return next(iter([*begun, *ready, *open_ones]), None)


def text(exercises: Sequence[CourseExercise]) -> str:
    """The course as text: a line for each exercise, and what comes next."""
    following = next_exercise(exercises)
    names = max((len(shown(exercise.name)) for exercise in exercises), default=0)
    done = sum(exercise.is_done for exercise in exercises)
    lines = [f"{done} of {len(exercises)} exercises done. {_advice(following)}"]
    for exercise in exercises:
        sign = "\u2713" if exercise.is_done else "\u2192" if exercise is following else "\u00b7"
        minutes = "" if exercise.minutes is None else f"{exercise.minutes:g} min"
        after = [name for name in exercise.after if not _is_done(name, exercises)]
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


def _is_done(name: str, exercises: Iterable[CourseExercise]) -> bool:
    """Whether an exercise is done, or not there: nobody has to wait for it."""
    return all(exercise.is_done for exercise in exercises if exercise.name == name)


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return []


def _exercise(folder: Path) -> CourseExercise | None:
    path = folder / EXERCISE
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        status = path.stat()
        if status.st_size <= _LARGEST:
            name, facts, gradients, others = _released(path.resolve(), status.st_mtime)
            right = progress_file.right_in(folder, name, gradients, others)
            return CourseExercise(
                name,
                folder,
                _number(facts.get("order")),
                tuple(str(other) for other in facts.get("after", ())),
                _number(facts.get("minutes")),
                len(gradients) + len(others),
                right,
            )
    return None


@functools.lru_cache(maxsize=64)
def _released(path: Path, _: float) -> tuple[str, Mapping[str, Any], tuple[str, ...], tuple[str, ...]]:
    """The name of an exercise, its facts, the gradients that it asks for, and its other answers."""
    data = json.loads(path.read_text(encoding="utf-8"))
    checks = list(_checks(data["notebook"]["cells"]))
    gradients = tuple(name for name, compares in checks if compares)
    others = tuple(name for name, compares in checks if not compares)
    facts = data["notebook"]["metadata"].get(METADATA)
    return str(data["name"]), facts if isinstance(facts, dict) else {}, gradients, others


def _checks(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
    """The answer of each check, and whether it is compared by ``cmp``."""
    for cell in cells:
        marks = cell["metadata"].get("nbgrader") or {}
        if cell["cell_type"] == "code" and marks.get("grade"):
            yield str(marks["grade_id"]).removeprefix("check_"), "cmp(" in "".join(cell["source"])


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) else None
