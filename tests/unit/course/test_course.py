"""A course's folder, its configuration and its hidden seeds."""

import grp
import json
import os
import pickle
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from traitlets.config import Config

from handgrad.course import hand_ins
from handgrad.course.course import CONFIG, Course, Handgrad
from handgrad.course.file_access import Visitors, visitors
from handgrad.course.files import make_private_file, write_text
from handgrad.errors import CourseError, ExerciseError
from handgrad.grading.marking import Policy
from handgrad.grading.settings import GradingSettings
from handgrad.sandbox.isolation.limits import Limits
from helpers.inputs import named


@pytest.fixture
def course(tmp_path: Path, source: Path) -> Course:
    """A course with two assignments and an empty configuration."""
    root = tmp_path / "course"
    for name in ("backprop", "chain_rule"):
        folder = root / "source" / name
        folder.mkdir(parents=True)
        shutil.copy(source, folder / f"{name}.ipynb")
    (root / CONFIG).write_text("c = get_config()\n", encoding="utf-8")
    return Course.at(root)


def _configured(course: Course, *lines: str) -> Course:
    (course.root / CONFIG).write_text("\n".join(["c = get_config()", *lines]), encoding="utf-8")
    return Course.at(course.root)


def test_found_from_below(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A course is found from any folder in it, a relative path included, and the nearest one counts."""
    deep = course.root / "source" / "backprop" / "data"
    deep.mkdir(parents=True)
    assert Course.at(deep).root == course.root
    monkeypatch.chdir(deep)
    assert Course.at(Path()).root == course.root
    (course.root / "source" / CONFIG).write_text("", encoding="utf-8")
    assert Course.at(deep).root == course.root / "source"


def _planted(folder: Path) -> Path:
    """A folder with a configuration that must not be run, and in which it would be found."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(f"open({str(folder / 'proof')!r}, 'w').close()\nc = get_config()\n", encoding="utf-8")
    return folder


def test_not_in_what_was_handed_in(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration at, above or below a student's file is not run: the command refuses, and says where to go."""
    _configured(course, 'c.CourseDirectory.submitted_directory = "handed_in"')
    (course.root / "way").symlink_to(course.root / "downloaded")
    places = ("submitted/eve/backprop", "SUBMITTED/eve", "autograded/eve", "feedback", "downloaded/a/extracted/eve")
    for place in (*places, "handed_in/eve/backprop", "way/x", "submitted/eve/submitted/x"):
        with named(place):
            folder = _planted(course.root / place)
            (folder / "below").mkdir()
            for start in (folder, folder / "below"):
                for is_named in (False, True):
                    with pytest.raises(CourseError, match=r"no configuration is read there\. Change to the course's"):
                        Course.at(start, is_named=is_named)
                monkeypatch.chdir(start)
                with pytest.raises(CourseError, match="no configuration is read there"):
                    Course.at(Path())
            assert not (folder / "proof").exists()
    outside = _planted(tmp_path / "elsewhere")
    (course.root / "submitted/link").symlink_to(outside)
    monkeypatch.chdir(course.root / "submitted/link")
    monkeypatch.setenv("PWD", str(course.root / "submitted/link"))
    for start in (Path(), course.root / "submitted/link"):
        with pytest.raises(CourseError, match="no configuration is read there"):
            Course.at(start)
    assert not (outside / "proof").exists()
    assert Course.at(course.root).root == course.root


def test_a_course_in_a_folder_of_that_name(tmp_path: Path) -> None:
    """A course that lies below a folder called `submitted`, in no course, is one if it is named itself."""
    root = tmp_path / "submitted/eve/course"
    root.mkdir(parents=True)
    (root / CONFIG).write_text("c = get_config()\n", encoding="utf-8")
    with pytest.raises(CourseError, match="--course"):
        Course.at(root)
    assert Course.at(root, is_named=True).root == root
    (root / "x").mkdir()
    with pytest.raises(CourseError, match="--course"):
        Course.at(root / "x", is_named=True)


def test_a_strangers_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that everybody may write to, such as /tmp, a configuration of somebody else's is not run."""
    folder = _planted(tmp_path / "tmp")
    (folder / "below").mkdir()
    if os.geteuid() == 0:
        os.chown(folder / CONFIG, 50_001, 50_001)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 50_001)
    folder.chmod(0o1777)
    with pytest.raises(CourseError, match="it belongs to somebody else"):
        Course.at(folder / "below")
    assert not (folder / "proof").exists()
    folder.chmod(0o755)
    assert Course.at(folder / "below").root == folder
    assert (folder / "proof").exists()


def test_broken_configurations_around(course: Course) -> None:
    """A configuration that is looked at for its folders need not be Python."""
    for text in ("c = = 1", "\0", "(" * 100_000, "c.X.submitted_directory = 5"):
        (course.root / CONFIG).write_text(text, encoding="utf-8")
        assert hand_ins.around(course.root / "source", CONFIG) is None


def test_private_files(course: Course) -> None:
    """Seeds and stored reports are the instructor's only, or the instructors' group's; an older folder is closed."""
    course.seeds()
    folder = course.root / ".handgrad"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "seeds.json")] == [0o700, 0o600]
    folder.chmod(0o755)
    assert stat.S_IMODE(course.private_folder.stat().st_mode) == 0o700
    shutil.rmtree(folder)
    _configured(course, "c.CourseDirectory.groupshared = True").seeds()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "seeds.json")] == [0o2770, 0o660]


