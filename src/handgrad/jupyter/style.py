"""Colours, signs and wrapping that every output shares."""

from html import escape

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "RED", "SANS", "TYPEWRITER", "block", "escape", "number"]

# mid tones: each has a contrast of at least 3 to 1 both to white and to the dark themes' background
GREEN = "#2a9460"
RED = "#d8504a"
ORANGE = "#c77414"
BLUE = "#3d82d6"
GREY = "#808080"
SANS = "font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif"
TYPEWRITER = "font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"


def block(content: str, style: str, label: str) -> str:
    """An element of ours: named for a screen reader, and closed to MathJax, for which a ``$`` is a formula."""
    return (
        f'<div class="handgrad tex2jax_ignore mathjax_ignore" role="group" aria-label="{escape(label)}" '
        f'style="{SANS};font-size:13px;line-height:1.5;color:inherit;{style}">{content}</div>'
    )


def number(value: float) -> str:
    """A number of a picture, as short as it can be."""
    return f"{value:.1f}".removesuffix(".0")
