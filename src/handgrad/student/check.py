"""What a student's notebook imports: ``cmp`` and ``progress``. Needs torch and the standard library, nothing else."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from handgrad.gradients import forward_pass
from handgrad.gradients.comparison import ROUNDING, compare
from handgrad.gradients.mistakes.catalogue import diagnosis_of
from handgrad.report.records import Comparison, Diagnosis
from handgrad.student import card, display, explain, progress_map
from handgrad.student.card import Card
from handgrad.student.heatmap import HeatMap
from handgrad.student.progress import NoForwardPass, progress_of
from handgrad.student.recorder import _recorder

__all__ = ["CheckFailed", "FailedCheck", "cmp", "diagnose", "progress"]


class CheckFailed(AssertionError):
    """A gradient is not right yet; the message says what is known about it.

    Parameters
    ----------
    message
        What happened, and what to try.
    found
        The same as a record.
    shown
        What stands in the traceback's place where a card with the message has been shown in the notebook.
    """

    def __init__(self, message: str, found: Diagnosis, shown: str = "") -> None:
        super().__init__(message)
        self.found = found
        self.shown = shown

    def _render_traceback_(self) -> list[str]:
        # IPython asks this method first: one sentence instead of a wall of frames
        return [f"{type(self).__name__}: {self.shown or self}"]


@dataclass(frozen=True)
class FailedCheck:
    """What is known about a gradient that does not pass.

    Attributes
    ----------
    name
        The forward tensor's name.
    answer
        What the student has for its gradient: any object.
    tensor
        The forward tensor.
    namespace
        The notebook's variables.
    reference
        Autograd's gradient; None where it was not looked at, since there is no tensor to compare it with.
    comparison
        The two compared; None as above.
    """

    name: str
    answer: Any
    tensor: torch.Tensor
    namespace: Mapping[str, Any]
    reference: torch.Tensor | None = None
    comparison: Comparison | None = None


def diagnose(question: FailedCheck) -> Diagnosis:
    """What happened to a gradient that does not pass, and what to try: what the card says."""
    plain = _plain(question)
    if question.comparison is None:
        return plain
    try:
        return explain.explain(plain, question.name, question.answer, question.namespace)
    except Exception:
        # whatever else stands in the notebook, the student hears that this gradient is not right
        return plain


def cmp(name: str, answer: Any, tensor: torch.Tensor) -> None:
    """Compare your gradient with the one that autograd found.

    Prints the name, whether the two are the same bit for bit (``exact``), whether they agree up to rounding
    (``approximate``: this is what counts), and the largest difference.

    Parameters
    ----------
    name
        Name of the forward tensor, as you want it printed (``'probs'``).
    answer
        Your gradient (``dprobs``): a tensor of the shape of ``tensor``.
    tensor
        The forward tensor (``probs``), whose ``.grad`` autograd has filled.

    Raises
    ------
    CheckFailed
        The gradient is missing, not a tensor, of another shape, not finite or wrong: one sentence says which.
    """
    recorder = _recorder.get()
    if recorder is not None:
        recorder.calls.append((name, answer))
        return
    namespace = _callers_namespace()
    question = FailedCheck(name, answer, tensor, namespace)
    if not isinstance(answer, torch.Tensor):
        raise _failed(Card(f"d{name}", diagnose(question)))
    reference = _gradient(name, tensor)
    view = forward_pass.blind_view(name, tensor, namespace)
    comparison = _compared(name, answer.detach(), reference, view.scale)
    said = line(name, comparison)
    question = replace(question, reference=reference, comparison=comparison)
    if comparison.approximate:
        _show_passed(said, _copied(answer, reference) or view.note or _nearness(question, comparison))
        return
    found = diagnose(question)
    # where the formula is right, the places of its differences are another gradient's
    picture = HeatMap.of(answer, reference, view.scale) if found.mistake != "carried" else None
    raise _failed(Card(f"d{name}", found, said, comparison, picture))


def progress() -> None:
    """Show how far you are: the forward pass as a map, and on it the gradient of each tensor.

    A gradient is right, wrong, not written yet, or carried: right for the gradients that it was made from, of which
    one is wrong. The next one to do is marked. It looks at the notebook's variables, so run your cells first.
    """
    if _recorder.get() is not None:
        return
    try:
        stock = progress_of(_callers_namespace())
    except NoForwardPass as reason:
        print(f"progress: {reason}. Run the cells from the top again, loss.backward(retain_graph=True) included.")
        return
    if display.in_notebook():
        display.show(progress_map.html(stock), progress_map.text(stock))
    else:
        print(progress_map.text(stock))


def _callers_namespace() -> Mapping[str, Any]:
    """The variables of whoever called the function that asks."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame else None
    return frame.f_globals if frame else {}


