"""Every lesson solved from its release alone, in JupyterLab and a real browser, with mistakes on the way.

The mistakes are the known ones of `tests/cases/mistakes`. Pictures of the maps are left in build/screenshots.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import Error

from handgrad.authoring.cases import read_cases
from handgrad.exercise.exercise import Check, Exercise, grade_id
from helpers.browsing import PATIENCE, SCREENSHOTS, chromium, needs_chromium, open_notebook, served, write_settings
from helpers.paths import ASSIGNMENTS, MISTAKES, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.slow, needs_chromium]

ELSEWHERE = ("backprop",)
"""`test_browser.py` has these."""
EXERCISES = {
    name: Exercise.read(ROOT / "source" / name / f"{name}.ipynb") for name in ASSIGNMENTS if name not in ELSEWHERE
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a student's folder with all releases, and nothing of this machine's user."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(ROOT / "release", home / "work", ignore=shutil.ignore_patterns("*.whl"))
    write_settings(home)
    with served(home, home / "work") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium."""
    with chromium() as found:
        yield found


class Notebook:
    """A released notebook, open in JupyterLab: its cells by their grade_ids."""

    def __init__(self, page: "Page", exercise: Exercise) -> None:
        self.page, self.exercise = page, exercise
        path = ROOT / "release" / exercise.name / f"{exercise.name}.ipynb"
        self._order = [grade_id(cell) for cell in nbformat.read(path, as_version=4).cells]

    def cell(self, name: str) -> "Locator":
        """The cell of this grade_id."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self._order.index(name))

    def run(self, name: str) -> "Locator":
        """Run a cell, and wait for its end: a number stands where there was none or another one."""
        cell = self.cell(name)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        for _ in range(3):
            # a page that is still busy with the cell before may lose a click
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Shift+Enter")
            with suppress(Error):
                self._wait(prompt, f"element.innerText !== {before!r}", 20_000)
                break
        self._wait(prompt, f"/\\d/.test(element.innerText) && element.innerText !== {before!r}")
        return cell

    def _wait(self, of: "Locator", condition: str, milliseconds: int = PATIENCE) -> None:
        self.page.wait_for_function(f"element => {condition}", arg=of.element_handle(), timeout=milliseconds)

    def write(self, name: str, source: str) -> None:
        """Put an answer in the place of what stands in a stub, and run it."""
        self.cell(name).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        # as from the clipboard: nothing is completed or indented
        self.page.keyboard.insert_text(source)
        self.run(name)

    def passes(self, check: Check) -> bool:
        """Run a check: whether it passes."""
        cell = self.run(check.id)
        if check.is_value:
            return cell.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        cell.locator(".jp-OutputArea .handgrad").first.wait_for()
        return cell.get_by_role("img", name="passed").count() == 1


def _mistakes(exercise: Exercise) -> dict[str, tuple[str, tuple[str, ...]]]:
    """For each stub a wrong answer, and the gradients that do not pass with it."""
    found = {}
    for case in read_cases(MISTAKES, exercise):
        wrong = tuple(
            name for name, outcome in case.outcomes.items() if outcome == "failed" and name in exercise.tensors
        )
        if len(case.cells) == 1 and wrong:
            ((stub, source),) = case.cells.items()
            if stub in exercise.stubs and set(wrong) <= {*exercise.answers[stub]}:
                found.setdefault(stub, (source, wrong))
    return found


@pytest.mark.parametrize("name", EXERCISES)
def test_solved_from_the_release(name: str, address: str, browser: "Browser") -> None:
    """Run All stops nowhere; wrong answers have their cards, right ones pass, and at the end the map is all green."""
    exercise, solved = EXERCISES[name], nbformat.read(ROOT / "solutions" / name / f"{name}.ipynb", as_version=4)
    solutions, mistakes = {grade_id(cell): cell.source for cell in solved.cells}, _mistakes(exercise)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_notebook(page, f"{address}lab/workspaces/{name}/tree/{name}/{name}.ipynb")
    notebook = Notebook(page, exercise)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = next(cell.name for cell in reversed(exercise.cells) if cell.name)
    page.wait_for_function(
        "element => /\\d/.test(element.innerText)", arg=notebook.cell(last).locator(".jp-InputPrompt").element_handle()
    )
    tried = 0
    for stub in exercise.stubs:
        # a function is also called by checks further down
        checks = [check for check in exercise.checks if check.stub == stub and _is_next(exercise, stub, check)]
        if stub in mistakes:
            source, wrong = mistakes[stub]
            notebook.write(stub, source)
            tried += 1
            for check in checks:
                if check.gradient in wrong:
                    assert not notebook.passes(check), check.id
        notebook.write(stub, solutions[stub])
        for check in checks:
            assert notebook.passes(check), check.id
        for cell in _locked_after(exercise, stub):
            notebook.run(cell)
    for check in exercise.checks:
        assert notebook.passes(check), check.id
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    if exercise.tensors:
        assert tried, "no known mistake was tried"
        progress = notebook.run("progress")
        progress.locator(".handgrad", has_text="All gradients are right.").wait_for()
        progress.scroll_into_view_if_needed()
        assert progress.locator('li[data-tensor]:not([data-state="right"])').count() == 0
        assert re.search(r"The course: \d+ of \d+ exercises done", progress.inner_text())
    page.screenshot(path=SCREENSHOTS / f"lesson-{name}.png")
    page.close()


def _is_next(exercise: Exercise, stub: str, check: Check) -> bool:
    """Whether no other stub stands between a stub and its check."""
    names = [cell.name for cell in exercise.cells]
    between = names[names.index(stub) + 1 : names.index(check.id)]
    return not {*between} & {*exercise.stubs}


def _locked_after(exercise: Exercise, stub: str) -> Iterator[str]:
    """The locked cells between a stub and the next one."""
    names = [cell.name for cell in exercise.cells]
    for cell in exercise.cells[names.index(stub) + 1 :]:
        if cell.kind == "stub":
            return
        if cell.kind == "locked" and cell.name != "progress":
            yield cell.name


def test_every_release_is_there() -> None:
    """Each exercise has a release and a solution with the same cells."""
    for name, exercise in EXERCISES.items():
        for folder in ("release", "solutions"):
            path = Path(ROOT, folder, name, f"{name}.ipynb")
            names = [grade_id(cell) for cell in nbformat.read(path, as_version=4).cells]
            assert names == [cell.name for cell in exercise.cells], path
