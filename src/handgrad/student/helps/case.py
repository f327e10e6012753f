"""One small case of a step: free inputs, upstream gradients, the right gradient, and what the student's cell makes."""

import ast
import copy
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.helps.forward_code import ForwardCode, Namespace, Setting, Step, is_float, is_whole
from handgrad.student.helps.readability import difficulty, input_difficulty, written
from handgrad.student.helps.statements import Statement

__all__ = ["Case", "Trial", "Values"]

Values = Mapping[str, torch.Tensor]
_VISIBLE = 0.1
"""A case shows a mistake if an entry is off by this share of the largest."""
_BESIDE = 1e-4
"""How far beside itself a case must fail too: at a tie of a maximum there is no gradient to be right."""


@dataclass(frozen=True)
class Case:
    """Numbers for one step, and what they lead to.

    ``values`` are the inputs of the step, or, if ``whole``, the leaves of the whole forward pass; then ``read`` are the
    tensors that the step or the student's cell reads, and the upstream gradients. ``wrong`` is None if the cell raised
    ``error``.
    """

    setting: Setting
    values: Values
    upstream: Values
    right: torch.Tensor
    wrong: torch.Tensor | None = None
    error: Exception | None = None
    whole: bool = False
    read: Values = field(default_factory=dict)

    @property
    def has_shape(self) -> bool:
        """Whether the student's gradient has the right shape."""
        return self.wrong is not None and self.wrong.shape == self.right.shape

    @cached_property
    def fails(self) -> bool:
        """Whether anyone can see that the student's gradient is another one."""
        if self.wrong is None or not self.has_shape:
            return self.wrong is not None
        wrong = self.wrong.nan_to_num(1e6, 1e6, -1e6)
        difference = float((wrong - self.right).abs().max())
        scale = max(1e-9, float(self.right.abs().max()), float(wrong.abs().max()))
        return (
            difference > _VISIBLE * scale
            and difference > 0.02
            and any(
                written(entry) != written(other)
                for entry, other in zip(wrong.flatten().tolist(), self.right.flatten().tolist(), strict=True)
            )
        )

    @property
    def numbers(self) -> int:
        """How many numbers the largest tensor that is shown has."""
        shown = self.read if self.whole else {**self.values, **self.upstream}
        return max(tensor.numel() for tensor in (*self._results, *shown.values()))

    @property
    def _results(self) -> list[torch.Tensor]:
        return [self.right] if self.wrong is None else [self.right, self.wrong]

    @property
    def marks(self) -> torch.Tensor:
        """Which entries of the student's gradient are wrong."""
        assert self.wrong is not None
        scale = float(torch.maximum(self.right.abs().max(), self.wrong.nan_to_num(0, 0, 0).abs().max()))
        return ~torch.isclose(self.wrong, self.right, rtol=1e-4, atol=1e-4 * scale)

    @cached_property
    def cost(self) -> float:
        """How hard the case is to read."""
        inputs = sum(
            input_difficulty(value) if is_float(value) else 0.2 * float(value.sum()) for value in self.values.values()
        )
        upstream = sum(
            difficulty(value) + 0.8 * float((value < 0).sum()) + 0.9 * float((value != 0).sum())
            for value in self.upstream.values()
        )
        return inputs + upstream + 1.5 * sum(map(difficulty, self._results))

    @property
    def has_decimals(self) -> bool:
        """Whether a result is neither a whole number nor a fraction."""
        return any("." in written(value) for tensor in self._results for value in tensor.flatten().tolist())


