"""What students write and show is inert, and what is harmless stays as it is."""

import copy
import re
import time

import nbformat
import pytest
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from handgrad.course.nbgrader.sanitize import MAX_COST, MAX_SECONDS, MAX_TOTAL, sanitize_comment, sanitize_notebook
from helpers.html_page import Page
from helpers.inputs import named

PNG = "iVBORw0KGgoAAAANSUhEUg=="


ATTACKS = (
    "<script>alert(1)</script>after",
    "<SCRIPT\n>alert(1)</SCRIPT\n>after",
    "<scr<script>ipt>alert(1)</script>after",
    '<img src=x onerror="alert(1)">after',
    '<svg onload="alert(1)"><script>alert(1)</script></svg>after',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>after',
    '<a href="javascript:alert(1)">after</a>',
    '<a href=" java\tscript:alert(1)">after</a>',
    '<a href="javascript:1">after</a>',
    '<a href="&#106;avascript:alert(1)">after</a>',
    '<a href="data:text/html;base64,PHNjcmlwdD4=">after</a>',
    '<form action="javascript:alert(1)"><button formaction="javascript:alert(1)">after</button></form>',
    '<base href="https://evil.invalid/"><meta http-equiv="refresh" content="0;url=javascript:alert(1)">after',
    '<details open ontoggle="alert(1)"><summary>after</summary>\n\n[x](javascript:alert(1))\n\n</details>',
    'after<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    "[after](javascript:alert(1))",
    "[after][1]\n\n[1]: javascript:alert(1)",
    "after ![x](javascript:alert(1))",
    "after <javascript:alert(1)>",
    "after\n\n```\n\n<script>alert(1)</script>\n[x](javascript:alert(1))\n```\n\n<script>alert(1)</script>",
    "after<b" + "<b>" * 10_000 + "<script>alert(1)</script>",
)

HARMLESS = (
    "# Title\n\nSome *text*, `code < code`, a [link](https://example.org 'title') & it's \"quoted\".",
    "$a < b$ and $$\\frac{\\partial L}{\\partial x}$$ and `$\\x$`",
    "| a | b |\n| - | - |\n| 1 | 2 |",
    "1. one\n2. two\n\n> quoted\n\n---\n\n```python\nx = '<script>'\n```",
    '<br> <b>bold</b> <sub>i</sub>\n\n<div align="center">middle</div>',
    "shape (32, 27) < (32, 1) & more",
    "## A heading\n\n```python\nx = 1\n```\n\n| a | b |\n| :- | -: |\n| 1 | 2 |",
    "$$\\begin{aligned} a &= b \\\\ - c \\end{aligned}$$ and $\\left( x \\right)$ and \\\\[-x\\\\]",
)

NO_ATTRIBUTES = (
    '<div class="card passed">after</div>',
    '<p id="score">after</p>',
    '<p style="position:fixed;top:0">after</p>',
    '<p style="color:red">after</p>',
    '<p name="score">after</p>',
    '<table class="dataframe card"><tr><td>after</td></tr></table>',
    '<p class="dataframe">after</p>',
    '<a name="score" id=score class=x style=color:red data-x=1>after</a>',
    "<P CLASS=x ID = y STYLE='top:0'>after</P>",
    '<img class="x" alt="after">after',
)
"""What could lay a student's text over the page's own, or take its place."""


def _with_outputs(*outputs: NotebookNode) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=list(outputs), id="a")])


def _shown(data: dict[str, object], **metadata: object) -> NotebookNode:
    notebook = _with_outputs(nbformat.from_dict({"output_type": "display_data", "data": data, "metadata": metadata}))
    sanitize_notebook(notebook)
    nbformat.validate(notebook)
    return notebook.cells[0].outputs[0]


def _text(source: str) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source, id="a")])


def test_html_output() -> None:
    """Nothing that a cell displays runs, and the words of it stay."""
    for text in ATTACKS:
        with named(text):
            page = Page(_shown({"text/html": text})["data"]["text/html"])
            assert page.live == []
            assert "after" in page.said


def test_markdown() -> None:
    """Nothing in a text cell or in displayed Markdown runs once it is a page, and the words of it stay."""
    for text in ATTACKS:
        for where in ["cell", "output"]:
            with named(text, where):
                if where == "cell":
                    notebook = _text(text)
                    sanitize_notebook(notebook)
                    source = notebook.cells[0].source
                else:
                    source = _shown({"text/markdown": text})["data"]["text/markdown"]
                page = Page(markdown2html(source))
                assert page.live == []
                assert "after" in page.said


def test_the_attacks_are_live() -> None:
    """As they are, the attacks would run: nbconvert does nothing about them."""
    for text in [text for text in ATTACKS if len(text) < 1000]:
        with named(text):
            assert Page(markdown2html(text)).live


