"""nbgrader's own web pages, used by hand in a real browser: a week of an instructor with this project's exercises.

Pictures are left in build/screenshots for manual review.
"""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbgrader.api import Gradebook

from helpers.browsing import PATIENCE, SCREENSHOTS, TOKEN, chromium, needs_chromium, served
from helpers.paths import ENVIRONMENT, ROOT, mistake

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

CLASS = {"1001": "solution", "1002": "missing-branch-dcounts"}
"""Students by their numbers, and what each of them handed in."""
OVERRIDE = 0.75

pytestmark = [pytest.mark.slow, needs_chromium]

MATHJAX = "window.MathJax = {Hub: {Config() {}, Queue() {}, Startup: {signal: {Interest(then) { then('End'); }}}}};"
"""What the pages ask of MathJax, which they load from the internet."""


@dataclass(frozen=True)
class Desk:
    """An instructor's course and browser."""

    course: Path
    address: str
    page: "Page"

    def open(self, place: str) -> None:
        """Open one of the formgrader's pages."""
        self.page.goto(f"{self.address}formgrader/{place}?token={TOKEN}")

    def run(self, *command: str) -> str:
        """What a command wrote, run in a terminal in the course's folder."""
        done = subprocess.run(command, cwd=self.course, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.stdout

    def succeed(self, button: "Locator") -> None:
        """Press a button and close the window that says what came of it, which has to be success."""
        button.click()
        window = self.page.locator(".modal-dialog")
        window.locator(".modal-title").wait_for()
        assert window.locator(".modal-title").inner_text() == "Success", window.inner_text()
        window.get_by_role("button", name="OK").click()
        window.wait_for(state="detached")

    def row(self, text: str) -> "Locator":
        """The row of a table that holds a cell with this text."""
        return self.page.locator("tbody tr", has=self.page.get_by_text(text, exact=True))

    def score(self, gradient: str) -> "Locator":
        """Where the score of a gradient is written."""
        return self.page.locator(f"#check_{gradient}")

    def picture(self, name: str) -> None:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"formgrader-{name}.png")


