"""Diagnose answers: from a mark and its comparisons to a sentence about the mistake and what to try."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

import torch

from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.comparison import compare, is_rounded, scale_of
from handgrad.gradients.mistakes.catalogue import ORDER, WHOLE, diagnosis_of, recognise, recognise_in_any_shape
from handgrad.gradients.mistakes.mistake import lines, listed
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.grading.hidden_states import PlainState
from handgrad.grading.marking import Mark
from handgrad.grading.passes import Pass, rounds
from handgrad.grading.run_passes import PassResults
from handgrad.grading.solution_mutants import SolutionMutants
from handgrad.notebook.execution import CellError
from handgrad.notebook.syntax import ParsedCell, assigned, in_place_lines, is_untouched
from handgrad.report.records import Comparison, Diagnosis, Outcome, Verdict
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Death
from handgrad.submission.forbidden_names import ForbiddenUse
from handgrad.submission.submission import Submission

__all__ = [
    "Diagnostician",
    "copies_autograd",
    "death_sentence",
    "not_tried",
    "noticed",
    "raised",
    "raises",
    "tampered",
    "why_not",
]


def why_not(
    gradient: str, results: PassResults, seen: Comparison | None, right_at_home: bool, facts: ForwardFacts
) -> tuple[Outcome, str]:
    """Outcome and message for a gradient that the marking rule did not accept.

    ``seen`` is the comparison that the verdict shows; ``right_at_home``, whether the visible pass's answer is right.
    """
    tensor = gradient.removeprefix("d")
    index = results.submission.stub_indices()[gradient]
    if index in results.deaths:
        return results.deaths[index].reason, death_sentence(results.deaths[index], results.limits)
    if results.out_of_time and not results.tried(gradient):
        seconds = results.limits.submission_seconds
        return "timeout", f"The notebook used up its {seconds:g} seconds before {gradient} could be graded."
    answers = list(results.all_answers(gradient))
    if any(answer.kind == "tensor" for answer in answers):
        return "failed", _wrong(gradient, tensor, seen, right_at_home and tensor not in facts.blind)
    if any(answer.kind == "too-large" for answer in answers):
        return "failed", f"{gradient} is far larger than {tensor}: a gradient has the shape of its tensor."
    if strange := [answer.type for answer in answers if answer.kind == "other"]:
        return "failed", f"{gradient} is not a tensor but of type {strange[0]}: a gradient is a tensor like {tensor}."
    if (errors := results.errors(gradient)) and not results.returns_none(gradient):
        cell = results.submission.cell_of(gradient)
        return raised(cell, errors, results.visible_error(gradient), results.limits)
    if deaths := [result.death for result in results.results.values() if result.death]:
        return deaths[0].reason, death_sentence(deaths[0], results.limits)
    if results.submission.cells[index].position is None:
        return "missing", f"The cell of {results.submission.cell_of(gradient)} is not in the notebook."
    return "missing", f"{gradient} is not written yet."


def not_tried(gradient: str, results: PassResults, tried: bool) -> str:
    """Message for an answer that is right on a loss which cannot show a mistake, and was not tested alone in a step.

    ``tried`` is whether a step gave a value for it. The message is empty if the answer was tested.
    """
    if tried and not results.submission.ends_with_others(gradient):
        return ""
    if tried:
        why = (
            "One statement assigns it together with others, so it could not be tested with other upstream gradients: "
            "give it a statement of its own."
        )
    elif results.out_of_time:
        seconds = f"{results.limits.submission_seconds:g} seconds"
        why = f"The notebook used up its {seconds} before it could be tested with other upstream gradients."
    else:
        why = (
            "Its cell gave no value when it was run with other upstream gradients: "
            f"write the formula of {gradient} in this cell."
        )
    return f"{gradient} looks right on this loss, which cannot show every mistake here. {why}"


def _wrong(gradient: str, tensor: str, seen: Comparison | None, only_at_home: bool) -> str:
    if only_at_home:
        return (
            f"{gradient} is right on the data of this notebook but not on fresh data: "
            "is something in it copied or written as a constant?"
        )
    if seen is not None and seen.shape != seen.expected_shape:
        return (
            f"{gradient} has shape {seen.shape}, but {tensor} has {seen.expected_shape}, "
            "and its values are not those of the gradient."
        )
    return f"{gradient} is not the gradient of the loss with respect to {tensor}."


def raised(gradient: str, errors: list[CellError], visible: CellError | None, limits: Limits) -> tuple[Outcome, str]:
    """Outcome and message for an answer whose cell raises ``errors``, among them ``visible`` in the visible pass."""
    if any(error.name == "MemoryError" or "can't allocate memory" in error.message for error in errors):
        return "memory", f"The cell of {gradient} asks for more than the {limits.memory_mb} MB that a notebook may use."
    if visible:
        return "error", raises(gradient, visible)
    # the message of an error in a hidden pass may contain data of that pass: it is not for students
    return "error", f"The cell of {gradient} raises {errors[0].name} once the gradients before it are right."


def raises(gradient: str, error: CellError) -> str:
    """The sentence about an exception of a gradient's cell: its class, its line, its message, in plain words."""
    where = f" in line {error.line}" if error.line else ""
    if device := _DEVICE.search(error.message):
        kind = next((name.lower() for name in device.groups() if name), "another device")
        return (
            f"The cell of {gradient} asks for {kind}{where}, and notebooks are graded on the CPU: leave the device "
            "out, or take that of another tensor."
        )
    said = f"The cell of {gradient} raises {error.name}{where}: {error.message}"
    if error.name == "SyntaxError" and error.message.startswith(_NEWER_SYNTAX):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"{said}. Notebooks are graded with Python {version}; a newer Python may accept what this one does not."
    return said


