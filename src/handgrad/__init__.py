"""handgrad: learn backpropagation by writing it, every gradient checked against autograd.

What a student's notebook imports stands here and needs torch and the standard library only.
"""

from handgrad.student import CheckFailed, cmp, progress

__all__ = ["CheckFailed", "__version__", "cmp", "progress"]

__version__ = "0.1.0"
