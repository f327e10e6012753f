"""What a student's page shows of the outputs of a notebook."""

import re

from handgrad.course.nbgrader.feedback_exporter import _printed


def test_colours_of_a_terminal_are_legible() -> None:
    """A colour is mixed with the page's, a background is left out, and what looks like a style in the text is text."""
    html = _printed('\x1b[38;5;28;48;5;200mfor\x1b[0m \x1b[48;5;200mx\x1b[0m style="color: rgb(1,2,3)"')
    assert re.findall(r'style="([^"]*)"', html) == ["color: color-mix(in srgb, rgb(0,135,0) 35%, var(--ink))"]
    assert re.sub("<[^>]*>", "", html) == "for x style=&#34;color: rgb(1,2,3)&#34;"