def _compared(name: str, answer: torch.Tensor, reference: torch.Tensor, scale: float | None) -> Comparison:
    """The facts about an answer; raises :class:`CheckFailed` where torch cannot compare it with anything."""
    try:
        return compare(answer, reference, scale)
    except RuntimeError as error:
        kind = f"{answer.layout}, {answer.dtype}, on {answer.device}".replace("torch.", "")
        what = f"d{name} cannot be compared with autograd's gradient: it is a tensor of another kind ({kind})."
        advice = f"Make a plain tensor of it, with the dtype of {name}."
        raise _failed(Card(f"d{name}", Diagnosis("not-a-tensor", what, advice, f"d{name}"))) from error


def _copied(answer: torch.Tensor, reference: torch.Tensor) -> str:
    """What is said of an answer that is autograd's own tensor; empty where it is not."""
    if not explain.is_one_tensor(answer, reference):
        return ""
    return "this copies autograd's answer; the grader takes it away, so write the formula before you hand in"


def _nearness(question: FailedCheck, comparison: Comparison) -> str:
    """What is worth knowing of an answer that passes and is not autograd's to the last bit."""
    if comparison.exact or comparison.relative is None:
        return ""
    if comparison.relative <= ROUNDING:
        return "right: the two differ by rounding alone"
    try:
        return explain.remark(question.name, question.answer, question.namespace)
    except Exception:
        # as in explain: the answer passes, whatever else stands in the notebook
        return ""


def _show_passed(said: str, note: str) -> None:
    if display.in_notebook():
        display.show(card.passed(said, note), f"{said}  \u2713" + (f"\n  {note}" if note else ""))
        return
    print(said)
    if note:
        print(f"  {note}")


def _failed(one: Card) -> CheckFailed:
    """Show the card, or print the lecture's line where there is no notebook; the exception to raise."""
    if display.in_notebook():
        display.show(one.html(), one.text())
        return CheckFailed(one.sentence(), one.found, one.headline)
    if one.line:
        print(one.line)
    return CheckFailed(one.sentence(), one.found)


def line(name: str, comparison: Comparison) -> str:
    """The lecture's line about one comparison."""
    return (
        f"{name:15s} | exact: {comparison.exact!s:5s} | approximate: {comparison.approximate!s:5s} "
        f"| maxdiff: {'-' if comparison.maxdiff is None else comparison.maxdiff}"
    )


def _gradient(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Autograd's gradient of ``tensor``; raises :class:`CheckFailed` where there is none."""
    if not isinstance(tensor, torch.Tensor):
        what, advice = f"{name} is not a tensor any more.", "Run the forward pass again, from the top."
    else:
        gradient = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
        if gradient is not None:
            return gradient
        what = f"autograd has no gradient for {name} to compare with."
        advice = "Run the cells from the top again, loss.backward(retain_graph=True) included."
    raise _failed(Card(f"d{name}", Diagnosis("no-reference", what, advice, f"d{name}")))


def _plain(question: FailedCheck) -> Diagnosis:
    """Why a gradient does not pass, where no known mistake was recognised."""
    name, answer, comparison = question.name, question.answer, question.comparison
    if answer is None or answer is ...:
        what = f"d{name} is not written yet: put your formula into the cell above and run it."
        return Diagnosis("undefined", what, "", f"d{name}")
    if comparison is None:
        return diagnosis_of("not-a-tensor", f"d{name}", type=type(answer).__name__)
    mistake, what = _complaint(name, comparison)
    return Diagnosis(mistake, what, "", f"d{name}")


def _complaint(name: str, comparison: Comparison) -> tuple[str, str]:
    """Which question about a tensor is answered no: the kind of mistake, and one sentence."""
    if comparison.shape != comparison.expected_shape:
        values = "its values are right, but " if comparison.reshaped else ""
        return "shape", (
            f"d{name}: {values}its shape is {comparison.shape} where {name} has {comparison.expected_shape}. "
            "A gradient always has the shape of its tensor."
        )
    if not comparison.finite:
        return "not-finite", (
            f"d{name} holds NaN or infinity: look for a division by zero, a log of zero, or an overflow."
        )
    if comparison.maxdiff is None:
        return "dtype", f"d{name} does not hold real numbers."
    return "values", (
        f"d{name} is not right yet: its largest difference from autograd's gradient is {comparison.maxdiff:.3g}."
    )
