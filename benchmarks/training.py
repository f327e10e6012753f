"""What grading a training costs, compared with one run of the student's own loop, and nothing else.

The loop is that of the worked solution, after the locked cells, in a process that only executes it.
"""

import contextlib
import copy
import sys
import time

import nbformat
import torch

from benchmarks.courses import PROJECT
from benchmarks.figures import Figure
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import Bench, alone
from handgrad.course.course import Course
from handgrad.exercise.reference import run_locked
from handgrad.grading.grader import Grader
from handgrad.notebook import execution
from handgrad.submission.submission import Submission

ASSIGNMENT = "training"


def figures(bench: Bench) -> list[Figure]:
    """The figure."""
    torch.set_num_threads(1)
    course = Course.at(PROJECT)
    exercise = course.exercise(ASSIGNMENT)
    solved = nbformat.read(course.folder("solution") / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", as_version=4)
    with Grader(exercise, [1], course.settings) as grader:
        # once: it takes 18 s, and three runs differ by 2%
        with contextlib.chdir(exercise.directory), torch.no_grad(), execution.captured():
            namespace = run_locked(exercise, {})
            begin = time.perf_counter()
            for name, source in exercise.solution():
                execution.run_cell(execution.CompiledCell(source, f"<{name}>"), namespace)
            loop = time.perf_counter() - begin
        begin = time.perf_counter()
        report = grader.grade(Submission.of(copy.deepcopy(solved), exercise)).report
        graded = time.perf_counter() - begin
        if not report.passed:
            raise BenchmarkFailed(f"the solution of {ASSIGNMENT} does not pass: {report.score} points.")
        bench.say(f"{ASSIGNMENT}: the loop {loop:.1f} s, graded in {graded:.1f} s")
    made_of = f"{graded:.1f} s a submission; the loop takes {loop:.1f} s"
    question = "a submission of `training`, against one run of its loop"
    return [Figure(question, 2.2, [graded / loop], made_of, "{:.2f} times", at_most=True)]


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
