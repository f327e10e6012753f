"""The lines of ``nbgrader_config.py`` with which nbgrader's commands treat handgrad's exercises as exercises."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback, GenerateSolution
from nbgrader.exchange import ExchangeFactory
from nbgrader.exchange.default import ExchangeCollect

from handgrad.course.course import CONFIG, Course
from handgrad.course.nbgrader import preprocessors
from handgrad.course.nbgrader.collecting import Collector, Extractor
from handgrad.course.nbgrader.exchange_collector import ExchangeCollector
from handgrad.course.nbgrader.feedback_exporter import FeedbackExporter

__all__ = ["unsafe_ways_in", "what_is_missing"]

_STEPS: Mapping[tuple[Any, str], Callable[[], list[Any]]] = {
    (GenerateAssignment, "preprocessors"): preprocessors.generate_assignment,
    (GenerateSolution, "preprocessors"): preprocessors.generate_solution,
    (Autograde, "sanitize_preprocessors"): preprocessors.sanitize,
    (Autograde, "autograde_preprocessors"): preprocessors.autograde,
}
"""The settings that are lists of steps, each with the function that gives handgrad's."""
_EXPORTERS: Mapping[Any, type] = {Autograde: preprocessors.TolerantExporter, GenerateFeedback: FeedbackExporter}
"""The exporters of commands."""


def what_is_missing(course: Course) -> str:
    """What a course's configuration lacks to release and grade exercises, with the lines to add; empty if nothing.

    Lists that have handgrad's steps among others are complete, and so are exporters of the course's own.
    """
    lines = list(_missing_lines(course))
    if not lines:
        return ""
    text = "\n".join(("from handgrad import nbgrader as handgrad", "", *lines))
    return (
        f"{course.root / CONFIG} lacks handgrad's steps, without which nbgrader treats an exercise as any other "
        f"notebook: no self-check, no sandbox. Add these lines:\n\n{text}\n\nThey go below `c = get_config()`."
    )


def _missing_lines(course: Course) -> Iterator[str]:
    """The lines that set lists of steps without all of handgrad's; if there are any, those of the exporters too."""
    steps = [
        f"c.{converter.__name__}.{setting} = handgrad.{ours.__name__}()"
        for (converter, setting), ours in _STEPS.items()
        if not _names(ours()) <= _names(getattr(converter(config=course.config), setting))
    ]
    yield from steps
    for converter, exporter in _EXPORTERS.items() if steps else ():
        if not issubclass(converter(config=course.config).exporter_class, exporter):
            yield f"c.{converter.__name__}.exporter_class = handgrad.{exporter.__name__}"
    if steps:
        yield from unsafe_ways_in(course)


def unsafe_ways_in(course: Course) -> list[str]:
    """The lines with which hand-ins are collected safely, as far as a course's configuration lacks them.

    A class of the course's own that is none of handgrad's is taken for what the instructor wants.
    """
    ways = (
        ("ExchangeFactory.collect", ExchangeFactory(config=course.config).collect, ExchangeCollect, ExchangeCollector),
        ("ZipCollectApp.extractor_plugin", course.config.ZipCollectApp.get("extractor_plugin"), None, Extractor),
        ("ZipCollectApp.collector_plugin", course.config.ZipCollectApp.get("collector_plugin"), None, Collector),
    )
    return [f"c.{name} = handgrad.{ours.__name__}" for name, now, stock, ours in ways if now is stock]


def _names(steps: list[Any]) -> set[str]:
    """The names of handgrad's classes in a list of steps, which may also hold paths of classes."""
    paths = {step if isinstance(step, str) else f"{step.__module__}.{step.__name__}" for step in steps}
    return {path.rpartition(".")[2] for path in paths if path.startswith("handgrad.")}
