"""Courses whose gradebook is in PostgreSQL, and the process that grades them with simulated workers."""

import os
import pickle
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from nbgrader.api import Grade, Gradebook, Student, SubmittedAssignment
from sqlalchemy import func, insert, select

from benchmarks.courses import ASSIGNMENT, FILE, NOBODY, PROJECT, Courses, students
from benchmarks.running import BenchmarkFailed, run
from benchmarks.writer import Moment
from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import CONFIG, Course
from handgrad.course.files import write_text
from handgrad.course.workers.pool import PRELOAD, WORKER, Pool
from handgrad.course.workers.task import SubmittedFile, Task

__all__ = ["Written", "graded_once"]

CHECKED = 20
"""Every so many-th autograded notebook is read again."""
TIMED = 20
"""Submissions of which the median time is taken."""


def graded_once(courses: Courses, path: Path) -> float:
    """Grade the worked solution in a real worker, and write the pickled result to ``path``.

    Returns
    -------
    float
        Seconds that a worker takes for it without its page, as its process is asked for it.
    """
    course = Course.at(courses.ours.root)
    task = Task.of(course, course.exercise(ASSIGNMENT))
    submitted = SubmittedFile(NOBODY, str(FILE), courses.solved.encode())
    with ClassGrading(course, ASSIGNMENT) as grading:
        known = grading.gradebook.known(NOBODY, None)
    seconds = []
    with Pool(WORKER, 1, preload=PRELOAD, common=(task,)).warmed(task.settings.isolation) as pool:
        result = pool.call("grade", submitted, known)
        for _ in range(TIMED):
            begin = time.perf_counter()
            pool.call("grade", submitted, None)
            seconds.append(time.perf_counter() - begin)
    if result.report.score != result.report.max_score or not result.page:
        raise BenchmarkFailed(f"the worked solution is {result.report.outcome}: {result.report.message}")
    path.write_bytes(pickle.dumps(result))
    return median(seconds)


@dataclass(frozen=True)
class Written:
    """A course in ``root`` with ``count`` submissions, whose gradebook is the database ``url``."""

    root: Path
    url: str
    count: int

    def make(self, courses: Courses) -> None:
        """Make the folders, and register the students."""
        shutil.copytree(PROJECT / "source" / ASSIGNMENT, self.root / "source" / ASSIGNMENT)
        config = (PROJECT / CONFIG).read_text(encoding="utf-8")
        write_text(self.root / CONFIG, f"{config}c.CourseDirectory.db_url = {self.url!r}\n")
        before, after = courses.solved.split(NOBODY)
        for student in students(self.count):
            path = self.root / "submitted" / student / FILE
            path.parent.mkdir(parents=True)
            path.write_text(f"{before}{student}{after}", encoding="utf-8")
        with Gradebook(self.url, Course.at(self.root).config.CourseDirectory.course_id) as gradebook:
            gradebook.db.execute(insert(Student), [{"id": student} for student in students(self.count)])
            gradebook.db.commit()

    def write(self, courses: Courses, *options: str) -> list[Moment]:
        """Grade everybody in a process of its own, with the ``options`` of ``benchmarks/writer.py``."""
        output = self.root / "moments.json"
        command = (sys.executable, "-m", "benchmarks.writer", str(self.root), str(output), *options)
        run(command, PROJECT, {**courses.environment, "OMP_NUM_THREADS": "1"})
        self._check()
        return Moment.read(output)

    def _check(self) -> None:
        """Check that everybody is in the gradebook, and has an autograded notebook with their own name.

        Raises
        ------
        BenchmarkFailed
            This is not the case.
        """
        with Gradebook(self.url, Course.at(self.root).config.CourseDirectory.course_id) as gradebook:
            full = gradebook.find_assignment(ASSIGNMENT).max_score
            points = select(func.sum(Grade.auto_score).label("points")).group_by(Grade.notebook_id).subquery()
            right = select(func.count()).select_from(points).where(points.c.points == full)
            found = gradebook.db.execute(right).scalar_one(), gradebook.db.query(SubmittedAssignment).count()
        if found != (self.count, self.count):
            raise BenchmarkFailed(f"{found[0]} of {found[1]} students have {full} points; there must be {self.count}.")
        for student in students(self.count)[::CHECKED]:
            if repr(student) not in (self.root / "autograded" / student / FILE).read_text(encoding="utf-8"):
                raise BenchmarkFailed(f"the autograded notebook of {student} is that of another student.")


def disk_usage(folder: Path) -> int:
    """Bytes that the files of a folder take on the disk."""
    return sum(
        (Path(place) / name).lstat().st_blocks * 512 for place, _, names in os.walk(folder) for name in ("", *names)
    )
