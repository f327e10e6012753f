"""``counterexample``: the smallest case in which a student's formula fails, printed as small tables."""

import ast
import random
import time
from dataclasses import dataclass
from typing import Self

import torch

from handgrad.gradients.comparison import RELATIVE_TOLERANCE, scale_of
from handgrad.gradients.mistakes.mistake import listed
from handgrad.student.helps.case import Case, Trial, drawn
from handgrad.student.helps.case_search import CaseSearch
from handgrad.student.helps.forward_code import ForwardCode, NoHelp, is_float
from handgrad.student.helps.output import Code, Output, Part, Table, Tables, tensor_table
from handgrad.student.progress import is_unwritten

__all__ = ["SECONDS", "Counterexample"]

SECONDS = 1.8
"""How long a case is looked for, by default; what is shown takes a moment more."""


@dataclass(frozen=True)
class Counterexample:
    """A case in which the formula for the gradient of ``name`` fails, and what is said about it.

    ``idle`` are the inputs that neither the right nor the student's gradient depends on. ``relevant`` are the sizes
    that the case depends on. ``fitted``: the sizes that stand in the cell as numbers were made smaller too. ``at_tie``:
    the formula fails where numbers are equal, or at a kink, and not beside it.
    """

    code: ForwardCode
    name: str
    case: Case
    relevant: tuple[str, ...]
    idle: tuple[str, ...]
    fitted: bool
    at_tie: bool

    @classmethod
    def of(cls, code: ForwardCode, name: str, seconds: float = SECONDS) -> Self:
        """Look for the smallest case, for ``seconds`` at most.

        Raises
        ------
        NoHelp
            None was found; the message says why.
        """
        ends = time.perf_counter() + seconds
        trial = Trial.of(code, name)
        if code.is_done(name):
            raise NoHelp(f"d{name} is right")
        if not isinstance(answer := code.namespace.get(f"d{name}"), torch.Tensor):
            raise NoHelp(f"d{name} is not {'written yet' if is_unwritten(answer) else 'a tensor'}")
        code.check_unchanged(name, trial.lines)
        if not _is_current(trial):
            raise NoHelp(f"d{name} is not what its cell makes: run that cell again")
        numbers, right = _numbers(trial), _is_right_here(trial)
        if right and not numbers:
            raise NoHelp(f"the formula of d{name} is right: with true upstream gradients it makes the true one")
        # an answer that passes here is not to be blamed for what it does at ties
        ties = not right and not code.is_hidden(name)
        search = CaseSearch(trial, (0.7 if ties else 1) * (ends - time.perf_counter()))
        case = search.find()
        if case is None and ties and not search.raises_always:
            search = CaseSearch(trial, ends - time.perf_counter(), at_ties=True)
            case = search.find()
        if case is None:
            raise NoHelp(_why_none(search))
        if numbers and not case.whole and _is_right_in_the_notebooks_sizes(search):
            which = ", ".join(map(str, numbers))
            raise NoHelp(
                f"d{name} is right in the sizes of this notebook and fails in others: {which} stands in it as a number"
            )
        at_tie = search.at_ties and trial.judge(case.setting, case.values, case.upstream, whole=case.whole) is None
        return cls(code, name, case, search.relevant, _idle(trial, case), trial.fitted, at_tie)

    def output(self) -> Output:
        """The case as tables of a few numbers, wrong entries marked."""
        case, gradient = self.case, f"d{self.name}"
        sizes = ", ".join(f"{name} = {case.setting.sizes[name]}" for name in self.relevant)
        parts: list[Part] = [f"{gradient} fails already here" + (f" ({sizes}):" if sizes else ":")]
        if self.fitted:
            parts.append("The sizes that stand in your cell as numbers were made smaller too.")
        if self.at_tie:
            parts.append("Numbers are equal here (a tie), or one is at a kink: there autograd takes one side.")
        lines = self.code.step(self.name).lines
        parts.append(Code(tuple(line.text for line in lines)))
        parts += self._given(len(lines))
        assert case.wrong is not None
        right, wrong = tuple(case.right.shape), tuple(case.wrong.shape)
        titles = ("right", "yours") if case.has_shape else (f"right {right}", f"yours {wrong}")
        scale = max(scale_of(case.right), scale_of(case.wrong.nan_to_num(0, 0, 0)))
        results = (
            tensor_table(case.right, f"{gradient}, {titles[0]}", scale=scale),
            tensor_table(case.wrong, titles[1], case.marks if case.has_shape else None, scale=scale),
        )
        parts.append(Tables(results))
        if case.has_shape:
            parts.append(f"{int(case.marks.sum())} of {case.marks.numel()} entries wrong (*)")
        else:
            parts.append(f"The shape is {wrong} instead of {right}.")
        return Output(f"counterexample for {gradient}", tuple(parts))

    def _given(self, lines: int) -> list[Part]:
        """The inputs and the upstream gradients."""
        case, step = self.case, self.code.step(self.name)
        parts: list[Part] = []
        if case.whole:
            known = {*step.inputs, *step.consumers}
            if far := [name for name in case.read if name in self.code.tensors and name not in known]:
                parts.append(
                    f"Your cell reads {listed(far)}, which {'is' if len(far) == 1 else 'are'} not in "
                    f"{'this line' if lines == 1 else 'these lines'}: the whole forward pass was run."
                )
            tables = [_given_table(name, value) for name, value in case.read.items() if name not in self.idle]
        else:
            tables = [_given_table(name, value) for name, value in case.values.items() if name not in self.idle]
            tables += [_given_table(f"d{name}", value) for name, value in case.upstream.items()]
        if tables:
            parts.append(Tables(tuple(tables)))
        if self.idle:
            parts.append(f"What {listed(self.idle)} hold{'s' if len(self.idle) == 1 else ''} does not matter.")
        return parts


