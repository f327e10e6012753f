"""The instructor's own solution cells in a notebook that was handed in: somebody has read what students must not have.

One cell is the same by chance, for there are few ways to write ``dh = dlogits @ W2.T``: in notebooks that follow the
lecture some 18 of 26 are. So a cell counts by itself only if it is long, or has what no release has: the marks around a
solution, or a comment of the instructor's. Otherwise nearly all cells of the exercise must be the same.
"""

import re
from collections.abc import Iterator

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.solution_marks import SOLUTIONS
from handgrad.submission.submission import Submission

__all__ = ["solution_copies"]

SHARE, LEAST = 0.9, 5
"""Share of an exercise's solutions, and their smallest number, that are the same if somebody has copied them."""
_COMMENT = re.compile(r"(?:^|\s)#\s*(.*)$")
_LETTERS, _LINES = 12, 6
"""Letters of a comment, and lines of a solution, that nobody else would write."""


def solution_copies(submission: Submission, exercise: Exercise) -> tuple[str, ...]:
    """Names of the stubs whose worked solution is in the submission, if it is not there by chance; else empty.

    Spaces, and comments that are the student's own, make no difference.
    """
    cells = [str(cell.source) for cell in submission.notebook.cells if cell.cell_type == "code"]
    plain = [_plain(source) for source in cells]
    given = "\n".join(cell.source for cell in exercise.cells if cell.kind != "stub")
    solutions = dict(_solutions(exercise))
    found, is_sure = [], False
    for name, solution in solutions.items():
        comments = [text for text in _comments(solution) if text not in given]
        for source, code in zip(cells, plain, strict=True):
            if f"\n{_plain(solution)}\n" in f"\n{code}\n":
                found.append(name)
                is_sure |= _plain(solution).count("\n") + 1 >= _LINES
                is_sure |= bool(SOLUTIONS.search(source)) or any(text in source for text in comments)
                break
    is_most = len(found) >= max(LEAST, SHARE * len(solutions))
    return tuple(found) if is_sure or is_most else ()


def _solutions(exercise: Exercise) -> Iterator[tuple[str, str]]:
    """Name and worked solution of each stub that has one between the marks."""
    for cell in exercise.cells:
        if cell.kind == "stub":
            text = "\n".join(found[1] for found in SOLUTIONS.finditer(cell.source))
            if _plain(text):
                yield cell.name, text


def _plain(source: str) -> str:
    """Code without comments, spaces and empty lines."""
    lines = ("".join(_COMMENT.sub("", line).split()) for line in source.splitlines())
    return "\n".join(line for line in lines if line)


def _comments(source: str) -> Iterator[str]:
    """The comments in code, long ones only."""
    for line in source.splitlines():
        if (found := _COMMENT.search(line)) and sum(letter.isalpha() for letter in found[1]) >= _LETTERS:
            yield found[1].strip()
