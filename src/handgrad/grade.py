"""Grade one submission: from its cells to a report. Joins the other modules; reads and writes no file."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import torch

from handgrad import __version__, cells
from handgrad.compare import compare, scale_of
from handgrad.diagnose import diagnose
from handgrad.errors import ExerciseError
from handgrad.exercise import Check, Exercise, closest
from handgrad.marking import Evidence, Mark, Policy, mark, value_of, worst
from handgrad.passes import Pass, plan
from handgrad.reference import Facts, Reference
from handgrad.report import Comparison, Diagnosis, Outcome, Report, Verdict
from handgrad.sandbox import Answer, Death, Limits, PassResult, Run, Sandbox, State
from handgrad.student import recording
from handgrad.submission import Submission

__all__ = ["Grader", "Graded"]

PRELUDE = "import handgrad.student as _student; _student.silence(); del _student"
"""Runs before the locked cells in the sandbox: there is nothing that ``cmp`` could compare with."""

ATTEMPTS = 4
"""How often a pass is run at most: once, and three times more without a cell that ended its process."""


@dataclass(frozen=True)
class Graded:
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
    answers: Mapping[str, Mapping[str, "Answers"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answers:
    """The answers for one gradient in one pass: at its stub's end and at the notebook's end."""

    at_stub: Answer | None = None
    at_end: Answer | None = None

    def tensors(self) -> tuple[torch.Tensor | None, ...]:
        """The two values; None where there is no tensor."""
        return tuple(answer.value if answer else None for answer in (self.at_stub, self.at_end))


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

    Raises
    ------
    ExerciseError
        The exercise's own cells raise, or a check compares what is not there.
    SandboxError
        The warm process cannot be started.
    """

    def __init__(
        self,
        exercise: Exercise,
        seeds: Sequence[int],
        *,
        sizes: Sequence[Mapping[str, Any]] = (),
        policy: Policy | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.exercise = exercise
        self.policy = policy or Policy()
        self.limits = limits or Limits()
        self.passes = plan(seeds, sizes)
        self._checks = {check.id: cells.CompiledCell(check.source, f"<{check.id}>") for check in exercise.checks}

    def __enter__(self) -> Self:
        states = [State(one.name, (PRELUDE, *self.exercise.setup(one.parameters))) for one in self.passes]
        with ExitStack() as stack:
            # the warm process runs the locked cells while this one computes the references
            self.sandbox = stack.enter_context(Sandbox(states, self.exercise.directory, self.limits))
            self.references = {one.name: Reference.of(self.exercise, one.parameters) for one in self.passes}
            self.facts = Facts.of(self.references.values())
            self._prove_checks()
            self.sandbox.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def grade(self, submission: Submission) -> Graded:
        """Run the passes of ``submission`` and mark every gradient.

        Raises
        ------
        SandboxError
            The grader's own processes failed: the submission is not graded.
        """
        started = time.monotonic()
        work = _Passes(self, submission)
        work.run()
        evidence = {
            stub: [self._evidence(round_passes, stub, work) for round_passes in _rounds(self.passes)]
            for stub in self.exercise.stubs
        }
        with cells.captured():
            verdicts = tuple(self._verdict(check, work, evidence[check.gradient]) for check in self.exercise.checks)
        report = Report(
            assignment=self.exercise.name,
            notebook=self.exercise.name,
            outcome="graded",
            handgrad=__version__,
            isolation=self.sandbox.isolation,
            seconds=time.monotonic() - started,
            checks=verdicts,
        )
        return Graded(report, work.outputs(), evidence, work.answers)

    def compare(
        self, check: Check, answer: torch.Tensor | None, one: Pass, against: Literal["true", "step"]
    ) -> tuple[Comparison | None, cells.CellError | None]:
        """Run ``check`` on ``answer`` against the references of a pass; its comparison, and what the check raised."""
        if answer is None:
            return None, None
        reference = self.references[one.name]
        expected = reference.gradients if against == "true" else reference.step.gradients
        namespace = {**reference.namespace, **{f"d{name}": value for name, value in expected.items()}}
        namespace[check.gradient] = answer
        with recording() as recorder:
            error = cells.run_cell(self._checks[check.id], namespace)
        comparisons = []
        for name, compared in recorder.calls:
            if isinstance(compared, torch.Tensor):
                scale = scale_of(reference.step.gradients[name]) if name in self.facts.zero else None
                comparisons.append(compare(compared.detach(), expected[name], scale, self.policy.tolerance))
        return min(comparisons, key=value_of, default=None), error

    def _prove_checks(self) -> None:
        """Every check must compare what the references know, and hold on them."""
        one = self.passes[-1]
        with cells.captured():
            for check in self.exercise.checks:
                known = self.references[one.name].gradients
                with recording() as recorder:
                    namespace = {**self.references[one.name].namespace, **{f"d{name}": g for name, g in known.items()}}
                    error = cells.run_cell(self._checks[check.id], namespace)
                if error:
                    raise ExerciseError(
                        f"{self.exercise.name}: {check.id} does not hold on the right gradients: "
                        f"{error.name}: {error.message}"
                    )
                for name, _ in recorder.calls:
                    if name not in known:
                        raise ExerciseError(
                            f"{self.exercise.name}: {check.id} compares {name!r}, which has no stub."
                            + closest(name, known)
                        )

    def _evidence(self, passes: Mapping[str, Pass], gradient: str, work: "_Passes") -> Evidence:
        check = self.exercise.check_of(gradient)
        tensor = gradient.removeprefix("d")
        written, step, helped = passes["as written"], passes["step"], passes["helped"]

        def comparison(one: Pass, against: Literal["true", "step"] = "true") -> tuple[Comparison | None, ...]:
            return tuple(self.compare(check, value, one, against)[0] for value in work.tensors(one, gradient))

        return Evidence(
            as_written=comparison(written),
            step=comparison(step, "step")[0],
            helped=comparison(helped)[0],
            step_against_true=comparison(step)[0],
            zero=tensor in self.facts.zero,
            blind=tensor in self.facts.blind,
        )

    def _verdict(self, check: Check, work: "_Passes", evidence: Sequence[Evidence]) -> Verdict:
        gradient = check.gradient
        decided = worst(mark(one, self.policy) for one in evidence)
        seen = self._seen(check, work, evidence, decided)
        found: Diagnosis | None = None
        outcome: Outcome = decided.outcome
        message = ""
        share = decided.share
        if decided.outcome == "failed":
            outcome, message = work.why_not(gradient, seen)
        elif not self._holds(check, work):
            outcome, share, message = "failed", 0.0, f"{gradient} does not meet a further condition of its check."
        if outcome in ("failed", "partial"):
            found = diagnose(gradient, decided, seen, self.facts)
        return Verdict(check.id, gradient, outcome, share * check.points, check.points, seen, found, message)

    def _seen(self, check: Check, work: "_Passes", evidence: Sequence[Evidence], decided: Mark) -> Comparison | None:
        """The comparison that the verdict shows: of the notebook's own data where it says the same as the verdict."""
        visible = self.passes[0]
        candidates = [self.compare(check, value, visible, "true")[0] for value in work.tensors(visible, check.gradient)]
        for one in evidence:
            if decided.reason == "invisible":
                candidates.insert(0, one.step)
            candidates += [*one.as_written, one.helped, one.step, one.step_against_true]
        wanted = 2 if decided.outcome == "passed" else 1 if decided.reshaped else 0
        there = [one for one in candidates if one is not None]
        return next((one for one in there if value_of(one) == wanted), there[0] if there else None)

    def _holds(self, check: Check, work: "_Passes") -> bool:
        """Whether the check's other assertions hold in every helped run; without an answer there, as written."""
        for passes in _rounds(self.passes):
            value = next(
                (
                    value
                    for kind in ("helped", "as written")
                    for value in work.tensors(passes[kind], check.gradient)
                    if value is not None
                ),
                None,
            )
            if self.compare(check, value, passes["helped"], "true")[1] is not None:
                return False
        return True


def _rounds(passes: Sequence[Pass]) -> list[Mapping[str, Pass]]:
    """The hidden passes, round by round, by kind."""
    rounds: dict[int, dict[str, Pass]] = {}
    for one in passes:
        if one.kind != "visible":
            rounds.setdefault(one.round, {})[one.kind] = one
    return list(rounds.values())


class _Passes:
    """The passes of one submission: runs them in children, and keeps what came back."""

    def __init__(self, grader: Grader, submission: Submission) -> None:
        self.grader, self.submission = grader, submission
        self.results: dict[str, PassResult] = {}
        self.deaths: dict[int, Death] = {}
        self.answers: dict[str, dict[str, Answers]] = {}
        self.out_of_time = False
        self._stubs = submission.stub_indices()

    def run(self) -> None:
        """Run every pass, in order."""
        end = time.monotonic() + self.grader.limits.submission_seconds
        sources = [step.source for step in self.submission.steps]
        with ExitStack() as stack:
            child = None
            for one in self.grader.passes:
                for _ in range(ATTEMPTS):
                    if time.monotonic() >= end:
                        self.out_of_time = True
                        return
                    if child is None:
                        child = stack.enter_context(self.grader.sandbox.child(sources))
                    result = child.run(self._spec(one), self._reference(one), end - time.monotonic())
                    self._keep(one, result)
                    if result.death is None:
                        break
                    child = None
                    if result.death.index is None:
                        break
                    self.deaths[result.death.index] = result.death

    def _spec(self, one: Pass) -> Run:
        grader = self.grader
        helping = one.kind in ("step", "helped")
        return Run(
            state=one.name,
            cells=tuple(index for index in range(len(self.submission.steps)) if index not in self.deaths),
            collect={index: (gradient,) for gradient, index in self._stubs.items()},
            at_end=() if helping else grader.exercise.stubs,
            help=helping,
            outputs=one.kind == "visible",
        )

    def _reference(self, one: Pass) -> Any:
        reference = self.grader.references[one.name]
        values = reference.step.upstream if one.kind == "step" else reference.gradients
        return lambda gradient: values[gradient.removeprefix("d")]

    def _keep(self, one: Pass, result: PassResult) -> None:
        self.results[one.name] = result
        kept = self.answers.setdefault(one.name, {})
        for gradient in self.grader.exercise.stubs:
            cell = result.cells.get(self._stubs.get(gradient, -1))
            before = kept.get(gradient, Answers())
            kept[gradient] = Answers(
                cell.answers.get(gradient) if cell else before.at_stub,
                result.at_end.get(gradient, before.at_end),
            )

    def tensors(self, one: Pass, gradient: str) -> tuple[torch.Tensor | None, ...]:
        """The answers in one pass: at the stub's end, at the notebook's end."""
        return self.answers.get(one.name, {}).get(gradient, Answers()).tensors()

    def outputs(self) -> dict[int, Sequence[Mapping[str, Any]]]:
        """What the cells showed in the visible pass, by their place in the notebook."""
        visible = self.results.get(self.grader.passes[0].name, PassResult())
        shown: dict[int, Sequence[Mapping[str, Any]]] = {}
        for index, step in enumerate(self.submission.steps):
            if step.position is None:
                continue
            cell = visible.cells.get(index)
            outputs = list(cell.outputs) if cell else []
            if cell and cell.error:
                outputs.append(_error_output(cell.error.name, cell.error.message, cell.error.traceback))
            if index in self.deaths:
                sentence = death_sentence(self.deaths[index], self.grader.limits)
                outputs.append(_error_output(self.deaths[index].reason, sentence, (sentence,)))
            shown[step.position] = outputs
        return shown

    def why_not(self, gradient: str, seen: Comparison | None) -> tuple[Outcome, str]:
        """Outcome and sentence for a gradient that the rule did not accept."""
        index = self._stubs.get(gradient)
        tensor = gradient.removeprefix("d")
        if index is None:
            return "missing", f"The cell of {gradient} is not in the notebook."
        if index in self.deaths:
            return self.deaths[index].reason, death_sentence(self.deaths[index], self.grader.limits)
        answers = [answer for kept in self.answers.values() for answer in _both(kept.get(gradient, Answers()))]
        if any(answer.kind == "tensor" for answer in answers):
            return "failed", self._wrong(gradient, tensor, seen)
        if strange := [answer for answer in answers if answer.kind in ("other", "too-large")]:
            if strange[0].kind == "too-large":
                return "failed", f"{gradient} is far larger than {tensor}: a gradient has the shape of its tensor."
            return (
                "failed",
                f"{gradient} is not a tensor but a {strange[0].type}: a gradient is a tensor like {tensor}.",
            )
        if self.out_of_time:
            seconds = self.grader.limits.submission_seconds
            return "timeout", f"The notebook used up its {seconds:g} seconds before {gradient} could be graded."
        errors = [cell.error for result in self.results.values() if (cell := result.cells.get(index)) and cell.error]
        if errors:
            visible = self.results[self.grader.passes[0].name].cells.get(index)
            if any(_out_of_memory(error) for error in errors):
                limit = self.grader.limits.memory_mb
                return "memory", f"The cell of {gradient} asks for more than the {limit} MB that a notebook may use."
            if visible and visible.error:
                return "error", f"The cell of {gradient} raises {visible.error.name}: {visible.error.message}"
            return "error", f"The cell of {gradient} raises {errors[0].name} once the gradients before it are right."
        if all(self.results[name].death for name in self.results):
            death = next(iter(self.results.values())).death
            assert death is not None
            return death.reason, death_sentence(death, self.grader.limits)
        return "missing", f"{gradient} is not written yet."

    def _wrong(self, gradient: str, tensor: str, seen: Comparison | None) -> str:
        visible = self.tensors(self.grader.passes[0], gradient)
        check = self.grader.exercise.check_of(gradient)
        comparisons = [self.grader.compare(check, value, self.grader.passes[0], "true")[0] for value in visible]
        if any(one is not None and one.approximate for one in comparisons) and tensor not in self.grader.facts.blind:
            return (
                f"{gradient} is right on the data of this notebook but not on fresh data: "
                "is something in it copied or written as a constant?"
            )
        if seen is not None and seen.shape != seen.expected_shape:
            return f"{gradient} has shape {seen.shape}, but {tensor} has {seen.expected_shape}, and the values differ."
        return f"{gradient} is not the gradient of the loss with respect to {tensor}."


def _both(answers: Answers) -> list[Answer]:
    return [answer for answer in (answers.at_stub, answers.at_end) if answer is not None]


def _out_of_memory(error: cells.CellError) -> bool:
    return error.name == "MemoryError" or "can't allocate memory" in error.message


def _error_output(name: str, message: str, traceback: Sequence[str]) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": list(traceback)}


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
