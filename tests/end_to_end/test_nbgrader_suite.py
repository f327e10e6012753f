"""nbgrader's own tests, which come with it, pass where this project's configuration is in force."""

import os
import subprocess
from pathlib import Path

import nbgrader
import pytest

from helpers import nbgrader_suite
from helpers.paths import BIN

COMMANDS = (
    *("autograde", "generate_feedback", "generate_assignment", "generate_solution", "export"),
    *("collect", "zip_collect", "submit", "fetch_assignment", "list", "db", "releaseassignment"),
)


@pytest.mark.proof
def test_nbgrader_stays_at_home(tmp_path: Path) -> None:
    """Other assignments are released, graded and returned as ever; what differs is listed, and is nothing else."""
    tests = [f"nbgrader.tests.apps.test_nbgrader_{command}" for command in COMMANDS]
    # some of them look for files of nbgrader's beside the package
    folder = Path(nbgrader.__file__).parents[1]
    # the settings of this project's own tests, in which an environment may lie, are not nbgrader's
    options = ("-q", "-n", "2", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider")
    plugin = ("-p", "helpers.nbgrader_suite")
    done = subprocess.run(
        [BIN / "pytest", *options, *plugin, "--pyargs", *tests, "nbgrader.tests.preprocessors"],
        cwd=folder,
        env=nbgrader_suite.environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_only_tests_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deviation that no test of nbgrader's has is an error, and not passed over."""
    monkeypatch.setitem(nbgrader_suite.DEVIATIONS, "test_nothing::test_nothing", "a slip of the pen")
    with pytest.raises(pytest.UsageError, match=r"nbgrader has no such tests: .*test_nothing::test_nothing"):
        nbgrader_suite.pytest_collection_modifyitems([])
