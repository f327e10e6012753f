"""Why an answer is wrong: the catalogue of mistakes, asked about the notebook's own forward pass."""

import functools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from handgrad.gradients import autograd_graph
from handgrad.gradients.autograd_graph import LOSS
from handgrad.gradients.mistakes.backward_context import BackwardContext
from handgrad.gradients.mistakes.catalogue import WHOLE, recognise_in_any_shape
from handgrad.gradients.mistakes.wrong_answer import WrongAnswer
from handgrad.own_forward_pass.graphs import LossGraph
from handgrad.own_forward_pass.judging import Judge, Judgement, StepTest
from handgrad.own_forward_pass.replay import as_double
from handgrad.report.records import Diagnosis

__all__ = ["Explanations"]

MOST_NAMES = 120
"""Named tensors of the largest forward pass whose branches are looked at: each takes a backward pass."""
_PASSES = 2
"""Step tests that an explanation has to fit."""


@dataclass(frozen=True)
class _Named:
    """One graph with names: its tensors, live under autograd, and which is computed from which."""

    graph: LossGraph
    keys: Mapping[str, int]
    tensors: Mapping[str, torch.Tensor]
    consumers: Mapping[str, tuple[str, ...]]


class Explanations:
    """Explains the wrong answers of one notebook.

    ``variables`` has for the identity of each answered tensor the notebook's variable, ``lines`` for each name of the
    forward pass the line that assigns it, ``namespace`` the sizes that the notebook has names for.
    """

    def __init__(
        self, judge: Judge, variables: Mapping[int, str], lines: Mapping[str, str], namespace: Mapping[str, Any]
    ) -> None:
        self._judge, self._variables, self._lines = judge, variables, lines
        self._numbers = {name: value for name, value in namespace.items() if type(value) is int and name[:1] != "_"}
        self._names = functools.cache(self._read_names)

    def of(self, judged: Judgement) -> Diagnosis | None:
        """The mistake in an answer that is wrong, or right on this loss only; None if no mistake is certain."""
        place = self._place(judged)
        if place is None:
            return None
        name, named = place
        blind = judged.verdict == "loss-only"
        steps = [judged.step, *self._judge.again(judged, _PASSES - 1)] if judged.step else []
        views = [self._view(name, named, judged, step, blind=blind) for step in steps]
        diagnosis = recognise_in_any_shape(f"d{name}", views)
        if diagnosis is None and not blind:
            true = self._against_truth(name, named, judged)
            # with the true gradients a formula may have skipped steps: then only the whole value says something
            diagnosis = recognise_in_any_shape(f"d{name}", [true], () if not views else WHOLE)
        return diagnosis and self._in_their_words(diagnosis, named)

    def shape(self, judged: Judgement) -> Diagnosis | None:
        """What is wrong with the shape of an answer whose values are right."""
        place = self._place(judged)
        if place is None:
            return None
        name, named = place
        views = [self._view(name, named, judged, step, blind=False) for step in self._judge.again(judged, _PASSES)]
        diagnosis = recognise_in_any_shape(f"d{name}", views or [self._against_truth(name, named, judged)])
        return diagnosis and self._in_their_words(diagnosis, named)

    def _place(self, judged: Judgement) -> tuple[str, _Named] | None:
        """The name of an answer's tensor in its graph, and the graph with its names; None if it has none."""
        named = self._names(judged.graph) if judged.graph else None
        if named is None:
            return None
        return next(((name, named) for name, key in named.keys.items() if key == id(judged.answer.tensor)), None)

    def _in_their_words(self, diagnosis: Diagnosis, named: _Named) -> Diagnosis:
        """The diagnosis with the notebook's names of gradients in place of ``d`` and the tensor's name."""
        words = {f"d{name}": self._variables[key] for name, key in named.keys.items() if key in self._variables}
        changed = {ours: theirs for ours, theirs in words.items() if ours != theirs}
        if not changed:
            return diagnosis
        alternatives = "|".join(map(re.escape, sorted(changed, key=len, reverse=True)))
        pattern = re.compile(rf"(?<![\w.])(?:{alternatives})(?![\w\[])")

        def said(text: str) -> str:
            return pattern.sub(lambda found: changed[found[0]], text)

        return replace(diagnosis, what=said(diagnosis.what), advice=said(diagnosis.advice), cell=said(diagnosis.cell))

    def _read_names(self, graph: LossGraph) -> _Named | None:
        names = self._judge.answers.names
        held = [(names[key], key) for key in graph.true if key in names and key != id(graph.root)]
        if not 0 < len(held) <= MOST_NAMES:
            return None
        several = {name for name, count in Counter(name for name, _ in held).items() if count > 1}
        counts: Counter[str] = Counter()
        keys: dict[str, int] = {}
        for name, key in held:
            counts[name] += 1
            keys[f"{name}[{counts[name] - 1}]" if name in several else name] = key
        replay = graph.replay
        tensors = {name: replay.value(graph.tensors[key], graph.before) for name, key in keys.items()}
        root = replay.value(graph.root, graph.before)
        try:
            consumers = autograd_graph.consumers(root, tensors)
        except RuntimeError:
            return None
        return _Named(graph, keys, tensors, consumers)

    def _view(self, name: str, named: _Named, judged: Judgement, step: StepTest, *, blind: bool) -> WrongAnswer:
        upstream = dict(step.upstream)
        rest = {other: key for other, key in named.keys.items() if key not in upstream and other != name}
        others = [named.graph.tensors[key] for key in rest.values()]
        _, *found = self._judge.gradients_with(named.graph, upstream, judged.answer.tensor, others)
        gradients = {
            other: torch.zeros_like(named.tensors[other]) if value is None else value
            for other, value in zip(rest, found, strict=True)
        }
        gradients |= {other: upstream[key] for other, key in named.keys.items() if key in upstream}
        gradients[name] = step.expected
        context = self._context(named, gradients)
        zero = frozenset(other for other, key in named.keys.items() if key in named.graph.zero)
        return WrongAnswer(
            context, name, step.answer, step.expected, blind=blind, zero=zero if blind else frozenset(), passes=_PASSES
        )

    def _against_truth(self, name: str, named: _Named, judged: Judgement) -> WrongAnswer:
        gradients = {other: named.graph.true[key] for other, key in named.keys.items()}
        value = as_double(self._judge.answers.value(judged.answer))
        context = self._context(named, gradients)
        return WrongAnswer(context, name, value, gradients[name], skips=judged.step is not None)

    def _context(self, named: _Named, gradients: Mapping[str, torch.Tensor]) -> BackwardContext:
        root = named.graph.replay.value(named.graph.root, named.graph.before)
        namespace = {**self._numbers, **named.tensors, **self._constants(named), LOSS: root}
        return BackwardContext(namespace, named.tensors, gradients, named.consumers, self._lines)

    def _constants(self, named: _Named) -> dict[str, torch.Tensor]:
        """The other named tensors that a formula may use: labels, indices, masks."""
        tape = self._judge.tape
        found: dict[str, torch.Tensor] = {}
        for bound in tape.bindings:
            if (
                isinstance(bound.value, torch.Tensor)
                and not bound.value.is_floating_point()
                and bound.name.isidentifier()
                and bound.name not in named.tensors
                and bound.position <= named.graph.before
                and bound.value.numel() <= 1 << 16
            ):
                found[bound.name] = bound.value
        return found
