"""The catalogue of known mistakes, applied to one gradient in the student's own notebook.

The student's code is not run again, so there is no pass with random upstream gradients: an answer is judged by the
student's own upstream gradients as they are. Needs torch only.
"""

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, Self

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of
from handgrad.gradients.forward_pass import ForwardPass
from handgrad.gradients.mistakes.backward_context import BackwardContext
from handgrad.gradients.mistakes.catalogue import WHOLE, diagnosis_of, recognise_in_any_shape
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.notebook.syntax_trees import tree_of
from handgrad.report.records import Diagnosis
from handgrad.student.progress import answer_in, answers_in, is_unwritten

__all__ = ["catalogue_diagnosis", "catalogue_note", "share_memory"]

CERTAIN = ("wrong-dim", "dtype", "not-finite", "zeros", *WHOLE)
"""Mistakes that may be named if the loss hides a branch: those of the value as a whole."""


def catalogue_diagnosis(
    plain: Diagnosis, name: str, answer: torch.Tensor, forward: ForwardPass, namespace: Mapping[str, Any]
) -> Diagnosis:
    """What happened to a wrong ``answer``, the gradient of ``name`` in any shape and dtype, by the catalogue.

    If no mistake of the catalogue is certain, it is ``plain``, with the name of a wrong upstream gradient, if any. The
    notebook's variables stay as they are.
    """
    own = AnswerInNotebook.of(name, answer, forward, namespace)
    diagnosis = own.changed_later() or own.carried() or own.mistake()
    if diagnosis is None and (wrong := own.wrong_upstream()):
        return replace(plain, advice=f"Begin with d{wrong[0]}, which is not right either.")
    return diagnosis or plain


def catalogue_note(name: str, answer: torch.Tensor, forward: ForwardPass, namespace: Mapping[str, Any]) -> str:
    """What is worth knowing of an ``answer`` that passes, but is off by more than rounding; empty if nothing is."""
    diagnosis = AnswerInNotebook.of(name, answer, forward, namespace).mistake(("missing-eps",))
    return f"{diagnosis.what} {diagnosis.advice}" if diagnosis else ""


