"""Whose rows the gradebook has."""

import shutil
from pathlib import Path

import pytest

from handgrad.course.course import Course
from handgrad.course.nbgrader import commands
from handgrad.course.nbgrader.scores import entries
from handgrad.errors import CourseError
from helpers.courses import RIGHT, grade, make_course


def test_a_course_that_gets_another_id(tmp_path: Path) -> None:
    """Whatever id a course has, or had: its own gradebook is its own; another course's in a shared database is not."""
    course = make_course(tmp_path / "course", s01=RIGHT)
    grade(course)
    path, text = course.root / "nbgrader_config.py", (course.root / "nbgrader_config.py").read_text(encoding="utf-8")
    for now in ('"cs101"', '""', '"handgrad"'):
        path.write_text(text.replace('course_id = "handgrad"', f"course_id = {now}"), encoding="utf-8")
        course = Course.at(course.root)
        assert grade(course).left == 0
        grade(course, force=True, feedback=True)
        assert entries(course, "backprop")["s01"].score == 26.0
        commands.run("generate_assignment", course, "backprop")
    path.write_text(
        text.replace('"handgrad"', '"cs102"') + f"c.CourseDirectory.db_url = 'sqlite:///{course.root}/gradebook.db'\n",
        encoding="utf-8",
    )
    other = tmp_path / "other"
    shutil.copytree(course.root / "source", other / "source")
    shutil.copy(path, other)
    for use in (grade, lambda course: entries(course, "backprop")):
        with pytest.raises(CourseError, match="belongs to the course 'handgrad', and this one is 'cs102'"):
            use(Course.at(other))
