"""The help of the command line, and the options that every command has."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handgrad import __version__
from handgrad.cli import AUTHORS, INSTRUCTORS, STUDENTS, app, output, students
from helpers.inputs import named

RUNNER = CliRunner(env={"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"})
TOP = [command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback]
GROUPED = [f"students {command.name}" for command in students.registered_commands]
COMMANDS = [*TOP, *GROUPED]


def help_of(*arguments: str) -> str:
    """What a help text says, as one line, without the frames around it."""
    done = RUNNER.invoke(app, [*arguments, "-h"])
    assert done.exit_code == 0
    return re.sub(r"[\s│╭╮╰╯─]+", " ", done.output)


def test_commands_are_grouped_by_reader() -> None:
    """`handgrad --help` has one group for students, one for instructors, one for authors, and every command."""
    text = help_of()
    places = [text.index(group) for group in (STUDENTS, INSTRUCTORS, AUTHORS)]
    assert places == sorted(places)
    check, grade, new = (text.index(f" {command} ") for command in ("check", "grade", "new"))
    assert places[0] < check < places[1] < grade < places[2] < new
    for command in (*TOP, "students"):
        assert f" {command} " in text, command


def test_every_help_is_whole() -> None:
    """The first sentence names the reader, there is an example of this command, no flag has a type, -h is --help."""
    for command in COMMANDS:
        with named(command):
            text = help_of(*command.split())
            first = text.split(" Arguments ")[0].split(" Options ")[0]
            assert any(f"({group}.)" in first for group in (STUDENTS, INSTRUCTORS, AUTHORS))
            assert f"Example: handgrad {command}" in text
            assert "bool" not in text
            assert text.count("--help -h") == 1
            assert "default: ." not in text
            for option in ("--verbose -v", "--quiet -q"):
                assert option in text


def test_a_default_is_told_once() -> None:
    """No sentence of a help repeats what stands in brackets after it."""
    for command in COMMANDS:
        text = help_of(*command.split())
        assert "unless" not in text, command
        assert not re.search(r"default: [^\]]*\] \[default", text), command


def test_version() -> None:
    """-V is --version."""
    for option in ("-V", "--version"):
        assert RUNNER.invoke(app, [option]).output == f"{__version__}\n"


def test_quiet_and_verbose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-q leaves remarks out and keeps results; -v is remembered for the errors, and neither outlives its command."""

    def write(path: Path, **_: object) -> Path:
        path.write_text("emma\n", encoding="utf-8")
        return path

    monkeypatch.setattr("handgrad.data.write_lecture_names", write)
    for options, expected in (((), "names are in"), (("-q",), ""), (("-v",), "names are in")):
        with named(options):
            done = RUNNER.invoke(app, ["data", "-o", str(tmp_path / "names.txt"), *options])
            assert done.exit_code == 0, done.output
            assert (tmp_path / "names.txt").read_text(encoding="utf-8") == "emma\n"
            assert expected in done.output
            assert bool(done.output) == bool(expected)
            assert (output.quiet, output.verbose) == ("-q" in options, "-v" in options)
