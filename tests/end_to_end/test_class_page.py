"""The page of a class of a thousand in a real browser: soon there, sorted and searched, in light, dark and on paper.

Pictures of it are left in build/screenshots for manual review.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handgrad.report.class_summary import Example, find_common_mistakes
from handgrad.report.pages import ClassContext, Links, class_page, term_page
from handgrad.report.records import Report, ScoreEntry
from helpers.paths import ROOT
from helpers.reports import GRAPH, NAMES, a_class, a_term

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = 1000
LARGEST = 4_000_000
"""Bytes that the page of a thousand may have."""
SECONDS = 10
"""Seconds in which it must have been opened; it takes about one where nothing else runs."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium"),
]


def _large_class() -> list[Report]:
    """A thousand with 27 gradients each, three times the sample's, and one in fifty who cannot be read."""
    reports = []
    for number, report in enumerate(a_class(SIZE)):
        checks = [
            replace(check, gradient=f"{check.gradient}{part or ''}") for part in range(3) for check in report.checks
        ]
        broken = Report("backprop", "backprop", "unreadable", "0.1.0", student=report.student, message="half-written.")
        reports.append(broken if number % 50 == 49 else replace(report, checks=tuple(checks)))
    return reports


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's address."""
    reports = _large_class()
    links = {
        report.student: Links(f"autograded/{report.student}.ipynb", f"feedback/{report.student}.html")
        for report in reports
    }
    examples = {
        (mistake.mistake, mistake.gradient): (Example(f"{mistake.gradient} = 1", 3),)
        for mistake in find_common_mistakes(reports)
    }
    entries = {"s0003": ScoreEntry(99.0, 99.0, by_hand=("check_dcounts",))}
    path = tmp_path_factory.mktemp("class") / "report.html"
    context = ClassContext(GRAPH, entries, examples, links, NAMES)
    path.write_text(class_page(reports, "backprop", context), encoding="utf-8")
    assert path.stat().st_size < LARGEST
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: "Browser", address: str) -> Iterator["Page"]:
    """The page, open; whatever it complains of, or fetches from elsewhere, fails the test."""
    page = browser.new_page(viewport={"width": 1180, "height": 900}, color_scheme=request.param)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url != address else None)
    started = time.monotonic()
    page.goto(address)
    page.locator("#students tbody tr").nth(SIZE - 1).wait_for(state="attached")
    taken = time.monotonic() - started
    print(f"opened in {taken:.2f} s")
    assert taken < SECONDS
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"class-{request.param}.png")
    page.close()
    assert not complaints


def _scores(page: "Page") -> list[float]:
    """The scores of the rows in sight, from top to bottom; those without a score left out."""
    texts = page.locator("#students tbody tr:not([hidden]) td:nth-child(3)").all_inner_texts()
    return [float(text) for text in texts if text != "\u2013"]


def test_it_is_sorted(page: "Page") -> None:
    """A click on a heading sorts by it, another click the other way round, and who has no score stays at the end."""
    heading = page.locator("#students th", has_text="score")
    for direction in ("ascending", "descending"):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == direction
        found = _scores(page)
        assert len(found) == SIZE - SIZE // 50
        assert found == sorted(found, reverse=direction == "descending")
        assert page.locator("#students tbody tr").last.locator("td").nth(1).inner_text() == "\u2013"
    assert page.locator("#students tbody tr").first.locator("th small").inner_text() == "s0003"


def test_it_is_searched(page: "Page") -> None:
    """Words, and a choice of whom, leave the rows that fit, and say how many they are."""
    said = page.locator(".filters output")
    assert said.inner_text() == f"{SIZE} of {SIZE} shown"
    page.get_by_role("combobox").select_option("none")
    assert said.inner_text() == f"20 of {SIZE} shown"
    page.get_by_role("combobox").select_option("changed")
    assert page.locator("#students tbody tr:not([hidden]) th small").all_inner_texts() == ["s0003"]
    page.get_by_role("combobox").select_option("all")
    page.get_by_role("searchbox").fill("s001 unreadable")
    assert page.locator("#students tbody tr:not([hidden]) th").all_inner_texts() == []
    page.get_by_role("searchbox").fill("s004 UNREADABLE")
    assert page.locator("#students tbody tr:not([hidden]) th").all_inner_texts() == ["s0049"]
    # names with and without their accents, slugs and sentences of mistakes
    for text in ("godel emmy", "GÖDEL Emmy", "Emmy Go\u0308del"):
        page.get_by_role("searchbox").fill(text)
        assert page.locator("#students tbody tr:not([hidden]) th small").all_inner_texts() == ["s0007"]
    counts = []
    for text in ("missing-branch", "the branch through counts_sum is missing"):
        page.get_by_role("searchbox").fill(text)
        counts.append(page.locator("#students tbody tr:not([hidden])").count())
    assert counts[0] == counts[1]
    assert 0 < counts[0] < SIZE


def test_texts_are_legible(page: "Page") -> None:
    """Every text of the pictures has a contrast of at least 4.5 to 1 to the page; boxes stay inside the page."""
    lowest = page.evaluate(CONTRAST)
    assert lowest >= 4.5
    wide = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wide


CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3)
      .map((channel) => channel / 255)
      .map((channel) => channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratios = [...document.querySelectorAll("svg.chart text")].map((text) => {
    const ink = light(getComputedStyle(text).fill);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
  return Math.min(...ratios);
}"""


def test_it_prints(page: "Page") -> None:
    """On paper the ink is black on white, and what only a screen can use is left out."""
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.locator(".filters").is_visible()
    assert not page.get_by_text("notebook", exact=True).first.is_visible()


def test_a_term(browser: "Browser", tmp_path: Path) -> None:
    """The page of 300 students and 7 assignments is soon there, and is sorted and searched like that of a class."""
    path = tmp_path / "term.html"
    path.write_text(term_page(a_term(300, 7), "The term"), encoding="utf-8")
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    started = time.monotonic()
    page.goto(path.as_uri())
    rows = page.locator("#students tbody tr")
    rows.nth(300).wait_for(state="attached")
    taken = time.monotonic() - started
    print(f"opened in {taken:.2f} s")
    assert taken < SECONDS
    page.locator("#students th", has_text="total").get_by_role("button").click()
    assert rows.last.locator("th").inner_text() == "s0300"
    page.get_by_role("combobox").select_option("again")
    page.get_by_role("searchbox").fill("ada shape-rank")
    shown = page.locator("#students tbody tr:not([hidden])")
    assert 0 < shown.count() < 4
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox").select_option("all")
    assert page.locator(".filters output").inner_text() == "301 of 301 shown"
    page.close()
    assert complaints == []