_DEVICE = re.compile(
    r"(CUDA)|(MPS)(?= backend|')|'(\w+)' backend|(mps) devices?|NVIDIA|(cuda)|device type[^\n]*?: (\w+)", re.IGNORECASE
)
"""What torch says of a device that this machine lacks."""
_UNNAMED = " about "
"""How a number is introduced that is made from no size or constant."""
_NEWER_SYNTAX = "f-string"
"""How Python begins to say that it cannot read an f-string that a newer one can."""


def death_sentence(death: Death, limits: Limits) -> str:
    """Message about a cell that ended its process."""
    match death.reason:
        case "timeout":
            return f"The cell did not finish within {limits.cell_seconds:g} seconds: is there a loop that never ends?"
        case "memory":
            return f"The cell asks for more than the {limits.memory_mb} MB that a notebook may use."
        case "tampered":
            return "The cell wrote to the grader's own channel; it needs manual review."
        case "crashed":
            return f"The cell ended the whole Python process ({death.detail}): run it alone in a fresh kernel."


@dataclass(frozen=True)
class Diagnostician:
    """Finds the mistakes of a submission from its values; the fields are those of :class:`.GradientChecks`."""

    passes: Sequence[Pass]
    references: Mapping[str, Reference]
    facts: ForwardFacts
    tolerance: float
    mutants: SolutionMutants
    plain: PlainState | None = None
    """The pass over the plain statements of the submission at work, which has other numbers."""

    def wrong(
        self, gradient: str, mark: Mark, marks: Sequence[Mark], results: PassResults, read: frozenset[str]
    ) -> Diagnosis | None:
        """The mistake in a gradient that is not right, if it is certain.

        ``mark`` is the final decision of the marking rule, ``marks`` are its decisions by round. The answer reads the
        gradients of the tensors ``read``.
        """
        tensor, blind = gradient.removeprefix("d"), mark.reason == "invisible"
        # rounds in which the answer is right tell nothing about the mistake
        wrong = [round_ for round_, decided in zip(rounds(self.passes), marks, strict=True) if decided == mark]
        steps = [pass_ for round_ in wrong for pass_ in round_.steps]
        step = [self._view(gradient, pass_, results, "step", blind) for pass_ in steps]
        helped = [self._view(gradient, round_.helped, results, "true", blind) for round_ in wrong]
        views, plain = step, self._plain_view(gradient, results, blind)
        if all(view is not None and view.expected.numel() == 1 for view in step) and tensor not in self.facts.zero:
            # one number says little: the explanation has to fit with the true gradients too
            views = [*step, *helped]
            views = [view and replace(view, passes=len(views)) for view in views]
            plain = plain and replace(plain, passes=len(views))
        left: Sequence[str] = ORDER
        while left and (diagnosis := recognise_in_any_shape(gradient, views, left)):
            if self._is_confirmed(gradient, diagnosis, plain, helped):
                return diagnosis
            left = left[left.index(diagnosis.mistake) + 1 :]
        answers = {(pass_.name, True): view.answer for pass_, view in zip(steps, step, strict=True) if view}
        # if the true gradient is zero, a value made from it is rounding
        if tensor in self.facts.zero:
            return self._mutant(gradient, answers, step, results)
        if tensor in self.facts.blind:
            # the loss hides a branch, so the whole value must also be wrong in the same way in the step pass
            helped += [self._view(gradient, pass_, results, "loss", blind) for pass_ in steps]
        if diagnosis := self._of_whole(gradient, step, helped, results, read):
            return diagnosis
        # the helped pass shows whether a mutant fits with other numbers too
        for round_ in wrong:
            if (answer := results.tensors(round_.helped, gradient)[0]) is not None:
                answers[round_.helped.name, False] = answer
        if diagnosis := self._mutant(gradient, answers, step, results):
            return diagnosis
        # not the formula of this step with a slip, so perhaps one that takes several steps at once
        skipping = [self._skipping(view, pass_, read) for view, pass_ in zip(step, steps, strict=True) if view]
        diagnosis = recognise_in_any_shape(gradient, skipping)
        return diagnosis if diagnosis and _UNNAMED not in diagnosis.what else None

    def _of_whole(
        self,
        gradient: str,
        step: Sequence[WrongAnswer | None],
        helped: Sequence[WrongAnswer | None],
        results: PassResults,
        read: frozenset[str],
    ) -> Diagnosis | None:
        """The mistake in the value as a whole, beside the true gradients, whatever the answer was made from."""
        whole = [view and replace(view, skips=True) for view in helped]
        diagnosis = recognise_in_any_shape(gradient, whole, WHOLE)
        if diagnosis is None or diagnosis.mistake != "scale":
            return diagnosis
        # an answer that reads all its upstream gradients would be a multiple of the step's gradient too
        is_blind = gradient.removeprefix("d") in self.facts.blind
        if not is_blind and not any(view and self._skips(view, read) for view in step):
            return None
        if _UNNAMED in diagnosis.what:
            # a number without a name has to fit in the notebook too
            own = self._view(gradient, self.passes[0], results, "true", blind=False)
            again = recognise_in_any_shape(gradient, [own and replace(own, skips=True)], ["scale"])
            return diagnosis if again == diagnosis else None
        return diagnosis

    def _plain_view(self, gradient: str, results: PassResults, blind: bool) -> WrongAnswer | None:
        """The answer in the pass over plain statements, with its context; None if there is none."""
        if self.plain is None or (answer := results.tensors(self.plain.pass_, gradient)[0]) is None:
            return None
        tensor, reference = gradient.removeprefix("d"), self.plain.reference
        expected, context = reference.step.gradients[tensor], reference.backward_context(self.facts, step=True)
        return WrongAnswer(context, tensor, answer, expected, self.tolerance, blind, self.facts.zero)

    @staticmethod
    def _is_confirmed(
        gradient: str, diagnosis: Diagnosis, plain: WrongAnswer | None, helped: Sequence[WrongAnswer | None]
    ) -> bool:
        """Whether a number in a diagnosis is there with other weights and data too: it may come from those of a pass.

        If there is no value of plain statements, only a number with a name is sure.
        """
        if not re.search(r"\b\d", diagnosis.what) or (plain is None and _UNNAMED not in diagnosis.what):
            return True
        others = [plain] if plain else helped
        return recognise_in_any_shape(gradient, others, (diagnosis.mistake,)) == diagnosis

    def _mutant(
        self,
        gradient: str,
        answers: Mapping[tuple[str, bool], torch.Tensor],
        views: Sequence[WrongAnswer | None],
        results: PassResults,
    ) -> Diagnosis | None:
        """The mistake if the answers are those of the worked solution with one change."""
        view = next((view for view in views if view), None)
        if view is None:
            return None
        source = results.submission.cells[results.submission.stub_indices()[gradient]].source
        return self.mutants.recognise(gradient, answers, self.tolerance, lines(view, view.consumers), source)

    def _view(
        self, gradient: str, pass_: Pass, results: PassResults, against: Literal["step", "true", "loss"], blind: bool
    ) -> WrongAnswer | None:
        """The answer at the stub's end in a pass, with its context; None if there is no answer."""
        tensor, reference = gradient.removeprefix("d"), self.references[pass_.name]
        answer = results.tensors(pass_, gradient)[0]
        if answer is None:
            return None
        expected = (reference.step.gradients if against == "step" else reference.gradients)[tensor].double()
        context = reference.backward_context(self.facts, step=against == "step")
        return WrongAnswer(context, tensor, answer, expected, self.tolerance, blind, self.facts.zero)

    @staticmethod
    def _skips(view: WrongAnswer, read: frozenset[str]) -> bool:
        """Whether an answer that reads the gradients ``read`` leaves out one of its consumers'."""
        return not set(view.named_consumers) <= read

    def _skipping(self, view: WrongAnswer, pass_: Pass, read: frozenset[str]) -> WrongAnswer | None:
        """The same answer beside what the chain rule gives from the gradients that it reads; None if it reads all."""
        if not self._skips(view, read):
            return None
        reference = self.references[pass_.name]
        context = reference.skipping_context(view.name, read, self.facts)
        expected = reference.gradients_from(read)[view.name].double()
        return replace(view, context=context, expected=expected, skips=True, _known={})

    def strange(self, gradient: str, results: PassResults) -> Diagnosis | None:
        """The mistake if a cell was written and ran, but gave no tensor; None if it is not certain."""
        source = results.submission.cells[results.submission.stub_indices()[gradient]].source
        kinds = {answer.kind for answer in results.all_answers(gradient)}
        if kinds == {"undefined"} and source.strip() and not is_untouched(source, gradient):
            near = _near(gradient, source)
            return diagnosis_of("undefined", gradient, instead=f"; it assigns {near}" if near else "")
        types = {answer.type for answer in results.all_answers(gradient) if answer.kind == "other"}
        if len(types) == 1 and kinds == {"other"}:
            return diagnosis_of("not-a-tensor", gradient, type=types.pop())
        return None

    def right(self, gradient: str, step: Sequence[Comparison | None], results: PassResults) -> Diagnosis | None:
        """A note on a gradient that passed: a later cell changes it, or a small constant is missing.

        ``step`` are its comparisons in the step passes.
        """
        if later := self._changed_by(gradient, results):
            cell = results.submission.cells[results.submission.stub_indices()[later]]
            lines = in_place_lines(cell.source)
            where = f" (line {lines[0]})" if len(lines) == 1 else ""
            return diagnosis_of("alias-mutated", gradient, later, later=later, line=where)
        if all(comparison is not None and not is_rounded(comparison) for comparison in step):
            planned = rounds(self.passes)
            steps = [pass_ for round_ in planned for pass_ in round_.steps]
            views = [self._view(gradient, pass_, results, "step", False) for pass_ in steps]
            views += [self._view(gradient, round_.helped, results, "true", False) for round_ in planned]
            return recognise(gradient, [view for view in views if view], ("missing-eps",))
        return None

    def _changed_by(self, gradient: str, results: PassResults) -> str | None:
        """The later gradient whose cell changes this one, because both names refer to the same tensor."""
        changing = set()
        for pass_ in self.passes:
            if pass_.helps:
                continue
            stub, end = results.tensors(pass_, gradient)
            if stub is None or end is None or _same(stub, end):
                return None
            # it is the same tensor if it equals the later one bit for bit, both after that one's cell and at the end
            later = [
                name
                for name in self._after(gradient, results)
                if all(other is not None and _same(other, end) for other in results.tensors(pass_, name))
            ]
            changing.add(later[0] if later else None)
        return changing.pop() if len(changing) == 1 else None

    def _after(self, gradient: str, results: PassResults) -> list[str]:
        """The gradients whose cells come later and do not assign this one by its own name."""
        indices = results.submission.stub_indices()
        return [
            name
            for name, index in indices.items()
            if index > indices[gradient] and not assigned(results.submission.cells[index].source, gradient)
        ]

    def carried(self, gradient: str, failed: Sequence[str], results: PassResults) -> Diagnosis | None:
        """A note on a gradient that passed, but is wrong in the notebook because of one of the ``failed`` ones."""
        tensor = gradient.removeprefix("d")
        above = autograd_graph.above(tensor, self.facts.consumers)
        guilty = [name for name in failed if name.removeprefix("d") in above and self._is_off(name, results)]
        if not guilty or not self._is_off(gradient, results):
            return None
        visible = self.passes[0]
        context = self.references[visible.name].backward_context(self.facts, step=False)
        total = torch.zeros_like(context.gradient_of(tensor))
        for consumer in self.facts.consumers[tensor]:
            is_answer = f"d{consumer}" in results.submission.stub_indices()
            given = results.tensors(visible, f"d{consumer}")[0] if is_answer else context.gradient_of(consumer)
            if given is None or given.is_complex() or given.shape != context.gradient_of(consumer).shape:
                return None
            total += context.vjp(tensor, consumer, given)
        (answer, *_) = results.tensors(visible, gradient)
        fits = answer is not None and WrongAnswer(context, tensor, answer, total, self.tolerance).fits(total)
        return diagnosis_of("carried", gradient, guilty[0], first=guilty[0]) if fits else None

    def _is_off(self, gradient: str, results: PassResults) -> bool:
        """Whether a cell gives a value in the student's own notebook, and it is wrong."""
        visible, tensor = self.passes[0], gradient.removeprefix("d")
        answer, reference = results.tensors(visible, gradient)[0], self.references[visible.name]
        scale = scale_of((reference.unsymmetric if tensor in self.facts.zero else reference.gradients)[tensor])
        return (
            answer is not None and not compare(answer, reference.gradients[tensor], scale, self.tolerance).approximate
        )


