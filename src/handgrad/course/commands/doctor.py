"""What is installed, which isolation there is, who can read the course, and what to do about each."""

import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Literal

from handgrad import __version__
from handgrad.course.course import PRIVATE, Course
from handgrad.course.file_access import holders, visitors
from handgrad.course.nbgrader.configuration import unsafe_ways_in, what_is_missing
from handgrad.course.nbgrader.database import gradebook_file, is_locked_file
from handgrad.errors import CourseError, HandgradError
from handgrad.notebook.untrusted_files import in_quotes, walk
from handgrad.report.names import few
from handgrad.sandbox.messages import ParameterSet
from handgrad.sandbox.warm_process import why_no_isolation
from handgrad.sandbox.warm_sandbox import WarmSandbox
from handgrad.student.installation import TRIED, how_to_install, installed, newer, too_old, untried

__all__ = ["Finding", "examine"]

State = Literal["ok", "look", "wrong"]
NAMED = 5
"""Maximum number of files that one line names."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    state
        ``ok``, ``look`` (it may be meant so) or ``wrong``.
    what
        What was found.
    remedy
        What to do; empty if nothing.
    """

    state: State
    what: str
    remedy: str = ""


def examine(course: Course | None) -> list[Finding]:
    """What there is to say about this machine and a course; nothing is changed."""
    found = [*_installed(), _isolation(course)]
    if course is not None:
        found += [*_configuration(course), *_gradebook(course), *_rights(course)]
    return found


def _installed() -> Iterator[Finding]:
    yield Finding("ok", f"handgrad {__version__}, Python {platform.python_version()}, {platform.platform()}")
    missing, versions = [], []
    for name in TRIED:
        try:
            versions.append(f"{name} {installed(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("ok", ", ".join(versions[1:]))
    if missing:
        yield Finding("wrong", f"not installed: {', '.join(missing)}", how_to_install("grade"))
    if old := too_old():
        yield Finding("wrong", f"too old for handgrad: {', '.join(map(str, old))}", f"run: {newer(old)}")
    names = {package.name for package in old}
    if other := [package for package in untried() if package.name not in names]:
        yield Finding(
            "look",
            f"not the versions with which handgrad's tests were run: {', '.join(map(str, other))}",
            "before a class is graded, run: handgrad verify",
        )


def _isolation(course: Course | None) -> Finding:
    """The isolation that a submission would have: a warm process is started and tries to get out."""
    try:
        settings = course.settings if course else None
    except CourseError as error:
        return Finding("wrong", str(error), "correct the setting")
    trust = " Now submissions are graded without it, because c.Handgrad.trust_submissions is set."
    remedy = "grade on Linux 5.13 or newer; docs/operate/isolation.md says what each layer needs."
    reason = why_no_isolation(settings.isolation if settings else "best")
    if not reason:
        try:
            with (
                tempfile.TemporaryDirectory(prefix="handgrad-") as folder,
                WarmSandbox([ParameterSet("visible", ("",))], Path(folder), preload=()) as sandbox,
            ):
                sandbox.wait_until_ready()
                name = sandbox.isolation
        except HandgradError as error:
            reason = str(error)
        else:
            return Finding("ok" if name == "full" else "look", f"isolation: {name}", "" if name == "full" else remedy)
    trusted = trust if settings and settings.trust else " No submission is graded."
    return Finding("wrong", f"isolation: none ({reason.rstrip('.')}).{trusted}", remedy)


def _configuration(course: Course) -> Iterator[Finding]:
    names = course.assignments()
    yield Finding("ok" if names else "look", f"course {course.root}: {', '.join(names) or 'no assignments'}")
    if missing := what_is_missing(course):
        yield Finding("wrong", "the configuration is incomplete", missing)
        return
    yield Finding("ok", "nbgrader's commands release and grade exercises with handgrad's steps")
    if lines := unsafe_ways_in(course):
        what = "nbgrader's own commands collect what they are given: links, other students' files, archives of any size"
        remedy = ("add to the configuration:", "from handgrad import nbgrader as handgrad", *lines)
        yield Finding("look", what, "\n".join(remedy))


def _gradebook(course: Course) -> Iterator[Finding]:
    """Whether the gradebook is locked, and which processes have it open."""
    path = gradebook_file(course)
    if path is None or not path.is_file():
        return
    who = "\n".join(holders(path))
    if is_locked_file(path):
        remedy = f"one of these holds it; end it, or wait:\n{who}" if who else "it is not known who holds it"
        yield Finding("wrong", f"the gradebook {path} is locked by another program", remedy)
    elif who:
        yield Finding("look", f"the gradebook {path} is open in other programs, and not locked", who)
    else:
        yield Finding("ok", "nobody holds the gradebook")


def _rights(course: Course) -> Iterator[Finding]:
    """Who can read the course; which of the private files are open in themselves; which files are not the owner's."""
    if sys.platform == "win32":
        yield Finding("look", "who can read the course is not looked at on Windows", "see the folder's properties")
        return
    found = visitors(course)
    if found:
        yield Finding("wrong", f"{found.who} can enter {course.root}", found.remedy)
    else:
        yield Finding("ok", f"nobody else can enter {course.root}")
    too_much = 0o007 if course.is_shared else 0o077
    if opened := [path for path in _private(course) if path.stat().st_mode & too_much]:
        names = few(in_quotes(os.path.relpath(path, course.root)) for path in opened)
        command = f"chmod -R {'o' if course.is_shared else 'go'}-rwx {shlex.join(map(str, opened[:NAMED]))}"
        more = " ..." if len(opened) > NAMED else ""
        state: State = "wrong" if found else "look"
        yield Finding(state, f"open to others, but for the folders above: {names}", f"run: {command}{more}")
    folder = course.folder("submitted")
    if folder.is_dir():
        entries = list(walk(folder, folder))
        if links := [str(entry.path) for entry in entries if entry.kind == "link"]:
            yield Finding(
                "look",
                f"links in {folder}: {few(map(in_quotes, links))}",
                "they are not followed; ask for the files themselves",
            )
        owner = course.root.stat().st_uid
        if foreign := [str(entry.path) for entry in entries if entry.status.st_uid != owner]:
            yield Finding(
                "look",
                f"files in {folder} that belong to others, who can change them: {few(map(in_quotes, foreign))}",
                f"run as root: chown -R --reference={shlex.quote(str(course.root))} {shlex.quote(str(folder))}",
            )


def _private(course: Course) -> Iterator[Path]:
    """The folders and files that are nobody else's."""
    gradebook = gradebook_file(course)
    yield from (path for path in (course.root / PRIVATE, gradebook) if path and path.exists())
    for kind in ("submitted", "autograded", "feedback"):
        yield from (path for path in sorted(course.folder(kind).glob("*")) if path.is_dir() and not path.is_symlink())
