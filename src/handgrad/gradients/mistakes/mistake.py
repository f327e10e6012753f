"""One known mistake: the generator that recognises it in a wrong answer, its slug, its text and the words in it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple, TypeVar

from handgrad.gradients.mistakes.backward_context import sizes_of
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis

__all__ = [
    "ENTRIES",
    "Mistake",
    "TemplateValues",
    "factor_name",
    "has_name",
    "lines",
    "listed",
    "mistake",
    "multiple",
    "numbered",
    "part",
    "quoted",
    "size_note",
    "subsets",
    "told",
]

Question = Literal["defined", "tensor", "shape", "dtype", "finite", "values", "moves"]
MOST_CONSUMERS = 5
"""Largest number of items whose subsets are all tried; of more, only single ones."""
_T = TypeVar("_T")
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


def told(slug: str, what: str, advice: str, question: Question = "values", *, is_note: bool = False) -> None:
    """Enter a mistake into the catalogue that is recognised by other means than the values of an answer."""
    ENTRIES[slug] = Mistake(slug, question, what, advice, lambda wrong: iter(()), is_note)


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def numbered(noun: str, numbers: Sequence[int]) -> str:
    """``dimension 1``, ``dimensions 0 and 1``."""
    return f"{noun}{'s' if len(numbers) > 1 else ''} {listed(map(str, numbers))}"


def part(wrong: WrongAnswer, consumer: str) -> str:
    """The gradient, or if it has several branches the one through ``consumer``, as the start of a sentence."""
    whole = f"d{wrong.name}"
    return whole if len(wrong.consumers) == 1 else f"In {whole}, the contribution through {consumer}"


def lines(wrong: WrongAnswer, consumers: Iterable[str]) -> str:
    """The forward lines of ``consumers``; quoted if they are known."""
    if wrong.skips:
        return f"the lines from {wrong.name} to the loss"
    return quoted(wrong.context.lines, consumers)


def quoted(known: Mapping[str, str], names: Iterable[str]) -> str:
    """The lines that assign ``names``, quoted where they are ``known``."""
    # one line may assign several of them
    return listed(dict.fromkeys(f"`{known[name]}`" if name in known else f"the line of {name}" for name in names))


def factor_name(wrong: WrongAnswer, number: float) -> str:
    """A readable name of ``number``: ``2``, ``1/32``, ``5**0.5``, ``1/tau``, else ``0.1`` or ``about 0.939``."""
    if found := _exactly(wrong, number):
        return found.text
    for text, _ in _powers(wrong, number):
        return text
    short = f"{number:.3g}"
    exact = abs(float(short) - number) <= wrong.tolerance * abs(number)
    return short if exact else f"about {short}"


def multiple(wrong: WrongAnswer, number: float) -> str:
    """What is said of a value that is ``number`` times the right one: ``is 1/32 times what it should be (n is 32)``."""
    factor = factor_name(wrong, number)
    return "has the wrong sign" if factor == "-1" else f"is {factor} times what it should be{size_note(wrong, number)}"


def has_name(wrong: WrongAnswer, number: float) -> bool:
    """Whether ``number`` is made from small whole numbers and the sizes of the step: no number by chance."""
    return not number or _exactly(wrong, number) is not None


def size_note(wrong: WrongAnswer, number: float) -> str:
    """`` (n is 32)`` for the ``number`` 31/32; empty for one not made from sizes or constants with a name.

    A third of three branches may be their mean, whatever else is three: then nothing is said.
    """
    found = _exactly(wrong, number)
    sizes = sorted({part for part in found.parts if part > 2} & _own(wrong) - {len(wrong.consumers)}) if found else []
    named = [(wrong.context.sizes[size], size) for size in sizes]
    notes = [
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} {size}" for names, size in named if 0 < len(names) < 3
    ]
    constants = dict.fromkeys(name for _, name in _powers(wrong, number))
    notes += [f"{name} is {value:g}" for name in constants if isinstance(value := wrong.context.namespace[name], float)]
    return f" ({', '.join(notes)})" if notes else ""


class _Exact(NamedTuple):
    """A number as a fraction, or the root of one: its text, and the whole numbers in it."""

    text: str
    parts: tuple[int, int]


def _powers(wrong: WrongAnswer, number: float) -> Iterator[tuple[str, str]]:
    """The powers of a constant or a single number in the step that ``number`` is, as texts, with the name in them."""
    words = wrong.context.words_of(wrong.consumers)
    for name, value in {**wrong.context.namespace, **wrong.context.forward}.items():
        is_number = isinstance(value, float) or (name in wrong.context.forward and value.numel() == 1)
        constant = float(value) if name in words and is_number else 0.0
        for power in (1, -1, 2, -2, 0.5, -0.5) if constant > 0 else ():
            if abs(constant**power - abs(number)) <= wrong.tolerance * abs(number):
                base = name if power in (1, -1) else f"{name}**{abs(power):g}"
                yield ("-" if number < 0 else "") + (base if power > 0 else f"1/{base}"), name


def _own(wrong: WrongAnswer) -> set[int]:
    """The sizes of the step; those of other tensors have nothing to do with it.

    A single number has no sizes, but may have been averaged: then those of what it is computed from.
    """
    near = [wrong.name, *wrong.named_consumers]
    if wrong.expected.numel() == 1:
        near += wrong.sources
    return {size for name in near for size in sizes_of(wrong.context.tensors[name])}


def _exactly(wrong: WrongAnswer, number: float) -> _Exact | None:
    """``number`` made from small whole numbers and sizes; None if it is no such number."""
    sizes = _own(wrong)
    known = {1, 2, 3, 4} | {part for size in sizes for part in (size - 1, size, size + 1) if part > 0}
    minus = "-" if number < 0 else ""
    for power in (1, 2):
        fraction = Fraction(abs(number) ** power).limit_denominator(max(known))
        parts = fraction.numerator, fraction.denominator
        roots = known if power == 1 else sizes | {1}
        if set(parts) <= roots and abs(float(fraction) ** (1 / power) - abs(number)) <= wrong.tolerance * abs(number):
            text = str(fraction)
            if power == 2:
                text = (
                    f"{parts[0]}**0.5" if parts[1] == 1 else f"{parts[1]}**-0.5" if parts[0] == 1 else f"({text})**0.5"
                )
            return _Exact(minus + text, parts)
    return None


def subsets(items: Sequence[_T]) -> list[tuple[_T, ...]]:
    """The subsets of ``items`` but the empty one, small ones first."""
    largest = 1 if len(items) > MOST_CONSUMERS else len(items)
    return [subset for size in range(1, largest + 1) for subset in itertools.combinations(items, size)]
