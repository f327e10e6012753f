"""Worked neighbours: an operation of the kind that a step has, on a few whole numbers and with other names, solved.

A neighbour is data: a line of forward pass, its inputs, the upstream gradients, and words. Its tables are made by
autograd when it is shown. In the words an entry of the gradient is written as ``da[0, 2]: 1 * 2 = 2``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch

from handgrad.student.helps.output import Code, Part, Tables, tensor_table

__all__ = ["NEIGHBOURS", "Neighbour", "Operation", "kinds_of"]

Numbers = Any
"""A tensor as nested lists."""


@dataclass(frozen=True)
class Neighbour:
    """A solved step: ``forward`` makes tensors from ``inputs``; the gradient of the input ``of`` is asked for."""

    title: str
    forward: str
    inputs: Mapping[str, Numbers]
    upstream: Mapping[str, Numbers]
    words: str
    of: str = "a"

    def solved(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The tensors by name, and the gradient, by autograd."""
        namespace: dict[str, Any] = {name: _tensor(numbers) for name, numbers in self.inputs.items()}
        with torch.enable_grad():
            leaf = namespace[self.of].requires_grad_()
            exec(self.forward, namespace)
            total = sum((namespace[name] * _tensor(numbers)).sum() for name, numbers in self.upstream.items())
        (gradient,) = torch.autograd.grad(total, leaf)
        names = (*self.inputs, *self.upstream)
        return {name: namespace[name].detach() for name in names}, gradient

    def parts(self) -> list[Part]:
        """What is shown."""
        tensors, gradient = self.solved()
        shown = [tensor_table(tensor, name, logarithms=name in self.inputs) for name, tensor in tensors.items()]
        upstream = [tensor_table(_tensor(numbers), f"d{name}") for name, numbers in self.upstream.items()]
        result = tensor_table(gradient, f"d{self.of}")
        return [
            f"A neighbour: {self.title}, solved.",
            Code(tuple(self.forward.splitlines())),
            Tables((*shown, *upstream, result)),
            *self.words.splitlines(),
        ]


@dataclass(frozen=True)
class Operation:
    """A node of the autograd graph on the way from a tensor to a consumer.

    ``ways`` are the numbers of the node's inputs that lead to the tensor, ``direct`` tells whether one of them is the
    tensor itself, ``constant`` whether each input needs no gradient.
    """

    name: str
    ways: tuple[int, ...]
    direct: bool
    constant: tuple[bool, ...]


def _tensor(numbers: Numbers) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


_A = [[1, 2, 3], [4, 5, 6]]
_UPSTREAM = [[1, 0, 2], [0, 3, 1]]
_FACTOR = [[1, 2], [0, 1], [3, 0]]

