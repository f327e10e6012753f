"""What `nbgrader collect` takes from the folders that students own in the exchange."""

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbgrader.api import MissingEntry
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from handgrad.course.nbgrader import exchange_collector
from handgrad.course.nbgrader.exchange_collector import ExchangeCollector
from handgrad.student.progress_file import FILE as PROGRESS_FILE
from helpers.inputs import named

IS_ROOT = os.geteuid() == 0
EVE, ALICE = (50_001, 50_002) if IS_ROOT else (os.getuid(), 50_002)
"""Two students; only root can give files to both."""
ACCOUNTS = {"eve": EVE, "alice": ALICE}
EARLY = "2020-01-01 00:00:00.000000 UTC"


class Hub:
    """A course and the exchange's inbound folder on a machine with accounts."""

    def __init__(self, root: Path) -> None:
        self.course, self.inbound = root / "course", root / "exchange/cs/inbound"
        self.inbound.mkdir(parents=True)
        (self.course / "release/ps").mkdir(parents=True)
        (self.course / "release/ps/exercise.json").touch()
        (self.course / ".handgrad").mkdir()
        (self.course / ".handgrad/seeds.json").write_text('{"seeds": [314159]}', encoding="utf-8")
        self.said: list[str] = []

    def hand_in(self, name: str, owner: int = EVE, **files: str) -> Path:
        """A folder in the exchange, with a notebook and other files."""
        folder = self.inbound / name
        folder.mkdir()
        for file, text in {"ps_ipynb": "{}", "timestamp_txt": EARLY, **files}.items():
            (folder / file.replace("_", ".")).write_text(text, encoding="utf-8")
        self.own(folder, owner)
        return folder

    def own(self, folder: Path, owner: int) -> None:
        """Give a folder and what is in it to somebody."""
        for path in (folder, *folder.rglob("*")):
            os.lchown(path, owner, owner if IS_ROOT else -1)

    def collect(self, *, update: bool = False, check_owner: bool = True, **settings: object) -> dict[str, str]:
        """Collect as an instructor; what is collected, by path."""
        course = {"root": str(self.course), "course_id": "cs", **settings}
        config = Config({"CourseDirectory": course})
        log = logging.Logger("collect")
        handler = logging.Handler()
        self.said = []
        handler.emit = lambda record: self.said.append(f"{record.levelname} {record.getMessage()}")  # type: ignore[method-assign]
        log.addHandler(handler)
        collector = ExchangeCollector(
            coursedir=CourseDirectory(config=config, assignment_id="ps", log=log),
            config=config,
            log=log,
            update=update,
            check_owner=check_owner,
            root=str(self.inbound.parents[1]),
        )
        collector.init_src()
        collector.copy_files()
        assert not list(self.course.glob(".handgrad/collecting-*"))
        return self.collected()

    def collected(self) -> dict[str, str]:
        """What is in the course's folder of hand-ins."""
        root = self.course / "submitted"
        return {
            str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in root.rglob("*") if path.is_file()
        }


class NoGradebook:
    """A gradebook that knows no assignment."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> "NoGradebook":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def find_assignment(self, _: str) -> None:
        raise MissingEntry


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub where Eve and Alice have accounts."""

    def by_number(number: int) -> SimpleNamespace:
        return SimpleNamespace(pw_name={uid: name for name, uid in ACCOUNTS.items()}[number])

    monkeypatch.setattr("pwd.getpwnam", lambda name: SimpleNamespace(pw_uid=ACCOUNTS[name]))
    monkeypatch.setattr("pwd.getpwuid", by_number)
    # nbgrader starts a program to make a gradebook, of which only the deadline is asked for
    monkeypatch.setattr("nbgrader.exchange.default.collect.Gradebook", NoGradebook)
    return Hub(tmp_path)


NAME = f"eve+ps+{EARLY}+x"


def test_the_progress_file_stays_with_the_student(hub: Hub) -> None:
    """The file that `cmp` writes beside the notebook is not collected, and the instructor need not hear of it."""
    folder = hub.hand_in(NAME)
    (folder / PROGRESS_FILE).write_text("{}", encoding="utf-8")
    hub.own(folder, EVE)
    assert sorted(hub.collect()) == ["eve/ps/ps.ipynb", "eve/ps/timestamp.txt"]
    assert not any(PROGRESS_FILE in line for line in hub.said)


def test_collected(hub: Hub) -> None:
    """A hand-in is collected for the instructor only, with the time at which its files were written."""
    before = _now()
    folder = hub.hand_in(NAME, data_csv="1,2")
    (folder / "deep").mkdir()
    (folder / "deep/more.txt").write_text("3", encoding="utf-8")
    (folder / "exercise.json").write_text("{}", encoding="utf-8")
    hub.own(folder, EVE)
    for path in (folder, folder / "ps.ipynb"):
        path.chmod(0o777)
    found = hub.collect()
    when = _when(found.pop("eve/ps/timestamp.txt"))
    assert before - timedelta(seconds=1) <= when <= _now()
    assert found == {"eve/ps/ps.ipynb": "{}", "eve/ps/data.csv": "1,2", "eve/ps/deep/more.txt": "3"}
    for path in (hub.course / "submitted", *(hub.course / "submitted").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert not any("WARNING" in line for line in hub.said)


def _now() -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=time.time())


