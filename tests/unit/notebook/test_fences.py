"""Markdown files that are notebooks."""

from handgrad.notebook.reading import parse_markdown
from helpers.inputs import named


def _cells(text: str) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in parse_markdown(text).cells]


FORMATS = {
    "jupytext": 'Text\n\n```python\na = 1\n```\n\n```python tags=["x"]\nb = 2\n```\n',
    "MyST": "Text\n```{code-cell} ipython3\n:tags: [x]\na = 1\n```\n\n```{code-cell}\n---\ntags: [x]\n---\nb = 2\n```",
    "MyST with colons": "Text\n\n:::{code-cell} python\na = 1\n:::\n\n:::{code-cell} python\nb = 2\n:::",
    "R Markdown": "Text\n\n```{python}\na = 1\n```\n\n```{python name, echo=FALSE}\nb = 2\n```",
    "Quarto": "Text\n\n```{python}\na = 1\n```\n\n``` {python}\nb = 2\n```",
    "pandoc": "Text\n\n::: {.cell .code}\n``` python\na = 1\n```\n:::\n\n``` {.py}\nb = 2\n```",
    "notedown": "Text\n\n```{.python .input}\na = 1\n```\n\n```{.python .input  n=2}\nb = 2\n```",
    "marimo": 'Text\n\n```python {.marimo}\nb = a + 1\n```\n\n```python {.marimo hide_code="true"}\na = 1\n```',
    "tildes": "Text\n\n~~~python\na = 1\n~~~\n\n~~~~py\nb = 2\n~~~~",
    "in a list": "Text\n\n* one\n\n  ```python\n  a = 1\n  ```\n  ```Python3\n  b = 2\n  ```",
    "CRLF": "Text\r\n\r\n```python\r\na = 1\r\n```\r\n\r\n```python\r\nb = 2\r\n```\r\n",
    "no last fence": "Text\n\n```python\na = 1\n```\n\n```python\nb = 2",
}


def test_formats() -> None:
    """The fenced blocks of Python are the cells, however a tool writes their heads and options."""
    for name, text in FORMATS.items():
        with named(name):
            code = [source for kind, source in _cells(text) if kind == "code"]
            assert code == ["a = 1", "b = a + 1" if name == "marimo" else "b = 2"]
            assert _cells(text)[0][1].startswith("Text")


def test_texts() -> None:
    """Other languages, quoted examples and what is between the blocks are texts."""
    quoted = "````\n```python\nx\n```\n````\n<!-- #region -->\n```python\ny\n```\n<!-- #endregion -->\n"
    text = f"One\n\n```bash\nls\n```\n\n{quoted}```python\na = 1\n```\nTwo"
    assert [source for kind, source in _cells(text) if kind == "code"] == ["a = 1"]
    assert _cells(text)[-1] == ("markdown", "Two")
    assert _cells("```python\nx = 1\n```\n```{python}\na = 1\n```") == [
        ("markdown", "```python\nx = 1\n```"),
        ("code", "a = 1"),
    ]


def test_options() -> None:
    """Quarto's options are comments; nbgrader's metadata is read; a cell that is not for the notebook is raw."""
    assert _cells("```{python}\n#| echo: false\n# !ls\na = 1\n```") == [("code", "#| echo: false\n!ls\na = 1")]
    (cell,) = parse_markdown('```python nbgrader={"grade_id": "da"}\nda = 1\n```').cells
    assert cell.metadata.nbgrader.grade_id == "da"
    assert _cells('```{python active="", eval=FALSE}\nda = None\n```') == [("raw", "da = None")]
