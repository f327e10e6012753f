"""Alignment: which cell of a student's notebook answers what, even if nbgrader's ids were copied or lost.

If every stub's grade_id occurs once, the ids decide. Tools and editors copy, merge, split and strip cells. Then an
answer is where its name is assigned, and it ends at the last statement that assigns it.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise, calling, grade_id
from handgrad.notebook.syntax import ParsedCell, assigned, compared, is_untouched, same
from handgrad.submission.answer_places import AnswerPlaces, StatementPosition
from handgrad.submission.needed_statements import needed

__all__ = ["Alignment", "StudentCell"]

_RUN = ("stub", "locked")
"""Kinds of cells that run in the sandbox."""
ALIKE = 0.6
"""Share of the names of a locked cell that another cell assigns, from which on it is an edited copy of it."""


@dataclass(frozen=True)
class StudentCell:
    """One cell, or a piece of one, that is run; ``locked`` if it is one of the exercise's.

    The stubs of its ``gradients`` end here: usually one or none. The ``position`` in the notebook is None for a cell
    that the notebook lacks: a locked cell, or an empty stub. After it the names in ``set_below`` have the values of the
    setup again: the cell is above the setup cells that set them.

    A cell with a function that checks call has the name of its stub as ``function``, and so have the locked cells that
    call it, one for each gradient, which follow where the check is.
    """

    source: str
    gradients: tuple[str, ...]
    position: int | None
    locked: bool = False
    set_below: tuple[str, ...] = ()
    function: str = ""


class Alignment:
    """One notebook aligned with one exercise.

    ``labels`` has for each cell of the notebook the name of the exercise's cell that it is; empty for a student's own.
    Stubs in ``lacking`` have no cell; if the gradient of one is assigned, ``found`` has the statement at which its
    answer ends. Cells in ``left_out`` are not run: untouched copies of stubs.
    """

    def __init__(self, nodes: Sequence[NotebookNode], exercise: Exercise) -> None:
        self.nodes, self.exercise = nodes, exercise
        self._kinds = {cell.name: cell.kind for cell in exercise.cells if cell.name}
        self._sources = {cell.name: cell.source for cell in exercise.cells if cell.name}
        self.labels = [name if (name := grade_id(node)) in self._kinds else "" for node in nodes]
        self.lacking = [stub for stub in exercise.stubs if stub not in self.labels]
        self.left_out: set[int] = set()
        self.found: dict[str, StatementPosition] = {}
        self.notes: list[str] = []  # what was repaired, as parts of a sentence
        self._lost: dict[str, ParsedCell] = {}
        self._stub_of = {check.id: check.stub for check in exercise.checks}
        self._calling = {check.id: check for stub in exercise.stubs for check in exercise.calls_of(stub)}
        self._checks = {self._stub_of[name]: at for at, name in enumerate(self.labels) if name in self._stub_of}
        self._choose_among_copies()
        if self.lacking:
            self._recognise()
            self._find_between()
            self._find_by_name()
        self._join_halves()

    @cached_property
    def places(self) -> AnswerPlaces:
        """The notebook's statements."""
        return AnswerPlaces(self.nodes, self.exercise)

    @property
    def is_empty(self) -> bool:
        """Whether the notebook has no stub of the exercise and assigns none of its gradients."""
        return not self.found and len(self.lacking) == len(self.exercise.stubs)

    @property
    def is_foreign(self) -> bool:
        """Whether it is a notebook of the student's own: it has no stub and no setup cell of the exercise."""
        setup = set(self.exercise.setup_names())
        return len(self.lacking) == len(self.exercise.stubs) and setup.isdisjoint(self.labels)

    def note(self) -> str:
        """What was repaired, in one sentence; empty if nothing was."""
        text = "; ".join(self.notes)
        return f"{text[:1].upper()}{text[1:]}." if text else ""

    def ids(self) -> tuple[str, ...]:
        """For each cell of the notebook, the grade_id that it should have, each once; empty for a student's own."""
        places = {name: place for place, name in enumerate(self.labels) if name}
        found = {name: place.position for name, place in self.found.items()}
        held = [*found.values(), *places.values()]
        places |= {name: place for name, place in found.items() if held.count(place) == 1}
        names = {place: name for name, place in places.items()}
        return tuple(names.get(place, "") for place in range(len(self.nodes)))

    def cells(self) -> Iterator[StudentCell]:
        """The cells that are run, in order: the student's, and the exercise's locked ones from the first stub on."""
        due = dict(self._calling)
        called = {check.gradient for check in due.values()}
        functions: dict[str, StudentCell] = {}
        order = [cell.name for cell in self.exercise.cells]

        def calls(ids: Iterable[str]) -> Iterator[StudentCell]:
            """The cells that call a function, of the checks with these ids; each once, after the function."""
            for check in [due[id_] for id_ in ids if id_ in due]:
                if cell := functions.get(check.stub):
                    del due[check.id]
                    yield StudentCell(
                        calling(check), (check.gradient,), cell.position, locked=True, function=check.stub
                    )

        for cell in self._sliced_cells() if self.is_foreign else self._all_cells():
            if cell.function:
                yield from calls([cell.function])
                continue
            for stub in cell.gradients:
                # a check that is not in the notebook is before the next stub
                before = order[: order.index(stub)]
                yield from calls([id_ for id_ in due if id_ in before and id_ not in self.labels])
            # a stub may answer several names, or none
            names = tuple(name for stub in cell.gradients for name in self.exercise.answers[stub] if name not in called)
            below = () if cell.locked else self._set_below(cell.position)
            function = next((stub for stub in cell.gradients if self.exercise.calls_of(stub)), "")
            placed = replace(cell, gradients=names, set_below=below, function=function)
            yield placed if names or below or cell.gradients else cell
            if function:
                functions[function] = placed
        yield from calls([*due])

    def _set_below(self, position: int | None) -> tuple[str, ...]:
        """The names that the setup cells below a position of the notebook set."""
        if position is None or position >= self._last_setup:
            return ()
        below = {name for name in self.labels[position:] if name in self.exercise.setup_names()}
        cells = (ParsedCell.of(self._sources[name]) for name in sorted(below))
        return tuple(sorted({name for cell in cells if cell for name in cell.bound()}))

    @cached_property
    def _last_setup(self) -> int:
        """Position of the last setup cell in the notebook; -1 if there is none."""
        setup = set(self.exercise.setup_names())
        return max((position for position, label in enumerate(self.labels) if label in setup), default=-1)

    def _all_cells(self) -> Iterator[StudentCell]:
        stubs, setup = self.exercise.stubs, self.exercise.setup_names()
        later = [name for name, kind in self._kinds.items() if kind == "locked" and name not in setup]
        absent = [stub for stub in self.lacking if stub not in self.found]

        def absent_until(to: int) -> Iterator[StudentCell]:
            """Empty cells for the missing stubs among the first ``to``."""
            while absent and stubs.index(absent[0]) < to:
                yield StudentCell("", (absent.pop(0),), None)

        for position, (node, label) in enumerate(zip(self.nodes, self.labels, strict=True)):
            kind = self._kinds.get(label)
            ends = self._ends(position)
            if kind == "check":
                # a student's own cell, written in place of the stub, is before the check
                yield from absent_until(stubs.index(self._stub_of[label]) + 1)
                if label in self._calling:
                    yield StudentCell("", (), position, locked=True, function=label)
            elif kind == "stub":
                yield from absent_until(stubs.index(label))
            elif label in later:
                later.remove(label)
                yield StudentCell(self._sources[label], (), position, locked=True)
            if kind == "stub" or ends or (not kind and node.cell_type == "code" and position not in self.left_out):
                yield from self._pieces(position, label if kind == "stub" else "", ends)
        yield from absent_until(len(stubs))
        yield from (StudentCell(self._sources[name], (), None, locked=True) for name in later)

    def _sliced_cells(self) -> Iterator[StudentCell]:
        """The answers and what they use, and missing cells of the exercise in the exercise's order."""
        ours = {name for parsed in map(ParsedCell.of, self._sources.values()) if parsed for name in parsed.bound()}
        steps = {place: step for place, step in self.places.steps.items() if not self.places.is_training(step)}
        theirs = {*self.exercise.tensor_of.values(), *self.exercise.given_gradients}
        kept = needed(steps, self.exercise.stubs, theirs, ours)
        order = [cell.name for cell in self.exercise.cells[self.exercise.first_stub :] if cell.kind in _RUN]
        due = [name for name in order if name not in self.found]
        for position in range(len(self.nodes)):
            ends, parsed = self._ends(position), self.places.cells.get(position)
            names = [stub for stub in self.exercise.stubs if stub in ends]
            whole = [(str(self.nodes[position].source), tuple(names))] if names else []
            for text, gradients in parsed.cut(names, ends, kept.get(position, set())) if parsed else whole:
                while due and gradients and order.index(due[0]) < order.index(gradients[0]):
                    yield self._lacking(due.pop(0))
                yield StudentCell(text, gradients, position)
        yield from map(self._lacking, due)

    def _lacking(self, name: str) -> StudentCell:
        """A locked cell that the notebook lacks, or an empty cell in place of a stub."""
        is_stub = self._kinds[name] == "stub"
        return StudentCell("" if is_stub else self._sources[name], (name,) if is_stub else (), None, locked=not is_stub)

    def _ends(self, position: int) -> dict[str, int]:
        """For each stub whose answer was found in the cell at ``position``, the statement at which it ends."""
        return {stub: place.step for stub, place in self.found.items() if place.position == position}

    def _pieces(self, position: int, stub: str, others: Mapping[str, int]) -> Iterator[StudentCell]:
        """The cell at ``position``, cut after the answers of ``others`` and ``stub`` if it has several."""
        names = tuple(name for name in self.exercise.stubs if name == stub or name in others)
        parsed = ParsedCell.of(self.nodes[position].source) if self.lacking else None
        if parsed is None:
            yield StudentCell(self.nodes[position].source, names, position)
            return
        kept = self._own_part(position, parsed)
        ends = {**parsed.ends(names), **others}
        pieces = parsed.cut(names, ends, kept) if others else []
        if len(pieces) < 2:
            source = self.nodes[position].source if kept is None else parsed.only(kept)
            yield StudentCell(source, names, position)
            return
        placed = {name for _, ends in pieces for name in ends}
        for index, (text, gradients) in enumerate(pieces):
            rest = tuple(name for name in names if name not in placed) if index == len(pieces) - 1 else ()
            yield StudentCell(text, (*gradients, *rest), position)

    def _choose_among_copies(self) -> None:
        """Of several copies of a stub, keep the label of the one with the answer, and skip untouched ones."""
        copied = []
        for stub in self.exercise.stubs:
            copies = [position for position, label in enumerate(self.labels) if label == stub]
            if len(copies) < 2:
                continue
            copied.append(stub)
            sources = {position: self.nodes[position].source for position in copies}
            written = [position for position in copies if not is_untouched(sources[position], stub)]
            answers = [position for position in written if assigned(sources[position], stub)]
            last = (answers or written or copies)[-1]
            # of equal copies the first is the answer: later cells use it
            chosen = next(position for position in copies if same(sources[position], sources[last]))
            for position in copies:
                if position != chosen:
                    self.labels[position] = ""
                    self.left_out |= {position} - set(written)
        if copied:
            cells = _counted("the answer cell of", "the answer cells of", copied)
            self.notes.append(f"{cells} there more than once: the last copy that assigns its gradient counts")

    def _recognise(self) -> None:
        """Recognise locked cells and checks that have lost their id, by their source."""
        values = {check.id for check in self.exercise.values}
        locked = {
            name: source
            for name, source in self._sources.items()
            if (self._kinds[name] == "locked" or (name in values and source)) and name not in self.labels
        }
        tensors = {tensor: stub for stub, tensor in self.exercise.tensors.items()}
        for position in self._own():
            source = self.nodes[position].source
            stubs = [tensors.get(tensor) for tensor in compared(source)]
            equal = [name for name in locked if same(source, locked[name])]
            if equal:
                self.labels[position] = equal[0]
            elif stubs and all(stubs):
                self.labels[position] = self.exercise.check_of(str(stubs[0])).id
        lost = {name: ParsedCell.of(source) for name, source in locked.items() if name not in {*self.labels, *values}}
        self._lost = {name: parsed for name, parsed in lost.items() if parsed}

    def _own(self) -> list[int]:
        """Positions of the code cells that are the student's own."""
        unnamed = [at for at, label in enumerate(self.labels) if not label and at not in self.left_out]
        return [at for at in unnamed if self.nodes[at].cell_type == "code"]

    def _find_between(self) -> None:
        """Recognise the stubs of values, which cannot be found by name, by the exercise's cells around them."""
        order = [cell.name for cell in self.exercise.cells if cell.name]
        gradients = [stub for stub, names in self.exercise.answers.items() if {*names} & {*self.exercise.tensors}]
        for stub in [stub for stub in self.lacking if stub not in gradients]:
            place = order.index(stub)
            above = max((at for at, label in enumerate(self.labels) if label in order[:place]), default=-1)
            below = [at for at, label in enumerate(self.labels) if label in order[place + 1 :] and at > above]
            between = [at for at in self._own() if above < at < min(below, default=-1)]
            if between:
                self.labels[between[-1]] = stub
                self.lacking.remove(stub)
                self.notes.append(f"the answer cell of {stub} has lost nbgrader's metadata: the cell there counts")

    def _find_by_name(self) -> None:
        """Find where the gradients of stubs without an id are assigned, also in cells that are not Python."""
        self.found = self.places.find(self.lacking, self._checks)
        broken = {at: str(self.nodes[at].source) for at, parsed in self.places.cells.items() if parsed is None}
        for stub in self.lacking:
            answered = stub in self.found and self.places.steps[self.found[stub]].writes(stub)
            assigns = re.compile(rf"^\s*{re.escape(stub)}\s*=[^=]", re.MULTILINE)
            if not answered and (seen := [position for position, source in broken.items() if assigns.search(source)]):
                self.found[stub] = StatementPosition(seen[-1], 0)
        if self.found and self.is_foreign:
            self.notes.append(
                "no cell of this notebook is as it was released: the answers were found by the names they assign, "
                f"and the setup and forward pass of {self.exercise.name} replaced its own"
            )
        elif self.found and len(self.lacking) == len(self.exercise.stubs):
            self.notes.append("nbgrader's cell metadata is missing: the answers were found by the names they assign")
        elif self.found:
            names = _counted("the answer cell of", "the answer cells of", list(self.found))
            self.notes.append(f"{names} missing, or without nbgrader's metadata: what assigns the gradient counts")
        self._note_company()

    def _note_company(self) -> None:
        """Note which answers end in one statement, a loop or a call: no reference can be set between them."""
        held = [*self.found.values()]
        cells = self.places.cells
        together = [stub for stub, place in self.found.items() if cells[place.position] and held.count(place) > 1]
        if together:
            names = _counted("the answer of", "the answers of", together, "ends", "end")
            self.notes.append(f"{names} in one statement: an early mistake there costs the later answers too")

    def _own_part(self, position: int, parsed: ParsedCell) -> set[int] | None:
        """Indices of the student's own statements in a cell that also has some of locked cells; None: all."""
        label = self.labels[position]
        if self._kinds.get(label) == "stub":
            return None
        known = [ParsedCell.of(self._sources[label])] if label else [*self._lost.values()]
        alike = [cell for cell in known if cell and (label or _is_copy(parsed, cell))]
        return parsed.beside(alike) if alike else None

    def _join_halves(self) -> None:
        """Let a stub's answer end in the student's own cells directly after it, if they assign it too."""
        halves = []
        for position, stub in list(enumerate(self.labels)):
            if self._kinds.get(stub) != "stub":
                continue
            after = itertools.takewhile(self._has_no_id, range(position + 1, len(self.nodes)))
            if ends := [place for place in after if assigned(self.nodes[place].source, stub)]:
                self.labels[position], self.labels[ends[-1]] = "", stub
                halves.append(stub)
        if halves:
            cells = _counted("the answer of", "the answers of", halves, "continues", "continue")
            self.notes.append(f"{cells} in the cell after the answer cell: its value there counts")

    def _has_no_id(self, position: int) -> bool:
        node = self.nodes[position]
        return node.cell_type == "code" and not self.labels[position] and not grade_id(node)


def _is_copy(parsed: ParsedCell, locked: ParsedCell) -> bool:
    """Whether a cell is an edited copy of a locked one: it assigns most of the same names."""
    shared = len(parsed.names() & locked.names())
    return shared >= 2 and shared >= ALIKE * len(locked.names())


def _counted(single: str, many: str, names: Sequence[str], verb: str = "is", verbs: str = "are") -> str:
    """``the answer cell of dh is``, ``the answer cells of dh and dW2 are``; of many names the first few."""
    if len(names) == 1:
        return f"{single} {names[0]} {verb}"
    first, rest = list(names[:4]), len(names) - 4
    last = f"{rest} more" if rest > 0 else first.pop()
    return f"{many} {', '.join(first)} and {last} {verbs}"
