"""Proofs that are kept in a course: what has not changed since is not verified again.

A proof holds for a state: the files that the verification reads, the code of handgrad, and the versions of what it
runs on. Files are known by their size and time, as for ``make``; the assignment's own are read.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from handgrad.authoring.verify.dry_run import WRITTEN, files_below
from handgrad.authoring.verify.results import Mutation, Proof, Survivor
from handgrad.course.course import PRIVATE, SEEDS_FILE, Course
from handgrad.grading.code_digest import bytes_digest

__all__ = ["ProofStore"]

_LIBRARIES = ("torch", "nbgrader", "nbconvert", "ipython", "pytest")
_OTHER = ("__pycache__", "*.db", "*.db-*", "*.html", "term.csv", "students.csv", "downloaded")
"""Files and folders of a course that no verification reads: its gradebook, pages, roster and archives."""


class ProofStore:
    """The kept proofs of one course, in a folder beside its stored reports; only sound ones are kept.

    With other ``mutants`` and ``more_seeds``, which are as for :func:`.verify`, it is another proof.
    """

    def __init__(self, course: Course, *, mutants: bool, more_seeds: Sequence[int]) -> None:
        self._course, self._mutants = course, mutants
        self._asked = [mutants, *(more_seeds if mutants else ())]
        self._states: dict[str, str] = {}

    def find(self, assignment: str) -> Proof | None:
        """The proof of an assignment, with its date, if nothing has changed since."""
        # what changes while it is verified is another state
        state = self._states[assignment] = self._state(assignment)
        found = self._course.kept(self._name(assignment), state)
        with suppress(KeyError, TypeError):
            return replace(_proof(found["proof"]), since=str(found["date"]))
        return None

    def keep(self, proof: Proof) -> None:
        """Keep a sound proof for the state that :meth:`find` saw; a CourseError if it cannot be written."""
        if not proof.sound or proof.ordinary:
            return
        state = self._states.get(proof.assignment) or self._state(proof.assignment)
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self._course.keep(self._name(proof.assignment), state, {"date": date, "proof": asdict(proof)})

    def _name(self, assignment: str) -> str:
        return f"proofs/{assignment}.mutants.json" if self._mutants else f"proofs/{assignment}.json"

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
            for path in files_below(folder):
                yield f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for top in sorted(course.root.iterdir()):
            if top.name.startswith(".") or top in written or any(map(top.match, _OTHER)):
                continue
            for path in [top] if top.is_file() else files_below(top):
                if not any(folder in path.parents for folder in own):
                    status = path.stat()
                    yield f"{path} {status.st_size} {status.st_mtime_ns}"


def _proof(data: dict[str, Any]) -> Proof:
    """The proof that :func:`dataclasses.asdict` gave, of a sound assignment."""
    mutation = data["mutation"]
    if mutation is not None:
        kinds = ("equivalent", "negligible", "survivors")
        found = {kind: tuple(Survivor(**mutant) for mutant in mutation[kind]) for kind in kinds}
        mutation = Mutation(mutation["mutants"], **found)
    return Proof(data["assignment"], proved=tuple(data["proved"]), absent=tuple(data["absent"]), mutation=mutation)
