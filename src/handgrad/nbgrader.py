"""What a course's ``nbgrader_config.py`` names; the code stands in :mod:`handgrad.course.nbgrader`."""

from handgrad.course.nbgrader.collecting import Collector, Extractor
from handgrad.course.nbgrader.feedback_exporter import FeedbackExporter
from handgrad.course.nbgrader.lms_archives import CANVAS, MOODLE
from handgrad.course.nbgrader.preprocessors import (
    AddSelfCheck,
    CheckOthers,
    Grade,
    HideTests,
    Mend,
    NameStubs,
    SaveVerdicts,
    Solve,
    TolerantExporter,
    autograde,
    generate_assignment,
    generate_solution,
    sanitize,
    show,
)

__all__ = [
    "CANVAS",
    "MOODLE",
    "AddSelfCheck",
    "CheckOthers",
    "Collector",
    "Extractor",
    "FeedbackExporter",
    "Grade",
    "HideTests",
    "Mend",
    "NameStubs",
    "SaveVerdicts",
    "Solve",
    "TolerantExporter",
    "autograde",
    "generate_assignment",
    "generate_solution",
    "sanitize",
    "show",
]
