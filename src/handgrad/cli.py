"""The command line: each verb a thin wrapper over one function that Python can call."""

import enum
import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import handgrad.lean  # noqa: F401 - before whatever imports nbformat
from handgrad import __version__
from handgrad.errors import HandgradError
from handgrad.report import Report

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn backpropagation by writing it: every gradient is graded against autograd.",
)

CourseOption = Annotated[
    Path, typer.Option("--course", help="A course's folder, or one inside it; the current one unless told.")
]


class Format(enum.StrEnum):
    """How a report is written."""

    text = "text"
    json = "json"
    junit = "junit"
    gradescope = "gradescope"


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="A student's notebook, or the .py file of one.")],
    format: Annotated[Format, typer.Option(help="How the report is written.")] = Format.text,  # noqa: A002
    exercise: Annotated[
        Path | None, typer.Option(help="The exercise's notebook, where it is not found by itself.")
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS", help="A name of the notebook that the exercise calls otherwise; repeatable."
        ),
    ] = None,
) -> None:
    """Grade one notebook, your own: every gradient by itself, on fresh data. Exit status 0 if all passed, 1 if not."""
    from handgrad.sandbox.warm import WarmProcess, lacking

    # it imports torch while this process does
    with nullcontext() if lacking() else WarmProcess() as process:
        from handgrad import selfcheck
        from handgrad.exercise import Exercise

        found = Exercise.read(exercise) if exercise else None
        report = selfcheck.check(notebook, found, renames=rename or (), process=process).report
    typer.echo(_rendered(report, format), nl=False)
    raise typer.Exit(0 if report.passed else 1)


@app.command()
def grade(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    *,
    student: Annotated[
        list[str] | None, typer.Option(help="Grade this student only: a name or a glob; may be repeated.")
    ] = None,
    notebook: Annotated[
        list[str] | None, typer.Option(help="Grade this notebook only: a name or a glob; may be repeated.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that grade; one for each processor unless told.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Grade on a Dask cluster: tcp://HOST:8786.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Grade again what has not changed since.")] = False,
    feedback: Annotated[bool, typer.Option(help="Write the feedback pages too.")] = True,
    trust: Annotated[
        bool, typer.Option("--trust-submissions", help="Grade also where this machine isolates nothing.")
    ] = False,
    course: CourseOption = Path(),
) -> None:
    """Grade a class: scores into the gradebook, notebooks into autograded/ and feedback/."""
    from handgrad.batch import grade_class
    from handgrad.cluster import cluster
    from handgrad.course import Course
    from handgrad.render import class_table
    from handgrad.watch import Watch

    found = Course.at(course)
    with cluster(scheduler) as executor, Watch() as watch:
        reports = grade_class(
            found.trusting() if trust else found,
            assignment,
            student or (),
            notebook or (),
            workers=workers,
            executor=executor,
            force=force,
            feedback=feedback,
            watch=watch,
        )
    typer.echo(class_table(reports, width=_width()), nl=False)
    raise typer.Exit(_status(reports))


