"""The figures of a benchmark: what was asked, what came out run by run, and whether that is the goal."""

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
        What it should be: at least, or where ``at_most`` says so at most.
    values
        What came out, for each run; empty where nothing could be measured.
    made_of
        What the values were made from, or why there are none, in half a sentence.
    form
        How a value is written, with its unit.
    """

    question: str
    goal: float
    values: Sequence[float]
    made_of: str
    form: str = "{:.1f} times"
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median is what it should be; None where nothing was measured."""
        if not self.values:
            return None
        return median(self.values) <= self.goal if self.at_most else median(self.values) >= self.goal

    def row(self) -> tuple[str, str, str, str, str]:
        """A line of the table: the question, the goal, the figure, whether the goal is met, what it is made of."""
        goal = f"at {'most' if self.at_most else 'least'} {self.form.format(self.goal)}"
        found = spread(self.values, self.form) if self.values else "not measured"
        return self.question, goal, found, {True: "yes", False: "**no**", None: "-"}[self.met], self.made_of


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The median of ``values`` and, where there are several, their range."""
    text = form.format(median(values))
    bare = form.split(maxsplit=1)[0]
    return text if len(values) == 1 else f"{text} ({bare.format(min(values))} to {bare.format(max(values))})"


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """How many times each of ``below`` goes into its counterpart in ``above``, run by run.

    A run in which noise has left nothing of one of the two is left out.
    """
    return [one / other for one, other in zip(above, below, strict=True) if one > 0 and other > 0]
