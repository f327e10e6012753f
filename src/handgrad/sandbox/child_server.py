"""The child's side: runs the cells of one submission, pass by pass, and sends back named arrays."""

import importlib
import json
import random
import re
import sys
import types
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Self

import torch

from handgrad.gradients import tensor_bytes
from handgrad.gradients.comparison import number_as_tensor
from handgrad.gradients.shared_memory import share_data
from handgrad.notebook import untrusted_json
from handgrad.notebook.execution import CompiledCell, begin_session, captured, keep_in_session, new_namespace, run_cell
from handgrad.sandbox import autograd_off, frames
from handgrad.sandbox.probing import Probing, by_shape

__all__ = ["SavedNamespace", "Server", "describe", "preload", "run_locked", "service"]

MAX_ANSWER = 1 << 25
"""Maximum bytes of one answer (32 MiB); of a larger one only the shape is sent."""
MAX_OUTPUTS = 1 << 24
"""Maximum bytes of the outputs of one cell, as JSON (16 MiB)."""
TOO_MUCH = "(the outputs of this cell were too large to keep)\n"
"""Shown in place of such outputs."""
MAX_COMPARED = 1 << 16
"""Elements of the largest tensor whose values are compared to see whether a cell wrote to it."""
_UNCOUNTED = re.compile(r"\.data\b|numpy|storage|dlpack|memoryview")
"""Ways of writing to a tensor that its version counter does not count."""
_PLAIN = (torch.Tensor, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, int, float, str)


@dataclass(frozen=True)
class Snapshot:
    """A value as it was: the object, the version of its storage, and what it held.

    Attributes
    ----------
    value
        The object.
    version
        How often a tensor had been written to; None for anything else, and for a tensor that does not count it.
    copy
        The values of a tensor, if they are needed to put it back.
    """

    value: Any
    version: int | None
    copy: torch.Tensor | None = None

    @classmethod
    def of(cls, value: Any, *, copy: bool = False) -> Self:
        """The present state of ``value``; with ``copy`` a tensor's values too."""
        if not isinstance(value, torch.Tensor):
            return cls(value, None)
        version = None if value.is_inference() else value._version
        return cls(value, version, value.detach().clone() if copy else None)

    def is_unwritten(self, value: Any) -> bool:
        """Whether ``value`` is the same object, and a tensor's version the same: ``.data`` and numpy do not count."""
        return value is self.value and (self.version is None or value._version == self.version)

    def is_overwritten(self, value: Any) -> bool:
        """Whether the values of a tensor differ from the copy; large tensors are not compared."""
        return self.copy is not None and self.copy.numel() <= MAX_COMPARED and not torch.equal(value, self.copy)


class SavedNamespace:
    """A namespace as the locked cells left it, and what is needed to restore it."""

    def __init__(self) -> None:
        self.namespace = new_namespace()
        self.kept: dict[str, Snapshot] = {}
        self.given: dict[str, torch.Tensor] = {}

    def keep(self) -> None:
        """Remember tensors, modules, functions and plain values; give tensors their NaN gradients."""
        autograd_off.blank_gradients(self.namespace.values())
        for name, value in self.namespace.items():
            if name.startswith("_") or not isinstance(value, _PLAIN):
                continue
            # whole numbers are data: a student's own `ix` is not restored between two cells that use it
            if not isinstance(value, torch.Tensor) or value.is_floating_point():
                self.kept[name] = Snapshot.of(value, copy=True)

    def place(self, name: str, value: torch.Tensor) -> None:
        """Set ``name`` to ``value``, to which it is restored from here on."""
        self.namespace[name] = value
        self.kept[name] = Snapshot.of(value, copy=True)

    def give(self, name: str, tensor: str, value: torch.Tensor) -> None:
        """Set ``name``, and the ``.grad`` of the tensor called ``tensor``, to ``value``, and restore them to it."""
        self.place(name, value)
        self.given[tensor] = value.clone()
        self._restore_gradients()

    def _restore_gradients(self) -> None:
        for tensor, value in self.given.items():
            self.namespace[tensor].grad = value.clone()

    def restore(self, *, contents: bool = False) -> None:
        """Undo the changes of cells to the names that are kept; with ``contents`` also those that no version counts."""
        for name, kept in self.kept.items():
            value = self.namespace.get(name)
            if kept.is_unwritten(value) and not (contents and kept.is_overwritten(value)):
                continue
            if kept.copy is None:
                self.namespace[name] = kept.value
            else:
                fresh = kept.copy.clone()
                if kept.value.grad is not None:
                    fresh.grad = torch.full_like(fresh, float("nan"))
                self.namespace[name] = fresh
                self.kept[name] = Snapshot(fresh, fresh._version, kept.copy)
        self._restore_gradients()


