"""Run the passes of one submission in child processes, and collect the results."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import torch

from handgrad.exercise.exercise import Exercise
from handgrad.grading.passes import ATTEMPTS, Pass
from handgrad.notebook.execution import CellError
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Answer, Death, PassResult, Run
from handgrad.sandbox.sandbox import Sandbox
from handgrad.submission.plain_code import PlainCell
from handgrad.submission.submission import Submission

__all__ = ["AnswerPair", "PassResults", "run_of", "run_passes"]


class AnswerPair(NamedTuple):
    """The answers for one gradient in one pass: at its stub's end and at the notebook's end."""

    at_stub: Answer | None = None
    at_end: Answer | None = None


@dataclass
class PassResults:
    """The results of one submission's passes."""

    submission: Submission
    passes: Sequence[Pass]
    """The planned passes, in order; the first is the visible one."""
    limits: Limits
    results: dict[str, PassResult] = field(default_factory=dict)
    """The last attempt at each pass, by its name."""
    answers: dict[str, dict[str, AnswerPair]] = field(default_factory=dict)
    """The answers by pass and gradient."""
    skipped: set[str] = field(default_factory=set)
    """The names of the passes that were not needed."""
    probing: set[str] = field(default_factory=set)
    """The gradients whose cells tried values near one of the forward pass."""
    deaths: dict[int, Death] = field(default_factory=dict)
    """The cells that ended their process, by index, and how."""
    slow: set[int] = field(default_factory=set)
    """Those of them that timed out in the visible pass only, which may take longer than the others."""
    out_of_time: bool = False
    """Whether the time of the submission was used up before the last pass."""

    def pair(self, pass_: Pass, gradient: str) -> AnswerPair:
        """The answers for ``gradient`` in one pass."""
        return self.answers.get(pass_.name, {}).get(gradient, AnswerPair())

    def tensors(self, pass_: Pass, gradient: str) -> tuple[torch.Tensor | None, ...]:
        """The tensors for ``gradient`` in one pass: at the stub's end, at the notebook's end; None if there is none."""
        return tuple(answer.value if answer else None for answer in self.pair(pass_, gradient))

    def all_answers(self, gradient: str) -> Iterator[Answer]:
        """Every answer for ``gradient``, of any kind, from every pass."""
        return (answer for pass_ in self.passes for answer in self.pair(pass_, gradient) if answer)

    def tried(self, gradient: str) -> bool:
        """Whether a hidden pass gave a tensor for ``gradient``."""
        return any(value is not None for pass_ in self.passes[1:] for value in self.tensors(pass_, gradient))

    def errors(self, gradient: str) -> list[CellError]:
        """What the cell of an answer raised, or its function, pass by pass."""
        return [error for result in self.results.values() for error in self._raised(gradient, result)]

    def returns_none(self, gradient: str) -> bool:
        """Whether a function gives None for a gradient, once the gradients before it are right."""
        helped = [pass_ for pass_ in self.passes if pass_.helps and pass_.name in self.results]
        return bool(self.submission.cells[self.submission.stub_indices()[gradient]].function) and any(
            (answer := self.pair(pass_, gradient).at_stub) is not None
            and answer.kind == "none"
            and not list(self._raised(gradient, self.results[pass_.name]))
            for pass_ in helped
        )

    def visible_error(self, gradient: str) -> CellError | None:
        """What it raised in the visible pass; the other passes' messages are not for students."""
        visible = self.results.get(self.passes[0].name)
        return next(self._raised(gradient, visible), None) if visible else None

    def _raised(self, gradient: str, result: PassResult) -> Iterator[CellError]:
        for index in self.submission.indices_of(gradient):
            if (cell := result.cells.get(index)) and cell.error:
                # a line of the grader's own call is none of the student's
                yield replace(cell.error, line=0) if self.submission.cells[index].locked else cell.error

    def left_empty(self, pass_: Pass) -> set[int]:
        """The cells that are left empty in a pass, since they ended the process of an earlier one."""
        return self.deaths.keys() - (set() if pass_.kind == "visible" else self.slow)

    def limits_of(self, index: int) -> Limits:
        """The limits under which a cell ended its process."""
        seconds = self.limits.visible_seconds if index in self.slow else None
        return replace(self.limits, cell_seconds=seconds or self.limits.cell_seconds)

    def died(self, pass_: Pass, index: int, death: Death) -> None:
        """Record how a cell ended the process of a pass."""
        hidden = pass_.kind != "visible"
        if hidden or death.reason != "timeout" or self.limits.visible_seconds is None:
            self.slow.discard(index)
        else:
            self.slow.add(index)
        self.deaths[index] = death

    def keep(self, pass_: Pass, result: PassResult) -> None:
        """Record the results of an attempt at a pass; answers of an earlier attempt are kept if this has none.

        An answer that was replaced by its reference is final: the submission may have passed the reference on to its
        next attempt.
        """
        self.results[pass_.name] = result
        kept = self.answers.setdefault(pass_.name, {})
        for gradient, index in self.submission.stub_indices().items():
            cell = result.cells.get(index)
            before = kept.get(gradient, AnswerPair())
            is_final = pass_.helps and before.at_stub is not None
            kept[gradient] = AnswerPair(
                cell.answers.get(gradient) if cell and not is_final else before.at_stub,
                result.at_end.get(gradient, before.at_end),
            )


