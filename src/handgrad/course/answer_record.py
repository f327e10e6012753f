"""What is kept of a graded submission, packed for the store."""

import hashlib
import json
import zlib
from collections.abc import Container, Mapping
from typing import Any

from handgrad import __version__
from handgrad.course.answer_store import Record
from handgrad.exercise.exercise import Exercise
from handgrad.gradients.tensor_bytes import pack_tensor
from handgrad.grading.grader import GradingResult
from handgrad.grading.marking import Evidence
from handgrad.grading.passes import Pass
from handgrad.grading.run_passes import AnswerPair
from handgrad.report.records import Comparison
from handgrad.sandbox.messages import Answer
from handgrad.submission.submission import Submission

__all__ = ["record_key", "record_of"]

SCHEMA = 1


def record_key(exercise: Exercise, passes: tuple[Pass, ...], submission: Submission) -> str:
    """SHA-256 over everything that the answers depend on: exercise, parameters, the student's cells, the version."""
    content = [
        __version__,
        exercise.digest,
        [[one.name, sorted(one.parameters.items())] for one in passes],
        [[cell.gradients, cell.source] for cell in submission.cells],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def record_of(graded: GradingResult, known: Container[str] = ()) -> Record:
    """Pack the answers and the comparisons behind a report; the answers in ``known`` are only referred to."""
    answers: dict[str, tuple[str, bytes]] = {}

    def described(kept: AnswerPair) -> list[Mapping[str, Any] | None]:
        at_stub = _described(kept.at_stub, answers, known)
        # most often it is the same answer still
        same = kept.at_end is kept.at_stub
        return [at_stub, at_stub if same else _described(kept.at_end, answers, known)]

    passes = {
        name: {gradient: described(kept) for gradient, kept in one_pass.items()}
        for name, one_pass in graded.answers.items()
    }
    evidence = {gradient: [_plain(one) for one in rounds] for gradient, rounds in graded.evidence.items()}
    verdicts = [one.to_dict() for one in graded.report.checks]
    content = {"schema": SCHEMA, "handgrad": __version__, "answers": passes}
    text = json.dumps({**content, "evidence": evidence, "verdicts": verdicts})
    return Record(zlib.compress(text.encode(), level=1), answers)


def _plain(evidence: Evidence) -> dict[str, Any]:
    """Evidence as plain data, as :func:`dataclasses.asdict` has it in many times the time."""

    def facts(one: Comparison | None) -> Mapping[str, Any] | None:
        return vars(one) if one else None

    compared = {name: facts(getattr(evidence, name)) for name in ("step", "helped", "step_against_true")}
    as_written = [facts(one) for one in evidence.as_written]
    return {"as_written": as_written, **compared, "zero": evidence.zero, "blind": evidence.blind}


def _described(
    answer: Answer | None, blobs: dict[str, tuple[str, bytes]], known: Container[str]
) -> Mapping[str, Any] | None:
    """An answer for a record; a tensor's bytes go into ``blobs`` under their digest, unless it is ``known``."""
    if answer is None:
        return None
    if answer.value is None:
        return {"kind": answer.kind, "type": answer.type}
    description, data = pack_tensor(answer.value)
    text = json.dumps(description)
    digest = hashlib.sha256(text.encode() + data).hexdigest()
    if digest not in blobs and digest not in known:
        blobs[digest] = (text, zlib.compress(data, level=1))
    return {"kind": "tensor", "digest": digest}
