"""Notebooks of marimo."""

from handgrad.notebook.reading import parse_script
from handgrad.notebook.tidying import note_of

HEAD = "import marimo\n\n__generated_with = '0.1'\napp = marimo.App(width='medium')\n\n"
TAIL = "\n\nif __name__ == '__main__':\n    app.run()\n"


def _cells(text: str) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in parse_script(HEAD + text + TAIL).cells]


def test_order() -> None:
    """A cell comes after those that make what it takes, and otherwise where it is; the return is left out."""
    text = """
@app.cell
def _(b):
    # the last
    c = b + 1

    return (c,)

@app.cell(hide_code=True)
def named(a):
    b = a + 1
    return b,

@app.cell
async def _():
    a = 1
    return (
        a,
    )

@app.cell
def _():
    d = 1
    # the end
    return
"""
    sources = ["a = 1", "b = a + 1", "# the last\nc = b + 1", "d = 1\n# the end"]
    assert _cells(text) == [("code", source) for source in sources]


def test_kinds() -> None:
    """Setup, functions, classes and texts are cells too; a disabled cell is not run."""
    text = '''
with app.setup:
    import marimo as mo
    import torch

@app.function
def f(x):
    return x + 1

@app.class_definition
class A:
    pass

@app.cell
def _(mo):
    mo.md(r"""
    # Title

    Text
    """)
    return

@app.cell(disabled=True)
def _():
    a = f(1)
    return
'''
    assert _cells(text) == [
        ("code", "import torch"),
        ("code", "def f(x):\n    return x + 1"),
        ("code", "class A:\n    pass"),
        ("markdown", "# Title\n\nText"),
        ("raw", "a = f(1)"),
    ]


def test_own_names() -> None:
    """Names that begin with an underscore belong to their cell."""
    text = """
@app.cell
def _():
    _n = 2
    def f(x):
        return x * _n + x._n
    return (f,)

@app.cell
def _(f):
    _n = 3
    _m = f(_n)
    return
"""
    assert _cells(text) == [
        ("code", "_n_1 = 2\ndef f(x):\n    return x * _n_1 + x._n"),
        ("code", "_n_2 = 3\n_m = f(_n_2)"),
    ]


def test_circle() -> None:
    """Cells that need each other are all there."""
    text = "@app.cell\ndef _(b):\n    a = b\n    return (a,)\n\n@app.cell\ndef _(a):\n    b = a\n    return (b,)\n"
    assert sorted(_cells(text)) == [("code", "a = b"), ("code", "b = a")]


def test_not_python() -> None:
    """A cell that is not Python is read as it is, and the note says so."""
    text = '''
@app.cell
def _():
    a = 1
    return (a,)

app._unparsable_cell(
    r"""
    b = = 1
    """,
    name="_"
)

@app.cell
def _(a):
    c = = a
    return (c,)
'''
    assert _cells(text) == [("code", "a = 1"), ("code", "b = = 1"), ("code", "c = = a")]
    assert note_of(parse_script(HEAD + text + TAIL)) == "Cell 2 is not Python. Cell 3 is not Python."
