"""The package's own wheel, which goes with whatever is handed out: handgrad stands on no index."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from handgrad import __version__
from handgrad.errors import CourseError
from handgrad.exercise.release_file import WHEEL

__all__ = ["origin", "wheel_in", "wheels"]

_BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "src")


def wheel_in(folder: Path) -> Path | None:
    """The wheel of this version in ``folder``; None where there is none."""
    path = folder / WHEEL
    return path if path.is_file() else None


def origin() -> Path | None:
    """The folder or the wheel on this machine that handgrad was installed from; None where it was neither."""
    for name in distributions(name="handgrad"):
        # written by pip, for what was installed from an address and not from an index (PEP 610)
        url = urlsplit(json.loads(name.read_text("direct_url.json") or "{}").get("url", ""))
        path = Path(url2pathname(url.path))
        if url.scheme == "file" and ((path / "pyproject.toml").is_file() or (path.is_file() and path.suffix == ".whl")):
            return path
    return None


@contextmanager
def wheels(folders: Sequence[Path]) -> Iterator[Path]:
    """The wheel of this version, in a folder that is gone afterwards.

    Parameters
    ----------
    folders
        Released folders, one at least. A wheel that is in one of them serves where none can be made.

    Raises
    ------
    CourseError
        There is none, and handgrad was not installed from a folder or a wheel on this machine; or the wheel cannot
        be built, or is one of another version.
    """
    source, there = origin(), next(filter(None, map(wheel_in, folders)), None)
    with tempfile.TemporaryDirectory(prefix="handgrad-") as name:
        folder = Path(name).resolve()
        if source and source.is_dir():
            _build(source, folder)
        elif path := source or there:
            shutil.copy(path, folder)
        else:
            raise CourseError(
                "students install handgrad from a wheel beside their notebook, and there is none: this handgrad was "
                "not installed from a folder or a wheel that is still on this machine. "
                f"Run `pip wheel --no-deps -w {folders[0]} CLONE`, CLONE being a clone of handgrad {__version__}, "
                "and then this command again."
            )
        wheel = wheel_in(folder)
        if wheel is None:
            found = ", ".join(path.name for path in folder.glob("*.whl")) or "nothing"
            raise CourseError(
                f"{source} gives {found}, and this is handgrad {__version__}: install what is there now "
                f"(`pip install {source}`), or what was there before."
            )
        yield wheel


def _build(source: Path, folder: Path) -> None:
    """Build the wheel of the clone ``source`` into ``folder``."""
    copy = folder / "clone"
    copy.mkdir()
    # setuptools writes into the folder that it builds, and takes along what an earlier build has left there
    for path in map(source.joinpath, _BUILT_FROM):
        if path.is_dir():
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif path.is_file():
            shutil.copy(path, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(folder), str(copy)], capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = next(
            (line for line in reversed(said) if line.startswith("ERROR")), said[-1] if said else "it says nothing"
        )
        raise CourseError(f"the wheel of {source} cannot be built: `pip wheel --no-deps {source}` fails: {last}")
