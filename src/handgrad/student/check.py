"""What a student's notebook imports: ``cmp`` and ``progress``. Needs torch and the standard library, nothing else.

In the grader and in the sandbox the calls of ``cmp`` are recorded, and nothing is shown.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import compare, is_rounded, number_as_tensor
from handgrad.gradients.forward_pass import ForwardPass, NoForwardPass, times_of
from handgrad.gradients.mistakes.catalogue import diagnosis_of
from handgrad.report.records import Comparison, Diagnosis
from handgrad.report.wording import comparison_line
from handgrad.student import card, explain, progress_file, progress_map
from handgrad.student.card import Card
from handgrad.student.course_progress import course_progress, released
from handgrad.student.course_progress import html as course_html
from handgrad.student.course_progress import text as course_text
from handgrad.student.heatmap import HeatMap
from handgrad.student.progress import is_unwritten, progress_of
from handgrad.student.session import Session, listen, running_shell, session_of
from handgrad.student.session_checks import SessionChecks

__all__ = ["CheckFailed", "cmp", "in_notebook", "is_recorded", "progress", "recording", "show", "silence"]

_T = TypeVar("_T")
_recorded: ContextVar[deque[tuple[str, Any]] | None] = ContextVar("recorded", default=None)
"""The calls of ``cmp``, each the name of a tensor and the answer; None if they are not recorded."""


class CheckFailed(AssertionError):
    """A gradient is not right yet; the message says what happened, and what to try.

    ``diagnosis`` is the same as a record. ``headline`` replaces the message below a card that shows it already.
    """

    def __init__(self, message: str, diagnosis: Diagnosis, headline: str = "") -> None:
        super().__init__(message)
        self.diagnosis = diagnosis
        self.headline = headline

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method first: one sentence instead of a long traceback
        return [f"{type(self).__name__}: {self.headline or self}"]


def cmp(name: str, answer: Any, tensor: torch.Tensor) -> None:
    """Compare your gradient with autograd's.

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
        The gradient is missing, not a tensor, of another shape, not finite or wrong; the message says which.
    """
    calls = _recorded.get()
    if calls is not None:
        calls.append((name, answer))
        return
    namespace = _callers_namespace()
    checks = SessionChecks(session_of(namespace), name)
    if isinstance(tensor, torch.Tensor):
        checks.session.keep_returned(f"d{name}", answer)
        answer = number_as_tensor(answer, tensor)
    if explained := _explained(checks.swapped, answer, tensor) or _explained(checks.stopped):
        raise _failed(Card(f"d{name}", explained))
    if not isinstance(answer, torch.Tensor):
        raise _failed(Card(f"d{name}", _not_a_tensor(name, answer, checks)))
    reference, times = _reference(name, tensor, checks)
    if forward := _forward_pass(name, tensor, checks.session):
        reference, times = forward.true[name], forward.times.get(name, 1)
    scale = forward.scales.get(name) if forward else None
    comparison = _compared(name, answer.detach(), reference, scale)
    line = comparison_line(name, comparison)
    notes = [_explained(checks.note), _repeated(name, times)]
    if comparison.approximate:
        if tensor.grad is not None and explain.share_memory(answer, tensor.grad):
            notes.append(
                "this copies autograd's gradient, which the grader removes: write the formula before you hand in"
            )
        else:
            notes += [_explained(checks.edited_note), _note(name, answer, comparison, forward, namespace)]
            if forward:
                progress_file.passed(namespace, name, forward.tensors)
        _show_passed(f"d{name}", line, [note for note in notes if note])
        return
    diagnosis = _first_difference(name, comparison)

    def is_right(value: torch.Tensor) -> bool:
        return value.shape == reference.shape and compare(value, reference, scale).approximate

    explained = _explained(checks.why_wrong, is_right)
    # whatever else is in the notebook, the student must learn that this gradient is not right
    with suppress(Exception):
        if explained:
            diagnosis = explained
        elif forward:
            diagnosis = explain.catalogue_diagnosis(diagnosis, name, answer, forward, checks.session.variables())
    if before := " ".join(note for note in notes if note):
        diagnosis = replace(diagnosis, what=f"{before} {diagnosis.what}")
    # where an answer differs says nothing about its formula if that is right, or ran on other numbers
    helps = not explained and diagnosis.mistake != "carried"
    picture = HeatMap.of(answer, reference, scale) if helps else None
    raise _failed(Card(f"d{name}", diagnosis, line, comparison, picture, _help(name, namespace) if forward else ""))


def progress() -> None:
    """Show how far you are: the forward pass as a map, with the status of each gradient.

    A gradient is right, wrong, not written yet, or carried: right for its upstream gradients, of which one is wrong.
    The next one to do is marked. ``progress`` reads the notebook's variables, so run your cells first.
    """
    if _recorded.get() is not None:
        return
    namespace = _callers_namespace()
    session = session_of(namespace)
    about_all = SessionChecks(session)
    questions = (about_all.no_gradients, about_all.changed_in_place, about_all.another_loss)
    if explained := next(filter(None, map(_explained, questions)), None):
        print(f"progress: {explained.what} {explained.advice}")
        return
    try:
        state = progress_of(session.variables(), lambda name: bool(_explained(SessionChecks(session, name).older)))
    except NoForwardPass as reason:
        if LOSS not in namespace and (before := progress_file.last_time(namespace)):
            print(f"progress: {before}; run the notebook to go on.")
            return
        print(f"progress: {reason}. Run the cells from the top again, loss.backward(retain_graph=True) included.")
        return
    exercise = released(Path())
    parts = exercise.headings if exercise else {}
    # those beside the released folder in which the notebook is
    course = course_progress(Path()) if exercise else []
    html, text = progress_map.html(state, parts), progress_map.text(state, parts)
    if len(course) > 1:
        html, text = html + course_html(course), f"{text}\n\nThe course: {course_text(course)}"
    if in_notebook():
        show(html, text)
    else:
        print(text)


@contextmanager
def recording() -> Iterator[deque[tuple[str, Any]]]:
    """Record the calls of ``cmp`` inside the block."""
    calls = deque[tuple[str, Any]]()
    token = _recorded.set(calls)
    try:
        yield calls
    finally:
        _recorded.reset(token)


def silence() -> None:
    """Make ``cmp`` and ``progress`` do nothing in this process: the sandbox has no gradients to compare with."""
    _recorded.set(deque(maxlen=0))


def is_recorded() -> bool:
    """Whether ``cmp`` is recorded, or silent: then nothing is to be shown."""
    return _recorded.get() is not None


def _callers_namespace() -> Mapping[str, Any]:
    """The variables of the notebook or module that called ``cmp`` or ``progress``."""
    return sys._getframe(2).f_globals


def _explained(question: Callable[..., _T], *arguments: Any) -> _T | None:
    """What the session answers; None if the question fails, whatever is in the notebook."""
    with suppress(Exception):
        return question(*arguments)
    return None


def _repeated(name: str, times: int) -> str:
    """That several backward passes have added to a gradient; empty if one has filled it."""
    if times < 2:
        return ""
    return (
        f"The backward pass of this loss ran {times} times, and each run adds to {name}.grad: your answer is compared "
        "with the gradient of one run."
    )


def _forward_pass(name: str, tensor: torch.Tensor, session: Session) -> ForwardPass | None:
    """The forward pass with ``tensor`` in it; None if there is none: then the plain comparison is all there is."""
    try:
        forward = ForwardPass.of(session.namespace, {name: tensor})
    except NoForwardPass:
        return None
    return forward if name in forward.tensors else None


def _compared(name: str, answer: torch.Tensor, reference: torch.Tensor, scale: float | None) -> Comparison:
    """The answer against autograd's gradient; raises :class:`CheckFailed` if torch cannot subtract the two."""
    try:
        return compare(answer, reference, scale)
    except RuntimeError as error:
        kind = f"{answer.layout}, {answer.dtype}, on {answer.device}".replace("torch.", "")
        what = f"d{name} cannot be compared with autograd's gradient: it is a tensor of another kind ({kind})."
        advice = f"Make a plain tensor of it, with the dtype of {name}."
        raise _failed(Card(f"d{name}", Diagnosis("not-a-tensor", what, advice, f"d{name}"))) from error