def share_memory(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two names stand for one tensor, in whatever shape."""
    # equal numbers prove nothing: a right formula may agree with autograd to the last bit
    return first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()


@dataclass(frozen=True)
class AnswerInNotebook:
    """One answer in a student's notebook, the gradient of the tensor ``name``, and what it may have been made from.

    ``own`` are the student's other gradients that may have been used for it and can be gradients; ``expected`` is for
    each tensor its gradient if the upstream gradients are those of ``own``.
    """

    name: str
    answer: torch.Tensor
    forward: ForwardPass
    own: Mapping[str, torch.Tensor]
    expected: Mapping[str, torch.Tensor]
    namespace: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, answer: torch.Tensor, forward: ForwardPass, namespace: Mapping[str, Any]) -> Self:
        """Collect what is needed to diagnose ``answer``, the gradient of a tensor of the forward pass."""
        below = {name, *forward.below(name)}
        own = answers_in(namespace, {other: value for other, value in forward.tensors.items() if other not in below})
        expected = forward.expected(own)
        # a tensor that shares its memory with the answer may hold what the answer's own cell wrote
        spoilt = {
            other
            for other, value in own.items()
            if share_memory(value, answer) and not forward.is_sound(other, value, expected[other])
        }
        if spoilt:
            own = {other: value for other, value in own.items() if other not in spoilt}
            expected = forward.expected(own)
        return cls(name, answer.detach(), forward, own, expected, namespace)

    @cached_property
    def context(self) -> BackwardContext:
        """What the answer may have been made from."""
        forward = self.forward
        lines = _lines(self.namespace, forward.consumers[self.name])
        gradients = {**forward.true, **self.own}
        return BackwardContext(self._forward_names(), forward.tensors, gradients, forward.consumers, lines)

    def changed_later(self) -> Diagnosis | None:
        """The later cell that changed this answer because the two gradients are one tensor."""
        for other in self.forward.below(self.name):
            value = answer_in(self.namespace, other, self.forward.tensors[other])
            if value is None or not share_memory(self.answer, self.namespace[f"d{other}"]):
                continue
            if self.forward.fits(other, value, self.forward.true[other]):
                return diagnosis_of("alias-mutated", f"d{self.name}", f"d{other}", later=f"d{other}", line="")
        return None

    def carried(self) -> Diagnosis | None:
        """The wrong upstream gradient nearest to the loss, if this answer is right for its upstream gradients."""
        if self.answer.shape != self.forward.tensors[self.name].shape or self.answer.dtype.is_complex:
            return None
        wrong = self.wrong_upstream()
        if not wrong or self._unusable() or self._is_blind():
            return None
        if not self.forward.fits(self.name, self.answer, self.expected[self.name]):
            return None
        return diagnosis_of("carried", f"d{self.name}", f"d{wrong[0]}", first=f"d{wrong[0]}")

    def mistake(self, slugs: Sequence[str] = ()) -> Diagnosis | None:
        """The entry of the catalogue that fits, of those with ``slugs`` (default: all that are certain here)."""
        if self._unusable():
            return None
        blind = self._is_blind()
        wrong = WrongAnswer(
            self.context,
            self.name,
            self.answer,
            self.expected[self.name].double(),
            zero=frozenset(self.forward.scales),
            # the formula may have skipped steps, so the text names all lines up to the loss
            skips=blind,
        )
        return recognise_in_any_shape(f"d{self.name}", [wrong], slugs or (CERTAIN if blind else ()))

    def wrong_upstream(self) -> list[str]:
        """The upstream gradients with an error of their own, the nearest to the loss first."""
        above = autograd_graph.above(self.name, self.forward.consumers)
        distances = autograd_graph.distances(self.forward.consumers)
        wrong = [name for name in above if name != LOSS and self._has_own_error(name)]
        return sorted(wrong, key=lambda name: (distances[name], name))

    def _has_own_error(self, name: str) -> bool:
        """Whether a gradient is written, and neither right nor right for its upstream gradients."""
        if name not in self.own:
            return not is_unwritten(self.namespace.get(f"d{name}"))
        return not self.forward.is_sound(name, self.own[name], self.expected[name])

    def _unusable(self) -> bool:
        """Whether a consumer's gradient is written but cannot be a gradient: a number, NaN, another shape."""
        consumers = set(self.forward.consumers[self.name]) - {LOSS} - self.own.keys()
        return any(not is_unwritten(self.namespace.get(f"d{consumer}")) for consumer in consumers)

    def _is_blind(self) -> bool:
        """Whether the gradient, or that of a consumer, is rounding only, so that a branch cannot be judged."""
        values = {self.name: self.expected[self.name]}
        consumers = [consumer for consumer in self.forward.consumers[self.name] if consumer != LOSS]
        values |= {consumer: self.context.gradients[consumer] for consumer in consumers}
        return any(
            scale_of(values[zero]) <= RELATIVE_TOLERANCE * self.forward.scales[zero]
            for zero in values.keys() & self.forward.scales.keys()
        )

    def _forward_names(self) -> dict[str, Any]:
        """The forward tensors, and the sizes and tensors defined before the loss: later names are the student's."""
        before = takewhile(lambda item: item[0] != LOSS, self.namespace.items())
        plain = {name: value for name, value in before if type(value) is int or isinstance(value, torch.Tensor)}
        # what a function has returned is in front of them, and no value of the forward pass
        gradients = {f"d{name}" for name in self.forward.tensors}
        known = {name: value for name, value in plain.items() if name not in gradients}
        return {**known, **self.forward.tensors, LOSS: self.forward.loss}


def _lines(namespace: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """The one-line statements that assign ``names`` last, from IPython's history ``In``; none in a script."""
    lines: dict[str, str] = {}
    for source in namespace.get("In", ()):
        # magics are no Python
        tree = tree_of(source) if any(f"{name} =" in source for name in names) else None
        for statement in tree.body if tree else ():
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], lineno=line, end_lineno=end) if (
                    name in names and line == end
                ):
                    lines[name] = ast.get_source_segment(source, statement) or ""
    return lines