def run_passes(
    sandbox: Sandbox,
    submission: Submission,
    passes: Sequence[Pass],
    reference: Callable[[Pass, str], torch.Tensor],
    *,
    run_of: Callable[[Pass], Run],
    is_needed: Callable[[Pass, PassResults], bool],
    seconds: float | None,
    plain: tuple[Pass, Sequence[PlainCell]] | None,
) -> PassResults:
    """Run the passes of ``submission``, in order.

    A cell that ends its process (by a time-out, an exit or a crash) is left empty afterwards, and the pass is run again
    in a new child.

    Parameters
    ----------
    reference
        The gradient that replaces an answer in a pass once that answer has been collected, or that is given.
    run_of
        What a pass runs, and what it collects: :func:`run_of`.
    is_needed
        Whether a pass can change anything, after the results of those before it.
    seconds
        How long the passes may take together; None: as the limits say.
    plain
        A pass that runs before all others, and the plain statements of each cell: no other code of the submission has
        run in its process by then. None if there is none.

    Raises
    ------
    SandboxError
        The grader's own processes failed.
    """
    results = PassResults(submission, passes, sandbox.limits)
    started = time.monotonic()
    end = started + (sandbox.limits.submission_seconds if seconds is None else seconds)
    with ExitStack() as stack:
        child: ChildClient | None = None
        if plain is not None:
            pass_, cells = plain
            child, found = _run_plain(
                sandbox, stack, run_of(pass_), cells, submission=submission, reference=partial(reference, pass_)
            )
            results.answers[pass_.name] = {name: answer for name, (answer, _) in found.items()}
            results.probing = {name for name, (_, is_probing) in found.items() if is_probing}
            end += time.monotonic() - started
        left_empty: set[int] = set()
        for pass_ in passes:
            if not is_needed(pass_, results):
                results.skipped.add(pass_.name)
                continue
            for _ in range(ATTEMPTS):
                left = end - time.monotonic()
                if left <= 0:
                    results.out_of_time = True
                    return results
                if child is None or left_empty != results.left_empty(pass_):
                    started, left_empty = time.monotonic(), results.left_empty(pass_)
                    # an empty cell, not no cell: in the helping passes the reference still has to replace its answer
                    sources = [
                        "" if index in left_empty else cell.source for index, cell in enumerate(submission.cells)
                    ]
                    child = stack.enter_context(sandbox.child(sources))
                    # the start of the child, which may be a fresh interpreter, is not the submission's time
                    end += time.monotonic() - started
                run = run_of(pass_)
                result = child.run(run, lambda gradient, pass_=pass_: reference(pass_, gradient), left)  # type: ignore[misc]
                results.keep(pass_, result)
                if result.death is None:
                    break
                child = None
                if result.death.index is None:
                    break
                results.died(pass_, result.death.index, result.death)
                if result.death.reason == "timeout":
                    # it costs its own gradients, not the time of the others; ATTEMPTS limits this
                    end += run.seconds or sandbox.limits.cell_seconds
    results.out_of_time = time.monotonic() >= end
    return results


