"""The figures of a benchmark: the question, the values by run, and whether they meet the goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Figure", "quotients", "spread"]


@dataclass(frozen=True)
class Figure:
    """The answer to one question.

    Attributes
    ----------
    question
        What was measured.
    goal
        The smallest value that it should have; with ``at_most`` the largest; None if it has no goal.
    values
        The measured value of each run; empty if nothing could be measured.
    made_of
        How the values were computed, or why there are none, as a phrase.
    form
        The format of a value, with its unit.
    """

    question: str
    goal: float | None
    values: Sequence[float]
    made_of: str
    form: str = "{:.1f} times"
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None if nothing was measured, or there is no goal."""
        if not self.values or self.goal is None:
            return None
        return median(self.values) <= self.goal if self.at_most else median(self.values) >= self.goal

    def row(self) -> tuple[str, str, str, str, str]:
        """A line of the table: the question, the goal, the figure, whether the goal is met, how it was computed."""
        goal = "" if self.goal is None else f"at {'most' if self.at_most else 'least'} {self.form.format(self.goal)}"
        measured = spread(self.values, self.form) if self.values else "not measured"
        return self.question, goal, measured, {True: "yes", False: "**no**", None: "-"}[self.met], self.made_of


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The median of ``values`` and, if there are several, their range."""
    text = form.format(median(values))
    bare = form.split(maxsplit=1)[0]
    return text if len(values) == 1 else f"{text} ({bare.format(min(values))} to {bare.format(max(values))})"


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The quotients of ``above`` and ``below``, by run; runs in which noise made a value 0 or less are left out."""
    return [upper / lower for upper, lower in zip(above, below, strict=True) if upper > 0 and lower > 0]
