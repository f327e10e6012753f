"""What the documents show is run, parsed, or says why it is not: a command that fails is a wrong document.

The word after a fence says what a block is. ``sh`` is run, line by line, in a course with a small class; ``python`` is
compiled; ``json`` and ``toml`` are parsed; ``text`` is what something prints. Before a block may stand
``<!-- in: FOLDER -->``, where it is run, ``<!-- run by: TEST -->``, another test that runs it, and
``<!-- not run: REASON -->``; before what a reader writes stands where it
goes: ``<!-- file: PATH -->``, ``<!-- append: PATH -->``, ``<!-- cell: EXERCISE CELL -->``.
"""

import ast
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jsonschema
import nbformat
import pytest
import typer

from handgrad import cli
from handgrad.report.records import Comparison, Diagnosis, Outcome, Report, ReportOutcome, Verdict
from helpers import reference_pages
from helpers.courses import RIGHT, make_course
from helpers.inputs import named
from helpers.paths import ENVIRONMENT, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_LEFT = 26
"""Blocks that may be left out; raise it when there is no way to run one here."""
SYMPTOMS = (ROOT / "docs/student/stuck.md", ROOT / "docs/help/troubleshooting.md")
OF_ALL_COMMANDS = ("verbose", "quiet", "help")
FOREIGN = ("ModuleNotFoundError:", "NameError:", "FileNotFoundError:", "handgrad: command not found")
LANGUAGES = ("sh", "python", "json", "toml", "yaml", "markdown", "text", "{toctree}")
FENCE = re.compile(r"^( *)```([\w{}]*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!-- (in|not run|run by|file|append|cell): (.+?) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A block of a document: its page and line, its language, its text, and the note before it."""

    page: str
    line: int
    language: str
    text: str
    note: str = ""
    value: str = ""

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Every block of the documents."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            before = text[: found.start()]
            kind, value = note.groups() if (note := NOTE.search(before)) else ("", "")
            lines = [line.removeprefix(found[1]) for line in found[3].splitlines()]
            yield Block(
                str(page.relative_to(ROOT)), before.count("\n") + 1, found[2], "\n".join(lines) + "\n", kind, value
            )


BLOCKS = list(blocks())
WRITTEN = ("file", "append", "cell")
RUN = [block for block in BLOCKS if (block.language == "sh" and block.note in ("", "in")) or block.note in WRITTEN]
LEFT = [block for block in BLOCKS if block.note == "not run"]


def test_every_block_is_something() -> None:
    """A block has a language, and is what it claims to be."""
    for block in BLOCKS:
        with named(block):
            assert block.note != "run by" or (ROOT / block.value).is_file()
            assert block.language in LANGUAGES, f"{block.name}: say what the block is: {', '.join(LANGUAGES)}"
            match block.language:
                case "json":
                    json.loads(block.text)
                case "toml":
                    tomllib.loads(block.text)
                case "python":
                    compile(block.text, block.name, "exec")


def test_pages_say_their_kind() -> None:
    """Each page of the site but the first begins with its kind and its readers, and is in the list of the first."""
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parent != ROOT and page.name != "index.md":
            with named(page):
                start = r"# [^\n]+\n\n\*(Tutorial|How-to|Reference|Explanation)\b.* for "
                assert re.match(start, page.read_text(encoding="utf-8")), "no kind below the title"
                assert re.search(rf"^{page.relative_to(ROOT / 'docs').with_suffix('')}$", index, re.MULTILINE)


def test_links_lead_somewhere() -> None:
    """A link to a file or to a heading of this project leads to one."""
    for page in PAGES:
        with named(page):
            for found in re.finditer(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8")):
                target = page.parent / found[1] if found[1] else page
                assert target.exists(), f"{page.name}: {found[0]}"
                if found[2]:
                    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                    assert found[2] in {
                        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
                    }, found[0]


def test_what_is_not_run_says_why() -> None:
    """Only what needs a service, a browser or this very suite is left out; one more is a decision."""
    assert all(block.language in ("sh", "python", "yaml") for block in LEFT)
    print(f"{len(RUN)} blocks of commands are run, {len(LEFT)} are not:")
    for block in LEFT:
        print(f"  {block.name}: {block.value}")
    assert len(LEFT) <= MOST_LEFT


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with two students, both right, and what contributors have beside it."""
    folder = tmp_path_factory.mktemp("docs")
    make_course(folder, ann=RIGHT, bob=RIGHT)
    for name in ("tests", "data", "docs"):
        # a course that has hidden tests for pytest needs them for each exercise: readers have none
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "hidden"))
    for name in ("src", "pyproject.toml", "Makefile"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "nbgrader-course").mkdir()
    quickstart = ["nbgrader", "quickstart", "nbgrader-course", "--force"]
    subprocess.run(quickstart, cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
    [forward] = [
        block.text for block in BLOCKS if block.page == "docs/author/forward-pass.md" and block.language == "python"
    ]
    (folder / "forward.py").write_text(forward, encoding="utf-8")
    return folder


def write(block: Block, course: Path) -> None:
    """Write what a reader is told to write: a file, the end of one, or a cell of an exercise's notebook."""
    if block.note != "cell":
        path = course / block.value
        before = path.read_text(encoding="utf-8") if block.note == "append" else ""
        path.write_text(before + block.text, encoding="utf-8")
        return
    exercise, name = block.value.split()
    path = course / "source" / exercise / f"{exercise}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    [cell] = [cell for cell in notebook.cells if cell.id == name]
    cell.source = block.text.rstrip("\n")
    nbformat.write(notebook, path)


@pytest.mark.parametrize(
    "block",
    [
        # the tutorials are run in continuous integration, the other pages before a release, or when they have changed
        pytest.param(block, id=block.name, marks=pytest.mark.slow if "start/" in block.page else pytest.mark.proof)
        for block in RUN
    ],
)
def test_commands(block: Block, course: Path) -> None:
    """The commands of a block end with 0, one after the other, in the folder where a reader would be."""
    if block.note in WRITTEN:
        write(block, course)
        return
    if block.value == "release/backprop":
        # a student has finished: what a page did before may have released the notebook again
        shutil.copyfile(course / "solutions/backprop/backprop.ipynb", course / "release/backprop/backprop.ipynb")
    command = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(
        command,
        cwd=course / (block.value if block.note == "in" else ""),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{block.name}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def messages() -> Iterator[str]:
    """Every text in the package's code, with … for what is filled in."""
    for path in (ROOT / "src/handgrad").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_in_headings() -> None:
    """A message of handgrad's that is the heading of a symptom is still a message of the code."""
    texts = list(messages())
    for page in SYMPTOMS:
        headings = re.findall(r"^### `(.+)`$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings
        for heading in headings:
            with named(heading):
                # what is Python's own or the shell's is not ours to change
                if not heading.startswith(FOREIGN):
                    parts = [part.strip(" :.,") for part in heading.split("…")]
                    assert any(all(part in text for part in parts) for text in texts)


def test_generated_pages() -> None:
    """The pages of commands and settings are what the code says (`python -m helpers.reference_pages` in tests)."""
    for name, page in reference_pages.WRITTEN.items():
        with named(name):
            assert (reference_pages.PAGES / name).read_text(encoding="utf-8") == page()


def test_the_page_of_commands_has_every_option() -> None:
    """Every name of every option that a command accepts is in the page's section of the command."""
    sections = {part.split("\n")[0]: part for part in reference_pages.commands_page().split("\n### ")[1:]}
    for name, command in _commands(typer.main.get_command(cli.app), "handgrad"):
        for option in command.params:
            if option.param_type_name == "option" and not option.hidden and option.name not in OF_ALL_COMMANDS:
                with named(f"{name} {option.name}"):
                    assert all(text in sections[name] for text in (*option.opts, *option.secondary_opts))


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Each command with its full name, as they are called."""
    for inner, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {inner}")
        else:
            yield f"{name} {inner}", command


SCHEMA = json.loads((ROOT / "docs/reference/report.schema.json").read_text(encoding="utf-8"))
COMPARED = Comparison((2,), (2, 1), False, False, None, None, True, True)
FOUND = Diagnosis("scale", "It is twice too large.", "", "dprobs")


def test_schema_knows_every_verdict() -> None:
    """Reports with every outcome of a check are valid by the schema's file."""
    for outcome in get_args(Outcome):
        with named(outcome):
            checks = (
                Verdict("check_dprobs", "dprobs", outcome, 0.5, 1.0, COMPARED, FOUND),
                Verdict("c", "dh", outcome, 0, 1),
            )
            jsonschema.validate(
                Report("backprop", "backprop", "graded", "0.1.0", "full", checks=checks).to_dict(), SCHEMA
            )


def test_schema_knows_every_report() -> None:
    """Reports with every outcome are valid; one with another key, or another schema, is not."""
    for outcome in get_args(ReportOutcome):
        with named(outcome):
            data = Report("backprop", "backprop", outcome, "0.1.0", message="no").to_dict()
            jsonschema.validate(data, SCHEMA)
            for wrong in ({**data, "more": 1}, {**data, "schema": 2}, {**data, "outcome": "fine"}):
                with pytest.raises(jsonschema.ValidationError):
                    jsonschema.validate(wrong, SCHEMA)


def test_json_in_the_documents() -> None:
    """The report that the documents show is one."""
    shown = [json.loads(block.text) for block in BLOCKS if block.language == "json"]
    reports = [document for document in shown if "checks" in document]
    assert reports
    for report in reports:
        jsonschema.validate(report, SCHEMA)
