"""One known mistake: the generator that recognises it in a wrong answer, its slug, its text and the words in it."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

__all__ = ["ENTRIES", "Mistake", "TemplateValues", "factor_name", "lines", "listed", "mistake", "part", "size_note"]

Question = Literal["defined", "tensor", "shape", "dtype", "finite", "values", "moves"]
TemplateValues = dict[str, str]
"""The parts of a text that depend on the answer, by their names in braces."""
Recogniser = Callable[[WrongAnswer], Iterator[TemplateValues]]


@dataclass(frozen=True)
class Mistake:
    """One known mistake, by its ``slug``.

    It answers the ``question`` about an answer with no. ``what`` and ``advice`` are its text, with names of template
    values in braces. ``explanations`` yields the template values of each explanation of a wrong answer by this mistake,
    none if it does not fit. With ``is_note`` it is reported for right answers too.
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


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def part(wrong: WrongAnswer, consumer: str) -> str:
    """The gradient, or if it has several branches the one through ``consumer``, as the start of a sentence."""
    whole = f"d{wrong.name}"
    return whole if len(wrong.consumers) == 1 else f"In {whole}, the contribution through {consumer}"


def lines(wrong: WrongAnswer, consumers: Iterable[str]) -> str:
    """The forward lines of ``consumers``; quoted if they are known."""
    if wrong.skips:
        return f"the lines from {wrong.name} to the loss"
    known = wrong.context.lines
    return listed(f"`{known[name]}`" if name in known else f"the line of {name}" for name in consumers)


def factor_name(wrong: WrongAnswer, number: float) -> str:
    """A readable name of ``number``: ``2``, ``1/n``, ``(n-1)/n``, ``-n``, else ``0.1`` or ``about 0.939``."""
    minus, number = "-" if number < 0 else "", abs(number)
    for name, value, _ in _factors(wrong):
        if abs(value - number) <= wrong.tolerance * value:
            return minus + name
    short = f"{number:.3g}"
    exact = abs(float(short) - number) <= wrong.tolerance * number
    return minus + short if exact else f"about {minus}{short}"


def size_note(wrong: WrongAnswer, factor: str) -> str:
    """`` (n is 32)`` for the ``factor`` ``1/n``; empty for one without the name of a size in it."""
    sizes = (size for name, _, size in _factors(wrong) if size and name == factor.removeprefix("-"))
    known = ((wrong.context.sizes[size], size) for size in sizes)
    return next((f" ({name} is {size})" for name, size in known if name != str(size)), "")


def _factors(wrong: WrongAnswer) -> Iterator[tuple[str, float, int]]:
    """Name, value and size (0 if none) of every factor that has a name; plain numbers first."""
    yield from (("1", 1.0, 0), ("2", 2.0, 0), ("1/2", 0.5, 0))
    # the sizes of other tensors have nothing to do with this step: a tenth is not 1/n_embd by chance
    near = (wrong.name, *wrong.named_consumers)
    own = {size for name in near for size in wrong.context.tensors[name].shape}
    sizes = {size: name for size, name in wrong.context.sizes.items() if size in own}
    for size, name in sizes.items():
        yield from ((name, float(size), size), (f"1/{name}", 1 / size, size))
    for size, name in sizes.items():
        yield from ((f"({name}-1)/{name}", (size - 1) / size, size), (f"{name}/({name}-1)", size / (size - 1), size))
        yield from ((f"({name}-1)", float(size - 1), size), (f"1/({name}-1)", 1 / (size - 1), size))
    for size, name in sizes.items():
        if math.isqrt(size) ** 2 != size:
            yield from ((f"{name}**0.5", size**0.5, size), (f"{name}**-0.5", size**-0.5, size))
