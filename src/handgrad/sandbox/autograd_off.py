"""Switch autograd off in this process, for good.

A process that runs student code must not be able to compute the gradients that the student is asked for. The
instructor's locked cells run here too: their ``requires_grad``, ``retain_grad`` and ``loss.backward()`` silently do
nothing, while student code that asks for a gradient gets a clear error. ``x.grad`` is NaN if the notebook would hold a
gradient: a line that prints or compares it still runs, and an answer copied from it earns nothing.
"""

import _thread
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch

from handgrad.errors import SandboxError
from handgrad.sandbox import derivative_kernels, torchscript_off
from handgrad.sandbox.refusing import AutogradOff, Replacements, refuse_methods, refusing

__all__ = ["AutogradOff", "blank_gradients", "forbid", "switch_off", "try_the_doors"]


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
_FUNCTORCH = (
    *("_grad_increment_nesting", "_jvp_increment_nesting", "_grad_decrement_nesting", "_jvp_decrement_nesting"),
    *("_wrap_for_grad", "_unwrap_for_grad"),
    *("set_inplace_requires_grad_allowed", "set_single_level_autograd_function_allowed"),
)
_FUNCTIONAL = ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp")
_FORWARD = ("dual_level", "make_dual", "enter_dual_level", "_make_dual", "_fw_primal")
_OPERATORS = ("grad", "backward", "dist_backward", "set_grad_enabled")
"""Operators of TorchScript that torch.ops finds too."""
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
    "_current_autograd_node",
    "_will_engine_execute_node",
)
"""Functions that could undo or bypass the switch below Python."""
_DOORS: dict[str, Callable[[torch.Tensor], object]] = {
    "Tensor.backward": lambda x: x.sum().backward(),
    "torch.autograd.grad": lambda x: torch.autograd.grad(x.sum(), x),
    "the autograd engine": lambda x: torch.autograd.graph._engine_run_backward((x,), (x,), False, False, (x,)),
    "torch.autograd.functional": lambda x: torch.autograd.functional.jacobian(torch.exp, x),
    "forward mode": lambda x: torch.autograd.forward_ad.make_dual(x, x),
    "dual numbers": lambda x: torch.ops.aten._make_dual(x, x, 0),
    "torch.func": lambda x: torch.func.jvp(torch.Tensor.exp, (x,), (x,)),
    "torch._C._functorch": lambda _: torch._C._functorch._grad_increment_nesting(),
    "backward operators": lambda x: torch.ops.aten.tanh_backward(x, x),
    "backward operators of losses": lambda x: torch._softmax_backward_data(x, x, 1, torch.float32),
    "torch.nn.grad": lambda x: torch.nn.grad.conv1d_input((1, 2, 2), x[None], x[None]),
    "TorchScript": lambda _: torch.jit.CompilationUnit("def f(x):\n    return x"),
    "TorchScript's graphs": lambda _: torch._C.Graph(),
    "TorchScript's files": lambda _: torch.jit.load(""),
    "TorchScript's switches": lambda _: torch._C._jit_set_profiling_executor(True),
}
"""One call of each kind that is refused, for the test of the sandbox at its start."""
_recorded: list[str] = []
"""Operations that recorded a graph although their kernels for that were taken away."""
_retained: set[int] = set()


def _retain(tensor: torch.Tensor) -> None:
    """``Tensor.retain_grad`` for locked cells: record that this tensor would have a gradient."""
    _retained.add(id(tensor))


def _backward(*args: Any, **kwargs: Any) -> None:
    """``backward`` for locked cells: set NaN as the gradient of each tensor that would have one, for the next lines."""
    blank_gradients(list(sys._getframe(1).f_globals.values()))


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
    derivative_kernels.empty_autograd()
    _recorded[:] = _still_recorded()
    derivative_kernels.refuse_derivatives()
    off = _thread_switch()
    off()
    _in_every_thread(off)
    torch.Tensor.backward = torch.autograd.backward = _backward
    torch.Tensor.retain_grad = _retain
    torch.Tensor.grad_fn = property(_nothing)
    # the engine, also for who has its type already
    refuse_methods("the autograd engine", torch._C._ImperativeEngine, ("run_backward", "queue_callback"))
    replacements = Replacements()
    derivative_kernels.refuse_formulas(replacements)
    torchscript_off.take_away(replacements)
    # a compiler would record graphs, and takes seconds: a function runs as it is written
    torch.compile = torch.jit.script = torch.jit.trace = _as_written
    replacements.refuse("torch.func", _FUNC, torch.func, torch._functorch.apis, torch._functorch.eager_transforms)
    replacements.refuse("torch._C._functorch", _FUNCTORCH, torch._C._functorch)
    replacements.refuse("torch.autograd.functional", _FUNCTIONAL, torch.autograd.functional)
    replacements.refuse("torch.autograd.forward_ad", _FORWARD, torch.autograd.forward_ad, torch, torch._VF)
    replacements.refuse("torch.ops.aten", _OPERATORS, torch.ops.aten)
    replacements.refuse("torch._C", _BELOW, torch._C)
    for name in ("enable_grad", "set_grad_enabled", "inference_mode"):
        # inference_mode(False) would restore the keys
        replacements.replace(name, _NoGradMode, torch, torch.autograd, torch.autograd.grad_mode)
    for name in ("_set_grad_enabled", "_set_fwd_grad_enabled", "_dispatch_tls_set_dispatch_key_excluded"):
        replacements.replace(name, _nothing, torch._C)
    replacements.refuse("torch.autograd", ("grad",), torch.autograd)
    for owner in (torch.autograd, torch.autograd.graph):
        replacements.replace("_engine_run_backward", refusing("the autograd engine"), owner)
    replacements.finish()
    torch.autograd.Variable._execution_engine = None


def forbid() -> None:
    """Let ``backward`` raise from here on: the cells that follow are a student's."""
    torch.Tensor.backward = refusing("Tensor.backward")
    torch.autograd.backward = refusing("torch.autograd.backward")
    torch.Tensor.retain_grad = _nothing


def try_the_doors() -> None:
    """Try one way of each kind to a gradient, once :func:`forbid` was called.

    If one is open, nothing of a student's may run in this process, and a SandboxError is raised.
    """
    open_doors = [name for name, attempt in _DOORS.items() if not _is_refused(attempt)]
    open_doors += [f"a graph of {name}" for name in _recorded]
    if open_doors:
        raise SandboxError(
            f"nobody is graded: with torch {torch.__version__}, a submission could still use {', '.join(open_doors)}. "
            "Install a version of torch with which handgrad was tried, and please report this."
        )


def _still_recorded() -> list[str]:
    """The operations that record a graph while nothing but the kernels is changed."""
    with torch.enable_grad():
        x = torch.ones(2, 2, requires_grad=True)
        results = {"mm": x @ x, "exp": x.exp(), "tanh": x.tanh(), "mul": x * 2, "sum": x.sum(0)}
    return [name for name, result in results.items() if result.requires_grad]


def _is_refused(attempt: Callable[[torch.Tensor], object]) -> bool:
    """Whether an attempt is refused, or names what this version of torch does not have."""
    try:
        attempt(torch.ones(2, 2))
    except (AutogradOff, AttributeError):
        return True
    except Exception:
        return False
    return False


def blank_gradients(values: Iterable[Any]) -> None:
    """Set ``.grad`` to NaN for every tensor that would have a gradient in Jupyter."""
    for value in values:
        if isinstance(value, torch.Tensor) and (value.requires_grad or id(value) in _retained):
            value.grad = torch.full_like(value, float("nan"), requires_grad=False)
