"""The tape: every torch call of a notebook, with what it read, what it made and what it wrote into."""

import bisect
import sys
from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["NOW", "Binding", "Call", "FunctionCall", "Gradient", "State", "Tape", "storage_of", "tensors_in"]

NOW = 1 << 60
"""A position after every call of the tape."""
MAX_CALLS = 400_000
"""Calls that are kept: a notebook with a Python loop over its data set makes as many."""
MAX_COPIED = 1 << 29
"""Bytes of the copies that are made before tensors are overwritten (512 MiB)."""
MOST_ITEMS = 2_000
"""Items of the longest list that is searched for tensors."""
# fmt: off
_UNRECORDED = frozenset((
    "shape", "dtype", "device", "requires_grad", "is_leaf", "grad_fn", "ndim", "layout", "names", "_version",
    "is_sparse", "is_cuda", "dim", "size", "numel", "nelement", "__len__", "__repr__", "__format__", "__str__",
    "__hash__", "__dir__", "stride", "data_ptr", "is_floating_point", "is_complex", "is_tensor", "retain_grad",
    "requires_grad_", "retains_grad", "manual_seed", "element_size", "type", "_set_grad_enabled", "is_contiguous",
    "register_hook", "storage", "untyped_storage", "itemsize", "nbytes", "is_quantized", "is_meta",
))
# fmt: on
"""Calls that make no tensor and change none."""
_NUMBERS = frozenset(["item", "tolist", "numpy", "__float__", "__int__", "__array__"])
"""Calls after which a value leaves the tape."""
_SHARING = ("numpy", "__array__")
_IN_PLACE = frozenset(("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"))

State = tuple[int, int]
"""A tensor as it was: its identity, and how often its storage had been written to."""


@dataclass(slots=True, eq=False)
class Call:
    """One torch call.

    ``target`` is the tensor that it wrote into, if any. It was made in the ``cell`` and ``line`` of the notebook.
    """

    position: int
    function: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    target: torch.Tensor | None
    cell: int
    line: int


class Binding(NamedTuple):
    """A value that was bound to a name before the call at ``position``; ``owner`` is the ``self`` of ``self.dW``."""

    position: int
    cell: int
    line: int
    name: str
    value: Any
    owner: Any = None


class FunctionCall(NamedTuple):
    """A call of one of the notebook's own functions with several tensors, and the names of the arguments."""

    position: int
    cell: int
    line: int
    function: str
    names: dict[int, str]
    tensors: list[torch.Tensor]


class NumberRead(NamedTuple):
    """A value that left the tape, with the line of the cell that asked for it.

    After ``x.numpy()`` the two share their memory: what numpy writes is not on the tape.
    """

    position: int
    cell: int
    line: int
    tensors: list[torch.Tensor]
    shares_memory: bool


class Gradient(NamedTuple):
    """A call of ``backward``, which ``accumulates`` in ``.grad``, or of ``torch.autograd.grad`` on ``root``."""

    position: int
    root: torch.Tensor
    accumulates: bool