def _given_table(name: str, value: torch.Tensor) -> Table:
    return tensor_table(value, f"{name} {tuple(value.shape)}", logarithms=not name.startswith("d"))


def _why_none(search: CaseSearch) -> str:
    """Why no case was found."""
    trial, gradient = search.trial, f"d{search.trial.name}"
    if error := trial.code.setting_error:
        return f"the forward pass does not run in smaller sizes: {type(error).__name__}: {error}"
    if search.raises_always:
        if any(".grad" in line.text for line in trial.lines):
            return f"the cell of {gradient} reads autograd's gradient (.grad): write the formula first"
        error = search.errors[0]
        return f"{gradient} cannot be tried in smaller sizes: {type(error).__name__}: {error}"
    answer, tensor = trial.code.namespace.get(gradient), trial.code.tensors[trial.name]
    if is_float(answer) and torch.finfo(answer.dtype).eps > torch.finfo(tensor.dtype).eps:
        return f"no case was found in which {gradient} fails, but its dtype, {answer.dtype}, rounds more than it may"
    return f"no case was found in which {gradient} fails: {trial.judged} were tried"


def _is_current(trial: Trial) -> bool:
    """Whether the student's gradient is what the cell makes of the notebook's variables; True if that is not known."""
    code, gradient = trial.code, f"d{trial.name}"
    namespace = {name: value for name, value in code.namespace.items() if name != gradient}
    mine = code.namespace.get(gradient)
    try:
        made = code.run_answer(trial.name, trial.lines, namespace)
    except Exception:
        # what its cell was made from is gone
        return True
    if not isinstance(mine, torch.Tensor) or not isinstance(made, torch.Tensor):
        return True
    if any(
        _differ(namespace.get(f"d{name}"), code.namespace.get(f"d{name}"))
        for name in code.tensors
        if name != trial.name
    ):
        # the cell writes into what it is made from (dh = dlogits; dh *= 2), so it makes something else each time
        return True
    scale = scale_of(mine.detach().nan_to_num(0, 0, 0).double())
    return mine.shape == made.shape and torch.allclose(
        made.double(), mine.detach().double(), rtol=1e-3, atol=1e-5 * scale + 1e-12, equal_nan=True
    )


