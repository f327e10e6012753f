"""``hint``: three steps, each of which says more. None of them gives the formula."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.student.heatmap import index_of
from handgrad.student.helps.counterexample import Counterexample
from handgrad.student.helps.forward_code import ForwardCode, Namespace, NoHelp, in_double
from handgrad.student.helps.neighbours import NEIGHBOURS, Operation, kinds_of
from handgrad.student.helps.output import Code, Output, Part, Table, Tables, place, signed
from handgrad.student.progress import is_unwritten

__all__ = ["STEPS", "EntryWrittenOut", "hint"]

STEPS = 3
"""Where the tensor goes, one entry written out, a neighbour that is solved."""
_SHOWN = 3
"""So many entries of one consumer are shown; the others are added up."""
_INDEPENDENT = 1e-3
"""Contributions that are nearly multiples of each other cannot be told apart."""


def hint(code: ForwardCode, name: str, step: int) -> Output:
    """Step 1, 2 or 3 of the hints for the gradient of the tensor ``name``.

    Raises
    ------
    NoHelp
        There is nothing to say; the message has the reason.
    """
    parts = (_consumers, _entry, _neighbours)[step - 1](code, name)
    return Output(f"hint {step} of {STEPS} for d{name}", tuple(parts))


def _consumers(code: ForwardCode, name: str) -> list[Part]:
    """Where the tensor goes."""
    step = code.step(name)
    count = len(step.consumers)
    arrows = ["\u2500\u2500\u25b6"] if count == 1 else ["\u251c\u2500\u25b6"] * (count - 1) + ["\u2514\u2500\u25b6"]
    rows: list[tuple[str, ...]] = []
    for arrow, consumer in zip(arrows, step.consumers, strict=True):
        line = next(line.text for line in step.lines if consumer in line.binds)
        rows.append(
            ("" if rows else f"{name} {_shape(code, name)}", f"{arrow} {consumer} {_shape(code, consumer)}", line)
        )
    several = "" if count == 1 else f", so d{name} is the sum of {count} contributions"
    parts: list[Part] = [
        f"{name} goes into {count} {'tensor' if count == 1 else 'tensors'}{several}:",
        Tables((Table(tuple(rows), words=3),)),
    ]
    between = [line.text for line in step.lines if line.binds.isdisjoint(step.consumers)]
    if between:
        parts += ["by way of", Code(tuple(between))]
    parts.append(f"d{name} has the shape of {name}, {_shape(code, name)}.")
    return parts


def _shape(code: ForwardCode, name: str) -> str:
    return "()" if name == LOSS else str(tuple(code.tensors[name].shape))


@dataclass(frozen=True)
class Way:
    """How one entry of a consumer depends on the entry: the local derivative and the upstream gradient there."""

    consumer: str
    index: tuple[int, ...]
    local: float
    upstream: float

    @property
    def contribution(self) -> float:
        """What comes back on this way."""
        return self.local * self.upstream


@dataclass(frozen=True)
class EntryWrittenOut:
    """One entry of a gradient as the sum of its ways.

    ``branches`` are, for each consumer, its contribution to the whole gradient; ``yours`` is the student's gradient,
    None if there is none of this shape.
    """

    name: str
    index: tuple[int, ...]
    value: float
    ways: Mapping[str, tuple[Way, ...]]
    branches: Mapping[str, torch.Tensor]
    yours: torch.Tensor | None

    @classmethod
    def of(
        cls,
        code: ForwardCode,
        name: str,
        namespace: Namespace,
        upstream: Mapping[str, torch.Tensor],
        yours: torch.Tensor | None,
    ) -> Self:
        """Write out the entry of ``name`` in which ``yours`` is furthest off, else the largest one."""
        leaf = namespace[name] = in_double(namespace[name]).requires_grad_()
        outputs = code.run_step(name, namespace)
        given = {
            consumer: torch.ones_like(output) if consumer == LOSS else upstream[consumer].reshape(output.shape)
            for consumer, output in outputs.items()
        }
        branches = {consumer: _branch(output, given[consumer], leaf) for consumer, output in outputs.items()}
        right = sum(branches.values(), start=torch.zeros_like(leaf)).detach()
        mine = yours.detach().double() if yours is not None and yours.shape == leaf.shape else None
        distance = right.abs() if mine is None else (mine - right).abs().nan_to_num(math.inf)
        index = index_of(int(distance.argmax()), leaf.shape)
        ways = {
            consumer: tuple(_ways(consumer, output, given[consumer], leaf, index))
            for consumer, output in outputs.items()
        }
        return cls(name, index, float(leaf.detach()[index]), ways, branches, mine)

    @property
    def total(self) -> float:
        """The right value of the entry."""
        return float(sum(float(branch[self.index]) for branch in self.branches.values()))

    def parts(self, sizes: Sequence[int]) -> Iterator[Part]:
        """The entry, its ways and their sum, and what the student has."""
        where = place(self.name, self.index)
        furthest = ", the entry where yours is furthest off" if self.yours is not None else ""
        yield f"{where} is {self.value:.4g}{furthest}. When it grows a little:"
        yield Tables((Table(tuple(self._rows()), words=1),))
        if self.yours is not None and (remark := self.remark(sizes)):
            yield remark

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield "", "local derivative", "upstream gradient", "contribution"
        for consumer, ways in self.ways.items():
            if not ways:
                yield f"{consumer}: no entry of it changes", "", "", "0"
            shown = sorted(ways, key=lambda way: -abs(way.contribution))[:_SHOWN] if len(ways) > _SHOWN + 1 else ways
            for way in shown:
                upstream = "" if consumer == LOSS else signed(way.upstream)
                yield place(consumer, way.index), signed(way.local), upstream, signed(way.contribution)
            if len(shown) < len(ways):
                rest = sum(way.contribution for way in ways) - sum(way.contribution for way in shown)
                yield f"{len(ways) - len(shown)} other entries of {consumer}, together", "", "", signed(rest)
        yield f"d{place(self.name, self.index)}, all together", "", "", signed(self.total)
        if self.yours is not None:
            yield "yours", "", "", signed(float(self.yours[self.index]))

    def remark(self, sizes: Sequence[int]) -> str:
        """What the student's whole gradient is in terms of the contributions; empty if that is not certain."""
        assert self.yours is not None
        if not bool(self.yours.any()):
            return "Yours is zero everywhere."
        branches = {name: branch.detach().flatten() for name, branch in self.branches.items() if bool(branch.any())}
        mine = self.yours.flatten()
        if not branches or len(mine) <= len(branches) or not bool(mine.isfinite().all()):
            return ""
        columns = torch.stack([branch / branch.norm() for branch in branches.values()], 1)
        if float(torch.linalg.svdvals(columns)[-1]) < _INDEPENDENT:
            return ""
        shares = torch.linalg.lstsq(columns, mine[:, None], driver="gelsd").solution.flatten()
        if float((columns @ shares - mine).abs().max()) > 1e-4 * float(mine.abs().max()):
            return ""
        found = {
            name: share / float(branch.norm())
            for (name, branch), share in zip(branches.items(), shares.tolist(), strict=True)
        }
        wrong = {name: share for name, share in found.items() if abs(share - 1) > 1e-3}
        if not 0 < len(wrong) <= 2:
            return ""
        if len(self.branches) == 1:
            whole = _multiple(next(iter(wrong.values())), sizes)
            return f"Your whole d{self.name} is {whole}." if whole else ""
        said = [f"the contribution through {name} {_share(share, sizes)}" for name, share in wrong.items()]
        return f"In your whole d{self.name}, {' and '.join(said)}."


