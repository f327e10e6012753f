"""What of a notebook has to run for its answers."""

from handgrad.notebook.syntax import ParsedCell
from handgrad.submission.answer_places import StatementPosition
from handgrad.submission.needed_statements import needed
from helpers.inputs import named

OURS = ("torch", "x", "y", "n", "ix", "loss")


def _kept(*cells: str) -> list[str]:
    """The lines that are left of cells whose answers are dx and dy."""
    parsed = [ParsedCell.of(cell) for cell in cells]
    steps = {
        StatementPosition(i, j): step for i, cell in enumerate(parsed) if cell for j, step in enumerate(cell.steps)
    }
    kept = needed(steps, ["dx", "dy"], ["x", "y"], OURS)
    texts = [cell.only(kept.get(position, ())) for position, cell in enumerate(parsed) if cell]
    return [line.strip() for text in texts for line in text.splitlines() if line.strip(" #")]


def test_helpers() -> None:
    """What an answer uses runs, however far away it stands, and nothing else."""
    assert _kept("import numpy as np\nimport os", "a = np.e\nb = 2", "dx = a * x\nc = dx") == [
        *("import numpy as np", "a = np.e", "dx = a * x"),
    ]
    assert _kept("def f(a):\n    return a * k", "k = 3\nunused = 1", "dx = f(y)") == [
        *("def f(a):", "return a * k", "k = 3", "dx = f(y)"),
    ]


def test_the_exercise_s_names() -> None:
    """A name of the exercise is the exercise's, and a variable again after the first answer, if it is no tensor."""
    assert _kept("n = 5\nx = 7\ny = n * x", "dy = n * y") == ["dy = n * y"]
    assert _kept("dy = n", "ix = y.max()\nx = 3\ndx = x[ix]") == ["dy = n", "ix = y.max()", "dx = x[ix]"]


def test_reused_names() -> None:
    """Of a helper's values only the one that an answer sees runs."""
    assert _kept("t = 1\nplot(t)\nt = 2\ndx = t\nt = 3") == ["t = 2", "dx = t"]


def test_changed_in_place() -> None:
    """A helper may be changed without being assigned."""
    for line in [
        "rows.append(x)",
        "for k in x: rows.append(k)",
        "np.add.at(rows, ix, x)",
        "rows.add_(1)",
        "rows[0] = x",
    ]:
        with named(line):
            assert _kept("import numpy as np", "rows = make()", line, "print(rows)", "dx = np.sum(rows)") == [
                *("import numpy as np", "rows = make()", line, "dx = np.sum(rows)"),
            ]


def test_changed_by_a_function() -> None:
    """A function that changes its argument counts where it is given a gradient; one that looks at it does not."""
    adds, shows = "def add(t): t[0] = 1", "def show(t): t = t + 1; print(t)"
    assert _kept(adds, shows, "dx = x\nadd(dx)\nshow(dx)") == [adds, "dx = x", "add(dx)"]


def test_blocks() -> None:
    """The header of a block runs with what is left in it, and what the header uses too."""
    source = "with th.no_grad():\n    a = 1\n    dx = x\nwith th.no_grad():\n    print(dx)"
    assert _kept("import torch as th", source) == ["import torch as th", "with th.no_grad():", "dx = x"]


def test_defaults() -> None:
    """A default type of tensors is kept."""
    assert _kept("torch.set_default_dtype(torch.float64)\ntorch.manual_seed(1)", "dx = x")[0].startswith("torch.set")


def test_nothing() -> None:
    """Without an answer nothing runs."""
    assert _kept("a = 1\nprint(a)", "x = 2") == []


def test_last_output() -> None:
    """What the cell above showed is kept for an answer that is made from it."""
    assert _kept("1 + y", "2 + y", "dx = _") == ["2 + y", "dx = _"]
    assert _kept("1 + y\na = 3", "dx = a") == ["a = 3", "dx = a"]
