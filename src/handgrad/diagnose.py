"""From a mark and its comparisons to one sentence that says what happened, and one that says what to try."""

from collections.abc import Sequence

from handgrad.answers import Collected
from handgrad.cells import CellError
from handgrad.marking import Mark
from handgrad.reaching import Reach
from handgrad.reference import Facts
from handgrad.report import Comparison, Diagnosis, Outcome
from handgrad.sandbox import Death, Limits
from handgrad.submission import Submission

__all__ = ["copies_autograd", "death_sentence", "diagnose", "not_tried", "noticed", "reaches_inside", "why_not"]


def why_not(
    gradient: str, collected: Collected, seen: Comparison | None, right_at_home: bool, facts: Facts
) -> tuple[Outcome, str]:
    """Outcome and sentence for a gradient that the marking rule did not accept.

    Parameters
    ----------
    gradient
        The student's variable.
    collected
        What came back from the submission.
    seen
        The comparison that the verdict shows.
    right_at_home
        Whether the answer of the visible pass is right.
    facts
        Which tensors are blind.
    """
    tensor = gradient.removeprefix("d")
    index = collected.submission.stub_indices()[gradient]
    if index in collected.deaths:
        return collected.deaths[index].reason, death_sentence(collected.deaths[index], collected.limits)
    if collected.out_of_time and not collected.tried(gradient):
        seconds = collected.limits.submission_seconds
        return "timeout", f"The notebook used up its {seconds:g} seconds before {gradient} could be graded."
    answers = list(collected.all_answers(gradient))
    if any(answer.kind == "tensor" for answer in answers):
        return "failed", _wrong(gradient, tensor, seen, right_at_home and tensor not in facts.blind)
    if any(answer.kind == "too-large" for answer in answers):
        return "failed", f"{gradient} is far larger than {tensor}: a gradient has the shape of its tensor."
    if strange := [answer.type for answer in answers if answer.kind == "other"]:
        return "failed", f"{gradient} is not a tensor but a {strange[0]}: a gradient is a tensor like {tensor}."
    if errors := collected.errors(index):
        return _raised(gradient, errors, collected.visible_error(index), collected.limits)
    if deaths := [result.death for result in collected.results.values() if result.death]:
        return deaths[0].reason, death_sentence(deaths[0], collected.limits)
    if collected.submission.cells[index].position is None:
        return "missing", f"The cell of {gradient} is not in the notebook."
    return "missing", f"{gradient} is not written yet."


def not_tried(gradient: str, collected: Collected) -> str:
    """What is said of an answer that is right on a loss which cannot show a mistake, and was not tried on a step."""
    if collected.out_of_time:
        return (
            f"{gradient} looks right on this loss, which cannot show every mistake here; the notebook used up its "
            f"{collected.limits.submission_seconds:g} seconds before it could be tried with other gradients from above."
        )
    return (
        f"{gradient} looks right on this loss, which cannot show every mistake here; with other gradients from above "
        f"its own cell gave no value: write the formula of {gradient} there."
    )


def _wrong(gradient: str, tensor: str, seen: Comparison | None, only_at_home: bool) -> str:
    if only_at_home:
        return (
            f"{gradient} is right on the data of this notebook but not on fresh data: "
            "is something in it copied or written as a constant?"
        )
    if seen is not None and seen.shape != seen.expected_shape:
        return (
            f"{gradient} has shape {_shape_text(seen.shape)} where {tensor} has {_shape_text(seen.expected_shape)}, "
            "and its values are not those of the gradient."
        )
    return f"{gradient} is not the gradient of the loss with respect to {tensor}."


def _raised(gradient: str, errors: list[CellError], visible: CellError | None, limits: Limits) -> tuple[Outcome, str]:
    if any(error.name == "MemoryError" or "can't allocate memory" in error.message for error in errors):
        return "memory", f"The cell of {gradient} asks for more than the {limits.memory_mb} MB that a notebook may use."
    if visible:
        return "error", f"The cell of {gradient} raises {visible.name}: {visible.message}"
    # the message of an error in a hidden pass may tell the data of that pass: it is not for students
    return "error", f"The cell of {gradient} raises {errors[0].name} once the gradients before it are right."


def death_sentence(death: Death, limits: Limits) -> str:
    """What a person is told about a cell that did not come back."""
    match death.reason:
        case "timeout":
            return f"The cell did not finish within {limits.cell_seconds:g} seconds: is there a loop that never ends?"
        case "memory":
            return f"The cell asks for more than the {limits.memory_mb} MB that a notebook may use."
        case "tampered":
            return "The cell wrote to the grader's own channel; a person has to look at it."
        case "crashed":
            return f"The cell ended the whole Python process ({death.detail}): run it alone in a fresh kernel."


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


def copies_autograd(gradient: str, facts: Facts) -> Diagnosis:
    """What is said of a gradient that is not right, and whose cell asks autograd for it."""
    upstream = [f"d{consumer}" for consumer in facts.consumers[gradient.removeprefix("d")] if consumer != "loss"]
    source = f"from {_listed(upstream)}" if upstream else "from the loss"
    return Diagnosis(
        "uses-autograd",
        f"{gradient} copies autograd's answer, which is taken away while a notebook is graded.",
        f"Write the formula of {gradient} itself, {source}.",
        gradient,
    )


def reaches_inside(gradient: str, names: Sequence[str]) -> str:
    """What is said of a gradient whose cell reaches for internals."""
    what = _listed(list(names))
    return f"The cell of {gradient} reaches for {what}, which no formula needs; a person has to look at it."


def noticed(submission: Submission, reached: Sequence[Reach]) -> str:
    """What a person is told of cells of the student's own that reach for internals; empty where none does."""
    names = dict.fromkeys(
        name
        for cell, one in zip(submission.cells, reached, strict=True)
        if not cell.gradients
        for name in one.internals
    )
    if not names:
        return ""
    return f"A cell that the student added reaches for {_listed(list(names))}, which no formula needs: look at it."


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