def _run_plain(
    sandbox: Sandbox,
    stack: ExitStack,
    run: Run,
    plain: Sequence[PlainCell],
    *,
    submission: Submission,
    reference: Callable[[str], torch.Tensor],
) -> tuple[ChildClient | None, dict[str, tuple[AnswerPair, bool]]]:
    """Run the plain statements: the child, in which the passes can follow, or None if it has ended; and the answers.

    With each answer comes whether its cell tried values near one of the forward pass.
    A cell that ends its process is left empty, and the pass is run again.
    """
    cells = [cell.source for cell in submission.cells]
    left_empty: set[int] = set()
    answers: dict[str, tuple[AnswerPair, bool]] = {}
    for _ in range(ATTEMPTS):
        # a cell that is plain as it is written is there already
        places = {index: index for index in run.cells}
        more: list[str] = []
        for index in run.cells:
            source = "" if index in left_empty else plain[index].source
            if source != cells[index]:
                places[index] = len(cells) + len(more)
                more.append(source)
        child = stack.enter_context(sandbox.child([*cells, *more]))
        watched = tuple(place for index, place in places.items() if plain[index].may_probe)
        result = child.run(replace(_moved(run, places), watched=watched), reference)
        is_probing = False
        for cell in result.cells.values():
            # what a cell without an answer has found is for the next one with an answer
            is_probing |= cell.is_probing
            for name, answer in cell.answers.items():
                answers.setdefault(name, (AnswerPair(answer, result.at_end.get(name)), is_probing))
            is_probing = is_probing and not cell.answers
        if result.death is None:
            return child, answers
        if result.death.index is None:
            break
        left_empty |= {index for index, place in places.items() if place == result.death.index}
    return None, answers


def _moved(run: Run, places: Mapping[int, int]) -> Run:
    """The same pass over other cells: each at its place."""
    collect, put_back = (
        {places[index]: names for index, names in by_index.items() if index in places}
        for by_index in (run.collect, run.put_back)
    )
    return replace(run, cells=tuple(places.values()), collect=collect, put_back=put_back)


def run_of(pass_: Pass, submission: Submission, exercise: Exercise, limits: Limits, scalars: Sequence[str]) -> Run:
    """What a pass runs of a submission, and what it collects; of the ``scalars``, a number is as good as a tensor."""
    stubs, cells, values = submission.stub_indices(), submission.cells, {check.gradient for check in exercise.values}
    last = len(cells)
    # the outputs of locked cells at the end, such as plots, are shown for the visible pass only
    while pass_.kind != "visible" and last and cells[last - 1].locked and not cells[last - 1].gradients:
        last -= 1
    # nothing replaces an answer that is not a gradient
    collected = {
        index: tuple(name for name in cell.gradients if not (pass_.helps and name in values))
        for index, cell in enumerate(cells)
    }
    return Run(
        parameter_set=pass_.parameter_set,
        cells=tuple(range(last)),
        collect={index: names for index, names in collected.items() if names},
        at_end=() if pass_.helps else tuple(stubs),
        givens=exercise.given_gradients,
        scalars=tuple(scalars),
        help=pass_.helps,
        outputs=pass_.kind == "visible",
        is_double=pass_.is_double,
        seconds=limits.visible_seconds if pass_.kind == "visible" else None,
        put_back={index: cell.set_below for index, cell in enumerate(cells[:last]) if cell.set_below},
    )
