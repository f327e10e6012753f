"""The pages of a graded course: the class's, and the one that each student gets back."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from handgrad.cli import app
from handgrad.course.commands.class_list import class_list
from handgrad.course.commands.class_page import write_class_page
from handgrad.course.commands.grade_class import stored_reports, write_feedback
from handgrad.course.course import Course
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.roster import people
from handgrad.course.workers import worker
from handgrad.course.workers.task import Task
from handgrad.errors import CourseError
from handgrad.exercise.exercise import Exercise, kind_of
from handgrad.report.class_terminal import class_table
from handgrad.report.records import ScoreEntry
from helpers.browsing import chromium, needs_chromium
from helpers.courses import TWO_POINTS, UNTOUCHED, WORKER, grade, make_course
from helpers.html_page import Page
from helpers.paths import ENVIRONMENT, mistake

RIGHT, BRANCH = (mistake(name) for name in ("solution", "missing-branch-dcounts"))
NAMED = "the <b> & 100% #1"
"""A student with a name that needs care in a page and in an address."""
VIEWER = """text => {
    const page = new DOMParser().parseFromString(text, 'text/html')
    let base = page.querySelector('base')
    if (!base) {
        base = page.createElement('base')
        page.head.insertBefore(base, page.head.firstChild)
    }
    base.href = 'https://hub.invalid/files/backprop.html'
    const frame = document.createElement('iframe')
    frame.sandbox = 'allow-scripts allow-same-origin'
    frame.src = URL.createObjectURL(new Blob([page.documentElement.outerHTML], {type: 'text/html'}))
    document.body.appendChild(frame)
}"""
"""What JupyterLab's viewer of HTML files does with a page."""
REMARK = "Nice *try*, <b>Bob</b>."


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A class with some manual grading: one was late, one has a score and a remark by hand."""
    course = make_course(
        tmp_path_factory.mktemp("pages"), ann=RIGHT, bob=BRANCH, cid=UNTOUCHED, dan=BRANCH, **{NAMED: BRANCH}
    )
    with (course.root / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(TWO_POINTS)
    course = Course.at(course.root)
    broken = course.root / "submitted/eve/backprop/backprop.ipynb"
    broken.parent.mkdir(parents=True)
    broken.write_text("{", encoding="utf-8")
    _write(
        course,
        "dan",
        "dcounts",
        "# Daniel Düsentrieb\ndan_s_counts = counts_sum_inv * dprobs\ndcounts = dan_s_counts\n",
    )
    grade(course, feedback=True)
    with opened(course) as gradebook:
        gradebook.update_or_create_assignment(
            "backprop", duedate=datetime(2026, 1, 20, tzinfo=UTC).replace(tzinfo=None)
        )
        late = gradebook.find_submission("backprop", "ann")
        late.timestamp = datetime(2026, 1, 21, tzinfo=UTC).replace(tzinfo=None)
        by_hand = gradebook.find_grade("check_dcounts", "backprop", "backprop", "bob")
        by_hand.manual_score, by_hand.needs_manual_grade = 0.75, False
        gradebook.find_comment("dcounts", "backprop", "backprop", "bob").manual_comment = REMARK
        gradebook.update_or_create_student("dan", first_name="Daniel", last_name="Düsentrieb")
        gradebook.update_or_create_student("zoe", first_name="Emmy", last_name="Noether")
        gradebook.db.commit()
    return course


def opened(course: Course) -> Gradebook:
    """The course's gradebook."""
    return Gradebook(f"sqlite:///{course.root / 'gradebook.db'}", "handgrad")


def _write(course: Course, student: str, stub: str, source: str) -> None:
    """Put an answer into a notebook that was handed in."""
    path = course.root / "submitted" / student / "backprop/backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == stub).source = source
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def page(course: Course) -> str:
    """The class's page."""
    path = write_class_page(course, "backprop", stored_reports(course, "backprop"))
    assert path == course.root / "report.html"
    return path.read_text(encoding="utf-8")


