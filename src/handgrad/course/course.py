"""A course: its folders, its exercises, its configuration and its hidden seeds."""

import copy
import importlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from traitlets import Bool, Dict, Enum, Float, Integer, List, TraitError, Unicode
from traitlets.config import Config, Configurable, PyFileConfigLoader

from handgrad.course import hand_ins
from handgrad.course.files import make_folder, private_mode, write_text
from handgrad.errors import CourseError, closest
from handgrad.exercise.exercise import Exercise
from handgrad.grading.marking import Policy
from handgrad.grading.settings import GradingSettings
from handgrad.report.names import is_hidden
from handgrad.sandbox.isolation.limits import Limits

if TYPE_CHECKING:
    from handgrad.grading.grader import Grader

__all__ = ["CONFIG", "PRIVATE", "SEEDS_FILE", "Course", "Handgrad"]

CONFIG = "nbgrader_config.py"
PRIVATE = ".handgrad"
"""The folder of a course's seeds and stored reports; git ignores it."""
SEEDS_FILE = "seeds.json"
"""The file in it that holds the drawn seeds."""
_NO_NAME = re.compile(r"[/\\*?\[\]]")
SEEDS = 1
"""Number of hidden seeds drawn for a course; each is one round of hidden passes."""
_BOTH = {"config": True, "portable": True}


class Handgrad(Configurable):
    """What an instructor may set in ``nbgrader_config.py`` as ``c.Handgrad.<name>``.

    With the settings that are tagged as portable, another autograder marks as this course does: no seeds, nothing about
    trust.
    """

    seeds = List(Integer(), help="Hidden seeds (default: drawn once into .handgrad/seeds.json).").tag(config=True)
    sizes = List(Dict(), help="Other parameters for further hidden passes, such as [{'batch_size': 16}].").tag(**_BOTH)
    partial_shape = Float(0.5, help="Share of the points for right values in another shape.").tag(**_BOTH)
    partial_invisible = Float(0.5, help="Share of the points for a mistake that the loss cannot show.").tag(**_BOTH)
    partial_later = Float(0.5, help="Share of the points for a value that is right at first and not later.").tag(
        **_BOTH
    )
    tolerance = Float(1e-4, help="Largest difference allowed, as a share of the largest value.").tag(**_BOTH)
    cell_seconds = Float(10.0, help="Seconds that one cell may take in one pass.").tag(**_BOTH)
    submission_seconds = Float(60.0, help="Seconds that a submission may take over all passes.").tag(**_BOTH)
    memory_mb = Integer(1024, help="MiB of memory that a submission may take.").tag(**_BOTH)
    isolation = Enum(
        ("best", "none"), "best", help="'none' grades as on a machine without isolation, to try that."
    ).tag(config=True)
    trust_submissions = Bool(
        False, help="Grade also if this machine has no isolation: only for code that you trust."
    ).tag(config=True)
    wait_seconds = Float(
        60.0, min=0.0, help="Seconds to wait for another command at work in the course, or for a locked gradebook."
    ).tag(config=True)

    assistant_instructions = Bool(
        False, help="Release exercises with AGENTS.md and CLAUDE.md: what a coding assistant may say there."
    ).tag(config=True)
    plain_modules = List(
        Unicode(), help="Further modules whose public functions are plain arithmetic, such as ['operator']."
    ).tag(**_BOTH)

    def grading(self) -> GradingSettings:
        """The settings of a grader, as one frozen record."""
        return GradingSettings(
            Policy(self.partial_shape, self.partial_invisible, self.tolerance, self.partial_later),
            Limits(self.cell_seconds, self.submission_seconds, self.memory_mb),
            tuple(self.sizes),
            self.isolation,
            self.trust_submissions,
            tuple(self.plain_modules),
        )


