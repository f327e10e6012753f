"""handgrad: learn backpropagation by writing it, every gradient checked against autograd.

The names that a student's notebook imports are here; they need torch and the standard library only. They are imported
when they are used, so that the help of the command line does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handgrad.student.check import CheckFailed, cmp, progress
    from handgrad.student.helps.calls import counterexample, hint, nudge

__all__ = ["CheckFailed", "__version__", "cmp", "counterexample", "hint", "nudge", "progress"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "helps.calls" if name in ("counterexample", "hint", "nudge") else "check"
    # only now: it imports torch
    return getattr(import_module(f"handgrad.student.{module}"), name)
