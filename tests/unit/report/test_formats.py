"""The faces of a report: terminal, page, notebook cell, JSON, JUnit, Gradescope."""

import ast
import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import nbformat
import numpy as np
import pytest
from nbgrader.utils import determine_grade
from rich.cells import cell_len

import handgrad.report
from handgrad.report import class_summary
from handgrad.report.anonymity import without_names
from handgrad.report.check_output import check_outputs, comment
from handgrad.report.class_charts import distribution
from handgrad.report.class_summary import Example, find_common_mistakes, items
from handgrad.report.class_terminal import class_table, term_table
from handgrad.report.formats import report_gradescope, report_json, report_junit
from handgrad.report.pages import ClassContext, Feedback, Links, Piece, class_page, feedback_page, term_page
from handgrad.report.records import (
    AcceptedAnswer,
    Diagnosis,
    ForwardGraph,
    Outcome,
    Report,
    ReportOutcome,
    ScoreEntry,
    Verdict,
)
from handgrad.report.term import Term, TermAssignment
from handgrad.report.terminal import report_text
from handgrad.report.wording import LONGEST, clean, comparison_line, lecture_line, line_as_html
from helpers.inputs import named
from helpers.reports import BRANCH, CHECKS, GRAPH, PASSED, RESHAPED, RIGHT, SHAPE, WRONG, a_class, a_term, report

HOSTILE = (
    "<script>alert('x')</script><img src=x onerror=alert(1)> "
    "\x1b]0;owned\x07\x1b[31mred\x00\ud800\u202e [bold]&amp; ]]>"
)


def hostile_report() -> Report:
    """A report in which every text that a student may write is hostile."""
    verdicts = tuple(
        replace(verdict, message=HOSTILE, diagnosis=Diagnosis("slug", HOSTILE, HOSTILE, verdict.gradient))
        for verdict in CHECKS
        if verdict.outcome != "passed"
    )
    return report(student=HOSTILE, checks=verdicts)


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def assert_harmless(source: str) -> None:
    """No script, no picture, no handler, nothing fetched, and nothing that cannot be written or seen."""
    page = Page(source)
    assert not {"script", "img", "iframe", "link", "object", "svg", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "url(" not in source
    assert "@import" not in source
    assert_writable(source)


def assert_inert(source: str) -> None:
    """Besides the page's own script and pictures nothing runs, and nothing is fetched from anywhere."""
    page = Page(source)
    assert page.tags.count("script") == 1
    script = source.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [value for _, value in page.attributes if value and "default-src" in value]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not {"img", "iframe", "link", "object", "form", "base", "image", "use"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "srcdoc", "xlink:href")]
    assert all(value and value.startswith(("#", "submitted/")) for name, value in page.attributes if name == "href")
    assert not re.search(r"url\((?!#)", source)
    assert "@import" not in source
    assert_writable(source)


