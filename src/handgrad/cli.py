"""The command line: each verb a thin wrapper over one function that Python can call."""

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console

import handgrad._startup  # noqa: F401 - before whatever imports nbformat
from handgrad import __version__
from handgrad.errors import HandgradError
from handgrad.report.records import Report

__all__ = ["Export", "Format", "ProofFormat", "Service", "app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn backpropagation by writing it: every gradient is graded against autograd.",
)

Format = Literal["text", "json", "junit", "gradescope", "classroom"]
Export = Literal["csv", "json", "canvas", "moodle", "moodle-worksheet", "gradescope"]
Service = Literal["gradescope", "github"]
ProofFormat = Literal["text", "json"]

CourseOption = Annotated[
    Path, typer.Option("--course", help="A course's folder, or one inside it; the current one unless told.")
]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="A student's notebook, its .py file, or the folder that holds it.")],
    format: Annotated[Format, typer.Option(help="How the report is written.")] = "text",  # noqa: A002
    exercise: Annotated[
        Path | None, typer.Option(help="The exercise's notebook or exercise.json, where it is not found by itself.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A course's marks and limits: handgrad.json of an autograder.")
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS", help="A name of the notebook that the exercise calls otherwise; repeatable."
        ),
    ] = None,
) -> None:
    """Grade one notebook, your own: every gradient by itself, on fresh data. Exit status 0 if all passed, 1 if not."""
    from handgrad.sandbox.warm_process import StartedProcess, why_no_isolation

    # it imports torch while this process does
    with nullcontext() if why_no_isolation() else StartedProcess() as process:
        from handgrad.course.commands import check_notebook
        from handgrad.course.course import Course
        from handgrad.exercise import release_file

        course = Course.of_settings(settings) if settings else None
        found = release_file.read_exercise(exercise) if exercise else None
        report = check_notebook.check(notebook, found, course, renames=rename or (), process=process).report
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
    from handgrad.course.commands.grade_class import grade_class
    from handgrad.course.commands.progress_bar import Watch
    from handgrad.course.course import Course
    from handgrad.course.workers.dask import cluster
    from handgrad.report.class_terminal import class_table

    found = Course.at(course)
    with cluster(scheduler) as executor, Watch() as watch:
        reports = grade_class(
            found.with_trust() if trust else found,
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
def regrade(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")] = False,
    course: CourseOption = Path(),
) -> None:
    """Mark a class again, from its stored answers, by the points and c.Handgrad as they are now. No code is run."""
    from handgrad.course.commands.regrade_class import regrade_class
    from handgrad.course.course import Course
    from handgrad.report.class_terminal import changes_table

    changes = regrade_class(Course.at(course), assignment, dry_run=dry_run)
    rows = [(one.before, one.after, one.gradients(), one.obstacle) for one in changes]
    typer.echo(changes_table(rows, written=not dry_run, width=_width()), nl=False)
    if not dry_run and any(gradients for _, _, gradients, _ in rows):
        typer.echo(f"`handgrad report {assignment}` writes the class's page anew.")
    raise typer.Exit(1 if any(one.obstacle for one in changes) else 0)


@app.command()
def export(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    format: Annotated[Export, typer.Option(help="Who is to read it.")] = "csv",  # noqa: A002
    output: Annotated[Path | None, typer.Option(help="The file; standard output unless told.")] = None,
    course: CourseOption = Path(),
) -> None:
    """Write the scores of a class, a person's scores and late penalties included, for another tool."""
    from handgrad.course.commands.export_scores import export as exported
    from handgrad.course.course import Course

    text = exported(Course.at(course), assignment, format, output)
    typer.echo(f"The scores are in {output}" if output else text, nl=bool(output))


@app.command()
def new_autograder(
    service: Annotated[Service, typer.Argument(help="Who is to grade.")],
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")] = "backprop",
    output: Annotated[Path | None, typer.Option(help="The folder; SERVICE-ASSIGNMENT unless told.")] = None,
    course: CourseOption = Path(),
) -> None:
    """Write an autograder for Gradescope, or a repository for GitHub Classroom."""
    from handgrad.authoring.autograders import write_autograder
    from handgrad.course.course import Course

    folder = output or Path(f"{service}-{assignment}")
    for path in write_autograder(Course.at(course), service, assignment, folder):
        typer.echo(path)


@app.command()
def look_alikes(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    most: Annotated[int, typer.Option(min=1, help="Pairs that are shown at most.")] = 10,
    course: CourseOption = Path(),
) -> None:
    """Ask about submissions that share cells which few others wrote, whatever their names, spaces and comments."""
    from handgrad.course.commands.look_alikes import look_alikes as pairs
    from handgrad.course.course import Course
    from handgrad.report.class_terminal import alike_text

    rows = [(pair.students, pair.cells) for pair in pairs(Course.at(course), assignment)]
    typer.echo(alike_text(rows, most=most, width=_width()), nl=False)


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
    from handgrad.course.commands.grade_class import write_feedback
    from handgrad.course.course import Course

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
    from handgrad.course.commands.class_page import write_class_page
    from handgrad.course.commands.grade_class import stored_reports
    from handgrad.course.course import Course
    from handgrad.course.nbgrader.scores import entries
    from handgrad.report.class_terminal import class_table

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
    from handgrad.authoring.demo_class import fill, only_samples
    from handgrad.course.commands.class_page import write_class_page
    from handgrad.course.commands.grade_class import grade_class
    from handgrad.course.course import Course
    from handgrad.report.class_terminal import class_table

    found = Course.at(course)
    if written := fill(found, assignment):
        typer.echo(f"{len(written)} sample submissions are in {found.folder('submitted')}")
    typer.echo("Grading them ...")
    # nobody else's code is trusted without being asked for by name
    samples = only_samples(found, assignment)
    reports = grade_class(found.with_trust() if samples else found, assignment)
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


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the new exercise.")],
    *,
    forward: Annotated[Path, typer.Option(metavar="FILE", help="A forward pass in plain Python: forward.py.")],
    course: CourseOption = Path(),
) -> None:
    """Write the notebook of a new exercise from a forward pass; the solutions and the texts are yours to fill."""
    from handgrad.authoring.new_exercise import new_exercise
    from handgrad.course.course import Course

    typer.echo(f"The new exercise is in {new_exercise(Course.at(course), name, forward)}")
    typer.echo(f"Fill its solutions and its texts; `handgrad verify {name}` lists what is open.")


