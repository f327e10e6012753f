"""The command line: each command a thin wrapper over one function that Python can call."""

import atexit
import functools
import gc
import inspect
import io
import logging
import os
import shlex
import sys
import traceback
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Annotated, Any, Literal

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from typer.core import TyperCommand, TyperGroup
except ModuleNotFoundError as error:
    from handgrad.student.installation import missing_package

    sys.exit(f"handgrad: {missing_package(error.name or '')}")

import handgrad.notebook.slow_imports  # noqa: F401 - before whatever imports nbformat
from handgrad import __version__
from handgrad.course.stop_signals import stop_signals
from handgrad.errors import HandgradError
from handgrad.report.names import printable
from handgrad.report.records import Report

if TYPE_CHECKING:
    from handgrad.course.course import Course

__all__ = ["app", "main"]

STUDENTS, INSTRUCTORS, AUTHORS = "For students", "For instructors", "For authors of exercises"
"""Who uses a command: the groups of ``handgrad --help``."""

Format = Literal["text", "json", "junit", "gradescope", "classroom50"]
SERVICES: tuple[Format, ...] = ("gradescope", "classroom50")
"""Formats of grading services: they need the exercise's own verdicts, since a notebook could forge those of its own."""
Export = Literal[
    "csv", "json", "canvas", "moodle", "moodle-worksheet", "gradescope", "moodle-feedback", "canvas-feedback"
]
Service = Literal["gradescope", "classroom50"]
ProofFormat = Literal["text", "json"]
Required = Literal["none", "partial", "full"]