Described = tuple[dict[str, Any], bytes]
"""An answer as it is sent: its description and, for a tensor, its bytes."""


def describe(name: str, namespace: dict[str, Any], scalars: Container[str] = ()) -> Described:
    """The value of ``name`` in ``namespace`` as an answer: its kind, and the bytes of a tensor.

    A number is as good as a tensor for the ``scalars``, the gradients of the shape ().
    """
    if name not in namespace:
        return {"name": name, "kind": "undefined"}, b""
    value = namespace[name]
    if value is None or value is ...:
        return {"name": name, "kind": "none"}, b""
    kind = type(value).__name__[:80]
    try:
        if name in scalars:
            value = number_as_tensor(value, torch.empty(()))
        if not isinstance(value, torch.Tensor):
            return {"name": name, "kind": "other", "type": kind}, b""
        with torch._C.DisableTorchFunctionSubclass():
            tensor = value.detach()
            tensor = (tensor.to_dense() if tensor.layout != torch.strided else tensor).resolve_conj().resolve_neg()
            if tensor.numel() * tensor.element_size() > MAX_ANSWER:
                return {"name": name, "kind": "too-large", "shape": list(tensor.shape)}, b""
            description, data = tensor_bytes.pack_tensor(tensor)
    except Exception:
        return {"name": name, "kind": "other", "type": kind}, b""
    return {"name": name, "kind": "tensor", "size": len(data), **description}, data


def preload(modules: Sequence[str]) -> None:
    """Import the ``modules`` that are installed."""
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)


def service(name: str) -> types.ModuleType | None:
    """The module called ``name``, whose function ``serve`` replaces :class:`Server`; None if there is no name."""
    return importlib.import_module(name) if name else None


def run_locked(
    directory: str, wanted: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, SavedNamespace], dict[str, Any], bytes]:
    """Run the locked cells of each of the parameter sets ``wanted`` in ``directory``; then forbid autograd, and try it.

    For a service there are none, and nothing is done.

    Returns
    -------
    The namespaces by parameter set; the answer, with an error or None; and the outputs of the cells, as JSON.
    """
    if not wanted:
        return {}, {"error": None}, b"[]"
    sys.path.insert(0, directory)
    namespaces: dict[str, SavedNamespace] = {}
    printed = []
    with chdir(directory):
        for parameters in wanted:
            saved = SavedNamespace()
            outputs: list[Any] = []
            # a locked cell of the last one may have set another
            torch.set_default_dtype(torch.float32)
            for index, source in enumerate(parameters["cells"]):
                with captured() as taken:
                    error = run_cell(CompiledCell(source, f"<locked {index}>"), saved.namespace, in_sandbox=True)
                outputs.append(taken.take())
                if error:
                    return {}, {"error": error.to_dict(), "parameter_set": parameters["name"], "cell": index}, b""
            namespaces[parameters["name"]] = saved
            share_data(saved.namespace, next(iter(namespaces.values())).namespace)
            saved.keep()
            printed.append(outputs)
    autograd_off.forbid()
    autograd_off.try_the_doors()
    return namespaces, {"error": None}, json.dumps(printed).encode()


