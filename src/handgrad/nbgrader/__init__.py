"""nbgrader's side: the preprocessors of a course's configuration, and its notebook steps without its database."""

from handgrad.nbgrader.archives import CANVAS, MOODLE
from handgrad.nbgrader.collecting import Collector, Extractor
from handgrad.nbgrader.feedback import FeedbackExporter
from handgrad.nbgrader.preprocessors import (
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
