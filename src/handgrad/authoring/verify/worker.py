"""What a process of ``verify`` does: it grades known mistakes and mutants of one exercise."""

from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.util import Finalize

import torch

from handgrad.authoring.cases import MISTAKES, Case
from handgrad.authoring.verify import mutation_testing
from handgrad.authoring.verify.claims import faults_of_case
from handgrad.authoring.verify.mutation_testing import Subject
from handgrad.authoring.verify.results import Fault
from handgrad.grading.grader import Grader
from handgrad.grading.mutants import Mutant
from handgrad.sandbox.fork_server import begin, warm_process

__all__ = ["begin", "faults_of_mistake", "passing", "passing_with_a_seed"]

_open = ExitStack()
_graders: dict[tuple[int, ...], Grader] = {}
Finalize(None, _open.close, exitpriority=10)


def _grader(subject: Subject, seeds: Sequence[int]) -> Grader:
    """The warm grader of this process with these hidden seeds; that of others is closed."""
    if tuple(seeds) not in _graders:
        torch.set_num_threads(1)
        _graders.clear()
        _open.close()
        grader = Grader(subject.exercise, seeds, subject.settings, warm_process())
        _graders[tuple(seeds)] = _open.enter_context(grader)
    return _graders[tuple(seeds)]


def faults_of_mistake(subject: Subject, seeds: Sequence[int], case: Case) -> list[Fault]:
    """The differences between a known mistake's report and its file."""
    grader = _grader(subject, seeds)
    return list(faults_of_case(case, grader, subject.released, subject.solved, f"{MISTAKES}/{case.name}"))


def passing(subject: Subject, seeds: Sequence[int], made: Sequence[Mutant]) -> list[Mutant]:
    """Those of the mutants ``made`` that pass with these hidden seeds, all of them together."""
    return mutation_testing.passing(_grader(subject, seeds), subject.solved, made)


def passing_with_a_seed(subject: Subject, seeds: Sequence[int], made: Sequence[Mutant]) -> list[Mutant]:
    """Those of the mutants ``made`` that pass with one of these hidden seeds, and with the other sizes."""
    return mutation_testing.passing_with_a_seed(_grader(subject, seeds), subject.solved, made)
