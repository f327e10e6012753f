"""Grade the answers that are gradients, by the hidden passes, the marking rule and the catalogue of known mistakes.

The check cells run in this trusted process, on answers that came back as tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from handgrad.errors import ExerciseError, closest
from handgrad.exercise.exercise import Check, Exercise
from handgrad.exercise.reference import ForwardFacts
from handgrad.gradients.comparison import compare, is_rounded, scale_of
from handgrad.grading.diagnosis import Diagnostician, copies_autograd, not_tried, raises, tampered, why_not
from handgrad.grading.hidden_states import HiddenStates, PlainState
from handgrad.grading.marking import Correctness, Evidence, Mark, Policy, StepEvidence, correctness_of, mark, worst
from handgrad.grading.passes import Pass, Round, rounds
from handgrad.grading.run_passes import PassResults
from handgrad.grading.solution_mutants import SolutionMutants
from handgrad.notebook import execution
from handgrad.notebook.execution import CellError
from handgrad.notebook.syntax import last_line_that_writes
from handgrad.report.records import Comparison, Diagnosis, Outcome, Verdict
from handgrad.student.check import recording
from handgrad.submission.forbidden_names import ForbiddenUse
from handgrad.submission.gradients_read import gradients_read
from handgrad.submission.submission import Submission

__all__ = ["GradientChecks", "not_compared"]

Against = Literal["true", "step"] | frozenset[str]
"""The references to compare with: the true gradients of the loss, the step gradients, or the gradients in the step pass
from the upstream gradients of these tensors alone."""
Checked = tuple[Comparison | None, execution.CellError | None]


@dataclass(frozen=True)
class Expected:
    """What the answers of one pass are compared with: the references by tensor, and the scale of each allowance.

    The checks run in ``namespace``: the forward pass, with every gradient at its reference.
    """

    gradients: Mapping[str, torch.Tensor]
    scales: Mapping[str, float]
    namespace: Mapping[str, Any]


class GradientChecks:
    """The checks of one exercise that compare a gradient with autograd's.

    The ``states`` have the passes over gradients, the first of them visible, and their references; the ``facts`` are
    those of all references.

    Raises
    ------
    ExerciseError
        No hidden pass changes a gradient, or a check does not compare its own gradient or does not hold on the right
        gradients.
    """

    def __init__(self, exercise: Exercise, states: HiddenStates, facts: ForwardFacts, policy: Policy) -> None:
        self.exercise, self.states, self.facts, self.policy = exercise, states, facts, policy
        self.passes, self.references = states.passes, states.references
        mutants = SolutionMutants(exercise, self.references)
        self.is_diagnosing = True
        """Whether wrong answers get a diagnosis, which takes most of the time that they cost."""
        self.diagnostician = Diagnostician(self.passes, self.references, facts, policy.tolerance, mutants)
        self._cells = {
            check.id: execution.CompiledCell(check.source, f"<{check.id}>")
            for check in exercise.checks
            if not check.is_value
        }
        self._expected_by: dict[tuple[str, Against], Expected] = {}
        self._read: Mapping[str, frozenset[str]] = {}
        self._shown: dict[tuple[str, str], tuple[frozenset[str], ...]] = {}
        self._seen: dict[tuple[str, str, Against, int], tuple[torch.Tensor, Checked]] = {}
        self._validate()

    def _validate(self) -> None:
        """Check that the exercise can be graded."""
        visible = self.references[self.passes[0].name].gradients
        for pass_ in self.passes[1:]:
            if visible and all(map(torch.equal, visible.values(), self.references[pass_.name].gradients.values())):
                raise ExerciseError(
                    f"{self.exercise.name}: every gradient is the same for all seeds, so pasted numbers would be "
                    "right: the cells after the parameters must use `seed`."
                )
        with execution.captured():
            for check in self.exercise.checks:
                if not check.is_value:
                    self._validate_check(check)

    def _validate_check(self, check: Check) -> None:
        """A check must compare its own gradient, only tensors with a reference, and hold on the references."""
        name, expected = self.exercise.name, self._expected(self.passes[-1], "true")
        known = expected.gradients
        calls, error = self._run(check, expected, {})
        if error:
            raise ExerciseError(
                f"{name}: {check.id} does not hold on the right gradients: {error.name}: {error.message}"
            )
        for tensor, compared in calls:
            if tensor not in known:
                raise ExerciseError(
                    f"{name}: {check.id} compares {tensor!r}, which has no stub." + closest(tensor, known)
                )
            if not (isinstance(compared, torch.Tensor) and torch.equal(compared, known[tensor])):
                raise ExerciseError(f"{name}: what {check.id} compares as {tensor!r} is not d{tensor}.")
        if self.exercise.tensors[check.gradient] not in dict(calls):
            raise not_compared(self.exercise, check)

    def begin(self, submission: Submission, plain: PlainState | None = None) -> None:
        """Forget the answers of the last submission, and find out which gradients those of this one read.

        ``plain`` is the pass over its plain statements.
        """
        self.diagnostician = replace(self.diagnostician, plain=plain)
        self._seen.clear()
        for key in [key for key in self._expected_by if isinstance(key[1], frozenset)]:
            del self._expected_by[key]
        self._read = gradients_read(submission.cells, self.exercise.tensor_of)

    def _compare(self, check: Check, answer: torch.Tensor | None, pass_: Pass, against: Against = "true") -> Checked:
        """Run ``check`` on ``answer`` against the references of a pass; the comparison, and the error if it raised."""
        if answer is None:
            return None, None
        key = (check.id, pass_.name, against, id(answer))
        if key not in self._seen:
            # the answer is kept too, so that no other object can get its id
            self._seen[key] = answer, self._compared(check, answer, pass_, against)
        return self._seen[key][1]

    def _compared(self, check: Check, answer: torch.Tensor, pass_: Pass, against: Against) -> Checked:
        expected = self._expected(pass_, against)
        if answer.is_floating_point():
            # an answer in double precision is as right as one in single, also for a check's other assertions
            answer = answer.to(expected.gradients[self.exercise.tensors[check.gradient]].dtype)
        calls, error = self._run(check, expected, {check.gradient: answer})
        comparisons = [
            compare(compared.detach(), expected.gradients[name], expected.scales[name], self.policy.tolerance)
            for name, compared in calls
            if isinstance(compared, torch.Tensor)
        ]
        return min(comparisons, key=correctness_of, default=None), error

    def _expected(self, pass_: Pass, against: Against) -> Expected:
        """What the answers of a pass are compared with."""
        if (pass_.name, against) not in self._expected_by:
            reference = self.references[pass_.name]
            match against:
                case "true":
                    gradients = reference.gradients
                case "step":
                    gradients = reference.step.gradients
                case read:
                    gradients = reference.gradients_from(read)
            scales = {name: scale_of(gradient) for name, gradient in gradients.items()}
            if against == "true":
                scales |= {name: scale_of(reference.unsymmetric[name]) for name in self.facts.zero}
            own = {gradient: gradients[tensor] for gradient, tensor in self.exercise.tensor_of.items()}
            self._expected_by[pass_.name, against] = Expected(gradients, scales, {**reference.namespace, **own})
        return self._expected_by[pass_.name, against]

    def _step(self, check: Check, pass_: Pass, results: PassResults) -> Comparison | None:
        """The comparison with the step gradient in a step pass; if it was skipped, every gradient is proved."""
        if pass_.name in results.skipped:
            shape = tuple(self.references[pass_.name].gradients[self.exercise.tensors[check.gradient]].shape)
            return Comparison(shape, shape, exact=True, approximate=True, maxdiff=0.0, relative=0.0)
        return self._comparisons(check, pass_, results, "step")[0]

    def _run(
        self, check: Check, expected: Expected, answers: Mapping[str, torch.Tensor]
    ) -> tuple[list[tuple[str, Any]], execution.CellError | None]:
        """Run a check with ``answers``, the rest at their references: what it compared, and its error."""
        with recording() as calls:
            error = execution.run_cell(self._cells[check.id], {**expected.namespace, **answers})
        return list(calls), error

    def is_decided(self, check: Check, results: PassResults) -> bool:
        """Whether the optional passes can change neither the mark of a gradient nor its note."""
        at_stub, at_end = results.pair(self.passes[0], check.gradient)
        # the unhelped passes find a cell that changes another one's answer
        if at_stub is not at_end or not check.only_compares:
            return False
        steps = [self._step(check, pass_, results) for round_ in rounds(self.passes) for pass_ in round_.steps]
        # a difference of more than rounding may be a forgotten eps, which the helped pass shows
        return all(
            step is not None and correctness_of(step) is Correctness.RIGHT and is_rounded(step) for step in steps
        )

    def _comparisons(
        self, check: Check, pass_: Pass, results: PassResults, against: Against = "true"
    ) -> tuple[Comparison | None, ...]:
        """The comparisons of the values at the stub's end and at the notebook's end."""
        return tuple(self._compare(check, value, pass_, against)[0] for value in results.tensors(pass_, check.gradient))

    def is_right_at_home(self, check: Check, results: PassResults) -> bool:
        """Whether the answer is right on the notebook's own data, at the stub's end and at the notebook's."""
        visible = self._comparisons(check, self.passes[0], results)
        return all(correctness_of(comparison) is Correctness.RIGHT for comparison in visible)

    def reads(self, gradient: str) -> frozenset[str]:
        """The tensors whose gradients an answer of the submission reads."""
        return self._read[gradient]

    def evidence(self, check: Check, results: PassResults) -> list[Evidence]:
        """The evidence of the hidden passes on one gradient, by round."""
        return [self._of_round(check, round_, results) for round_ in rounds(self.passes)]

    def passes_in(self, check: Check, round_: Round, results: PassResults) -> bool:
        """Whether a gradient passes if ``round_`` is the only round of hidden passes."""
        decided = mark(self._of_round(check, round_, results), self.policy)
        return decided.outcome == "passed" and self._holds(check, results, [round_])

    def _of_round(self, check: Check, round_: Round, results: PassResults) -> Evidence:
        counts = round_.as_written.name in results.results and self._has_right_upstream(
            check, round_.as_written, results
        )
        return Evidence(
            steps=tuple(self._of_step(check, pass_, results) for pass_ in round_.steps),
            as_written=self._comparisons(check, round_.as_written, results) if counts else (),
            helped=self._comparisons(check, round_.helped, results)[0],
            shows=self._shows(self.exercise.tensors[check.gradient], round_),
        )

    def _shows(self, tensor: str, round_: Round) -> tuple[frozenset[str], ...]:
        """The passes of a round whose true gradients show any mistake; the same for every submission."""
        if (tensor, round_.helped.name) not in self._shown:
            groups = [round_.as_written], [round_.helped], [round_.as_written, round_.helped]
            self._shown[tensor, round_.helped.name] = tuple(
                frozenset(pass_.kind for pass_ in passes)
                for passes in groups
                if tensor not in self.facts.blind and self.states.shows(tensor, self.facts.consumers[tensor], passes)
            )
        return self._shown[tensor, round_.helped.name]

    def _has_right_upstream(self, check: Check, pass_: Pass, results: PassResults) -> bool:
        """Whether every gradient of the student's that an answer reads is right: else two mistakes might cancel."""
        read = self._read[check.gradient]
        upstream = (other for other in self.exercise.checks if self.exercise.tensors.get(other.gradient) in read)
        return all(
            correctness_of(self._comparisons(other, pass_, results)[0]) is Correctness.RIGHT for other in upstream
        )

    def _of_step(self, check: Check, pass_: Pass, results: PassResults) -> StepEvidence:
        step = self._step(check, pass_, results)
        if step is None or correctness_of(step) is Correctness.RIGHT:
            return StepEvidence(step)
        tensor, reference = self.exercise.tensors[check.gradient], self.references[pass_.name]
        # also from parts of what it reads: a closed form may name upstream gradients without using them
        read = self._read[check.gradient]
        sources = dict.fromkeys((read, frozenset[str](), *map(frozenset[str], zip(sorted(read), strict=True))))
        found = ((read, self._comparisons(check, pass_, results, read)[0]) for read in sources)
        right = [
            comparison
            for read, comparison in found
            if correctness_of(comparison) is not Correctness.WRONG
            and reference.proves(tensor, read, self._expected(pass_, read).gradients, self.facts)
        ]
        return StepEvidence(step, max(right, key=correctness_of, default=None))

    def verdict(
        self, check: Check, results: PassResults, evidence: Sequence[Evidence], uses: Sequence[ForbiddenUse]
    ) -> Verdict:
        """The verdict on one gradient, from its :meth:`evidence` and the forbidden names in the cells."""
        own = [uses[index] for index in results.submission.indices_of(check.gradient)]
        verdict = self._judged(check, results, evidence)
        if internals := [name for use in own for name in use.internals]:
            return tampered(verdict, internals)
        copies = any(use.autograd for use in own) or any(check.gradient in use.copied for use in uses)
        if check.call and verdict.comparison and verdict.comparison.finite:
            # of what a function returns, some may be formulas
            copies = False
        if copies and verdict.outcome in ("failed", "error"):
            # what autograd's absence leads to, such as None for a grad_fn, is no news
            message = verdict.message if "AutogradOff" in verdict.message else ""
            return replace(verdict, diagnosis=copies_autograd(check.gradient, self.facts), message=message)
        return verdict

    def is_right_as_written(self, evidence: Sequence[Evidence]) -> bool:
        """Whether an answer is right on the true gradients, which show every mistake in it, and not in its step."""
        return any(mark(round_, self.policy).reason == "hidden" for round_ in evidence)

    def is_wrong(self, verdict: Verdict, evidence: Sequence[Evidence]) -> bool:
        """Whether a verdict is about values that are wrong, and not about what could not be tested, or a condition."""
        decided = worst([mark(round_, self.policy) for round_ in evidence])
        return decided.outcome == "failed" or (decided.outcome == "partial" and not verdict.message)

    def _judged(self, check: Check, results: PassResults, evidence: Sequence[Evidence]) -> Verdict:
        """The verdict on a gradient from its values only."""
        marks = [mark(round_, self.policy) for round_ in evidence]
        decided = worst(marks)
        visible = self._comparisons(check, self.passes[0], results)
        seen = _seen(visible, evidence, decided)
        outcome: Outcome = decided.outcome
        message, share = "", decided.share
        if decided.outcome == "failed":
            right_at_home = any(correctness_of(comparison) is Correctness.RIGHT for comparison in visible)
            outcome, message = why_not(check.gradient, results, seen, right_at_home, self.facts)
        elif not self._holds(check, results, rounds(self.passes)):
            outcome, share, message = "failed", 0.0, f"{check.gradient} does not meet a further condition of its check."
        elif decided.reason == "invisible":
            message = not_tried(
                check.gradient, results, any(each.step is not None for round_ in evidence for each in round_.steps)
            )
        diagnosis = None
        if decided.outcome != "passed" and not (outcome == "partial" and message):
            diagnosis = self._diagnosis(check, outcome, results, decided, marks)
            # a diagnosis says more than the message
            message = "" if diagnosis else message
            if error := self._stopped(check, results):
                outcome = "error" if outcome == "failed" else outcome
                diagnosis, message = None, raises(results.submission.cell_of(check.gradient), error)
        return Verdict(check.id, check.gradient, outcome, share * check.points, check.points, seen, diagnosis, message)

    def _diagnosis(
        self, check: Check, outcome: Outcome, results: PassResults, decided: Mark, marks: Sequence[Mark]
    ) -> Diagnosis | None:
        """The mistake in a gradient that is not right, if it is certain."""
        if not self.is_diagnosing or outcome not in ("failed", "partial", "missing"):
            return None
        strange = self.diagnostician.strange(check.gradient, results)
        return strange or self.diagnostician.wrong(check.gradient, decided, marks, results, self._read[check.gradient])

    def _stopped(self, check: Check, results: PassResults) -> CellError | None:
        """What a stub raised before it had assigned its gradient for the last time; None if it did not.

        A diagnosis of what it left half done would not be true.
        """
        index = results.submission.stub_indices()[check.gradient]
        error = results.visible_error(check.gradient)
        if error is None or any(answer.kind != "tensor" for answer in results.all_answers(check.gradient)):
            return None
        last = last_line_that_writes(results.submission.cells[index].source, check.gradient)
        return error if not error.line or error.line <= last else None

    def _holds(self, check: Check, results: PassResults, tried: Sequence[Round]) -> bool:
        """Whether the check's other assertions hold in every helped run; on the answer as written if it has none."""
        for round_ in tried:
            # each answer with the references of its own pass: the passes have other numbers
            answers = [
                (pass_, value)
                for pass_ in (round_.helped, round_.as_written)
                for value in results.tensors(pass_, check.gradient)
                if value is not None
            ]
            if answers and self._compare(check, answers[0][1], answers[0][0])[1] is not None:
                return False
        return True


def not_compared(exercise: Exercise, check: Check) -> ExerciseError:
    """The error of a check that does not compare its own gradient."""
    own = check.gradient.removeprefix("d")
    return ExerciseError(
        f"{exercise.name}: {check.id} does not compare {check.gradient}: "
        f"it must say cmp({own!r}, {check.gradient}, {own})."
    )


def _seen(visible: Sequence[Comparison | None], evidence: Sequence[Evidence], decided: Mark) -> Comparison | None:
    """The comparison that a verdict shows: the one on the notebook's own data if it agrees with the verdict."""
    candidates = [*visible]
    for round_ in evidence:
        candidates += [*round_.as_written, round_.helped]
        candidates += [comparison for each in round_.steps for comparison in (each.step, each.read)]
    if decided.reason == "invisible":
        candidates = [each.step for round_ in evidence for each in round_.steps] + candidates
    expected = Correctness.RESHAPED if decided.reshaped else Correctness.WRONG
    if decided.outcome == "passed":
        expected = Correctness.RIGHT
    comparisons = [comparison for comparison in candidates if comparison is not None]
    fitting = (comparison for comparison in comparisons if correctness_of(comparison) is expected)
    return next(fitting, comparisons[0] if comparisons else None)
