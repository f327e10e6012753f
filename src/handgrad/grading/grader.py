"""Grade one submission: from its cells to a report. Joins the other modules; reads and writes no file."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import torch

from handgrad import __version__
from handgrad.errors import ExerciseError, SandboxError, closest
from handgrad.exercise.exercise import Check, Exercise
from handgrad.exercise.reference import ForwardFacts, forward_graph
from handgrad.gradients.mistakes.catalogue import diagnosis_of
from handgrad.gradients.mistakes.mistake import listed
from handgrad.gradients.shared_memory import share_data
from handgrad.grading.diagnosis import death_sentence, noticed
from handgrad.grading.gradient_checks import GradientChecks
from handgrad.grading.hidden_states import HiddenStates
from handgrad.grading.marking import Evidence
from handgrad.grading.passes import Pass, rounds
from handgrad.grading.plain_checks import EXACT, NOT_PLAIN, WRONG_ELSEWHERE, PlainChecks, quoted
from handgrad.grading.redrawn_gradients import Redrawing
from handgrad.grading.run_passes import AnswerPair, PassResults, run_of, run_passes
from handgrad.grading.settings import GradingSettings
from handgrad.grading.solution_values import passes_of
from handgrad.grading.value_checks import ValueChecks
from handgrad.notebook import execution
from handgrad.report.records import Diagnosis, Report, Verdict
from handgrad.sandbox.messages import ParameterSet
from handgrad.sandbox.sandbox import Sandbox
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.student.check import silence
from handgrad.submission.forbidden_names import find_forbidden
from handgrad.submission.plain_code import POWER, REAL, PlainCell, real
from handgrad.submission.submission import Submission

__all__ = ["Grader", "GradingResult"]

PRELUDE_OF_PLAIN = (
    f"import torch; torch.set_default_dtype(torch.float64)\n"
    f"from {real.__module__} import real as {REAL}, real_power as {POWER}"
)
"""Runs before the locked cells of the pass over the plain statements."""
PRELUDE = f"from {silence.__module__} import silence; silence(); del silence"
"""Runs before the locked cells in the sandbox, where ``cmp`` has nothing to compare with."""


@dataclass(frozen=True)
class GradingResult:
    """A report, and the outputs and answers that it is made from."""

    report: Report
    outputs: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """The outputs of each cell in the visible pass, by its position in the notebook, in nbformat's format."""
    answers: Mapping[str, Mapping[str, AnswerPair]] = field(default_factory=dict)
    """The answers by pass and gradient."""


