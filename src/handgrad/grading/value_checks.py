"""Grade the answers that are not gradients, by the worked solution's values and by the assertions of their checks.

A value is compared in its own hidden passes, in which nothing is replaced. The assertions of its check must hold in the
visible pass: the check runs here, in the trusted process, on the values of its stub and nothing else of the student's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from handgrad.errors import ExerciseError, closest
from handgrad.exercise.exercise import Check, Exercise
from handgrad.gradients.comparison import compare
from handgrad.gradients.mistakes.parameter_updates import ParameterUpdate, diagnose_update
from handgrad.grading.diagnosis import death_sentence, raised, tampered
from handgrad.grading.gradient_checks import not_compared
from handgrad.grading.marking import Correctness, Evidence, Mark, Policy, correctness_of, mark, worst
from handgrad.grading.passes import Pass
from handgrad.grading.run_passes import PassResults
from handgrad.grading.solution_values import TOLERANCE, SolutionValues
from handgrad.notebook import execution
from handgrad.report.records import Comparison, Diagnosis, Outcome, Verdict
from handgrad.submission.forbidden_names import ForbiddenUse
from handgrad.submission.submission import Submission

__all__ = ["ValueChecks"]

Decided = tuple[Outcome, float, str]
"""An outcome, the share of the points, and a message (empty if the outcome is enough)."""


class ValueChecks:
    """The checks of one exercise whose answers are not gradients.

    The ``passes`` are those over values. The checks run in ``namespace``, which the locked cells leave with the
    notebook's own parameters. What cannot be graded is refused: see :meth:`validate`.
    """

    def __init__(self, exercise: Exercise, passes: Sequence[Pass], namespace: dict[str, Any], policy: Policy) -> None:
        self.exercise, self.passes, self.namespace, self.policy = exercise, passes, namespace, policy
        self.solutions = {pass_.name: SolutionValues.of(exercise, pass_.parameters) for pass_ in passes}
        self._cells = {check.id: execution.CompiledCell(check.source, f"<{check.id}>") for check in exercise.values}
        self.validate()

    def evidence(self, check: Check, results: PassResults) -> list[Evidence]:
        """The comparisons of a value, by pass; empty for a check of the stub as a whole."""
        if not self._is_compared(check):
            return []
        name = check.gradient
        return [
            Evidence(
                as_written=tuple(self._compared(name, value, pass_) for value in results.tensors(pass_, name)),
                shows=(frozenset(["as written"]),),
            )
            for pass_ in self.passes
        ]

    def verdict(
        self, check: Check, results: PassResults, evidence: Sequence[Evidence], uses: Sequence[ForbiddenUse]
    ) -> Verdict:
        """The verdict on one value, from its :meth:`evidence` and the forbidden names in the cells."""
        verdict = self._judged(check, results, evidence)
        own = uses[results.submission.stub_indices()[check.gradient]]
        if internals := own.internals or self._by_helpers(results.submission, uses):
            return tampered(verdict, internals)
        return verdict

    def _by_helpers(self, submission: Submission, uses: Sequence[ForbiddenUse]) -> Sequence[str]:
        """The internals used by stubs without an answer of their own, whose results the values depend on."""
        helpers = {stub for stub, answers in self.exercise.answers.items() if not answers}
        positions = {position for position, name in enumerate(submission.ids) if name in helpers}
        cells = zip(submission.cells, uses, strict=True)
        return [name for cell, use in cells if cell.position in positions for name in use.internals]

    def _judged(self, check: Check, results: PassResults, evidence: Sequence[Evidence]) -> Verdict:
        """The verdict on a value from its values only."""
        marks = [mark(round_, self.policy) for round_ in evidence]
        outcome, share, message = (
            self._nothing(check, results)
            or (self._marked(check, marks, results) if marks else self._whole(check, results))
            or ("passed", 1.0, "")
        )
        if outcome in ("passed", "partial") and (broken := self._broken(check, results)):
            outcome, share, message = broken
        diagnosis: Diagnosis | None = None
        if outcome == "failed" and (errors := results.errors(check.gradient)):
            outcome, message = raised(check.stub, errors, results.visible_error(check.gradient), results.limits)
        elif outcome == "failed" and not message:
            diagnosis = self._diagnosis(check, results)
            message = "" if diagnosis else _wrong(check, results)
        seen = _seen(evidence, marks)
        return Verdict(check.id, check.gradient, outcome, share * check.points, check.points, seen, diagnosis, message)

    def _nothing(self, check: Check, results: PassResults) -> Decided | None:
        """The decision if the stub gave nothing to grade; None if it did."""
        stub, index = check.stub, results.submission.stub_indices()[check.gradient]
        if index in results.deaths and index not in results.slow:
            death = results.deaths[index]
            return death.reason, 0.0, death_sentence(death, results.limits)
        if any(self._is_changed(name, pass_, results) for name in self._moving(stub) for pass_ in self.passes):
            return None
        if results.out_of_time:
            seconds = results.limits.submission_seconds
            return "timeout", 0.0, f"The notebook used up its {seconds:g} seconds before {stub} could be graded."
        if errors := results.errors(check.gradient):
            outcome, message = raised(stub, errors, results.visible_error(check.gradient), results.limits)
            return outcome, 0.0, message
        return "missing", 0.0, f"{stub} is not written yet: it changes nothing that is checked."

    def _marked(self, check: Check, marks: Sequence[Mark], results: PassResults) -> Decided:
        """The decision on a value that is compared."""
        decided = worst(marks)
        if decided.outcome != "failed":
            return decided.outcome, decided.share, ""
        if self._at_first(marks).outcome == "passed":
            return "partial", self.policy.partial_later, self._later(check, results)
        return "failed", 0.0, ""

    def _at_first(self, marks: Sequence[Mark]) -> Mark:
        """The mark of the passes with the first settings, which are the shortest."""
        least = self.exercise.training.hidden[0]
        return worst(mark_ for mark_, pass_ in zip(marks, self.passes, strict=True) if _has(pass_, least))

    def _later(self, check: Check, results: PassResults) -> str:
        """Message for a value that is right in the passes with the first settings only."""
        least = ", ".join(f"{name} = {value}" for name, value in self.exercise.training.hidden[0].items())
        right = f"{check.gradient} is right with {least}, but not with more"
        for other in self._siblings(check.stub):
            marks = [mark(round_, self.policy) for round_ in self.evidence(other, results)]
            if self._at_first(marks).outcome == "failed":
                return f"{right}: it depends on {other.gradient}, which is wrong from the start."
        return f"{right}: does {check.stub} do the right thing at every step?"

    def _whole(self, check: Check, results: PassResults) -> Decided | None:
        """The decision on the check of a stub as a whole if none of its values is right in a hidden pass; else None."""
        comparisons = (
            seen
            for sibling in self._siblings(check.stub)
            if sibling.gradient in self._moving(check.stub)
            for evidence in self.evidence(sibling, results)
            for seen in evidence.as_written
        )
        if any(correctness_of(seen) is Correctness.RIGHT for seen in comparisons):
            return None
        message = f"The values of {check.stub} do not count: with another seed, none of them is right."
        return "failed", 0.0, message

    def _broken(self, check: Check, results: PassResults) -> Decided | None:
        """The decision if the check does not hold in the visible pass; None if it does."""
        index = results.submission.stub_indices()[check.gradient]
        if index in results.slow:
            # a value that is compared was graded in the hidden passes
            sentence = death_sentence(results.deaths[index], results.limits_of(index))
            return None if self._is_compared(check) else ("timeout", 0.0, sentence)
        names = [sibling.gradient for sibling in self._siblings(check.stub)]
        both = [results.tensors(results.passes[0], name) for name in names]
        errors = []
        for answers in zip(*both, strict=True):
            tensors = {name: value for name, value in zip(names, answers, strict=True) if value is not None}
            # values of another shape are not passed to a check: it might need any amount of memory for them
            misshapen = [name for name, value in tensors.items() if value.shape != self._visible_shape(name)]
            if check.gradient in misshapen:
                return None
            if misshapen and not self._is_compared(check):
                name = misshapen[0]
                shapes = f"{tuple(tensors[name].shape)}, but should have {tuple(self._visible_shape(name))}"
                return "failed", 0.0, f"{name} has shape {shapes}."
            error = self._run(check, {name: value for name, value in tensors.items() if name not in misshapen})
            if error is None:
                return None
            errors.append(error)
        message = errors[0].message if errors[0].name == "AssertionError" else f"{errors[0].name}: {errors[0].message}"
        return "failed", 0.0, message or f"{check.gradient} does not meet a further condition of its check."

    def _visible_shape(self, name: str) -> torch.Size:
        """The shape that a value should have with the notebook's own parameters."""
        known = self.namespace.get(name)
        return (known if isinstance(known, torch.Tensor) else self.solutions[self.passes[0].name].after[name]).shape

    def _diagnosis(self, check: Check, results: PassResults) -> Diagnosis | None:
        """The mistake in a value that is not right, if it is certain."""
        first = [pass_ for pass_ in self.passes if _has(pass_, self.exercise.training.hidden[0])]
        updates = [self._update(check.gradient, results.tensors(pass_, check.gradient)[0], pass_) for pass_ in first]
        known = [update for update in updates if update]
        return diagnose_update(check.gradient, check.stub, known) if len(known) == len(first) else None

    def _update(self, name: str, answer: torch.Tensor | None, pass_: Pass) -> ParameterUpdate | None:
        """A value before the stub, its answer and its reference; None if these cannot be compared."""
        solution = self.solutions[pass_.name]
        expected, start = solution.after[name], solution.before.get(name)
        if answer is None or start is None or answer.is_complex() or not answer.shape == start.shape == expected.shape:
            return None
        return ParameterUpdate(start.double(), answer.double(), expected.double(), TOLERANCE * solution.scale(name))

    def _compared(self, name: str, answer: torch.Tensor | None, pass_: Pass) -> Comparison | None:
        solution = self.solutions[pass_.name]
        return None if answer is None else compare(answer, solution.after[name], solution.scale(name), TOLERANCE)

    def _is_compared(self, check: Check) -> bool:
        """Whether a check is about a tensor; else it is about its stub as a whole."""
        return all(check.gradient in solution.after for solution in self.solutions.values())

    def _siblings(self, stub: str) -> list[Check]:
        """The checks of the values that a stub makes."""
        return [check for check in self.exercise.values if check.stub == stub and self._is_compared(check)]

    def _moving(self, stub: str) -> list[str]:
        """The values that the solution of a stub changes."""
        names = [check.gradient for check in self._siblings(stub)]
        return [name for name in names if any(solution.moves(name) for solution in self.solutions.values())]

    def _is_changed(self, name: str, pass_: Pass, results: PassResults) -> bool:
        """Whether an answer differs from the value before the stub ran."""
        start = self.solutions[pass_.name].before.get(name)
        answers = [answer for answer in results.pair(pass_, name) if answer]
        if any(answer.kind in ("other", "too-large") for answer in answers):
            return True
        return any(
            start is None or not torch.equal(answer.value, start) for answer in answers if answer.value is not None
        )

    def _run(self, check: Check, answers: Mapping[str, torch.Tensor]) -> execution.CellError | None:
        """Run a check with ``answers``: the error if it raised."""
        with _replaced(self.namespace, answers), torch.no_grad(), execution.captured():
            return execution.run_cell(self._cells[check.id], self.namespace)

    def validate(self) -> None:
        """Check that the values can be graded.

        Raises
        ------
        ExerciseError
            A check is about a value that its stub does not make, uses a name that the grader does not have, or should
            compare a gradient; or all seeds give the same values.
        """
        for check in self.exercise.values:
            self._validate_check(check)
        if self.passes and not self._depends_on_the_seed():
            raise ExerciseError(
                f"{self.exercise.name}: every value is the same for all seeds, so pasted numbers would be "
                "right: the cells after the parameters must use `seed`."
            )

    def _validate_check(self, check: Check) -> None:
        name, tensor = self.exercise.name, self.namespace.get(check.gradient.removeprefix("d"))
        if check.gradient.startswith("d") and isinstance(tensor, torch.Tensor) and tensor.requires_grad:
            raise not_compared(self.exercise, check)
        values = self.solutions[self.passes[-1].name].after
        if not self._is_compared(check) and not check.is_whole:
            raise ExerciseError(
                f"{name}: the solution of {check.stub} makes no tensor {check.gradient}, which {check.id} is about."
                + closest(check.gradient, values)
            )
        error = self._run(check, {other.gradient: values[other.gradient] for other in self._siblings(check.stub)})
        # a condition on the whole training need not hold after a few steps
        if error and error.name != "AssertionError":
            raise ExerciseError(
                f"{name}: {check.id} raises {error.name} in the grader: {error.message} The check of a value can use "
                f"names of the locked cells before the first stub, and the values of {check.stub}."
            )

    def _depends_on_the_seed(self) -> bool:
        first = self.passes[0]
        start = self.solutions[first.name].before
        if any(not torch.equal(value, self.namespace[name]) for name, value in start.items()):
            return True
        if self.exercise.recorded:
            # a release cannot compute other values; the course that recorded these has checked it
            return True
        other = SolutionValues.of(self.exercise, {**first.parameters, "seed": 0})
        return any(
            not torch.equal(value, other.after[name]) for name, value in self.solutions[first.name].after.items()
        )


