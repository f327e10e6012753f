"""One known mistake: the generator that recognises it in a wrong answer, its text, and its slug."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from handgrad.gradients.mistakes.template_values import TemplateValues
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

__all__ = ["ENTRIES", "Mistake", "Question", "Recogniser", "mistake"]

Question = Literal["defined", "tensor", "shape", "dtype", "finite", "values", "moves"]
Recogniser = Callable[[WrongAnswer], Iterator[TemplateValues]]


@dataclass(frozen=True)
class Mistake:
    """One known mistake.

    Attributes
    ----------
    slug
        Its name.
    question
        The question about an answer that this mistake answers with no.
    what, advice
        The text, with the names of template values in braces.
    explanations
        Yields the template values of each explanation of a wrong answer by this mistake; none if it does not fit.
    is_note
        Whether it is reported for right answers too.
    """

    slug: str
    question: Question
    what: str
    advice: str
    explanations: Recogniser
    is_note: bool = False

    def diagnosis(self, gradient: str, words: TemplateValues, cell: str = "") -> Diagnosis:
        """The diagnosis for a student; ``cell`` is where the mistake is (default: the gradient's own cell)."""
        words = {"gradient": gradient, "tensor": gradient.removeprefix("d"), **words}
        return Diagnosis(self.slug, self.what.format(**words), self.advice.format(**words), cell or gradient)


ENTRIES: dict[str, Mistake] = {}
"""The mistakes of every module that has been imported, by slug; :mod:`.catalogue` imports all of them."""


def mistake(question: Question, *, is_note: bool = False) -> Callable[[Recogniser], Recogniser]:
    """Make a generator an entry of the catalogue: its name gives the slug, its docstring the text."""

    def enter(explanations: Recogniser) -> Recogniser:
        what, _, advice = " ".join((explanations.__doc__ or "").split()).partition(" Try: ")
        slug = explanations.__name__.replace("_", "-")
        ENTRIES[slug] = Mistake(slug, question, what, advice, explanations, is_note)
        return explanations

    return enter