class Tape(TorchFunctionMode):
    """The torch calls of one run of a notebook; every tensor is kept, so that an identity is never used again.

    ``bindings``, ``function_calls``, ``gradients`` and ``numbers`` tell what names were bound to, and where the
    notebook called its own functions and autograd, and read numbers. ``tensor_of_gradient`` has for the identity of
    each tensor that autograd made the tensor whose gradient it is. Where the notebook, which is now at ``cell`` and
    ``line``, reads a ``.grad`` that is None, ``supply`` gives the gradient; ``supplied`` are these tensors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.bindings: list[Binding] = []
        self.function_calls: list[FunctionCall] = []
        self.gradients: list[Gradient] = []
        self.numbers: list[NumberRead] = []
        self.tensor_of_gradient: dict[int, torch.Tensor] = {}
        self.supplied: list[torch.Tensor] = []
        self.supply: Callable[[torch.Tensor], torch.Tensor | None] = lambda _: None
        self.cell = self.line = 0
        self._producers: dict[int, int] = {}
        self._writes: dict[int, list[int]] = defaultdict(list)
        self._updates: dict[int, list[int]] = defaultdict(list)
        self._copies: dict[int, list[tuple[int, torch.UntypedStorage]]] = defaultdict(list)
        self._replaced: dict[int, list[tuple[int, torch.Tensor]]] = defaultdict(list)
        self._copied = 0
        self._kept: list[Any] = []

    @property
    def position(self) -> int:
        """The number of calls so far."""
        return len(self.calls)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = _name(function)
        if name in _UNRECORDED:
            return function(*args, **kwargs)
        inputs = tensors_in((args, kwargs))
        if name == "backward" or (name == "grad" and function is torch.autograd.grad):
            return self._autograd(function, name, args, kwargs)
        if name in _NUMBERS:
            self.numbers.append(NumberRead(self.position, self.cell, _line_in_cell(), inputs, name in _SHARING))
        target = self._target(name, args, kwargs) if inputs else None
        if target is not None:
            self._copy(target)
        elif name == "data=" and storage_of(args[0]) != storage_of(args[1]):
            # the tensor gets another storage: what it was stays reachable by an alias
            self._replaced[id(args[0])].append((self.position, args[0].detach()))
            self._kept.append(args[0])
        result = function(*args, **kwargs)
        if name.endswith("="):
            return result
        if name == "grad" and result is None and args:
            result = self._supplied(args[0])
        outputs = tensors_in(result)
        if name == "grad" and outputs:
            self.tensor_of_gradient[id(outputs[0])] = args[0]
        if inputs and (outputs or target is not None) and self.position < MAX_CALLS:
            # a list may be changed by the notebook later
            args = tuple(list(value) if type(value) is list else value for value in args)
            place = self.cell, self.line
            self._record(Call(self.position, function, name, args, dict(kwargs), inputs, outputs, target, *place))
        return result

    def _record(self, call: Call) -> None:
        target = call.target
        self.calls.append(call)
        known = {id(tensor) for tensor in call.inputs}
        for output in call.outputs:
            if id(output) not in known:
                self._producers.setdefault(id(output), call.position)
        if target is not None:
            self._writes[storage_of(target)].append(call.position)
            made_by = self.producer(target)
            detached = made_by is not None and self.calls[made_by].name in ("data", "detach")
            if detached or not torch.is_grad_enabled():
                self._updates[storage_of(target)].append(call.position)

    def _autograd(self, function: Any, name: str, args: Any, kwargs: Any) -> Any:
        roots = args[0] if args else kwargs.get("tensors", kwargs.get("outputs", ()))
        found = tensors_in(roots)
        self.gradients += [Gradient(self.position, root, name == "backward") for root in found]
        # a second call must not fail: the check asks autograd nothing
        result = function(*args, **{**kwargs, "retain_graph": True})
        if name == "grad":
            inputs = tensors_in(args[1] if len(args) > 1 else kwargs.get("inputs", ()))
            for tensor, gradient in zip(inputs, result, strict=False):
                if isinstance(gradient, torch.Tensor):
                    self.owns(gradient, tensor)
        return result

    def owns(self, gradient: torch.Tensor, tensor: torch.Tensor) -> None:
        """Remember that ``gradient`` is autograd's gradient of ``tensor``."""
        self.tensor_of_gradient[id(gradient)] = tensor
        self._kept += [gradient, tensor]

    def owns_nothing(self, tensor: torch.Tensor) -> None:
        """Keep a tensor that the check itself made, so that its identity is not used again."""
        self._kept.append(tensor)

    def _supplied(self, tensor: torch.Tensor) -> torch.Tensor | None:
        gradient = self.supply(tensor)
        if gradient is not None:
            self.supplied.append(tensor)
            self.owns(gradient, tensor)
        return gradient

    @staticmethod
    def _target(name: str, args: Any, kwargs: Any) -> torch.Tensor | None:
        """The tensor that a call writes into."""
        out: object = kwargs.get("out")
        if isinstance(out, torch.Tensor):
            return out
        if not args or not (name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))):
            return None
        found = tensors_in(args[0])
        return found[0] if found else None

    def _copy(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if self._copied + storage.nbytes() <= MAX_COPIED:
            self._copied += storage.nbytes()
            self._copies[storage_of(tensor)].append((self.position, storage.clone()))  # type: ignore[no-untyped-call] # torch's

    def producer(self, tensor: torch.Tensor) -> int | None:
        """The index of the call that made ``tensor``; None if it was made from no other tensor."""
        return self._producers.get(id(tensor))

    def state(self, tensor: torch.Tensor, before: int) -> State:
        """``tensor`` as it was before the call with this index."""
        writes = self._writes.get(storage_of(tensor))
        return id(tensor), bisect.bisect_left(writes, before) if writes else 0

    def first_write(self, tensor: torch.Tensor, after: int) -> int | None:
        """The position of the first call from ``after`` on that writes into a tensor's storage; None if none does."""
        writes = self._writes.get(storage_of(tensor), [])
        later = writes[bisect.bisect_left(writes, after) :]
        return later[0] if later else None

    def value(self, tensor: torch.Tensor, before: int) -> torch.Tensor:
        """The values of ``tensor`` just before the call with this index."""
        tensor = next((alias for index, alias in self._replaced.get(id(tensor), ()) if index >= before), tensor)
        for index, storage in self._copies.get(storage_of(tensor), ()):
            if index >= before:
                empty = torch.empty(0, dtype=tensor.dtype)
                return empty.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())
        return tensor.detach()

    def is_updated(self, tensor: torch.Tensor, before: int) -> bool:
        """Whether ``tensor`` was written to as a parameter is: without autograd, after it was made."""
        made = self._producers.get(id(tensor), -1)
        return any(made < index < before for index in self._updates.get(storage_of(tensor), ()))

    def slice(self, tensor: torch.Tensor, before: int, stop: Callable[[torch.Tensor, int, State], bool]) -> list[int]:
        """The calls that made the value of ``tensor`` before a call, back to the states that ``stop`` accepts."""
        waiting, seen, found = [(tensor, before)], set[State](), set[int]()
        while waiting:
            tensor, before = waiting.pop()
            state = self.state(tensor, before)
            if state in seen:
                continue
            seen.add(state)
            if stop(tensor, before, state):
                continue
            for index in self._makers(tensor, before):
                if index not in found:
                    found.add(index)
                    waiting += [(given, index) for given in self.calls[index].inputs]
        return sorted(found)

    def _makers(self, tensor: torch.Tensor, before: int) -> list[int]:
        """The call that made ``tensor``, and those that wrote into its storage after that."""
        made = self._producers.get(id(tensor), -1)
        made = -1 if made >= before else made
        writes = self._writes.get(storage_of(tensor), [])
        later = writes[bisect.bisect_right(writes, made) : bisect.bisect_left(writes, before)]
        return later if made < 0 else [made, *later]

    def uses(self, tensor: torch.Tensor, before: int, states: Container[State], ends: Container[int] = ()) -> bool:
        """Whether the value of ``tensor`` was made from one of ``states``; the search ends at the tensors ``ends``."""
        found = False

        def stop(_: torch.Tensor, __: int, state: State) -> bool:
            nonlocal found
            found = found or state in states
            return found or state[0] in ends

        self.slice(tensor, before, stop)
        return found


def _line_in_cell() -> int:
    """The line of the notebook's cell that is running; 0 if none is."""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith("<cell "):
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_lineno if frame is not None else 0


def _name(function: Any) -> str:
    """The name of a torch function; of a property the property's, with ``=`` if it is set."""
    name = getattr(function, "__name__", str(function))
    if name in ("__get__", "__set__"):
        return str(function.__self__.__name__) + ("=" if name == "__set__" else "")
    return str(name)


def storage_of(tensor: torch.Tensor) -> int:
    """The identity of a tensor's storage: views have that of their base."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # a sparse tensor
        return -id(tensor)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors in a value: itself, or those in lists, tuples and dictionaries."""
    return list(_tensors(value))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)) and len(value) <= MOST_ITEMS:
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
