"""Switch autograd off in this process, for good.

A process that runs student code must not be able to compute the gradients that the student is asked for. The
instructor's locked cells run here too: their ``requires_grad``, ``retain_grad`` and ``loss.backward()`` silently do
nothing, while student code that asks for a gradient gets a clear error. ``x.grad`` is NaN if the notebook would hold a
gradient: a line that prints or compares it still runs, and an answer copied from it earns nothing.
"""

import _thread
import ctypes
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import torch

__all__ = ["AutogradOff", "blank_gradients", "forbid", "switch_off"]


class AutogradOff(RuntimeError):
    """Autograd is switched off while a notebook is graded."""


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AutogradOff(
            f"{name} is switched off while your notebook is graded: compute the gradient with your own formula."
        )

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    return refuse


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _as_written(function: Any = None, *_: Any, **__: Any) -> Any:
    """``torch.compile``, also as a decorator with options: the function itself."""
    return (lambda other: other) if function is None else function


class _NoGradMode(torch.no_grad):
    """Replaces ``torch.enable_grad`` and ``torch.set_grad_enabled``: autograd stays off."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # torch's decorators can be used with or without parentheses
        if args and callable(args[0]):
            return args[0]
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()


_FUNC = ("grad", "grad_and_value", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "linearize")
_NESTING = ("_grad_increment_nesting", "_jvp_increment_nesting")
_FUNCTIONAL = ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp")
_FORWARD = ("dual_level", "make_dual", "enter_dual_level", "_make_dual", "_fw_primal")
_BELOW = (
    "_ImperativeEngine",
    "_SetExcludeDispatchKeyGuard",
    "_IncludeDispatchKeyGuard",
    "_ExcludeDispatchKeyGuard",
    "ExcludeDispatchKeyGuard",
    "_ForceDispatchKeyGuard",
    "_PreserveDispatchKeyGuard",
    "_RestorePythonTLSSnapshot",
    "_InferenceMode",
    "_enter_dual_level",
    "_jit_differentiate",
)
"""Functions that could undo or bypass the switch below Python."""
_retained: set[int] = set()


def _retain(tensor: torch.Tensor) -> None:
    """``Tensor.retain_grad`` for locked cells: record that this tensor would have a gradient."""
    _retained.add(id(tensor))


def _backward(*args: Any, **kwargs: Any) -> None:
    """``backward`` for locked cells: set NaN as the gradient of each tensor that would have one, for the next lines."""
    blank_gradients(list(sys._getframe(1).f_globals.values()))


def _refuse_all(prefix: str, names: Iterable[str], *owners: Any) -> None:
    """Replace each of ``names`` in each of ``owners`` by a function that raises."""
    for name in names:
        refuse = _refuse(f"{prefix}.{name}")
        for owner in owners:
            if hasattr(owner, name):
                setattr(owner, name, refuse)


def _empty_kernels() -> None:
    """Let no operation of this process record a graph, in any thread, whatever the grad mode and dispatch keys.

    Every autograd kernel is replaced by one that passes the call on. The library object, which could remove the
    replacements, is made unreachable from Python.
    """
    # not torch.library.Library, which keeps a list of open libraries
    library = torch._C._dispatch_library("IMPL", "aten", "", __file__, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in torch._C._dispatch_get_registrations_for_dispatch_key("Autograd"):
            if name.startswith("aten::"):
                library.impl(name.removeprefix("aten::"), "Autograd", torch.library.fallthrough_kernel, False)  # type: ignore[call-arg]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))


def _thread_switch() -> Callable[[], None]:
    """A function that switches autograd off in the calling thread: grad mode and dispatch keys are per thread."""
    keys = [key for name, key in torch._C.DispatchKey.__members__.items() if name.startswith("Autograd")]
    grad, forward = torch._C._set_grad_enabled, torch._C._set_fwd_grad_enabled
    exclude = torch._C._dispatch_tls_set_dispatch_key_excluded

    def off() -> None:
        grad(False)
        forward(False)
        for key in keys:
            # below Python: no operation of this thread records a graph, whatever the grad mode
            exclude(key, True)

    return off


def _in_every_thread(off: Callable[[], None]) -> None:
    """Let every thread started from here on call ``off`` first."""
    start = _thread.start_new_thread

    def start_new_thread(function: Callable[..., Any], *rest: Any) -> int:
        def run(*args: Any, **kwargs: Any) -> Any:
            off()
            return function(*args, **kwargs)

        return start(run, *rest)

    threading._start_new_thread = _thread.start_new_thread = _thread.start_new = start_new_thread


def switch_off() -> None:
    """Switch autograd off, if it is not; the calls of locked cells still do not raise (see :func:`forbid`)."""
    if torch.Tensor.backward is _backward:
        return
    _empty_kernels()
    off = _thread_switch()
    off()
    _in_every_thread(off)
    for owner in (torch, torch.autograd, torch.autograd.grad_mode):
        # inference_mode(False) would restore the keys
        for name in ("enable_grad", "set_grad_enabled", "inference_mode"):
            if hasattr(owner, name):
                setattr(owner, name, _NoGradMode)
    torch._C._set_grad_enabled = _nothing
    torch._C._set_fwd_grad_enabled = _nothing
    torch._C._dispatch_tls_set_dispatch_key_excluded = _nothing
    torch.Tensor.backward = torch.autograd.backward = _backward
    torch.Tensor.retain_grad = _retain
    torch.Tensor.grad_fn = property(_nothing)
    # a compiler would record graphs, and takes seconds: a function runs as it is written
    torch.compile = torch.jit.script = torch.jit.trace = _as_written
    _refuse_all("torch.func", _FUNC, torch.func, torch._functorch.apis, torch._functorch.eager_transforms)
    _refuse_all("torch._C._functorch", _NESTING, torch._C._functorch)
    _refuse_all("torch.autograd.functional", _FUNCTIONAL, torch.autograd.functional)
    _refuse_all("torch.autograd.forward_ad", _FORWARD, torch.autograd.forward_ad, torch, torch._VF)
    _refuse_all("torch._C", _BELOW, torch._C)
    torch.autograd.grad = _refuse("torch.autograd.grad")
    torch.autograd.graph._engine_run_backward = torch.autograd._engine_run_backward = _refuse("the autograd engine")
    torch.autograd.Variable._execution_engine = None


def forbid() -> None:
    """Let ``backward`` raise from here on: the cells that follow are a student's."""
    torch.Tensor.backward = _refuse("Tensor.backward")
    torch.autograd.backward = _refuse("torch.autograd.backward")
    torch.Tensor.retain_grad = _nothing


def blank_gradients(values: Iterable[Any]) -> None:
    """Set ``.grad`` to NaN for every tensor that would have a gradient in Jupyter."""
    for value in values:
        if isinstance(value, torch.Tensor) and (value.requires_grad or id(value) in _retained):
            value.grad = torch.full_like(value, float("nan"), requires_grad=False)
