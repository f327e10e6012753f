"""Numbers as a student reads them: how they are written, and how hard they are to read."""

import math
from fractions import Fraction

import torch

__all__ = ["difficulty", "input_difficulty", "written"]

_LARGEST_DENOMINATOR = 12


def written(value: float, *, logarithms: bool = False) -> str:
    """A number in few characters: whole, a fraction, two decimals or digits; with ``logarithms`` also ``ln 3``.

    It is exact up to 1e-4 (an epsilon in a formula is not shown), or right to two decimals or three digits.
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e6:
        return f"{value:.2g}" if abs(value) < 1e-4 else f"{value:.3g}"
    if _is_near(value, whole := round(value)):
        return str(whole)
    fraction = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    if abs(fraction.numerator) < 100 and abs(value - fraction) < 2e-5:
        return f"{fraction.numerator}/{fraction.denominator}"
    if _is_near(value * 100, round(value * 100)):
        return f"{value:.2f}".rstrip("0")
    if logarithms and (name := _logarithm(value)):
        return name
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def difficulty(tensor: torch.Tensor) -> float:
    """How hard the entries of a result are to read: 0 for zeros, little for small whole numbers."""
    return sum(_difficulty_of(value) for value in tensor.flatten().tolist())


def input_difficulty(tensor: torch.Tensor) -> float:
    """How hard an input is to read.

    2, 3, 4 and 5 are best: 0 and 1 hide factors, and equal numbers do not show from which place a result comes.
    """
    values = [round(value, 9) for value in tensor.flatten().tolist()]
    return sum(map(_difficulty_of_input, values)) + 0.12 * (len(values) - len(set(values)))


def _difficulty_of(value: float, logarithms: bool = False) -> float:
    text = written(value, logarithms=logarithms)
    if not math.isfinite(value):
        return 9
    if "e" in text:
        return 4
    if "." in text:
        return 2 if _is_near(value * 100, round(value * 100)) else 4
    if "/" in text:
        return 1.2 + 0.1 * len(text)
    if "ln" in text:
        return 1
    whole = abs(int(text))
    if whole < 2:
        return 0.3 * whole + (0.2 if value < 0 and whole else 0)
    return 0.45 + 0.1 * math.sqrt(whole) + (0.2 if value < 0 else 0) + (2 if whole > 20 else 0)


def _difficulty_of_input(value: float) -> float:
    if value != round(value):
        return 0.5 + _difficulty_of(value, logarithms=True)
    if value in (0, 1):
        return 0.9 if value == 0 else 0.55
    return 0.4 + 0.02 * abs(value) + (0.25 if value < 0 else 0)


def _is_near(value: float, other: float) -> bool:
    return abs(value - other) < 1e-4 * max(1.0, abs(value))


def _logarithm(value: float) -> str | None:
    if abs(value) > 9:
        return None
    fraction = Fraction(math.exp(value)).limit_denominator(9)
    if fraction <= 0 or abs(value - math.log(fraction)) > 1e-9:
        return None
    return f"ln {fraction}" if fraction >= 1 else f"-ln {1 / fraction}"