@contextmanager
def _replaced(namespace: dict[str, Any], values: Mapping[str, Any]) -> Iterator[None]:
    """Put ``values`` into ``namespace`` inside the block: the functions of locked cells use them too."""
    before = dict(namespace)
    namespace.update(values)
    try:
        yield
    finally:
        namespace.clear()
        namespace.update(before)


def _wrong(check: Check, results: PassResults) -> str:
    """Message for a wrong value without a diagnosis."""
    answers = list(results.all_answers(check.gradient))
    if any(answer.kind == "tensor" for answer in answers):
        return f"{check.gradient} does not have the value that {check.stub} should give it."
    if strange := [answer.type for answer in answers if answer.kind == "other"]:
        return f"{check.gradient} is not a tensor but of type {strange[0]}."
    return f"There is no tensor {check.gradient} after {check.stub} has run."


def _has(pass_: Pass, settings: Mapping[str, Any]) -> bool:
    """Whether a pass has these parameters."""
    return all(pass_.parameters.get(name) == value for name, value in settings.items())


def _seen(evidence: Sequence[Evidence], marks: Sequence[Mark]) -> Comparison | None:
    """The comparison that a verdict shows: the best one of the first pass in which the value is not right, if any."""
    wrong = [of_pass for of_pass, decided in zip(evidence, marks, strict=True) if decided.outcome != "passed"]
    shown = [seen for of_pass in wrong[:1] or evidence[-1:] for seen in of_pass.as_written if seen is not None]
    return max(shown, key=correctness_of, default=None)
