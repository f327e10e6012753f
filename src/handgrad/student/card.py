"""The card of a check: the lecture's line, and what is known about a gradient that does not pass."""

from dataclasses import dataclass

from handgrad.report.records import Comparison, Diagnosis
from handgrad.report.wording import line_as_html
from handgrad.student.heatmap import HeatMap
from handgrad.student.progress import Status
from handgrad.student.style import COLOURS, GREEN, SIGNS, TYPEWRITER, block, div, escape, in_ink, with_code

__all__ = ["Card", "passed"]

_STATES: dict[str, Status] = {"carried": "carried", "older": "old", "undefined": "not yet"}


@dataclass(frozen=True)
class Card:
    """The output of a check that does not pass.

    ``line`` is the lecture's line and ``comparison`` has the facts in it; both are empty if there was nothing to
    compare. ``picture`` shows where the differences are, if that helps. ``help`` says how to get more help.
    """

    gradient: str
    diagnosis: Diagnosis
    line: str = ""
    comparison: Comparison | None = None
    picture: HeatMap | None = None
    help: str = ""

    @property
    def state(self) -> Status:
        """The status of the gradient, as on the map."""
        return _STATES.get(self.diagnosis.mistake, "wrong")

    @property
    def headline(self) -> str:
        """The line below the card, in the place of Jupyter's traceback."""
        return f"the check of {self.gradient} does not pass yet."

    def sentence(self) -> str:
        """What happened and what to try, for an exception."""
        return self.diagnosis.what + (f"\nTry: {self.diagnosis.advice}" if self.diagnosis.advice else "")

    def text(self) -> str:
        """The card for a reader without HTML."""
        parts = [self.line, f"{SIGNS[self.state]} {self.sentence()}", self._shapes()]
        if self.picture:
            parts.append(self.picture.text())
        parts.append(self.help.replace("`", ""))
        return "\n".join(part for part in parts if part)

    def html(self) -> str:
        """The card; of a gradient that is not written yet, its sentence in grey."""
        colour = COLOURS[self.state]
        sign = f'<span style="{in_ink(colour)}" aria-hidden="true">{SIGNS[self.state]}</span>'
        parts = [div("margin-bottom:4px", _line(self.line))] if self.line else []
        weight = "opacity:0.8" if self.state == "not yet" else "font-weight:600"
        parts.append(div(weight, f"{sign} {with_code(self.diagnosis.what)}"))
        if self.diagnosis.advice:
            parts.append(div("margin-top:2px", f"<b>Try:</b> {with_code(self.diagnosis.advice)}"))
        if shapes := self._shapes():
            parts.append(div("opacity:0.8;margin-top:2px", escape(shapes)))
        if self.picture:
            parts.append(div("margin-top:8px", self.picture.html()))
        if self.help:
            parts.append(div("margin-top:6px", with_code(self.help)))
        frame = (
            f"border:1px solid rgba(128,128,128,0.4);border-left:4px solid {colour};border-radius:6px;"
            "padding:8px 14px 9px;width:fit-content;max-width:680px;box-sizing:border-box;break-inside:avoid;"
            "overflow-wrap:anywhere"
        )
        content = div(frame, "".join(parts))
        return block(content, "margin:4px 0", f"{self.gradient}: {self.state}", self.gradient)

    def _shapes(self) -> str:
        if self.comparison is None:
            return ""
        shape, expected = self.comparison.shape, self.comparison.expected_shape
        return f"Shape {shape}, " + ("as expected." if shape == expected else f"expected {expected}.")


def passed(gradient: str, line: str, note: str = "") -> str:
    """The lecture's line of a check that passes, with a green mark, and a note below it."""
    mark = f'<span style="{in_ink(GREEN)};font-weight:600" role="img" aria-label="passed" title="passed">\u2713</span>'
    below = div("opacity:0.8;max-width:620px", with_code(note)) if note else ""
    return block(_line(line, mark) + below, "margin:2px 0", f"{gradient}: passed", gradient)


def _line(line: str, mark: str = "") -> str:
    """The lecture's line, which is broken at its bars only."""
    # not code or pre: pages style those with backgrounds and margins of their own
    return div(f"{TYPEWRITER};font-size:12px;white-space:pre-wrap", line_as_html(line) + (f"  {mark}" if mark else ""))
