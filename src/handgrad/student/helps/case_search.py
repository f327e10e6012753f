"""The search for the smallest case in which a formula fails: sizes first, then numbers that are easy to read."""

import itertools
import math
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.helps.case import Case, Trial, Values, drawn
from handgrad.student.helps.forward_code import Setting, is_float, is_whole

__all__ = ["CaseSearch"]

_FAMILIES: Mapping[str, tuple[float, ...]] = {
    "whole": (2.0, 3.0, 4.0, 5.0, 1.0, -1.0, -2.0),
    "positive": (1.0, 2.0, 4.0, 0.5),
    "squares": (1.0, 4.0, 0.25, 16.0),
    # exp and softmax of these are whole numbers and fractions
    "logarithms": (0.0, math.log(2), math.log(3), -math.log(2), math.log(4)),
}
"""Numbers to draw an input from."""
_STEPS = "steps"
"""The family in which each column holds different whole numbers: its mean and variance are easy to read."""
_UPSTREAM = (1.0, 2.0, 3.0, -1.0, 0.0)
_LEAVES = (1.0, 2.0, -1.0, 0.0, 3.0)
_LARGEST_DATA = 500
_NUMBERS = 24
"""So many numbers of one tensor are read at a glance."""
_ROUNDS = 4
_ERRORS = 3
"""So many cases of one setting may raise before the next setting is tried."""
_AFTER = 4
"""So many settings with a case are compared, if the results have decimals."""


