"""Words for the texts of the catalogue: names of factors, shapes, dimensions, branches and lines."""

import math
from collections.abc import Iterable, Iterator, Sequence

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer

__all__ = ["TemplateValues", "branches", "dimensions", "factor_name", "lines", "listed", "part", "scaled", "shapes"]


TemplateValues = dict[str, str]
"""The parts of a text that depend on the answer, by their names in braces."""


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def dimensions(dims: Sequence[int]) -> str:
    """``dimension 1``, ``dimensions 0 and 1``."""
    return f"dimension{'s' if len(dims) > 1 else ''} {listed(map(str, dims))}"


def shapes(wrong: WrongAnswer) -> TemplateValues:
    """The two shapes, as Python prints them."""
    return {"shape": str(wrong.shape), "wanted": str(wrong.expected_shape)}


def branches(wrong: WrongAnswer) -> TemplateValues:
    """How many consumers there are, and which."""
    return {"count": str(len(wrong.consumers)), "consumers": listed(wrong.consumers)}


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


def _factors(wrong: WrongAnswer) -> Iterator[tuple[str, float, int]]:
    """Name, value and size (0 if none) of every factor that has a name; plain numbers first."""
    yield from (("1", 1.0, 0), ("2", 2.0, 0), ("1/2", 0.5, 0))
    # the sizes of other tensors have nothing to do with this step: a tenth is not 1/n_embd by chance
    near = (wrong.name, *(name for name in wrong.consumers if name != LOSS))
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


def scaled(wrong: WrongAnswer, number: float, consumers: Sequence[str]) -> Iterator[TemplateValues]:
    """The template values for a gradient, or branches of it, that are ``number`` times what they should be."""
    name = factor_name(wrong, number)
    if name == "1":
        return
    sizes = [size for factor, _, size in _factors(wrong) if size and factor == name.removeprefix("-")]
    known = [(wrong.context.sizes[size], size) for size in sizes if wrong.context.sizes[size] != str(size)]
    size = f" ({known[0][0]} is {known[0][1]})" if known else ""
    whole = len(consumers) == len(wrong.consumers)
    what = f"d{wrong.name}" if whole else f"In d{wrong.name}, the contribution through {listed(consumers)}"
    yield {"part": what, "factor": name, "size": size, "lines": lines(wrong, consumers)}
