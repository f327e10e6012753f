"""What a cell assigns, by its syntax alone."""

from handgrad.notebook.syntax import (
    ParsedCell,
    assigned,
    assigning_lines,
    compared,
    gradients_taken,
    in_place_lines,
    is_untouched,
    same,
)
from helpers.inputs import named

ASSIGNED = {
    "plain": "dx = 1",
    "one of two": "dx, dy = 1, 2",
    "starred": "a, *dx = 1, 2",
    "chained": "dy = dx = 1",
    "augmented": "dx += 1",
    "annotated": "dx: object = 1",
    "a part of it": "dx[ix, 0] += demb",
    "a part of a part": "dx.data[0][1] = 2",
    "in place": "dx.index_add_(0, ix, demb)",
    "in place through a view": "dx.view(-1).add_(1)",
    "out": "torch.mul(a, b, out=dx)",
    "walrus": "print((dx := 1))",
    "in a loop": "for k in range(3):\n    if k:\n        dx = k",
    "in a block": "with torch.no_grad():\n    dx = 1",
    "as a loop variable": "for dx in tries: pass",
    "in a try": "try:\n    dx = 1\nexcept ValueError:\n    pass",
    "timed": "%time dx = 1",
    "timed as a cell": "%%time\ndx = 1",
    "behind a shell line": "!ls\ndx = 1",
    "awaited": "dx = await slow()",
}
NOT_ASSIGNED = {
    "nothing": "",
    "none": "dx = None",
    "dots": "dx = ...",
    "declared": "dx: object",
    "used": "y = dx + 1",
    "compared": "dx == 1",
    "in a function": "def f():\n    dx = 1",
    "in a class": "class A:\n    dx = 1",
    "in a comprehension": "[dx for dx in tries]",
    "a method that changes nothing": "dx.sum()",
    "a special method": "dx.__repr__()",
    "a keyword": "f(dx=1)",
    "in a text": "'''\ndx = 1\n'''",
    "in a comment": "# dx = 1",
    "no Python": "dx = = 1",
    "another magic": "%%html\ndx = 1",
}


def test_assigned() -> None:
    """Every way of giving a name a value counts, in whole or in part."""
    for source in ASSIGNED.values():
        with named(source):
            assert assigned(source, "dx")


def test_not_assigned() -> None:
    """What leaves the name of the cell alone, or leaves nothing in it, does not count."""
    for source in NOT_ASSIGNED.values():
        with named(source):
            assert not assigned(source, "dx")


def test_endless_sources() -> None:
    """A source that is too deep or too long to be looked into is no Python, and no harm."""
    for source in [
        "(" * 5000,
        "-" * 100_000 + "1",
        "+".join(["1"] * 50_000),
        "a" + ".b" * 50_000 + " = 1",
        "x = 1\n" * 200_000,
        "\0",
    ]:
        with named(source):
            assert ParsedCell.of(source) is None


def test_untouched() -> None:
    """An answer cell that holds nothing, or what it held when it was released, is untouched."""
    for source in [
        "",
        "\n# comment\n",
        "dx = None",
        "dx = None  # your code here",
        "...",
        "pass",
        "raise NotImplementedError()",
        "'text'",
    ]:
        with named(source):
            assert is_untouched(source, "dx")


def test_touched() -> None:
    """Anything else is somebody's work, also where it is no Python."""
    for source in ["dx = 0", "dy = None", "print(dx)", "dx = None\nx", "dx = = 1"]:
        with named(source):
            assert not is_untouched(source, "dx")


def test_compared() -> None:
    """A cell that does nothing but call cmp is a check of these tensors."""
    assert compared("cmp('x', dx, x)") == ["x"]
    assert compared("# all of them\ncmp('x', dx, x)\ncmp('y', dy, y)") == ["x", "y"]
    assert compared("dx = 1\ncmp('x', dx, x)") == []
    assert compared("cmp(name, dx, x)") == []
    assert compared("") == []


def test_same() -> None:
    """White space makes no difference between sources, anything else does."""
    assert same("a = 1\n\n", "a  =  1")
    assert not same("a = 1", "a = 2")


