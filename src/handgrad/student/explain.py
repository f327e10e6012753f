"""The catalogue of known mistakes, asked in the student's own notebook about a gradient that does not pass.

There is no pass with random upstream gradients here: nothing of the student's is run again. An answer is judged by what
its formula was given, the student's own gradients as they stand. Needs torch only.
"""

import ast
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, Self

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of
from handgrad.gradients.forward_pass import Forward
from handgrad.gradients.mistakes.backward_context import BackwardContext
from handgrad.gradients.mistakes.catalogue import WHOLE, diagnosis_of, recognise_in_any_shape
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.report.records import Diagnosis
from handgrad.student.progress import answer_in, is_unwritten

__all__ = ["explain", "is_one_tensor", "remark"]

CERTAIN = ("wrong-dim", "dtype", "not-finite", "zeros", *WHOLE)
"""What may be said where the loss hides a branch: of the answer's own value, as a whole."""


def explain(plain: Diagnosis, name: str, answer: torch.Tensor, namespace: Mapping[str, Any]) -> Diagnosis:
    """What happened to ``answer``, and what to try.

    Parameters
    ----------
    plain
        What is said where no mistake of the catalogue is certain.
    name
        The tensor whose gradient it is.
    answer
        What the student has for its gradient, which autograd's is not.
    namespace
        The notebook's variables: ``loss``, the forward tensors whose ``.grad`` autograd has filled, the student's own
        gradients. It stays as it is.
    """
    with torch.enable_grad():
        desk = AnswerInNotebook.of(name, answer, namespace)
        if desk is None:
            return plain
        off = desk.off()
        found = desk.changed_later() or desk.carried() or desk.mistake()
    if found or not off:
        return found or plain
    return replace(plain, advice=f"Begin with d{off[0]}, which is not right either.")


def remark(name: str, answer: torch.Tensor, namespace: Mapping[str, Any]) -> str:
    """What is worth knowing of an ``answer`` that passes by more than its rounding; empty where nothing is."""
    with torch.enable_grad():
        desk = AnswerInNotebook.of(name, answer, namespace)
        found = desk.mistake(("missing-eps",)) if desk else None
    return f"{found.what} {found.advice}" if found else ""