@app.command()
def release(
    assignments: Annotated[list[str] | None, typer.Argument(help="Names of assignments; all unless told.")] = None,
    course: CourseOption = Path(),
) -> None:
    """Write release/ and solutions/ from source/, and put the wheel that students install beside each notebook."""
    from handgrad.authoring.release import release as released
    from handgrad.course.course import Course

    for one in released(Course.at(course), assignments or ()):
        wheel = f" with {one.wheel}" if one.wheel else ""
        typer.echo(f"{one.assignment}: {one.folder}{wheel}; its solution is in {one.solution}")


@app.command()
def verify(
    assignments: Annotated[list[str] | None, typer.Argument(help="Names of assignments; all unless told.")] = None,
    *,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Break each solution by small rules, and show what the checks let pass.")
    ] = False,
    format: Annotated[ProofFormat, typer.Option(help="How the proof is written.")] = "text",  # noqa: A002
    course: CourseOption = Path(),
) -> None:
    """Prove a course before it is handed out, all faults in one run. Exit status 0 if it is sound, 1 if not."""
    from handgrad.authoring.verify import output
    from handgrad.authoring.verify.verify import verify as verified
    from handgrad.course.course import Course

    with Console(stderr=True).status("") as shown:
        proofs = verified(Course.at(course), assignments or (), mutants=mutants, say=shown.update)
    if format == "json":
        typer.echo(output.as_json(proofs), nl=False)
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        typer.echo(output.as_text(proofs, width=_width(), color=color), nl=False)
    raise typer.Exit(output.status(proofs))


def _rendered(report: Report, format_: Format) -> str:
    from handgrad.report.formats import FORMATS
    from handgrad.report.terminal import report_text

    if format_ == "text":
        return report_text(report, width=_width(), color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    return FORMATS[format_](report)


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