def _multiple(share: float, sizes: Sequence[int]) -> str:
    """What a gradient is that is ``share`` times the right one; empty if the number tells nothing."""
    sign = " with the wrong sign" if share < 0 else ""
    size = abs(share)
    if abs(size - 1) < 1e-3:
        return f"the right one{sign}"
    for number in (2, *sizes):
        if abs(size - number) < 1e-3 * number:
            return f"{'twice' if number == 2 else f'{number} times'} the right one{sign}"
        if abs(size - 1 / number) < 1e-3 / number:
            return f"the right one divided by {number}{sign}"
    return ""


def _share(share: float, sizes: Sequence[int]) -> str:
    """How far a contribution is in a sum that has ``share`` times of it."""
    sign = ", with the wrong sign" if share < 0 else ""
    size = abs(share)
    if size < 1e-3:
        return "is missing"
    if abs(size - 1) < 1e-3:
        return "has the wrong sign"
    for number in (2, *sizes):
        if abs(size - number) < 1e-3 * number:
            return f"is there {'twice' if number == 2 else f'{number} times'}{sign}"
        if abs(size - 1 / number) < 1e-3 / number:
            return f"is divided by {number}{sign}"
        for above, below in ((number - 1, number), (number, number - 1)):
            if abs(size - above / below) < 1e-4:
                return f"is there {above}/{below} times{sign}"
    return f"is there {share:.4g} times"


