"""The graded tests as pytest sees them: one test for each gradient of the notebook named by --submission."""

from pathlib import Path

import pytest

from handgrad.selfcheck import Course, Submission, Verdict, read_notebook

COURSE = Course.at(Path(__file__).parent)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each answer to the exercise that the folder is called after."""
    if "gradient" in metafunc.fixturenames:
        exercise = COURSE.exercise(metafunc.definition.path.parent.name)
        metafunc.parametrize("gradient", [check.gradient for check in exercise.checks])


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """Verdicts on the submission (default: the worked solution), by gradient, with the course's hidden seeds."""
    exercise = COURSE.exercise(request.path.parent.name)
    named = request.config.getoption("--submission")
    path = Path(named) if named else COURSE.folder("solution") / exercise.name / f"{exercise.name}.ipynb"
    with COURSE.grader(exercise) as grader:
        report = grader.grade(Submission.of(read_notebook(path), exercise)).report
    return {verdict.gradient: verdict for verdict in report.checks}