def _note(
    name: str, answer: torch.Tensor, comparison: Comparison, forward: ForwardPass | None, namespace: Mapping[str, Any]
) -> str:
    """What is worth knowing of an answer that passes; empty if nothing is."""
    try:
        if forward and (note := _blind_note(name, forward)):
            return note
        if comparison.exact or comparison.relative is None:
            return ""
        if is_rounded(comparison):
            return "right: the two differ by rounding only"
        return explain.catalogue_note(name, answer, forward, namespace) if forward else ""
    except Exception:
        # the answer passes, whatever else is in the notebook
        return ""


def _blind_note(name: str, forward: ForwardPass) -> str:
    """What this loss cannot show of the gradient of ``name``; empty if it shows all of it."""
    if name in forward.scales:
        return (
            f"the true gradient of {name} is zero on this loss, so many wrong formulas look right here: "
            "`handgrad check` can tell"
        )
    if zero := forward.zero_consumer(name):
        return (
            f"the contribution to d{name} through {zero} is zero on this loss, so this cell cannot tell whether you "
            "have that branch: `handgrad check` can"
        )
    return ""


def _help(name: str, namespace: Mapping[str, Any]) -> str:
    """How to get help with the gradient of ``name``, as the notebook would write it."""
    ready = "" if "hint" in namespace else "from handgrad import hint; "
    return f"`{ready}hint({f'd{name}'!r})` shows the next step."


