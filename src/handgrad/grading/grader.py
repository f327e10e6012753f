"""Grade one submission: from its cells to a report. Joins the other modules; reads and writes no file."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, Self

import torch

from handgrad import __version__
from handgrad.errors import IsolationError
from handgrad.exercise.exercise import Check, Exercise
from handgrad.exercise.reference import ForwardFacts, Reference, forward_graph
from handgrad.gradients.comparison import is_rounded
from handgrad.gradients.shared_memory import share_data
from handgrad.grading.check_runner import Checker
from handgrad.grading.diagnosis import (
    Diagnostician,
    copies_autograd,
    death_sentence,
    not_tried,
    noticed,
    reaches_inside,
    why_not,
)
from handgrad.grading.marking import Correctness, Evidence, Mark, Policy, correctness_of, mark, worst
from handgrad.grading.passes import Pass, plan, rounds
from handgrad.grading.run_passes import AnswerPair, PassResults, run_passes
from handgrad.grading.solution_values import passes_of
from handgrad.grading.values import Values
from handgrad.notebook import execution
from handgrad.report.records import Comparison, Diagnosis, Outcome, Report, Verdict
from handgrad.sandbox.fresh_sandbox import FreshSandbox
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import ParameterSet
from handgrad.sandbox.warm_process import WarmProcess, why_no_isolation
from handgrad.sandbox.warm_sandbox import WarmSandbox
from handgrad.student.recorder import silence
from handgrad.submission.forbidden_names import ForbiddenUse, find_forbidden
from handgrad.submission.submission import Submission

__all__ = ["Grader", "GradingResult"]

PRELUDE = f"from {silence.__module__} import silence; silence(); del silence"
"""Runs before the locked cells in the sandbox: there is nothing that ``cmp`` could compare with."""


@dataclass(frozen=True)
class GradingResult:
    """A report and what it rests on.

    Attributes
    ----------
    report
        The verdicts.
    outputs
        What each cell of the notebook showed in the visible pass, by its place in the notebook; nbformat's shape.
    evidence
        For each gradient, the comparisons of every round of hidden passes.
    answers
        What came back, by pass and gradient.
    """

    report: Report
    outputs: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    evidence: Mapping[str, Sequence[Evidence]] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, AnswerPair]] = field(default_factory=dict)


class Grader:
    """Grades the submissions of one exercise: holds its references and a warm sandbox.

    A context manager; entering it runs the exercise's locked cells once for each parameter set.

    Parameters
    ----------
    exercise
        What is graded.
    seeds
        The course's hidden seeds: one round of hidden passes for each.
    sizes
        Further parameters of the hidden passes (``{"batch_size": 16}``): one round for each, with the first seed.
    policy, limits
        Marks for what is partly right; time and memory of a submission.
    trust
        Whether to grade also where this machine isolates nothing: for code that is trusted.
    isolation
        ``best`` is the best that this machine offers; with ``none`` it is as on a machine that offers nothing.
    process
        A warm process that has been started already; one is started unless given.

    Raises
    ------
    ExerciseError
        The exercise's own cells raise, or a check compares what is not there.
    SandboxError
        The warm process cannot be started.
    IsolationError
        Nothing isolates a submission, and it is not trusted.
    """

    def __init__(
        self,
        exercise: Exercise,
        seeds: Sequence[int],
        *,
        sizes: Sequence[Mapping[str, Any]] = (),
        policy: Policy | None = None,
        limits: Limits | None = None,
        trust: bool = False,
        isolation: Literal["best", "none"] = "best",
        process: WarmProcess | None = None,
    ) -> None:
        self.exercise = exercise
        self.trust = trust
        self.isolation = isolation
        self._process = process
        self.policy = policy or Policy()
        self.limits = (limits or Limits()).with_visible(exercise.training.seconds)
        planned = plan(seeds, sizes, exercise.training.hidden[0])
        self.passes = (planned if exercise.tensors else planned[:1]) + passes_of(exercise, seeds, sizes)

    def __enter__(self) -> Self:
        states = [ParameterSet(one.name, (PRELUDE, *self.exercise.setup(one.parameters))) for one in self.passes]
        with ExitStack() as stack:
            # the sandbox runs the locked cells while this process computes the references
            self.sandbox = self._sandbox(states)
            stack.enter_context(self.sandbox)
            self._prepare()
            try:
                self.sandbox.wait_until_ready()
            except IsolationError:
                # the layers were tried and do not hold
                if not self.trust:
                    raise
                self.sandbox.close()
                self.sandbox = FreshSandbox(states, self.exercise.directory, self.limits)
                stack.enter_context(self.sandbox)
                self.sandbox.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def _prepare(self) -> None:
        """Work out the references, and prove that the exercise can be graded."""
        passes = [one for one in self.passes if one.kind != "values"]
        self.references: dict[str, Reference] = {}
        for one in passes:
            self.references[one.name] = Reference.of(self.exercise, one.parameters)
            share_data(self.references[one.name].namespace, self.references[passes[0].name].namespace)
        self.facts = ForwardFacts.of(self.references.values(), self.exercise.setup({}))
        self.graph = forward_graph(self.references[passes[0].name], self.facts.consumers)
        self.diagnostician = Diagnostician(passes, self.references, self.facts, self.policy.tolerance)
        self.checker = Checker(self.exercise, passes, self.references, self.facts, self.policy.tolerance)
        self.checker.validate()
        namespace = self.references[passes[0].name].namespace
        self.values = Values(self.exercise, self.passes[len(passes) :], namespace, self.policy)
        self.values.validate()

    def _sandbox(self, states: Sequence[ParameterSet]) -> WarmSandbox | FreshSandbox:
        """What gives children on this machine; not yet entered."""
        reason = why_no_isolation() if self.isolation == "best" else "none was asked for"
        if reason and not self.trust:
            raise IsolationError.because(reason)
        if reason:
            return FreshSandbox(states, self.exercise.directory, self.limits)
        return WarmSandbox(states, self.exercise.directory, self.limits, process=self._process)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def grade(self, submission: Submission) -> GradingResult:
        """Run the passes of ``submission`` and mark every gradient.

        Raises
        ------
        SandboxError
            The grader's own processes failed: the submission is not graded.
        """
        started = time.monotonic()
        values = {check.gradient for check in self.exercise.values}
        given = self.exercise.given_gradients
        self.checker.forget()
        collected = run_passes(
            self.sandbox, submission, self.passes, self._help, givens=given, values=values, settled=self._settled
        )
        sources = [cell.source for cell in submission.cells]
        reached = find_forbidden(sources, self.exercise.tensors, self.exercise.setup({}), given.values())
        with execution.captured():
            evidence = {check.gradient: self._evidence(check, collected) for check in self.exercise.checks}
            verdicts = tuple(
                self._verdict(check, collected, evidence[check.gradient], reached) for check in self.exercise.checks
            )
            verdicts = self._noted(verdicts, collected, evidence)
        report = Report(
            assignment=self.exercise.name,
            notebook=self.exercise.name,
            outcome="graded",
            handgrad=__version__,
            isolation=self.sandbox.isolation,
            message=" ".join(one for one in (submission.note, noticed(submission, reached)) if one),
            seconds=time.monotonic() - started,
            checks=verdicts,
        )
        return GradingResult(report, _outputs(collected), evidence, collected.answers)

    def printed(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """What the locked cells showed with the notebook's own parameters, by grade_id."""
        # the first cell is the prelude; no parameters are set in the visible pass, so the others are the locked ones
        shown = self.sandbox.printed[self.passes[0].name][1:]
        return dict(zip(self.exercise.setup_names(), shown, strict=True))

    def _help(self, one: Pass, gradient: str) -> torch.Tensor:
        """The gradient that a pass gives, or that takes the place of an answer in it."""
        reference = self.references[one.name]
        values = reference.step.upstream if one.kind == "step" else reference.gradients
        return values[self.exercise.tensor_of[gradient]]

    def _settled(self, collected: PassResults) -> bool:
        """Whether every gradient is right in every step, so that the other hidden passes change no mark and no word."""
        if collected.deaths or collected.out_of_time or any(one.death for one in collected.results.values()):
            return False
        with execution.captured():
            return all(self._is_settled(check, collected) for check in self.exercise.checks if not check.is_value)

    def _is_settled(self, check: Check, collected: PassResults) -> bool:
        """Whether the other hidden passes have nothing to say about a gradient, neither its mark nor what is noted."""
        at_stub, at_end = collected.answers[self.passes[0].name][check.gradient].both()
        # a cell that changes the answer of another is found by what both passes without help say
        if at_stub is not at_end or not check.only_compares:
            return False
        steps = [self._in_step(check, one_round["step"], collected) for one_round in rounds(self.passes)]
        # what is further off than rounding may be a forgotten eps, which the helped pass tells
        return all(one is not None and correctness_of(one) is Correctness.RIGHT and is_rounded(one) for one in steps)

    def _in_step(self, check: Check, one: Pass, collected: PassResults) -> Comparison | None:
        """The comparison of the value at the stub's end with the step gradient."""
        return self.checker.compare(check, collected.tensors(one, check.gradient)[0], one, "step")[0]

    def _evidence(self, check: Check, collected: PassResults) -> list[Evidence]:
        """What the hidden passes say about one answer, round by round."""
        if check.is_value:
            return self.values.evidence(check, collected)
        return [self._of_round(check, one_round, collected) for one_round in rounds(self.passes)]

    def _of_round(self, check: Check, one_round: Mapping[str, Pass], collected: PassResults) -> Evidence:
        tensor = self.exercise.tensors[check.gradient]

        def comparisons(kind: str, against: Literal["true", "step"] = "true") -> tuple[Comparison | None, ...]:
            one = one_round[kind]
            return tuple(
                self.checker.compare(check, value, one, against)[0] for value in collected.tensors(one, check.gradient)
            )

        step = self._in_step(check, one_round["step"], collected)
        return Evidence(
            as_written=comparisons("as written") if one_round["as written"].name in collected.results else (),
            step=step,
            helped=comparisons("helped")[0],
            # whether it is the loss's own gradient is asked only where the step is not right
            step_against_true=None if correctness_of(step) is Correctness.RIGHT else comparisons("step")[0],
            zero=tensor in self.facts.zero,
            blind=tensor in self.facts.blind,
        )

    def _verdict(
        self, check: Check, collected: PassResults, evidence: Sequence[Evidence], reached: Sequence[ForbiddenUse]
    ) -> Verdict:
        own = reached[collected.submission.stub_indices()[check.gradient]]
        verdict = (self.values.verdict if check.is_value else self._judged)(check, collected, evidence)
        if internals := own.internals or (self._by_helpers(collected.submission, reached) if check.is_value else ()):
            message = reaches_inside(check.gradient, internals)
            return replace(verdict, outcome="tampered", points=0.0, diagnosis=None, message=message)
        copies = own.autograd or any(check.gradient in one.copied for one in reached)
        if copies and not check.is_value and verdict.outcome in ("failed", "error"):
            return replace(verdict, diagnosis=copies_autograd(check.gradient, self.facts))
        return verdict

    def _by_helpers(self, submission: Submission, reached: Sequence[ForbiddenUse]) -> Sequence[str]:
        """What the stubs reach for that answer nothing themselves: what they make goes into values."""
        helpers = {stub for stub, answers in self.exercise.answers.items() if not answers}
        places = {place for place, name in enumerate(submission.ids) if name in helpers}
        cells = zip(submission.cells, reached, strict=True)
        return [name for cell, one in cells if cell.position in places for name in one.internals]

    def _judged(self, check: Check, collected: PassResults, evidence: Sequence[Evidence]) -> Verdict:
        """The verdict on a gradient, by its values alone."""
        marks = [mark(one, self.policy) for one in evidence]
        decided = worst(marks)
        visible = [
            self.checker.compare(check, value, self.passes[0])[0]
            for value in collected.tensors(self.passes[0], check.gradient)
        ]
        seen = _seen(visible, evidence, decided)
        outcome: Outcome = decided.outcome
        message, share = "", decided.share
        if decided.outcome == "failed":
            right_at_home = any(correctness_of(one) is Correctness.RIGHT for one in visible)
            outcome, message = why_not(check.gradient, collected, seen, right_at_home, self.facts)
        elif not self._holds(check, collected):
            outcome, share, message = "failed", 0.0, f"{check.gradient} does not meet a further condition of its check."
        elif decided.reason == "invisible" and all(one.step is None for one in evidence):
            message = not_tried(check.gradient, collected)
        elif decided.reason == "invisible" and collected.submission.ends_with_others(check.gradient):
            message = (
                f"{check.gradient} looks right on this loss, which cannot show every mistake here; one statement "
                "assigns it and others, so it could not be tried with other gradients from above: give it its own."
            )
        found = None
        if decided.outcome != "passed" and not (outcome == "partial" and message):
            found = self._diagnosis(check, outcome, collected, decided, marks)
            # what is known of the mistake says more than that there is one
            message = "" if found else message
        return Verdict(check.id, check.gradient, outcome, share * check.points, check.points, seen, found, message)

    def _diagnosis(
        self, check: Check, outcome: Outcome, collected: PassResults, decided: Mark, marks: Sequence[Mark]
    ) -> Diagnosis | None:
        """The mistake in a gradient that is not right, where it is certain."""
        if outcome not in ("failed", "partial", "missing"):
            return None
        strange = self.diagnostician.strange(check.gradient, collected)
        return strange or self.diagnostician.wrong(check.gradient, decided, marks, collected)

    def _noted(
        self, verdicts: Sequence[Verdict], collected: PassResults, evidence: Mapping[str, Sequence[Evidence]]
    ) -> tuple[Verdict, ...]:
        """The verdicts, with what is worth knowing of those that passed."""
        gradients = self.exercise.tensors
        failed = [one.gradient for one in verdicts if one.outcome != "passed" and one.gradient in gradients]
        noted = []
        for one in verdicts:
            note = None
            if one.outcome == "passed" and one.gradient in gradients:
                steps = [seen.step for seen in evidence[one.gradient]]
                note = self.diagnostician.right(one.gradient, steps, collected)
                note = note or self.diagnostician.carried(one.gradient, failed, collected)
            noted.append(replace(one, diagnosis=note) if note else one)
        return tuple(noted)

    def _holds(self, check: Check, collected: PassResults) -> bool:
        """Whether the check's other assertions hold in every helped run; on the answer as written where it has none."""
        for one_round in rounds(self.passes):
            # each answer with the references of its own pass: the passes have other numbers
            answers = [
                (one_round[kind], value)
                for kind in ("helped", "as written")
                for value in collected.tensors(one_round[kind], check.gradient)
                if value is not None
            ]
            if answers and self.checker.compare(check, answers[0][1], answers[0][0])[1] is not None:
                return False
        return True