def read_feedback(course: Course, student: str) -> str:
    """A student's feedback page."""
    return (course.root / "feedback" / student / "backprop/backprop.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rewritten(course: Course) -> Course:
    """The course with its feedback pages written again, after manual grading."""
    written, left = write_feedback(course, "backprop", executor=WORKER, workers=1)
    assert (written, left) == (sorted(["ann", "bob", "cid", "dan", NAMED]), ["eve"])
    return course


class TestScores:
    def test_they_are_what_nbgrader_says(self, course: Course) -> None:
        """Every student's score is nbgrader's own, and it is told which cells were scored by hand."""
        found = scores.entries(course, "backprop")
        with opened(course) as gradebook:
            theirs = {
                submission.student_id: submission.score for submission in gradebook.assignment_submissions("backprop")
            }
        assert {student: entry.score for student, entry in found.items()} == theirs
        assert found["ann"] == ScoreEntry(26.0, 26.0, 2.0)
        assert found["ann"].final == 24.0
        assert found["bob"] == ScoreEntry(25.75, 26.0, by_hand=("check_dcounts",))
        assert "eve" not in found

    def test_looking_makes_no_gradebook(self, tmp_path: Path) -> None:
        """A course that was never graded has no scores, and no gradebook after it was asked."""
        course = make_course(tmp_path)
        assert scores.entries(course, "backprop") == {}
        assert people(course).roster == {}
        assert not (tmp_path / "gradebook.db").exists()

    def test_what_is_no_gradebook(self, tmp_path: Path) -> None:
        """A file that is no database is an error in a sentence."""
        course = make_course(tmp_path)
        (tmp_path / "gradebook.db").write_text("no database, whatever it is called", encoding="utf-8")
        with pytest.raises(CourseError, match="nbgrader's gradebook cannot be used"):
            scores.entries(course, "backprop")


class TestClassPage:
    def test_it_has_the_gradebooks_scores(self, page: str) -> None:
        """A score by hand and a late penalty are shown, and said."""
        text = Page(page).said
        assert re.search(r"ann\s+graded\s+24\s.*?late: 2 points off; handgrad gave 26", text, re.DOTALL)
        assert re.search(r"bob\s+graded\s+25.75\s.*?by hand: dcounts; handgrad gave 25", text, re.DOTALL)
        assert "2 differ from handgrad's" in " ".join(text.split())

    def test_it_has_the_names_of_the_roster(self, page: str) -> None:
        """A name stands beside the id, and who has not handed in has a line."""
        assert '<th scope="row">Daniel Düsentrieb <small>dan</small></th>' in page
        assert '<th scope="row">ann</th>' in page
        assert re.search(r'data-is="all none absent"><th scope="row">Emmy Noether <small>zoe</small></th>', page)
        assert "<dt>not handed in</dt><dd>1</dd>" in page

    def test_links_lead_to_the_files(self, course: Course, page: str) -> None:
        """Every graded student has a link to the rendered notebook and to the feedback page, whatever the name."""
        links = [(unquote(link), place) for link, place in re.findall(r'href="([^"#]+)(#?\w*)"', page)]
        assert len(links) == 10
        assert all((course.root / link).is_file() for link, _ in links)
        assert {(f"feedback/{NAMED}/backprop/backprop.html", place) for place in ("", "#notebook")} <= {*links}
        assert '<section id="notebook">' in read_feedback(course, "ann")

    def test_links_from_elsewhere(self, course: Course, tmp_path: Path) -> None:
        """The links of a page in another folder lead to the same files."""
        path = write_class_page(course, "backprop", stored_reports(course, "backprop"), tmp_path / "elsewhere.html")
        text = path.read_text(encoding="utf-8")
        links = [unquote(link) for link in re.findall(r'href="([^"#]+)#?\w*"', text)]
        assert len(links) == 10
        assert all((tmp_path / link).is_file() for link in links)

    def test_the_graph_is_the_exercises(self, page: str, exercise: Exercise) -> None:
        """There is a box for each tensor, a link to its row, and the colour of the share that is right."""
        rates = {name: rate for rate, name in re.findall(r'<a [^>]*class="box rate-(\d)"[^>]*><b>(\w+)</b>', page)}
        assert rates.keys() == set(exercise.tensors.values())
        # of five graded one is right, and four are wherever nothing was changed
        assert rates["counts"] == "4"
        assert set(rates.values()) == {"1", "4"}
        assert set(re.findall(r'<a href="#(\w+)" class="box ', page)) == set(exercise.stubs)

    def test_examples_are_anonymous(self, page: str) -> None:
        """The cells that show a mistake are those that most students wrote, and none says whose it is."""
        mistakes = page.partition("Most frequent mistakes")[2].partition("<h2>Students")[0]
        assert "lacks the contribution through counts_sum" in mistakes
        assert re.findall(r"<pre>(.*?)</pre>", mistakes) == ["dcounts = counts_sum_inv * dprobs"]
        assert "in 2 of the notebooks examined" in mistakes
        assert not re.search("dan|düsentrieb|counts = dprobs", mistakes, re.IGNORECASE)

    def test_without_a_graph(self, course: Course, tmp_path: Path) -> None:
        """Where the instructor's notebook does not run any more, the page stands without its graph."""
        shutil.copytree(course.root, tmp_path, dirs_exist_ok=True)
        path = tmp_path / "source/backprop/backprop.ipynb"
        notebook = nbformat.read(path, as_version=4)
        next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())).source += "\n1 / 0"
        nbformat.write(notebook, path)
        moved = Course.at(tmp_path)
        page = write_class_page(moved, "backprop", stored_reports(moved, "backprop")).read_text(encoding="utf-8")
        assert "Where the class got lost" not in page
        assert "Most frequent mistakes" in page