class Grader:
    """Grades the submissions of one exercise: holds its references and a warm sandbox.

    A context manager; entering it runs the exercise's locked cells once for each parameter set.

    There is a round of hidden passes for each of the hidden ``seeds``. A warm ``process`` that has been started
    already (default: one is started) is closed on exit, or if the exercise is refused.

    Raises
    ------
    ExerciseError
        The exercise's own cells raise, or a hidden pass sets an unknown parameter, or it cannot be graded for another
        reason (see :class:`.GradientChecks`), or it is not trusted: its cells run in this process
        (:class:`.ConfinedGrader` grades against it).
    SandboxError
        The warm process cannot be started.
    IsolationError
        There is no isolation on this machine, and submissions are not trusted.
    """

    def __init__(
        self,
        exercise: Exercise,
        seeds: Sequence[int],
        settings: GradingSettings | None = None,
        process: WarmProcess | None = None,
        sandbox: Callable[..., Any] = Sandbox,
    ) -> None:
        try:
            self._plan(exercise, seeds, settings or GradingSettings(), partial(sandbox, process=process))
        except BaseException:
            if process:
                process.close()
            raise

    def _plan(
        self, exercise: Exercise, seeds: Sequence[int], settings: GradingSettings, sandbox: Callable[..., Any]
    ) -> None:
        if not exercise.is_trusted:
            raise ExerciseError(f"the exercise {exercise.name} in {exercise.directory} is not trusted.")
        self.exercise, self.seeds = exercise, seeds
        self.settings = replace(settings, sizes=(*settings.sizes, *exercise.training.sizes))
        self.states = HiddenStates.of(exercise, seeds, self.settings.sizes, exercise.training.hidden[0])
        self.plain: PlainChecks | None = None
        """The checks over the plain statements, for the submission at work."""
        self.passes = (*self.states.passes, *passes_of(exercise, seeds, self.settings.sizes))
        known = self.states.references[self.passes[0].name].namespace
        for parameter in {name for pass_ in self.passes for name in pass_.parameters} - known.keys():
            raise ExerciseError(
                f"{exercise.name}: a hidden pass sets {parameter!r}, which the parameters cell does not."
                + closest(parameter, known)
            )
        sets = [ParameterSet(pass_.name, (PRELUDE, *self._setup(pass_))) for pass_ in self.passes]
        if plain := self.states.plain:
            sets.append(ParameterSet(plain.pass_.name, (PRELUDE, PRELUDE_OF_PLAIN, *plain.setup)))
        self.sandbox = sandbox(
            sets,
            exercise.directory,
            self.settings.limits.with_visible(exercise.training.seconds),
            isolation=self.settings.isolation,
            trust=self.settings.trust,
        )

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # the sandbox runs the locked cells while this process computes the references
            stack.enter_context(self.sandbox)
            self._prepare()
            self.sandbox.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def _setup(self, pass_: Pass) -> tuple[str, ...]:
        """The locked cells of a pass."""
        exercise = self.exercise if pass_.kind in ("visible", "values") else self.states.exercise
        return exercise.setup(pass_.parameters)

    def _prepare(self) -> None:
        """Check that the exercise can be graded."""
        passes, self.references = self.states.passes, self.states.references
        for pass_ in passes:
            share_data(self.references[pass_.name].namespace, self.references[passes[0].name].namespace)
        self.facts = ForwardFacts.of(self.references.values(), self.exercise.setup({}))
        self.graph = forward_graph(self.references[passes[0].name], self.facts.consumers)
        policy, namespace = self.settings.policy, self.references[passes[0].name].namespace
        self.gradients = GradientChecks(self.exercise, self.states, self.facts, policy)
        modules = self.settings.plain_modules
        self._plain = PlainChecks(self.exercise, self.states.plain, self.facts, modules) if self.states.plain else None
        self.values = ValueChecks(self.exercise, self.passes[len(passes) :], namespace, policy)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def grade(self, submission: Submission) -> GradingResult:
        """Run the passes of ``submission`` and mark every gradient.

        Raises
        ------
        SandboxError
            The grader's own processes failed: the submission is not graded.
        """
        started = time.monotonic()
        given = self.exercise.given_gradients
        plain: list[PlainCell] = []
        if self._plain:
            plain = self._plain.cells(submission)
            self.plain = self._plain.for_submission(submission, plain, self.seeds)
        self.gradients.begin(submission, self.plain.state if self.plain else None)
        first = (self.plain.state.pass_, plain) if self.plain else None
        results = self._run(submission, self.passes, self._help, plain=first)
        sources = [cell.source for cell in submission.cells]
        uses = find_forbidden(sources, self.exercise.tensors, self.exercise.setup({}), given.values())
        with execution.captured():
            checks = [(check, self.values if check.is_value else self.gradients) for check in self.exercise.checks]
            evidence = {check.id: grades.evidence(check, results) for check, grades in checks}
            verdicts = [grades.verdict(check, results, evidence[check.id], uses) for check, grades in checks]
            unexplained = [
                verdict.gradient
                for verdict in verdicts
                if verdict.outcome in ("failed", "partial") and verdict.diagnosis is None
                if verdict.gradient in self.exercise.tensors and self.gradients.is_wrong(verdict, evidence[verdict.id])
                # with others in its cell, an upstream gradient may be the student's own
                if not submission.ends_with_others(verdict.gradient)
            ]
        left = self.settings.limits.submission_seconds - (time.monotonic() - started)
        found = self._branches(unexplained, submission, results, left) if self.gradients.is_diagnosing else {}
        found = {**self._hidden(verdicts, unexplained), **found}
        verdicts = [
            replace(verdict, diagnosis=found[verdict.gradient], message="") if verdict.gradient in found else verdict
            for verdict in verdicts
        ]
        with execution.captured():
            wrong = [verdict.gradient for verdict in verdicts if verdict.outcome != "passed"]
            failed = [gradient for gradient in wrong if gradient in self.exercise.tensors]
            verdicts = [self._with_note(verdict, failed, evidence[verdict.id], results) for verdict in verdicts]
            verdicts = self._held(verdicts, evidence, results, plain)
        parts = self.exercise.parts
        verdicts = [replace(verdict, part=parts.get(verdict.gradient, "")) for verdict in verdicts]
        report = Report(
            assignment=self.exercise.name,
            notebook=self.exercise.name,
            outcome="graded",
            handgrad=__version__,
            isolation=self.sandbox.isolation,
            message=" ".join(note for note in (submission.note, noticed(submission, uses)) if note),
            seconds=time.monotonic() - started,
            checks=tuple(verdicts),
        )
        return GradingResult(report, _outputs(results), results.answers)

    def passing_by_round(self, submission: Submission) -> list[set[str]]:
        """For each round of hidden passes, the gradients that pass if it is the only one; nothing is held or diagnosed.

        Raises
        ------
        SandboxError
            The grader's own processes failed, or the passes took longer than the limits allow each round.
        """
        self.gradients.begin(submission)
        tried = rounds(self.passes)
        seconds = len(tried) * self.settings.limits.submission_seconds
        results = self._run(submission, self.passes, self._help, seconds)
        if results.out_of_time:
            raise SandboxError(f"the passes of {self.exercise.name} take longer than the limits allow.")
        checks = [check for check in self.exercise.checks if not check.is_value]
        with execution.captured():
            return [
                {check.gradient for check in checks if self.gradients.passes_in(check, round_, results)}
                for round_ in tried
            ]

    def _run(
        self,
        submission: Submission,
        passes: Sequence[Pass],
        reference: Callable[[Pass, str], torch.Tensor],
        seconds: float | None = None,
        plain: tuple[Pass, Sequence[PlainCell]] | None = None,
    ) -> PassResults:
        """Run some passes of a submission, after one over its plain cells.

        ``reference`` gives what replaces an answer.
        """
        exercise, tensors = self.exercise, self.references[self.passes[0].name].tensors
        scalars = [gradient for gradient, tensor in exercise.tensors.items() if not tensors[tensor].ndim]
        return run_passes(
            self.sandbox,
            submission,
            passes,
            reference,
            run_of=lambda pass_: run_of(pass_, submission, exercise, self.sandbox.limits, scalars),
            is_needed=lambda pass_, results: self._is_needed(pass_, results, plain[1] if plain else ()),
            seconds=seconds,
            plain=plain,
        )

    def _branches(
        self, gradients: Sequence[str], submission: Submission, results: PassResults, seconds: float
    ) -> Mapping[str, Diagnosis]:
        """Which branches of some wrong ``gradients`` are wrong, from further runs of at most so many ``seconds``."""
        step = next((pass_ for pass_ in self.passes if pass_.kind == "step"), None)
        # a cell that ended its process would do so again
        if step is None or not gradients or results.deaths or results.out_of_time:
            return {}
        end = time.monotonic() + seconds

        def run(upstream: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor | None] | None:
            def reference(_: Pass, gradient: str) -> torch.Tensor:
                return upstream[self.exercise.tensor_of[gradient]]

            again = self._run(submission, [step], reference, end - time.monotonic())
            if again.deaths or again.out_of_time:
                return None
            return {gradient: again.tensors(step, gradient)[0] for gradient in gradients}

        redrawing = Redrawing(
            self.references[step.name], self.facts, self.settings.policy.tolerance, self.gradients.reads, run
        )
        return redrawing.diagnoses(gradients, {name: results.tensors(step, name)[0] for name in gradients})

    def _hidden(self, verdicts: Sequence[Verdict], unexplained: Sequence[str]) -> Mapping[str, Diagnosis]:
        """What can be said of those of the ``unexplained`` gradients that are right on the true gradients only."""
        consumers = self.gradients.facts.consumers
        return {
            verdict.gradient: diagnosis_of(
                "hidden-from-the-loss",
                verdict.gradient,
                consumers=listed(consumers[self.exercise.tensor_of[verdict.gradient]]),
            )
            for verdict in verdicts
            if verdict.gradient in unexplained and verdict.outcome == "partial" and self.gradients.is_diagnosing
            if verdict.comparison is None or not verdict.comparison.reshaped
        }

    def _held(
        self,
        verdicts: Sequence[Verdict],
        evidence: Mapping[str, Sequence[Evidence]],
        results: PassResults,
        plain: Sequence[PlainCell],
    ) -> list[Verdict]:
        """The verdicts; right gradients that are not plain arithmetic are held for review.

        One whose statements are all plain, and wrong with the numbers of that pass and of the notebook, was right by
        chance.
        """
        step = self.states.plain and self.states.plain.replaces
        if self.plain is None or (step and step.name in results.skipped):
            return list(verdicts)
        submission = results.submission
        whys: dict[str, str] = {}
        for verdict in verdicts:
            if verdict.outcome == "passed" and verdict.gradient in self.exercise.tensors:
                # without a small constant it is within the tolerance, and has its own note
                lacks_eps = verdict.diagnosis is not None and verdict.diagnosis.mistake == "missing-eps"
                allowed = self.settings.policy.tolerance if lacks_eps else EXACT
                read = self.gradients.reads(verdict.gradient)
                whys[verdict.id] = self.plain.why_held(verdict.gradient, results, read, allowed)
        as_written = [id_ for id_, why in whys.items() if why and self.gradients.is_right_as_written(evidence[id_])]
        if as_written:
            # a later statement, or a function, changes the answer after the place from which it is taken
            again = self._run(submission, [], self._help, plain=(self.plain.state.as_written, plain))
            for verdict in verdicts:
                if verdict.id in as_written:
                    whys[verdict.id] = self.plain.why_held_as_written(verdict.gradient, again)
        stubs = submission.stub_indices()
        return [
            self._reviewed(verdict, whys[verdict.id], quoted(plain, stubs[verdict.gradient]), results)
            if whys.get(verdict.id)
            else verdict
            for verdict in verdicts
        ]

    def _reviewed(self, verdict: Verdict, why: str, left_out: str, results: PassResults) -> Verdict:
        """The verdict on a right gradient that is not confirmed, and ``why``; a statement may be ``left_out``."""
        if why == WRONG_ELSEWHERE and left_out:
            why = NOT_PLAIN
        check = next(check for check in self.exercise.checks if check.id == verdict.id)
        if why == WRONG_ELSEWHERE and not self.gradients.is_right_at_home(check, results):
            said = f"{verdict.gradient} is right with some numbers by chance, and wrong with others."
            return replace(verdict, outcome="failed", points=0.0, comparison=None, diagnosis=None, message=said)
        said = f"{verdict.gradient} is right, but {why}{left_out}."
        if self.settings.holds:
            message = f"{said} An instructor has to look at it."
            return replace(verdict, outcome="held", points=0.0, message=message)
        return replace(verdict, message=f"{said} In a course an instructor has to look at it.")

    @contextmanager
    def without_diagnoses(self) -> Iterator[None]:
        """Grade for the outcomes only."""
        self.gradients.is_diagnosing = False
        try:
            yield
        finally:
            self.gradients.is_diagnosing = True

    def printed(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """The outputs of the locked cells with the notebook's own parameters, by grade_id."""
        # the first cell is the prelude; no parameters are set in the visible pass, so the others are the locked ones
        shown = self.sandbox.printed[self.passes[0].name][1:]
        return dict(zip(self.exercise.setup_names(), shown, strict=True))

    def _help(self, pass_: Pass, gradient: str) -> torch.Tensor:
        """The gradient that is given in a pass, or that replaces an answer in it."""
        if pass_.kind.startswith("plain") and self.plain:
            reference = self.plain.state.reference
        else:
            reference = self.references[pass_.name]
        values = reference.step.upstream if pass_.kind in ("step", "plain") else reference.gradients
        return values[self.exercise.tensor_of[gradient]]

    def _is_needed(self, pass_: Pass, results: PassResults, plain: Sequence[PlainCell]) -> bool:
        """Whether a pass can change a mark or a note; ``plain`` are the cells of the pass over plain statements."""
        if pass_.is_optional:
            # decided before the first of them
            if any(other.name in results.skipped for other in self.passes if other.is_optional):
                return False
            return not self._is_decided(results)
        if plain and self.plain and pass_ is self.plain.state.replaces:
            return not (self.plain.proves(plain, results) and self._is_right_at_home(results))
        return True

    def _is_right_at_home(self, results: PassResults) -> bool:
        """Whether every gradient is right on the notebook's own data, and no cell ended its process."""
        if results.deaths or results.out_of_time:
            return False
        return self._holds_for_all(
            lambda check: check.only_compares and self.gradients.is_right_at_home(check, results)
        )

    def _is_decided(self, results: PassResults) -> bool:
        """Whether every mark and every note is decided without the optional passes."""
        if results.deaths or results.out_of_time or any(result.death for result in results.results.values()):
            return False
        return self._holds_for_all(lambda check: self.gradients.is_decided(check, results))

    def _holds_for_all(self, condition: Callable[[Check], bool]) -> bool:
        """Whether a condition holds for every gradient; values have their own passes, which are always needed."""
        with execution.captured():
            return all(condition(check) for check in self.exercise.checks if not check.is_value)

    def _with_note(
        self, verdict: Verdict, failed: Sequence[str], evidence: Sequence[Evidence], results: PassResults
    ) -> Verdict:
        """A verdict, with a note if a gradient passed; ``failed`` are the gradients that did not."""
        if verdict.outcome != "passed" or verdict.gradient not in self.exercise.tensors:
            return verdict
        diagnostician, steps = self.gradients.diagnostician, [each.step for round_ in evidence for each in round_.steps]
        note = diagnostician.right(verdict.gradient, steps, results)
        return replace(verdict, diagnosis=note or diagnostician.carried(verdict.gradient, failed, results))


def _outputs(results: PassResults) -> dict[int, Sequence[Mapping[str, Any]]]:
    """The outputs of the cells in the visible pass, by their position in the notebook."""
    visible = results.results.get(results.passes[0].name)
    shown: dict[int, Sequence[Mapping[str, Any]]] = {}
    for index, cell in enumerate(results.submission.cells):
        if cell.position is None:
            continue
        result = visible.cells.get(index) if visible else None
        outputs = list(result.outputs) if result else []
        if result and result.error:
            outputs.append(_error_output(result.error.name, result.error.message, result.error.traceback))
        if index in results.deaths:
            sentence = death_sentence(results.deaths[index], results.limits_of(index))
            outputs.append(_error_output(results.deaths[index].reason, sentence, (sentence,)))
        # a cell that was cut into pieces has the outputs of all of them
        shown[cell.position] = [*shown.get(cell.position, ()), *outputs]
    return shown


def _error_output(name: str, message: str, traceback: Sequence[str]) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": list(traceback)}
