"""Which variable answers which tensor: by the notebook's comparisons, by names, and by equal values."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from handgrad.gradients.comparison import RELATIVE_TOLERANCE, reshaped, scale_of
from handgrad.own_forward_pass.graphs import Graphs, LossGraph
from handgrad.own_forward_pass.names import last_part, tensors_of_gradient
from handgrad.own_forward_pass.replay import as_double
from handgrad.own_forward_pass.tape import Binding, State, Tape, storage_of

__all__ = ["Answer", "Answers", "agree", "in_shape"]

LARGEST = 1_000_000
"""Elements of the largest tensor whose partner is looked for by its values."""
# fmt: off
_COMPARISONS = frozenset((
    "eq", "ne", "sub", "rsub", "allclose", "isclose", "equal", "assert_close", "dist", "mse_loss", "l1_loss", "lt",
    "gt",
))
# fmt: on
"""Torch calls that compare two tensors."""


@dataclass(eq=False)
class Answer:
    """A state of a variable that answers one tensor.

    ``tensor`` is the tensor of the forward pass, ``tensor_name`` its name in the notebook. The variable ``name`` is the
    tensor ``value``, and is read ``before`` this position on the tape, in this ``state``. It was bound in the ``cell``
    and ``line``, or compared there if it was never bound. ``compared`` says how: the name of the notebook's function,
    or ``.grad``; empty if it is not. ``array`` is the numpy array that it was, if it was one. If it ``is_part``, a
    later state of the same variable is made from it.
    """

    tensor: torch.Tensor
    tensor_name: str
    value: torch.Tensor
    before: int
    name: str
    state: State
    cell: int
    line: int
    compared: str = ""
    array: np.ndarray[Any, Any] | None = None
    is_part: bool = False


class Answers:
    """All answers of a notebook, in the order in which they were found.

    ``names`` has for each tensor of the forward pass, by identity, the variable that holds it.

    Parameters
    ----------
    stand_ins
        Identities of gradients that the check itself put in place.
    renames
        For variables whose partner cannot be known, the tensor.
    objects
        For the identity of each of the notebook's objects, its name: ``fc1`` for the ``self`` of a layer.
    """

    def __init__(
        self,
        tape: Tape,
        graphs: Graphs,
        stand_ins: set[int],
        renames: Mapping[str, str],
        objects: Mapping[int, str],
    ) -> None:
        self.tape, self.graphs, self._stand_ins = tape, graphs, stand_ins
        self._renames, self._objects = renames, objects
        self._forward = graphs.tensors
        self._found: dict[tuple[State, int], Answer] = {}
        self.names: dict[int, str] = {}
        self._places: dict[str, list[tuple[int, torch.Tensor]]] = defaultdict(list)
        self._spelled: dict[str, set[str]] = defaultdict(set)
        self._parts: dict[str, dict[int, torch.Tensor]] = defaultdict(dict)
        self._bound: dict[int, Binding] = {}
        self._holders: dict[int, Binding] = {}
        self._read_bindings()
        self._by_comparison()
        self._by_name()
        self._by_value()
        self.all = list(self._found.values())
        self._find_parts()

    def _read_bindings(self) -> None:
        for bound in self.tape.bindings:
            if id(bound.value) in self._forward:
                self._places[bound.name].append((bound.position, bound.value))
                self.names.setdefault(id(bound.value), self._label(bound))
            elif isinstance(bound.value, (torch.Tensor, np.ndarray)):
                self._bound.setdefault(id(bound.value), bound)
                if isinstance(bound.value, torch.Tensor):
                    self._holders[storage_of(bound.value)] = bound
        for name, places in self._places.items():
            self._spelled[name.lower()].add(name)
            if name != last_part(name):
                self._parts[last_part(name)].update({id(tensor): tensor for _, tensor in places})

    def _label(self, bound: Binding) -> str:
        """The name of a variable; of an attribute with the notebook's name of the object in place of ``self``."""
        if not _has_owner(bound):
            return bound.name
        owner = self._objects.get(id(bound.owner), type(bound.owner).__name__)
        return f"{owner}.{bound.name.rpartition('.')[2]}"

    def forward_tensor(self, name: str, before: int) -> torch.Tensor | None:
        """The tensor of the forward pass that was last called ``name``, in upper or lower case."""
        for spelled in [name, *sorted(self._spelled.get(name.lower(), ()))]:
            if found := [tensor for index, tensor in self._places.get(spelled, ()) if index <= before]:
                return found[-1]
        # dW may be about params['W'], if nothing else has a W
        held = list(self._parts.get(name, {}).values())
        return held[0] if len(held) == 1 else None

    def _partner(self, bound: Binding) -> tuple[torch.Tensor, str] | None:
        """The tensor that a variable answers by its name, and the tensor's name."""
        renamed = self._renames.get(bound.name, "")
        if renamed and (tensor := self.forward_tensor(renamed, bound.position)) is not None:
            return tensor, renamed
        for name in tensors_of_gradient(bound.name):
            if _has_owner(bound):
                # self.dW of a layer is about the W of this layer
                tensor = getattr(bound.owner, name.rpartition(".")[2], None)
                tensor = tensor if id(tensor) in self._forward else None
                name = self._label(bound._replace(name=name))  # noqa: PLW2901 - with the object's name
            else:
                tensor = self.forward_tensor(name, bound.position)
                name = name if tensor is None else self.names[id(tensor)]  # noqa: PLW2901 - its first name
            if tensor is not None:
                return tensor, name
        return None

    def _add(self, place: Binding, tensor: torch.Tensor, *, how: str = "", tensor_name: str = "") -> None:
        """Add an answer, or what else is known of one: ``how`` it is compared, the ``tensor_name`` it was paired by."""
        value, before = place.value, place.position
        array = value if isinstance(value, np.ndarray) else None
        if array is not None:
            if array.dtype.kind not in "fiu":
                return
            # a numpy array is not on the tape: its values count as they are at the end
            value = torch.from_numpy(np.array(array, dtype=np.float64))
            self.tape.owns_nothing(value)
        owner = self.tape.tensor_of_gradient.get(id(value))
        if id(value) in self._stand_ins or not value.is_floating_point() or (owner is not None and owner is not tensor):
            return
        state = self.tape.state(value, before) if array is None else (id(array), 0)
        answer = self._found.get((state, id(tensor)))
        if answer is None:
            first = self._bound.get(id(value)) if array is None else None
            name = self._label(place) if place.name else self._label(first) if first else "an expression"
            known = tensor_name or self.names.get(id(tensor), "?")
            answer = Answer(tensor, known, value, before, name, state, place.cell, place.line, array=array)
            self._found[state, id(tensor)] = answer
        answer.compared = answer.compared or how
        answer.tensor_name = tensor_name or answer.tensor_name

    def _by_comparison(self) -> None:
        """What the notebook compares: in calls of its own functions, and in torch calls on a .grad."""
        for call in self.tape.function_calls:
            tensors = self._compared_tensors(call.tensors)
            others = [
                tensor for tensor in call.tensors if not self._is_theirs(tensor, tensors) and tensor.is_floating_point()
            ]
            if len(tensors) == len(others) == 1 and (others[0].numel() == tensors[0].numel() or len(call.tensors) == 2):
                name = call.names.get(id(others[0]), "")
                place = Binding(call.position, call.cell, call.line, name, others[0])
                if self._allows(place, tensors[0]):
                    self._add(place, tensors[0], how=f"{call.function}()")
        for made in self.tape.calls:
            if made.name in _COMPARISONS and len(made.inputs) >= 2:
                owners = [self.tape.tensor_of_gradient.get(id(given)) for given in made.inputs]
                tensors = [owner for owner in owners if owner is not None and id(owner) in self._forward]
                held = [
                    (given, holder)
                    for given, owner in zip(made.inputs, owners, strict=True)
                    if owner is None and id(given) not in self._forward and (holder := self._holder(given))
                ]
                if len(tensors) == len(held) == 1:
                    ((other, holder),) = held
                    place = Binding(made.position, made.cell, made.line, holder.name, other, holder.owner)
                    if self._allows(place, tensors[0]):
                        self._add(place, tensors[0], how=".grad")

    def _holder(self, tensor: torch.Tensor) -> Binding | None:
        """The variable that holds a tensor, or one that this is a view of."""
        return self._bound.get(id(tensor)) or self._holders.get(storage_of(tensor))

    def _allows(self, place: Binding, tensor: torch.Tensor) -> bool:
        """Whether a comparison may say that a variable answers ``tensor``: not if it fits what its name says."""
        first = self._bound.get(id(place.value))
        by_name = self._partner(place._replace(owner=first.owner if first else None)) if place.name else None
        if by_name is None or by_name[0] is tensor:
            return True
        # cmp("da", da, a) may have been copied without a change: then the name is right, and the values are not
        return not self._is_right(place.value, place.position, by_name[0])

    def _is_right(self, value: torch.Tensor, before: int, tensor: torch.Tensor) -> bool:
        graph = self.graphs.first(tensor, before)
        given = in_shape(as_double(self.tape.value(value, before)), tensor.shape) if graph else None
        return graph is not None and given is not None and agree(given, graph.true[id(tensor)])

    def _compared_tensors(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The tensors of the forward pass among the arguments of a call; or those whose gradients are."""
        forward = [tensor for tensor in tensors if id(tensor) in self._forward]
        owners = [self.tape.tensor_of_gradient.get(id(tensor)) for tensor in tensors]
        return forward or [owner for owner in owners if owner is not None and id(owner) in self._forward]

    def _is_theirs(self, tensor: torch.Tensor, tensors: list[torch.Tensor]) -> bool:
        """Whether an argument is one of ``tensors`` or autograd's gradient of one."""
        owner = self.tape.tensor_of_gradient.get(id(tensor))
        return id(tensor) in self._forward or any(owner is other for other in tensors)

    def _by_name(self) -> None:
        """The last state of a variable in each cell, and every earlier one from which the next is not made."""
        places: dict[tuple[str, int], list[Binding]] = defaultdict(list)
        for bound in self.tape.bindings:
            if isinstance(bound.value, (torch.Tensor, np.ndarray)) and not self._is_forward(bound):
                owner = id(bound.owner) if bound.owner is not None else 0
                places[f"{bound.name}@{owner}", bound.cell].append(bound)
        compared = defaultdict(set)
        for answer in self._found.values():
            compared[answer.name].add(id(answer.tensor))
        for bindings in places.values():
            for bound, following in zip(bindings, [*bindings[1:], None], strict=True):
                partner = self._partner(bound)
                said = compared[self._label(bound)]
                if partner is None or (said and id(partner[0]) not in said):
                    continue
                if following is None or not self._continues(bound, following):
                    self._add(bound, partner[0], tensor_name=partner[1])

    def _is_forward(self, bound: Binding) -> bool:
        """Whether a variable is a tensor of the forward pass, and not another name of one: ``dy = weights``."""
        return id(bound.value) in self._forward and self.names[id(bound.value)] == self._label(bound)

    def _continues(self, bound: Binding, following: Binding) -> bool:
        """Whether the next value of a variable is made from this one."""
        if following.value is bound.value:
            return True
        if not isinstance(bound.value, torch.Tensor) or not isinstance(following.value, torch.Tensor):
            return False
        state = self.tape.state(bound.value, bound.position)
        return self.tape.uses(following.value, following.position, {state}, self._forward)

    def _by_value(self) -> None:
        """Variables that equal the gradient of a tensor that nothing answers."""
        answered = {id(answer.tensor) for answer in self._found.values()}
        right = {
            answer.state
            for answer in self._found.values()
            if answer.array is None and self._is_right(answer.value, answer.before, answer.tensor)
        }
        shapes: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)
        for key in self.names:
            if key not in answered:
                shapes[tuple(self._forward[key].shape)].append(self._forward[key])
        last = {(bound.name, bound.cell): bound for bound in self.tape.bindings}
        for bound in last.values():
            value = bound.value
            if not isinstance(value, torch.Tensor) or not self._may_answer(value):
                continue
            candidates = [tensor for tensor in shapes.get(tuple(value.shape), ()) if id(tensor) not in answered]
            if not candidates or self.tape.state(value, bound.position) in right:
                continue
            given = as_double(self.tape.value(value, bound.position))
            if not bool(given.any()):
                continue
            named = self._partner(bound)
            equal = [tensor for tensor in candidates if self._equals(given, tensor, bound.position)]
            if len(equal) == 1 and (named is None or named[0] is equal[0]):
                self._add(bound, equal[0])

    def _may_answer(self, value: torch.Tensor) -> bool:
        known = id(value) in self._forward or id(value) in self.tape.tensor_of_gradient
        return not known and value.is_floating_point() and 2 <= value.numel() <= LARGEST

    def _equals(self, value: torch.Tensor, tensor: torch.Tensor, before: int) -> bool:
        graph: LossGraph | None = self.graphs.first(tensor, before)
        return graph is not None and id(tensor) not in graph.zero and agree(value, graph.true[id(tensor)])

    def _find_parts(self) -> None:
        """Mark the answers that were never compared, and from which a later state of the same variable is made."""
        for answer in self.all:
            answer.is_part = not answer.compared and any(
                later.tensor is answer.tensor
                and later.before > answer.before
                and later.state != answer.state
                and later.array is None
                and self._was_bound_between(answer, later)
                and self.tape.uses(later.value, later.before, {answer.state}, self._forward)
                for later in self.all
            )

    def _was_bound_between(self, answer: Answer, later: Answer) -> bool:
        return any(
            answer.before < bound.position <= later.before and bound.name == answer.name for bound in self.tape.bindings
        )

    def value(self, answer: Answer) -> torch.Tensor:
        """The values of an answer, in its own dtype."""
        return answer.value if answer.array is not None else self.tape.value(answer.value, answer.before)


def _has_owner(bound: Binding) -> bool:
    """Whether a variable is an attribute of one of the notebook's objects."""
    return bound.owner is not None and not isinstance(bound.owner, (dict, list))


def in_shape(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor | None:
    """``value`` in another shape, if only sizes of 1 or a broadcast differ; None if it cannot be."""
    return value if tuple(value.shape) == tuple(shape) else reshaped(value, tuple(shape))


def agree(value: torch.Tensor, expected: torch.Tensor, allowance: float = 0.0) -> bool:
    """Whether two tensors of one shape are equal up to the tolerance; ``allowance`` is an absolute difference."""
    return scale_of(value - expected) <= max(RELATIVE_TOLERANCE * scale_of(expected), allowance)