def handgrad(course: Course, *arguments: str) -> str:
    """What a command of ours says in a course; it must end well."""
    done = CliRunner().invoke(app, [*arguments, "--course", str(course.root)])
    assert done.exit_code == 0, done.output
    return done.output


class TestCommands:
    def test_report(self, course: Course) -> None:
        """`handgrad report` shows the gradebook's scores, and says where the page is."""
        told = handgrad(course, "report", "backprop")
        assert re.search(r"^ann +graded +24 .* late: 2 points off; ", told, re.MULTILINE)
        assert re.search(r"^dan +Daniel Düsentr\S* +graded +25 ", told, re.MULTILINE)
        assert "Not handed in (1): Emmy Noether (zoe).\n" in told
        # with the name there is room for the whole notes in a wide terminal only
        names, reports = class_list(course, "backprop").names, stored_reports(course, "backprop")
        wide = class_table(reports, scores.entries(course, "backprop"), names=names, width=140)
        assert re.search(
            r"^ann +graded +24 .* late: 2 points off; handgrad gave 26; \u2713 all passed$", wide, re.MULTILINE
        )
        assert re.search(
            r"^bob +graded +25\.75 .* by hand: dcounts; handgrad gave 25; 1 failed: dcounts$", wide, re.MULTILINE
        )
        assert re.search(r"^eve +! unreadable +- ", told, re.MULTILINE)
        assert f"The report is in {course.root / 'report.html'}" in told.replace("\n", "")

    def test_feedback(self, rewritten: Course, tmp_path: Path) -> None:
        """`handgrad feedback` writes the pages of those who are named, and names those who have none."""
        shutil.copytree(rewritten.root, tmp_path, dirs_exist_ok=True)
        course = Course.at(tmp_path)
        command = ("feedback", "backprop", "--student", "[be]*", "--with-solutions", "--workers", "1")
        told = handgrad(course, *command)
        assert told.startswith("1 feedback page, with solutions: ")
        assert "No page, because nothing of theirs is graded: eve." in told
        assert 'class="solution"' in read_feedback(course, "bob")
        assert read_feedback(course, "ann") == read_feedback(rewritten, "ann")

    def test_a_page_that_fails(self, rewritten: Course, monkeypatch: pytest.MonkeyPatch) -> None:
        """A page that cannot be rendered is named, and all others are written."""
        rendered = worker.feedback

        def fail(task: Task, student: str, *rest: Any) -> str:
            if student == "bob":
                raise RecursionError("too deep")
            return rendered(task, student, *rest)

        monkeypatch.setattr(worker, "feedback", fail)
        path = rewritten.root / "feedback/dan/backprop/backprop.html"
        path.unlink()
        with pytest.raises(
            CourseError, match=r"1 of 5 feedback pages cannot be written: bob \(RecursionError: too deep\)"
        ):
            write_feedback(rewritten, "backprop", executor=WORKER, workers=1)
        assert path.is_file()