def _near(name: str, source: str) -> str:
    """The name that a cell assigns probably in place of ``name``; empty if there is none."""
    names = sorted(parsed.names()) if (parsed := ParsedCell.of(source)) else []
    alike = [other for other in names if other.lower() == name.lower()] or get_close_matches(name, names, n=1)
    return alike[0] if alike else ""


def _same(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have the same entries in the same order, in any shape."""
    return tensor.numel() == other.numel() and torch.equal(tensor.reshape(-1), other.reshape(-1))


def copies_autograd(gradient: str, facts: ForwardFacts) -> Diagnosis:
    """The diagnosis of a wrong gradient whose cell asks autograd for it."""
    upstream = [f"d{consumer}" for consumer in facts.consumers[gradient.removeprefix("d")] if consumer != LOSS]
    return diagnosis_of("uses-autograd", gradient, source=f"from {listed(upstream)}" if upstream else "from the loss")


def tampered(verdict: Verdict, names: Sequence[str]) -> Verdict:
    """The verdict on an answer whose cell uses internals."""
    message = f"The cell of {verdict.gradient} uses {listed(names)}, which no formula needs; it needs manual review."
    return replace(verdict, outcome="tampered", points=0.0, diagnosis=None, message=message)


def noticed(submission: Submission, uses: Sequence[ForbiddenUse]) -> str:
    """Message for the instructor about cells added by the student that use internals; empty if there are none."""
    names = dict.fromkeys(
        name for cell, use in zip(submission.cells, uses, strict=True) if not cell.gradients for name in use.internals
    )
    if not names:
        return ""
    return f"A cell that the student added uses {listed(names)}, which no formula needs: please review it."
