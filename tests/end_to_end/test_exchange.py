"""nbgrader's exchange, as on a JupyterHub: released, fetched, submitted, collected and graded by the real commands."""

import getpass
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from helpers.courses import SLIP, make_course
from helpers.paths import ENVIRONMENT

pytestmark = pytest.mark.slow


class Hub:
    """A machine that a course and its students share: an exchange that everybody may write to, and a home each."""

    def __init__(self, root: Path) -> None:
        self.course, self.home, self.exchange = root / "course", root / "home", root / "exchange"
        config = root / "etc"
        for folder in (self.course, self.home, self.exchange, config):
            folder.mkdir()
        self.exchange.chmod(0o777)
        submitter = "handgrad.course.nbgrader.exchange_submitter.ExchangeSubmitter"
        config.joinpath("nbgrader_config.py").write_text(
            f'c = get_config()\nc.Exchange.root = "{self.exchange}"\nc.ExchangeFactory.submit = "{submitter}"\n'
        )
        self.environment = {**ENVIRONMENT, "JUPYTER_CONFIG_DIR": str(config), "HOME": str(self.home)}

    def run(self, folder: Path, *command: str, status: int = 0) -> str:
        """What a command of somebody in ``folder`` says, when it ends with ``status``."""
        done = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """A hub on which one student has handed in an early slip."""
    hub = Hub(tmp_path_factory.mktemp("hub"))
    make_course(hub.course)
    hub.run(hub.course, "nbgrader", "generate_assignment", "backprop", "--force")
    hub.run(hub.course, "nbgrader", "release_assignment", "backprop")
    hub.run(hub.home, "nbgrader", "fetch_assignment", "backprop", "--course", "handgrad")
    fetched = hub.home / "backprop" / "backprop.ipynb"
    release = nbformat.read(fetched, as_version=4)
    solution = nbformat.read(hub.course / "solutions/backprop/backprop.ipynb", as_version=4)
    nbformat.write(SLIP.notebook(release, solution), fetched)
    with (hub.home / "backprop/README.md").open("a", encoding="utf-8") as page:
        page.write("My own notes.\n")
    hub.run(hub.home, "nbgrader", "submit", "backprop", "--course", "handgrad")
    hub.run(hub.course, "nbgrader", "collect", "backprop")
    return hub


def test_what_is_fetched_checks_itself(hub: Hub) -> None:
    """The folder that a student fetches has all that a check alone needs, and says what the slip is."""
    assert {"backprop.ipynb", "exercise.json", "names.txt", "requirements.txt", "test_backprop.py"} <= {
        path.name for path in (hub.home / "backprop").iterdir()
    }
    said = hub.run(hub.home / "backprop", "handgrad", "check", "backprop.ipynb", status=1)
    assert f"{SLIP.score:g} of 26" in said


def test_what_is_handed_in(hub: Hub) -> None:
    """What is released and unchanged is not handed in again; what the student has changed is."""
    (inbound,) = (hub.exchange / "handgrad/inbound").iterdir()
    names = {path.name for path in inbound.iterdir()}
    assert names == {"backprop.ipynb", "README.md", "timestamp.txt", "submission_secret.txt"}


def test_collected_and_graded(hub: Hub) -> None:
    """What was collected is graded under the student's name, with the date of the hand-in."""
    hub.run(hub.course, "handgrad", "grade", "backprop", status=1)
    with Gradebook(f"sqlite:///{hub.course / 'gradebook.db'}", "handgrad") as gradebook:
        (submission,) = gradebook.assignment_submissions("backprop")
        assert (submission.student_id, submission.score) == (getpass.getuser(), SLIP.score)
        age = datetime.now(UTC).replace(tzinfo=None) - submission.timestamp
    assert 0 <= age.total_seconds() < 3600


def test_feedback_goes_back(hub: Hub) -> None:
    """Our feedback pages are released through the exchange, and the student fetches them."""
    hub.run(hub.course, "handgrad", "grade", "backprop", status=1)
    hub.run(hub.course, "nbgrader", "release_feedback", "backprop")
    hub.run(hub.home, "nbgrader", "fetch_feedback", "backprop", "--course", "handgrad")
    (page,) = (hub.home / "backprop" / "feedback").glob("*/backprop.html")
    assert f"{SLIP.score:g}" in page.read_text(encoding="utf-8")
