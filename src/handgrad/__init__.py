"""handgrad: learn backpropagation by writing it, every gradient checked against autograd.

What a student's notebook imports stands here and needs torch and the standard library only. It is imported when it is
asked for: a command line that shows its help needs no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handgrad.student.check import CheckFailed, cmp, progress

__all__ = ["CheckFailed", "__version__", "cmp", "progress"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from handgrad.student import check  # noqa: PLC0415 - it imports torch

    return getattr(check, name)