@dataclass
class Trial:
    """The student's cell for the gradient of ``name``, on trial: cases are made for it and judged.

    With ``fitted`` the sizes of the notebook that stand in the cell as numbers are replaced by those of the case.
    """

    code: ForwardCode
    name: str
    lines: tuple[Statement, ...]
    fitted: bool = False
    judged: int = 0

    @classmethod
    def of(cls, code: ForwardCode, name: str) -> Self:
        """The cell that makes the gradient of ``name``."""
        return cls(code, name, code.answer(name))

    @property
    def step(self) -> Step:
        """The step of the tensor."""
        return self.code.step(self.name)

    @cached_property
    def takes_upstream(self) -> bool:
        """Whether the cell reads the gradient of a consumer."""
        return any(f"d{consumer}" in line.reads for line in self.lines for consumer in self.step.consumers)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The names that the cell reads."""
        names = dict.fromkeys(name for line in self.lines for name in sorted(line.reads))
        return tuple(name for name in names if name != f"d{self.name}")

    def answer(self, namespace: Namespace, sizes: Mapping[str, int]) -> Any:
        """What the student's cell makes in ``namespace``, which has these ``sizes``."""
        lines = [_fitted(line, self.code.sizes, sizes) for line in self.lines] if self.fitted else self.lines
        return self.code.run_answer(self.name, lines, namespace)

    def judge(self, setting: Setting, values: Values, upstream: Values, *, whole: bool = False) -> Case | None:
        """The case with these numbers; None if it is none: no gradient exists, or the failure is that of a tie."""
        case = self.judge_once(setting, values, upstream, whole=whole)
        if case is None or not case.fails:
            return case
        # twice: in float32 two numbers may be equal beside a tie as well
        return case if all(self._fails_beside(case) for _ in range(2)) else None

    def _fails_beside(self, case: Case) -> bool:
        """Whether the student's gradient fails at slightly other numbers too, and the right one is nearly the same."""
        generator = torch.Generator().manual_seed(self.judged)
        values = {
            name: value + _BESIDE * (1 + value.abs()) * torch.randn(value.shape, generator=generator, dtype=value.dtype)
            if is_float(value) and name in self.code.tensors
            else value
            for name, value in case.values.items()
        }
        other = self.judge_once(case.setting, values, case.upstream, whole=case.whole)
        if other is None or other.error is not None or not other.fails:
            return False
        return float((other.right - case.right).abs().max()) <= 0.01 * (1 + float(case.right.abs().max()))

    def judge_once(self, setting: Setting, values: Values, upstream: Values, *, whole: bool = False) -> Case | None:
        """As :meth:`judge`, at these numbers only."""
        self.judged += 1
        namespace = setting.with_values(values)
        try:
            case = self._whole(setting, namespace, values, upstream) if whole else None
            case = case or self._single(setting, namespace, values, upstream)
        except Exception:
            # any error of the forward pass: with these numbers it has no gradient
            return None
        if case is None or not bool(case.right.isfinite().all()):
            return None
        namespace |= {f"d{name}": gradient.clone() for name, gradient in case.upstream.items()}
        try:
            wrong = self.answer(namespace, setting.sizes)
        except Exception as error:
            return replace(case, error=error)
        if not isinstance(wrong, torch.Tensor) or wrong.dtype.is_complex:
            return replace(case, error=TypeError(f"d{self.name} is no tensor of real numbers"))
        wrong = wrong.detach().double()
        # no case, unless it is not finite in the notebook either
        if not bool(wrong.isfinite().all()) and _is_finite(self.code.namespace.get(f"d{self.name}")):
            return None
        return replace(case, wrong=wrong)

    def _single(self, setting: Setting, namespace: Namespace, values: Values, upstream: Values) -> Case | None:
        """The case of the step alone."""
        # what the step does not read is not there: a cell that reads it needs the whole forward pass
        for name in [name for name, value in namespace.items() if is_float(value) and name not in self.step.inputs]:
            del namespace[name]
        right = self.code.gradient(self.name, namespace, upstream)
        namespace.pop(f"d{self.name}", None)
        return None if right is None else Case(setting, values, upstream, right)

    def _whole(self, setting: Setting, namespace: Namespace, values: Values, upstream: Values) -> Case | None:
        """The case of the whole forward pass, all of whose values belong together."""
        tensors = self._forward(namespace, values)
        true = dict(
            zip(
                tensors,
                torch.autograd.grad(tensors[LOSS].sum(), list(tensors.values()), allow_unused=True),
                strict=True,
            )
        )
        right: torch.Tensor | None = true[self.name]
        for name, value in namespace.items():
            if isinstance(value, torch.Tensor):
                namespace[name] = value.detach()
        gradients = {name: gradient for name, gradient in true.items() if gradient is not None and name != LOSS}
        namespace |= {f"d{name}": gradient.detach().clone() for name, gradient in gradients.items()}
        given = dict(upstream)
        if self.takes_upstream:
            draw = random.Random(self.judged)
            for consumer in self.step.upstream:
                if consumer not in given:
                    given[consumer] = drawn(draw, (1.0, 2.0, 3.0), namespace[consumer].shape)
            right = self.code.gradient(self.name, dict(namespace), given)
        if right is None:
            return None
        namespace |= {f"d{name}": gradient.clone() for name, gradient in given.items()}
        upstream_names = (f"d{consumer}" for consumer in self.step.upstream)
        names = dict.fromkeys((*self.step.inputs, *self.reads, *upstream_names))
        read = {name: namespace[name].clone() for name in names if self._is_shown(name, namespace.get(name))}
        return Case(setting, values, given, right, whole=True, read=read)

    def _is_shown(self, name: str, value: object) -> bool:
        """Whether ``name`` is worth showing beside a case of the whole forward pass: a tensor, a gradient, labels."""
        named = name in self.code.tensors or name.removeprefix("d") in self.code.tensors
        return isinstance(value, torch.Tensor) and (named or is_whole(value))

    def _forward(self, namespace: Namespace, leaves: Values) -> dict[str, torch.Tensor]:
        """Run the forward pass from the ``leaves`` on: the named tensors, with their graph."""
        code = self.code
        for name in leaves:
            if name in code.tensors:
                namespace[name].requires_grad_()
        with torch.enable_grad():
            for line in code.lines:
                if not line.assigns or not line.binds.isdisjoint(leaves) or line.reads.isdisjoint(code.tensors):
                    continue
                exec(line.code, namespace)
                for name in line.binds:
                    # a target that is made from an input is no part of the graph
                    if is_float(namespace[name]) and not getattr(code.namespace.get(name), "requires_grad", False):
                        namespace[name] = namespace[name].detach()
        named = (*code.tensors, LOSS)
        return {name: namespace[name] for name in named if getattr(namespace.get(name), "requires_grad", False)}


