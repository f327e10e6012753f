"""The instructor's own solution cells in a notebook that was handed in: somebody has read what students must not have.

One cell is the same by chance, for there are few ways to write ``dh = dlogits @ W2.T``: in notebooks that follow the
lecture some 18 of 26 are. So a cell counts by itself only if it is long, or has what no release has: the marks around a
solution, or a comment of the instructor's. Otherwise nearly all cells of the exercise must be the same.
"""

import functools
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
    whole, solutions = "".join(plain), _solutions(exercise)
    found, is_sure = [], False
    for name, (solution, comments) in solutions.items():
        if solution not in whole:
            continue
        source = next(source for source, code in zip(cells, plain, strict=True) if solution in code)
        found.append(name)
        # the first and the last line end
        is_sure |= solution.count("\n") - 1 >= _LINES or bool(SOLUTIONS.search(source))
        is_sure |= any(comment in source for comment in comments)
    is_most = len(found) >= max(LEAST, SHARE * len(solutions))
    return tuple(found) if is_sure or is_most else ()


def _solutions(exercise: Exercise) -> dict[str, tuple[str, tuple[str, ...]]]:
    """For each stub with a worked solution between the marks its code, and the comments that no release has."""
    texts = tuple((cell.name, cell.source) for cell in exercise.cells if cell.kind == "stub")
    return _worked(texts, "\n".join(cell.source for cell in exercise.cells if cell.kind != "stub"))


@functools.lru_cache(maxsize=8)
def _worked(stubs: tuple[tuple[str, str], ...], given: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The same, made once for a class."""
    found = {}
    for name, source in stubs:
        text = "\n".join(match[1] for match in SOLUTIONS.finditer(source))
        if len(code := _plain(text)) > 1:
            found[name] = code, tuple(comment for comment in _comments(text) if comment not in given)
    return found


def _plain(source: str) -> str:
    """Code without comments, spaces and empty lines; it begins and ends with a line end."""
    lines = (_COMMENT.sub("", line) if "#" in line else line for line in source.splitlines())
    return "\n" + "".join(f"{text}\n" for line in lines if (text := "".join(line.split())))


def _comments(source: str) -> Iterator[str]:
    """The comments in code, long ones only."""
    for line in source.splitlines():
        if (found := _COMMENT.search(line)) and sum(letter.isalpha() for letter in found[1]) >= _LETTERS:
            yield found[1].strip()
