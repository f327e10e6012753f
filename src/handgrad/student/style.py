"""Colours, signs and HTML elements that all outputs share."""

from html import escape

from handgrad.report.wording import code_as_html
from handgrad.student.progress import Status

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "ORANGE",
    "SIGNS",
    "TYPEWRITER",
    "anchor",
    "block",
    "div",
    "escape",
    "in_ink",
    "wide_or_narrow",
    "with_code",
]

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
_FRAME = 40
"""Pixels that the frame of a card takes, left and right together."""


def block(content: str, style: str, label: str, gradient: str = "") -> str:
    """An HTML element with a name for screen readers, in which MathJax does not read a ``$`` as a formula.

    Its content may depend on its width. A link to the :func:`anchor` of ``gradient`` goes to it, and leaves the answer
    above it in sight.
    """
    place = f'id="{escape(anchor(gradient))}" ' if gradient.isidentifier() else ""
    return (
        f'<div {place}class="handgrad tex2jax_ignore mathjax_ignore" role="group" aria-label="{escape(label)}" '
        f'style="{SANS};font-size:13px;line-height:1.5;color:inherit;container-type:inline-size;scroll-margin-top:12em;'
        f'{style}">{content}</div>'
    )


def anchor(gradient: str) -> str:
    """The id of the output of a gradient's check."""
    return f"handgrad-{gradient}"


def div(style: str, content: str) -> str:
    """An HTML element with an inline ``style``; ``content`` is HTML."""
    return f'<div style="{style}">{content}</div>'


def in_ink(colour: str) -> str:
    """The style of a text in ``colour``: mixed with the page's own, which is legible on a light and on a dark page."""
    return f"color:color-mix(in srgb,{colour} 70%,currentColor)"


def wide_or_narrow(wide: str, narrow: str, width: int) -> str:
    """The first content where a :func:`block` has room for it with a frame around it, else the second.

    Where styles are removed it is the second.
    """
    least = width + _FRAME
    names = f"handgrad-wide-{least}", f"handgrad-narrow-{least}"
    style = f".{names[0]}{{display:block!important}}.{names[1]}{{display:none}}"
    return (
        f"<style>@container (min-width:{least}px){{{style}}}</style>"
        f'<div class="{names[0]}" style="display:none">{wide}</div><div class="{names[1]}">{narrow}</div>'
    )


def with_code(text: str) -> str:
    """A sentence, escaped, with the text between backticks set as code."""
    style = f"{TYPEWRITER};font-size:12px;background:rgba(128,128,128,0.14);border-radius:3px;padding:1px 4px"
    return code_as_html(text, style)