def _branch(output: torch.Tensor, upstream: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad((output * upstream).sum(), leaf, retain_graph=True, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient


def _ways(
    consumer: str, output: torch.Tensor, upstream: torch.Tensor, leaf: torch.Tensor, index: tuple[int, ...]
) -> Iterator[Way]:
    """The entries of ``output`` that depend on the entry of ``leaf``: a column of the Jacobian, by a double pass."""
    direction = torch.zeros_like(output, requires_grad=True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad((output * direction).sum(), leaf, create_graph=True)
    if not gradient.requires_grad:
        return
    (column,) = torch.autograd.grad(gradient[index], direction, allow_unused=True)
    if column is None:
        return
    for hit in column.nonzero().tolist():
        entry = tuple(hit)
        yield Way(consumer, entry, float(column[entry]), float(upstream[entry]))


def _entry(code: ForwardCode, name: str) -> list[Part]:
    """One entry written out: the one that is furthest off; where the loss shows nothing, one of a small case."""
    code.check_unchanged(name)
    true = {other: gradient.double() for other, gradient in code.forward_pass.true.items()}
    mine = code.given(name)
    parts: list[Part] = []
    if code.is_done(name):
        raise NoHelp(f"d{name} is right")
    if code.is_right(name, mine):
        return _small_entry(code, name)
    namespace = code.in_double()
    written = EntryWrittenOut.of(code, name, namespace, true, mine)
    code.check_made({consumer: namespace[consumer] for consumer in code.step(name).upstream})
    for consumer in code.step(name).upstream:
        gradient = code.namespace.get(f"d{consumer}")
        if is_unwritten(gradient):
            # a formula that was written without it does not need it
            if mine is None and f"d{consumer}" in code.namespace:
                parts.append(f"d{consumer} is not written yet: begin there. Here autograd's is used.")
        elif not code.is_right(consumer, gradient):
            parts.append(f"d{consumer} is not right yet: begin there. Here autograd's is used.")
    sizes = sorted({size for other in (name, *code.step(name).upstream) for size in code.tensors[other].shape} - {1, 2})
    parts = [*written.parts(sizes), *parts]
    if mine is not None and mine.shape != true[name].shape:
        parts.append(f"Yours has the shape {tuple(mine.shape)}, and {name} has {_shape(code, name)}.")
    return parts


def _small_entry(code: ForwardCode, name: str) -> list[Part]:
    """The entry of a small case: on the loss of the notebook nothing is off."""
    example = Counterexample.of(code, name)
    case = example.case
    if case.whole or not case.has_shape:
        return [f"This loss cannot show what is wrong; `counterexample('d{name}')` can."]
    written = EntryWrittenOut.of(code, name, case.setting.with_values(case.values), case.upstream, case.wrong)
    sizes = sorted({*case.right.shape} - {1, 2})
    return [
        f"This loss cannot show what is wrong. With the numbers of `counterexample('d{name}')`:",
        *written.parts(sizes),
    ]


def _neighbours(code: ForwardCode, name: str) -> list[Part]:
    """One or two neighbours, solved."""
    kinds = list(dict.fromkeys(_kinds(code, name)))
    parts: list[Part] = [part for kind in kinds[:2] for part in NEIGHBOURS[kind].parts()]
    return [
        *parts,
        f"This was the last step. `counterexample('d{name}')` shows the smallest case in which yours fails.",
    ]


def _kinds(code: ForwardCode, name: str) -> Iterator[str]:
    """The kinds of operations between the tensor and its consumers, from the autograd graph of the step."""
    namespace = code.in_double()
    leaf = namespace[name].requires_grad_()
    outputs = code.run_step(name, namespace)
    if len(outputs) > 1:
        yield "two uses"
    given = (code.namespace.get(other) for other in code.step(name).inputs)
    fixed = any(
        isinstance(value, torch.Tensor) and value.is_floating_point() and not value.requires_grad for value in given
    )
    for output in outputs.values():
        yield from kinds_of(_way(output, leaf), leaf.shape, output.shape, fixed=fixed)


def _way(output: torch.Tensor, leaf: torch.Tensor) -> list[Operation]:
    """The nodes of the graph between ``leaf`` and ``output``, the nearest to ``leaf`` first."""
    end = leaf.view_as(leaf).grad_fn
    assert end is not None
    accumulate = end.next_functions[0][0]
    reached: dict[Any, bool] = {accumulate: True}
    found: list[Operation] = []

    def walk(node: Any) -> bool:
        if node is None:
            return False
        if node not in reached:
            reached[node] = False
            inputs = [following for following, _ in node.next_functions]
            ways = tuple(number for number, following in enumerate(inputs) if walk(following))
            reached[node] = bool(ways)
            if ways:
                direct = any(inputs[number] is accumulate for number in ways)
                title = node.name().rstrip("0123456789").removesuffix("Backward")
                found.append(Operation(title, ways, direct, tuple(following is None for following in inputs)))
        return reached[node]

    with torch.enable_grad():
        walk(output.grad_fn)
    return found
