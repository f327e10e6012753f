"""Judge one answer: its value against the true gradient, and its formula under random upstream gradients."""

import itertools
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from handgrad.gradients.comparison import scale_of
from handgrad.own_forward_pass.answers import Answer, Answers, agree, in_shape
from handgrad.own_forward_pass.graphs import Graphs, LossGraph
from handgrad.own_forward_pass.replay import NOT_RUN, Replay, as_double
from handgrad.own_forward_pass.tape import State, Tape, storage_of

__all__ = ["RANKS", "Judge", "Judgement", "StepTest", "Upstream"]

Verdict = Literal["right", "carried", "loss-only", "copy", "wrong", "unknown"]
_Tested = Literal["right", "wrong", "copy", "impossible"]
RANKS: tuple[Verdict, ...] = ("right", "loss-only", "carried", "copy", "unknown", "wrong")
"""The verdicts, best first.

right
    The true gradient, by a formula that is right for other upstream gradients too.
loss-only
    The true gradient, by a formula that is wrong for other upstream gradients.
carried
    Another value, but right for the upstream gradients that it is made from.
copy
    Autograd's own gradient.
wrong
    Neither.
unknown
    Neither, but the formula could not be run again.
"""
SMALLEST_SCALE = 1e-3
"""The smallest scale of a random upstream gradient."""
ZERO_SCALE = 1e-2
"""The scale of one whose true gradient is zero."""
MOST_READINGS = 8
"""Ways of reading which tensors an answer's upstream gradients belong to."""
NOISE = 1e-6
"""What float32 leaves of a gradient that is zero by construction, as a share of the graph's largest gradient."""
NEGLIGIBLE = 1e-12
"""An absolute difference that float64 explains."""


@dataclass(frozen=True)
class Upstream:
    """An upstream gradient that an answer is made from: its ``state``, its values, and whose gradient it is."""

    state: State
    value: torch.Tensor
    tensor: torch.Tensor
    is_autograd: bool


@dataclass(frozen=True)
class StepTest:
    """One run of an answer's formula with random upstream gradients.

    ``upstream`` has them by the identity of their tensor; ``answer`` is what the formula gives, ``expected`` what the
    graph gives.
    """

    upstream: Mapping[int, torch.Tensor]
    answer: torch.Tensor
    expected: torch.Tensor

    @property
    def is_right(self) -> bool:
        """Whether the two agree, in the shape of the tensor or one that differs by sizes of 1."""
        value = in_shape(as_double(self.answer).detach(), tuple(self.expected.shape))
        return value is not None and agree(value, self.expected, NEGLIGIBLE)


@dataclass
class Judgement:
    """The verdict on one answer.

    It was judged against ``graph`` (None if none holds its tensor), and is made from the gradients ``upstream``. It
    fails the test ``step``; None if it passes one or none could be run: ``reason`` says why not. ``is_masked`` tells
    whether its formula is right only where the true upstream gradient is not zero.
    """

    answer: Answer
    verdict: Verdict
    graph: LossGraph | None = None
    upstream: tuple[Upstream, ...] = ()
    shape_is_right: bool = True
    step: StepTest | None = None
    is_masked: bool = False
    reason: str = ""

    @property
    def rank(self) -> tuple[int, bool]:
        """Small for a good verdict."""
        return RANKS.index(self.verdict), not self.shape_is_right


@dataclass
class _Formula:
    """How an answer can be run again: the calls that make it, and the upstream gradients that these read."""

    calls: list[int]
    upstream: list[list[Upstream]]


