"""A proof is used again if nothing that it depends on has changed, and only then."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from handgrad.authoring.verify import verify as verify_module
from handgrad.authoring.verify.proof_store import ProofStore
from handgrad.authoring.verify.results import Fault, Mutation, Proof, Survivor, as_text
from handgrad.authoring.verify.verify import verify
from handgrad.course.course import Course
from helpers.paths import ROOT

PROOF = Proof(
    "cross_entropy",
    proved=("all is well",),
    absent=("no test is there",),
    mutation=Mutation(9, (Survivor("dx", "transposed", "- a\n+ b"),), (Survivor("dy", "eps", "- c\n+ d"),)),
)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course with one exercise and a file of its own."""
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind / "cross_entropy", tmp_path / kind / "cross_entropy")
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.Handgrad.seeds = [5]\n")
    (tmp_path / "words.txt").write_text("one")
    (tmp_path / "tests/hidden/cross_entropy").mkdir(parents=True)
    return Course.at(tmp_path)


def store(course: Course, *, mutants: bool = True, more_seeds: tuple[int, ...] = (1, 2)) -> ProofStore:
    """The kept proofs, as a later command sees them."""
    return ProofStore(Course.at(course.root), mutants=mutants, more_seeds=more_seeds)


def test_what_is_kept(course: Course) -> None:
    """The proof comes back whole, with its date; another question has another proof, and a fault is never kept."""
    assert store(course).find("cross_entropy") is None
    store(course).keep(PROOF)
    found = store(course).find("cross_entropy")
    assert found is not None
    assert found.since.endswith("UTC")
    assert replace(found, since="") == PROOF
    assert f"nothing has changed since {found.since}" in " ".join(as_text([found], width=200).split())
    assert store(course, mutants=False).find("cross_entropy") is None
    assert store(course, more_seeds=(1,)).find("cross_entropy") is None
    store(course, mutants=False).keep(replace(PROOF, faults=(Fault("a", "b", "c"),)))
    assert store(course, mutants=False).find("cross_entropy") is None


@pytest.mark.parametrize(
    "path",
    [
        "source/cross_entropy/cross_entropy.ipynb",
        "release/cross_entropy/exercise.json",
        "solutions/cross_entropy/cross_entropy.ipynb",
        "tests/hidden/cross_entropy/test_new.py",
        "tests/cases/mistakes/new.toml",
        "words.txt",
    ],
)
def test_what_changes_it(path: str, course: Course) -> None:
    """A file that is read, changed or new, is another state."""
    store(course).keep(PROOF)
    changed = course.root / path
    changed.parent.mkdir(parents=True, exist_ok=True)
    with changed.open("a", encoding="utf-8") as file:
        file.write("\n")
    assert store(course).find("cross_entropy") is None


def test_settings_change_it(course: Course) -> None:
    """So is another seed, or another setting."""
    store(course).keep(PROOF)
    (course.root / "nbgrader_config.py").write_text("c = get_config()\nc.Handgrad.seeds = [6]\n")
    assert store(course).find("cross_entropy") is None


def test_what_does_not_change_it(course: Course) -> None:
    """Grading writes its gradebook, reports and pages: the exercise is as it was."""
    store(course).keep(PROOF)
    for name in (
        "gradebook.db",
        "report.html",
        "term.csv",
        "submitted/ann/cross_entropy/cross_entropy.ipynb",
        ".handgrad/x.json",
    ):
        path = course.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert store(course).find("cross_entropy") is not None


def test_a_file_that_is_no_proof(course: Course) -> None:
    """Whatever the file holds, the worst is that the exercise is verified again."""
    store(course).keep(PROOF)
    (path,) = (course.root / ".handgrad/proofs").iterdir()
    whole = json.loads(path.read_text())
    for content in ("", "[]", "{", json.dumps({**whole, "value": 3}), json.dumps({**whole, "state": 2})):
        path.write_text(content)
        assert store(course).find("cross_entropy") is None


def test_verify(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept proof is given instead of a new one, unless it is forced."""
    tried = []

    class Tried:
        def __init__(self, *_: object) -> None:
            tried.append(1)

        def proof(self) -> Proof:
            return PROOF

    monkeypatch.setattr(verify_module, "AssignmentVerification", Tried)
    for force, times in ((False, 1), (False, 1), (True, 2)):
        (proof,) = verify(Course.at(course.root), mutants=True, keep=True, force=force)
        assert replace(proof, since="") == PROOF
        assert len(tried) == times
    verify(Course.at(course.root), mutants=True)
    assert len(tried) == 3
