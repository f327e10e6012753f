"""The settings of grading, as one frozen record that is sent to every process that grades."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from handgrad.grading.marking import Policy
from handgrad.sandbox.isolation.limits import Limits

__all__ = ["GradingSettings"]


@dataclass(frozen=True)
class GradingSettings:
    """How submissions are graded."""

    policy: Policy = field(default_factory=Policy)
    """Partial credit and tolerance."""
    limits: Limits = field(default_factory=Limits)
    """Time and memory of a submission."""
    sizes: tuple[Mapping[str, Any], ...] = ()
    """Further parameters of the hidden passes (``{"batch_size": 16}``): one round for each, with the first seed."""
    isolation: Literal["best", "none"] = "best"
    """``best`` uses all that this machine offers, ``none`` nothing."""
    trust: bool = False
    """Whether to grade even if this machine cannot isolate a submission: for trusted code only."""
    plain_modules: tuple[str, ...] = ()
    """Further modules whose public functions are plain arithmetic."""
    holds: bool = True
    """Whether a right answer that is not plain arithmetic is held for review; else it is only said."""