def _differ(first: object, other: object) -> bool:
    return (
        isinstance(first, torch.Tensor)
        and isinstance(other, torch.Tensor)
        and not torch.equal(first, other.to(first.dtype))
    )


def _is_right_here(trial: Trial) -> bool:
    """Whether the cell makes the true gradient if the upstream gradients are true, and the loss can tell.

    A formula that folds two steps into one is right so, and wrong for upstream gradients that do not belong together.
    """
    code, name = trial.code, trial.name
    if code.is_hidden(name):
        return False
    true = code.forward_pass.true
    namespace = {**code.namespace, **{f"d{other}": gradient for other, gradient in true.items()}}
    del namespace[f"d{name}"]
    try:
        made = code.run_answer(name, trial.lines, namespace)
        difference = scale_of(made.double() - true[name].double())
        return made.shape == true[name].shape and difference <= RELATIVE_TOLERANCE * scale_of(true[name])
    except Exception:
        # any error of the student's cell
        return False


def _numbers(trial: Trial) -> list[int]:
    """The sizes of the notebook that stand in the cell as numbers."""
    sizes = {*trial.code.sizes.values(), *(size for tensor in trial.code.tensors.values() for size in tensor.shape)}
    values = [
        part.value
        for line in trial.lines
        for part in ast.walk(line.node)
        if isinstance(part, ast.Constant) and type(part.value) in (int, float)
    ]
    return sorted({size for size in sizes if size > 2 and size in values})


def _is_right_in_the_notebooks_sizes(search: CaseSearch) -> bool:
    """Whether the formula does not fail in the sizes of the notebook."""
    setting = search.trial.code.setting(search.trial.code.sizes)
    if setting is None or search.trial.fitted:
        return False
    for _ in range(2):
        values, upstream = search.draw(setting, dict.fromkeys(search.trial.step.inputs, "positive"))
        case = search.trial.judge_once(setting, values, upstream)
        if case is None or case.error is not None or case.fails:
            return False
    return True


def _idle(trial: Trial, case: Case) -> tuple[str, ...]:
    """The inputs that neither the right nor the student's gradient depends on."""
    if case.whole:
        unread = [name for name in trial.step.inputs if name in case.read and name not in trial.reads]
        return tuple(name for name in unread if _is_idle_in_step(trial, case, name))
    return tuple(
        name
        for name, value in case.values.items()
        if name in trial.code.tensors and is_float(value) and _is_idle(trial, case, name)
    )


def _is_idle_in_step(trial: Trial, case: Case, name: str) -> bool:
    """Whether the right gradient of a case of the whole forward pass does not depend on an input of the step."""
    upstream = {other: case.read[f"d{other}"] for other in trial.step.upstream}
    found = []
    for numbers in (1, 2, 3):
        namespace = case.setting.with_values(case.read)
        if numbers > 1:
            namespace[name] = drawn(random.Random(numbers), (1.0, 2.0, 3.0, 4.0, 6.0), case.read[name].shape)
        found.append(trial.code.gradient(trial.name, namespace, upstream))
    return all(other is not None and found[0] is not None and torch.allclose(other, found[0]) for other in found)


def _is_idle(trial: Trial, case: Case, name: str) -> bool:
    draw = random.Random(1)
    for _ in range(5):
        # other numbers for all entries: adding the same to all keeps the place of a maximum
        values = {**case.values, name: drawn(draw, (1.0, 2.0, 3.0, 4.0, 6.0), case.values[name].shape)}
        other = trial.judge(case.setting, values, case.upstream)
        if other is None or other.wrong is None or case.wrong is None or other.wrong.shape != case.wrong.shape:
            return False
        if not torch.allclose(other.right, case.right) or not torch.allclose(other.wrong, case.wrong, equal_nan=True):
            return False
    return True