def _answer(route: "Route") -> None:
    """The pages are the server's own; of the internet there is only what stands for MathJax."""
    if route.request.url.startswith("http://127.0.0.1"):
        route.continue_()
    elif "mathjax" in route.request.url:
        route.fulfill(body=MATHJAX, content_type="text/javascript")
    else:
        route.abort()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A course with nothing but its source and its configuration, and a browser; no script on a page may fail."""
    course, home = tmp_path / "course", tmp_path / "home"
    shutil.copytree(ROOT / "source/backprop", course / "source/backprop")
    shutil.copy(ROOT / "nbgrader_config.py", course)
    home.mkdir()
    errors: list[str] = []
    with served(home, course) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route("**/*", _answer)
        desk = Desk(course, address, page)
        yield desk
        # where a test ends early, this shows where
        desk.picture("last")
    assert not errors


def _open_by_the_menu(desk: Desk) -> None:
    """Find the pages as an instructor does, in JupyterLab."""
    desk.page.goto(f"{desk.address}lab?token={TOKEN}")
    desk.page.get_by_role("menuitem", name="Nbgrader").click()
    desk.page.get_by_role("menuitem", name="Formgrader").click()
    desk.page.frame_locator("iframe").get_by_role("heading", name="Manage Assignments").wait_for()


def _hand_in(desk: Desk) -> None:
    """Put what Moodle offers for download where nbgrader looks for it, and collect it."""
    release, solution = (
        nbformat.read(path / "backprop.ipynb", as_version=4)
        for path in (desk.course / "release/backprop", ROOT / "solutions/backprop")
    )
    archive = desk.course / "downloaded/backprop/archive"
    archive.mkdir(parents=True)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for student, case in CLASS.items():
            content = mistake(case).content(release, solution)
            packed.writestr(f"A Student_{student}_assignsubmission_file_/backprop.ipynb", content)
    (archive / "submissions.zip").write_bytes(held.getvalue())
    desk.run("nbgrader", "zip_collect", "backprop")


def _change(desk: Desk, student: str) -> None:
    """Let a student hand in again, with a slip at the top that was not there before."""
    path = desk.course / "submitted" / student / "backprop/backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "dhpreact")
    cell.source = "dhpreact = dh"
    nbformat.write(notebook, path)


def _open_submission(desk: Desk, student: str) -> None:
    """Open a submission by the links of the pages."""
    desk.open("manage_submissions/backprop")
    desk.row(student).locator(".student-name a").click()
    desk.page.locator("td.name a", has_text="backprop").click()
    desk.page.wait_for_function(
        "window.formgrader && formgrader.loaded && formgrader.grades.loaded && formgrader.comments.loaded"
    )
    # until the notebook's formulas are drawn, what is clicked moves
    desk.page.wait_for_load_state("networkidle")


def _kept(desk: Desk, student: str) -> tuple[float | None, float | None, bool]:
    """What the gradebook holds of the overridden score: by hand, ours, and whether it needs manual review."""
    with Gradebook(f"sqlite:///{desk.course / 'gradebook.db'}") as gradebook:
        grade = gradebook.find_grade("check_dcounts", "backprop", "backprop", student)
        return grade.manual_score, grade.auto_score, grade.needs_manual_grade


def _resolve(desk: Desk) -> None:
    """Confirm the overridden score, which asks to be looked at."""
    _open_submission(desk, "1002")
    score = desk.score("dcounts")
    assert score.input_value() == str(OVERRIDE)
    assert "needs_manual_grade" in str(score.get_attribute("class"))
    panel = desk.page.locator(".nbgrader_cell", has=score)
    with desk.page.expect_response("**/api/grade/*"):
        panel.get_by_role("button", name="Resolve").click()
    assert _kept(desk, "1002") == (OVERRIDE, 0.0, False)


def test_a_week(desk: Desk) -> None:
    """Generate, collect, autograde, look, override, return; a grade by hand survives both ways to grade again."""
    page = desk.page
    _open_by_the_menu(desk)
    desk.open("manage_assignments")
    desk.succeed(desk.row("backprop").locator(".assign a"))
    assert (desk.course / "release/backprop/exercise.json").is_file()
    _hand_in(desk)
    page.reload()
    page.locator("td.num-submissions a", has_text=str(len(CLASS))).click()
    for student in CLASS:
        desk.row(student).get_by_text("needs autograding").wait_for()
        desk.succeed(desk.row(student).locator(".autograde a"))
        desk.row(student).get_by_text("graded", exact=True).wait_for()
    desk.picture("submissions")
    assert desk.row("1001").locator(".score").inner_text() == "26 / 26"
    assert desk.row("1002").locator(".score").inner_text() == "25 / 26"

    _open_submission(desk, "1002")
    cards = page.locator(".output_html").filter(has_text="failed · ")
    assert cards.count() == 1
    assert "✗ failed · dcounts · 0 of 1 point" in cards.inner_text()
    assert "dcounts lacks the contribution through counts_sum." in cards.inner_text()
    assert page.locator(".output_stdout", has_text="| approximate: True").count() == 25
    assert "counts_sum" in str(page.locator("#dcounts-comment").get_attribute("placeholder"))
    assert desk.score("dcounts").get_attribute("placeholder") == "0"
    assert desk.score("dprobs").get_attribute("placeholder") == "1"
    with page.expect_response("**/api/grade/*"):
        desk.score("dcounts").fill(str(OVERRIDE))
        desk.score("dcounts").press("Tab")
    desk.score("dcounts").scroll_into_view_if_needed()
    desk.picture("override")
    assert _kept(desk, "1002") == (OVERRIDE, 0.0, False)

    desk.open("manage_submissions/backprop")
    assert desk.row("1002").locator(".score").inner_text() == "25.75 / 26"
    desk.succeed(desk.row("1002").locator(".generate-feedback a"))
    feedback = (desk.course / "feedback/1002/backprop/backprop.html").read_text(encoding="utf-8")
    assert "<b>25.75</b> of 26 points" in feedback
    assert "dcounts lacks the contribution through counts_sum." in feedback

    _change(desk, "1002")
    desk.run("handgrad", "grade", "backprop", "--student", "1002")
    assert _kept(desk, "1002") == (OVERRIDE, 0.0, True)
    desk.open("manage_submissions/backprop")
    desk.row("1002").get_by_text("needs manual grading").wait_for()
    assert desk.row("1002").locator(".score").inner_text() == "24.75 / 26"
    desk.picture("regraded")
    _resolve(desk)

    desk.open("manage_submissions/backprop")
    desk.succeed(desk.row("1002").locator(".autograde a"))
    desk.row("1002").get_by_text("needs manual grading").wait_for()
    assert _kept(desk, "1002") == (OVERRIDE, 0.0, True)
    _resolve(desk)
