"""Proofs that are kept in a course: what has not changed since is not verified again.

A proof holds for a state: the files that the verification reads, the code of handgrad, and the versions of what it
runs on. Files are known by their size and time, as for ``make``; the assignment's own are read.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from handgrad.authoring.verify.dry_run import WRITTEN
from handgrad.authoring.verify.results import Mutation, Proof, Survivor
from handgrad.course.course import PRIVATE, SEEDS_FILE, Course
from handgrad.course.files import make_folder, private_mode, write_text
from handgrad.grading.code_digest import bytes_digest

__all__ = ["ProofStore"]

SCHEMA = 1
_LIBRARIES = ("torch", "nbgrader", "nbconvert", "ipython", "pytest")
_OTHER = ("__pycache__", "*.db", "*.db-*", "*.html", "term.csv", "students.csv", "downloaded")
"""Files and folders of a course that no verification reads: its gradebook, pages, roster and archives."""


class ProofStore:
    """The kept proofs of one course, in a folder beside its stored reports; only sound ones are kept.

    Parameters
    ----------
    mutants, more_seeds
        As for :func:`.verify`: another proof.
    """

    def __init__(self, course: Course, *, mutants: bool, more_seeds: Sequence[int]) -> None:
        self._course, self._mutants = course, mutants
        self._asked = [mutants, *(more_seeds if mutants else ())]

    def find(self, assignment: str) -> Proof | None:
        """The proof of an assignment, with its date, if nothing has changed since."""
        try:
            kept = json.loads(self._path(assignment).read_text(encoding="utf-8"))
            if kept["schema"] == SCHEMA and kept["state"] == self._state(assignment):
                return replace(_proof(kept["proof"]), since=str(kept["date"]))
        except (OSError, ValueError, KeyError, TypeError):
            # a file of another version, or one that somebody has changed: it is verified again
            pass
        return None

    def keep(self, proof: Proof) -> None:
        """Keep a sound proof; a CourseError if it cannot be written."""
        if not proof.sound or proof.ordinary:
            return
        path = self._path(proof.assignment)
        make_folder(path.parent, shared=self._course.is_shared)
        content = {
            "schema": SCHEMA,
            "state": self._state(proof.assignment),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "proof": asdict(proof),
        }
        write_text(path, json.dumps(content) + "\n", mode=private_mode(path.parent))

    def _path(self, assignment: str) -> Path:
        name = f"{assignment}.mutants.json" if self._mutants else f"{assignment}.json"
        return self._course.private_folder / "proofs" / name

    def _state(self, assignment: str) -> str:
        """SHA-256 over everything that the proof of an assignment depends on."""
        versions = [sys.version, *(version(name) for name in _LIBRARIES)]
        seeds = self._course.root / PRIVATE / SEEDS_FILE
        drawn = seeds.read_text(encoding="utf-8") if seeds.is_file() else ""
        facts = (bytes_digest(), versions, self._asked, self._course.settings_text(), drawn)
        digest = hashlib.sha256(repr(facts).encode())
        for fact in self._files(assignment):
            digest.update(f"{fact}\n".encode())
        return digest.hexdigest()

    def _files(self, assignment: str) -> Iterator[str]:
        """Each file that may be read: its path, and its content or, outside the assignment, its size and time."""
        course = self._course
        written = set(map(course.folder, WRITTEN))
        own = [course.folder(kind) / assignment for kind in ("source", "release", "solution")]
        for folder in own:
            for path in _below(folder):
                yield f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for top in sorted(course.root.iterdir()):
            if top.name.startswith(".") or top in written or any(map(top.match, _OTHER)):
                continue
            for path in [top] if top.is_file() else _below(top):
                if not any(folder in path.parents for folder in own):
                    status = path.stat()
                    yield f"{path} {status.st_size} {status.st_mtime_ns}"


def _below(folder: Path) -> Iterator[Path]:
    """The files in a folder, in order."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def _proof(data: dict[str, Any]) -> Proof:
    """The proof that :func:`dataclasses.asdict` gave, of a sound assignment."""
    mutation = data["mutation"]
    if mutation is not None:
        kinds = ("equivalent", "negligible", "survivors")
        found = {kind: tuple(Survivor(**mutant) for mutant in mutation[kind]) for kind in kinds}
        mutation = Mutation(mutation["mutants"], **found)
    return Proof(data["assignment"], proved=tuple(data["proved"]), absent=tuple(data["absent"]), mutation=mutation)
