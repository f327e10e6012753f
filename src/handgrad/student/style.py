"""Colours, signs and HTML elements that all outputs share."""

import re
from html import escape

from handgrad.student.progress import Status

__all__ = ["BLUE", "COLOURS", "GREEN", "ORANGE", "SANS", "SIGNS", "TYPEWRITER", "block", "div", "escape", "with_code"]

# mid tones: each has a contrast of at least 3 to 1 both to white and to the dark themes' background
GREEN = "#2a9460"
RED = "#d8504a"
ORANGE = "#c77414"
BLUE = "#3d82d6"
PURPLE = "#8f6ad0"
GREY = "#808080"
SANS = "font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif"
TYPEWRITER = "font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"

SIGNS: dict[Status, str] = {
    "right": "\u2713",
    "wrong": "\u2717",
    "carried": "\u21b3",
    "old": "\u21bb",
    "not yet": "\u00b7",
}
COLOURS: dict[Status, str] = {"right": GREEN, "wrong": RED, "carried": ORANGE, "old": PURPLE, "not yet": GREY}


def block(content: str, style: str, label: str) -> str:
    """An HTML element with a name for screen readers, in which MathJax does not read a ``$`` as a formula."""
    return (
        f'<div class="handgrad tex2jax_ignore mathjax_ignore" role="group" aria-label="{escape(label)}" '
        f'style="{SANS};font-size:13px;line-height:1.5;color:inherit;{style}">{content}</div>'
    )


def div(style: str, content: str) -> str:
    """An HTML element with an inline ``style``; ``content`` is HTML."""
    return f'<div style="{style}">{content}</div>'


def with_code(text: str) -> str:
    """A sentence, escaped, with the text between backticks set as code."""
    style = f"{TYPEWRITER};font-size:12px;background:rgba(128,128,128,0.14);border-radius:3px;padding:1px 4px"
    return re.sub(r"`([^`]+)`", rf'<span style="{style}">\1</span>', escape(text))
