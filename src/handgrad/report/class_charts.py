"""Charts of a class by matplotlib, as SVG in the colours of the page."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from handgrad.report.class_summary import GradientSummary, Item, max_score_of, score_of
from handgrad.report.records import Report, ScoreEntry
from handgrad.report.wording import KINDS, one_line

__all__ = ["distribution", "gradient_chart", "item_chart", "score_chart"]

PAINTS = ("ink", "soft", "line", "bar", "right", "partial", "held", "wrong", "stopped", "missing")
"""Colours of the page, by the names of its CSS variables."""
_INK = {name: f"#0102{place:02x}" for place, name in enumerate(PAINTS, 16)}
"""Placeholders for them while matplotlib draws: a dark page has other colours."""
_STYLE: Mapping[Any, Any] = {
    "svg.hashsalt": "handgrad",
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": _INK["line"],
    "axes.labelcolor": _INK["soft"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK["ink"],
    "xtick.color": _INK["line"],
    "xtick.labelcolor": _INK["ink"],
    "ytick.color": _INK["line"],
    "ytick.labelcolor": _INK["ink"],
}
_ROOT = re.compile(r"^.*?<svg[^>]*?viewBox=\"0 0 ([0-9.]+) ([0-9.]+)\"[^>]*>", re.DOTALL)
_LEFT_OUT = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style[^>]*>.*?</style>\s*</defs>|<!--.*?-->", re.DOTALL)
_ID = re.compile(r' id="(?![mp][0-9a-f]{10})[^"]*"')
"""Ids of a chart's parts, which are the same in every chart; those that are referred to are kept."""
_FONT = re.compile(r"font: ([0-9.]+px) [^;\"]*")
_SPACES = re.compile(r"\n\s*")


NAMED = 4
"""Gradients named next to their point: the hardest, and those of lowest discrimination."""


def distribution(reports: Sequence[Report], entries: Mapping[str, ScoreEntry] | None = None) -> dict[str, int]:
    """Graded submissions by their share of the points, in tenths; full marks have a bar of their own."""
    counts = [0] * 11
    for report in reports:
        entry = (entries or {}).get(report.student)
        score, most = score_of(report, entry), max_score_of(report, entry)
        if report.outcome == "graded" and most > 0 and score is not None:
            # rounded before it is cut: ten times 0.1 add up to 0.9999999999999999
            counts[max(0, min(int(round(10 * score / most, 9)), 10))] += 1
    labels = [f"{10 * tenth} to {10 * tenth + 10}%" for tenth in range(10)] + ["100%"]
    return dict(zip(labels, counts, strict=True))


def score_chart(bars: Mapping[str, int]) -> str:
    """The distribution of scores: a bar for each tenth of the points, and one for full marks."""
    with _drawing(7.4, 2.3) as (figure, axes):
        places = range(len(bars))
        drawn = axes.bar(places, bars.values(), width=0.86, color=_INK["bar"])
        axes.bar_label(drawn, [str(count) if count else "" for count in bars.values()], padding=2)
        axes.set_xticks(places, [label.replace(" to ", "-") for label in bars])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.margins(x=0.01, y=0.15)
        text = "; ".join(f"{label} of the points: {count}" for label, count in bars.items() if count) or "no scores"
        return _svg(figure, "Distribution of scores", f"Students by their share of the points. {text}.")


def gradient_chart(gradients: Sequence[GradientSummary]) -> str:
    """A bar for each gradient, divided by kind in shares of the class; the first gradient is on top."""
    with _drawing(7.4, 0.6 + 0.21 * len(gradients)) as (figure, axes):
        names = [one_line(item.gradient) for item in gradients]
        start = [0.0] * len(gradients)
        for kind in KINDS:
            shares = [100 * item.share(kind) for item in gradients]
            axes.barh(range(len(names)), shares, left=start, height=0.74, color=_INK[kind])
            start = [before + share for before, share in zip(start, shares, strict=True)]
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xticks(range(0, 101, 25), [f"{share}%" for share in range(0, 101, 25)])
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.margins(x=0, y=0.01)
        text = "; ".join(f"{one_line(item.gradient)} {item.share('right'):.0%}" for item in gradients)
        return _svg(figure, "Results by gradient", f"Right, by gradient: {text}. The table below has all shares.")


def item_chart(items: Mapping[str, Item]) -> str:
    """Each gradient by its difficulty and its discrimination; empty if no discrimination is known."""
    points = {
        one_line(name): (item.difficulty, item.discrimination)
        for name, item in items.items()
        if item.discrimination is not None
    }
    if not points:
        return ""
    hardest = sorted(points, key=lambda name: points[name])[:NAMED]
    named = {*hardest, *sorted(points, key=lambda name: points[name][1])[:NAMED]}
    with _drawing(7.4, 3.4) as (figure, axes):
        for name, (difficulty, discrimination) in points.items():
            axes.plot(difficulty, discrimination, "o", color=_INK["bar"], markersize=6, alpha=0.7)
            if name in named:
                at = (difficulty, discrimination)
                axes.annotate(name, at, xytext=(5, 4), textcoords="offset points", fontsize=9)
        axes.axhline(0, color=_INK["line"], linewidth=1)
        axes.set_xlabel("difficulty: share of its points that the class earned (hard on the left)")
        axes.set_ylabel("separates strong from weak")
        axes.tick_params(length=3)
        axes.margins(x=0.08, y=0.12)
        text = "; ".join(f"{name} {point[0]:.2f}, {point[1]:.2f}" for name, point in points.items())
        return _svg(figure, "Difficulty and discrimination", f"Share of the points, correlation with the rest: {text}.")


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """A figure of a size in inches and its axes, independent of the user's matplotlib settings."""
    # only this page needs it, and importing it takes 0.7 s
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def _svg(figure: Any, title: str, description: str) -> str:
    """The figure as SVG for a page: with a text for screen readers, in the colours of the page."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = _LEFT_OUT.sub("", written.getvalue())
    text = _FONT.sub(r"font-size: \1; font-family: inherit", _ID.sub("", text))
    for name, colour in _INK.items():
        text = text.replace(colour, f"var(--{name})")
    start = _ROOT.match(text)
    assert start is not None
    width, height = start.groups()
    root = (
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}pt" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    )
    return root + _SPACES.sub("\n", text[start.end() :]).strip()