class Server:
    """One child: its connection, its cells, and the namespaces it may use, each once."""

    def __init__(self, connection: frames.Connection, namespaces: dict[str, SavedNamespace]) -> None:
        self.connection = connection
        self.namespaces = namespaces
        self.reader = frames.FrameReader()
        self.cells: list[CompiledCell] = []

    def receive(self) -> frames.Frame | None:
        """The next frame from the grader; None if it has closed the connection."""
        return self.reader.next_frame(lambda: self.connection.recv(1 << 16))

    def reply(self, header: dict[str, Any], answers: list[Described], outputs: bytes = b"") -> None:
        """Send ``header`` with answers."""
        header = {**header, "answers": [description for description, _ in answers], "outputs": len(outputs)}
        self.connection.sendall(frames.pack(header, b"".join(data for _, data in answers) + outputs))

    def serve(self) -> None:
        """Take cells, then run passes over them until the grader closes the connection."""
        # the grader waits for this before it sends a cell
        self.connection.sendall(frames.pack({"serving": True}))
        while frame := self.receive():
            header, payload = frame
            if "cells" in header:
                sources = json.loads(payload)
                self.cells = [CompiledCell(source, f"<cell {index + 1}>") for index, source in enumerate(sources)]
            else:
                self.run(header["run"])

    def run(self, run: dict[str, Any]) -> None:
        """One pass: ``run`` names the parameter set, the cells in order, and the answers after each and at the end."""
        saved = self.namespaces.pop(run["parameter_set"])
        for name, value in self.references() if run["givens"] else ():
            saved.give(name, run["givens"][name], value)
        sent: dict[str, tuple[Snapshot, Described]] = {}
        sys.modules["__main__"] = types.ModuleType("__main__")
        sys.modules["__main__"].__dict__.update(saved.namespace)
        random.seed(0)
        # torch.manual_seed would also keep the whole stack, with its source lines, for a GPU that is never used
        torch.default_generator.manual_seed(0)
        torch.set_default_dtype(torch.float64 if run["is_double"] else torch.float32)
        begin_session(saved.namespace)
        before = dict(saved.namespace) if run["put_back"] else {}
        # what the setup has bound: a student's own tensors are not the forward pass
        forward = by_shape(saved.namespace.values()) if run["watched"] else {}
        uncounted = any(_UNCOUNTED.search(cell.source) for cell in self.cells)
        with _no_complex_numbers() if run["is_double"] else nullcontext(), captured(results=run["outputs"]) as outputs:
            for index in run["cells"]:
                names = run["collect"].get(str(index), [])
                if run["help"] and names:
                    saved.restore(contents=uncounted)
                with Probing(forward) if index in run["watched"] else nullcontext() as probing:
                    error = run_cell(self.cells[index], saved.namespace, traceback=run["outputs"], in_sandbox=True)
                if run["outputs"] and (inline := sys.modules.get("matplotlib_inline.backend_inline")):
                    # Jupyter too shows the figures that are open after a cell
                    inline.flush_figures()
                for name in run["put_back"].get(str(index), ()):
                    if name in before:
                        saved.namespace[name] = before[name]
                taken = outputs.take()
                shown = _packed(taken) if run["outputs"] else b""
                answers = [describe(name, saved.namespace, run["scalars"]) for name in names]
                for name, answer in zip(names, answers, strict=True):
                    if name in run["at_end"]:
                        # an object may pretend to be a tensor: the answer says what it is, but a number is not one
                        present = saved.namespace.get(name)
                        is_tensor = answer[0]["kind"] == "tensor" and issubclass(type(present), torch.Tensor)
                        sent[name] = Snapshot.of(present) if is_tensor else Snapshot(present, None), answer
                said = {"is_probing": True} if probing and probing.found else {}
                self.reply({"done": index, "error": error and error.to_dict(), **said}, answers, shown)
                if run["help"] and names:
                    for name, value in self.references():
                        saved.place(name, value)
                        keep_in_session(name, value)
        at_end = [
            _at_end(name, saved.namespace, run["scalars"], sent.get(name), counted=not uncounted)
            for name in run["at_end"]
        ]
        self.reply({"finished": True}, at_end)

    def references(self) -> list[tuple[str, torch.Tensor]]:
        """Wait for given gradients, or for the references that replace the answers just sent; each with its name."""
        frame = self.receive()
        if frame is None:
            raise SystemExit
        header, payload = frame
        found = []
        for description in header["place"]:
            data, payload = payload[: description["size"]], payload[description["size"] :]
            found.append((description["name"], tensor_bytes.unpack_tensor(description, data)))
        return found


@contextmanager
def _no_complex_numbers() -> Iterator[None]:
    """Let nothing become real that was complex: the complex step differentiates."""
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Casting complex values to real")
        yield
    torch.set_warn_always(False)


def _at_end(
    name: str,
    namespace: dict[str, Any],
    scalars: Container[str],
    sent: tuple[Snapshot, Described] | None,
    *,
    counted: bool,
) -> Described:
    """The answer that ``name`` is at the end, or a note that it is still what was ``sent``.

    If ``counted``, a tensor's version tells of every write, and the tensor is not packed a second time.
    """
    if sent and counted and sent[0].version is not None and sent[0].is_unwritten(namespace.get(name)):
        return {"name": name, "kind": "same"}, b""
    answer = describe(name, namespace, scalars)
    return ({"name": name, "kind": "same"}, b"") if sent and answer == sent[1] else answer


def _packed(outputs: list[dict[str, Any]]) -> bytes:
    """The outputs of a cell as JSON; a note if they are too large or not JSON."""
    try:
        shown = json.dumps(outputs).encode()
        if len(shown) <= MAX_OUTPUTS and untrusted_json.is_shallow(outputs):
            return shown
        note = TOO_MUCH
    except (TypeError, ValueError, RecursionError):
        note = "(the outputs of this cell were not kept: a notebook cannot hold them)\n"
    return json.dumps([{"output_type": "stream", "name": "stderr", "text": note}]).encode()
