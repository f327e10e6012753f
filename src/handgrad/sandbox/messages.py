"""The messages between grader and child, as records; what a child sends is validated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from handgrad.gradients import tensor_bytes
from handgrad.notebook import untrusted_json
from handgrad.notebook.execution import CellError
from handgrad.sandbox import frames
from handgrad.sandbox.child_server import TOO_MUCH

__all__ = ["Answer", "CellResult", "Death", "ParameterSet", "PassResult", "Run", "answers_in", "cell_result"]


@dataclass(frozen=True)
class ParameterSet:
    """One parameter set: a name, and the sources of its locked cells."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One pass over a submission's cells.

    Attributes
    ----------
    parameter_set
        Name of the parameter set; a child uses each once.
    cells
        Indices of the cells to run, in order.
    collect
        For each cell, the names whose values are taken after it.
    at_end
        The names whose values are taken after the last cell.
    givens
        The given gradients, set before the first cell, each with its tensor (whose ``.grad`` is set too).
    help
        Whether references replace the names that were taken, and what a cell changed is restored before each stub.
    scalars
        The gradients of the shape (), for which a number is as good as a tensor.
    outputs
        Whether the outputs of the cells are sent.
    seconds
        Wall-clock seconds for one cell (default: those of the limits).
    is_double
        Whether torch's default precision is double.
    watched
        The cells whose calls of torch are watched for numerical differentiation.
    put_back
        For each cell, the names that have their values of before the pass again after it.
    """

    parameter_set: str
    cells: tuple[int, ...]
    collect: Mapping[int, tuple[str, ...]]
    at_end: tuple[str, ...] = ()
    givens: Mapping[str, str] = field(default_factory=dict)
    scalars: tuple[str, ...] = ()
    help: bool = False
    outputs: bool = False
    seconds: float | None = None
    is_double: bool = False
    watched: tuple[int, ...] = ()
    put_back: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The value of one name.

    ``kind`` is ``tensor`` (with ``value``), ``none`` (None or ``...``), ``undefined``, ``other`` (with ``type``) or
    ``too-large``.
    """

    kind: Literal["tensor", "none", "undefined", "other", "too-large"]
    value: torch.Tensor | None = None
    type: str = ""


@dataclass(frozen=True)
class CellResult:
    """One cell in one pass: its error, the answers taken after it, its outputs, and their size in bytes.

    ``is_probing`` tells whether a watched cell tried values near one of the forward pass.
    """

    index: int
    error: CellError | None
    answers: Mapping[str, Answer]
    outputs: Sequence[Mapping[str, Any]] = ()
    shown: int = 0
    is_probing: bool = False


@dataclass(frozen=True)
class Death:
    """Why a pass did not reach its end: the cell that was running, and the reason."""

    index: int | None
    reason: Literal["timeout", "memory", "crashed", "tampered"]
    detail: str = ""


@dataclass
class PassResult:
    """The results of one pass."""

    cells: dict[int, CellResult] = field(default_factory=dict)
    at_end: Mapping[str, Answer] = field(default_factory=dict)
    death: Death | None = None


def cell_result(frame: frames.Frame, index: int, names: Sequence[str], room: int | None) -> CellResult:
    """The message about the cell ``index``, after which ``names`` were asked for.

    Outputs of more than ``room`` bytes are left out, whatever the child's own limits. None: outputs are not allowed.

    Raises
    ------
    FrameError
        It is about another cell or other names, has outputs that are not allowed, or is not such a message.
    """
    header, payload = frame
    if header.get("done") != index:
        raise tensor_bytes.FrameError("a cell reported out of turn")
    answers, rest = answers_in(header, payload, names)
    outputs: list[Any] = []
    if rest and room is None:
        raise tensor_bytes.FrameError("a cell sent outputs that were not asked for")
    if room is not None and len(rest) > room:
        outputs, rest = [{"output_type": "stream", "name": "stderr", "text": TOO_MUCH}], b""
    elif rest:
        try:
            outputs = untrusted_json.loads(rest)
        except ValueError as error:
            raise tensor_bytes.FrameError("a cell's outputs are not JSON") from error
        if (
            not isinstance(outputs, list)
            or not untrusted_json.is_shallow(outputs, text=rest)
            or not all(map(_is_output, outputs))
        ):
            raise tensor_bytes.FrameError("a cell's outputs are not those of a notebook")
    is_probing = header.get("is_probing") is True
    return CellResult(index, _error(header.get("error")), answers, outputs, len(rest), is_probing)


def _is_output(output: Any) -> bool:
    """Whether ``output`` is one of the three kinds that a child sends, in nbformat's shape."""
    match output:
        case {"output_type": "stream", "name": "stdout" | "stderr", "text": str()}:
            return len(output) == 3
        case {"output_type": "display_data", "data": dict(data), "metadata": dict()}:
            return len(output) == 3 and _is_bundle(data)
        case {"output_type": "execute_result", "data": dict(data), "metadata": dict(), "execution_count": None}:
            return len(output) == 4 and _is_bundle(data)
    return False


def _is_bundle(data: dict[str, Any]) -> bool:
    return all(isinstance(value, str) or untrusted_json.is_json(kind) for kind, value in data.items())


def _error(data: Any) -> CellError | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise tensor_bytes.FrameError("a cell's error is not an object")
    lines = data.get("traceback")
    return CellError(
        str(data.get("name")),
        str(data.get("message")),
        tuple(str(line) for line in lines) if isinstance(lines, list) else (),
        line if type(line := data.get("line")) is int else 0,
    )


def answers_in(
    header: dict[str, Any], payload: bytes, names: Sequence[str], before: Mapping[str, Answer] | None = None
) -> tuple[dict[str, Answer], bytes]:
    """The answers in a frame, which must be those for ``names`` in this order, and the bytes after them.

    An answer of kind ``same`` is the one in ``before``: it is sent once, and is one object here.
    """
    described = header.get("answers")
    if not isinstance(described, list) or len(described) != len(names):
        raise tensor_bytes.FrameError("a frame does not hold the answers that were asked for")
    answers: dict[str, Answer] = {}
    start = 0
    for name, description in zip(names, described, strict=True):
        if not isinstance(description, dict) or description.get("name") != name:
            raise tensor_bytes.FrameError(f"a frame holds another answer in place of {name}")
        kind = description.get("kind")
        if kind == "tensor":
            size = description.get("size")
            if type(size) is not int or not 0 <= size <= len(payload) - start:
                raise tensor_bytes.FrameError(f"some bytes of {name} are missing")
            answers[name] = Answer("tensor", tensor_bytes.unpack_tensor(description, payload[start : start + size]))
            start += size
        elif kind == "same" and before and name in before:
            answers[name] = before[name]
        elif kind in ("none", "undefined", "other", "too-large"):
            answers[name] = Answer(kind, type=str(description.get("type", ""))[:80])
        else:
            raise tensor_bytes.FrameError(f"the answer for {name} is of an unknown kind")
    return answers, payload[start:]