@dataclass
class Judge:
    """Judges the answers of one notebook.

    ``shown`` has the cells and lines that only show or test something: a number that is read there goes no further.
    """

    tape: Tape
    graphs: Graphs
    answers: Answers
    shown: Collection[tuple[int, int]] = ()
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(12345))

    def __post_init__(self) -> None:
        self._answers_by_state: dict[State, list[Answer]] = {}
        for answer in self.answers.all:
            if not answer.is_part and answer.array is None:
                self._answers_by_state.setdefault(answer.state, []).append(answer)

    def judge(self, answer: Answer) -> Judgement:
        """The verdict on ``answer``, in the graph where it is best: a notebook may have several losses."""
        need = self._upstream_tensors(answer)
        graphs = list(itertools.islice(self.graphs.of(answer.tensor, answer.before, need), 2))
        if not any(set(need) <= graph.tensors.keys() for graph in self.graphs.all):
            first = self.graphs.first(answer.tensor, answer.before)
            graphs = [first] if first else []
        best = Judgement(answer, "unknown", reason="no loss depends on its tensor")
        for graph in graphs:
            judged = self._judge_in(answer, graph)
            best = judged if best.graph is None or judged.rank < best.rank else best
            if best.verdict == "right":
                break
        return best

    def _judge_in(self, answer: Answer, graph: LossGraph) -> Judgement:
        true = graph.true[id(answer.tensor)]
        is_zero = id(answer.tensor) in graph.zero
        value: torch.Tensor = as_double(self.answers.value(answer))
        reshaped = in_shape(value, tuple(true.shape))
        judged = Judgement(answer, "unknown", graph, shape_is_right=tuple(value.shape) == tuple(true.shape))
        # what float32 leaves of a gradient that is zero by construction is not small beside that gradient
        allowance = max(NEGLIGIBLE, NOISE * graph.scale) if is_zero else graph.allowance(answer.tensor)
        is_true = reshaped is not None and agree(reshaped, true, allowance)
        outcome = self._test(judged, answer, graph) if answer.array is None else "impossible"
        if outcome == "copy":
            judged.verdict = "copy"
        elif is_true and is_zero:
            # the loss shows nothing here: only the step decides
            judged.verdict = "right" if outcome == "right" and judged.upstream else "loss-only"
        elif is_true:
            judged.verdict = "loss-only" if outcome == "wrong" else "right"
        elif outcome == "right" or self._is_carried(answer, graph, reshaped):
            judged.verdict = "carried"
        else:
            judged.verdict = "unknown" if outcome == "impossible" and answer.array is None else "wrong"
            # a value that is not the gradient is wrong, however it was made; why is not known
            if judged.verdict == "unknown" and not judged.upstream:
                judged.verdict = "wrong"
        return judged

    def again(self, judged: Judgement, times: int) -> list[StepTest]:
        """More step tests of an answer that fails one, with other random numbers."""
        answer, graph, upstream = judged.answer, judged.graph, judged.upstream
        if graph is None:
            return []
        for formula in self._formulas(answer, graph):
            if {read.state for given in formula.upstream for read in given} == {read.state for read in upstream}:
                tests = [
                    self._run(answer, graph, formula.calls, upstream, masked=False, consistent=False)
                    for _ in range(times)
                ]
                return [test for test in tests if test]
        return []

    def _is_carried(self, answer: Answer, graph: LossGraph, value: torch.Tensor | None) -> bool:
        """Whether a value that cannot be run again is what the notebook's own upstream gradients give."""
        if value is None:
            return False
        own = {
            id(other.tensor): given
            for other in self.answers.all
            if other.tensor is not answer.tensor
            and not other.is_part
            and id(other.tensor) in graph.true
            and (given := in_shape(as_double(self.answers.value(other)), tuple(other.tensor.shape))) is not None
        }
        try:
            expected = self.gradients_with(graph, own, answer.tensor)[0]
        except NOT_RUN:
            return False
        return expected is not None and agree(value, expected, graph.allowance(answer.tensor))

    # the step test

    def _test(self, judged: Judgement, answer: Answer, graph: LossGraph) -> _Tested:
        """Run the formula with random upstream gradients; sets the fields of ``judged`` that say how it went."""
        if id(answer.value) in self.tape.tensor_of_gradient:
            return "copy"
        if self._is_shared(answer):
            judged.reason = "numpy writes into it"
            return "impossible"
        if id(answer.value) in self.graphs.tensors:
            # another name of a tensor of the forward pass
            return self._test_constant(judged, answer, graph)
        outcome: _Tested = "impossible"
        for formula in self._formulas(answer, graph):
            used = [read for given in formula.upstream for read in given]
            if used and all(read.tensor is answer.tensor and read.is_autograd for read in used):
                return "copy"
            outcome = self._test_formula(judged, graph, formula) or outcome
            if outcome == "right":
                return outcome
        if outcome == "wrong" and self._leaves_the_tape(answer, judged.upstream):
            judged.reason = "it goes through Python numbers"
            judged.step = None
            return "impossible"
        return outcome

    def _test_formula(self, judged: Judgement, graph: LossGraph, formula: _Formula) -> Literal["right", "wrong"] | None:
        """Run one reading of a formula; None if it cannot be run."""
        answer = judged.answer
        outcome: Literal["wrong"] | None = None
        for upstream in itertools.islice(itertools.product(*formula.upstream), MOST_READINGS):
            for masked, consistent in self._variants(upstream):
                try:
                    test = self._run(answer, graph, formula.calls, upstream, masked=masked, consistent=consistent)
                except NOT_RUN as error:
                    judged.reason = judged.reason or f"{type(error).__name__}: {error}"
                    continue
                if test is not None and test.is_right:
                    judged.upstream, judged.step = upstream, None
                    judged.is_masked, judged.reason = masked, ""
                    return "right"
                if test is not None:
                    outcome = "wrong"
                    if judged.step is None and not masked and not consistent:
                        judged.step, judged.upstream = test, upstream
        return outcome

    def _is_shared(self, answer: Answer) -> bool:
        """Whether an answer shares its memory with a numpy array."""
        storage = storage_of(answer.value)
        return any(
            read.shares_memory and any(storage_of(tensor) == storage for tensor in read.tensors)
            for read in self.tape.numbers
            if read.position <= answer.before
        )

    def _test_constant(self, judged: Judgement, answer: Answer, graph: LossGraph) -> Literal["right", "wrong"]:
        (expected,) = self.gradients_with(graph, {}, answer.tensor)
        expected = torch.zeros(answer.tensor.shape, dtype=torch.float64) if expected is None else expected
        test = StepTest({}, as_double(self.answers.value(answer)), expected)
        judged.step = None if test.is_right else test
        return "right" if test.is_right else "wrong"

    @staticmethod
    def _variants(upstream: Sequence[Upstream]) -> Iterator[tuple[bool, bool]]:
        """Whether the random numbers are zero where the true ones are, and whether they belong together."""
        yield False, False
        if upstream:
            yield True, False
        if len(upstream) > 1:
            yield False, True
            yield True, True

    def _upstream_tensors(self, answer: Answer) -> set[int]:
        """The identities of the tensors whose gradients an answer is made from."""
        if answer.array is not None:
            return set()
        _, used = self._traced(answer, self.graphs.tensors)
        return {id(given[0].tensor) for given in used}

    def _traced(self, answer: Answer, known: Container[int]) -> tuple[list[int], list[list[Upstream]]]:
        """The calls that make an answer, and what they read of the gradients of the tensors ``known``."""
        used: dict[State, list[Upstream]] = {}

        def stop(tensor: torch.Tensor, _: int, state: State) -> bool:
            if id(tensor) in self.graphs.tensors:
                return True
            if id(tensor) in self.tape.tensor_of_gradient:
                used[state] = [Upstream(state, tensor, self.tape.tensor_of_gradient[id(tensor)], is_autograd=True)]
            elif state != answer.state and (others := self._read(answer, state, tensor, known)):
                used[state] = others
            return state in used

        calls = self.tape.slice(answer.value, answer.before, stop)
        return calls, list(used.values())

    def _read(self, answer: Answer, state: State, value: torch.Tensor, known: Container[int]) -> list[Upstream]:
        """The gradients of other tensors ``known`` that a state is an answer for."""
        return [
            Upstream(state, value, other.tensor, is_autograd=False)
            for other in self._answers_by_state.get(state, ())
            if other.tensor is not answer.tensor and id(other.tensor) in known
        ]

    def _formulas(self, answer: Answer, graph: LossGraph) -> Iterator[_Formula]:
        calls, used = self._traced(answer, graph.tensors)
        if calls:
            yield _Formula(calls, used)
        # the same state may answer two tensors: dlogits = dnorm_logits
        if also := self._read(answer, answer.state, answer.value, graph.tensors):
            yield _Formula([], [also])

    def _run(
        self,
        answer: Answer,
        graph: LossGraph,
        calls: list[int],
        upstream: Sequence[Upstream],
        *,
        masked: bool,
        consistent: bool,
    ) -> StepTest | None:
        tensors = {id(source.tensor): source for source in upstream}
        gradients = {key: self._random(graph, source, masked=masked) for key, source in tensors.items()}
        if consistent:
            nearest = [
                key
                for key in tensors
                if not any(self._depends(graph, tensors, other, key) for other in tensors if other != key)
            ]
            rest = [source.tensor for key, source in tensors.items() if key not in nearest]
            if not rest:
                return None
            given = {key: gradients[key] for key in nearest}
            expected, *others = self.gradients_with(graph, given, answer.tensor, rest)
            for tensor, gradient in zip(rest, others, strict=True):
                if gradient is not None:
                    gradients[id(tensor)] = gradient
        else:
            (expected,) = self.gradients_with(graph, gradients, answer.tensor)
        if expected is None:
            expected = torch.zeros(answer.tensor.shape, dtype=torch.float64)
        instead = {source.state: _in_the_shape_of(source.value, gradients[id(source.tensor)]) for source in upstream}
        if not calls and answer.state in instead:
            return StepTest(gradients, instead[answer.state], expected)
        replay = Replay(self.tape, calls, instead=instead, known=graph.values)
        return StepTest(gradients, replay.value(answer.value, answer.before).detach(), expected)

    def _random(self, graph: LossGraph, upstream: Upstream, *, masked: bool) -> torch.Tensor:
        """Random numbers at the scale of the true gradient; equal along dimensions that the variable lacks."""
        tensor = upstream.tensor
        true = graph.true[id(tensor)]
        is_zero = id(tensor) in graph.zero
        scale = ZERO_SCALE if is_zero else max(scale_of(true), SMALLEST_SCALE)
        noise = torch.randn(upstream.value.shape, generator=self.generator, dtype=torch.float64) * scale
        full = in_shape(noise, tuple(true.shape))
        if full is None:
            full = torch.randn(true.shape, generator=self.generator, dtype=torch.float64) * scale
        same_shape = tuple(upstream.value.shape) == tuple(true.shape)
        return full * (true != 0) if masked and not is_zero and same_shape else full.clone()

    def gradients_with(
        self,
        graph: LossGraph,
        upstream: Mapping[int, torch.Tensor],
        tensor: torch.Tensor,
        others: Sequence[torch.Tensor] = (),
    ) -> list[torch.Tensor | None]:
        """The gradients of ``tensor`` and ``others`` if those of other tensors are ``upstream`` and the loss's is 1."""
        replay = Replay(self.tape, graph.calls, cuts={*upstream, id(tensor)}, grad=True)
        root = replay.before_cut.get(id(graph.root), replay.value(graph.root, graph.before))
        ends, given = [], []
        for key, gradient in upstream.items():
            end = replay.before_cut.get(key)
            if end is not None and end.requires_grad and key != id(graph.root):
                ends.append(end)
                given.append(gradient.to(end.dtype).reshape(end.shape))
        if root.requires_grad:
            ends.append(root)
            given.append(upstream.get(id(graph.root), torch.ones_like(root)).reshape(root.shape).to(root.dtype))
        wanted = [replay.value(asked, graph.before) for asked in (tensor, *others)]
        # a sum: torch imports sympy, which takes 0.8 s, the first time that it is given grad_outputs
        total = torch.stack([(end * gradient).sum() for end, gradient in zip(ends, given, strict=True)]).sum()
        found = torch.autograd.grad(total, wanted, allow_unused=True)
        return [None if gradient is None else gradient.detach() for gradient in found]

    def _depends(self, graph: LossGraph, tensors: Mapping[int, Any], later: int, key: int) -> bool:
        """Whether one tensor is made from another without a third one of ``tensors`` in between."""
        replay = Replay(self.tape, graph.calls, cuts=set(tensors), grad=True)
        end = replay.before_cut.get(later)
        end = replay.value(graph.tensors[later], graph.before) if end is None else end
        start = replay.value(graph.tensors[key], graph.before)
        try:
            return torch.autograd.grad(end.sum(), start, allow_unused=True)[0] is not None
        except RuntimeError:
            return False

    def _leaves_the_tape(self, answer: Answer, upstream: Sequence[Upstream]) -> bool:
        """Whether a number was read from an upstream gradient while the answer was made."""
        states = {source.state for source in upstream} | {
            other.state for other in self.answers.all if other.tensor is not answer.tensor
        }

        first = self.tape.slice(answer.value, answer.before, lambda _, __, state: state in states)[:1]
        for read in self.tape.numbers:
            if not first or not first[0] <= read.position <= answer.before or (read.cell, read.line) in self.shown:
                continue
            floating = [
                tensor
                for tensor in read.tensors
                if tensor.is_floating_point() and id(tensor) not in self.graphs.tensors
            ]
            if any(self.tape.uses(tensor, read.position, states) for tensor in floating):
                return True
        return False


def _in_the_shape_of(variable: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """``gradient`` in the shape of the notebook's ``variable``, which may lack sizes of 1 or the broadcast."""
    if tuple(variable.shape) == tuple(gradient.shape):
        return gradient
    if [size for size in variable.shape if size != 1] == [size for size in gradient.shape if size != 1]:
        return gradient.reshape(variable.shape)
    if variable.dim() > gradient.dim():
        return gradient
    lacking = gradient.dim() - variable.dim()
    first = tuple(
        slice(0, 1) if dim < lacking or variable.shape[dim - lacking] == 1 else slice(None)
        for dim in range(gradient.dim())
    )
    small = gradient[first]
    return small.reshape(variable.shape) if small.numel() == variable.numel() else gradient
