"""`handgrad preview`: the page shows what a student sees, and nothing in the course changes."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from typer.testing import CliRunner

from handgrad.authoring.verify.preview import preview
from handgrad.cli import app
from handgrad.course.course import Course
from helpers.browsing import SCREENSHOTS, chromium, needs_chromium
from helpers.paths import ROOT

FORWARD = (
    "import torch\nfrom handgrad import cmp, progress\nw = torch.full((3,), float(seed)).requires_grad_()\n"
    "z = 2 * w\nz.retain_grad()\nloss = z.sum()\nloss.backward(retain_graph=True)\nprint(f'loss {loss.item()}')"
)
CELLS = (
    ("text", "", "# Twice"),
    ("locked", "parameters", "seed = 3"),
    ("locked", "forward", FORWARD),
    ("text", "", "### `dz`\n\nA sum."),
    ("stub", "dz", "### BEGIN SOLUTION\ndz = torch.ones_like(z)\n### END SOLUTION"),
    ("check", "check_dz", "cmp('z', dz, z)\n### BEGIN HIDDEN TESTS\nassert dz.sum() == 3\n### END HIDDEN TESTS"),
    ("text", "", "### `dw`\n\nTODO"),
    ("stub", "dw", "### BEGIN SOLUTION\ndw = None\n### END SOLUTION"),
    ("check", "check_dw", "cmp('w', dw, w)"),
    ("locked", "after", "print('the end', dz + 1)"),
)


@pytest.fixture
def course(make_notebook: Callable[..., NotebookNode], tmp_path: Path) -> Course:
    """A course with one exercise, in which a solution and a text are not written."""
    notebook = make_notebook(*CELLS, points=1.5)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade") or cell.source.startswith("### BEGIN"):
            cell.metadata["tags"] = ["raises-exception"]
    root = tmp_path / "course"
    path = root / "source/twice/twice.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    return Course.at(root)


def test_preview(course: Course, tmp_path: Path) -> None:
    """The page has the texts, the stubs, what ran and the cards, no solution; what is missing is told."""
    before = {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}
    found = preview(course, "twice", tmp_path / "page.html")
    assert {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()} == before
    assert (found.stubs, found.points) == (2, 3.0)
    assert found.missing == (
        "1 text contains TODO: ### `dw` (write what is missing there)",
        "without a solution: dw",
        "Run All stops at cell after (TypeError: unsupported operand type(s) for +: 'NoneType' and 'int')",
    )
    text = re.sub(r"<[^>]*>", "", found.page.read_text(encoding="utf-8"))
    for seen in ("Twice", "dz = None  # your code here", "loss 18.0", "dz is not written yet", "dw is not written yet"):
        assert seen in text, seen
    for hidden in ("ones_like", "SOLUTION", "dz.sum()"):
        assert hidden not in text, hidden


def test_command(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints what the exercise has and where the page is, in a temporary folder, and opens it."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    done = CliRunner().invoke(app, ["preview", "twice", "--open", "--course", str(course.root)])
    assert done.exit_code == 0, done.output
    first, *missing, last = done.stdout.splitlines()
    assert first == "twice: 2 stubs, checks worth 3 points"
    assert len(missing) == 3
    assert missing[1] == "- without a solution: dw."
    page = Path(last.removeprefix("The preview is in "))
    assert opened == [page.as_uri()]
    assert not page.is_relative_to(course.root)
    shutil.rmtree(page.parent)


@pytest.mark.slow
@needs_chromium
def test_in_a_browser(course: Course, tmp_path: Path) -> None:
    """In a browser the cards and the outputs are visible."""
    page = preview(course, "twice", tmp_path / "page.html").page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        view = browser.new_page()
        view.route("http*://**", lambda route: route.abort())
        view.goto(page.as_uri())
        for text in ("dz is not written yet", "loss 18.0"):
            assert view.get_by_text(text).is_visible(), text
        view.screenshot(path=SCREENSHOTS / "preview.png", full_page=True)