def test_make_private_file(tmp_path: Path) -> None:
    """A file is private from its first moment on, an older one is closed to others, and a link is not followed."""
    path = tmp_path / "file"
    make_private_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("kept", encoding="utf-8")
    path.chmod(0o664)
    make_private_file(path)
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")) == (0o660, "kept")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    make_private_file(tmp_path / "link")
    assert not (tmp_path / "other").exists()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter: not one of pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def test_visitors(open_folder: Path) -> None:
    """Who can enter a course is said with the command that closes it, which then does."""
    root = open_folder / "my course"
    root.mkdir()
    course = Course(root)
    for mode, shared, command in ((0o755, False, "go-rwx"), (0o705, False, "go-rwx"), (0o2775, True, "o-rwx")):
        course = Course(root, Config({"CourseDirectory": {"groupshared": shared}}))
        root.chmod(mode)
        found = visitors(course)
        assert found is not None
        assert found == Visitors("everybody on this machine", f"to close it, run: chmod {command} '{root}'")
        subprocess.run(found.remedy.partition(": ")[2], shell=True, check=True)
        assert visitors(course) is None
    open_folder.chmod(0o700)
    root.chmod(0o777)
    assert visitors(course) is None


def test_visitors_of_a_group(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group is named if it is not just its owner's; where it is meant to have the course, it is not."""
    (open_folder / "course").mkdir()
    (open_folder / "course").chmod(0o750)
    group = grp.struct_group(("staff", "x", 5, ["ada", "eve"]))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group)
    found = visitors(Course(open_folder / "course"))
    assert found is not None
    assert found.who == "the group staff"
    assert visitors(Course(open_folder / "course", Config({"CourseDirectory": {"groupshared": True}}))) is None
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((pwd.getpwuid(os.geteuid()).pw_name, "x", 5, [])))
    assert visitors(Course(open_folder / "course")) is None


def test_no_course(tmp_path: Path) -> None:
    """A folder outside every course is told so, with the way out."""
    with pytest.raises(CourseError, match=r"is not in a course.*--course") as caught:
        Course.at(tmp_path)
    assert CONFIG in str(caught.value)


def test_broken_configuration(course: Course) -> None:
    """A configuration that raises is one error with its path and what it raised."""
    for text in ["c = = 1", "1 / 0", "import no_such_module", "c.Handgrad.seeds = undefined"]:
        with named(text):
            with pytest.raises(CourseError, match="cannot be read: ") as caught:
                _configured(course, text)
            assert str(course.root / CONFIG) in str(caught.value)


def test_defaults(course: Course) -> None:
    """Without configuration policy and limits are those of the grader."""
    assert course.settings == GradingSettings()


def test_configuration(course: Course) -> None:
    """What the configuration sets is what holds, each setting for itself."""
    changed = {
        "seeds": [3, 4],
        "sizes": [{"batch_size": 16}],
        "partial_shape": 0.25,
        "partial_invisible": 0.75,
        "partial_later": 0.125,
        "tolerance": 1e-3,
        "cell_seconds": 3.0,
        "submission_seconds": 20.0,
        "memory_mb": 256,
        "isolation": "none",
        "trust_submissions": True,
        "plain_modules": ["operator"],
        "wait_seconds": 5.0,
        "assistant_instructions": True,
    }
    assert set(changed) == set(Handgrad.class_own_traits(config=True))
    configured = _configured(course, *(f"c.Handgrad.{name} = {value!r}" for name, value in changed.items()))
    for name, value in changed.items():
        assert getattr(Handgrad(), name) != value
    assert configured.seeds() == [3, 4]
    policy, limits = Policy(0.25, 0.75, 1e-3, 0.125), Limits(3.0, 20.0, 256)
    expected = GradingSettings(
        policy, limits, ({"batch_size": 16},), isolation="none", trust=True, plain_modules=("operator",)
    )
    assert configured.settings == expected
    assert pickle.loads(pickle.dumps(configured.settings)) == expected