def test_harmless_text_stays() -> None:
    """Text without anything live in it stays to the letter."""
    for text in HARMLESS:
        with named(text):
            notebook = _text(text)
            sanitize_notebook(notebook)
            assert notebook.cells[0].source == text


def test_the_instructors_text_stays() -> None:
    """Text that is the instructor's own stays, whatever it holds."""
    text = "<iframe src='https://example.org'></iframe>"
    notebook = _text(text)
    sanitize_notebook(notebook, trusted={text})
    assert notebook.cells[0].source == text


def test_no_class_id_or_style() -> None:
    """No attribute that a page's styles and scripts look for reaches a page, from a cell or from an output."""
    for text in NO_ATTRIBUTES:
        with named(text):
            notebook = _text(text)
            sanitize_notebook(notebook)
            cell, output = markdown2html(notebook.cells[0].source), _shown({"text/html": text})["data"]["text/html"]
            ours = cell.replace('class="tex2jax_ignore mathjax_ignore"', "", 1)
            for page in (ours, output):
                assert "after" in page
                assert not re.search(r"\b(class|id|style|name|data-x)\s*=", page, re.IGNORECASE)
    assert "mermaid" not in _text_after("```mermaid\ngraph LR; a --> b\n```")


LIVE_FORMULAS = (
    r"\mmlToken{mi}[href=\"javascript:alert(1)\"]{click}",
    r"\mmlToken {mi} [class=card]{26/26}",
    r"\def\link{\href}",
    r"\let\frac\href",
    r"\newcommand{\frac}[2]{26/26}",
    r"\renewcommand\sum{26}",
    r"\csname hr\expandafter ef\endcsname",
    r"\bbox[position:fixed]{26}",
    r"\cssId{score}{26}",
    r"\htmlClass{card}{26}",
    r"\raise 50em{26}",
    r"a \\[-30em] b",
    r"\hspace{-50em} 26",
    r"\unicode[x]{65}",
    r"\hr<!-- -->ef{x}{y}",
)


def test_formulas_that_do_more() -> None:
    """A formula with attributes, with a command of the student's own, or out of its place is shown as it is written."""
    for formula in LIVE_FORMULAS:
        with named(formula):
            assert _text_after(f"${formula}$").startswith('<div class="tex2jax_ignore mathjax_ignore">')
            assert _shown({"text/html": f"${formula}$"})["data"]["text/html"].startswith('<div class="tex2jax_ignore')
            latex = formula.replace("<!-- -->", "")
            assert _shown({"text/latex": f"${latex}$"})["data"] == {}


def _text_after(source: str) -> str:
    """The source of a text cell after it was sanitized."""
    notebook = _text(source)
    sanitize_notebook(notebook)
    return str(notebook.cells[0].source)


QUADRATIC = ("\\\\(", "\\\\[", "\\begin{a}", "<script ", "[a](")
OPENERS = (
    *QUADRATIC,
    *("[", "![", "<div><p>", "<a href=x>", "<!--", "$$", "`", "*a ", "~~", "[a][b]", "&", "> ", "- a\n"),
    *("|a|b|\n|-|-|\n", "~~~\n", "# a  ", "  - a\n", "_a", "<b\n", "<style>", "<x a='"),
)
"""Texts that cost a renderer more than their length."""