@dataclass
class CaseSearch:
    """Looks for a case in which ``trial`` fails, for ``seconds`` at most.

    ``relevant`` are the sizes that the shapes of the step depend on. ``errors`` are what the cell raised, of ``tried``
    cases. ``at_ties``: cases count in which numbers are equal, or on a kink, so that autograd has to choose.
    """

    trial: Trial
    seconds: float
    relevant: tuple[str, ...] = ()
    errors: list[Exception] = field(default_factory=list)
    tried: int = 0
    at_ties: bool = False

    def __post_init__(self) -> None:
        self._ends = time.perf_counter() + self.seconds
        self._draw = random.Random(0)

    def find(self) -> Case | None:
        """The smallest failing case that was found; None if there is none."""
        case = self._search()
        foreign = any(isinstance(error, NameError | TypeError) for error in self.errors)
        if case is None and self.errors and len(self.errors) >= self.tried and not foreign:
            # 32 written for n: the sizes of the case in its place
            self.trial.fitted, self.errors, self.tried = True, [], 0
            case = self._search()
        return case

    @property
    def raises_always(self) -> bool:
        """Whether the cell raised in every case."""
        return bool(self.errors) and len(self.errors) >= self.tried

    def _left(self, share: float = 0.0) -> bool:
        """Whether more than this share of the time is left."""
        return self._ends - time.perf_counter() > share * self.seconds

    def _search(self) -> Case | None:
        best: Case | None = None
        other_shape: Case | None = None
        after = 0
        for sizes in self._sizes():
            if not self._left(0.35):
                break
            setting = self.trial.code.setting(sizes)
            if setting is None:
                continue
            found, shape, foreign = self._cases_of(setting)
            if foreign:
                return self._search_whole()
            other_shape = other_shape or shape
            if not found and not self.tried > len(self.errors) and len(self.errors) > 11:
                break
            if found:
                case = self.simplified(min(found, key=lambda case: case.cost), reserve=0.12)
                if best is None or case.cost + 0.3 * case.right.numel() < best.cost + 0.3 * best.right.numel() - 1:
                    best = case
            after += best is not None
            if best and (not best.has_decimals or after > _AFTER or not self._left(0.5)):
                return self._narrower(best)
        if best is None and other_shape is not None:
            return self._counted(other_shape)
        return self._narrower(best) if best else None

    def _narrower(self, case: Case) -> Case:
        """A case with fewer numbers, if ``case`` has too many for a glance: sizes of 1 where 2 reads better."""
        for name in self.relevant:
            if case.numbers <= _NUMBERS:
                break
            setting = self.trial.code.setting({**case.setting.sizes, name: 1})
            if setting is None or case.setting.sizes[name] == 1:
                continue
            found, _, _ = self._cases_of(setting)
            smaller = [other for other in found if other.numbers < case.numbers]
            if smaller:
                case = self.simplified(min(smaller, key=lambda other: other.cost))
        return case

    def _cases_of(self, setting: Setting) -> tuple[list[Case], Case | None, bool]:
        """Failing cases of one setting; one with another shape; whether the cell reads more than its step."""
        found: list[Case] = []
        bad = 0
        for families in _ROUNDS * self._families():
            case = self._judged(setting, *self.draw(setting, families))
            if case is None:
                continue
            self.tried += 1
            if isinstance(case.error, NameError):
                return [], None, True
            if case.error is not None:
                self.errors.append(case.error)
                bad += 1
            elif case.fails and not case.has_shape:
                return found, case, False
            elif case.fails:
                found.append(case)
            if bad > _ERRORS:
                break
        return found, None, False

    def _judged(self, setting: Setting, values: Values, upstream: Values, *, whole: bool = False) -> Case | None:
        judge = self.trial.judge_once if self.at_ties else self.trial.judge
        return judge(setting, values, upstream, whole=whole)

    def _families(self) -> list[dict[str, str]]:
        """For each draw, the family of each input: first whole numbers everywhere, then others for the tensor."""
        step, name = self.trial.step, self.trial.name
        whole = dict.fromkeys(step.inputs, "whole")
        families = [whole, *({**whole, name: family} for family in ("logarithms", "positive", "squares", _STEPS))]
        if others := [other for other in step.inputs if other != name]:
            positive = dict.fromkeys(others, "positive")
            families += [{**whole, **positive, name: family} for family in ("whole", "logarithms", "positive")]
        return families

    def draw(self, setting: Setting, families: Mapping[str, str]) -> tuple[dict[str, torch.Tensor], Values]:
        """Inputs and upstream gradients for one case."""
        namespace, code = setting.namespace, self.trial.code
        values: dict[str, torch.Tensor] = {}
        for name in self.trial.step.inputs:
            value = namespace.get(name)
            if not isinstance(value, torch.Tensor):
                continue
            if is_whole(value) and value.numel() < _LARGEST_DATA:
                numbers = [self._draw.randrange(setting.top) for _ in range(value.numel())]
                values[name] = torch.tensor(numbers).reshape(value.shape).to(value.dtype)
            elif is_float(value) and name not in code.tensors and bool((value == value.round()).all()):
                # a mask stays as it is
                values[name] = value.detach().double()
            elif is_float(value) and families.get(name) == _STEPS and value.dim() >= 2:
                values[name] = self._steps(value)
            elif is_float(value):
                values[name] = drawn(self._draw, _FAMILIES.get(families.get(name, ""), _FAMILIES["whole"]), value.shape)
        upstream = {name: drawn(self._draw, _UPSTREAM, namespace[name].shape) for name in self.trial.step.upstream}
        return values, upstream

    def _steps(self, like: torch.Tensor) -> torch.Tensor:
        """A tensor whose columns (along the first dimension) hold different whole numbers."""
        rows = like.shape[0]
        numbers = [float(row) for row in range(1, rows + 1)]
        columns = [torch.tensor(self._draw.sample(numbers, rows), dtype=torch.float64) for _ in range(like[0].numel())]
        return torch.stack(columns, -1).reshape(like.shape)

    def _search_whole(self) -> Case | None:
        """The cell reads more than its step: all values of the forward pass belong together."""
        code = self.trial.code
        for sizes in self._sizes():
            if not self._left(0.35):
                break
            setting = code.setting(sizes)
            found = []
            for _ in range(8) if setting is not None else ():
                assert setting is not None
                values = {name: setting.namespace.get(name) for name, tensor in code.tensors.items() if tensor.is_leaf}
                leaves = {
                    name: drawn(self._draw, _LEAVES, value.shape) for name, value in values.items() if is_float(value)
                }
                case = self.trial.judge(setting, leaves, {}, whole=True)
                if case is not None and case.error is None and case.fails and case.has_shape:
                    found.append(case)
            if found:
                return self.simplified(min(found, key=lambda case: case.cost))
        return None

    def _counted(self, case: Case) -> Case:
        """A case of another shape with the numbers 1, 2, 3 ... in it, if it fails with these too."""
        count = itertools.cycle([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

        def filled(tensor: torch.Tensor) -> torch.Tensor:
            return torch.tensor([next(count) for _ in range(tensor.numel())], dtype=torch.float64).reshape(tensor.shape)

        values = {
            name: filled(value) if is_float(value) and name in self.trial.code.tensors else value
            for name, value in case.values.items()
        }
        upstream = {name: filled(value) for name, value in case.upstream.items()}
        other = self.trial.judge_once(case.setting, values, upstream)
        return other if other is not None and other.error is None and other.fails else case

    # -- sizes

    def _sizes(self) -> Iterator[dict[str, int]]:
        """Sizes, the smallest first. Those that no shape of the step depends on stay as small as the pass allows."""
        code, notebook = self.trial.code, self.trial.code.sizes
        start = self._smallest()
        if start is None:
            return
        shapes = self._shapes(code.setting(start))
        relevant, leading = [], set()
        for name in notebook:
            for size in (start[name] + 1, start[name] + 2, 1):
                other = code.setting({**start, name: min(size, notebook[name])})
                if other is not None:
                    break
            else:
                continue
            changed = self._shapes(other)
            if changed != shapes:
                relevant.append(name)
                if _only_leading(shapes, changed):
                    leading.add(name)
        self.relevant = tuple(relevant)

        def price(sizes: Mapping[str, int]) -> tuple[float, list[int]]:
            costs = [
                {1: 0, 2: 1, 3: 2.5}.get(sizes[name], sizes[name])
                if name in leading
                else {1: 1.6, 2: 0, 3: 1, 4: 2.5}.get(sizes[name], sizes[name])
                for name in relevant
            ]
            return sum(costs), [sizes[name] for name in relevant]

        choices = [
            sorted({min(notebook[name], size) for size in (1, 2, 3, 4, 5, start[name], start[name] + 1)})
            for name in relevant
        ]
        options = [{**start, **dict(zip(relevant, sizes, strict=True))} for sizes in itertools.product(*choices)]
        yield from sorted(options, key=price)

    def _smallest(self) -> dict[str, int] | None:
        """The smallest sizes with which the forward pass runs: 2 each, or a few of them up to 5."""
        code, notebook = self.trial.code, self.trial.code.sizes
        start = {name: min(size, 2) for name, size in notebook.items()}
        growing: list[tuple[str, ...]] = [
            (),
            *itertools.combinations(notebook, 1),
            *itertools.combinations(notebook, 2),
        ]
        for names in growing:
            for larger in (3, 4, 5) if names else (2,):
                sizes = {**start, **{name: min(notebook[name], larger) for name in names}}
                if code.setting(sizes) is not None:
                    return sizes
        return None

    def _shapes(self, setting: Setting | None) -> list[Any]:
        """The shapes of what the step reads and makes, that of the upstream gradients last."""
        if setting is None:
            return []
        step = self.trial.step
        names = [name for name in (*step.inputs, *(step.upstream or step.inputs)) if name != LOSS]
        values = [setting.namespace.get(name) for name in names]
        return [
            tuple(value.shape) if isinstance(value, torch.Tensor) else value if type(value) in (int, tuple) else None
            for value in values
        ]

    # -- simpler numbers

    def simplified(self, case: Case, reserve: float = 0.0) -> Case:
        """The case with every number made simpler, as long as it still fails."""
        for _ in range(4):
            before = case
            for kind, name, tensor in self._simpler(case):
                # an earlier change of the same round may have made this one the same
                if not self._left(reserve):
                    return case
                changed = _with(case, kind, name, tensor)
                if changed is not None:
                    case = self._better(case, changed)
            if case is before:
                break
        return case

    def _better(self, case: Case, changed: tuple[Values, Values]) -> Case:
        """The case with ``changed`` numbers if it fails too and is easier to read; else ``case``."""
        other = self._judged(case.setting, *changed, whole=case.whole)
        if other is None or other.error is not None or not other.fails or other.has_shape != case.has_shape:
            return case
        return other if other.cost < case.cost - 1e-9 else case

    def _simpler(self, case: Case) -> Iterator[tuple[str, str, Any]]:
        """Changes to try: for upstream gradients single impulses, for inputs 2, 3, 4, 5, then 1 and 0."""
        for name, tensor in case.upstream.items():
            yield from (("upstream", name, make) for make in (torch.zeros_like, torch.ones_like, torch.abs))
            if tensor.numel() <= 36:
                yield from (("upstream", name, partial(_impulse, entry=entry)) for entry in range(tensor.numel()))
            for entry in range(tensor.numel()):
                yield from (
                    ("upstream", name, partial(_with_entry, entry=entry, number=number)) for number in (0.0, 1.0)
                )
        for name, tensor in case.values.items():
            whole = is_float(tensor) and bool((tensor == tensor.round()).all())
            if name not in self.trial.code.tensors and whole and not self._is_free(name):
                continue
            numbers = (2.0, 3.0, 4.0, 5.0, 1.0, 0.0) if is_float(tensor) else (0.0, 1.0)
            for entry in range(tensor.numel()):
                yield from (("values", name, partial(_with_entry, entry=entry, number=number)) for number in numbers)

    def _is_free(self, name: str) -> bool:
        """Whether an input that is no named tensor was drawn, as a target was; a mask was not."""
        value = self.trial.code.namespace.get(name)
        return is_float(value) and not bool((value == value.round()).all())


def _with_entry(tensor: torch.Tensor, entry: int, number: float) -> torch.Tensor:
    """The tensor with a number in one entry."""
    tensor = tensor.clone()
    tensor.view(-1)[entry] = number
    return tensor


def _impulse(tensor: torch.Tensor, entry: int) -> torch.Tensor:
    """1 in one entry, 0 in all others."""
    return _with_entry(torch.zeros_like(tensor), entry, 1.0)


def _with(case: Case, kind: str, name: str, change: Any) -> tuple[Values, Values] | None:
    """The numbers of ``case`` with one tensor changed; None if the change changes nothing."""
    old = (case.upstream if kind == "upstream" else case.values)[name]
    new = change(old)
    if torch.equal(old, new):
        return None
    if kind == "upstream":
        return case.values, {**case.upstream, name: new}
    return {**case.values, name: new}, case.upstream


def _only_leading(shapes: list[Any], changed: list[Any]) -> bool:
    """Whether only leading dimensions differ: a batch, whose size may be 1."""
    moved = [
        (place, len(shape))
        for shape, other in zip(shapes, changed, strict=True)
        if isinstance(shape, tuple) and isinstance(other, tuple) and len(shape) == len(other)
        for place, (size, different) in enumerate(zip(shape, other, strict=True))
        if size != different
    ]
    return bool(moved) and all(place < length - 1 for place, length in moved)