NEIGHBOURS: Mapping[str, Neighbour] = {
    "added": Neighbour(
        "two tensors of one shape, added",
        "t = a + s",
        {"a": _A, "s": [[2, 0, 1], [5, 1, 3]]},
        {"t": _UPSTREAM},
        "A little more of an entry of a makes the entry of t in the same place grow as much: the local "
        "derivative is 1.\n"
        "So each upstream gradient arrives as it is. da[0, 2]: 1 * 2 = 2. da[1, 1]: 1 * 3 = 3.",
    ),
    "entrywise": Neighbour(
        "a function of each entry",
        "t = a**3",
        {"a": [[1, 2, 3], [2, 1, 0]]},
        {"t": _UPSTREAM},
        "Each entry of t depends on one entry of a, in the same place. The local derivative is how steep the cube is "
        "there: 3 at 1, 12 at 2, 27 at 3, and 0 at 0.\n"
        "It is multiplied by the upstream gradient in the same place. da[0, 2]: 27 * 2 = 54. da[1, 1]: 3 * 3 = 9. "
        "da[1, 2]: 0 * 1 = 0.",
    ),
    "product": Neighbour(
        "a product of entries",
        "t = a * s",
        {"a": _A, "s": [[2, 2, 1], [3, 1, 5]]},
        {"t": _UPSTREAM},
        "The local derivative of t[1, 2] with respect to a[1, 2] is the number that it is multiplied by, 5. "
        "What a itself is does not matter here.\n"
        "da[1, 2]: 5 * 1 = 5. da[0, 2]: 1 * 2 = 2. da[0, 1]: 2 * 0 = 0.",
    ),
    "stretched product": Neighbour(
        "a product with a column that is broadcast",
        "t = a * s",
        {"a": _A, "s": [[2], [3]]},
        {"t": _UPSTREAM},
        "s[0, 0] is used three times: in t[0, 0], t[0, 1] and t[0, 2]. What comes back from the three is added.\n"
        "ds[0, 0]: 1 * 1 + 2 * 0 + 3 * 2 = 7. ds[1, 0]: 4 * 0 + 5 * 3 + 6 * 1 = 21.",
        of="s",
    ),
    "stretched": Neighbour(
        "a row that is broadcast to every row",
        "t = a + s",
        {"a": _A, "s": [10, 20, 30]},
        {"t": _UPSTREAM},
        "s[2] stands in t[0, 2] and in t[1, 2]. A little more of it makes both grow as much, and what comes back from "
        "the two is added.\n"
        "ds[2]: 2 + 1 = 3. ds[0]: 1 + 0 = 1. ds[1]: 0 + 3 = 3.",
        of="s",
    ),
    "sum": Neighbour(
        "a sum of each row",
        "t = a.sum(1, keepdim=True)",
        {"a": _A},
        {"t": [[5], [2]]},
        "Each of a[0, 0], a[0, 1] and a[0, 2] is a part of t[0, 0]: a little more of it makes the sum grow as much.\n"
        "So the upstream gradient 5 arrives at each of the three, undivided. da[0, 1]: 1 * 5 = 5. da[1, 2]: 1 * 2 = 2.",
    ),
    "mean": Neighbour(
        "a mean of each row",
        "t = a.mean(1, keepdim=True)",
        {"a": _A},
        {"t": [[6], [3]]},
        "A little more of a[0, 0] makes the mean of its three numbers grow by a third of that.\n"
        "da[0, 0]: 1/3 * 6 = 2. da[1, 2]: 1/3 * 3 = 1.",
    ),
    "maximum": Neighbour(
        "the largest of each row",
        "t = a.max(1, keepdim=True).values",
        {"a": [[1, 7, 3], [4, 0, 2]]},
        {"t": [[5], [2]]},
        "t[0, 0] is 7, which stands in a[0, 1]. A little more of the 1 or of the 3 changes nothing.\n"
        "da[0, 1]: 1 * 5 = 5. da[0, 0]: 0 * 5 = 0. da[1, 0]: 1 * 2 = 2.",
    ),
    "left factor": Neighbour(
        "a matrix product, the left factor",
        "t = a @ s",
        {"a": _A, "s": _FACTOR},
        {"t": [[1, 2], [0, 3]]},
        "a[0, 0] meets the first row of s, (1, 2): a little more of it makes t[0, 0] grow 1 times and t[0, 1] 2 times "
        "as much.\n"
        "da[0, 0]: 1 * 1 + 2 * 2 = 5. da[1, 0]: 1 * 0 + 2 * 3 = 6. a[0, 2] meets the third row, (3, 0). "
        "da[0, 2]: 3 * 1 + 0 * 2 = 3.",
    ),
    "right factor": Neighbour(
        "a matrix product, the right factor",
        "t = s @ a",
        {"s": _FACTOR, "a": _A},
        {"t": [[1, 0, 2], [2, 1, 0], [0, 3, 1]]},
        "a[0, 0] meets the first column of s, (1, 0, 3): a little more of it makes t[0, 0] grow 1 times, t[1, 0] 0 "
        "times and t[2, 0] 3 times as much.\n"
        "da[0, 0]: 1 * 1 + 0 * 2 + 3 * 0 = 1. a[1, 1] meets the second column, (2, 1, 0). "
        "da[1, 1]: 2 * 0 + 1 * 1 + 0 * 3 = 1.",
    ),
    "shared factor": Neighbour(
        "one matrix for a batch of matrices",
        "t = s @ a",
        {"s": [[[1, 2]], [[3, 0]]], "a": _A},
        {"t": [[[1, 0, 2]], [[2, 1, 0]]]},
        "s holds two matrices, and both meet the same a. a[0, 0] goes into t[0, 0, 0] 1 times and into t[1, 0, 0] "
        "3 times.\n"
        "What comes back from the two is added, since a has no batch. da[0, 0]: 1 * 1 + 3 * 2 = 7. "
        "da[1, 2]: 2 * 2 + 0 * 0 = 4.",
    ),
    "pick": Neighbour(
        "some entries, picked",
        "t = a[[0, 1], [2, 0]]",
        {"a": _A},
        {"t": [5, 2]},
        "t reads a[0, 2] and a[1, 0], and nothing else. What nobody reads has the gradient 0.\n"
        "da[0, 2]: 1 * 5 = 5. da[1, 0]: 1 * 2 = 2. da[1, 1]: 0 * 5 = 0.",
    ),
    "lookup": Neighbour(
        "rows looked up, one of them twice",
        "t = a[[1, 1, 0]]",
        {"a": _A},
        {"t": [[1, 0, 2], [3, 1, 0], [4, 4, 4]]},
        "Row 1 of a is row 0 and row 1 of t: two rows come back to it and are added. Row 0 of a is row 2 of t.\n"
        "da[1, 0]: 1 + 3 = 4. da[1, 1]: 0 + 1 = 1. da[1, 2]: 2 + 0 = 2. da[0, 0]: 1 * 4 = 4.",
    ),
    "moved": Neighbour(
        "the same numbers in other places",
        "t = a.T.reshape(2, 3)",
        {"a": _A},
        {"t": [[1, 2, 3], [4, 5, 6]]},
        "Nothing is computed, the numbers only move: a[1, 0] is t[0, 1]. What comes back makes the same moves "
        "backwards, the last one first.\n"
        "da[1, 0]: 1 * 2 = 2. da[0, 1]: 1 * 3 = 3.",
    ),
    "two uses": Neighbour(
        "a tensor with two consumers",
        "t = a * 2\nu = a**3",
        {"a": [[1, 2, 3]]},
        {"t": [[1, 0, 2]], "u": [[1, 1, 0]]},
        "What comes back from the two consumers is added. a[0, 0] makes t grow 2 times and u 3 times as much.\n"
        "da[0, 0]: 2 * 1 + 3 * 1 = 5. da[0, 1]: 2 * 0 + 12 * 1 = 12. da[0, 2]: 2 * 2 + 27 * 0 = 4.",
    ),
    "quotient": Neighbour(
        "a divisor that a row shares",
        "t = a / s",
        {"a": [[2, 4, 8], [1, 3, 9]], "s": [[2], [1]]},
        {"t": [[1, 0, 1], [0, 1, 0]]},
        "If s[0, 0] grows from 2 to 2.001, t[0, 2] falls from 4 to 3.998: the local derivative is -2. "
        "For t[0, 0] it is -1/2. What comes back is added.\n"
        "ds[0, 0]: -1/2 * 1 + -1 * 0 + -2 * 1 = -5/2. ds[1, 0]: -1 * 0 + -3 * 1 + -9 * 0 = -3.",
        of="s",
    ),
    "shared mean": Neighbour(
        "a number less the mean that it is a part of",
        "m = a.mean(1, keepdim=True)\nt = a - m",
        {"a": [[1, 2, 6]]},
        {"t": [[3, 0, 0]]},
        "A little more of a[0, 0] makes t[0, 0] grow as much, less a third, since the mean grows too. "
        "a[0, 1] changes t[0, 0] through the mean alone.\n"
        "da[0, 0]: 2/3 * 3 = 2. da[0, 1]: -1/3 * 3 = -1. da[0, 2]: -1/3 * 3 = -1.",
    ),
    "fixed factor": Neighbour(
        "factors that are given",
        "t = a * s",
        {"a": _A, "s": [[1, 0, 1], [0, 1, 10]]},
        {"t": _UPSTREAM},
        "a[0, 1] is multiplied by 0: whatever it is, t does not show it, and nothing comes back.\n"
        "da[0, 1]: 0 * 0 = 0. da[1, 2]: 10 * 1 = 10. da[0, 2]: 1 * 2 = 2.",
    ),
    "gate": Neighbour(
        "a threshold",
        "t = a.clamp(min=2)",
        {"a": [[1, 5, 3], [4, 0, 6]]},
        {"t": [[1, 4, 2], [0, 3, 1]]},
        "a[0, 0] is below 2, and t[0, 0] stays 2 if it grows a little: nothing comes back. a[0, 2] is above: what "
        "arrives passes through.\n"
        "da[0, 0]: 0 * 1 = 0. da[0, 2]: 1 * 2 = 2. da[1, 1]: 0 * 3 = 0.",
    ),
    "overlap": Neighbour(
        "windows that overlap",
        "t = a.unfold(1, 2, 1)",
        {"a": [[1, 2, 3]]},
        {"t": [[[1, 2], [3, 4]]]},
        "t holds the windows (1, 2) and (2, 3). a[0, 1] stands in both: second in the one, first in the other.\n"
        "da[0, 1]: 2 + 3 = 5. da[0, 0]: 1 * 1 = 1. da[0, 2]: 1 * 4 = 4.",
    ),
    "softmax and loss": Neighbour(
        "scores, probabilities and the loss in one",
        "p = a.exp() / a.exp().sum(1, keepdim=True)\nt = -p[0, 1].log()",
        {"a": [[0, 0, log(2)]]},
        {"t": 1},
        "The probabilities are 1/4, 1/4 and 1/2. The loss wants the second one large. A little more of the third score "
        "makes the loss grow half as much.\n"
        "The second score acts twice: by itself, which makes the loss fall as much, and through the sum, which makes "
        "it grow by a quarter of that. da[0, 1]: -1 + 1/4 = -3/4. da[0, 2]: 1/2 * 1 = 1/2. da[0, 0]: 1/4 * 1 = 1/4.",
    ),
    "normalized": Neighbour(
        "a row, normalized",
        "m = a.mean(1, keepdim=True)\nw = ((a - m)**2).mean(1, keepdim=True)\nt = (a - m) / w",
        {"a": [[1, 2, 3]]},
        {"t": [[2, 0, 0]]},
        "a[0, 0] reaches t[0, 0] in three ways: directly, through m, and through w. Here m is 2, w is 2/3 and t[0, 0] "
        "is -3/2. Directly: 3/2 * 2 = 3. Through m: -1/3 * 3 = -1.\n"
        "Through w, which changes -2/3 times as much, and t[0, 0] 9/4 times as much as w: 9/4 * -2/3 * 2 = -3. "
        "da[0, 0]: 3 - 1 - 3 = -1.",
    ),
}
"""By the kind of the operation."""

