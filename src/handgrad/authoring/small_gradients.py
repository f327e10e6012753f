"""Gradients that are zero, or small beside the largest one, with many seeds: there a student sees few mistakes."""

from collections import Counter
from collections.abc import Iterator

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import Reference
from handgrad.gradients.comparison import scale_of

__all__ = ["SEEDS", "small_gradients"]

SEEDS = range(1, 21)
"""Seeds with which an exercise is tried."""
MANY = 0.25
"""A gradient that is zero or small is worth a sentence from this share of the seeds on."""
SMALL = 1e-3
"""A gradient is small if its largest entry is less than this share of the largest entry of all gradients."""


def small_gradients(exercise: Exercise) -> Iterator[str]:
    """A sentence, without a full stop, on each gradient that is zero or small with many of :data:`SEEDS`.

    Raises
    ------
    ExerciseError
        The locked cells fail with one of the seeds, or a named tensor does not lead to the loss.
    """
    if not exercise.tensors:
        return
    zero, small, beside = Counter[str](), Counter[str](), dict[str, Counter[str]]()
    for seed in SEEDS:
        reference = Reference.of(exercise, {**exercise.training.hidden[0], "seed": seed})
        scales = {name: scale_of(gradient) for name, gradient in reference.gradients.items()}
        largest = max(scales, key=lambda name: scales[name])
        for name, scale in scales.items():
            if not scale or name in reference.zero:
                zero[name] += 1
            elif scale < SMALL * scales[largest]:
                small[name] += 1
                beside.setdefault(name, Counter())[largest] += 1
    for name, count in zero.items():
        if count >= MANY * len(SEEDS):
            yield (
                f"d{name} is zero for {count} of {len(SEEDS)} seeds: there zeros are right, and only the step pass, "
                "which draws the upstream gradients at random, sees a mistake in it"
            )
    for name, count in small.items():
        if count >= MANY * len(SEEDS):
            yield (
                f"d{name} is less than a thousandth of the largest gradient, d{beside[name].most_common(1)[0][0]}, for "
                f"{count} of {len(SEEDS)} seeds: beside that it looks like zero"
            )
