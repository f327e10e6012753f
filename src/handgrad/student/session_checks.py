"""What the session explains before a formula is blamed: a cell that stopped, an older forward pass, a changed name.

In this order: did the answer's cell run to its end, is the answer older than the forward pass, are the names that its
cell reads those of the forward pass, did it run twice, are the locked cells as they were released. Everything that is
said is a fact of the session's history; where there is none, nothing is said.
"""

import ast
import difflib
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from handgrad.gradients.autograd_graph import LOSS
from handgrad.notebook.syntax_trees import tree_of
from handgrad.report.records import Diagnosis
from handgrad.student.course_progress import released
from handgrad.student.progress import is_unwritten
from handgrad.student.session import CellRun, Seen, Session, names_in

__all__ = ["SessionChecks"]

IN_PLACE = "changed-in-place"
SIMILAR, ALIKE = 0.75, 0.6
"""How similar a misspelt name and an edited cell must be, as :mod:`difflib` measures it."""
MOST_LINES = 2
"""Lines of an edited cell that are named."""
MOST_RUNS = 20


@dataclass(frozen=True)
class SessionChecks:
    """What the history of a ``session`` says about the gradient of the tensor ``name``."""

    session: Session
    name: str = ""

    @property
    def gradient(self) -> str:
        """The student's variable."""
        return f"d{self.name}"

    @property
    def run(self) -> CellRun | None:
        """The last run of the answer's cell."""
        return self.session.last_to_write(self.gradient)

    def swapped(self, answer: object, tensor: object) -> Diagnosis | None:
        """The two arguments of ``cmp`` have changed places."""
        namespace = self.session.namespace
        is_swapped = answer is namespace.get(self.name) and tensor is namespace.get(self.gradient)
        if answer is None or answer is tensor or not is_swapped:
            return None
        return self._diagnosis(
            "swapped-arguments",
            "The two arguments are swapped: your gradient comes first, then the tensor.",
            f"`cmp('{self.name}', {self.gradient}, {self.name})`.",
        )

    def stopped(self) -> Diagnosis | None:
        """The answer's cell stopped before it had a new answer."""
        # not a cell that only changes what is there: without it there is an answer as well
        run = next((run for run in reversed(self.session.runs) if run.assigns(self.gradient)), None)
        if run is None or run.raised is None or self.gradient in run.changed:
            return None
        value = self.session.namespace.get(self.gradient)
        rest = (
            f"{self.gradient} has no value yet" if is_unwritten(value) else f"{self.gradient} has its value from before"
        )
        return self._diagnosis("cell-stopped", f"{run.raised.sentence(f'The cell of {self.gradient}')} {rest}.")

    def misnamed(self) -> Diagnosis | None:
        """The answer was assigned to a name that looks like the right one."""
        namespace = self.session.namespace
        known = {f"d{name}" for name in namespace} - {f"d{self.name}"} | {self.name}
        named = {
            name
            for name, value in namespace.items()
            if isinstance(value, torch.Tensor) and name not in known and not name.startswith("_")
        }
        if self.session.runs:
            # the student's own cells since the forward pass
            first = self.session.forward.number if self.session.forward else 0
            named &= {name for run in self.session.runs if run.number > first for name in run.changed}
        else:
            # a forward tensor keeps its gradient
            named -= {name for name in named if namespace[name].requires_grad and _keeps_gradient(namespace[name])}
        close = difflib.get_close_matches(self.gradient, sorted(named), 1, SIMILAR)
        if not close:
            return None
        run = self.session.last_to_change(close[0])
        what = f"{run.title()} assigns `{close[0]}`" if run else f"There is a `{close[0]}`"
        return self._diagnosis("misnamed", f"{what}; the name asked for is `{self.gradient}`.")

    def lost_tensor(self) -> Diagnosis | None:
        """The forward tensor's name stands for something else now."""
        return self._changed_since(self.name, Seen.of(self.session.namespace.get(self.name)), None)

    def no_gradients(self) -> Diagnosis | None:
        """The forward pass ran again, or not to its end, and ``loss.backward()`` did not."""
        if incomplete := self.incomplete():
            return incomplete
        forward = self.session.forward
        backward = next((run for run in reversed(self.session.runs) if run.names and run.names.calls_backward), None)
        if forward is None or backward is None or backward.number >= forward.number:
            return None
        return self._diagnosis(
            "older",
            f"The forward pass has run again since `{LOSS}.backward()` ran, so autograd has no gradients for it yet.",
            f"Run the cell with `{LOSS}.backward(retain_graph=True)`, then run {self._your_cells()}.",
        )

    def incomplete(self) -> Diagnosis | None:
        """The last run of the forward pass, or of the backward pass, stopped before its end."""
        forward = self.session.forward
        has_gradients = bool(self.session.kept_gradients(self.session.namespace.get(LOSS)))
        for run in reversed(self.session.runs):
            if run.names is None:
                continue
            is_forward = LOSS in run.names.bound
            if not is_forward and (has_gradients or not run.names.calls_backward):
                continue
            computed = forward.tensors if forward else run.names.bound
            if run.raised is None or LOSS in run.changed or (is_forward and computed.isdisjoint(run.changed)):
                return None
            kind = "forward" if is_forward else "backward"
            return self._diagnosis(
                "incomplete",
                f"{run.raised.sentence(run.title())} So the {kind} pass is not complete.",
                f"Run that cell again, and the cells after it, then run {self._your_cells()}.",
            )
        return None

    def why_wrong(self, is_right: Callable[[torch.Tensor], bool]) -> Diagnosis | None:
        """What the session explains of a wrong answer; ``is_right`` says whether another value would be right."""
        return (
            self.no_gradients()
            or self.older()
            or self._changed_names()
            or self.another_loss()
            or self._added_twice(is_right)
            or self._edited_cell()
        )

    def older(self) -> Diagnosis | None:
        """The answer was computed before the forward pass ran again."""
        forward, run = self.session.forward, self.run
        if forward is None or run is None or run.number >= forward.number:
            return None
        return self._diagnosis(
            "older",
            f"{self.gradient} is older than the forward pass, which has run again in {forward.run.title()}.",
            f"Run {self._your_cells()}.",
        )

    def note(self) -> str:
        """What is said of an answer whose cell stopped after it was assigned; empty if there is nothing to say."""
        run = self.run
        if run is None or run.raised is None or self.gradient not in run.changed:
            return ""
        return f"{run.raised.sentence(f'The cell of {self.gradient}')} {self.gradient} was assigned before that."

    def edited_note(self) -> str:
        """A locked cell that is not as it was released, in one sentence; empty if all are."""
        edited = self._edited_cell()
        return f"{edited.what} {edited.advice}" if edited else ""

    def _changed_names(self) -> Diagnosis | None:
        """A name of the forward pass that the answer's cell read, and that stood for something else by then."""
        run = self.run
        if run is None:
            return None
        names = self.session.of_the_forward_pass()
        for name, seen in run.before.items():
            if name in names and (found := self._changed_since(name, run.changed.get(name, seen), run)):
                return found
        return None

    def another_loss(self) -> Diagnosis | None:
        """Another cell has assigned ``loss``, from which consumers are found."""
        forward = self.session.forward
        run = self.session.last_to_change(LOSS)
        if forward is None or run is None or run.source == forward.run.source:
            return None
        return self._changed_since(LOSS, Seen.of(self.session.namespace.get(LOSS)), None)

    def changed_in_place(self) -> Diagnosis | None:
        """A tensor of the forward pass that was changed in place since."""
        namespace = self.session.namespace
        for name in self.session.forward.tensors if self.session.forward else ():
            if (found := self._changed_since(name, Seen.of(namespace.get(name)), None)) and found.mistake == IN_PLACE:
                return found
        return None

    def _changed_since(self, name: str, seen: Seen, reader: CellRun | None) -> Diagnosis | None:
        """The change of a variable between the forward pass and the moment at which it was ``seen``."""
        forward = self.session.forward
        if forward is None or name not in forward.variables or forward.variables[name].is_same(seen):
            return None
        end = reader.number if reader else self.session.runs[-1].number
        changes = [run for run in self.session.runs if forward.number < run.number <= end and name in run.changed]
        if not changes:
            return None
        where = changes[-1].title(self._gradients())
        before = forward.variables[name]
        again = "run the notebook from the top again"
        if before.is_same_object(seen):
            return self._diagnosis(
                IN_PLACE,
                f"`{name}` is not what the forward pass computed: it was changed in place by {where}.",
                f"Work on a copy there (`{name}.clone()`), and {again}.",
            )
        was = before.text if before.text != seen.text else "another one"
        return self._diagnosis(
            "changed-name",
            f"`{name}` was {was} in the forward pass, and is {seen.text} since {where}.",
            f"Use another name there, and {again}.",
        )

    def _added_twice(self, is_right: Callable[[torch.Tensor], bool]) -> Diagnosis | None:
        """The answer's cell adds to what is there, and ran several times."""
        run, value = self.run, self.session.namespace.get(self.gradient)
        if run is None or not run.adds_to(self.gradient) or not isinstance(value, torch.Tensor):
            return None
        times = 0
        for earlier in reversed(self.session.runs):
            if not earlier.writes(self.gradient):
                continue
            if not earlier.adds_to(self.gradient):
                break
            times += earlier.source == run.source
        if not 1 < times <= MOST_RUNS or not is_right(value.detach() / times):
            return None
        return self._diagnosis(
            "added-twice",
            f"The cell of {self.gradient} ran {times} times, and each run adds to what was there: {self.gradient} is "
            f"{times} times what one run gives.",
            f"Let the cell begin with zeros: `{self.gradient} = torch.zeros_like({self.name})`.",
        )

    def _edited_cell(self) -> Diagnosis | None:
        """A locked cell that ran in another form than it was released in."""
        exercise = released(Path())
        edited = _edited(self.session.runs, exercise.locked) if exercise else None
        if exercise is None or edited is None:
            return None
        name, run = edited
        return self._diagnosis(
            "edited-cell",
            f"In [{run.number}] ran the locked cell `{name}`, but not as it was released, and the grader uses the "
            f"released one: {_difference(run.source, exercise.locked[name])}.",
            "Put the released lines back, and run the notebook from there.",
        )

    def _your_cells(self) -> str:
        """``your cells again from the cell of dlogprobs``: the first that is older than the forward pass."""
        runs = [run for gradient in self._gradients() if (run := self.session.last_to_write(gradient))]
        forward = self.session.forward
        older = [run for run in runs if forward is None or run.number < forward.number]
        if not older:
            return "your cells again"
        return f"your cells again from {min(older, key=lambda run: run.number).title(self._gradients())}"

    def _gradients(self) -> list[str]:
        namespace = self.session.namespace
        return [name for name in namespace if name.startswith("d") and name[1:] in namespace]

    def _diagnosis(self, mistake: str, what: str, advice: str = "") -> Diagnosis:
        return Diagnosis(mistake, what, advice, self.gradient)


