"""Run the exercise's check cells in this trusted process, on answers that came back as tensors."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import torch

from handgrad.errors import ExerciseError, closest
from handgrad.exercise.exercise import Check, Exercise
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.comparison import compare, scale_of
from handgrad.grading.marking import correctness_of
from handgrad.grading.passes import Pass
from handgrad.notebook import execution
from handgrad.report.records import Comparison
from handgrad.student.check import recording

__all__ = ["Against", "Checker"]

Against = Literal["true", "step"]
"""The references to compare with: the true gradients of the loss, or the step gradients."""
AGAINST: tuple[Against, ...] = ("true", "step")
Checked = tuple[Comparison | None, execution.CellError | None]


class Checker:
    """The checks of one exercise, and the references of its passes.

    Parameters
    ----------
    exercise
        The exercise with the checks.
    passes
        The passes; the first is the visible one.
    references
        The reference of each pass, by its name.
    facts
        The facts with the tensors whose gradient is zero by construction.
    tolerance
        Largest difference that a comparison allows, as a share of the reference's scale.
    """

    def __init__(
        self,
        exercise: Exercise,
        passes: Sequence[Pass],
        references: Mapping[str, Reference],
        facts: ForwardFacts,
        tolerance: float,
    ) -> None:
        self.exercise, self.passes, self.references, self.tolerance = exercise, passes, references, tolerance
        self._cells = {
            check.id: execution.CompiledCell(check.source, f"<{check.id}>")
            for check in exercise.checks
            if not check.is_value
        }
        self._namespaces: dict[tuple[str, Against], dict[str, Any]] = {}
        self._scales: dict[tuple[str, Against], dict[str, float]] = {}
        for pass_, against in product(passes, AGAINST):
            expected, step = self._expected(pass_, against), references[pass_.name].step.gradients
            # the checks run after the forward pass, with every gradient at its reference
            gradients = {gradient: expected[tensor] for gradient, tensor in exercise.tensor_of.items()}
            self._namespaces[pass_.name, against] = {**references[pass_.name].namespace, **gradients}
            self._scales[pass_.name, against] = {
                name: scale_of((step if name in facts.zero else expected)[name]) for name in expected
            }
        self._seen: dict[tuple[str, str, Against, int], tuple[torch.Tensor, Checked]] = {}

    def forget(self) -> None:
        """Forget the compared answers, before the next submission."""
        self._seen.clear()

    def compare(self, check: Check, answer: torch.Tensor | None, pass_: Pass, against: Against = "true") -> Checked:
        """Run ``check`` on ``answer`` against the references of a pass; the comparison, and the error if it raised."""
        if answer is None:
            return None, None
        key = (check.id, pass_.name, against, id(answer))
        if key not in self._seen:
            # the answer is kept too, so that no other object can get its id
            self._seen[key] = answer, self._compared(check, answer, pass_, against)
        return self._seen[key][1]

    def _compared(self, check: Check, answer: torch.Tensor, pass_: Pass, against: Against) -> Checked:
        expected, scales = self._expected(pass_, against), self._scales[pass_.name, against]
        if answer.is_floating_point():
            # an answer in double precision is as right as one in single, also for a check's other assertions
            answer = answer.to(expected[self.exercise.tensors[check.gradient]].dtype)
        calls, error = self._run(check, pass_, against, {check.gradient: answer})
        comparisons = [
            compare(compared.detach(), expected[name], scales[name], self.tolerance)
            for name, compared in calls
            if isinstance(compared, torch.Tensor)
        ]
        return min(comparisons, key=correctness_of, default=None), error

    def _expected(self, pass_: Pass, against: Against) -> Mapping[str, torch.Tensor]:
        """The references of a pass, by tensor."""
        reference = self.references[pass_.name]
        return reference.gradients if against == "true" else reference.step.gradients

    def _run(
        self, check: Check, pass_: Pass, against: Against, answers: Mapping[str, torch.Tensor]
    ) -> tuple[list[tuple[str, Any]], execution.CellError | None]:
        """Run a check with ``answers``, the rest at their references: what it compared, and its error."""
        with recording() as calls:
            error = execution.run_cell(self._cells[check.id], {**self._namespaces[pass_.name, against], **answers})
        return list(calls), error

    def validate(self) -> None:
        """Check that the exercise can be graded.

        Raises
        ------
        ExerciseError
            A hidden pass sets an unknown parameter or changes no gradient, or a check does not compare its own gradient
            or does not hold on the right gradients.
        """
        self._validate_parameters()
        with execution.captured():
            for check in self.exercise.checks:
                if not check.is_value:
                    self._validate_check(check)

    def _validate_parameters(self) -> None:
        """The parameters of a hidden pass must exist, and must change the gradients."""
        name, visible = self.exercise.name, self.references[self.passes[0].name]
        for pass_ in self.passes[1:]:
            for parameter in pass_.parameters:
                if parameter not in visible.namespace:
                    raise ExerciseError(
                        f"{name}: a hidden pass sets {parameter!r}, which the parameters cell does not."
                        + closest(parameter, visible.namespace)
                    )
            if visible.gradients and all(
                map(torch.equal, visible.gradients.values(), self.references[pass_.name].gradients.values())
            ):
                raise ExerciseError(
                    f"{name}: every gradient is the same for all seeds, so pasted numbers would be right: "
                    "the cells after the parameters must use `seed`."
                )

    def _validate_check(self, check: Check) -> None:
        """A check must compare its own gradient, only tensors with a reference, and hold on the references."""
        name, known = self.exercise.name, self._expected(self.passes[-1], "true")
        calls, error = self._run(check, self.passes[-1], "true", {})
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
        own = self.exercise.tensors[check.gradient]
        if own not in dict(calls):
            raise ExerciseError(
                f"{name}: {check.id} does not compare {check.gradient}: "
                f"it must say cmp({own!r}, {check.gradient}, {own})."
            )