def _seen(visible: Sequence[Comparison | None], evidence: Sequence[Evidence], decided: Mark) -> Comparison | None:
    """The comparison that a verdict shows: of the notebook's own data where that says the same as the verdict."""
    candidates = [*visible]
    for one in evidence:
        candidates += [*one.as_written, one.helped, one.step, one.step_against_true]
    if decided.reason == "invisible":
        candidates = [one.step for one in evidence] + candidates
    wanted = (
        Correctness.RIGHT
        if decided.outcome == "passed"
        else Correctness.RESHAPED
        if decided.reshaped
        else Correctness.WRONG
    )
    there = [one for one in candidates if one is not None]
    return next((one for one in there if correctness_of(one) is wanted), there[0] if there else None)


def _outputs(collected: PassResults) -> dict[int, Sequence[Mapping[str, Any]]]:
    """What the cells showed in the visible pass, by their place in the notebook."""
    visible = collected.results.get(collected.passes[0].name)
    shown: dict[int, Sequence[Mapping[str, Any]]] = {}
    for index, cell in enumerate(collected.submission.cells):
        if cell.position is None:
            continue
        result = visible.cells.get(index) if visible else None
        outputs = list(result.outputs) if result else []
        if result and result.error:
            outputs.append(_error_output(result.error.name, result.error.message, result.error.traceback))
        if index in collected.deaths:
            sentence = death_sentence(collected.deaths[index], collected.limits_of(index))
            outputs.append(_error_output(collected.deaths[index].reason, sentence, (sentence,)))
        # a cell that was cut shows what its pieces show
        shown[cell.position] = [*shown.get(cell.position, ()), *outputs]
    return shown


def _error_output(name: str, message: str, traceback: Sequence[str]) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": list(traceback)}
