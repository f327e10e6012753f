"""Gradients that are zero, or small beside the largest one, with many seeds: there a student sees few mistakes."""

from collections import Counter
from collections.abc import Iterator

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.mistakes.mistake import listed

__all__ = ["SEEDS", "small_gradients"]

SEEDS = range(1, 21)
"""Seeds with which an exercise is tried."""
MANY = 0.25
"""A gradient that is zero or small is worth a sentence from this share of the seeds on."""
SMALL = 1e-3
"""A gradient is small if its largest entry is less than this share of the largest entry of all gradients."""


def small_gradients(exercise: Exercise) -> Iterator[str]:
    """Sentences, without a full stop, on the gradients that are zero or small with many of :data:`SEEDS`.

    Raises
    ------
    ExerciseError
        The locked cells fail with one of the seeds, or a named tensor does not lead to the loss.
    """
    if not exercise.tensors:
        return
    zero, small, largest = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        reference = Reference.of(exercise, {**exercise.training.hidden[0], "seed": seed})
        scales = {name: scale_of(gradient) for name, gradient in reference.gradients.items()}
        top = max(scales, key=lambda name: scales[name])
        largest[top] += 1
        none = [name for name, scale in scales.items() if not scale or name in reference.zero]
        zero.update(none)
        small.update(name for name, scale in scales.items() if name not in none and scale < SMALL * scales[top])
    yield from _sentences(zero, "zero", "zeros are right there, so the loss cannot tell them from the formula")
    of_what = f"less than a thousandth of the largest gradient (mostly d{largest.most_common(1)[0][0]})"
    yield from _sentences(small, of_what, "next to that, its values may be nothing but rounding")


def _sentences(counts: Counter[str], what: str, so: str) -> Iterator[str]:
    """A sentence for all gradients that are ``what`` with equally many seeds."""
    for count in sorted({count for count in counts.values() if count >= MANY * len(SEEDS)}, reverse=True):
        names = [f"d{name}" for name, number in counts.items() if number == count]
        yield f"{listed(names)} {'is' if len(names) == 1 else 'are'} {what} for {count} of {len(SEEDS)} seeds: {so}"
