"""docs/operate/jupyterhub.md as it stands: a real hub with accounts of its own, and a week of a course on it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.courses import RIGHT, SLIP
from helpers.paths import BIN, ENVIRONMENT, ROOT, TESTS

PROXY = shutil.which("configurable-http-proxy")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="accounts are made by root, on Linux"),
    pytest.mark.skipif(PROXY is None, reason="configurable-http-proxy is missing: npm install --global it"),
]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in the week."""
    machine, journey = TESTS / "helpers/own_machine.py", TESTS / "helpers/hub_journey.py"
    command = [sys.executable, machine, tmp_path_factory.mktemp("machine"), BIN / "python", journey]
    page, environment = ROOT / "docs/operate/jupyterhub.md", {**ENVIRONMENT, "PYTHONPATH": str(TESTS)}
    with Path(tmp_path_factory.mktemp("log") / "log").open("w+") as log:
        done = subprocess.run([*command, page], env=environment, stdout=subprocess.PIPE, stderr=log, check=False)
        log.seek(0)
        assert done.returncode == 0, log.read()[-8000:]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(facts, dict)
    return facts


def test_what_students_hand_in(week: dict[str, Any]) -> None:
    """The Assignment List hands in the notebook, and nothing that everybody got with the release."""
    assert week["handed in"] == ["backprop.ipynb", "submission_secret.txt", "timestamp.txt"]


def test_the_formgrader(week: dict[str, Any]) -> None:
    """An instructor's formgrader finds the course, may stand in a frame of the lab, and collects."""
    assert (week["formgrader"], week["assignments"], week["collected"]) == (200, ["backprop"], True)
    assert "frame-ancestors 'self'" in week["frames"]


def test_scores_and_feedback(week: dict[str, Any]) -> None:
    """Everybody is graded, a second hand-in is the one that counts, and the feedback comes back."""
    assert week["scores"] == {"alice": RIGHT.score, "bob": RIGHT.score, "carol": SLIP.score}
    assert week["feedback"] == 1


def test_rights(week: dict[str, Any]) -> None:
    """A student reads neither the course nor others' work or hand-ins, and has no formgrader of the course."""
    assert week["student in the formgrader"] == 403
    assert {name: read for name, read in week.items() if name.startswith("alice reads")} == dict.fromkeys(
        ("alice reads course", "alice reads neighbour", "alice reads hub", "alice reads inbound"), "0"
    )


def test_settings(week: dict[str, Any]) -> None:
    """Kernels have one thread, and the assignment of another course has a folder of its own."""
    assert week["threads"] == ["OMP_NUM_THREADS=1"]
    assert week["fetched"] == ["another", "backprop-2026"]
