"""What the tests of a released folder and of ``tests/hidden`` import; the code is in the packages."""

from handgrad.course.commands.check_notebook import failure, gradients, verdict
from handgrad.course.course import Course
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Verdict
from handgrad.submission.submission import Submission

__all__ = ["Course", "Submission", "Verdict", "failure", "gradients", "read_notebook", "verdict"]