def _when(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f UTC")


def test_shared_by_instructors(hub: Hub) -> None:
    """Where instructors share a course by a group, the group may read and write what is collected."""
    hub.hand_in(NAME)
    hub.collect(groupshared=True)
    for path in (hub.course / "submitted/eve", hub.course / "submitted/eve/ps", *hub.course.glob("submitted/eve/ps/*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o2770 if path.is_dir() else 0o660), path


def _secret(folder: Path) -> Path:
    return folder.parents[3] / "course/.handgrad/seeds.json"


def _replaced_by_a_link(folder: Path) -> None:
    (folder / "ps.ipynb").unlink()
    (folder / "ps.ipynb").symlink_to(_secret(folder))


def _timestamp_is_a_link(folder: Path) -> None:
    (folder / "timestamp.txt").unlink()
    (folder / "timestamp.txt").symlink_to(_secret(folder))


def _link_beside(folder: Path) -> None:
    (folder / "seeds.json").symlink_to(_secret(folder))


def _linked_folder(folder: Path) -> None:
    (folder / "all").symlink_to(_secret(folder).parent)


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.ipynb")


def _huge(folder: Path) -> None:
    (folder / "huge.bin").touch()
    os.truncate(folder / "huge.bin", 1 << 32)


def _configurations(folder: Path) -> None:
    (folder / "deep").mkdir()
    for name in ("nbgrader_config.py", "sitecustomize.py", "deep/conftest.py", "x.pth", "exercise.json"):
        (folder / name).write_text("raise SystemExit", encoding="utf-8")


def _no_date(folder: Path) -> None:
    (folder / "timestamp.txt").write_text("\x1b[31mnever", encoding="utf-8")


ATTACKS: dict[Callable[[Path], None], str] = {
    _replaced_by_a_link: "'ps.ipynb' (it is a link)",
    _timestamp_is_a_link: "'timestamp.txt' (it is a link)",
    _link_beside: "'seeds.json' (it is a link)",
    _linked_folder: "'all' (it is a link)",
    _pipe: "'pipe.ipynb' (it is no file)",
    _huge: "'huge.bin' (it is larger than c.CourseDirectory.max_file_size)",
    _configurations: "'nbgrader_config.py' (a program would take it for its configuration)",
    _no_date: "",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_attacks(attack: Callable[[Path], None], hub: Hub) -> None:
    """What is no plain file of work is left out and named, whatever it is called; the rest is collected."""
    before = _now()
    folder = hub.hand_in(NAME, notes_txt="mine")
    attack(folder)
    hub.own(folder, EVE)
    found = hub.collect()
    assert _when(found.pop("eve/ps/timestamp.txt")) >= before - timedelta(seconds=1)
    left = {"eve/ps/notes.txt", "eve/ps/ps.ipynb"} - ({"eve/ps/ps.ipynb"} if attack is _replaced_by_a_link else set())
    assert set(found) == left
    assert not any("314159" in text for text in (*found.values(), *hub.said))
    assert not any(path.is_symlink() for path in (hub.course / "submitted").rglob("*"))
    named_in = [line for line in hub.said if line.startswith("WARNING 'eve': not collected")]
    assert any(ATTACKS[attack] in line for line in named_in) if ATTACKS[attack] else not named_in


def test_only_links(hub: Hub) -> None:
    """A hand-in of which nothing is left leaves no folder, and says so."""
    folder = hub.hand_in(NAME)
    _replaced_by_a_link(folder)
    hub.own(folder, EVE)
    assert hub.collect() == {}
    assert any(line.startswith("ERROR 'eve': there is nothing in") for line in hub.said)


def test_foreign(hub: Hub) -> None:
    """A folder in somebody else's name, and a file that belongs to somebody else, are not collected."""
    if not IS_ROOT:
        # this user's folder cannot be Alice's
        hub.hand_in(f"alice+ps+{EARLY}")
        assert hub.collect() == {}
        assert any("claims to be handed in by 'alice', but belongs to eve" in line for line in hub.said)
        return
    folder = hub.hand_in(NAME)
    (folder / "stolen.ipynb").write_text("alice's", encoding="utf-8")
    os.chown(folder / "stolen.ipynb", ALICE, ALICE)
    (folder / "roots.txt").write_text("root's", encoding="utf-8")
    os.chown(folder / "roots.txt", 0, 0)
    hub.hand_in("alice+ps+2020-01-01 00:00:00 UTC+y", ALICE, ps_ipynb="alice's own")
    hub.hand_in("alice+ps+2030-01-01 00:00:00 UTC+z", EVE, ps_ipynb="eve's, in alice's name")
    found = hub.collect()
    assert found["alice/ps/ps.ipynb"] == "alice's own"
    assert {name for name in found if name.startswith("eve/")} == {"eve/ps/ps.ipynb", "eve/ps/timestamp.txt"}
    said = "\n".join(hub.said)
    assert "claims to be handed in by 'alice', but belongs to eve" in said
    assert "'stolen.ipynb' (it belongs to alice)" in said


def test_ids_that_are_no_accounts(hub: Hub) -> None:
    """Without an account the folder's owner counts, which is said once; two owners of one id are nobody."""
    hub.hand_in(f"s01+ps+{EARLY}", EVE)
    hub.hand_in(f"s02+ps+{EARLY}", EVE)
    assert set(hub.collect()) == {
        f"{name}/ps/{file}" for name in ("s01", "s02") for file in ("ps.ipynb", "timestamp.txt")
    }
    (line,) = [line for line in hub.said if line.startswith("WARNING")]
    assert "no accounts on this machine: 's01' (eve), 's02' (eve)" in line
    hub.collect(check_owner=False)
    assert not any(line.startswith("WARNING") for line in hub.said)
    if IS_ROOT:
        hub.hand_in(f"s03+ps+{EARLY}", EVE)
        hub.hand_in("s03+ps+2021-01-01 00:00:00 UTC", ALICE)
        assert not any(name.startswith("s03") for name in hub.collect())
        assert any("'s03' has folders of several owners" in line for line in hub.said)


def test_unchanged(hub: Hub) -> None:
    """Collecting again changes nothing if no file has changed, also if the dates of the same files have."""
    folder = hub.hand_in(NAME)
    first = hub.collect()
    place = hub.course / "submitted/eve/ps"
    written = place.stat().st_ino
    assert hub.collect(update=True) == first
    assert any("No newer submission" in line for line in hub.said)
    time.sleep(0.01)
    (folder / "ps.ipynb").chmod(0o600)
    assert hub.collect(update=True) == first
    assert any("Unchanged: eve ps" in line for line in hub.said)
    assert place.stat().st_ino == written


def test_replaced_after_the_deadline(hub: Hub) -> None:
    """A notebook that was replaced is new, however its dates are set back, unless the first hand-in is to stay."""
    folder = hub.hand_in(NAME)
    first = hub.collect()
    time.sleep(0.01)
    replaced = _now()
    (folder / "ps.ipynb").write_text('{"better": 1}', encoding="utf-8")
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    assert hub.collect() == first
    second = hub.collect(update=True)
    assert json.loads(second["eve/ps/ps.ipynb"]) == {"better": 1}
    assert _when(second["eve/ps/timestamp.txt"]) >= replaced - timedelta(milliseconds=5)


def test_the_latest_counts(hub: Hub) -> None:
    """Of several hand-ins the one counts whose files are newest, whatever its folder is called."""
    hub.hand_in("eve+ps+2020-01-02 00:00:00 UTC", ps_ipynb="first")
    time.sleep(0.01)
    hub.hand_in("eve+ps+2020-01-01 00:00:00 UTC", ps_ipynb="second")
    assert hub.collect()["eve/ps/ps.ipynb"] == "second"


def test_names(hub: Hub) -> None:
    """A folder with an odd name stops nobody's collecting, and leads nowhere."""
    hub.hand_in(NAME)
    for name in (
        *(
            "eve+other+ps+never",
            "eve+ps+2020-01-01+x+y+z",
            "eve+ps+never",
            "eve+ps+",
            "+ps+2020-01-01",
            "*+ps+2020-01-01+x",
        ),
        *("e\nve+ps+2020-01-01+x", "e\x1b[31mve+ps+2020-01-01+x", "eve +ps+2020-01-01+x", "eve+ps+9" + "9" * 100),
    ):
        hub.hand_in(name)
    (hub.inbound / "eve+ps+2020-01-01+file").touch()
    (hub.inbound / "eve+ps+2020-01-01+link").symlink_to(hub.course)
    assert set(hub.collect()) == {"eve/ps/ps.ipynb", "eve/ps/timestamp.txt"}
    assert not (hub.course / "ps").exists()
    assert sum("is not collected" in line for line in hub.said) == 12
    for line in hub.said:
        with named(line):
            assert line.isprintable()


def test_limits(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many or large files as many are collected as are allowed, the notebook first."""
    files = {f"a{number}_txt": "x" * 600 for number in range(10)}
    hub.hand_in(NAME, **files)
    monkeypatch.setattr(exchange_collector, "MOST_FILES", 4)
    assert len(hub.collect()) == 5
    assert "eve/ps/ps.ipynb" in hub.collected()
    assert any("there are more than 4 files" in line and "and" in line for line in hub.said)
    hub.hand_in(f"alice+ps+{EARLY}", ALICE if IS_ROOT else EVE, **files)
    monkeypatch.setattr(exchange_collector, "MOST_FILES", 100)
    found = [name for name in hub.collect(max_dir_size=2, check_owner=False) if name.startswith("alice/")]
    assert "alice/ps/ps.ipynb" in found
    assert len(found) == 5
