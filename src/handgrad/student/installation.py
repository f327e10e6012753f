"""What is installed here: versions, those that were tried, and how to install what is missing.

This module needs the standard library only.
"""

import json
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from handgrad.errors import IsolationError

__all__ = [
    "TRIED",
    "Installed",
    "has_pip",
    "how_to_install",
    "installed",
    "missing_package",
    "newer",
    "origin",
    "pip",
    "refuse_untried_torch",
    "too_old",
    "untried",
    "why_untried_torch",
]

TRIED = {
    "python": ("3.11", "3.11"),
    "torch": ("2.13", "2.13"),
    "numpy": ("1.26", "2.4"),
    "matplotlib": ("3.8", "3.11"),
    "ipython": ("8.18", "9.18"),
    "nbformat": ("5.9", "5.11"),
    "nbconvert": ("7.17", "7.17"),
    "nbgrader": ("0.9.5", "0.9.6"),
    "sqlalchemy": ("2.0", "2.1"),
}
"""The first and the last release of what decides how a course is graded with which ``.ci/versions`` passed.

For torch these are the releases with which all tests of the sandbox and all attacks were run: with others nobody is
graded, but a student's ``cmp`` works with older ones too.
"""


@dataclass(frozen=True)
class Installed:
    """A package of this environment: its name, its version, and which versions are meant (``needed: >=0.19``)."""

    name: str
    version: str
    meant: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.meant})"


def installed(name: str) -> str:
    """The version of a package in this environment, or of Python; a PackageNotFoundError if it is not installed."""
    return platform.python_version() if name == "python" else version(name)


def untried(*names: str) -> list[Installed]:
    """Those of the packages (default: all of :data:`TRIED`) that are installed in a version that was not tried."""
    found = []
    for name in names or TRIED:
        first, last = TRIED[name]
        try:
            here = installed(name)
        except PackageNotFoundError:
            continue
        if not (_numbers(first) <= _numbers(here) and _numbers(here)[:2] <= _numbers(last)[:2]):
            found.append(Installed(name, here, f"tried: {first}" if first == last else f"tried: {first} to {last}"))
    return found


def too_old() -> list[Installed]:
    """The installed packages that are older than handgrad's own requirements allow."""
    found = []
    for text in requires("handgrad") or ():
        parts = re.match(r"([\w.-]+)>=([\d.]+)", text)
        if not parts or re.search(r"extra == .dev", text):
            continue
        try:
            here = version(parts[1])
        except PackageNotFoundError:
            continue
        if _numbers(here) < _numbers(parts[2]):
            found.append(Installed(parts[1], here, f"needed: >={parts[2]}"))
    return found


def newer(old: Iterable[Installed]) -> str:
    """The command that installs packages that :func:`too_old` found in versions that handgrad needs."""
    return " ".join([pip(), *(f"'{package.name}{package.meant.removeprefix('needed: ')}'" for package in old)])


def _numbers(text: str) -> tuple[int, ...]:
    """The release in a version, ``(2, 13, 0)`` for ``2.13.0+cpu``; empty, the lowest, if there is none."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def why_untried_torch() -> str:
    """Why submissions should not be graded with the installed torch; empty if its version was tried."""
    if not (found := untried("torch")):
        return ""
    tried = found[0].meant.removeprefix("tried: ")
    return f"taking autograd away from a submission was tried with torch {tried}, and this is torch {found[0].version}"


def refuse_untried_torch() -> None:
    """Raise an :class:`.IsolationError` if the version of torch was not tried: a submission could use autograd."""
    if reason := why_untried_torch():
        raise IsolationError(
            f"nobody is graded: {reason}. Install a version that was tried, "
            f"for example with `{pip()} 'torch=={TRIED['torch'][1]}.*'`."
        )


def origin() -> Path | None:
    """The folder or wheel on this machine from which handgrad was installed; None if it was neither."""
    for distribution in distributions(name="handgrad"):
        # pip and uv write this file if a package was installed from a URL or path (PEP 610)
        url = urlsplit(json.loads(distribution.read_text("direct_url.json") or "{}").get("url", ""))
        path = Path(url2pathname(url.path))
        if url.scheme == "file" and ((path / "pyproject.toml").is_file() or (path.is_file() and path.suffix == ".whl")):
            return path
    return None


def has_pip() -> bool:
    """Whether this environment has pip; one that uv made has none."""
    return bool(list(distributions(name="pip")))


def pip() -> str:
    """The command that installs a package here."""
    return "pip install" if has_pip() else "uv pip install"


def how_to_install(extra: str) -> str:
    """The command that installs handgrad with an extra; handgrad is on no package index."""
    if path := origin():
        return f"run: {pip()} '{path}[{extra}]'"
    if extra == "check":
        return f"run in the folder that you got from your instructor: {pip()} -r requirements.txt"
    return f"run in a clone of handgrad: {pip()} '.[{extra}]'"


def missing_package(name: str) -> str:
    """What to say to whoever uses a command without a package that it imports."""
    # psycopg2 is in psycopg2-binary
    pattern = re.compile(rf"{re.escape(name)}\b.*extra == .(\w+)", re.IGNORECASE)
    extras = [found[1] for text in requires("handgrad") or () if (found := pattern.match(text))]
    return f"this command needs the package {name}, which is not installed; {how_to_install((*extras, 'grade')[0])}"