def _keeps_gradient(tensor: torch.Tensor) -> bool:
    return tensor.is_leaf or tensor.retains_grad


def _edited(runs: Sequence[CellRun], locked: Mapping[str, str]) -> tuple[str, CellRun] | None:
    """The first of the ``locked`` cells whose last run was not as released, and that run; None if all were."""
    last: dict[str, CellRun | None] = {}
    for run in reversed(runs if locked else ()):
        same = [grade_id for grade_id, source in locked.items() if _is_same(run.source, source)]
        last |= {grade_id: None for grade_id in same if grade_id not in last}
        for grade_id, source in locked.items() if not same else ():
            if grade_id not in last and _is_like(run, source):
                last[grade_id] = run
    return next(((grade_id, found) for grade_id in locked if (found := last.get(grade_id))), None)


@functools.lru_cache(maxsize=2048)
def _is_same(source: str, released: str) -> bool:
    """Whether two cells are the same but for comments, spaces and further imports."""
    if source.strip() == released.strip():
        return True
    first, second = tree_of(source), tree_of(released)
    if first is None or second is None:
        return False
    lines, wanted = (list(map(ast.dump, tree.body)) for tree in (first, second))
    imports = {ast.dump(line) for line in first.body if isinstance(line, (ast.Import, ast.ImportFrom))}
    return [line for line in lines if line not in imports - {*wanted}] == wanted


def _is_like(run: CellRun, source: str) -> bool:
    """Whether a run is of the cell with this source, edited: it has most of its lines and assigns most of its names."""
    names = names_in(source)
    if names is None or run.names is None or 2 * len(names.bound & run.names.bound) <= len(names.bound):
        return False
    matcher = difflib.SequenceMatcher(None, _lines(run.source), _lines(source), autojunk=False)
    return matcher.ratio() >= ALIKE


def _lines(source: str) -> list[str]:
    return [line.rstrip() for line in source.strip().splitlines()]


def _difference(source: str, released: str) -> str:
    """The first lines that differ."""
    now, before = _lines(source), _lines(released)
    found = []
    for kind, start, end, first, last in difflib.SequenceMatcher(None, now, before, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for line, old in itertools.zip_longest(now[start:end], before[first:last]):
            if line and old:
                found.append(f"`{line.strip()}` was released as `{old.strip()}`")
            elif line:
                found.append(f"`{line.strip()}` was not in it")
            elif old:
                found.append(f"`{old.strip()}` is missing")
    more = f", and {len(found) - MOST_LINES} more" if len(found) > MOST_LINES else ""
    return "; ".join(found[:MOST_LINES]) + more
