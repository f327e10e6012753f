"""A pytest plugin for nbgrader's own tests: they run with this project's configuration.

Where a test of nbgrader's asks for something else than what a course with our configuration does, it stands in
:data:`DEVIATIONS` with the reason. Each of them has to fail: one that passes is an error, and so is a name that is no
test's.
"""

import os
from pathlib import Path

import nbgrader.preprocessors
import pytest

from handgrad import nbgrader as ours
from helpers.paths import ROOT, TESTS

DEVIATIONS: dict[str, str] = {
    "test_nbgrader_collect::test_collect": "a newer hand-in replaces the older one without --update",
    "test_nbgrader_collect::test_permissions[False]": "what is collected is for the instructors only",
    "test_nbgrader_collect::test_permissions[True]": "what is collected is for the instructors only",
}
"""Tests of nbgrader's that fail with our configuration, and why that is right."""

CONFIG = f"""
c = get_config()
load_subconfig("nbgrader_config.py", path={str(ROOT)!r})
# nbgrader's tests ask for these as they are without any configuration
del c.CourseDirectory.course_id
del c.CourseDirectory.solution_directory
"""
"""A configuration for every course on the machine: the project's, without the names of its own course."""

IN_PLACE_OF = {
    "CheckCellMetadata": ours.CheckOthers,
    "SaveAutoGrades": ours.SaveVerdicts,
}
"""Our steps that take the place of one of nbgrader's, by the name of that one."""


def environment(folder: Path) -> dict[str, str]:
    """The environment in which nbgrader finds :data:`CONFIG`, which is written into ``folder``."""
    (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    return {**os.environ, "JUPYTER_CONFIG_PATH": str(folder), "PYTHONPATH": str(TESTS)}


def pytest_configure() -> None:
    """Let the tests of single steps, which import them by name, find ours in their place."""
    for name, step in IN_PLACE_OF.items():
        setattr(nbgrader.preprocessors, name, step)


def _name(item: pytest.Item) -> str:
    """A test's name, as it stands in the tables."""
    return f"{item.path.stem}::{item.name}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect every listed test to fail."""
    if unknown := DEVIATIONS.keys() - {_name(item) for item in items}:
        raise pytest.UsageError(f"nbgrader has no such tests: {', '.join(sorted(unknown))}")
    for item in items:
        if reason := DEVIATIONS.get(_name(item)):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
