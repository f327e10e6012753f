"""Run recorded calls again: in double precision, with autograd, with other tensors in place of some."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from handgrad.own_forward_pass.tape import NOW, Call, State, Tape, tensors_in

__all__ = ["NOT_RUN", "Replay", "as_double"]

NOT_RUN = (RuntimeError, TypeError, ValueError, IndexError, KeyError, NotImplementedError)
"""What calls that are run with other tensors may raise."""

# fmt: off
_RANDOM = frozenset((
    "rand_like", "randn_like", "randint_like", "empty_like", "multinomial", "bernoulli", "normal", "randperm",
    "normal_", "uniform_", "random_", "bernoulli_", "exponential_",
))
# fmt: on
"""Calls whose result is not computed from their arguments: it stays as recorded."""
_DROPOUT = frozenset(("dropout", "dropout_", "alpha_dropout", "feature_dropout"))
# fmt: off
_SAME_DTYPE = frozenset((
    "index_add", "index_add_", "scatter_add", "scatter_add_", "matmul", "mm", "bmm", "addmm", "einsum",
    "__matmul__", "__rmatmul__", "tensordot", "linear", "where", "lerp", "baddbmm", "conv1d", "conv2d",
))
# fmt: on
"""Calls whose tensors must have one dtype."""
_SMALL = (torch.float32, torch.float16, torch.bfloat16)


def as_double(value: Any) -> Any:
    """A floating-point tensor in float64; anything else as it is."""
    return value.double() if isinstance(value, torch.Tensor) and value.dtype in _SMALL else value


class Replay:
    """The calls ``indices`` of a tape, run again; everything is computed in float64 if ``double``.

    Tensors ``instead`` of states are used, such as random upstream gradients in place of answers, and ``known`` values
    of tensors that are not computed here. At the tensors with the identities ``cuts`` the graph is cut: what follows
    uses a fresh leaf, and ``before_cut`` has the tensor that ends at the cut. With ``grad`` autograd records the calls,
    and constants require gradients too.
    """

    def __init__(
        self,
        tape: Tape,
        indices: Iterable[int],
        *,
        instead: Mapping[State, torch.Tensor] | None = None,
        cuts: Collection[int] = (),
        known: Mapping[int, torch.Tensor] | None = None,
        grad: bool = False,
        double: bool = True,
    ) -> None:
        self._tape, self._instead, self._known = tape, dict(instead or {}), known or {}
        self._cuts, self._grad, self._double = set(cuts), grad, double
        self._made: dict[int, torch.Tensor] = {}
        self._constants: dict[State, torch.Tensor] = {}
        self.before_cut: dict[int, torch.Tensor] = {}
        with contextlib.ExitStack() as stack:
            dtype = torch.get_default_dtype()
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float64 if double else dtype)
            stack.enter_context(torch.set_grad_enabled(grad))
            for index in indices:
                self._run(tape.calls[index])

    def value(self, tensor: torch.Tensor, before: int = NOW) -> torch.Tensor:
        """What a tensor of the tape is here; the constant that it was, if nothing here made it."""
        if id(tensor) in self._made:
            return self._made[id(tensor)]
        constants = [value for (key, _), value in self._constants.items() if key == id(tensor)]
        return constants[0] if constants else self._read(tensor, before)

    def _read(self, tensor: torch.Tensor, before: int) -> torch.Tensor:
        state = self._tape.state(tensor, before)
        if state in self._instead:
            return self._instead[state]
        for values in (self._made, self._known):
            if id(tensor) in values:
                return values[id(tensor)]
        if state not in self._constants:
            value = self._tape.value(tensor, before).detach()
            value = as_double(value) if self._double else value
            if self._grad and value.is_floating_point():
                value = value.clone().requires_grad_()
            self._constants[state] = value
        return self._constants[state]

    def _run(self, call: Call) -> None:
        if call.name in _RANDOM or call.name == "grad":
            return
        if call.name in _DROPOUT:
            results = [self._dropped(call)]
        else:
            arguments = self._arguments(call)
            function = torch.Tensor.double if call.name == "float" and self._double else call.function
            results = tensors_in(function(*arguments[0], **arguments[1]))
        for output, result in zip(call.outputs, results, strict=False):
            if id(output) in self._cuts and id(output) not in self.before_cut:
                self.before_cut[id(output)] = result
                result = result.detach().clone().requires_grad_()  # noqa: PLW2901 - the leaf takes its place
            self._made[id(output)] = result

    def _arguments(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        instead = self._instead
        if call.target is not None:
            # the target is changed: it must be a tensor of this replay, and not one that stands in for a state
            state = self._tape.state(call.target, call.position)
            if state in instead or id(call.target) not in self._made:
                self._made[id(call.target)] = self._read(call.target, call.position).clone()
            self._instead = {key: value for key, value in instead.items() if key != state}
        args, kwargs = self._swapped(call.args, call.position), self._swapped(call.kwargs, call.position)
        self._instead = instead
        if call.name == "__setitem__" and isinstance(args[2], torch.Tensor):
            args = (args[0], args[1], args[2].to(args[0].dtype))
        if call.name in _SAME_DTYPE and any(tensor.dtype == torch.float64 for tensor in tensors_in(args)):
            args = tuple(as_double(value) for value in args)
        return args, kwargs

    def _swapped(self, value: Any, before: int) -> Any:
        if isinstance(value, torch.Tensor):
            return self._read(value, before)
        if isinstance(value, tuple):
            items = tuple(self._swapped(item, before) for item in value)
            return type(value)(*items) if hasattr(value, "_fields") else items
        if isinstance(value, list):
            return [self._swapped(item, before) for item in value]
        if isinstance(value, dict):
            return {key: self._swapped(item, before) for key, item in value.items()}
        return torch.float64 if self._double and value is torch.float32 else value

    def _dropped(self, call: Call) -> torch.Tensor:
        """Dropout again, with the mask that was drawn."""
        given = call.inputs[0]
        before = as_double(self._tape.value(given, call.position))
        after = as_double(self._tape.value(call.outputs[0], NOW if call.outputs[0] is not given else call.position + 1))
        factor = torch.where(before != 0, after / before, torch.zeros_like(before))
        value = self._read(given, call.position)
        return value * factor.to(value.dtype)
