"""The released notebook in JupyterLab and in Notebook 7, used by hand in a real browser.

Pictures of what a student sees are left in build/screenshots for manual review.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from helpers.browsing import SCREENSHOTS, chromium, needs_chromium, open_notebook, served, write_settings
from helpers.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


pytestmark = [pytest.mark.slow, needs_chromium]

RIGHT = {
    "dlogprobs": "dlogprobs = torch.zeros_like(logprobs); dlogprobs[range(n), Yb] = -1 / n",
    "dprobs": "dprobs = dlogprobs / probs",
    "dcounts_sum_inv": "dcounts_sum_inv = (dprobs * counts).sum(1, keepdim=True)",
    "dcounts_sum": "dcounts_sum = -dcounts_sum_inv / counts_sum**2",
}
WRONG = "dcounts = counts_sum_inv * dprobs"
CARRIED = "dnorm_logits = dcounts * counts"


@dataclass(frozen=True)
class Server:
    """A Jupyter server on the loopback, its address and its theme."""

    address: str
    theme: str


@pytest.fixture(scope="module", params=["light", pytest.param("dark", marks=pytest.mark.proof)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a folder of its own: the release, its settings, and nothing of this machine's user."""
    home = tmp_path_factory.mktemp(f"jupyter-{request.param}")
    shutil.copytree(ROOT / "release/backprop", home / "work")
    write_settings(home, **{"theme": f"JupyterLab {request.param.title()}", "adaptive-theme": False})
    with served(home, home / "work") as address:
        yield Server(address, request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium."""
    with chromium() as found:
        yield found


@pytest.fixture(params=["lab/tree", "notebooks"])
def page(request: pytest.FixtureRequest, server: Server, browser: "Browser") -> Iterator["Page"]:
    """The released notebook, open; a script that fails in the page fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_notebook(page, f"{server.address}{request.param}/backprop.ipynb")
    # Notebook 7 with nbgrader's extensions raises two errors of its own while it opens
    errors.clear()
    yield page
    # where a test ends early, this shows where
    _picture(server, page, "last")
    page.close()
    assert not errors


def _cell(page: "Page", start: str) -> "Locator":
    """The code cell whose source starts so."""
    return page.locator(".jp-CodeCell").filter(has=page.locator(".cm-line:first-child", has_text=start)).first


def _run_all(page: "Page") -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def _write(page: "Page", gradient: str, answer: str) -> None:
    """Type an answer over what stands in a stub, run the cell, and the check below it."""
    _cell(page, f"{gradient} = ").locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.type(answer)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def _picture(server: Server, page: "Page", name: str, of: "Locator | None" = None) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    app = "notebook" if "/notebooks/" in page.url else "lab"
    if of:
        of.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / f"{app}-{server.theme}-{name}.png")


def _cut_out(server: Server, page: "Page", name: str, of: "Locator") -> None:
    """One output alone; the documents show copies of those in JupyterLab's light theme."""
    app = "notebook" if "/notebooks/" in page.url else "lab"
    of.screenshot(path=SCREENSHOTS / f"{app}-{server.theme}-{name}.png")


def test_an_evening_with_the_exercise(server: Server, page: "Page") -> None:
    """Run All reaches the map at the end; a right answer is marked, a wrong one has its card, and the map follows."""
    _run_all(page)
    progress = _cell(page, "progress()")
    nodes = progress.locator("li[data-tensor]")
    nodes.nth(25).wait_for()
    assert nodes.count() == 26
    assert progress.locator('li[data-state="not yet"]').count() == 26
    untouched = _cell(page, "cmp('C', dC, C)").locator(".jp-OutputArea .handgrad")
    assert "dC is not written yet" in untouched.inner_text()
    # nothing is red before anything is written
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert page.locator(".jp-CodeCell").get_by_text("CheckFailed").count() == 0
    _picture(server, page, "untouched-check", untouched)
    _picture(server, page, "untouched", progress)

    for gradient, answer in RIGHT.items():
        _write(page, gradient, answer)
        passed = _cell(page, f"cmp('{gradient.removeprefix('d')}'")
        passed.get_by_role("img", name="passed").wait_for()
    first = _cell(page, "cmp('logprobs'").inner_text()
    assert "logprobs        | exact: True  | approximate: True  | maxdiff: 0.0" in first

    _write(page, "dcounts", WRONG)
    check = _cell(page, "cmp('counts'")
    card = check.locator(".handgrad", has=page.locator("svg"))
    card.wait_for()
    assert "counts          | exact: False | approximate: False" in card.inner_text()
    assert "dcounts lacks the contribution through counts_sum." in card.inner_text()
    assert "Try: counts has 2 consumers (counts_sum and probs)" in card.inner_text()
    assert "(32, 27)" in card.inner_text()
    # one of the two pictures is in sight
    assert card.locator("svg:visible title", has_text="the largest difference").count() == 1
    assert "Traceback" not in check.inner_text()
    assert check.inner_text().count("CheckFailed") == 1
    _picture(server, page, "card", check)
    _cut_out(server, page, "card-alone", card)

    _write(page, "dnorm_logits", CARRIED)
    carried = _cell(page, "cmp('norm_logits'")
    carried.locator(".handgrad", has_text="the error is in dcounts").wait_for()
    _picture(server, page, "carried", carried)
    progress.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    progress.locator('li[data-tensor="counts"][data-state="wrong"]').wait_for()
    states = {
        name: progress.locator(f'li[data-tensor="{name}"]').get_attribute("data-state")
        for name in ("logprobs", "counts", "norm_logits", "logits")
    }
    assert states == {"logprobs": "right", "counts": "wrong", "norm_logits": "carried", "logits": "not yet"}
    assert "Next: dcounts, which is wrong." in progress.inner_text()
    assert _fits(progress)
    _picture(server, page, "map", progress)
    _sizes(server, page, progress, check)
    _jump(page, progress)


def _fits(cell: "Locator") -> bool:
    """Whether nothing in an output is wider than the output, so that nothing is cut or has to be pushed around."""
    area = cell.locator(".jp-OutputArea-output .handgrad").last
    return bool(area.evaluate("element => element.scrollWidth <= element.clientWidth"))


def _sizes(server: Server, page: "Page", progress: "Locator", check: "Locator") -> None:
    """Map and card fit into a phone, a pane beside another and a wide window, in letters of one size."""
    if "/lab/" in page.url:
        # on a phone nobody keeps the list of files open
        page.keyboard.press("Control+b")
    for width in (390, 800, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        for name, cell in (("map", progress), ("card", check)):
            _picture(server, page, f"{name}-{width}", cell.locator(".jp-OutputArea"))
            assert _fits(cell), (name, width)
        size = progress.get_by_text("not yet").last.evaluate("element => getComputedStyle(element).fontSize")
        assert size == "12px"
    # all of the map in sight, and the mouse elsewhere
    page.set_viewport_size({"width": 1200, "height": 1200})
    page.mouse.move(0, 0)
    _cut_out(server, page, "map-alone", progress.locator(".handgrad"))
    page.set_viewport_size({"width": 1280, "height": 900})


def _jump(page: "Page", progress: "Locator") -> None:
    """A click on a tensor shows the check of its gradient and the answer above it."""
    from playwright.sync_api import expect

    for name in ("counts", "C"):
        progress.scroll_into_view_if_needed()
        progress.locator(f'li[data-tensor="{name}"] a').click()
        for start in (f"cmp('{name}'", f"d{name} = "):
            expect(_cell(page, start)).to_be_in_viewport()