def is_one_tensor(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two values are one tensor under two names, in whatever shape."""
    # equal numbers prove nothing: a right formula may agree with autograd to the last bit
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


@dataclass(frozen=True)
class AnswerInNotebook:
    """One answer in a student's notebook, and what it may have been made from.

    Attributes
    ----------
    name, answer
        The tensor whose gradient is asked for, and the student's gradient.
    forward
        The forward pass.
    own
        The student's other gradients, where they may have been there before the answer and could be gradients.
    expected
        For each tensor, its gradient as the student's own gradients of its consumers make it.
    namespace
        The notebook's variables.
    """

    name: str
    answer: torch.Tensor
    forward: Forward
    own: Mapping[str, torch.Tensor]
    expected: Mapping[str, torch.Tensor]
    namespace: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, answer: torch.Tensor, namespace: Mapping[str, Any]) -> Self | None:
        """The desk on which ``answer`` lies; None where the notebook has no forward pass with ``name`` in it."""
        forward = Forward.of(namespace)
        if forward is None or name not in forward.tensors:
            return None
        names = forward.tensors.keys() - {name, *forward.below(name)}
        own = {one: value for one in names if (value := answer_in(namespace, one, forward.tensors[one])) is not None}
        expected = forward.expected(own)
        # what shares its memory with the answer may hold what the answer's own cell wrote
        spoilt = {
            one
            for one, value in own.items()
            if is_one_tensor(value, answer) and not forward.is_sound(one, value, expected[one])
        }
        if spoilt:
            own = {one: value for one, value in own.items() if one not in spoilt}
            expected = forward.expected(own)
        return cls(name, answer.detach(), forward, own, expected, namespace)

    @cached_property
    def context(self) -> BackwardContext:
        """What stood in the notebook when the answer was made."""
        forward = self.forward
        lines = _lines(self.namespace, forward.consumers[self.name])
        gradients = {**forward.true, **self.own}
        return BackwardContext(self._forward_names(), forward.tensors, gradients, forward.consumers, lines)

    def changed_later(self) -> Diagnosis | None:
        """The later cell that wrote into this answer, because the two gradients are one tensor."""
        for other in self.forward.below(self.name):
            value = answer_in(self.namespace, other, self.forward.tensors[other])
            shared = self.namespace.get(f"d{other}")
            if value is None or not isinstance(shared, torch.Tensor) or not is_one_tensor(self.answer, shared):
                continue
            if self.forward.fits(other, value, self.forward.true[other]):
                return diagnosis_of("alias-mutated", f"d{self.name}", f"d{other}", later=f"d{other}", line="")
        return None

    def carried(self) -> Diagnosis | None:
        """The first gradient of the student's own error, where this one is right for what it was made from."""
        if self.answer.shape != self.forward.tensors[self.name].shape or self.answer.dtype.is_complex:
            return None
        off = self.off()
        if not off or self._unusable() or self._is_blind():
            return None
        if not self.forward.fits(self.name, self.answer, self.expected[self.name]):
            return None
        return diagnosis_of("carried", f"d{self.name}", f"d{off[0]}", first=f"d{off[0]}")

    def mistake(self, slugs: Sequence[str] = ()) -> Diagnosis | None:
        """The entry of the catalogue that fits; one of ``slugs`` where some are named."""
        if self._unusable():
            return None
        blind = self._is_blind()
        given = WrongAnswer(
            self.context,
            self.name,
            self.answer,
            self.expected[self.name].double(),
            zero=frozenset(self.forward.scales),
            # a formula that may have gone another way is told of the whole way
            skips=blind,
        )
        return recognise_in_any_shape(f"d{self.name}", [given], slugs or (CERTAIN if blind else ()))

    def off(self) -> list[str]:
        """The gradients above this one that are wrong by an error of their own, the nearest to the loss first."""
        above = autograd_graph.above(self.name, self.forward.consumers)
        distances = autograd_graph.distances(self.forward.consumers)
        wrong = [one for one in above if one != LOSS and self._is_off(one)]
        return sorted(wrong, key=lambda one: (distances[one], one))

    def _is_off(self, name: str) -> bool:
        """Whether a gradient is written, and neither right nor right for what it was made from."""
        if name not in self.own:
            return not is_unwritten(self.namespace.get(f"d{name}"))
        return not self.forward.is_sound(name, self.own[name], self.expected[name])

    def _unusable(self) -> bool:
        """Whether a gradient that the answer may have been made from is written and is none: a number, NaN, a row."""
        consumers = set(self.forward.consumers[self.name]) - {LOSS} - self.own.keys()
        return any(not is_unwritten(self.namespace.get(f"d{one}")) for one in consumers)

    def _is_blind(self) -> bool:
        """Whether what a branch adds to the right gradient is rounding, so that its value cannot be judged."""
        values = {self.name: self.expected[self.name]}
        values |= {one: self.context.gradients[one] for one in self.forward.consumers[self.name] if one != LOSS}
        return any(
            scale_of(values[one]) <= RELATIVE_TOLERANCE * self.forward.scales[one]
            for one in values.keys() & self.forward.scales.keys()
        )

    def _forward_names(self) -> dict[str, Any]:
        """The forward tensors, and what stood before the loss: what follows is the student's."""
        before = takewhile(lambda item: item[0] != LOSS, self.namespace.items())
        plain = {name: value for name, value in before if _is_size(value) or isinstance(value, torch.Tensor)}
        return {**plain, **self.forward.tensors, LOSS: self.forward.loss}


def _is_size(value: Any) -> bool:
    return type(value) is int


def _lines(namespace: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """The statements that assign ``names`` for the last time, as IPython remembers the cells; none in a script."""
    found: dict[str, str] = {}
    for source in namespace.get("In", ()):
        for statement in _statements(source) if any(f"{name} =" in source for name in names) else ():
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)]) if (
                    name in names and statement.lineno == statement.end_lineno
                ):
                    found[name] = ast.get_source_segment(source, statement) or ""
    return found


def _statements(source: str) -> list[ast.stmt]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source).body
        except (SyntaxError, ValueError):
            # magics are no Python
            return []