class _WithoutType:
    """A command whose option ``--help`` has no type, which typer would show."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc] # that of typer's class
        option.metavar = ""
        return option


class _Command(_WithoutType, TyperCommand):
    pass


class _Group(_WithoutType, TyperGroup):
    pass


SETTINGS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=_Group,
    context_settings=SETTINGS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Learn backpropagation by writing it: every gradient is graded against autograd.",
    epilog="handgrad COMMAND --help explains a command and shows an example.",
)


@dataclass
class _Output:
    """How much the commands print."""

    verbose: bool = False
    quiet: bool = False

    def note(self, text: str, *, err: bool = False) -> None:
        """Print what is not a result; to standard error if a result is on standard output."""
        if not self.quiet:
            typer.echo(printable(text), err=err)


output = _Output()


def _option(*names: str, help: str, **rest: Any) -> Any:  # noqa: A002 - typer's own name
    """An option that is given or not, and so has no type to show."""
    return typer.Option(*names, metavar="", help=help, **rest)


def _value(metavar: str, help: str, *names: str, default: str | bool = True, **rest: Any) -> Any:  # noqa: A002
    """An option with a value, which the help calls ``metavar``; ``default`` is shown if it is a text."""
    return typer.Option(*names, metavar=metavar, help=help, show_default=default, **rest)


def command(
    panel: str, example: str, group: typer.Typer = app, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command, with an example in its help, and the options that every command has."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(verbose: bool, quiet: bool, **arguments: Any) -> None:
            output.verbose, output.quiet = verbose, quiet
            logging.getLogger("handgrad").setLevel(logging.ERROR if quiet else logging.WARNING)
            try:
                with stop_signals():
                    function(**arguments)
            except KeyboardInterrupt as stop:
                kept = "; what was graded is kept" if function.__name__ in ("grade", "demo") else ""
                print(f"handgrad: stopped{kept}.", file=sys.stderr)
                raise typer.Exit(128 + getattr(stop, "number", SIGINT)) from None

        common = {
            "verbose": Annotated[bool, _option("--verbose", "-v", help="Print each step, and the cause of an error.")],
            "quiet": Annotated[bool, _option("--quiet", "-q", help="Print results only: no progress, no remarks.")],
        }
        signature = inspect.signature(function, eval_str=True)
        keyword = inspect.Parameter.KEYWORD_ONLY
        extra = [inspect.Parameter(name, keyword, default=False, annotation=kind) for name, kind in common.items()]
        run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {**function.__annotations__, **common}
        first, *rest = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        group.command(
            name,
            cls=_Command,
            rich_help_panel=panel,
            short_help=first,
            help="\n\n".join([f"{first} ({panel}.)", *rest]),
            epilog=f"Example: {example}",
            context_settings=SETTINGS,
        )(run)
        return function

    return register


def _output_option(default: str | bool, kind: str = "FILE") -> Any:
    """The option ``--output`` of a command that writes a file or a folder."""
    return _value(kind, f"Write to this {kind.lower()}.", "--output", "-o", default=default)


Assignment = Annotated[str, typer.Argument(metavar="ASSIGNMENT", help="Name of the assignment.")]
Assignments = Annotated[
    list[str] | None, typer.Argument(metavar="[ASSIGNMENT]...", show_default="all", help="Names of assignments.")
]
CourseOption = Annotated[
    Path,
    _value("FOLDER", "The course's folder, or one inside it.", "--course", default="the current folder"),
]
Students = Annotated[
    list[str] | None, _value("NAME", "Only this student: a name or a glob. Can be repeated.", "--student")
]
Workers = Annotated[int | None, _value("N", "Number of processes.", "--workers", default="one for each CPU", min=1)]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, _option("--version", "-V", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@contextmanager
def _doing(what: str) -> Iterator[Callable[[str], None]]:
    """Show in the terminal what is being done, in one line that goes away; nothing is shown elsewhere."""
    console = Console(stderr=True)
    if output.quiet or not console.is_terminal:
        yield lambda what: None
        return
    with console.status(what) as status:
        yield lambda what: status.update(escape(printable(what)))


@command(STUDENTS, "handgrad check backprop.ipynb")
def check(
    notebook: Annotated[
        Path, typer.Argument(metavar="NOTEBOOK", help="Your notebook, a .py export of it, or the folder that it is in.")
    ],
    format: Annotated[Format, typer.Option(help="Format of the report.")] = "text",  # noqa: A002
    exercise: Annotated[
        Path | None,
        _value("FILE", "The exercise: its notebook, or the exercise.json of a release.", default="found by itself"),
    ] = None,
    settings: Annotated[
        Path | None,
        _value("FILE", "Marks and limits of a course: the handgrad.json of an autograder.", default="handgrad's own"),
    ] = None,
    *,
    rename: Annotated[
        list[str] | None,
        _value("YOURS=TENSOR", "A variable of your notebook, and the tensor it is about. Can be repeated."),
    ] = None,
    data: Annotated[
        list[Path] | None, _value("FILE", "A file that your notebook opens, if it is elsewhere. Can be repeated.")
    ] = None,
    course: Annotated[
        Path | None,
        _value("FOLDER", "A course of yours, with its exercises and marks; its configuration is run.", default="none"),
    ] = None,
    require_isolation: Annotated[
        Required, typer.Option(help="Run nothing if this machine isolates the notebook less than this.")
    ] = "none",
) -> None:
    """Check your own notebook: every gradient is tested by itself.

    A notebook made from a release is tested on fresh data. Any other one is checked against its own forward pass;
    with --exercise, --settings or the format of a grading service it is tested against the exercise.

    Exit status: 0 if all passed, 1 if something did not.
    """
    # what is no notebook is refused before torch is imported, which takes seconds
    from handgrad.course.commands.named_notebook import named_notebook, when_saved, wrong_suffix

    notebook = named_notebook(notebook, needs_exercise=exercise is not None)
    if format == "text" and notebook.is_file():
        output.note(when_saved(notebook))
        if note := wrong_suffix(notebook):
            output.note(note)
    from handgrad.course.commands.check_process import CheckProcess, CheckRequest, checked, modules_for
    from handgrad.sandbox.isolation.linux import adopting
    from handgrad.sandbox.warm_process import why_no_isolation

    request = CheckRequest(
        str(notebook),
        exercise=str(exercise or ""),
        settings=str(settings or ""),
        course=str(course or ""),
        renames=tuple(rename or ()),
        data=tuple(map(str, data or ())),
        require_isolation=require_isolation,
        is_service=format in SERVICES,
    )
    # the report is written when no process of the notebook's is left
    with adopting(), _doing("importing torch") as tell:
        if why_no_isolation():
            report = checked(request, None, tell)
        else:
            with CheckProcess(modules_for(notebook)) as process:
                report = process.check(request, tell)
    from handgrad.report.formats import FORMATS
    from handgrad.report.terminal import report_text
    from handgrad.student.course_progress import note_check

    if format == "text":
        note_check(notebook if notebook.is_dir() else notebook.parent, report)
    try:
        text = report_text(report, width=_width(), color=_has_color()) if format == "text" else FORMATS[format](report)
    except ValueError as error:
        raise HandgradError(str(error)) from error
    typer.echo(text, nl=False)
    if format == "text" and {check.outcome for check in report.checks} == {"missing"}:
        output.note("If you have written some of them, save the notebook and check it again: the check reads the file.")
    raise typer.Exit(0 if report.passed else 1)


@command(STUDENTS, "handgrad progress")
def progress(
    folder: Annotated[
        Path,
        typer.Argument(metavar="[FOLDER]", show_default="the current folder", help="Where your exercises are."),
    ] = Path(),
) -> None:
    """Show how far you are in a course: which exercises are done, and which is next.

    It reads the released folders and what `cmp` and `handgrad check` have noted in them. Nothing is run.
    """
    from handgrad.errors import SubmissionError
    from handgrad.student.course_progress import course_progress, text

    exercises = course_progress(folder)
    if not exercises:
        raise SubmissionError(
            f"there is no exercise in {folder.resolve()}, nor in a folder in it: name the folder in which the released "
            "exercises are. Each has a file exercise.json."
        )
    typer.echo(text(exercises))


@command(INSTRUCTORS, "handgrad grade backprop --dry-run")
def grade(
    assignment: Assignment,
    *,
    student: Students = None,
    notebook: Annotated[
        list[str] | None, _value("NAME", "Only this notebook: a name or a glob. Can be repeated.")
    ] = None,
    workers: Workers = None,
    scheduler: Annotated[
        str | None,
        _value("ADDRESS", "The scheduler of a Dask cluster that grades: tcp://HOST:8786.", default="this machine"),
    ] = None,
    dry_run: Annotated[
        bool, _option("--dry-run", "-n", help="Show who would get what, and why. Nothing is written.")
    ] = False,
    force: Annotated[bool, _option("--force", "-f", help="Grade all submissions again, changed or not.")] = False,
    feedback: Annotated[
        bool, _option("--feedback/--no-feedback", help="Write the feedback pages too.", show_default="--feedback")
    ] = True,
    trust: Annotated[
        bool,
        _option("--trust-submissions", help="Grade also if this machine has no isolation: only for code you trust."),
    ] = False,
    course: CourseOption = Path(),
) -> None:
    """Grade an assignment of a class: scores go into the gradebook, notebooks into autograded/ and feedback/.

    What has not changed since it was graded is skipped.

    Exit status: 0 if everything passed, 1 if something did not (the usual case), 2 if something could not be graded.
    A dry run ends with 0.
    """
    from handgrad.course.workers.pool import PRELOAD, cluster, import_early

    if scheduler is None:
        import_early(PRELOAD)
    from handgrad.course.commands.class_list import class_list
    from handgrad.course.commands.grade_class import grade_class, what_would_change
    from handgrad.course.commands.progress_bar import ProgressBar
    from handgrad.course.nbgrader.scores import entries
    from handgrad.report.class_terminal import class_table, dry_run_table

    found = _course(course)
    found = found.with_trust() if trust else found
    with cluster(scheduler) as executor, ProgressBar(quiet=output.quiet, each=output.verbose) as bar:
        which = (found, assignment, student or (), notebook or ())
        how: dict[str, Any] = {"workers": workers, "executor": executor, "force": force, "watch": bar}
        if dry_run:
            typer.echo(dry_run_table(what_would_change(*which, **how), width=_width()), nl=False)
            return
        reports = grade_class(*which, **how, feedback=feedback)
    whom: dict[str, Any] = vars(class_list(found, assignment))
    typer.echo(class_table(reports, entries(found, assignment), **whom, width=_width()), nl=False)
    raise typer.Exit(_status(reports))


@command(INSTRUCTORS, "handgrad report backprop -o class.html")
def report(
    assignment: Annotated[
        str | None,
        typer.Argument(metavar="[ASSIGNMENT]", show_default="the whole term", help="Name of the assignment."),
    ] = None,
    to: Annotated[Path | None, _output_option("report.html or term.html")] = None,
    no_names: Annotated[
        bool, _option("--no-names", help="Write a page for showing in class, which names nobody; no table.")
    ] = False,
    course: CourseOption = Path(),
) -> None:
    """Summarise a graded class: a table here, and a page with charts, common mistakes and examples.

    Without an assignment, the page and a csv are about the whole term: all assignments, a line for each student.
    """
    from handgrad.course.commands.class_list import class_list
    from handgrad.course.commands.class_page import write_class_page
    from handgrad.course.commands.grade_class import stored_reports
    from handgrad.course.nbgrader.scores import entries
    from handgrad.course.nbgrader.student_records import bring_up_to_date
    from handgrad.report.class_terminal import class_table

    found = _course(course)
    if assignment is None:
        _report_term(found, to, no_names=no_names)
        return
    bring_up_to_date(found, assignment)
    reports = stored_reports(found, assignment)
    listed = class_list(found, assignment)
    if not no_names:
        whom: dict[str, Any] = vars(listed)
        typer.echo(class_table(reports, entries(found, assignment), **whom, width=_width()), nl=False)
    page = write_class_page(found, assignment, reports, to, listed=listed, with_names=not no_names)
    output.note(f"The report is in {page}")


def _report_term(course: "Course", to: Path | None, *, no_names: bool) -> None:
    """Summarise all assignments: a line for each here, and the page and the csv of the term."""
    from handgrad.course.commands.term_page import write_term
    from handgrad.errors import CourseError
    from handgrad.report.class_terminal import term_table

    if no_names:
        raise CourseError("the page of a term has names: for --no-names, name an assignment.")
    term, page, table = write_term(course, to)
    typer.echo(term_table(term, width=_width()), nl=False)
    output.note(f"The term is in {page} and {table}")


@command(INSTRUCTORS, "handgrad feedback backprop --with-solutions")
def feedback(
    assignment: Assignment,
    *,
    student: Students = None,
    with_solutions: Annotated[
        bool, _option("--with-solutions", help="Show the solution of what is not right: after the deadline.")
    ] = False,
    workers: Workers = None,
    course: CourseOption = Path(),
) -> None:
    """Write the feedback pages of a class again, with the scores and comments that the gradebook has now.

    Nothing is graded.
    """
    from handgrad.course.commands.grade_class import write_feedback

    found = _course(course)
    written, left = write_feedback(found, assignment, student or (), solutions=with_solutions, workers=workers)
    shown = ", with solutions" if with_solutions else ""
    output.note(f"{len(written)} feedback page{'' if len(written) == 1 else 's'}{shown}: {found.folder('feedback')}")
    if left:
        typer.echo(f"No page, because nothing of theirs is graded: {', '.join(map(printable, left))}.")


@command(INSTRUCTORS, "handgrad export backprop --format canvas -o scores.csv")
def export(
    assignment: Assignment,
    format: Annotated[Export, typer.Option(help="Format of the file.")] = "csv",  # noqa: A002
    to: Annotated[Path | None, _output_option("standard output")] = None,
    only_final: Annotated[
        bool, _option("--only-final", help="Leave out students of whom something waits for manual review.")
    ] = False,
    course: CourseOption = Path(),
) -> None:
    """Export the scores of a class as CSV or JSON, or for Canvas, Moodle or Gradescope; or its feedback for an upload.

    Manual scores and late penalties are included. The formats moodle-feedback and canvas-feedback are archives of the
    feedback, which Moodle and Canvas give to the students.
    """
    from handgrad.course.commands.export_scores import export as exported
    from handgrad.course.commands.feedback_archive import FORMATS

    if format in FORMATS:
        _export_feedback(_course(course), assignment, format, to, only_final=only_final)
        return
    text, waiting, earlier = exported(_course(course), assignment, format, to, only_final=only_final)
    if earlier:
        many = "1 score is" if len(earlier) == 1 else f"{len(earlier)} scores are"
        names = ", ".join(map(printable, earlier))
        typer.echo(f"{many} from an earlier hand-in, since the last one could not be graded: {names}", err=not to)
    if waiting:
        left = "left out" if only_final else "not final"
        many = "1 score is" if len(waiting) == 1 else f"{len(waiting)} scores are"
        names = ", ".join(map(printable, waiting))
        output.note(f"{many} {left}, since manual review is open: {names}", err=not to)
    if to:
        output.note(f"The scores are in {to}")
    else:
        typer.echo(text, nl=False)


def _export_feedback(course: "Course", assignment: str, form: str, to: Path | None, *, only_final: bool) -> None:
    """Write the archive of the feedback, and name those whose feedback is not in it."""
    from handgrad.course.commands.feedback_archive import write_feedback_archive
    from handgrad.errors import CourseError

    if to is None:
        raise CourseError(f"--format {form} writes an archive: name its file, such as -o feedback.zip.")
    done = write_feedback_archive(course, assignment, form, to, only_final=only_final)
    output.note(f"The feedback of {len(done.students)} student{'' if len(done.students) == 1 else 's'} is in {to}")
    if done.left:
        listed = "; ".join(f"{printable(student)} ({why})" for student, why in done.left.items())
        typer.echo(f"Not in it: {listed}.")


@command(INSTRUCTORS, 'handgrad accept backprop dprobs --mistake scale --points 0.5 --reason "the text was unclear"')
def accept(
    assignment: Assignment,
    gradient: Annotated[str, typer.Argument(metavar="GRADIENT", help="Name of the gradient, such as dprobs.")],
    *,
    student: Students = None,
    mistake: Annotated[
        str, _value("SLUG", "All who made this mistake, as `handgrad report` names it.", default=False)
    ] = "",
    points: Annotated[
        float | None, _value("POINTS", "What they get for the gradient.", default="all its points", min=0.0)
    ] = None,
    reason: Annotated[str, _value("TEXT", "Why, for the log: needed if it is not held.", default=False)] = "",
    undo: Annotated[bool, _option("--undo", help="Take back what was accepted: automatic scores count again.")] = False,
    course: CourseOption = Path(),
) -> None:
    """Give points for a gradient that did not pass: to all who made a mistake, or to students by name.

    A log says who gave them, when, and why. Grading again keeps them.
    """
    from handgrad.course.commands import accept_gradient

    found = _course(course)
    if undo:
        answers = accept_gradient.undo(found, assignment, gradient, student or (), mistake=mistake)
    else:
        answers = accept_gradient.accept(
            found, assignment, gradient, student or (), mistake=mistake, points=points, reason=reason
        )
    names = ", ".join(printable(answer.student) for answer in answers)
    if undo:
        typer.echo(f"{gradient} has its automatic score again: {names or 'nobody; manual scores that are newer stay'}.")
    else:
        typer.echo(f"{gradient} is accepted: {names}.")
    output.note(f"The feedback pages show it after `handgrad feedback {assignment}`.")


students = typer.Typer(
    cls=_Group,
    context_settings=SETTINGS,
    no_args_is_help=True,
    help="Manage the students of a course: the roster, extensions, exemptions, groups.",
)
app.add_typer(students, name="students", rich_help_panel=INSTRUCTORS)
StudentName = Annotated[str, typer.Argument(metavar="STUDENT", help="The student's id in the gradebook.")]


@command(INSTRUCTORS, "handgrad students list", students, "list")
def students_list(assignments: Assignments = None, course: CourseOption = Path()) -> None:
    """List the students of a course: names, groups, who is exempt or has withdrawn, extensions, what they handed in."""
    from handgrad.course.commands.students import class_rows
    from handgrad.report.students_table import students_table

    typer.echo(students_table(class_rows(_course(course), assignments or ()), width=_width()), nl=False)


@command(INSTRUCTORS, "handgrad students import roster.csv", students, "import")
def students_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A csv of nbgrader, Canvas, Moodle or Gradescope, in UTF-8.")
    ],
    course: CourseOption = Path(),
) -> None:
    """Import the roster: ids, names, e-mail addresses, and the numbers that Canvas or Moodle know the students by.

    Nobody is taken off the roster. Empty fields change nothing.
    """
    from handgrad.course.commands.students import import_roster

    new, changed = import_roster(_course(course), file)
    typer.echo(f"New in the roster: {new}. Changed: {changed}.")


@command(INSTRUCTORS, "handgrad students match 4711 u001", students, "match")
def students_match(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of a folder in submitted/, or the number in an archive.")
    ],
    student: StudentName,
    course: CourseOption = Path(),
) -> None:
    """Say who it is that handed in under another name or number; what is graded already moves to the student."""
    from handgrad.course.commands.students import match

    path, twice = match(_course(course), name, student)
    output.note(f"{printable(name)} is {printable(student)} from now on. Written to {path}")
    for sentence in twice:
        typer.echo(sentence)


@command(INSTRUCTORS, "handgrad students extend u001 --days 5 backprop", students, "extend")
def students_extend(
    student: StudentName,
    assignments: Annotated[list[str], typer.Argument(metavar="ASSIGNMENT...", help="Names of assignments.")],
    *,
    days: Annotated[
        float, _value("DAYS", "Days after the due date; 0 takes an extension back.", "--days", default=False, min=0.0)
    ],
    course: CourseOption = Path(),
) -> None:
    """Give a student more time. Late penalties follow at once, and nothing is graded again."""
    from handgrad.course.commands.students import extend

    for line in extend(_course(course), student, days, assignments):
        typer.echo(line)


@command(INSTRUCTORS, "handgrad students exempt u001 backprop", students, "exempt")
def students_exempt(
    student: StudentName,
    assignments: Assignments = None,
    undo: Annotated[bool, _option("--undo", help="The student is not exempt any more.")] = False,
    course: CourseOption = Path(),
) -> None:
    """Exempt a student from assignments (default: all): no score counts, and exports say so."""
    from handgrad.course.commands.students import exempt

    path = exempt(_course(course), student, assignments or (), undo=undo)
    output.note(f"Written to {path}")


@command(INSTRUCTORS, "handgrad students withdraw u001", students, "withdraw")
def students_withdraw(
    student: StudentName,
    undo: Annotated[bool, _option("--undo", help="The student is back.")] = False,
    course: CourseOption = Path(),
) -> None:
    """Say that a student has left: not graded, not exported, and not missed any more. Nothing is deleted."""
    from handgrad.course.commands.students import withdraw

    path = withdraw(_course(course), student, undo=undo)
    output.note(f"Written to {path}")


@command(INSTRUCTORS, "handgrad students purge u001", students, "purge")
def students_purge(
    student: StudentName,
    yes: Annotated[bool, _option("--yes", help="Do not ask.")] = False,
    course: CourseOption = Path(),
) -> None:
    """Delete everything that the course holds of a student, after asking: hand-ins, scores, reports, pages."""
    from handgrad.course.commands.students import purge, to_purge

    found = _course(course)
    plan = to_purge(found, student)
    typer.echo(f"Of {printable(student)} there are, and will be deleted:")
    for line in plan.lines:
        typer.echo(f"- {printable(line)}")
    if not yes:
        typer.confirm("Delete it all? It cannot be undone", abort=True)
    purge(found, plan)
    typer.echo("It is deleted.")
    if plan.archives:
        names = ", ".join(printable(str(path)) for path in plan.archives)
        typer.echo(f"Archives as they were downloaded are left, and may hold the hand-in: {names}")


@command(INSTRUCTORS, "handgrad look-alikes backprop -n 5")
def look_alikes(
    assignment: Assignment,
    limit: Annotated[int, _value("N", "Pairs to show.", "--limit", "-n", min=1)] = 10,
    course: CourseOption = Path(),
) -> None:
    """List pairs of submissions that share unusual code; names, spaces and comments are ignored."""
    from handgrad.course.workers.pool import READERS, import_early

    import_early(READERS)
    from handgrad.course.commands.look_alikes import look_alikes as pairs
    from handgrad.report.class_terminal import alike_text

    rows = [(pair.students, pair.cells) for pair in pairs(_course(course), assignment)]
    typer.echo(alike_text(rows, most=limit, width=_width()), nl=False)


@command(INSTRUCTORS, "handgrad init my-course --exercise backprop")
def init(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder of the course: a new one, or an empty one.")],
    exercise: Annotated[str, _value("NAME", "The first exercise of the course.", "--exercise", default="backprop")] = (
        "backprop"
    ),
) -> None:
    """Make a course: a folder with a configuration, one exercise with its solutions, and a page on how to go on.

    The folder is closed to other users of this machine. Nothing is overwritten.
    """
    from handgrad.authoring.new_course import new_course

    made = new_course(name, exercise)
    output.note(f"The course is in {made.root}; README.md there has the commands of a week. The first ones:")
    output.note(f"cd {shlex.quote(str(name))}\nhandgrad release {exercise}")


@command(INSTRUCTORS, "handgrad release backprop")
def release(assignments: Assignments = None, course: CourseOption = Path()) -> None:
    """Write release/ and solutions/ from source/: only files on this machine, nothing is published.

    The wheel that students install is put next to each notebook. To hand it out, use `nbgrader release_assignment`.
    """
    from handgrad.authoring.release import release as released

    for name in released(_course(course), assignments or ()):
        wheel = f" with {name.wheel}" if name.wheel else ""
        output.note(f"{name.assignment}: {name.folder}{wheel}; its solution is in {name.solution}")


@command(INSTRUCTORS, "handgrad new-autograder gradescope backprop")
def new_autograder(
    service: Annotated[
        Service, typer.Argument(metavar="SERVICE", help="The autograding service: gradescope, classroom50.")
    ],
    assignment: Assignment = "backprop",
    to: Annotated[Path | None, _output_option("SERVICE-ASSIGNMENT", "FOLDER")] = None,
    course: CourseOption = Path(),
) -> None:
    """Write an autograder for Gradescope or Classroom 50."""
    from handgrad.authoring.autograders import write_autograder

    folder = to or Path(f"{service}-{assignment}")
    for path in write_autograder(_course(course), service, assignment, folder):
        output.note(str(path))


@command(INSTRUCTORS, "handgrad demo --open")
def demo(
    assignment: Assignment = "backprop",
    course: CourseOption = Path(),
    browse: Annotated[bool, _option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Try it out: grade a sample class and write its report. The samples go into the course's submitted/ folder."""
    from handgrad.authoring.demo_class import fill, only_samples
    from handgrad.course.commands.class_page import write_class_page
    from handgrad.course.commands.grade_class import grade_class
    from handgrad.report.class_terminal import class_table

    found = _course(course)
    if written := fill(found, assignment):
        output.note(f"{len(written)} sample submissions are in {found.folder('submitted')}")
    output.note("Grading them ...")
    # no other code is trusted without being asked for by name
    samples = only_samples(found, assignment)
    reports = grade_class(found.with_trust() if samples else found, assignment)
    if samples and any(report.isolation == "none" for report in reports if report.outcome == "graded"):
        output.note(
            "No isolation is available on this machine. The sample submissions come with handgrad and were run "
            "without it; your students' submissions would be refused."
        )
    typer.echo(class_table(reports, width=_width()), nl=False)
    page = write_class_page(found, assignment, reports)
    output.note(f"The report is in {page}")
    if browse:
        webbrowser.open(page.as_uri())