_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("Exp", "Log", "Tanh", "Pow", "Erf", "Sqrt", "Rsqrt", "Reciprocal", "Sigmoid"), "entrywise"),
    **dict.fromkeys(("Relu", "Threshold", "Clamp", "ClampMin"), "gate"),
    **dict.fromkeys(("Max", "Amax"), "maximum"),
    **dict.fromkeys(("Im2Col", "Unfold"), "overlap"),
    "Sum": "sum",
    "Mean": "mean",
}
"""By the name of an operation in autograd's graph, where that is enough."""
_WINDOWS = frozenset(("Im2Col", "Unfold"))
_MATRIX = frozenset(("Mm", "Bmm", "Addmm", "Mv"))
_MOVES = frozenset(("View", "Transpose", "UnsafeView", "Clone", "ReshapeAlias", "T", "Permute"))
_LOSSES = frozenset(("LogSoftmax", "Softmax", "NllLoss", "CrossEntropyLoss"))


def kinds_of(way: Sequence[Operation], shape: Sequence[int], result: Sequence[int], *, fixed: bool) -> list[str]:
    """The kinds of neighbours that are near the operations on the ``way`` from a tensor to one consumer.

    ``shape`` and ``result`` are the shapes of the two; ``fixed``: the step reads a tensor that is given, like a mask.
    """
    names = {operation.name for operation in way}
    if names & _LOSSES:
        return ["softmax and loss"]
    if "Var" in names:
        return ["normalized"]
    found = [_kind(operation, tuple(shape), tuple(result), names, fixed) for operation in way]
    return list(dict.fromkeys(filter(None, found))) or ["added"]


def _kind(operation: Operation, shape: tuple[int, ...], result: tuple[int, ...], names: set[str], fixed: bool) -> str:
    """The kind of one operation; empty for one that has no neighbour."""
    larger = torch.Size(shape).numel() < torch.Size(result).numel()
    match operation.name:
        case "Div":
            return "quotient" if operation.ways == (1,) else "" if operation.constant[-1] else "fixed factor"
        case "Mul" if operation.direct:
            return "stretched product" if larger else "fixed factor" if fixed else "product"
        case "Add" | "Sub" if operation.direct and larger:
            return "stretched"
        case "Index":
            return "lookup" if len(result) > len(shape) else "pick"
        case name if name in _MATRIX and (len(shape), len(result)) == (2, 3):
            return "shared factor"
        case name if name in _MATRIX:
            return "left factor" if operation.ways == (0,) else "right factor"
        case name if name in _MOVES:
            return "moved" if names.isdisjoint(_MATRIX | _WINDOWS) else ""
        case name:
            return _KINDS.get(name, "")