@app.command()
def feedback(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    *,
    student: Annotated[
        list[str] | None, typer.Option(help="Write this student's page only: a name or a glob; may be repeated.")
    ] = None,
    with_solutions: Annotated[
        bool,
        typer.Option("--with-solutions", help="Show the worked solution of what is not right: after the deadline."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that write; one for each processor unless told.")
    ] = None,
    course: CourseOption = Path(),
) -> None:
    """Write the feedback pages anew, with the scores that the gradebook has now. Nothing is graded."""
    from handgrad.batch import write_feedback
    from handgrad.course import Course

    found = Course.at(course)
    written, left = write_feedback(found, assignment, student or (), solutions=with_solutions, workers=workers)
    shown = ", with solutions" if with_solutions else ""
    typer.echo(f"{len(written)} feedback page{'' if len(written) == 1 else 's'}{shown}: {found.folder('feedback')}")
    if left:
        typer.echo(f"No page, because nothing of theirs is graded: {', '.join(left)}.")


@app.command()
def report(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    output: Annotated[
        Path | None, typer.Option(help="Where the page goes; report.html in the course's folder.")
    ] = None,
    course: CourseOption = Path(),
) -> None:
    """Show the class at a glance: a table here, and report.html."""
    from handgrad.batch import stored_reports
    from handgrad.course import Course
    from handgrad.overview import write_class_page
    from handgrad.render import class_table
    from handgrad.scores import entries

    found = Course.at(course)
    reports = stored_reports(found, assignment)
    typer.echo(class_table(reports, entries(found, assignment), width=_width()), nl=False)
    typer.echo(f"The report is in {write_class_page(found, assignment, reports, output)}")


@app.command()
def demo(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")] = "backprop",
    course: CourseOption = Path(),
    browse: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Grade a sample class, and show the report."""
    from handgrad.batch import grade_class
    from handgrad.course import Course
    from handgrad.demo import fill, only_samples
    from handgrad.overview import write_class_page
    from handgrad.render import class_table

    found = Course.at(course)
    if written := fill(found, assignment):
        typer.echo(f"{len(written)} sample submissions are in {found.folder('submitted')}")
    typer.echo("Grading them ...")
    # nobody else's code is trusted without being asked for by name
    samples = only_samples(found, assignment)
    reports = grade_class(found.trusting() if samples else found, assignment)
    if samples and any(report.isolation == "none" for report in reports if report.outcome == "graded"):
        typer.echo("This machine isolates nothing; the sample class is ours and was trusted. Yours would not be.")
    typer.echo(class_table(reports, width=_width()), nl=False)
    page = write_class_page(found, assignment, reports)
    typer.echo(f"The report is in {page}")
    if browse:
        webbrowser.open(page.as_uri())


@app.command()
def data(
    lecture: Annotated[bool, typer.Option("--lecture", help="Fetch the lecture's own list of names.")] = False,
    output: Annotated[Path, typer.Option(help="Where the list goes.")] = Path("names.txt"),
    force: Annotated[bool, typer.Option(help="Replace another file of that name.")] = False,
    url: Annotated[str | None, typer.Option(help="Fetch it from another address; its hash must be the same.")] = None,
) -> None:
    """Fetch the lecture's list of names, checked by its hash, in the place of the course's own."""
    from handgrad.data import LECTURE_URL, write_lecture_names

    if not lecture:
        _fail("say `handgrad data --lecture` to fetch the lecture's list; the course's own is data/names.txt.")
    typer.echo(f"The lecture's names are in {write_lecture_names(output, force=force, url=url or LECTURE_URL)}")


def _rendered(report: Report, format_: Format) -> str:
    from handgrad import render

    match format_:
        case Format.text:
            return render.report_text(
                report, width=_width(), color=sys.stdout.isatty() and "NO_COLOR" not in os.environ
            )
        case Format.json:
            return render.report_json(report)
        case Format.junit:
            return render.report_junit(report)
        case Format.gradescope:
            return render.report_gradescope(report)


def _width() -> int | None:
    """Columns of the terminal; None, which is each renderer's own choice, where there is none."""
    return None if sys.stdout.isatty() else 100


def _status(reports: list[Report]) -> int:
    """Exit status of a class: 2 if the grader failed somewhere, 1 if something is not passed, else 0."""
    if any(report.outcome == "not-graded" for report in reports):
        return 2
    return 0 if all(report.passed for report in reports) else 1


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"handgrad: {message}")
    raise typer.Exit(2)


@contextmanager
def _errors_said() -> Iterator[None]:
    """Turn an error of ours into one sentence and exit status 2."""
    try:
        yield
    except HandgradError as error:
        print(f"handgrad: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        sentence = f"this command needs the package {error.name}, which is not installed: install handgrad[grade]."
        print(f"handgrad: {sentence}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("handgrad: stopped; what was graded is kept.", file=sys.stderr)
        sys.exit(130)


def main() -> None:
    """Run the command line."""
    with _errors_said():
        app()


if __name__ == "__main__":
    main()
