"""A class without names: what may be shown to the class itself."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from handgrad.report.class_summary import max_score_of, score_of
from handgrad.report.pages import ClassContext
from handgrad.report.records import Diagnosis, Report, ScoreEntry, Verdict

__all__ = ["without_names", "words_of"]

SHARED = 2
"""Smallest number of students who must have got a sentence: one alone may quote a name of their own."""
COMMON = 3
"""Smallest number of students who must have written an example."""
SHORTEST = 3
"""Smallest number of letters of an identifying word; shorter ones are in every sentence."""
_WORD = re.compile(r"[^\W\d_]+|\d+")


def words_of(texts: Collection[str]) -> set[str]:
    """The words and numbers in ids, names and addresses, in small letters."""
    return {word.casefold() for text in texts for word in _WORD.findall(text) if len(word) >= SHORTEST}


def without_names(
    reports: Sequence[Report], context: ClassContext, identifying: Collection[str]
) -> tuple[list[Report], ClassContext]:
    """The reports and the context of a class page that names nobody: what is not known to be safe is left out.

    Students are numbered by their scores, the best first. Messages, links and everything for manual review are gone. A
    sentence about a mistake stays if several students got the same, a cell if at least three wrote it; neither stays
    if it contains a word of ``identifying``, the ids, names and addresses of the class.
    """
    words = words_of([*identifying, *(report.student for report in reports)])
    counts = Counter(
        sentence for report in reports for sentence in {_sentences(verdict) for verdict in report.checks} if sentence
    )
    shared = {sentence for sentence, count in counts.items() if count >= SHARED and not words & words_of(sentence)}
    entries = context.entries
    anonymous = [
        (
            score_of(report, entry := entries.get(report.student)),
            max_score_of(report, entry),
            _without_texts(report, shared),
        )
        for report in reports
    ]
    # what is left decides between equal scores, not the order of the names
    anonymous.sort(key=lambda pair: (pair[0] is None, -(pair[0] or 0.0), repr(pair[2])))
    numbered = [replace(report, student=str(place)) for place, (*_, report) in enumerate(anonymous, 1)]
    unnamed = {
        str(place): ScoreEntry(score, most) for place, (score, most, _) in enumerate(anonymous, 1) if score is not None
    }
    examples = {
        key: [example for example in found if example.count >= COMMON and not words & words_of([example.source])]
        for key, found in context.examples.items()
    }
    return numbered, ClassContext(context.graph, unnamed, examples, is_anonymous=True)


def _sentences(verdict: Verdict) -> tuple[str, str] | None:
    """What a diagnosis says; None if there is none."""
    return (verdict.diagnosis.what, verdict.diagnosis.advice) if verdict.diagnosis else None


def _without_texts(report: Report, shared: Collection[tuple[str, str]]) -> Report:
    """The report without its student and messages, and with a mistake's sentences only if they are ``shared``."""
    checks = []
    for verdict in report.checks:
        found, diagnosis = _sentences(verdict), verdict.diagnosis
        if diagnosis and found not in shared:
            diagnosis = Diagnosis(diagnosis.mistake, "", "", diagnosis.cell)
        checks.append(replace(verdict, message="", comparison=None, diagnosis=diagnosis, place=""))
    return replace(report, student="", message="", seconds=0.0, checks=tuple(checks), solution_cells=0)
