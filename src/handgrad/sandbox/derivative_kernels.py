"""Take derivatives out of torch's dispatcher, for good: below every name that Python has for an operator.

An operator has a kernel for each kind of tensor. Here autograd's kernels are replaced by none, so that no operation
records a graph, and those of the operators that compute a derivative (``tanh_backward``) by one that raises.
"""

import ctypes
import re
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from handgrad.sandbox.refusing import Replacements, refusing

__all__ = ["empty_autograd", "refuse_derivatives", "refuse_formulas"]

_RECORDING = ("Autograd", "AutogradNestedTensor")
"""Dispatch keys whose kernels record a graph; the first stands for all kinds of tensors without one of their own."""
_COMPUTING = (
    *("CPU", "SparseCPU", "SparseCsrCPU", "NestedTensorCPU", "QuantizedCPU", "MkldnnCPU"),
    *("CompositeExplicitAutogradNonFunctional", "CompositeExplicitAutograd"),
    *("CompositeImplicitAutograd", "CompositeImplicitAutogradNestedTensor"),
    *("FuncTorchBatched", "FuncTorchBatchedDecomposition", "ADInplaceOrView"),
)
"""Dispatch keys whose kernels compute values; the last one makes dual numbers."""
_DERIVATIVE = re.compile(r"backward|_jvp\b|_(gamma|dirichlet)_grad\b|^_(make_dual|fw_primal)(_copy)?\b")
"""What the name of an operator has that computes a derivative, or carries one along."""
_FORMULAS = (
    *("torch._decomp", "torch._higher_order_ops", "torch._native", "torch._lobpcg", "torch.nn.attention"),
    *("torch._inductor", "torch._refs"),
)
"""Modules with the formulas of such operators in Python."""


def empty_autograd() -> None:
    """Let no operation of this process record a graph, in any thread, whatever the grad mode and dispatch keys."""
    with _library() as library:
        for key in _RECORDING:
            for name in _registered(key):
                library.impl(name, key, torch.library.fallthrough_kernel, False)


def refuse_derivatives() -> None:
    """Let every operator that computes a derivative raise :class:`.refusing.AutogradOff`, however it is called."""
    with _library() as library:
        refuse: dict[str, Any] = {}
        for key in _COMPUTING:
            for name in _registered(key):
                base = name.partition(".")[0]
                if _DERIVATIVE.search(base):
                    refuse.setdefault(base, refusing(f"torch.ops.aten.{base}"))
                    library.impl(name, key, refuse[base], False)


def refuse_formulas(replacements: Replacements) -> None:
    """Let torch's own formulas of derivatives in Python raise, and empty the tables that hold them."""
    tables = getattr(getattr(torch, "_decomp", None), "global_decomposition_table", {})
    for table in tables.values():
        for operator in table:
            if _DERIVATIVE.search(base := str(operator).removeprefix("aten.").partition(".")[0]):
                table[operator] = refusing(f"torch.ops.aten.{base}")
    for name, module in list(sys.modules.items()):
        if module is not None and any(name == formulas or name.startswith(f"{formulas}.") for formulas in _FORMULAS):
            found = {member: value for member, value in vars(module).items() if "backward" in member}
            replacements.refuse(
                name, [member for member in found if isinstance(found[member], types.FunctionType)], module
            )
            for member, operator in found.items():
                # a higher-order operator, which other modules look for: only its kernels
                if isinstance(kernels := getattr(operator, "py_kernels", None), dict):
                    kernels.update(dict.fromkeys(kernels, refusing(f"{name}.{member}")))


def _registered(key: str) -> list[str]:
    """The names of the operators, without their namespace, that have a kernel of their own for a dispatch key."""
    try:
        names = torch._C._dispatch_get_registrations_for_dispatch_key(key)
    except RuntimeError:  # of another version of torch
        return []
    return [name.removeprefix("aten::") for name in names if name.startswith("aten::")]


@contextmanager
def _library() -> Iterator[Any]:
    """A library of kernels, which is made unreachable from Python: its end would remove what it has replaced."""
    # not torch.library.Library, which keeps a list of open libraries
    library = torch._C._dispatch_library("IMPL", "aten", "", __file__, 0)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield library
