"""What a student's page shows of the cells and the outputs of a notebook."""

import re
from collections.abc import Sequence
from importlib import resources

import pytest
from nbformat import NotebookNode, v4

from handgrad.course.nbgrader.feedback_exporter import (
    _COLOURS_OF_CODE,
    FeedbackExporter,
    _code,
    _printed,
    with_verdicts,
)
from handgrad.report.pages import _for_classes
from helpers.html_page import Page
from helpers.reports import GRAPH, report

LESSON = "## The rows\n\nA text of the lesson."
SETUP = "n = 32"


def test_colours_of_a_terminal_are_legible() -> None:
    """A colour is mixed with the page's, a background is left out, and what looks like a style in the text is text."""
    html = _printed('\x1b[38;5;28;48;5;200mfor\x1b[0m \x1b[48;5;200mx\x1b[0m style="color: rgb(1,2,3)"')
    assert re.findall(r'style="([^"]*)"', html) == ["color: color-mix(in srgb, rgb(0,135,0) 35%, var(--ink))"]
    assert re.sub("<[^>]*>", "", html) == "for x style=&#34;color: rgb(1,2,3)&#34;"


def test_an_output_has_tags_for_its_colours_only() -> None:
    """A colour that has a name in a terminal has no tag, since the page has none for it; the text stays."""
    assert _printed("\x1b[31ma < b\x1b[0m\n\x1b[1;32mc\x1b[0m") == "<pre>a &lt; b\nc</pre>"


def test_code_has_tags_for_its_colours_only() -> None:
    """A token that the page does not colour is text alone, those of one colour share a tag, and each has its rule."""
    for name in _COLOURS_OF_CODE:
        assert f".{name}{{color:" in _for_classes(frozenset(name))
    shown = _code("x = 'a' \"b\" + 1.5 if None else f(x) or '''d'''  # why\ndef f(a): return a < 2 & 3\n")
    assert shown == (
        '<pre>x = <span class="s">\'a\'</span> <span class="s">"b"</span> + <span class="m">1.5</span> '
        '<span class="k">if</span> <span class="k">None</span> <span class="k">else</span> f(x) '
        "<span class=\"k\">or</span> <span class=\"s\">'''d'''</span>  <span class=\"c\"># why</span>\n"
        '<span class="k">def</span> f(a): <span class="k">return</span> a &lt; <span class="m">2</span> &amp; '
        '<span class="m">3</span></pre>'
    )
    assert _code("dx = dy * x\n") == "<pre>dx = dy * x</pre>"


def test_a_page_has_the_rules_that_it_uses() -> None:
    """A rule for a class is there only if the page has an element of that class; a rule without one always is."""
    sheet = "".join(
        resources.files("handgrad.report").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.css", "feedback.css")
    )
    names = set(re.findall(r"\.([a-z][\w-]*)(?=[^{}]*\{)", re.sub(r"/\*.*?\*/", "", sheet)))
    assert {"todo", "output", "remark", "card", "missing"} <= names
    everything, nothing = _for_classes(frozenset(names)), _for_classes(frozenset())
    assert all(re.search(rf"\.{name}\b", everything) for name in names)
    for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", nothing):
        assert any("." not in selector for selector in selectors.split(","))
    assert "h1{" in nothing
    some = _for_classes(frozenset(["todo", "box", "wrong"]))
    assert ".todo a{" in some
    assert ".box.wrong{" in some
    assert ".box.held{" not in some
    assert "@media (prefers-color-scheme:dark){:root{" in nothing
    assert "#notebook :target" in nothing


def _locked(name: str, source: str, outputs: Sequence[NotebookNode] = ()) -> NotebookNode:
    facts = {"grade_id": name, "locked": True, "grade": False, "solution": False}
    return v4.new_code_cell(source, metadata={"nbgrader": facts}, outputs=[*outputs])


def _page(*cells: NotebookNode) -> str:
    source = v4.new_notebook(cells=[v4.new_markdown_cell(LESSON), _locked("setup", SETUP)])
    notebook = v4.new_notebook(cells=[*cells])
    with_verdicts(notebook, report(), GRAPH)
    exporter = FeedbackExporter()
    exporter.source = source
    facts = {"student": "ann", "late_penalty": 0.0, "name": "", "db_url": ""}
    html: str = exporter.from_notebook_node(notebook, {"nbgrader": facts, "metadata": {}})[0]
    return html.partition('<section id="notebook">')[2]


def test_what_the_notebook_has_is_left_out() -> None:
    """A text or locked cell of the instructor's is not on the page; its heading is, above a cell of the student's."""
    printed = v4.new_output("stream", text="32 rows")
    cells = [v4.new_markdown_cell(LESSON), _locked("setup", SETUP, [printed])]
    without = Page(_page(*cells)).said
    assert not re.search("The rows|of the lesson|n = 32|32 rows", without)
    page = _page(*cells, v4.new_code_cell("mine = 1"))
    assert page.count("<h3>The rows</h3>") == 1
    assert "The rows mine = 1" in " ".join(Page(page).said.split())
    assert not re.search("of the lesson|32 rows", page)


@pytest.mark.parametrize("heading", ["## The rows\n\n", ""])
def test_what_is_the_students_stays(heading: str) -> None:
    """A changed text, the student's own cell with its output, and a copy of a locked cell are on the page."""
    said = Page(
        _page(
            v4.new_markdown_cell(f"{heading}A text of *mine*."),
            v4.new_code_cell(SETUP, outputs=[v4.new_output("stream", text="my rows")]),
            _locked("setup", "n = 64"),
            v4.new_markdown_cell(" "),
        )
    ).said
    text = " ".join(said.split())
    assert text.endswith("A text of mine. n = 32 my rows n = 64")
    assert ("The rows" in text) == bool(heading)


def test_a_locked_cell_that_failed_stays() -> None:
    """An error in a cell of the instructor's is shown with the cell."""
    error = v4.new_output("error", ename="ValueError", evalue="no rows", traceback=["ValueError: no rows"])
    assert "n = 32 ValueError: no rows" in " ".join(Page(_page(_locked("setup", SETUP, [error]))).said.split())


def test_no_link_to_the_page_for_students() -> None:
    """The page that came with the notebook is not beside the feedback page: its name stands there without a link."""
    page = _page(v4.new_markdown_cell("See [README.md](README.md), and [a list](#dh)."))
    assert "See <code>README.md</code>, and <a href=" in page
    assert 'href="README.md"' not in page
