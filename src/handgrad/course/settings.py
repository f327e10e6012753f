"""What an instructor may set in ``nbgrader_config.py`` as ``c.Handgrad``."""

from traitlets import Bool, Dict, Enum, Float, Integer, List
from traitlets.config import Configurable

from handgrad.grading.marking import Policy
from handgrad.grading.settings import GradingSettings
from handgrad.sandbox.isolation.limits import Limits

__all__ = ["PORTABLE", "Handgrad"]

PORTABLE = (
    "sizes",
    "partial_shape",
    "partial_invisible",
    "partial_later",
    "tolerance",
    "cell_seconds",
    "submission_seconds",
    "memory_mb",
)
"""The settings with which another autograder marks as this course does: no seeds, nothing about trust."""


class Handgrad(Configurable):
    """What an instructor may set in ``nbgrader_config.py`` as ``c.Handgrad.<name>``."""

    seeds = List(Integer(), help="Hidden seeds (default: drawn once into .handgrad/seeds.json).").tag(config=True)
    sizes = List(Dict(), help="Other parameters for further hidden passes, such as [{'batch_size': 16}].").tag(
        config=True
    )
    partial_shape = Float(0.5, help="Share of the points for right values in another shape.").tag(config=True)
    partial_invisible = Float(0.5, help="Share of the points for a mistake that the loss cannot show.").tag(config=True)
    partial_later = Float(0.5, help="Share of the points for a value that is right at first and not later.").tag(
        config=True
    )
    tolerance = Float(1e-4, help="Largest difference allowed, as a share of the largest value.").tag(config=True)
    cell_seconds = Float(10.0, help="Seconds that one cell may take in one pass.").tag(config=True)
    submission_seconds = Float(60.0, help="Seconds that a submission may take over all passes.").tag(config=True)
    memory_mb = Integer(1024, help="MiB of memory that a submission may take.").tag(config=True)
    isolation = Enum(
        ("best", "none"), "best", help="'none' grades as on a machine without isolation, to try that."
    ).tag(config=True)
    trust_submissions = Bool(
        False, help="Grade also if this machine has no isolation: only for code that you trust."
    ).tag(config=True)

    def grading(self) -> GradingSettings:
        """The settings of a grader, as one frozen record."""
        return GradingSettings(
            Policy(self.partial_shape, self.partial_invisible, self.tolerance, self.partial_later),
            Limits(self.cell_seconds, self.submission_seconds, self.memory_mb),
            tuple(self.sizes),
            self.isolation,
            self.trust_submissions,
        )