@command(INSTRUCTORS, "handgrad doctor")
def doctor(course: CourseOption = Path()) -> None:
    """Say what is installed, which isolation there is, and who can read the course; and what to do about each.

    Nothing is changed. Exit status: 0 if nothing is wrong, 1 if something is.
    """
    from handgrad.course.commands.doctor import examine
    from handgrad.course.course import Course
    from handgrad.errors import CourseError

    signs = {"ok": "✓", "look": "?", "wrong": "✗"}
    try:
        found = Course.at(course, is_named=course != Path())
    except CourseError as error:
        findings = examine(None)
        typer.echo(f"{signs['look']} no course was looked at: {error}")
    else:
        findings = examine(found)
    for finding in findings:
        typer.echo(f"{signs[finding.state]} {finding.what}")
        if finding.remedy:
            typer.echo("  " + finding.remedy.replace("\n", "\n  "))
    raise typer.Exit(any(finding.state == "wrong" for finding in findings))


@command(INSTRUCTORS, "handgrad data -o source/backprop/names.txt --force")
def data(
    lecture: Annotated[bool, _option("--lecture", help="Has no effect.", hidden=True)] = False,
    to: Annotated[Path, _output_option(True)] = Path("names.txt"),
    force: Annotated[bool, _option("--force", "-f", help="Replace another file of that name.")] = False,
    url: Annotated[
        str | None,
        _value("URL", "Another address of the same file: its hash must match.", default="the lecture's"),
    ] = None,
) -> None:
    """Download the lecture's list of names, to use in place of the course's own data/names.txt."""
    from handgrad.data import LECTURE_URL, write_lecture_names

    output.note(f"The lecture's names are in {write_lecture_names(to, force=force, url=url or LECTURE_URL)}")


