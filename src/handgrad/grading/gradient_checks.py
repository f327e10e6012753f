"""Grade the answers that are gradients, by the hidden passes, the marking rule and the catalogue of known mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from handgrad.exercise.exercise import Check, Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.comparison import is_rounded
from handgrad.grading.check_runner import Checker
from handgrad.grading.diagnosis import Diagnostician, copies_autograd, not_tried, reaches_inside, why_not
from handgrad.grading.marking import Correctness, Evidence, Mark, Policy, correctness_of, mark, worst
from handgrad.grading.passes import Pass, rounds
from handgrad.grading.run_passes import PassResults
from handgrad.report.records import Comparison, Diagnosis, Outcome, Verdict
from handgrad.submission.forbidden_names import ForbiddenUse

__all__ = ["GradientChecks"]


class GradientChecks:
    """The checks of one exercise that compare a gradient with autograd's.

    Parameters
    ----------
    exercise
        The exercise with the checks.
    passes
        The passes over gradients; the first is the visible one.
    references, facts
        The reference of each pass, by its name, and the facts of all of them.
    policy
        Partial credit and tolerance.

    Raises
    ------
    ExerciseError
        The exercise cannot be graded.
    """

    def __init__(
        self,
        exercise: Exercise,
        passes: Sequence[Pass],
        references: Mapping[str, Reference],
        facts: ForwardFacts,
        policy: Policy,
    ) -> None:
        self.exercise, self.passes, self.facts, self.policy = exercise, passes, facts, policy
        self.diagnostician = Diagnostician(passes, references, facts, policy.tolerance)
        self.checker = Checker(exercise, passes, references, facts, policy.tolerance)
        self.checker.validate()

    def is_decided(self, check: Check, results: PassResults) -> bool:
        """Whether the optional passes can change neither the mark of a gradient nor its note."""
        at_stub, at_end = results.pair(self.passes[0], check.gradient)
        # the unhelped passes find a cell that changes another one's answer
        if at_stub is not at_end or not check.only_compares:
            return False
        steps = [self._in_step(check, round_["step"], results) for round_ in rounds(self.passes)]
        # a difference of more than rounding may be a forgotten eps, which the helped pass shows
        return all(
            step is not None and correctness_of(step) is Correctness.RIGHT and is_rounded(step) for step in steps
        )

    def _in_step(self, check: Check, pass_: Pass, results: PassResults) -> Comparison | None:
        """The comparison of the value at the stub's end with the step gradient."""
        return self.checker.compare(check, results.tensors(pass_, check.gradient)[0], pass_, "step")[0]

    def evidence(self, check: Check, results: PassResults) -> list[Evidence]:
        """The evidence of the hidden passes on one gradient, by round."""
        return [self._of_round(check, round_, results) for round_ in rounds(self.passes)]

    def _of_round(self, check: Check, round_: Mapping[str, Pass], results: PassResults) -> Evidence:
        tensor = self.exercise.tensors[check.gradient]

        def comparisons(kind: str, against: Literal["true", "step"] = "true") -> tuple[Comparison | None, ...]:
            pass_ = round_[kind]
            return tuple(
                self.checker.compare(check, value, pass_, against)[0]
                for value in results.tensors(pass_, check.gradient)
            )

        step = self._in_step(check, round_["step"], results)
        return Evidence(
            as_written=comparisons("as written") if round_["as written"].name in results.results else (),
            step=step,
            helped=comparisons("helped")[0],
            # whether it is the loss's own gradient matters only if the step is not right
            step_against_true=None if correctness_of(step) is Correctness.RIGHT else comparisons("step")[0],
            zero=tensor in self.facts.zero,
            blind=tensor in self.facts.blind,
        )

    def verdict(
        self, check: Check, results: PassResults, evidence: Sequence[Evidence], uses: Sequence[ForbiddenUse]
    ) -> Verdict:
        """The verdict on one gradient, from its :meth:`evidence` and the forbidden names in the cells."""
        own = uses[results.submission.stub_indices()[check.gradient]]
        verdict = self._judged(check, results, evidence)
        if own.internals:
            message = reaches_inside(check.gradient, own.internals)
            return replace(verdict, outcome="tampered", points=0.0, diagnosis=None, message=message)
        copies = own.autograd or any(check.gradient in use.copied for use in uses)
        if copies and verdict.outcome in ("failed", "error"):
            return replace(verdict, diagnosis=copies_autograd(check.gradient, self.facts))
        return verdict

    def _judged(self, check: Check, results: PassResults, evidence: Sequence[Evidence]) -> Verdict:
        """The verdict on a gradient from its values only."""
        marks = [mark(round_, self.policy) for round_ in evidence]
        decided = worst(marks)
        visible = [
            self.checker.compare(check, value, self.passes[0])[0]
            for value in results.tensors(self.passes[0], check.gradient)
        ]
        seen = _seen(visible, evidence, decided)
        outcome: Outcome = decided.outcome
        message, share = "", decided.share
        if decided.outcome == "failed":
            right_at_home = any(correctness_of(comparison) is Correctness.RIGHT for comparison in visible)
            outcome, message = why_not(check.gradient, results, seen, right_at_home, self.facts)
        elif not self._holds(check, results):
            outcome, share, message = "failed", 0.0, f"{check.gradient} does not meet a further condition of its check."
        elif decided.reason == "invisible" and all(round_.step is None for round_ in evidence):
            message = not_tried(check.gradient, results)
        elif decided.reason == "invisible" and results.submission.ends_with_others(check.gradient):
            message = (
                f"{check.gradient} looks right on this loss, which cannot show every mistake here. One statement "
                "assigns it together with others, so it could not be tested with other upstream gradients: give it a "
                "statement of its own."
            )
        diagnosis = None
        if decided.outcome != "passed" and not (outcome == "partial" and message):
            diagnosis = self._diagnosis(check, outcome, results, decided, marks)
            # a diagnosis says more than the message
            message = "" if diagnosis else message
        return Verdict(check.id, check.gradient, outcome, share * check.points, check.points, seen, diagnosis, message)

    def _diagnosis(
        self, check: Check, outcome: Outcome, results: PassResults, decided: Mark, marks: Sequence[Mark]
    ) -> Diagnosis | None:
        """The mistake in a gradient that is not right, if it is certain."""
        if outcome not in ("failed", "partial", "missing"):
            return None
        strange = self.diagnostician.strange(check.gradient, results)
        return strange or self.diagnostician.wrong(check.gradient, decided, marks, results)

    def _holds(self, check: Check, results: PassResults) -> bool:
        """Whether the check's other assertions hold in every helped run; on the answer as written if it has none."""
        for round_ in rounds(self.passes):
            # each answer with the references of its own pass: the passes have other numbers
            answers = [
                (round_[kind], value)
                for kind in ("helped", "as written")
                for value in results.tensors(round_[kind], check.gradient)
                if value is not None
            ]
            if answers and self.checker.compare(check, answers[0][1], answers[0][0])[1] is not None:
                return False
        return True

    def note(
        self, gradient: str, failed: Sequence[str], evidence: Sequence[Evidence], results: PassResults
    ) -> Diagnosis | None:
        """A note on a gradient that passed, while other gradients ``failed``."""
        note = self.diagnostician.right(gradient, [round_.step for round_ in evidence], results)
        return note or self.diagnostician.carried(gradient, failed, results)


def _seen(visible: Sequence[Comparison | None], evidence: Sequence[Evidence], decided: Mark) -> Comparison | None:
    """The comparison that a verdict shows: the one on the notebook's own data if it agrees with the verdict."""
    candidates = [*visible]
    for round_ in evidence:
        candidates += [*round_.as_written, round_.helped, round_.step, round_.step_against_true]
    if decided.reason == "invisible":
        candidates = [round_.step for round_ in evidence] + candidates
    expected = (
        Correctness.RIGHT
        if decided.outcome == "passed"
        else Correctness.RESHAPED
        if decided.reshaped
        else Correctness.WRONG
    )
    comparisons = [comparison for comparison in candidates if comparison is not None]
    fitting = (comparison for comparison in comparisons if correctness_of(comparison) is expected)
    return next(fitting, comparisons[0] if comparisons else None)