@dataclass(frozen=True)
class Course:
    """One course: its root folder and its configuration."""

    root: Path
    config: Config = field(default_factory=Config)

    @classmethod
    def at(cls, start: Path | str, *, is_named: bool = False) -> Self:
        """The course that ``start`` lies in: the nearest folder upwards with an ``nbgrader_config.py``.

        Its configuration is run. So it is not looked for in what was handed in (``submitted/``, ``downloaded/`` and the
        like), where it may be a student's; unless ``start`` is a course's folder that the user has named, and there is
        no course around the folder of that name.

        Raises
        ------
        CourseError
            There is none, it is in what was handed in, somebody else's in a folder that everybody may write to, or it
            cannot be read.
        """
        if place := hand_ins.around(Path(start), CONFIG):
            is_inside = any((folder / CONFIG).is_file() for folder in place.parents)
            if is_inside or not is_named or not (Path(start) / CONFIG).is_file():
                raise CourseError(
                    f"{Path(start).resolve()} lies in {place}, where students' files are: no configuration is read "
                    "there. Change to the course's folder, or name its full path with --course."
                )
        start = Path(start).resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG).is_file():
                _require_own(folder)
                return cls(folder, _load(folder))
        raise CourseError(
            f"{start} is not in a course: neither it nor a folder above it has {CONFIG}. "
            "Change to the course's folder, or name it with --course."
        )

    @classmethod
    def of_settings(cls, path: Path) -> Self:
        """A course with settings only, read from a file with the text of :meth:`settings_text`.

        Raises
        ------
        CourseError
            The file cannot be read, or holds something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            given = dict(data["settings"])
            # trust is not written into the file: whoever sets it there has decided about that machine
            known = {*Handgrad.class_trait_names(portable=True), "trust_submissions"}
            if data["schema"] != 1 or not set(given) <= known:
                raise ValueError("it is from another version of handgrad")
            config = Config(Handgrad=Config(given))
            Handgrad(config=config)
        except (OSError, ValueError, KeyError, TypeError, TraitError) as error:
            raise CourseError(
                f"{path} does not hold a course's settings ({error}): write it again with `handgrad new-autograder`."
            ) from error
        return cls(path.resolve().parent, config)

    def settings_text(self) -> str:
        """The settings with which another autograder marks as this course does, as JSON."""
        taken = {name: getattr(self._traits, name) for name in Handgrad.class_trait_names(portable=True)}
        return json.dumps({"schema": 1, "settings": taken}, indent=1) + "\n"

    @cached_property
    def _traits(self) -> Handgrad:
        """The instructor's settings ``c.Handgrad``, validated."""
        known = Handgrad.class_trait_names(config=True)
        for name in self.config.get("Handgrad", {}):
            if name not in known:
                hint = closest(name, known) or f" It has: {', '.join(sorted(known))}."
                raise CourseError(f"{self.root / CONFIG}: there is no setting c.Handgrad.{name}.{hint}")
        try:
            return Handgrad(config=self.config)
        except TraitError as error:
            raise CourseError(f"{self.root / CONFIG}: c.Handgrad has a wrong value: {error}") from error

    @cached_property
    def settings(self) -> GradingSettings:
        """The settings of the course's graders; one that does not exist, or has a wrong value, is a CourseError."""
        for name in self._traits.plain_modules:
            try:
                importlib.import_module(name)
            except (ImportError, ValueError) as error:
                where = f"{self.root / CONFIG}: c.Handgrad.plain_modules"
                raise CourseError(f"{where} names {name!r}, which cannot be imported ({error}).") from error
        return self._traits.grading()

    @property
    def wait_seconds(self) -> float:
        """Seconds to wait for another command that is at work in the course, or for a locked gradebook."""
        return float(self._traits.wait_seconds)

    def with_trust(self) -> Self:
        """The same course, but submissions are graded even without isolation."""
        config = copy.deepcopy(self.config)
        config.Handgrad.trust_submissions = True
        return replace(self, config=config)

    @property
    def is_shared(self) -> bool:
        """Whether instructors share the course by a group: ``c.CourseDirectory.groupshared``."""
        return bool(self.config.get("CourseDirectory", {}).get("groupshared", False))

    @property
    def file_mode(self) -> int:
        """The permissions of a file with students' names or scores: for this user, or the instructors' group."""
        return 0o660 if self.is_shared else 0o600

    @property
    def private_folder(self) -> Path:
        """The folder of seeds and stored reports, made on first use."""
        folder = self.root / PRIVATE
        try:
            make_folder(folder, shared=self.is_shared)
            mode = folder.stat().st_mode
            if mode & 0o007:
                # from an earlier version; it may be a co-instructor's
                with suppress(PermissionError):
                    folder.chmod(mode & 0o2770 if self.is_shared else 0o700)
        except OSError as error:
            raise CourseError(
                f"{folder} cannot be made ({error.strerror}): is the course's folder writable?"
            ) from error
        return folder

    def folder(self, kind: str) -> Path:
        """The course's folder for ``kind`` (source, release, submitted, autograded, feedback), as nbgrader has it."""
        name = self.config.get("CourseDirectory", {}).get(f"{kind}_directory", kind)
        return self.root / str(name)

    def fault_of_name(self, student: str) -> str:
        """Why ``student`` cannot be a student's name, in a sentence; empty if it can."""
        # nbgrader looks names up by pattern, and strips spaces
        is_free = student not in ("", ".", "..") and student == student.strip() and not _NO_NAME.search(student)
        if not is_free or any(is_hidden(sign) for sign in student):
            return (
                f"{student!r} is not graded: the name of a folder in {self.folder('submitted')} must not contain "
                r"""/ \ * ? [ ], invisible characters or bytes that are not UTF-8; rename the folder."""
            )
        return ""

    def exercise_path(self, assignment: str, notebook: str | None = None) -> Path:
        """Path of the instructor's notebook of an assignment."""
        return self.folder("source") / assignment / f"{notebook or assignment}.ipynb"

    def assignments(self) -> list[str]:
        """Names of the assignments, that is, of the folders with an instructor's notebook NAME/NAME.ipynb."""
        source = self.folder("source")
        return sorted(path.parent.name for path in source.glob("*/*.ipynb") if path.stem == path.parent.name)

    def select(self, assignments: Sequence[str] = ()) -> tuple[str, ...]:
        """The named ``assignments`` (default: all of them), checked to have no broken links.

        Raises
        ------
        CourseError
            The course has no such assignment or none at all, or a link in a source folder is broken.
        """
        known = self.assignments()
        for name in assignments:
            if name not in known:
                self.exercise(name)
        chosen = tuple(assignments or known)
        if not chosen:
            raise CourseError(
                f"there is no assignment in {self.folder('source')}: none has a notebook NAME/NAME.ipynb."
            )
        paths = [path for name in chosen for path in sorted((self.folder("source") / name).rglob("*"))]
        if broken := [path for path in paths if path.is_symlink() and not path.exists()]:
            links = "; ".join(f"{path.relative_to(self.root)} -> {path.readlink()}" for path in broken)
            raise CourseError(
                f"links lead to missing files ({links}). Copy the course with `cp -rL`, which copies the files "
                "themselves, or replace each link by its file."
            )
        return chosen

    def exercise(self, assignment: str) -> Exercise:
        """The exercise of an assignment.

        Raises
        ------
        CourseError
            The course has no such assignment.
        ExerciseError
            Its notebook is not an exercise.
        """
        path = self.exercise_path(assignment)
        if not path.is_file():
            known = self.assignments()
            raise CourseError(
                f"there is no assignment {assignment!r} in {self.folder('source')}.{closest(assignment, known)} "
                f"The course has: {', '.join(known) or 'none'}."
            )
        return Exercise.read(path)

    def grader(self, exercise: Exercise) -> "Grader":
        """A grader of ``exercise`` with the course's settings and hidden seeds, not yet entered."""
        from handgrad.grading.grader import Grader  # noqa: PLC0415 - it imports torch, and most commands do not grade

        return Grader(exercise, self.seeds(), self.settings)

    def seeds(self, *, keep: bool = True) -> list[int]:
        """The course's hidden seeds: configured, or drawn once into a file that git ignores.

        With ``keep=False`` seeds that must be drawn are not written.

        Raises
        ------
        CourseError
            The file cannot be written, or holds something else.
        """
        if self._traits.seeds:
            return list(self._traits.seeds)
        path = self.root / PRIVATE / SEEDS_FILE
        if not os.path.lexists(path):
            drawn = [secrets.randbits(48) for _ in range(SEEDS)]
            if not keep:
                return drawn
            text, folder = json.dumps({"schema": 1, "seeds": drawn}) + "\n", self.private_folder
            write_text(folder / path.name, text, replace=False, mode=private_mode(folder))
        try:
            seeds = json.loads(path.read_text(encoding="utf-8"))["seeds"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CourseError(
                f"{path} does not hold the course's hidden seeds ({error}): restore or delete it."
            ) from error
        if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
            raise CourseError(f"{path} does not hold a list of integers: restore or delete it.")
        return seeds

    def kept(self, name: str, state: str) -> Any:
        """The value in the file ``name`` of the private folder, if it was kept for this state; else None.

        What another version wrote, or somebody changed, is None too.
        """
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads((self.root / PRIVATE / name).read_text(encoding="utf-8"))
            if found["state"] == state:
                return found["value"]
        return None

    def keep(self, name: str, state: str, value: Any) -> None:
        """Keep a value that takes long to find out, as plain data, for a state; a CourseError if that fails."""
        path = self.private_folder / name
        make_folder(path.parent, shared=self.is_shared)
        write_text(path, json.dumps({"state": state, "value": value}) + "\n", mode=private_mode(path.parent))


def _require_own(folder: Path) -> None:
    """Refuse a configuration that a stranger may have put there, as into ``/tmp``: neither this user's nor root's."""
    if os.name != "posix":
        return
    with suppress(OSError):
        owner, is_open = (folder / CONFIG).stat().st_uid, folder.stat().st_mode & 0o002
        if is_open and owner not in (os.geteuid(), 0):
            raise CourseError(
                f"{folder / CONFIG} is not run: it belongs to somebody else, and everybody may write to {folder}. "
                "Change to the course's folder, or name it with --course."
            )


def _load(folder: Path) -> Config:
    try:
        return PyFileConfigLoader(CONFIG, path=str(folder)).load_config()
    except Exception as error:
        raise CourseError(f"{folder / CONFIG} cannot be read: {type(error).__name__}: {error}") from error
