"""Find the notebook in what a student handed in: by its name, or under another one."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.reading import read_notebook
from handgrad.submission.submission import Submission

__all__ = ["Found", "find_notebook"]

MOST = 20
"""Notebooks that are looked into at most."""
MOST_FOLDERS = 500
"""Folders that are looked into at most: somebody may have handed in a whole environment."""


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes
    ----------
    path
        The notebook that counts; None where there is none.
    note
        What a person should know of the choice, in a sentence; empty where the notebook stands where it should.
    """

    path: Path | None
    note: str = ""


def find_notebook(folder: Path, exercise: Exercise, inside: Path | None = None) -> Found:
    """The notebook in ``folder`` that answers ``exercise``.

    The one that is called after the exercise counts. Where there is none, or it cannot be read, it is the one with
    most answers under another name, also in a folder of its own. Where no notebook has answers it is a Python file that
    has some: an export. Copies that Jupyter saved by itself come last.

    Parameters
    ----------
    inside
        The folder that a link may not lead out of.
    """
    name = f"{exercise.name}.ipynb"
    exact = folder / name
    if inside is not None and not folder.resolve().is_relative_to(inside.resolve()):
        return Found(exact)  # reading it says that it is a link
    others = [path for path in _files(folder, ".ipynb") if path != exact]
    answers = {path: _answers(path, exercise, inside) for path in others if not _is_checkpoint(path)}
    if max(answers.values(), default=0) < 1:
        exports = {path: _answers(path, exercise, inside) for path in _files(folder, ".py")}
        exports = {path: count for path, count in exports.items() if count > 0}
        answers |= exports
        others += exports
    there = os.path.lexists(exact)
    if there and (max(answers.values(), default=-1) < 1 or _answers(exact, exercise, inside) >= 0):
        written = [path for path, count in answers.items() if count > 0]
        return Found(exact, _left_aside(folder, written))
    if not answers:
        answers = {path: _answers(path, exercise, inside) for path in others}
    if not answers:
        return Found(None, _nothing(folder, name))
    best = max(answers, key=lambda path: (answers[path], -others.index(path)))
    why = f"{name} cannot be read" if there else f"there is no {name}"
    note = f"{best.relative_to(folder)} was graded: {why}."
    written = [path for path, count in answers.items() if count > 0 and path != best]
    return Found(best, " ".join(one for one in (note, _left_aside(folder, written)) if one))


def _files(folder: Path, suffix: str) -> list[Path]:
    """The files with this suffix in ``folder`` and in folders inside it, nearest first, then by name."""
    found: list[Path] = []
    for number, (place, folders, files) in enumerate(os.walk(folder)):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__")) or one == ".ipynb_checkpoints")
        # a name that begins with a dot is another system's note about a file
        names = [one for one in files if one.lower().endswith(suffix) and not one.startswith(".")]
        found += [Path(place) / one for one in names]
        if len(found) > MOST or number > MOST_FOLDERS:
            break
    return sorted(found, key=lambda path: (len(path.parts), str(path)))[:MOST]


def _is_checkpoint(path: Path) -> bool:
    return ".ipynb_checkpoints" in path.parts or path.stem.endswith("-checkpoint")


def _answers(path: Path, exercise: Exercise, inside: Path | None) -> int:
    """How many gradients are written in the notebook at ``path``; -1 where it is no notebook of the exercise."""
    try:
        return len(Submission.of(read_notebook(path, inside), exercise).written())
    except SubmissionError:
        return -1


def _left_aside(folder: Path, paths: list[Path]) -> str:
    if not paths:
        return ""
    names = ", ".join(str(path.relative_to(folder)) for path in paths)
    if len(paths) > 1:
        return f"Other files with answers were not graded: {names}."
    return f"Another file with answers was not graded: {names}."


def _nothing(folder: Path, name: str) -> str:
    held = sorted(_entries(folder))
    return f"There is no {name} in the folder, which holds: {', '.join(held)}." if held else ""


def _entries(folder: Path) -> Iterator[str]:
    try:
        yield from (one.name for one in folder.iterdir())
    except OSError:
        return