def test_a_module_that_is_not_there(course: Course) -> None:
    """A module that cannot be imported is named before anybody is graded."""
    with pytest.raises(CourseError, match=r"plain_modules names 'operater', which cannot be imported"):
        _ = _configured(course, "c.Handgrad.plain_modules = ['operater']").settings


def test_trusting(course: Course) -> None:
    """Trust that is asked for on the command line changes nothing else, and not the course it was asked of."""
    configured = _configured(course, "c.Handgrad.tolerance = 1e-3")
    trusting = configured.with_trust()
    assert trusting.settings.trust
    assert not configured.settings.trust
    assert trusting.settings.policy == configured.settings.policy == Policy(tolerance=1e-3)
    assert trusting.root == configured.root


def test_wrong_setting(course: Course) -> None:
    """A setting of the wrong kind is one error that names it."""
    for line in ["tolerance = 'small'", "seeds = [1.5]", "sizes = [16]", "memory_mb = None"]:
        with named(line), pytest.raises(CourseError, match=line.partition(" ")[0]):
            _ = _configured(course, f"c.Handgrad.{line}").settings


def test_misspelt_setting(course: Course) -> None:
    """A setting that is misspelt is one error, which suggests what was meant or lists what there is."""
    with pytest.raises(CourseError, match=r"no setting c\.Handgrad\.tolerence\. Did you mean tolerance\?"):
        _ = _configured(course, "c.Handgrad.tolerence = 1").settings
    with pytest.raises(CourseError, match="cell_seconds, isolation, "):
        _ = _configured(course, "c.Handgrad.x = 1").settings


def test_every_setting_is_explained() -> None:
    """Each setting has a sentence of help."""
    for name, trait in Handgrad.class_own_traits(config=True).items():
        assert str(trait.help).endswith("."), name


NO_NAMES = (
    "",
    ".",
    "..",
    "../x",
    "../../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "*",
    "a?",
    "[ab]",
    "a ",
    "a\nb",
    "a\x1b[2J",
    "a\u202eb",
)


def test_names_that_are_nobodys(course: Course) -> None:
    """A path, a pattern or what cannot be seen is no student's name; the sentence says which characters are not."""
    for name in NO_NAMES:
        with named(name):
            assert "rename the folder" in course.fault_of_name(name)


def test_names_that_may_be_somebodys(course: Course) -> None:
    """Unusual names are names."""
    for name in ["s01", "Zoë Müller", "a.b+c@d-e", "<b>x", '"><script>']:
        with named(name):
            assert course.fault_of_name(name) == ""


def test_folders(course: Course) -> None:
    """Folders are nbgrader's, also where the course calls them otherwise."""
    assert course.folder("source") == course.root / "source"
    other = _configured(course, "c.CourseDirectory.submitted_directory = 'inbox'")
    assert other.folder("submitted") == course.root / "inbox"
    assert other.folder("feedback") == course.root / "feedback"


def test_assignments(course: Course) -> None:
    """Assignments are the folders with a notebook of their own name, sorted."""
    (course.root / "source" / "notes").mkdir()
    (course.root / "source" / "notes" / "other.ipynb").write_text("{}", encoding="utf-8")
    assert course.assignments() == ["backprop", "chain_rule"]
    assert course.exercise("chain_rule").name == "chain_rule"
    assert course.exercise_path("notes", "other").is_file()


@pytest.mark.parametrize(
    ("name", "message"),
    [("backprob", "Did you mean backprop?"), ("chain-rule", "Did you mean chain_rule?"), ("zzz", "'zzz' in")],
)
def test_unknown_assignment(name: str, message: str, course: Course) -> None:
    """An assignment that is not there is told with the likeliest one and all that are."""
    with pytest.raises(CourseError) as caught:
        course.exercise(name)
    assert message in str(caught.value)
    assert "The course has: backprop, chain_rule." in str(caught.value)
    assert ("Did you mean" in str(caught.value)) == (name != "zzz")


def test_no_assignments(course: Course) -> None:
    """A course without assignments says so."""
    shutil.rmtree(course.root / "source")
    assert course.assignments() == []
    with pytest.raises(CourseError, match="The course has: none"):
        course.exercise("backprop")


def test_no_exercise(course: Course, make_notebook: Callable[..., NotebookNode]) -> None:
    """An assignment whose notebook is none of ours is an error of the exercise."""
    nbformat.write(make_notebook(), course.exercise_path("backprop"))
    with pytest.raises(ExerciseError, match="is not an exercise"):
        course.exercise("backprop")


