"""A class of attackers, graded by the real commands and looked at from outside: nobody is talked into a grade."""

import ctypes
import hashlib
import os
import pkgutil
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import pytest
from nbconvert.filters import markdown2html
from nbgrader.api import Gradebook

from handgrad.authoring.cases import Case, read_cases
from handgrad.course.commands import check_notebook
from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import NEEDS_REVIEW, Report
from handgrad.sandbox.fork_server import ForkServer
from helpers.html_page import Page
from helpers.inputs import named
from helpers.paths import ATTACKS, BIN, ENVIRONMENT, ROOT, mistake

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="isolation is Linux's")]

ATTACKERS = read_cases(ATTACKS)
HONEST = [mistake(name) for name in ("solution", "missing-branch-dcounts", "right-einsum")]
MARKUP = '"><img src=x onload=alert(1)>'
"""What a student may be called: a name for a folder that is markup too."""
CLASS = {case.name: case for case in (*ATTACKERS, *HONEST, replace(HONEST[0], name=MARKUP))}
GRADED = [case.name for case in CLASS.values() if case.report == "graded"]

CELL_SECONDS, SUBMISSION_SECONDS, MEMORY_MB = 3.0, 30.0, 512
SETTINGS = f"""
c.Handgrad.cell_seconds = {CELL_SECONDS}
c.Handgrad.submission_seconds = {SUBMISSION_SECONDS}
c.Handgrad.memory_mb = {MEMORY_MB}
"""
GRADER_MB = 1024
"""MiB that a process of the grader's takes before any submission runs, generously."""
OVERHEAD_SECONDS = 10.0
"""Seconds of bookkeeping for one submission, generously."""

WRITTEN = {"gradebook.db", "autograded", "feedback", ".handgrad", "report.html"}
"""What grading adds to a course's folder."""
OWNED = ("/tmp/owned", "/var/tmp/owned", "/dev/shm/owned", "/run/owned", "/tmp/bomb", "/bomb")
"""What the attacks would leave outside the course."""
_SET_CHILD_SUBREAPER = 36


# what the world looks like


def _files(*folders: Path) -> dict[str, tuple[object, ...]]:
    """Every file beneath ``folders``: size and time, and the hash of a small one; what Python compiles is left out."""
    found: dict[str, tuple[object, ...]] = {}
    for folder in folders:
        for parent, names, files in os.walk(folder):
            names[:] = [name for name in names if name != "__pycache__"]
            for name in files:
                path = Path(parent, name)
                status = path.lstat()
                small = status.st_size < 1 << 20 and ROOT not in path.parents and BIN.parent not in path.parents
                digest = hashlib.sha256(path.read_bytes()).hexdigest() if small and path.is_file() else ""
                found[str(path)] = (status.st_size, status.st_mtime_ns, status.st_mode, digest)
    return found