@command(AUTHORS, "handgrad new my_exercise --forward forward.py")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new exercise.")],
    *,
    forward: Annotated[Path, _value("FILE", "A forward pass in plain Python.")],
    course: CourseOption = Path(),
) -> None:
    """Write the notebook of a new exercise from a forward pass; you add the solutions and the texts."""
    from handgrad.authoring.new_exercise import new_exercise
    from handgrad.course.nbgrader.configuration import what_is_missing

    found = _course(course)
    path = new_exercise(found, name, forward, output.note)
    output.note(f"The new exercise is in {path}")
    output.note(f"Add its solutions and its texts; `handgrad verify {name}` lists what is missing.")
    if missing := what_is_missing(found):
        typer.echo(f"Before you release it: {missing}", err=True)


@command(AUTHORS, "handgrad preview backprop --open")
def preview(
    assignment: Assignment,
    to: Annotated[Path | None, _output_option("in a temporary folder")] = None,
    course: CourseOption = Path(),
    browse: Annotated[bool, _option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show an exercise as a student will see it: released, and run once from top to bottom, as one HTML page.

    Nothing in the course is changed.
    """
    from handgrad.authoring.verify.preview import preview as previewed

    with Console(stderr=True, quiet=output.quiet).status(f"{assignment}: releasing and running it"):
        found = previewed(_course(course), assignment, to)
    stubs = "1 stub" if found.stubs == 1 else f"{found.stubs} stubs"
    typer.echo(f"{assignment}: {stubs}, checks worth {found.points:g} points")
    for what in found.missing:
        typer.echo(f"- {what}.")
    typer.echo(f"The preview is in {found.page}")
    if browse:
        webbrowser.open(found.page.resolve().as_uri())


@command(AUTHORS, "handgrad verify backprop --mutants")
def verify(
    assignments: Assignments = None,
    *,
    mutants: Annotated[
        bool, _option("--mutants", help="Also break each solution by small rules, and show what the checks miss.")
    ] = False,
    force: Annotated[
        bool, _option("--force", "-f", help="Verify again what has not changed since it was sound.")
    ] = False,
    format: Annotated[ProofFormat, typer.Option(help="Format of the results.")] = "text",  # noqa: A002
    course: CourseOption = Path(),
) -> None:
    """Verify exercises before they are handed out; all faults are listed in one run.

    Exit status: 0 if no fault was found, 1 if there are some.
    """
    from handgrad.authoring.verify import results
    from handgrad.authoring.verify.verify import verify as verified

    with Console(stderr=True, quiet=output.quiet).status("") as shown:
        which = _course(course), assignments or ()
        proofs = verified(*which, mutants=mutants, keep=True, force=force, say=shown.update)
    if format == "json":
        typer.echo(results.as_json(proofs), nl=False)
    else:
        typer.echo(results.as_text(proofs, width=_width(), color=_has_color()), nl=False)
    raise typer.Exit(results.status(proofs))


def _course(start: Path) -> "Course":
    """The course of a command; who else can enter its folder is said in one line."""
    from handgrad.course.course import Course
    from handgrad.course.file_access import visitors
    from handgrad.student.installation import untried

    found = Course.at(start, is_named=start != Path())
    if different := untried("python", "torch", "nbgrader", "sqlalchemy"):
        output.note(
            f"Not tried with handgrad: {', '.join(map(str, different))}. `handgrad doctor` says more.", err=True
        )
    if not output.quiet and (others := visitors(found)):
        typer.echo(
            f"Others can enter {found.root} ({others.who}), where solutions, seeds and grades are: {others.remedy}",
            err=True,
        )
    return found


def _has_color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _width() -> int | None:
    """Columns of the terminal; None, which is each renderer's own choice, if there is one."""
    return None if sys.stdout.isatty() else 100


def _status(reports: list[Report]) -> int:
    """Exit status of a class: 2 if the grader failed somewhere, 1 if something did not pass, else 0."""
    if any(report.outcome == "not-graded" for report in reports):
        return 2
    return 0 if all(report.passed for report in reports) else 1


def _start_in_utf8() -> None:
    """Start the command again in Python's UTF-8 mode, if names of files are ASCII because of locale and environment.

    Python would read `Jörg` as bytes without a meaning, which no database and no page can hold.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def main() -> None:
    """Run the command line; an error of handgrad's own becomes one message and exit status 2."""
    status = 2
    # a full collection visits each of the objects of a class of 1,000, which live to the end: of the 2 to 4 s of
    # `export` and `report` 0.4 s went into them
    gc.set_threshold(100_000, 20, 100)
    # and Python's own at the end took 0.4 to 0.6 s more
    atexit.register(gc.freeze)
    _start_in_utf8()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # signs that the terminal's encoding lacks must not end a command
            stream.reconfigure(errors="replace")
    try:
        app()
        return
    except HandgradError as error:
        if output.verbose:
            traceback.print_exc()
        message = str(error)
    except ModuleNotFoundError as error:
        from handgrad.student.installation import missing_package

        message = missing_package(error.name or "")
    except KeyboardInterrupt:
        message, status = "stopped.", 128 + SIGINT
    except Exception as error:
        # a package that is too old may fail anywhere
        from handgrad.student.installation import newer, too_old

        if not (old := too_old()):
            raise
        failed = f"{type(error).__name__}: {error}".partition("\n")[0]
        message = f"too old: {', '.join(map(str, old))}. With that, this failed: {failed}. Run: {newer(old)}"
    print(f"handgrad: {printable(message)}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
