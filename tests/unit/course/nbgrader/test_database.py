"""Whose rows the gradebook has."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from nbgrader.dbutil import _temp_alembic_ini
from sqlalchemy import text

from handgrad.course.course import Course
from handgrad.course.nbgrader import commands, database
from handgrad.course.nbgrader.scores import entries
from handgrad.errors import CourseError
from helpers.courses import RIGHT, grade, make_course


def test_a_course_that_gets_another_id(tmp_path: Path) -> None:
    """Whatever id a course has, or had: its own gradebook is its own; another course's in a shared database is not."""
    course = make_course(tmp_path / "course", s01=RIGHT)
    grade(course)
    path, before = course.root / "nbgrader_config.py", (course.root / "nbgrader_config.py").read_text(encoding="utf-8")
    for now in ('"cs101"', '""', '"handgrad"'):
        path.write_text(before.replace('course_id = "handgrad"', f"course_id = {now}"), encoding="utf-8")
        course = Course.at(course.root)
        assert grade(course).left == 0
        grade(course, force=True, feedback=True)
        assert entries(course, "backprop")["s01"].score == 26.0
        commands.run("generate_assignment", course, "backprop")
    path.write_text(
        before.replace('"handgrad"', '"cs102"')
        + f"c.CourseDirectory.db_url = 'sqlite:///{course.root}/gradebook.db'\n",
        encoding="utf-8",
    )
    other = tmp_path / "other"
    shutil.copytree(course.root / "source", other / "source")
    shutil.copy(path, other)
    for use in (grade, lambda course: entries(course, "backprop")):
        with pytest.raises(CourseError, match="belongs to the course 'handgrad', and this one is 'cs102'"):
            use(Course.at(other))


def test_a_new_gradebook_is_at_the_newest_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new gradebook has the revision that alembic's own command prints, without that command on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    url = f"sqlite:///{tmp_path}/gradebook.db"
    with database.at_work(), Gradebook(url) as gradebook:
        revision = gradebook.db.execute(text("SELECT version_num FROM alembic_version")).scalar()
    with _temp_alembic_ini(url) as configuration:
        command = [sys.executable, "-m", "alembic.config", "-c", configuration, "heads"]
        heads = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert heads.split() == [revision, "(head)"]