@contextmanager
def _adopting() -> Iterator[None]:
    """Let every process that outlives its parent become a child of this one, which can count them."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[str]:
    """Processes whose parent is this one."""
    return {
        pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text(encoding="ascii").split()
    }


def _outliving(processes: set[str], seconds: float = 5.0) -> set[str]:
    """Those of ``processes``, children of this one, that do not end by themselves, as helpers of the command do."""
    deadline = time.monotonic() + seconds
    while processes and time.monotonic() < deadline:
        processes = {pid for pid in processes if os.waitpid(int(pid), os.WNOHANG) == (0, 0)}
        time.sleep(0.05)
    return processes


class Ears:
    """Listeners, each at an address that is free here, in the place of those that the attacks name."""

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="handgrad-ears-")))
        folder.chmod(0o755)
        addresses = {
            "47114": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "47115": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "/tmp/handgrad-47116.socket": (socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket")),
            r"\0handgrad-47117": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{folder.name}-stream"),
            r"\0handgrad-47119": (socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{folder.name}-datagrams"),
        }
        self.sockets: dict[str, socket.socket] = {}
        # where an attack listens itself, any free port will do
        self.here = {"47118": "0"}
        for attacked, (family, kind, address) in addresses.items():
            ear = self.sockets[attacked] = stack.enter_context(socket.socket(family, kind))
            ear.setblocking(False)
            ear.bind(address)
            if kind == socket.SOCK_STREAM:
                ear.listen()
            inet = family == socket.AF_INET
            # as it is written in a cell
            self.here[attacked] = str(ear.getsockname()[1]) if inet else str(address).replace("\0", r"\0")
        (folder / "socket").chmod(0o777)

    def addressed(self, text: str) -> str:
        """The cells of an attack, or a notebook of them, with the addresses of these listeners."""
        named = "|".join(map(re.escape, self.here))
        # the same digits may stand in a number
        return re.sub(rf"(?<!\d)(?:{named})(?!\d)", lambda found: self.here[found[0]], text)

    def heard(self) -> set[str]:
        """The listeners that somebody has spoken to."""
        return {name for name, ear in self.sockets.items() if _spoken_to(ear)}


def _spoken_to(ear: socket.socket) -> bool:
    try:
        if ear.type == socket.SOCK_STREAM:
            ear.accept()[0].close()
        else:
            ear.recv(1)
    except BlockingIOError:
        return False
    return True


# the class, graded


@dataclass(frozen=True)
class Graded:
    """A course after its class was graded, and what was seen of the grading from outside."""

    way: str
    course: Path
    done: subprocess.CompletedProcess[str]
    changed: set[str]
    heard: set[str]
    left_behind: set[str]
    peak_mb: float
    seconds: float


def _course(folder: Path, ears: Ears) -> Path:
    """A course in which everybody has handed in, the attackers with the addresses of ``ears``."""
    course = folder / "course"
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind, course / kind)
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (course / "nbgrader_config.py").write_text(config + SETTINGS, encoding="utf-8")
    release, solution = (
        nbformat.read(course / kind / "backprop/backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )
    for case in CLASS.values():
        place = course / "submitted" / case.name / "backprop"
        place.mkdir(parents=True)
        content = case.content(release, solution).decode("latin-1")
        (place / "backprop.ipynb").write_bytes(ears.addressed(content).encode("latin-1"))
    return course


def _grade(folder: Path, way: str, ears: Ears) -> Graded:
    """Grade the class in one way and look at everything that it should have left alone."""
    course = _course(folder, ears)
    places = {name: folder / name for name in ("home", "temporary")}
    for place in places.values():
        place.mkdir()
    (places["home"] / ".bashrc").write_text("# mine\n", encoding="utf-8")
    environment = {
        **ENVIRONMENT,
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    watched = (*(course / kind for kind in ("source", "release", "solutions", "submitted")), *places.values())
    watched = (*watched, BIN.parent, ROOT / "src", ROOT / "source", ROOT / "release", ROOT / "solutions")
    # IPython and Jupyter, in the grader itself, make their folders on first use
    make = (sys.executable, "-c", "from handgrad.notebook.execution import the_shell; the_shell()")
    for command in (make, ("nbgrader", "generate_assignment", "backprop", "--force")):
        subprocess.run(command, cwd=course, env=environment, check=True, capture_output=True)
    before, children = _files(*watched), _children()
    started, peak = time.monotonic(), 0
    with _adopting():
        for command in WAYS[way]:
            with (folder / "output.txt").open("w+", encoding="utf-8") as output:
                process = subprocess.Popen(command, cwd=course, env=environment, stdout=output, stderr=output)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                peak = max(peak, usage.ru_maxrss)
        left_behind, heard = _outliving(_children() - children), ears.heard()
    seconds = time.monotonic() - started
    after = _files(*watched)
    text = (folder / "output.txt").read_text(encoding="utf-8")
    return Graded(
        way,
        course,
        subprocess.CompletedProcess(command, process.returncode, text),
        # the grader's own list of fonts, which matplotlib makes when it draws for the first time
        {
            path
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path) and "fontlist" not in path
        },
        heard,
        left_behind,
        peak / 1024,
        seconds,
    )


WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "handgrad grade": (("handgrad", "grade", "backprop"), ("handgrad", "report", "backprop")),
    "nbgrader autograde": (
        ("nbgrader", "autograde", "backprop"),
        ("nbgrader", "generate_feedback", "backprop"),
        ("handgrad", "report", "backprop"),
    ),
}


@pytest.fixture(scope="module", params=["handgrad grade", pytest.param("nbgrader autograde", marks=pytest.mark.proof)])
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """The class, graded once in each way."""
    with ExitStack() as stack:
        return _grade(tmp_path_factory.mktemp("hostile"), request.param, Ears(stack))


@pytest.fixture(scope="module")
def reports(graded: Graded) -> Mapping[str, Report]:
    """The stored reports, by student."""
    return {report.student: report for report in stored_reports(Course.at(graded.course), "backprop")}


def test_scores(graded: Graded, reports: Mapping[str, Report], exercise: Exercise) -> None:
    """An attacker gets what the file of the attack says, and an honest student what the student gets alone."""
    wrong = {name: found for name in GRADED if (found := _differences(CLASS[name], reports[name], exercise))}
    assert wrong == {}, graded.done.stdout[-2000:]


def _differences(case: Case, report: Report, exercise: Exercise) -> list[str]:
    """What of a report is not as the case says."""
    outcomes, diagnoses = case.expected(exercise), {verdict.gradient: verdict.diagnosis for verdict in report.checks}
    found = [
        f"{verdict.gradient} is {verdict.outcome}: {verdict.message}"
        for verdict in report.checks
        if verdict.outcome != outcomes.get(verdict.gradient)
    ]
    if missing := outcomes.keys() - diagnoses.keys():
        found.append(f"no verdict on {sorted(missing)}")
    if report.score != case.score:
        found.append(f"{report.score} points, not {case.score}")
    if report.isolation != "full":
        found.append(f"isolation is {report.isolation}")
    for gradient, slug in case.diagnoses.items():
        diagnosis = diagnoses.get(gradient)
        if diagnosis is None or diagnosis.mistake != slug:
            found.append(f"{gradient} is diagnosed {diagnosis}, not {slug}")
    return found


def test_what_is_attacked_exists() -> None:
    """Attacks on this package name modules, functions and limits that there are: others would prove nothing."""
    attacked = set()
    for case in ATTACKERS:
        source = "\n".join(case.cells.values())
        for module, name in re.findall(r"from (handgrad[\w.]*) import (\w+)", source):
            source = re.sub(rf"(?<![\w.]){name}\.", f"{module}.{name}.", source)
        attacked.update(re.findall(r"(?<![\w.\-\\])handgrad(?:\.[A-Za-z_]+)+", source))
    made_up = {"handgrad.sandbox.child_server.SavedNamespace.hoard"}
    assert len(attacked - made_up) >= 15
    for name in attacked - made_up:
        pkgutil.resolve_name(name)


def test_unreadable(graded: Graded, reports: Mapping[str, Report]) -> None:
    """A file that is not a notebook is reported as that by `handgrad grade`."""
    unreadable = {name for name, case in CLASS.items() if case.report == "unreadable"}
    assert unreadable | set(GRADED) == CLASS.keys()
    assert {name for name in unreadable if name in reports and reports[name].outcome != "unreadable"} == set()
    assert graded.way != "handgrad grade" or unreadable <= reports.keys()


def test_gradebook(graded: Graded, reports: Mapping[str, Report]) -> None:
    """The gradebook holds the scores of those who were graded; nobody else has one, and none was given by hand."""
    with Gradebook(f"sqlite:///{graded.course / 'gradebook.db'}") as gradebook:
        submissions = {submission.student.id: submission for submission in gradebook.assignment_submissions("backprop")}
        rest = {name: submissions.pop(name) for name in submissions.keys() - set(GRADED)}
        assert {name: submission.score for name, submission in submissions.items()} == {
            name: CLASS[name].score for name in GRADED
        }
        # nbgrader's own command leaves an empty row, as it does for any file that it cannot read
        assert not rest or graded.way == "nbgrader autograde"
        assert not any(
            grade.auto_score or grade.manual_score
            for submission in rest.values()
            for grade in submission.notebooks[0].grades
        )
        for name, submission in submissions.items():
            points = {verdict.id: verdict.points for verdict in reports[name].checks}
            looked_at = {verdict.id for verdict in reports[name].checks if verdict.outcome in NEEDS_REVIEW}
            grades = submission.notebooks[0].grades
            assert {grade.name: grade.auto_score for grade in grades} == points
            assert {grade.name for grade in grades if grade.needs_manual_grade} == looked_at
            assert all(grade.manual_score is None and not grade.extra_credit for grade in grades)


def test_no_file_is_touched(graded: Graded) -> None:
    """Nothing is changed or left in the course, the packages, the home, or the folder for temporary files."""
    assert graded.changed == set()
    kinds = {"source", "release", "solutions", "submitted", "nbgrader_config.py"}
    assert {path.name for path in graded.course.iterdir()} <= kinds | WRITTEN
    assert not [path for path in OWNED if Path(path).exists()]
    for kind, suffix in (("autograded", ".ipynb"), ("feedback", ".html")):
        handed_back = graded.course.glob(f"{kind}/*/backprop/*")
        pages = {path.parents[1].name for path in handed_back if path.name == f"backprop{suffix}"}
        assert pages == set(GRADED)


def _live(path: Path) -> list[str]:
    """What would run, load or send something in a page, or in what a notebook's cells show."""
    if path.suffix == ".html":
        return Page(path.read_text(encoding="utf-8")).live
    notebook = nbformat.read(path, as_version=4)
    texts = [markdown2html(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    kinds = set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            kinds |= output.get("data", {}).keys()
            texts += [text for kind, text in output.get("data", {}).items() if kind == "text/html"]
            texts += [markdown2html(text) for kind, text in output.get("data", {}).items() if kind == "text/markdown"]
    assert kinds <= {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg"}
    return [found for text in texts for found in Page(text).live]


def test_pages_are_inert(graded: Graded) -> None:
    """In an attacker's pages nothing runs that does not run in an honest student's, which is nbgrader's own."""
    for page in ("autograded/{}/backprop/backprop.ipynb", "feedback/{}/backprop/backprop.html"):
        honest = _live(graded.course / page.format("solution"))
        for name in GRADED:
            with named(name, page):
                assert _live(graded.course / page.format(name)) == honest


def test_class_page_is_inert(graded: Graded) -> None:
    """Nothing runs in the class's page, whatever students are called and whatever their errors say."""
    live = _live(graded.course / "report.html")
    assert set(live) <= {"style", "meta", "body", "script", "svg"}
    # its own, which the page's policy names by its hash
    assert live.count("script") == 1


def test_no_process_is_left(graded: Graded) -> None:
    """When the command has ended, so has every process that it or a submission started."""
    assert graded.left_behind == set()


def test_nobody_is_spoken_to(graded: Graded) -> None:
    """No listener on this machine hears anything."""
    assert graded.heard == set()


def test_time_and_memory(graded: Graded) -> None:
    """No process takes more memory, and the class no more time, than the limits allow."""
    assert graded.peak_mb < GRADER_MB + MEMORY_MB
    assert graded.seconds < len(CLASS) * (SUBMISSION_SECONDS + OVERHEAD_SECONDS)


@pytest.mark.parametrize("name", ["tcp", "udp", "unix-sockets"])
def test_the_listeners_hear(name: str) -> None:
    """Outside the sandbox the same cells are heard: silence means something."""
    script = (
        "import sys, torch\ndlogprobs = probs = dlogits = W2 = torch.ones(1, 1)\nn_embd = 1\n"
        "for cell in sys.argv[1:]:\n    exec(cell)"
    )
    cells = [CLASS[name].cells[cell] for cell in ("dprobs", "dh") if not (name == "udp" and cell == "dh")]
    with ExitStack() as stack:
        ears = Ears(stack)
        subprocess.run([sys.executable, "-c", script, *map(ears.addressed, cells)], check=True)
        assert ears.heard()


def test_checked(exercise: Exercise, tmp_path: Path) -> None:
    """`handgrad check` with a course's settings gives an attacker what grading gives; one in three is tried."""
    (tmp_path / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text("utf-8") + SETTINGS, "utf-8")
    release, solution = (read_notebook(ROOT / kind / "backprop/backprop.ipynb") for kind in ("release", "solutions"))
    course, wrong = Course.at(tmp_path), {}
    path = tmp_path / "backprop.ipynb"
    # each check has a process of its own, forked from one that has imported torch
    with ForkServer() as server:
        for name in GRADED[::3]:
            path.write_bytes(CLASS[name].content(release, solution))
            report = check_notebook.check(path, exercise, course, process=server.client.warm())
            if found := _differences(CLASS[name], report, exercise):
                wrong[name] = found
    assert wrong == {}


def test_as_an_unprivileged_user(test_as_nobody: Callable[..., None]) -> None:
    """What this file says of `handgrad grade` holds for a user without privileges too."""
    test_as_nobody(Path(__file__), "-m", "not proof", "-k", "not test_checked")