def assert_writable(text: str) -> None:
    """No control character, no lone surrogate, no override of the direction of writing."""
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def graded_by_nbgrader(verdict: Verdict) -> tuple[float | None, float]:
    """What stock nbgrader makes of the check cell."""
    cell = nbformat.v4.new_code_cell("cmp('probs', dprobs, probs)", outputs=nbformat.from_dict(check_outputs(verdict)))
    cell.metadata["nbgrader"] = {
        "grade": True,
        "grade_id": verdict.id,
        "locked": True,
        "points": verdict.max_points,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.validate(notebook)
    # as it is after it was written and read
    return determine_grade(nbformat.reads(nbformat.writes(notebook), as_version=4).cells[0])


def test_render_sees_only_the_report() -> None:
    """No renderer imports anything of handgrad but the records, its neighbours and what draws a graph."""
    folder = Path(handgrad.report.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                root = name.split(".")[0]
                assert root not in ("torch", "nbgrader", "nbformat", "IPython")
                ours = ("handgrad.report.records", "handgrad.report.graph", "handgrad.report")
                assert root != "handgrad" or name.startswith(ours)


def test_code_in_a_message_is_code() -> None:
    """What is between backticks is code on both pages and in the card; marks of HTML are text."""
    diagnosis = Diagnosis("values", "Look at `a < b`, twice.", "Write `a & b`.", "dcounts")
    verdict = replace(CHECKS[1], message="", diagnosis=diagnosis)
    graded = report(checks=(verdict,))
    card = check_outputs(verdict)[0]["data"]["text/html"]
    for page in (
        feedback_page(Feedback(graded, "", GRAPH, [Piece("check", "dcounts")])),
        class_page([graded], "x"),
        card,
    ):
        assert "`" not in page.partition("<script>")[0]
        assert len(re.findall(r"<(code|span)[^>]*>a &lt; b</\1>, twice", page)) >= 1
        assert len(re.findall(r"<(code|span)[^>]*>a &amp; b</\1>", page)) >= 1


def test_the_lecture_line_is_broken_at_its_bars() -> None:
    """In HTML the line is the same, letter by letter, in pieces that are not broken."""
    line = lecture_line(CHECKS[1])
    html = line_as_html(line)
    assert re.sub(r"<[^>]*>", "", html) == line
    assert re.findall(r'<span style="white-space:pre">([^<]*)</span>', html) == [
        "counts          |",
        "exact: False |",
        "approximate: False |",
        "maxdiff: 0.012345678",
    ]


def test_every_outcome_is_tried_here() -> None:
    """The sample report holds every outcome that a check can have."""
    assert {verdict.outcome for verdict in CHECKS} == set(get_args(Outcome))


class TestCell:
    def test_nbgrader_gives_the_same_points(self) -> None:
        """Stock nbgrader reads the outputs as the points of the verdict."""
        for verdict in CHECKS:
            with named(verdict):
                assert graded_by_nbgrader(verdict) == (verdict.points, verdict.max_points)

    def test_partial_points_keep_every_digit(self) -> None:
        """Whatever share an instructor chooses comes back to the last bit."""
        for points in [0.0, 0.1, 1 / 3, 2.0, 1e-9]:
            with named(points):
                assert graded_by_nbgrader(replace(CHECKS[2], points=points, max_points=2.0)) == (points, 2.0)

    def test_a_passed_check_shows_the_lectures_line_alone(self) -> None:
        """A passed check prints what the lecture prints, and nothing else."""
        text = "probs           | exact: True  | approximate: True  | maxdiff: 0.0\n"
        assert check_outputs(PASSED) == [{"output_type": "stream", "name": "stdout", "text": text}]

    def test_the_line_is_that_of_cmp(self) -> None:
        """The line is the one that the student's own cmp prints."""
        for comparison in [RIGHT, WRONG, RESHAPED, replace(WRONG, maxdiff=float("nan"))]:
            with named(comparison):
                outputs = check_outputs(replace(PASSED, comparison=comparison))
                assert outputs[0]["text"] == comparison_line("probs", comparison) + "\n"

    def test_a_passed_check_may_have_something_to_say(self) -> None:
        """A pass with a message keeps its points and says it on stdout."""
        verdict = replace(PASSED, message="dprobs is changed later, in the cell of dcounts.")
        assert check_outputs(verdict)[0]["text"].endswith(
            "| maxdiff: 0.0\ndprobs is changed later, in the cell of dcounts.\n"
        )
        assert graded_by_nbgrader(verdict) == (1.0, 1.0)

    def test_a_passed_check_without_a_comparison_says_so(self) -> None:
        """A pass of a check that compares nothing is not an empty output."""
        assert check_outputs(replace(PASSED, comparison=None))[0]["text"] == "dprobs: passed\n"

    def test_a_failed_check_says_what_and_what_to_try(self) -> None:
        """The error in reading order: the line, the sentence, what happened, what to try."""
        card, error = check_outputs(CHECKS[1])
        assert (error["ename"], error["evalue"]) == ("failed", "dcounts is not the gradient of counts.")
        assert error["traceback"] == [
            "counts          | exact: False | approximate: False | maxdiff: 0.012345678",
            "dcounts is not the gradient of counts.",
            "The branch through counts_sum is missing.",
            "Try: Add up both branches.",
        ]
        assert card["data"]["text/plain"].splitlines() == ["✗ failed: dcounts, 0 of 1 point", *error["traceback"]]
        for said in error["traceback"]:
            assert said in Page(card["data"]["text/html"]).text.replace("counts |", "counts          |")

    def test_a_card_tells_shapes_that_differ(self) -> None:
        """The card shows both shapes where they differ, and neither where they do not."""
        html = check_outputs(CHECKS[2])[0]["data"]["text/html"]
        assert "Shape: (64,). Expected: (1, 64)." in html
        assert "Expected" not in check_outputs(CHECKS[1])[0]["data"]["text/html"]

    def test_a_diagnosis_of_another_cell_names_it(self) -> None:
        """Advice for another cell says which."""
        verdict = replace(CHECKS[1], diagnosis=replace(BRANCH, cell="dlogits"))
        assert comment(verdict).endswith("\nTry, in the cell of dlogits: Add up both branches.")

    def test_hostile_messages_are_harmless(self) -> None:
        """Markup, escape sequences and formulas of a student reach the instructor as plain text."""
        for verdict in hostile_report().checks:
            with named(verdict):
                outputs = check_outputs(verdict)
                html = outputs[0]["data"]["text/html"]
                assert_harmless(html)
                assert "<script>alert('x')</script>" in Page(html).text
                assert 'class="tex2jax_ignore mathjax_ignore"' in html
                assert_writable(outputs[0]["data"]["text/plain"])
                assert_writable("\n".join(outputs[-1].get("traceback", [])) + outputs[-1].get("evalue", ""))
                assert graded_by_nbgrader(verdict) == (verdict.points, verdict.max_points)

    def test_every_verdict_but_a_plain_pass_has_a_comment(self) -> None:
        """No zero is silent: the gradebook's comment says why."""
        for verdict in CHECKS:
            with named(verdict):
                assert bool(comment(verdict)) == (verdict.outcome != "passed")


class TestText:
    @pytest.mark.parametrize("width", [60, 80, 100])
    def test_every_gradient_has_a_row_that_fits(self, width: int) -> None:
        """On any usual width each gradient stands on one row with the word of its outcome, and nothing is cut."""
        rows = report_text(report(), width=width).splitlines()
        assert max(map(cell_len, rows)) <= width
        for verdict in CHECKS:
            pattern = rf"^\S {verdict.outcome} +{verdict.gradient} +{verdict.points:g}/{verdict.max_points:g}\b"
            assert len([row for row in rows if re.search(pattern, row)]) == 1
        text = " ".join(" ".join(rows).split())
        for said in (BRANCH.what, f"Try: {BRANCH.advice}", SHAPE.what, CHECKS[4].message, "maxdiff", "0.0123"):
            assert said in text

    def test_the_end_says_score_isolation_and_where_to_go_on(self) -> None:
        """The last lines are the score, the isolation and the next gradient to work on."""
        rows = report_text(report(checks=CHECKS[:3]), width=80).splitlines()
        assert rows[-3:] == [
            "Score: 1.5 of 3 points, in 0.02 s",
            "Isolation: full",
            "1 of 3 gradients right (1 failed, 1 partial). Continue with dcounts.",
        ]

    def test_no_isolation_is_not_overlooked(self) -> None:
        """A run without isolation says what that means."""
        text = report_text(replace(report(), isolation="none"), width=100)
        assert "Isolation: none; the notebook's code ran with the rights of the account that graded it" in text

    def test_all_right_is_one_row_each(self) -> None:
        """A perfect notebook has one row a gradient and a last line that says so."""
        text = report_text(report(checks=(PASSED, replace(PASSED, gradient="dcounts"))), width=80)
        assert text.splitlines()[-1] == "All 2 gradients are right."
        assert text.splitlines()[3:6] == [
            "✓ passed  dprobs    1/1     exact  0",
            "✓ passed  dcounts   1/1     exact  0",
            "",
        ]

    @pytest.mark.parametrize("outcome", ["unreadable", "not-submitted", "not-graded"])
    def test_what_was_not_graded_says_why_and_has_no_score(self, outcome: ReportOutcome) -> None:
        """No zero is shown for what was not graded, and the reason is."""
        text = report_text(report(outcome), width=80)
        assert "a reason of its own" in " ".join(text.split())
        assert text.endswith("Score: none\n")

    def test_colour_is_asked_for(self) -> None:
        """Escape sequences are there with colour, and never without."""
        assert "\x1b[" in report_text(report(), width=80, color=True)
        assert_writable(report_text(hostile_report(), width=80))
        told = hostile_report()
        hostile = class_table([told], names={told.student: HOSTILE, "b": HOSTILE}, absent=["b", HOSTILE], width=80)
        assert_writable(hostile)
        assert_writable(term_table(Term([TermAssignment(HOSTILE, {HOSTILE: told})]), width=80))

    def test_a_students_markup_is_text(self) -> None:
        """Rich's own markup in a message is shown, not obeyed."""
        assert "[bold]" in report_text(hostile_report(), width=200)

    def test_a_class_of_three_hundred_is_a_line_each(self) -> None:
        """On 80 columns every student has one line, the numbers of each outcome are kept, and the end sums up."""
        many = tuple(replace(verdict, gradient=f"{verdict.gradient}_{n}") for n in range(4) for verdict in CHECKS[:4])
        reports = [report(student=f"student-{n:03d}", checks=many) for n in range(296)]
        reports += [
            replace(report("not-submitted", "late"), message=""),
            report("unreadable", "pdf"),
            report("not-graded", "pipe"),
        ]
        reports.append(report(student="sly"))
        table = class_table(reports, width=80)
        rows = table.splitlines()
        assert max(map(cell_len, rows)) <= 80
        for n in range(296):
            (row,) = [row for row in rows if row.startswith(f"student-{n:03d} ")]
            assert "4 failed" in row
            assert "4 missing" in row
            assert "…" not in row.split("4 failed")[0]
        (row,) = [row for row in rows if row.startswith("sly ")]
        assert row.endswith("9 not passed")
        assert "300 submissions: 297 graded, 1 not-graded, 1 not-submitted, 1 unreadable." in rows
        people = table.partition("Needs manual review (3):")[2]
        assert [student in people for student in ("pdf", "pipe", "sly", "late")] == [True, True, True, False]

    def test_an_empty_class_is_no_error(self) -> None:
        """A class without submissions says so."""
        assert class_table([], width=80) == "No submissions\n\n0 submissions.\n"

    def test_wide_names_keep_their_column(self) -> None:
        """A name in Chinese, or a very long one, does not push the other columns away."""
        reports = [report(student=name) for name in ("李小龍李小龍", "x" * 90, "ana")]
        rows = class_table(reports, width=80).splitlines()[3:6]
        assert len({cell_len(row[: row.index("graded")]) for row in rows}) == 1

    def test_names_of_the_roster(self) -> None:
        """Names have a column, of which wide ones take no more than theirs; who has not handed in is counted."""
        reports = [report(student=student) for student in ("u1", "u2", "u3")]
        names = {"u1": "Ada Lovelace", "u2": "李小龍" * 9, **{f"v{n}": f"Emmy {n}" for n in range(30)}}
        for width in (60, 80, 140):
            table = class_table(reports, names=names, absent=[f"v{n}" for n in range(30)], width=width)
            rows = table.splitlines()[3:6]
            assert len({cell_len(row[: row.index("graded")]) for row in rows}) == 1
            assert max(map(cell_len, rows)) <= width
            assert rows[0].startswith("u1       Ada Lov")
            text = " ".join(table.split())
            assert "Not handed in (30): Emmy 0 (v0), Emmy 1 (v1), " in text
            assert "Emmy 19 (v19) and 10 more." in text
            assert "Ada Lovelace (u1): The cell of demb tampers" in text


class TestPage:
    def test_a_hostile_student_is_text(self) -> None:
        """Names and messages with markup appear as they were written, and nothing of them runs."""
        told = hostile_report()
        examples = {("slug", verdict.gradient): (Example(HOSTILE, 2),) for verdict in CHECKS}
        entries = {told.student: ScoreEntry(7.0, 9.0, 1.0, (HOSTILE,), waiting=True)}
        beside = ClassContext(
            GRAPH,
            entries,
            examples,
            {told.student: Links("submitted/a", "submitted/b")},
            {told.student: HOSTILE, "b": HOSTILE},
            ["b", HOSTILE],
            {told.student: replace(told, checks=CHECKS)},
            [AcceptedAnswer(*[HOSTILE] * 4, 0.0, None, *[HOSTILE] * 3)],
        )
        page = class_page([told, report(student="<b>ana</b>")], "Class <1>", beside)
        assert_inert(page)
        anonymous, context = without_names([told, told, told], beside, [])
        assert_inert(class_page(anonymous, "Class <1>", context))
        term = Term([TermAssignment(name, {HOSTILE: told}) for name in (HOSTILE, "b")], {HOSTILE: HOSTILE}, [HOSTILE])
        assert_inert(term_page(term, "Term <1>"))
        assert "<script>alert('x')</script>" in Page(page).text
        assert "&lt;b&gt;ana&lt;/b&gt;" in page
        assert "<title>Class &lt;1&gt;</title>" in page

    def test_the_page_has_all_students_and_gradients_in_order(self) -> None:
        """Every student has a row, and gradients keep the order of the checks."""
        outcomes = get_args(ReportOutcome)
        page = Page(class_page([report(outcome, f"s-{outcome}") for outcome in outcomes], "Backprop"))
        assert all(f"s-{outcome}" in page.text for outcome in outcomes)
        text = page.text.partition("It needs ten submissions.")[2]
        places = [text.index(f" {verdict.gradient} ") for verdict in CHECKS]
        assert places == sorted(places)
        assert "missing-branch (1)" in text

    def test_it_is_made_for_paper_and_for_the_dark(self) -> None:
        """The page has rules for print and for dark screens."""
        page = class_page([report()], "Backprop")
        assert "@media print" in page
        assert "prefers-color-scheme:dark" in page

    def test_tags_are_balanced(self) -> None:
        """Every element that is opened is closed, in order."""
        open_tags: list[str] = []

        class Balance(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                if tag not in ("meta", "input"):
                    open_tags.append(tag)

            def handle_endtag(self, tag: str) -> None:
                assert open_tags.pop() == tag

        reports = [report(), report("unreadable"), report(checks=(PASSED,))]
        Balance().feed(class_page(reports, "Backprop", ClassContext(GRAPH)))
        assert not open_tags
        accepted = [AcceptedAnswer("backprop", "dh", "ann", "scale", 0.0, 1.0, "Asked.", "prof", "2026-01-02T03:04Z")]
        full = ClassContext(GRAPH, names={"s01": "Ada"}, absent=["b"], first={"s01": report()}, accepted=accepted)
        Balance().feed(class_page(reports, "Backprop", full))
        Balance().feed(term_page(a_term(8, 3), "The term"))
        assert not open_tags

    def test_scores_are_the_gradebooks(self) -> None:
        """A score by hand and a late penalty are in the score that is shown, and the notes say what was done."""
        entries = {
            "ann": ScoreEntry(3.0, 10.0, 0.5, ("check_dcounts",)),
            "bob": ScoreEntry(1.5, 10.0),
            "cid": ScoreEntry(0.0, 10.0, is_scored=False),
            "dee": ScoreEntry(4.0, 10.0, by_hand=("check_dcounts",), waiting=True),
        }
        reports = [report(student=student, checks=CHECKS[:8]) for student in ("ann", "bob", "dee")]
        reports.insert(2, report("not-graded", "cid"))
        page = Page(class_page(reports, "Backprop", ClassContext(entries=entries))).text
        table = class_table(reports, entries, width=160)
        for text in (" ".join(table.split()), page):
            assert "by hand: dcounts; late: 0.5 points off; handgrad gave 1.5" in text
            assert "It was graded again after manual scoring (dcounts): check whether" in text
        assert re.search(r"^ann +graded +2\.5 ", table, re.MULTILINE)
        assert re.search(r"^bob +graded +1\.5 +0\.02 +\d", table, re.MULTILINE)
        # an empty row of the gradebook is no score of what could not be graded
        assert re.search(r"^cid +! not-graded +- ", table, re.MULTILINE)
        assert "ann graded 2.5 0.02" in page
        assert "cid not-graded (needs manual review) \u2013" in page
        assert "2 differ from handgrad's" in page
        bars = {label: count for label, count in distribution(reports, entries).items() if count}
        assert bars == {"10 to 20%": 1, "20 to 30%": 1, "40 to 50%": 1}

    def test_the_graph_is_coloured_by_what_is_right(self) -> None:
        """Each box says how many got its gradient, in the colour of that share; and where they gave up is told."""
        half = report(checks=(PASSED, replace(CHECKS[1], outcome="passed", points=1.0), CHECKS[3]))
        other = report(checks=(PASSED, CHECKS[1], CHECKS[3]))
        graph = ForwardGraph({"logits": ("counts",), "counts": ("probs",), "probs": ("loss",), "h": ("loss",)})
        page = class_page([half, other], "Backprop", ClassContext(graph))
        boxes = {name: kind for kind, name in re.findall(r'class="([^"]*)"[^>]*><b>(\w+)</b>', page)}
        assert boxes == {"logits": "box rate-4", "counts": "box rate-2", "probs": "box rate-0", "h": "box"}
        assert "50% right" in page
        assert "Wrote nothing from dlogits on: 2." in " ".join(Page(page).text.split())

    def test_examples_stand_with_their_mistake(self) -> None:
        """A frequent mistake has its count, its sentence and the cells that are handed in with it."""
        examples = {("missing-branch", "dcounts"): (Example("dcounts = 1", 3), Example("dcounts = 2", 1))}
        reports = [report(student=str(number)) for number in range(4)]
        text = Page(class_page(reports, "Backprop", ClassContext(examples=examples))).text
        told = text.partition("Most frequent mistakes")[2]
        assert "4 students dcounts missing-branch The branch through counts_sum is missing." in told
        assert "dcounts = 1 in 3 of the notebooks examined dcounts = 2" in told

    def test_pictures_have_words_for_them(self) -> None:
        """Every chart has a name and a description with its numbers, and takes its colours from the page."""
        reports = a_class(12)
        page = class_page(reports, "Backprop", ClassContext(GRAPH))
        pictures = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)
        assert len(pictures) == 3
        for picture in pictures:
            assert re.search(r'role="img" aria-label="[^"]+', picture)
            assert re.search(r"<title>[^<]+</title><desc>[^<]*\d[^<]*</desc>", picture)
            assert not re.search(r"#[0-9a-f]{6}\b|font: ", picture)

    def test_the_distribution_counts_graded_submissions(self) -> None:
        """Full marks stand apart, rounding moves nobody down, and what was not graded is not counted."""
        tenths = tuple(replace(PASSED, points=0.1, max_points=0.1) for _ in range(10))
        bars = distribution([report(checks=tenths), report(), report("not-graded"), report("not-submitted")])
        assert {label: count for label, count in bars.items() if count} == {"10 to 20%": 1, "100%": 1}

    def test_an_empty_class_is_a_page(self) -> None:
        """A class without submissions has a page that says so."""
        assert "There are no submissions." in class_page([], "Backprop")


class TestItems:
    def test_difficulty_and_discrimination(self) -> None:
        """Difficulty is the mean share of the points; discrimination is high for what goes with the rest."""

        def marked(gradient: str, share: float) -> Verdict:
            return Verdict(f"check_{gradient}", gradient, "passed", 2 * share, 2.0)

        halves = [number % 2 for number in range(12)]
        marks = [(marked("da", half), marked("db", half), marked("dc", 1 - half), marked("dd", 1.0)) for half in halves]
        found = items([report(checks=checks) for checks in marks] + [report("unreadable")])
        assert [found[name].difficulty for name in ("da", "db", "dc", "dd")] == [0.5, 0.5, 0.5, 1.0]
        assert found["da"].discrimination == found["db"].discrimination
        assert found["dc"].discrimination == pytest.approx(-1.0)
        assert found["dd"].discrimination is None
        # the same as numpy's own correlation, for points that are not all alike
        mixed = a_class(200)
        points = np.array(
            [[verdict.points / verdict.max_points for verdict in student_report.checks] for student_report in mixed]
        )
        weights = np.array([verdict.max_points for verdict in CHECKS])
        rest = (points * weights).sum(1) - points[:, 1] * weights[1]
        expected = np.corrcoef(points[:, 1], rest)[0, 1]
        assert items(mixed)["dcounts"].discrimination == pytest.approx(expected)

    def test_a_small_class_says_nothing(self) -> None:
        """Of fewer than ten submissions no correlation is given."""
        assert all(item.discrimination is None for item in items(a_class(9)).values())
        assert any(item.discrimination is not None for item in items(a_class(10)).values())


class TestFindings:
    def test_the_most_frequent_come_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistake counts once for each student and gradient; a note on what passed is no mistake."""
        noted = replace(PASSED, diagnosis=BRANCH)
        reports = [report(student="a"), report(student="b", checks=(CHECKS[1], noted)), report("unreadable", "c")]
        found = find_common_mistakes(reports)
        assert [(mistake.mistake, mistake.gradient, mistake.students) for mistake in found] == [
            ("missing-branch", "dcounts", ("a", "b")),
            ("shape-rank", "dbnmeani", ("a",)),
        ]
        monkeypatch.setattr(class_summary, "MOST", 1)
        assert find_common_mistakes(reports) == found[:1]

    def test_the_sentence_is_that_of_most(self) -> None:
        """Where a mistake is told in two ways, the one that most students were told is shown."""
        other = replace(CHECKS[1], diagnosis=replace(BRANCH, what="Another branch is missing."))
        told = [report(student=str(number), checks=(CHECKS[1] if number else other,)) for number in range(3)]
        assert find_common_mistakes(told)[0].what == BRANCH.what


class TestJson:
    def test_the_keys_are_the_contract(self) -> None:
        """Schema 1 has exactly these keys."""
        data = json.loads(report_json(report()))
        assert list(data) == [
            *("schema", "handgrad", "assignment", "notebook", "isolation", "student", "outcome", "message"),
            *("score", "max_score", "seconds", "checks"),
        ]
        assert list(data["checks"][1]) == [
            *("id", "gradient", "outcome", "points", "max_points", "comparison", "diagnosis", "message"),
        ]
        assert list(data["checks"][1]["comparison"]) == [
            *("shape", "expected_shape", "exact", "approximate", "maxdiff", "relative"),
        ]
        assert list(data["checks"][1]["diagnosis"]) == ["mistake", "what", "try", "cell"]

    def test_it_can_be_read_back(self) -> None:
        """What is read back is the report, to the same text."""
        for outcome in get_args(ReportOutcome):
            with named(outcome):
                text = report_json(replace(report(outcome), student=HOSTILE))
                assert text.isascii()
                assert report_json(Report.from_dict(json.loads(text))) == text

    def test_infinity_is_no_number(self) -> None:
        """A difference that JSON cannot hold is null, not a word that other parsers refuse."""
        verdict = replace(CHECKS[1], comparison=replace(WRONG, maxdiff=float("inf"), relative=float("nan")))
        comparison = json.loads(report_json(report(checks=(verdict,))))["checks"][0]["comparison"]
        assert (comparison["maxdiff"], comparison["relative"]) == (None, None)


class TestJunit:
    def test_it_counts(self) -> None:
        """The totals are those of the cases: wrong, partial and missing are failures, what stopped is an error."""
        root = ET.fromstring(report_junit(report()))
        (suite,) = root
        for element in (root, suite):
            assert [element.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["10", "3", "6", "0"]
        assert [case.get("name") for case in suite.iter("testcase")] == [verdict.gradient for verdict in CHECKS]
        failure = suite.find("testcase[@name='dcounts']/failure")
        assert failure is not None
        assert (failure.get("type"), failure.get("message")) == ("failed", "dcounts is not the gradient of counts.")
        assert "Try: Add up both branches." in (failure.text or "")

    @pytest.mark.parametrize(
        ("outcome", "kind"), [("unreadable", "error"), ("not-graded", "error"), ("not-submitted", "failure")]
    )
    def test_what_was_not_graded_is_not_green(self, outcome: ReportOutcome, kind: str) -> None:
        """A suite without gradients still holds one case, which did not pass, and why."""
        found = ET.fromstring(report_junit(report(outcome))).find(f"testsuite/testcase/{kind}")
        assert found is not None
        assert "a reason of its own" in (found.get("message") or "")

    def test_hostile_text_is_well_formed(self) -> None:
        """Control characters are gone and the rest survives the parser."""
        text = report_junit(hostile_report())
        assert text.isascii()
        assert "<script>alert('x')</script>" in (ET.fromstring(text).find(".//failure").text or "")  # type: ignore[union-attr]


class TestGradescope:
    def test_the_tests_add_up_to_the_score(self) -> None:
        """Score, tests and their texts are in the form that Gradescope documents, as plain text."""
        results = json.loads(report_gradescope(report()))
        assert results["score"] == sum(test["score"] for test in results["tests"]) == 1.5
        assert results["execution_time"] == 0.021
        assert [test["status"] for test in results["tests"]] == ["passed"] + ["failed"] * 9
        assert {test["output_format"] for test in results["tests"]} | {results["output_format"]} == {"text"}
        assert {test["visibility"] for test in results["tests"]} == {"visible"}
        assert all(test["output"] for test in results["tests"])

    def test_a_fault_of_the_grader_is_no_zero(self) -> None:
        """A notebook that was not graded has no score and no tests, and an output that says why."""
        results = json.loads(report_gradescope(report("not-graded")))
        assert not {"score", "tests"} & set(results)
        assert "not a zero" in results["output"]
        assert "a reason of its own" in results["output"]

    @pytest.mark.parametrize("outcome", ["unreadable", "not-submitted"])
    def test_a_zero_says_why(self, outcome: ReportOutcome) -> None:
        """What could not be read scores zero, with the reason beside it."""
        results = json.loads(report_gradescope(report(outcome)))
        assert results["score"] == 0
        assert "a reason of its own" in results["output"]


class TestClean:
    def test_a_megabyte_is_cut_once(self) -> None:
        """A huge message is cut, says by how much, and is not cut again."""
        text = clean("x" * 1_000_000)
        assert text == f"{'x' * LONGEST} [… {1_000_000 - LONGEST} more characters]"
        assert clean(text) == text

    def test_lines_stay_lines(self) -> None:
        """Line ends of every system become newlines, tabs become spaces."""
        assert clean("a\r\nb\rc\u2028d\te") == "a\nb\nc\nd    e"
