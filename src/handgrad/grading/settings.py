"""What a course decides about grading, as one frozen record: made once, sent to every process that grades."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from handgrad.grading.marking import Policy
from handgrad.sandbox.isolation.limits import Limits

__all__ = ["GradingSettings"]


@dataclass(frozen=True)
class GradingSettings:
    """How submissions are graded.

    Attributes
    ----------
    policy, limits
        Marks for what is partly right; time and memory of a submission.
    sizes
        Further parameters of the hidden passes (``{"batch_size": 16}``): one round for each, with the first seed.
    isolation
        ``best`` is the best that this machine offers; with ``none`` it is as on a machine that offers nothing.
    trust
        Whether to grade also if this machine cannot isolate a submission: for code that is trusted.
    """

    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    sizes: tuple[Mapping[str, Any], ...] = ()
    isolation: Literal["best", "none"] = "best"
    trust: bool = False

    def trusted(self) -> Self:
        """The same settings for code that is trusted."""
        return replace(self, trust=True)