def test_seeds_are_drawn_once(course: Course) -> None:
    """Seeds are drawn on first use, into the workshop, and are the same from then on; another course has others."""
    drawn = course.seeds()
    assert drawn
    assert all(type(seed) is int for seed in drawn)
    assert course.seeds() == Course.at(course.root).seeds() == drawn
    path = course.private_folder / "seeds.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data == {"schema": 1, "seeds": drawn}
    assert [entry.name for entry in course.private_folder.iterdir()] == ["seeds.json"]
    path.unlink()
    assert course.seeds() != drawn


def test_configured_seeds(course: Course) -> None:
    """Configured seeds take the place of drawn ones, and none are drawn."""
    assert _configured(course, "c.Handgrad.seeds = [5, 6]").seeds() == [5, 6]
    assert not (course.root / ".handgrad").exists()


RACE = """
import sys
from pathlib import Path
from handgrad.course.course import Course
print("ready", flush=True)
sys.stdin.readline()
print([Course(Path(root)).seeds() for root in sys.argv[1:]])
"""


def test_two_processes_draw_the_same_seeds(tmp_path: Path) -> None:
    """Two processes that ask at once get the same seeds, every time."""
    roots = [tmp_path / str(number) for number in range(100)]
    for root in roots:
        root.mkdir()
    command = [sys.executable, "-c", RACE, *map(str, roots)]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [racer.communicate(timeout=60)[0] for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert answers[0] == answers[1]
    assert answers[0].count("[") == len(roots) + 1


GARBAGE = {
    "not JSON": b"seeds",
    "half": b'{"schema": 1, "se',
    "empty": b"",
    "no seeds": b'{"schema": 1}',
    "empty list": b'{"seeds": []}',
    "fractions": b'{"seeds": [1.5]}',
    "truths": b'{"seeds": [true]}',
    "texts": b'{"seeds": ["1"]}',
    "no list": b'{"seeds": 3}',
    "no object": b"[1]",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
}


def test_garbage(course: Course) -> None:
    """A file that holds no seeds is one error with its path, and is left as it is."""
    for name, content in GARBAGE.items():
        with named(name):
            path = course.private_folder / "seeds.json"
            path.write_bytes(content)
            with pytest.raises(CourseError, match="restore or delete it") as caught:
                course.seeds()
            assert str(path) in str(caught.value)
            assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_workshop_that_cannot_be_made(kind: str, course: Course) -> None:
    """Where something else stands in the workshop's place, or it cannot be made, that is one error."""
    place = course.root / ".handgrad"
    if kind == "file":
        place.write_text("", encoding="utf-8")
    else:
        place.symlink_to(course.root / "nowhere")
    with pytest.raises(CourseError, match="is the course's folder writable") as caught:
        course.seeds()
    assert str(place) in str(caught.value)


def test_folder_that_refuses(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that refuses a new file is one error that says so, whoever runs the test."""

    def refuse(*args: object, **kwargs: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(CourseError, match=r"seeds\.json cannot be written \(Permission denied\)"):
        course.seeds()


def test_unwritable_folder(course: Course) -> None:
    """In a folder without the right to write nothing is drawn, and the error says why."""
    course.root.chmod(0o500)
    # root may write everywhere: the question is asked as somebody else
    user = os.geteuid()
    try:
        if user == 0:
            course.root.parent.chmod(0o755)
            course.root.chmod(0o555)
            os.seteuid(65534)
        with pytest.raises(CourseError, match="writable"):
            course.seeds()
    finally:
        os.seteuid(user)
        course.root.chmod(0o700)


def test_write_text(tmp_path: Path) -> None:
    """A file is written whole, readable by a class, and an older one is replaced or kept as asked."""
    path = tmp_path / "file"
    write_text(path, "one ünï")
    assert path.read_text(encoding="utf-8") == "one ünï"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    write_text(path, "two", replace=False)
    assert path.read_text(encoding="utf-8") == "one ünï"
    write_text(path, "three")
    assert path.read_text(encoding="utf-8") == "three"
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_to_a_pipe(tmp_path: Path) -> None:
    """A pipe or a device is written to, and is not replaced by a file; a folder is refused."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(path, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.lstat().st_mode)
    with pytest.raises(CourseError, match="cannot be written"):
        write_text(tmp_path, "text")
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Where writing fails the older file stays, and nothing else is left."""
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CourseError, match="cannot be written"):
        write_text(tmp_path / "nowhere" / "file", "text")


def test_course_without_configuration() -> None:
    """A course made without a configuration has an empty one of its own."""
    first, second = Course(Path("a")), Course(Path("b"))
    assert first.config == Config()
    assert first.config is not second.config


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    """Not every path is a file: as root, replacing /dev/null would harm the whole machine."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text(path, "report")
    assert os.read(reader, 100) == b"report"
    os.close(reader)
    assert path.is_fifo()
