"""What a course's ``nbgrader_config.py`` names; the code is in :mod:`handgrad.course.nbgrader`."""

from handgrad.course.nbgrader.collecting import CANVAS, GRADESCOPE, MOODLE, Collector, Extractor
from handgrad.course.nbgrader.exchange_collector import ExchangeCollector
from handgrad.course.nbgrader.feedback_exporter import FeedbackExporter
from handgrad.course.nbgrader.preprocessors import (
    AddSelfCheck,
    CheckOthers,
    Grade,
    HideTests,
    NameStubs,
    RepairIds,
    SaveVerdicts,
    Solve,
    TolerantExporter,
    autograde,
    generate_assignment,
    generate_solution,
    sanitize,
    show,
)
from handgrad.course.nbgrader.release_folders import CheckSource, SaveCellsLast

Mend = RepairIds
"""The name of :class:`RepairIds` in version 0.1.0."""

__all__ = [
    "CANVAS",
    "GRADESCOPE",
    "MOODLE",
    "AddSelfCheck",
    "CheckOthers",
    "CheckSource",
    "Collector",
    "ExchangeCollector",
    "Extractor",
    "FeedbackExporter",
    "Grade",
    "HideTests",
    "Mend",
    "NameStubs",
    "RepairIds",
    "SaveCellsLast",
    "SaveVerdicts",
    "Solve",
    "TolerantExporter",
    "autograde",
    "generate_assignment",
    "generate_solution",
    "sanitize",
    "show",
]
