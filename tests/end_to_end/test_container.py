"""The image of the Dockerfile, made without Docker: its own steps are run in a root of Debian, and a class is graded.

``make test-container`` runs this; ``.ci/run`` does not, because it takes minutes. What is Docker's own is not tried:
layers, its profiles for seccomp and AppArmor, the services of compose.yaml.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.container
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ISOLATED = ("unshare", "--mount", "--pid", "--ipc", "--fork")
INSIDE = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
cd "$1"
mkdir -p .outside
/usr/sbin/pivot_root . .outside
umount -l /.outside
rmdir /.outside
cd "$2"
shift 2
exec "$@"
"""
"""Runs a command with the root $1, in the folder $2, in namespaces of its own; chroot would forbid user namespaces."""
GRADE = """
set -ex
handgrad init --exercise backprop cs101
cd cs101
handgrad doctor || true
handgrad demo
handgrad release backprop
handgrad check solutions/backprop/backprop.ipynb
dask --version
jupyter server extension list
"""
"""What an instructor does in the container, as the image's own user."""


@dataclass
class Stage:
    """One stage of the Dockerfile, while it is made: its root, its environment, and what the last steps set."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    user: str = "root"
    folder: str = "/"

    def run(self, command: str, more: Mapping[str, str] | None = None) -> str:
        """What a command printed in the stage's root; it has to end with 0."""
        as_user = [] if self.user == "root" else ["setpriv", f"--reuid={self.user}", "--init-groups"]
        as_user += [] if self.user == "root" else [f"--regid={self.user}", "--bounding-set=-all", "--no-new-privs"]
        environment = {**self.environment, "HOME": "/root" if self.user == "root" else f"/home/{self.user}"}
        done = subprocess.run(
            [*ISOLATED, "sh", "-c", INSIDE, "sh", str(self.root), self.folder, *as_user, "sh", "-c", command],
            env={**environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def copy(self, sources: list[Path], target: str) -> None:
        """Do what COPY does: files into a folder, or the contents of one folder."""
        place = self.root / Path(self.folder, target).relative_to("/")
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)


def steps() -> Iterator[tuple[str, str]]:
    """The instructions of the Dockerfile, each a name and its text on one line."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


@dataclass
class Build:
    """What ``docker build`` does with a Dockerfile: its stages are roots in a folder, made from ``folder/base``.

    The machine's own settings for pip and uv are added. With wheels of PyTorch on this machine (``PIP_FIND_LINKS``),
    PyTorch's own index is not asked.
    """

    folder: Path
    stages: dict[str, Stage] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wheels = os.environ.get("PIP_FIND_LINKS", "")
        self.settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))}
        # Debian's ca-certificates would overwrite those of this machine in their own place
        self.settings |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), "/certificates.pem")
        self.settings["DEBIAN_FRONTEND"] = "noninteractive"
        if self.wheels:
            self.settings["UV_FIND_LINKS"] = self.wheels

    @property
    def last(self) -> Stage:
        """The stage that is being made."""
        return list(self.stages.values())[-1]

    def do(self, name: str, text: str) -> None:
        """Do one instruction."""
        getattr(self, f"_{name.lower()}")(text)

    def _from(self, text: str) -> None:
        title = text.partition(" AS ")[2] or "last"
        stage = self.stages[title] = Stage(self.folder / title)
        self.arguments = {}
        subprocess.run(["cp", "-a", self.folder / "base", stage.root], check=True)
        shutil.copy("/etc/resolv.conf", stage.root / "etc/resolv.conf")
        if title == "last":
            return
        shutil.copy(CERTIFICATES, stage.root / "certificates.pem")
        for path in map(Path, self.wheels.split()):
            if path.is_dir():
                shutil.copytree(path, stage.root / path.relative_to("/"))

    def _arg(self, text: str) -> None:
        name, _, value = text.partition("=")
        if not (self.wheels and name == "UV_TORCH_BACKEND"):
            self.arguments[name] = value

    def _env(self, text: str) -> None:
        before = self.last.environment
        self.last.environment |= dict(
            Template(setting).substitute(before).split("=", 1) for setting in shlex.split(text)
        )

    def _run(self, text: str) -> None:
        self.last.run(text, {**self.settings, **self.arguments})

    def _copy(self, text: str) -> None:
        *words, target = text.split()
        if words[0].startswith("--from="):
            root = self.stages[words.pop(0).removeprefix("--from=")].root
            words = [word.lstrip("/") for word in words]
        else:
            root = ROOT
        self.last.copy([root / word for word in words], target)

    def _user(self, text: str) -> None:
        self.last.user = text

    def _workdir(self, text: str) -> None:
        self.last.folder = text
        (self.last.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _cmd(self, text: str) -> None:
        """Nothing is started."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The last stage of the Dockerfile."""
    folder = tmp_path_factory.mktemp("container")
    suites = {text.split(":")[1].split("-")[0] for name, text in steps() if name == "FROM"}
    (suite,) = suites
    # as in Debian's slim images
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    make = ["eatmydata", "mmdebstrap", "--variant=minbase", *left_out, suite, str(folder / "base")]
    subprocess.run(make, check=True)
    build = Build(folder)
    for step in steps():
        build.do(*step)
    yield build.last
    shutil.rmtree(folder)


def test_a_class_is_graded_in_the_container(image: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The image's user makes a course, grades a sample class, and releases; the isolation and the size are printed."""
    assert image.user != "root"
    said = image.run(GRADE)
    size = int(subprocess.check_output(["du", "--summarize", "--block-size=1M", image.root], text=True).split()[0])
    with capsys.disabled():
        print(said)
        print(f"size of the image: {size} MB")
    assert "20 submissions: 20 graded" in said
    assert re.search(r"isolation: (full|partial)", said)
    assert "nbgrader" in said.partition("server extension")[2]
    assert size < 1400
