"""The statements of a history: what they do to names, and which of them a value was made by."""

import pytest

from handgrad.student.helps.statements import needed, statements_of


def _needed(names: list[str], *cells: str, given: tuple[str, ...] = ()) -> list[str]:
    statements = statements_of(cells)
    return [statements[place].text for place in needed(statements, names, len(statements) - 1, given)]


def test_what_a_value_was_made_by() -> None:
    """What it reads, in the order of the cells, and nothing else."""
    cells = ("import torch\nn = 3", "a = torch.ones(n)\nunused = a + 1", "b = a * 2", "print(b)\nb.shape")
    assert _needed(["b"], *cells) == ["import torch", "n = 3", "a = torch.ones(n)", "b = a * 2", "b.shape"]
    assert _needed(["b"], *cells, given=("a",)) == ["b = a * 2", "b.shape"]


def test_the_last_value_counts() -> None:
    """A cell that was run twice, or replaced, is there once."""
    assert _needed(["a"], "a = 1", "a = 2") == ["a = 2"]
    assert _needed(["a"], "a = 1", "a += 2") == ["a = 1", "a += 2"]


@pytest.mark.parametrize(
    "change",
    [
        "a[0] = 2",
        "a.data = 2",
        "a[:, 1] += 2",
        "a.fill_(1)",
        "random.shuffle(a)",
        "for i in range(3):\n    a[i] = i",
        "with torch.no_grad():\n    a.mul_(2)",
        "if n:\n    a = 3",
    ],
)
def test_changes_in_place(change: str) -> None:
    """A change of a part, or in place, is one of the statements that a value was made by."""
    assert _needed(["a"], "a = 0", change) == ["a = 0", change]


def test_functions() -> None:
    """A function brings what it reads; its own names are not those of the notebook."""
    cells = ("scale = 2\nx = 5", "def double(x):\n    y = x * scale\n    return y", "z = double(3)")
    assert _needed(["z"], *cells) == ["scale = 2", cells[1], "z = double(3)"]


def test_comprehensions_have_names_of_their_own() -> None:
    """What a comprehension counts with is neither made nor read by the statement."""
    cells = ("i = 5", "squares = {i: i + i for i in range(3)}", "a = squares[2] + i")
    assert _needed(["a"], *cells) == list(cells)
    assert _needed(["squares"], *cells) == [cells[1]]


def test_star_imports() -> None:
    """What a star import makes is not known, so it always comes along."""
    assert _needed(["a"], "from math import *", "b = 1", "a = cos(0)") == ["from math import *", "a = cos(0)"]


def test_magics_and_what_is_no_python() -> None:
    """The body of a cell with a magic is read; a cell that is no Python is left out."""
    timed = "get_ipython().run_cell_magic('time', '', 'a = 1\\nb = a\\n')"
    others = ("this is no Python", "get_ipython().system('ls')", "x = await later()", "return 3", "b += )")
    assert _needed(["b"], timed, *others) == ["a = 1", "b = a"]


@pytest.mark.parametrize("shown", ["print(a)", "cmp('a', da, a)", "hint('da')", "loss.backward()", "plt.plot(a)"])
def test_what_only_shows(shown: str) -> None:
    """What shows something, or asks autograd, makes no value."""
    (statement,) = statements_of([shown])
    assert statement.shows
    assert _needed(["a"], "a = 1", shown) == ["a = 1"]
