"""From a mark and its comparisons to one sentence that says what happened, and one that says what to try."""

from handgrad.marking import Mark
from handgrad.reference import Facts
from handgrad.report import Comparison, Diagnosis

__all__ = ["diagnose"]


def diagnose(gradient: str, mark: Mark, seen: Comparison | None, facts: Facts) -> Diagnosis | None:
    """The mistake behind ``mark``, where it is certain.

    Parameters
    ----------
    gradient
        The student's variable.
    mark
        What the marking rule decided.
    seen
        The comparison that the verdict shows.
    facts
        Consumers of the tensor, and which tensors are zero by construction.
    """
    tensor = gradient.removeprefix("d")
    if mark.reason == "invisible":
        return _invisible(gradient, tensor, facts)
    if mark.reshaped and seen is not None:
        return _shape(gradient, tensor, seen)
    if mark.outcome == "failed" and seen is not None and not seen.finite:
        return Diagnosis(
            "not-finite",
            f"{gradient} holds NaN or infinity.",
            f"Look for a division by zero, a log of zero or an overflow; and {tensor}.grad is NaN on purpose while a "
            "notebook is graded, so nothing may be copied from it.",
            gradient,
        )
    return None


def _invisible(gradient: str, tensor: str, facts: Facts) -> Diagnosis:
    if tensor in facts.zero:
        return Diagnosis(
            "zero-in-theory",
            f"{gradient} looks right on this loss, whose true gradient for {tensor} is zero whatever the data; for "
            "another gradient arriving from above it is wrong.",
            f"Write the step from {_listed(facts.consumers[tensor])} back to {tensor} as if the result were not zero.",
            gradient,
        )
    hidden = [name for name in facts.consumers[tensor] if name in facts.zero]
    return Diagnosis(
        "invisible-branch",
        f"{gradient} looks right on this loss, but what comes back through {_listed(hidden)}, zero here whatever the "
        "data, is missing or wrong.",
        f"{tensor} has {len(facts.consumers[tensor])} consumers ({_listed(facts.consumers[tensor])}): add up what "
        "each of them sends back.",
        gradient,
    )


def _shape(gradient: str, tensor: str, seen: Comparison) -> Diagnosis:
    rank = len(seen.shape) != len(seen.expected_shape)
    return Diagnosis(
        "shape-rank" if rank else "shape-broadcast",
        f"The values of {gradient} are right, but its shape is {_shape_text(seen.shape)} where {tensor} has "
        f"{_shape_text(seen.expected_shape)}.",
        "A gradient has the shape of its tensor; keepdim=True keeps a dimension that was summed over."
        if rank
        else "A gradient has the shape of its tensor: do not leave it to broadcasting.",
        gradient,
    )


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
