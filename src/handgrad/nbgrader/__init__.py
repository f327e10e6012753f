"""nbgrader's side: the preprocessors of a course's configuration, and its notebook steps without its database."""

from handgrad.nbgrader.preprocessors import (
    AddSelfCheck,
    Grade,
    HideTests,
    NameStubs,
    SaveVerdicts,
    Solve,
    TolerantExporter,
    autograde,
    generate_assignment,
    generate_solution,
    show,
)

__all__ = [
    "AddSelfCheck",
    "Grade",
    "HideTests",
    "NameStubs",
    "SaveVerdicts",
    "Solve",
    "TolerantExporter",
    "autograde",
    "generate_assignment",
    "generate_solution",
    "show",
]