class TestFeedback:
    def test_it_is_one_file_and_nothing_runs(self, rewritten: Course) -> None:
        """A page fetches nothing and runs nothing, and its policy would not let it."""
        for student in ("ann", "bob", "cid", NAMED):
            # ours has no address
            page = read_feedback(rewritten, student).replace('<base target="_self">', "", 1)
            assert not re.search(r"<(script|iframe|object|embed|form|base|link)\b|\son\w+=|\bsrc=\"(?!data:)", page)
            assert not re.search(r"url\((?!#)|@import", page)
            assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
            assert "@media print" in page
            assert "prefers-color-scheme:dark" in page

    def test_it_has_the_gradebooks_score(self, rewritten: Course) -> None:
        """A late penalty, a score by hand and an instructor's remark are told; ours stands in the card alone."""
        late, by_hand = read_feedback(rewritten, "ann"), read_feedback(rewritten, "bob")
        assert "<b>24</b> of 26 points" in late
        assert "2 points off for handing in late." in late
        assert "Daniel Düsentrieb (dan)" in read_feedback(rewritten, "dan")
        assert "<b>25.75</b> of 26 points" in by_hand
        text = " ".join(Page(by_hand).said.split())
        assert "dcounts · 0.75 of 1 point · scored by your instructor" in text
        assert text.count("scored by your instructor") == 1
        assert "Your instructor: Nice try, <b>Bob</b>." in text
        assert text.count("Your instructor:") == 1

    def test_it_has_the_graph_and_the_cards(self, rewritten: Course, exercise: Exercise) -> None:
        """Each tensor's box has the state of its gradient and leads to its cell; a mistake has its sentences."""
        page = read_feedback(rewritten, "bob")
        kinds = {name: kind for kind, name in re.findall(r'<a [^>]*class="box (\w+)"[^>]*><b>(\w+)</b>', page)}
        assert kinds == {name: "wrong" if name == "counts" else "right" for name in exercise.tensors.values()}
        for gradient in exercise.stubs:
            assert f'<a href="#{gradient}" class="box ' in page
            assert page.count(f'id="{gradient}"') == 1
        assert "dcounts lacks the contribution through counts_sum." in page
        assert "Try: counts has 2 consumers" in page
        empty = read_feedback(rewritten, "cid")
        assert "<b>0</b> of 26 points" in empty
        assert "Not written yet:" in empty
        assert "No response." not in empty

    def test_it_is_small_and_names_everything(self, rewritten: Course, exercise: Exercise) -> None:
        """A page of right answers has less than 25,000 bytes. Any has each gradient, verdict and own cell."""
        for student, others in (("ann", {}), ("dan", {"dcounts": "failed"})):
            page = read_feedback(rewritten, student)
            text = Page(page.partition('<section id="notebook">')[2]).said
            told = re.findall(r"^\S (\w+) (\w+) \u00b7 [\d.]+ of 1 point", text, re.MULTILINE)
            assert told == [(others.get(name, "passed"), name) for name in exercise.stubs]
            path = rewritten.root / "submitted" / student / "backprop/backprop.ipynb"
            cells = [cell for cell in nbformat.read(path, as_version=4).cells if kind_of(cell) in ("stub", "free")]
            assert len(cells) >= len(exercise.stubs)
            assert all(cell.source.strip() in text for cell in cells)
            assert re.findall("<h3>(.*)</h3>", page) == list(dict.fromkeys(exercise.parts.values()))
        assert len(read_feedback(rewritten, "ann").encode()) < 25_000

    def test_solutions_are_for_whom_the_instructor_says(
        self, rewritten: Course, tmp_path: Path, solutions: dict[str, str]
    ) -> None:
        """No page shows a solution unasked; asked, it shows that of what is not right, and of nothing else."""
        shown = 'class="solution"'
        assert all(shown not in read_feedback(rewritten, student) for student in ("ann", "bob", "cid"))
        shutil.copytree(rewritten.root, tmp_path, dirs_exist_ok=True)
        course = Course.at(tmp_path)
        assert write_feedback(course, "backprop", ["bob", "c*"], solutions=True, executor=WORKER, workers=1) == (
            ["bob", "cid"],
            [],
        )
        assert shown not in read_feedback(course, "ann")
        assert read_feedback(course, "cid").count(shown) == 26
        page = read_feedback(course, "bob")
        assert page.count(shown) == 1
        assert (
            solutions["dcounts"].split("#")[0].strip() in Page(page.partition(shown)[2].partition("</details>")[0]).said
        )
        assert "BEGIN SOLUTION" not in page
        # the next grading takes the solution back
        grade(course, "bob", force=True, feedback=True)
        assert shown not in read_feedback(course, "bob")

    def test_another_exporter_has_no_solutions(self, course: Course, tmp_path: Path) -> None:
        """Where the configuration names another exporter, asking for solutions says what to do."""
        shutil.copytree(course.root, tmp_path, dirs_exist_ok=True)
        config = (tmp_path / "nbgrader_config.py").read_text(encoding="utf-8")
        (tmp_path / "nbgrader_config.py").write_text(
            re.sub(r"^c\.GenerateFeedback.*$", "", config, flags=re.MULTILINE), encoding="utf-8"
        )
        with pytest.raises(CourseError, match="FeedbackExporter"):
            write_feedback(Course.at(tmp_path), "backprop", solutions=True, executor=WORKER, workers=1)

    @pytest.mark.slow
    def test_no_base_of_a_viewer_holds(self, rewritten: Course) -> None:
        """The policy that refuses another base address comes before the only base element, which a viewer changes."""
        page = read_feedback(rewritten, "bob")
        assert page.count("<base") == 1
        assert 0 < page.index("base-uri 'none'") < page.index("<base")

    @pytest.mark.slow
    @needs_chromium
    def test_links_stay_inside_a_viewer(self, rewritten: Course) -> None:
        """In a frame with another base address, as JupyterLab shows it, a click on the map goes to the cell."""
        with chromium() as browser:
            page = browser.new_page()
            page.goto("about:blank")
            page.evaluate(VIEWER, read_feedback(rewritten, "bob"))
            frame = page.wait_for_selector("iframe").content_frame()
            assert frame
            frame.wait_for_selector("li a[href='#dcounts']").click()
            frame.wait_for_function("location.hash == '#dcounts' && scrollY > 0")
            assert frame.url.startswith("blob:")

    def test_nbgraders_command_writes_the_same(self, rewritten: Course, tmp_path: Path) -> None:
        """`nbgrader generate_feedback` makes the page that ours makes, letter by letter."""
        shutil.copytree(rewritten.root, tmp_path, dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "feedback")
        command = ["nbgrader", "generate_feedback", "backprop", "--student", "[bd]*"]
        subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True)
        for student in ("bob", "dan"):
            assert read_feedback(Course.at(tmp_path), student) == read_feedback(rewritten, student)