def drawn(draw: random.Random, pool: Sequence[float], shape: Sequence[int]) -> torch.Tensor:
    """A tensor of numbers from ``pool``."""
    numbers = [draw.choice(pool) for _ in range(math.prod(shape))]
    return torch.tensor(numbers, dtype=torch.float64).reshape(tuple(shape))


def _is_finite(value: object) -> bool:
    return not isinstance(value, torch.Tensor) or bool(value.isfinite().all())


def _fitted(line: Statement, notebook: Mapping[str, int], case: Mapping[str, int]) -> Statement:
    """``line`` with the case's sizes in place of the notebook's, which stand in it as numbers (32, and 32 - 1)."""
    numbers: dict[int, int] = {}
    for name, size in notebook.items():
        if size > 2:
            numbers.setdefault(size, case[name])
            if size > 8:
                numbers.setdefault(size - 1, case[name] - 1)
    node = _Numbers(numbers).visit(copy.deepcopy(line.node))
    return Statement.of(ast.fix_missing_locations(node), line.cell)


class _Numbers(ast.NodeTransformer):
    """Replaces whole numbers; an exponent stays, since it is no size."""

    def __init__(self, numbers: Mapping[int, int]) -> None:
        self.numbers = numbers

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.Pow):
            node.left = self.visit(node.left)
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and node.value in self.numbers:
            return ast.copy_location(ast.Constant(self.numbers[node.value]), node)
        return node