def _lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line != "#"]


def test_cut() -> None:
    """A cell is cut after the last assignment of each name, and every line keeps its number."""
    source = (
        "dx = 1\ndy = dx\n\ndx += 1  # the other branch\nprint(dx)\nfor k in (1,\n          2):\n    dz = k\n# the end"
    )
    parsed = ParsedCell.of(source)
    assert parsed is not None
    pieces = parsed.cut(["dx", "dy", "dz"])
    assert [names for _, names in pieces] == [("dy",), ("dx",), ("dz",)]
    whole = source.splitlines()
    for text, _ in pieces:
        for number, line in enumerate(text.splitlines()):
            assert line in ("#", "pass") or line == whole[number]
    assert [line for text, _ in pieces for line in _lines(text)] == whole


def test_cut_on_one_line() -> None:
    """Statements that share a line, and names that share a statement, stay together."""
    parsed = ParsedCell.of("dx = 1; dy = 2\nwith block:\n    dz = 1; dw = 2")
    assert parsed is not None
    assert [names for _, names in parsed.cut(["dx", "dy", "dz", "dw"])] == [("dx", "dy"), ("dz", "dw")]


def test_cut_shows_nothing_more() -> None:
    """A piece that ends with an expression does not show its value, which the whole cell would not have shown."""
    parsed = ParsedCell.of("dx = x\ndx.add_(1)  # in place\ndx")
    assert parsed is not None
    assert [text for text, _ in parsed.cut(["dx"])] == ["dx = x\ndx.add_(1)  # in place\npass\n", "#\n#\ndx\n"]


def test_a_timed_cell_is_not_cut() -> None:
    """What stands under a magic runs in one piece."""
    parsed = ParsedCell.of("%%time\ndx = 1\ndy = 2")
    assert parsed is not None
    assert parsed.cut(["dx", "dy"]) == []


def test_without() -> None:
    """Of two cells merged, what stands in the other or assigns its names is blanked out; lines stay."""
    parsed, locked = ParsedCell.of("a = 1\nb = 3\nprint(a)\nc = 4"), ParsedCell.of("a = 1\nb = 2\nprint(a)")
    assert parsed is not None
    assert locked is not None
    assert _lines(parsed.only(parsed.beside([locked]))) == ["c = 4"]
    assert parsed.only(parsed.beside([locked])).splitlines()[3] == "c = 4"


def test_assigning_lines() -> None:
    """A line is quoted as it was written, without its remark, for each of its names; what takes several lines is left
    out.
    """
    cells = ["a = 1/n * x.sum(0)  # a mean\nb, c[0], e = f(a)", "d = f(\n    1)\na = a**-0.5", "1 +"]
    pair = dict.fromkeys("be", "b, c[0], e = f(a)")
    assert assigning_lines(cells) == {"a": "a = a**-0.5", **pair}
    assert assigning_lines(cells[:1]) == {"a": "a = 1/n * x.sum(0)", **pair}


def test_in_place_lines() -> None:
    """Lines that write into what is there are found, and plain assignments are not."""
    for line in ["dx += dy", "dx[ix] = dy", "dx.add_(dy)", "if n:\n    dx -= 1"]:
        with named(line):
            assert in_place_lines(f"dx = dbndiff\n{line}\ndz = dx + 1") == [2 + line.count("\n")]
            assert in_place_lines("dx = dbndiff") == []


TAKEN = {
    "dh = h.grad": {"dh": "h"},
    "dh = h.grad.clone()\ndx = x.grad.detach().clone()": {"dh": "h", "dx": "x"},
    "if True:\n    dh = h.grad": {"dh": "h"},
    "dh = x.grad": {},
    "dh = 2 * h.grad": {},
    "dh = h.grad.T": {},
    "dh += h.grad": {},
    "hgrad = h.grad\nprint(h.grad)": {},
    "dh = h.grad(": {},
}


def test_gradients_taken() -> None:
    """Only a gradient that is called after its tensor, as it is or copied, is taken from autograd."""
    for source, taken in TAKEN.items():
        with named(source):
            assert gradients_taken([source]) == taken
