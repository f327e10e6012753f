"""ngshare, an exchange that is a web service: its real server and commands, on this machine's loopback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import requests
from nbgrader.api import Gradebook

from helpers.courses import SLIP, make_course
from helpers.paths import ENVIRONMENT, TESTS

CONFIG = """
import ngshare_exchange
c = get_config()
ngshare_exchange.configureExchange(c, "http://127.0.0.1:{port}/api")
c.CourseDirectory.course_id = "handgrad"
"""


class Hub:
    """A course and two students, whose exchange is the ngshare at ``port``."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.course = root, root / "course"
        make_course(self.course)
        with (self.course / "nbgrader_config.py").open("a", encoding="utf-8") as config:
            config.write('c.ExchangeFactory.collect = "handgrad.course.nbgrader.ngshare_collector.NgshareCollector"\n')
        (root / "etc").mkdir()
        (root / "etc/nbgrader_config.py").write_text(CONFIG.format(port=port), encoding="utf-8")
        for user, place, data in (
            ("admin", "course/handgrad", {"instructors": '["kim"]'}),
            *(
                ("kim", f"student/handgrad/{name}", dict.fromkeys(("first_name", "last_name", "email"), ""))
                for name in "ab"
            ),
        ):
            url, headers = f"http://127.0.0.1:{port}/api/{place}", {"Authorization": f"token {user}"}
            assert requests.post(url, data, headers=headers, timeout=20).json()["success"]

    def run(self, user: str, folder: Path, *command: str, status: int = 0) -> str:
        """What a command of a user says, when it ends with ``status``."""
        folder.mkdir(exist_ok=True)
        of_user = {"JUPYTERHUB_USER": user, "JUPYTERHUB_API_TOKEN": user, "HOME": str(folder)}
        environment = {**ENVIRONMENT, "JUPYTER_CONFIG_DIR": str(self.root / "etc"), **of_user}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A course with an ngshare of its own, whose server does not work with the SQLAlchemy of the suite."""
    older, pip = tmp_path / "older", [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", older, "SQLAlchemy==1.4.54", "alembic==1.13.3"], check=True)
    command = [sys.executable, TESTS / "helpers/ngshare_server.py", tmp_path]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(older)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        try:
            yield Hub(tmp_path, int(server.stdout.readline()))
        finally:
            server.kill()


@pytest.mark.proof
def test_collected_and_graded(hub: Hub) -> None:
    """What students submit is collected within the limits, a newer hand-in replaces the older one, and it is graded."""
    hub.run("kim", hub.course, "nbgrader", "release_assignment", "backprop")
    homes = {name: hub.root / name for name in "ab"}
    solution = nbformat.read(hub.course / "solutions/backprop/backprop.ipynb", as_version=4)
    for name, home in homes.items():
        hub.run(name, home, "nbgrader", "fetch_assignment", "backprop")
        path = home / "backprop/backprop.ipynb"
        nbformat.write(SLIP.notebook(nbformat.read(path, as_version=4), solution), path)
        (home / "backprop/conftest.py").write_text("1 / 0", encoding="utf-8")
        (home / "backprop/work").mkdir()
        (home / "backprop/work/notes.txt").write_text("mine", encoding="utf-8")
        hub.run(name, home, "nbgrader", "submit", "backprop")
    said = hub.run("kim", hub.course, "nbgrader", "collect", "backprop")
    assert "a: Left out of 'files': 'files/conftest.py' (a program would take it for its configuration)." in said
    submitted = hub.course / "submitted/a/backprop"
    names = {path.relative_to(submitted).as_posix() for path in submitted.rglob("*") if path.is_file()}
    assert {"backprop.ipynb", "timestamp.txt", "work/notes.txt"} <= names
    assert not names & {"conftest.py", "exercise.json"}
    assert not [path for path in submitted.rglob("*") if path.stat().st_mode & 0o077]
    nbformat.write(solution, homes["b"] / "backprop/backprop.ipynb")
    hub.run("b", homes["b"], "nbgrader", "submit", "backprop")
    hub.run("kim", hub.course, "nbgrader", "collect", "backprop")
    hub.run("kim", hub.course, "handgrad", "grade", "backprop", status=1)
    with Gradebook(f"sqlite:///{hub.course / 'gradebook.db'}", "handgrad") as gradebook:
        scores = {
            submission.student_id: submission.score for submission in gradebook.assignment_submissions("backprop")
        }
    assert scores == {"a": SLIP.score, "b": 26}
    hub.run("kim", hub.course, "nbgrader", "release_feedback", "backprop")
    hub.run("a", homes["a"], "nbgrader", "fetch_feedback", "backprop")
    (page,) = (homes["a"] / "backprop/feedback").glob("*/backprop.html")
    assert f"{SLIP.score:g}" in page.read_text(encoding="utf-8")