def _show_passed(gradient: str, line: str, notes: Sequence[str]) -> None:
    if in_notebook():
        show(card.passed(gradient, line, " ".join(notes)), "\n  ".join([f"{line}  \u2713", *notes]))
        return
    print("\n  ".join([line, *notes]))


def _failed(card: Card) -> CheckFailed:
    """The exception to raise, once the card (or, outside a notebook, the lecture's line) has been shown."""
    if in_notebook():
        show(card.html(), card.text())
        error = CheckFailed(card.sentence(), card.diagnosis, card.headline)
        if card.state == "not yet":
            _show_no_traceback(running_shell(), error)
        return error
    if card.line:
        print(card.line)
    return CheckFailed(card.sentence(), card.diagnosis)


def _show_no_traceback(shell: Any, error: Exception) -> None:
    """Let the cell that raises ``error`` fail without an error below its output.

    Only if somebody works in the notebook. Whatever runs a notebook by itself (nbgrader, nbconvert) reads the errors
    among the outputs to know which checks have failed. ``shell`` is IPython's, of which others may have asked the same;
    their request stays.
    """
    if not _has_reader(shell) or shell.custom_exceptions:
        return

    def handler(shell: Any, kind: type[Exception], value: Exception, traceback: TracebackType, **_: Any) -> list[str]:
        shell.set_custom_exc((), None)
        if value is not error:
            shell.showtraceback((kind, value, traceback))
        return []

    shell.set_custom_exc((type(error),), handler)


def _has_reader(shell: Any) -> bool:
    """Whether the cell was run by a front end that would show a question of the cell (``input``) to somebody."""
    if not hasattr(shell, "get_parent"):
        return False
    return bool(shell.get_parent().get("content", {}).get("allow_stdin"))


def _reference(name: str, tensor: torch.Tensor, checks: SessionChecks) -> tuple[torch.Tensor, int]:
    """Autograd's gradient of ``tensor`` as it was filled first, and how many backward passes have added to it since.

    Raises :class:`CheckFailed` if there is none.
    """
    if not isinstance(tensor, torch.Tensor):
        plain = "not-a-tensor", f"{name} is not a tensor any more.", "Run the forward pass again, from the top."
        found = _explained(checks.lost_tensor)
    else:
        gradient = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
        kept = checks.session.kept_gradients(checks.session.namespace.get("loss")).get(id(tensor), gradient)
        if gradient is not None and kept is not None:
            return kept, times_of(gradient, kept)
        what = f"autograd has no gradient for {name} to compare with."
        plain = "no-reference", what, "Run the cells from the top again, loss.backward(retain_graph=True) included."
        found = _explained(checks.no_gradients)
    raise _failed(Card(f"d{name}", found or Diagnosis(*plain, f"d{name}")))


def _not_a_tensor(name: str, answer: object, checks: SessionChecks) -> Diagnosis:
    if is_unwritten(answer):
        what = f"d{name} is not written yet: put your formula into the cell above and run it."
        return _explained(checks.misnamed) or Diagnosis("undefined", what, "", f"d{name}")
    return diagnosis_of("not-a-tensor", f"d{name}", type=type(answer).__name__)


def _first_difference(name: str, comparison: Comparison) -> Diagnosis:
    """What is wrong first, in the order shape, finite, dtype, values."""
    if comparison.shape != comparison.expected_shape:
        values = "its values are right, but " if comparison.reshaped else ""
        mistake = "shape"
        what = (
            f"d{name}: {values}its shape is {comparison.shape} instead of {comparison.expected_shape}. "
            "A gradient always has the shape of its tensor."
        )
    elif not comparison.finite:
        mistake = "not-finite"
        what = f"d{name} holds NaN or infinity: look for a division by zero, a log of zero, or an overflow."
    elif comparison.maxdiff is None:
        mistake, what = "dtype", f"d{name} does not hold real numbers."
    else:
        mistake = "values"
        what = f"d{name} is not right yet: its largest difference from autograd's gradient is {comparison.maxdiff:.3g}."
    return Diagnosis(mistake, what, "", f"d{name}")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook that shows HTML.

    IPython is not imported for that. nbgrader's Validate runs a notebook too, but shows its errors as text.
    """
    shell = running_shell()
    return hasattr(shell, "kernel") and "NBGRADER_VALIDATING" not in os.environ


def show(html: str, text: str) -> None:
    """Show ``html`` in the notebook; ``text`` is for front ends without HTML."""
    running_shell().display_pub.publish({"text/html": html, "text/plain": text})


# from here on IPython tells what each cell did; nothing is asked in a script
listen()
