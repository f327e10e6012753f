"""Write the pages of commands and of settings from the command line and from the traits of the configuration.

``python -m helpers.reference_pages`` in the folder ``tests`` writes them.
"""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import typer
from traitlets import TraitType
from traitlets.config import Configurable
from typer.models import CommandInfo, OptionInfo

from handgrad import cli
from handgrad.course.course import Handgrad
from handgrad.course.nbgrader.collecting import Collector
from handgrad.course.nbgrader.feedback_exporter import FeedbackExporter
from helpers.paths import ROOT

PAGES = ROOT / "docs/reference"
COMMANDS_HEAD = """# Commands

*Reference, for everybody. This page is written from the command line by `python -m helpers.reference_pages`, run in
`tests`; a test fails if it is out of date.*

Every command has `--help` (`-h`), `--verbose` (`-v`: each step, and the cause of an error) and `--quiet` (`-q`: results
only). Commands for a course look for it from the current folder upwards, but not in `submitted`, `autograded`,
`feedback` and `downloaded`, where a configuration may be a student's.

| exit status | `check`, `grade` | `verify`, `doctor` | other commands |
| --- | --- | --- | --- |
| 0 | everything passed; a dry run | nothing is wrong | the command has done its work |
| 1 | something did not pass: for a class the usual case | something is wrong | a question was answered with no |
| 2 | something could not be done | could not be tried | could not do its work |
| 129, 130, 143 | stopped by SIGHUP, Ctrl-C or SIGTERM; what was graded is kept | the same | the same |

In a script, write `handgrad grade backprop || [ $? = 1 ]`.
"""
SETTINGS_HEAD = """# Settings

*Reference, for instructors. This page is written from the code by `python -m helpers.reference_pages`, run in `tests`;
a test fails if it is out of date.*

Settings are lines of `nbgrader_config.py`, such as `c.Handgrad.partial_shape = 0.25`. After a change, `handgrad grade
ASSIGNMENT --dry-run` shows who would get what. nbgrader's own settings are in
[its documentation](https://nbgrader.readthedocs.io/en/stable/configuration/config_options.html).

`handgrad check` uses the defaults, or the settings in `--settings handgrad.json`
([other services](../course/other-services.md)). It draws its own hidden seed each time.
"""


def commands(group: typer.Typer = cli.app, prefix: str = "handgrad") -> Iterator[tuple[str, CommandInfo]]:
    """Each command with its full name, as it was registered; those of groups come last."""
    for command in group.registered_commands:
        yield f"{prefix} {command.name or command.callback.__name__.replace('_', '-')}", command
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, f"{prefix} {inner.name}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def _parameters(command: CommandInfo) -> Iterator[tuple[Any, bool, str, Any]]:
    """What typer knows of each parameter but those that all commands have, whether it is an option, name, default."""
    for name, parameter in inspect.signature(command.callback, eval_str=True).parameters.items():
        kind, info = get_args(parameter.annotation)[:2]
        if name not in ("verbose", "quiet") and not info.hidden:
            info.choices = "/".join(map(str, get_args(kind))) if get_origin(kind) is Literal else ""
            yield info, isinstance(info, OptionInfo), name, parameter.default


def _row(info: Any, is_option: bool, name: str, default: Any) -> str:
    # of `typer.Option("--to", "-o")` typer keeps the first name as a default
    given = (info.default, *(info.param_decls or ()))
    names = [flag for flag in given if isinstance(flag, str) and flag.startswith("-")] or [
        f"--{name.replace('_', '-')}"
    ]
    shown = ", ".join(f"`{flag}`" for flag in names) if is_option else f"`{info.metavar}`"
    value = f" {_cell(info.choices or info.metavar)}" if is_option and (info.choices or info.metavar) else ""
    if isinstance(info.show_default, str):
        ends = f" Default: {info.show_default}."
    else:
        ends = f" Default: `{default}`." if info.show_default and isinstance(default, int | str) and default else ""
    return f"| {shown}{value} | {_cell(info.help)}{ends} |"


def commands_page() -> str:
    """The page of commands."""
    pieces = [COMMANDS_HEAD.rstrip()]
    panel = ""
    panels = [cli.STUDENTS, cli.INSTRUCTORS, cli.AUTHORS]
    for name, command in sorted(commands(), key=lambda pair: panels.index(pair[1].rich_help_panel)):
        if command.rich_help_panel != panel:
            panel = command.rich_help_panel
            pieces.append(f"## {panel}")
        parameters = list(_parameters(command))
        arguments = "".join(f" {info.metavar}" for info, is_option, *_ in parameters if not is_option)
        text = command.help.replace(f" ({panel}.)", "").split("\n\n")
        rows = "\n".join(("| | |", "| --- | --- |", *(_row(*parameter) for parameter in parameters)))
        pieces.append(f"### {name}")
        pieces.append(f"`{name}{arguments}`")
        pieces += [_cell(" ".join(part.split())) for part in text]
        pieces += [rows, f"{command.epilog.replace('Example: ', 'Example: `')}`"]
    return "\n\n".join(pieces) + "\n"


def _settings(owner: type[Configurable], names: Iterable[str] = ()) -> Iterator[str]:
    traits: dict[str, TraitType[Any, Any]] = owner.class_traits(config=True)
    for name in names or sorted(traits):
        trait = traits[name]
        yield f"| `c.{owner.__name__}.{name}` | `{trait.default()!r}` | {_cell(trait.help)} |"


def settings_page() -> str:
    """The page of settings."""
    head = ("| setting | default | |", "| --- | --- | --- |")
    grading = "\n".join((*head, *_settings(Handgrad)))
    collecting = "\n".join((*head, *_settings(Collector, ("valid_ext", "timezone"))))
    feedback = "\n".join((*head, *_settings(FeedbackExporter, ("with_solutions",))))
    parts = [("Grading", grading), ("Collecting", collecting), ("Feedback", feedback)]
    return "\n\n".join([SETTINGS_HEAD.rstrip(), *(f"## {title}\n\n{table}" for title, table in parts)]) + "\n"


WRITTEN = {"commands.md": commands_page, "settings.md": settings_page}

if __name__ == "__main__":
    for name, text in WRITTEN.items():
        (PAGES / name).write_text(text(), encoding="utf-8")
