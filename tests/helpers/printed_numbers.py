"""Numbers as the helps print them, read back."""

import math
import re
from fractions import Fraction

NUMBER = re.compile(r"-?ln \d+(?:/\d+)?|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:/\d+)?|-?inf|nan")


def number(text: str) -> float:
    """The value of a printed number, whether or not a mark stands behind it."""
    text = text.strip().removesuffix("*")
    if "ln " in text:
        sign = -1 if text.startswith("-") else 1
        return sign * math.log(float(Fraction(text.removeprefix("-").removeprefix("ln "))))
    if "/" in text:
        return float(Fraction(text))
    return float(text)


def is_printed(value: float, text: str) -> bool:
    """Whether ``text`` is ``value`` to the digits that the helps show."""
    if math.isnan(value):
        return math.isnan(number(text))
    return math.isclose(
        number(text), value, rel_tol=0.06 if abs(value) < 0.1 else 6e-3, abs_tol=5e-3 * (abs(value) >= 0.1)
    )
