"""What students and instructors look at, examined by axe-core in a real browser: in light and dark, wide and narrow."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from handgrad import CheckFailed
from handgrad.exercise.exercise import Exercise
from handgrad.report.anonymity import without_names
from handgrad.report.check_output import check_outputs
from handgrad.report.class_summary import Example
from handgrad.report.pages import ClassContext, Feedback, Links, Piece, class_page, feedback_page, term_page
from handgrad.report.records import AcceptedAnswer, Report, ScoreEntry
from handgrad.student import check, progress_map
from handgrad.student.progress import Progress, progress_of
from helpers.browsing import SCREENSHOTS, chromium, needs_chromium
from helpers.reports import CHECKS, GRAPH, NAMES, a_class, a_term, report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, needs_chromium]

SLIPS = {
    "dprobs": "dprobs = -dlogprobs / probs",
    "dcounts": "dcounts = counts_sum_inv * dprobs",
    "dhpreact": "dhpreact = dh",
    "demb": "demb = dembcat.view(32, 3, 10) * 2",
    "db2": "db2 = dlogits.sum(0) * 2",
    "dbnbias": "dbnbias = dhpreact.sum(0)",
    "dC": "dC = None",
}
HOST = """<!DOCTYPE html><html lang="en"><head><title>notebook</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
body { margin: 8px; background: #ffffff; color: rgba(0, 0, 0, 0.87); }
@media (prefers-color-scheme: dark) { body { background: #111111; color: rgba(255, 255, 255, 0.87); } }
</style></head><body><main><h1>Notebook</h1>PARTS</main></body></html>"""
"""A page in JupyterLab's colours."""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(
    exercise: Exercise, play: Callable[[Exercise], dict[str, Any]], solutions: dict[str, str]
) -> Mapping[str, str]:
    """Every page and every output, by name."""
    outputs, stock = _outputs(play(exercise), solutions)
    finished = Progress(tuple(replace(status, state="right") for status in stock.statuses), None)
    graded = [part["data"]["text/html"] for verdict in CHECKS for part in check_outputs(verdict) if "data" in part]
    return {
        "cards": HOST.replace("PARTS", "".join(outputs)),
        "map": HOST.replace("PARTS", progress_map.html(stock, {})),
        "map-finished": HOST.replace("PARTS", progress_map.html(finished, {})),
        "autograded": HOST.replace("PARTS", "".join(graded)),
        "feedback": _feedback(report()),
        "feedback-empty": _feedback(report(checks=())),
        "class": _class(),
        "class-empty": class_page([], "backprop"),
        "class-without-names": _class(with_names=False),
        "term": term_page(a_term(24, 7), "The term"),
    }


def _outputs(namespace: dict[str, Any], solutions: dict[str, str]) -> tuple[list[str], Progress]:
    """What the checks of a notebook with some slips show, each kind of them once, and how far it is."""
    shown: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "in_notebook", lambda: True)
        for gradient, solution in solutions.items():
            name = gradient.removeprefix("d")
            patch.setattr(check, "show", lambda html, _, name=name: shown.update({name: html}))
            exec(SLIPS.get(gradient, solution), namespace)
            with suppress(CheckFailed):
                exec(f"cmp('{name}', {gradient}, {name})", namespace)
    return list(shown.values()), progress_of(namespace)


def _feedback(graded: Report) -> str:
    pieces = [Piece("text", "about", "The forward pass", "<p>It has <code>32</code> rows.</p>")]
    pieces.append(
        Piece(
            "locked",
            "setup",
            body='<pre><span class="k">if</span> <span class="m">1</span>: <span class="s">""</span></pre>',
        )
    )
    pieces.append(Piece("heading", head="A part of the lesson"))
    pieces.append(Piece("text", "about_dprobs", "", "<p>The first one.</p>"))
    for verdict in graded.checks:
        code = f'{verdict.gradient} = None  <span class="c">#{" mine" * 50}</span>'
        source = f"<pre>{code}</pre>"
        remark = "<p>Nice try.</p>" if verdict.gradient == "dcounts" else ""
        pieces.append(Piece("answer", verdict.gradient, body=source, remark=remark))
        pieces.append(Piece("check", verdict.gradient, solution=source if verdict.outcome == "failed" else ""))
    return feedback_page(Feedback(graded, graded.student, GRAPH, pieces, penalty=0.5, name="Ada Lovelace"))


def _class(*, with_names: bool = True) -> str:
    reports = [*a_class(24), report("not-graded", "s9998"), report("unreadable", "s9999")]
    links = {
        student_report.student: Links(
            f"autograded/{student_report.student}.ipynb", f"feedback/{student_report.student}.html"
        )
        for student_report in reports
    }
    context = ClassContext(
        GRAPH,
        {"s0003": ScoreEntry(9.0, 11.0, by_hand=("check_dcounts",))},
        {("missing-branch", "dcounts"): (Example("dcounts = counts_sum_inv * dprobs", 3),)},
        links,
        NAMES,
        ["s0100", "s0101"],
        {"s0004": reports[3]},
        [
            AcceptedAnswer("backprop", "demb", "s0005", "", 0.0, 1.0, "It is plain.", "prof", "2026-01-02T03:04:05Z"),
            AcceptedAnswer(
                "backprop", "dh", "s0006", "scale", None, 1.0, "Asked.", "prof", "2026-01-02T03:05:05Z", True
            ),
        ],
    )
    if not with_names:
        reports, context = without_names(reports, context, NAMES.values())
    return class_page(reports, "backprop", context)


PAGES = ("cards", "map", "map-finished", "autograded", "feedback", "feedback-empty", "class", "class-empty")
PAGES += ("class-without-names", "term")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_fault(name: str, theme: Any, pages: Mapping[str, str], browser: "Browser") -> None:
    """No rule of axe-core is broken, on a phone, in a narrow pane, in a wide window, or with everything unfolded.

    A dark page differs from the light one in its colours, which are the same at every width.
    """
    from axe_playwright_python.sync_playwright import Axe

    assert pages.keys() == set(PAGES)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(color_scheme=theme)
    page.set_content(pages[name])
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    for width in (390, 800, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=SCREENSHOTS / f"{name}-{theme}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
        if theme == "light" or width == 1400:
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_on_paper(name: str, pages: Mapping[str, str], browser: "Browser") -> None:
    """On a sheet of A4 no text goes beyond the page, and none is hidden in a box that would have to be scrolled."""
    page = browser.new_page(viewport={"width": 718, "height": 1000})
    page.set_content(pages[name])
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(CUT) == []
    page.close()


CUT = """() => [...document.querySelectorAll("body *")]
  .filter((element) => getComputedStyle(element).overflowX !== "visible" && element.clientWidth > 1)
  .filter((element) => element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1)
  .map((element) => `${element.tagName} ${element.className} ${element.textContent.slice(0, 60)}`)"""
"""The boxes that show a part of their content only."""


def test_links_work_in_an_exported_notebook(pages: Mapping[str, str], browser: "Browser", tmp_path: Path) -> None:
    """In the page that nbconvert makes of a notebook, a click on a tensor goes to the output of its check."""
    parts = [pages[name].partition("</h1>")[2].partition("</main>")[0] for name in ("cards", "map")]
    outputs = [nbformat.v4.new_output("display_data", {"text/html": part}) for part in parts]
    cells = [nbformat.v4.new_code_cell("cmp", outputs=[output]) for output in outputs]
    html, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    path = tmp_path / "exported.html"
    path.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 500})
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(path.as_uri())
    place = page.locator("#handgrad-dhpreact")
    top = "element => { const {y} = element.getBoundingClientRect(); return 0 <= y && y < innerHeight }"
    page.locator("li[data-tensor=hpreact] a").scroll_into_view_if_needed()
    assert not place.evaluate(top)
    page.locator("li[data-tensor=hpreact] a").click()
    page.wait_for_url("**#handgrad-dhpreact")
    assert place.evaluate(top)
    page.close()


def test_a_screen_reader_gets_a_list(pages: Mapping[str, str], browser: "Browser") -> None:
    """For a screen reader the map is a list of the loss and 26 links, wide or narrow; no drawing is in it."""
    page = browser.new_page()
    page.set_content(pages["map"])
    for width in (390, 800, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        (items,) = [page.get_by_role("list", name="The tensors of the forward pass, from the loss back")]
        assert items.get_by_role("listitem").count() == 27
        links = items.get_by_role("link")
        assert links.count() == 26
        assert links.nth(0).inner_text().split() == [
            "logprobs",
            "32",
            "\u00d7",
            "27",
            "\u2713",
            "right",
            "goes",
            "into",
            "loss",
        ]
        assert page.get_by_role("img").count() == 0
    page.close()
