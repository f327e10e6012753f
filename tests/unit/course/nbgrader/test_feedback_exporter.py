"""What a student's page shows of the outputs of a notebook."""

import re
from importlib import resources

from handgrad.course.nbgrader.feedback_exporter import _UNCOLOURED, _code, _printed


def test_colours_of_a_terminal_are_legible() -> None:
    """A colour is mixed with the page's, a background is left out, and what looks like a style in the text is text."""
    html = _printed('\x1b[38;5;28;48;5;200mfor\x1b[0m \x1b[48;5;200mx\x1b[0m style="color: rgb(1,2,3)"')
    assert re.findall(r'style="([^"]*)"', html) == ["color: color-mix(in srgb, rgb(0,135,0) 35%, var(--ink))"]
    assert re.sub("<[^>]*>", "", html) == "for x style=&#34;color: rgb(1,2,3)&#34;"


def test_code_has_tags_for_its_colours_only() -> None:
    """A token that the page does not colour is text alone; every class that the style sheet names is kept."""
    css = resources.files("handgrad.report").joinpath("feedback.css").read_text(encoding="utf-8")
    coloured = set(re.findall(r"\.highlight \.([a-z0-9]+)", css))
    assert coloured
    shown = _code(
        "import torch as t\nx = 'a' \"b\" + 1.5 * 2 if None else f(x) or '''d'''  # why\ndef f(a):\n    '''s'''"
    )
    assert set(re.findall(r'<span class="([a-z0-9]+)">', shown)) <= coloured
    assert all(_UNCOLOURED.search(f'<span class="{name}">x</span>') is None for name in coloured)
    assert _code("dx = dy * x\n") == '<div class=" highlight hl-python3"><pre>dx = dy * x\n</pre></div>\n'