def test_texts_that_take_long() -> None:
    """Text cells that begin something thousands of times cost seconds at most, and can still be read."""
    for opener in QUADRATIC:
        _limited(opener, 20_000)
        _limited(opener, 290_000 // len(opener))


@pytest.mark.slow
def test_many_texts_that_take_long() -> None:
    """The same for everything that a text can begin."""
    for opener in OPENERS:
        _limited(opener, 20_000)
        _limited(opener, 290_000 // len(opener))


def _limited(opener: str, times: int) -> None:
    """Four such cells are sanitized within the limit of processor time, and what is left renders as fast."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(f"after {opener * times}", id=f"a{number}") for number in range(4)]
    )
    started = time.process_time()
    sanitize_notebook(notebook)
    sanitized = time.process_time()
    assert all("after" in markdown2html(cell.source) for cell in notebook.cells)
    rendered = time.process_time()
    # sanitizing renders too: what is rendered afterwards has been rendered once within the limit, by a faster renderer;
    # what costs the square of its length would take minutes
    with named(opener, str(times)):
        assert sanitized - started < 1.5 * MAX_SECONDS
        assert rendered - sanitized < 4 * MAX_SECONDS


def test_formulas_that_are_links() -> None:
    """MathJax makes links of some formulas; these are left to be read as they are written."""
    for source in (r"$\href{javascript:alert(1)}{x}$", r"$&#92;href{javascript:alert(1)}{x}$", r"$\require{html}$"):
        notebook = _text(source)
        sanitize_notebook(notebook)
        assert notebook.cells[0].source.startswith('<div class="tex2jax_ignore mathjax_ignore">')
        assert _shown({"text/html": source})["data"]["text/html"].startswith('<div class="tex2jax_ignore')
    assert _shown({"text/latex": r"$\href{javascript:alert(1)}{x}$"})["data"] == {}
    assert _shown({"text/latex": r"$\frac{1}{n}$"})["data"] == {"text/latex": r"$\frac{1}{n}$"}
    inside = _shown({"text/html": r'<b class="tex2jax_process">$\href{javascript:alert(1)}{x}$</b>'})
    assert "tex2jax_process" not in inside["data"]["text/html"]


def test_kinds_of_output() -> None:
    """Printed text, pictures and tables stay; scripts, drawings that may hold them, and widgets go."""
    table = '<table border="1" class="dataframe"><tbody><tr><td>1</td></tr></tbody></table>'
    data = {"text/plain": "<b>", "image/png": PNG, "image/jpeg": PNG, "text/html": table}
    live = {
        "application/javascript": "alert(1)",
        "image/svg+xml": "<svg onload='alert(1)'/>",
        "application/vnd.jupyter.widget-view+json": {"model_id": "</script>"},
    }
    output = _shown(
        {**data, **live}, **{"image/png": {"width": 10, "height": "1 onload=x"}, "text/html": {"isolated": True}}
    )
    assert output["data"] == data
    assert output["metadata"] == {"image/png": {"width": 10}}
    assert _shown({"image/png": '"><script>alert(1)</script>', "text/html": ["<script>"]})["data"] == {}


def test_printed_output_stays() -> None:
    """What is printed or raised is text, and stays."""
    printed = [
        nbformat.v4.new_output("stream", text="<script>alert(1)</script>"),
        nbformat.v4.new_output("error", ename="E", evalue="<b>", traceback=["<i>"]),
    ]
    notebook = _with_outputs(*copy.deepcopy(printed))
    sanitize_notebook(notebook)
    assert notebook.cells[0].outputs == printed


def test_metadata_and_attachments() -> None:
    """Only what a notebook needs is kept of its metadata; only pictures are kept of what is attached."""
    notebook = _text("![a](attachment:a.png) ![b](attachment:b.png)")
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "x"}, "title": "<script>", "widgets": {}, "language_info": 1}
    )
    cell = notebook.cells[0]
    cell.metadata = nbformat.from_dict(
        {"tags": ["good", '"><script>'], "slideshow": 1, "nbgrader": {"grade_id": '"><script>'}}
    )
    cell.attachments = nbformat.from_dict(
        {"a.png": {"image/png": PNG, 'x" onload="alert(1)': PNG}, "b.png": {"image/svg+xml": PNG}}
    )
    sanitize_notebook(notebook)
    assert notebook.metadata == {
        "kernelspec": {"name": "python3", "display_name": "x"},
        "language_info": {"name": "python"},
    }
    assert cell.metadata == {"tags": ["good"]}
    assert cell.attachments == {"a.png": {"image/png": PNG}}
    # the second picture is not attached any more: nbconvert would end there
    assert "attachment:" not in cell.source


def test_known_cells_keep_their_marks() -> None:
    """A cell that nbgrader knows keeps what nbgrader says of it."""
    notebook = _text("x")
    notebook.cells[0].metadata["nbgrader"] = {"grade_id": "known", "grade": True}
    sanitize_notebook(notebook, grade_ids={"known"})
    assert notebook.cells[0].metadata.nbgrader.grade


def test_no_end_of_work() -> None:
    """A text that is too long to be looked into, or comes when there is no time left, is shown as it was typed."""
    long = "<b>" * (MAX_COST // 50)
    notebook = _with_outputs(
        *(nbformat.v4.new_output("display_data", data={"text/html": long[:15_000]}) for _ in range(20)),
        nbformat.v4.new_output("display_data", data={"text/html": long}),
    )
    sanitize_notebook(notebook)
    shown = [output["data"]["text/html"] for output in notebook.cells[0].outputs]
    assert len([text for text in shown if "&lt;b&gt;" in text]) >= 20 - MAX_TOTAL // (15_000 * 17) >= 1
    assert "&lt;b&gt;" in shown[-1]


def test_comment() -> None:
    """A comment is text: markup in it is shown, not obeyed."""
    plain = "The cell of dprobs raises ValueError: expected 3, got (2, 4).\nTry: dh @ W2.T"
    assert sanitize_comment(plain) == plain
    for text in ("raises E: <script>alert(1)</script>", "raises E: [x](javascript:alert(1))\n<img src=x onerror=y>"):
        page = Page(markdown2html(sanitize_comment(text)))
        assert page.live == []
        assert page.said.strip().split() == text.split()
