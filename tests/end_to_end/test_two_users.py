"""A hub on one machine: students with accounts of their own, the exchange, and what they can do to a course and read.

As root the students are real users, who need no names; as anybody else they are this user, and only what needs no
second user is tried.
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import close_gradebook
from handgrad.course.nbgrader.exchange_collector import ExchangeCollector
from handgrad.notebook.reading import read_notebook
from handgrad.submission.find_notebook import find_notebook
from helpers.courses import RIGHT, grade, hand_in, make_course

EVE, ALICE = (50_001, 50_002) if os.geteuid() == 0 else (os.geteuid(), os.geteuid())
DATE = "2020-01-01 00:00:00 UTC"
READS = """
import json, os, sys
from pathlib import Path
uid, root = int(sys.argv[1]), sys.argv[2]
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
read, written = [], []
for place, folders, files in os.walk(root):
    for name in (*files, *folders):
        path = os.path.join(place, name)
        try:
            os.listdir(path) if os.path.isdir(path) else open(path, "rb").close()
            read.append(os.path.relpath(path, root))
        except OSError:
            pass
        if os.access(path, os.W_OK):
            written.append(os.path.relpath(path, root))
print(json.dumps([read, written]))
"""


class Hub:
    """A course whose folder is open to others (by mistake), and an exchange."""

    def __init__(self, root: Path) -> None:
        self.root, self.course = root / "home/course", make_course_in(root / "home/course")
        self.inbound = root / "exchange/handgrad/inbound"
        self.inbound.mkdir(parents=True)

    def submit(self, student: str, owner: int, content: bytes) -> Path:
        """What `nbgrader submit` leaves: a folder of the student's that everybody may write to."""
        folder = self.inbound / f"{student}+backprop+{DATE}+x"
        folder.mkdir()
        (folder / "backprop.ipynb").write_bytes(content)
        (folder / "timestamp.txt").write_text(DATE, encoding="utf-8")
        for path in (folder, *folder.iterdir()):
            os.lchown(path, owner, -1)
            path.chmod(0o777 if path == folder else 0o644)
        return folder

    def collect(self) -> None:
        config = Config({"CourseDirectory": {"root": str(self.root), "course_id": "handgrad"}})
        coursedir = CourseDirectory(config=config, assignment_id="backprop")
        collector = ExchangeCollector(
            coursedir=coursedir, config=config, update=True, check_owner=True, root=str(self.inbound.parents[1])
        )
        collector.init_src()
        collector.copy_files()

    def seen_by(self, uid: int) -> tuple[set[str], set[str]]:
        """What a user can read of the course, and what the user can change."""
        done = subprocess.run(
            [sys.executable, "-I", "-c", READS, str(uid), str(self.root)], capture_output=True, text=True, check=True
        )
        read, written = json.loads(done.stdout)
        return set(read), set(written)


def make_course_in(folder: Path) -> Course:
    """A course in a folder of its own, with the rights that a shell usually gives."""
    folder.mkdir(parents=True)
    course = make_course(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return course


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub in a folder that everybody can enter: pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        root.chmod(0o755)
        before = os.umask(0o022)
        try:
            yield Hub(root)
        finally:
            os.umask(before)


def test_what_students_read(hub: Hub) -> None:
    """Of what is collected, graded and stored students read and change nothing, even if the course is open to them."""
    path = hand_in(hub.root, "made", RIGHT)
    hub.submit("eve", EVE, path.read_bytes())
    hub.collect()
    grade(hub.course, "eve", feedback=True)
    private = [hub.root / ".handgrad", hub.root / "gradebook.db"]
    private += [hub.root / kind / "eve" for kind in ("submitted", "autograded", "feedback")]
    for place in private:
        assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600), place
    if os.geteuid() == 0:
        for student in (EVE, ALICE):
            read, written = hub.seen_by(student)
            assert written == set()
            assert {"source", "nbgrader_config.py"} <= read
            secret = (".handgrad", "gradebook", "submitted/eve", "autograded/eve", "feedback/eve")
            assert not [name for name in read if name.startswith(secret)]
        hub.root.chmod(0o700)
        assert hub.seen_by(EVE) == (set(), set())


def test_a_notebook_that_becomes_a_link(hub: Hub) -> None:
    """A student's link to the solution, to the seeds or to another student's work brings nothing of it in."""
    secrets = {
        "solution": hub.root / "solutions/backprop/backprop.ipynb",
        "seeds": hub.root / ".handgrad/seeds.json",
        "neighbour": hub.inbound / f"alice+backprop+{DATE}+x/backprop.ipynb",
    }
    hub.course.private_folder.joinpath("seeds.json").write_text('{"seeds": [314159]}', encoding="utf-8")
    hub.submit("alice", ALICE, b'{"cells": []}')
    for student, secret in secrets.items():
        folder = hub.submit(student, EVE, b"{}")
        (folder / "backprop.ipynb").unlink()
        (folder / "backprop.ipynb").symlink_to(secret)
        os.link(secrets["seeds"], folder / "hard.json")
    if os.geteuid():
        # a hard link to one's own file is one's own file
        for student in secrets:
            (hub.inbound / f"{student}+backprop+{DATE}+x" / "hard.json").unlink()
    hub.collect()
    found = {path.name for path in (hub.root / "submitted").rglob("*") if path.is_file()}
    assert found <= {"backprop.ipynb", "timestamp.txt", "README.md"}
    assert not any((hub.root / "submitted" / student).exists() for student in secrets)


def test_a_gradebook_from_the_start(hub: Hub) -> None:
    """A new gradebook is nobody else's from its first moment on; an older one is closed."""
    coursedir = CourseDirectory(config=Config({"CourseDirectory": {"root": str(hub.root)}}))
    path = hub.root / "gradebook.db"
    for mode in (None, 0o644, 0o666):
        if mode:
            path.chmod(mode)
        close_gradebook(coursedir)
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_found_again(hub: Hub) -> None:
    """What was collected is found and read like any hand-in."""
    path = hand_in(hub.root, "made", RIGHT)
    hub.submit("eve", EVE, path.read_bytes())
    hub.collect()
    submitted = hub.root / "submitted"
    found = find_notebook(submitted / "eve/backprop", hub.course.exercise("backprop"), submitted)
    assert found.path is not None
    assert found.note == ""
    assert read_notebook(found.path, submitted) == read_notebook(path)
