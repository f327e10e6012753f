"""What the check of one notebook found: a row for each tensor, and what else is worth saying."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from handgrad.gradients.comparison import compare
from handgrad.gradients.mistakes.catalogue import diagnosis_of
from handgrad.gradients.mistakes.mistake import listed
from handgrad.notebook.syntax_trees import tree_of
from handgrad.own_forward_pass.answers import Answer, Answers
from handgrad.own_forward_pass.explanations import Explanations
from handgrad.own_forward_pass.graphs import Graphs
from handgrad.own_forward_pass.judging import Judge, Judgement
from handgrad.own_forward_pass.known_exercise import ExerciseLines, Match, match_exercise
from handgrad.own_forward_pass.marks import assigned_names
from handgrad.own_forward_pass.names import tensors_of_gradient
from handgrad.own_forward_pass.notebook_run import Cell, NotebookRun, Stop
from handgrad.report.records import Comparison, Diagnosis, Outcome, Verdict

__all__ = ["Findings", "Row", "find"]

MOST_STOPS = 5
"""Statements that raised, and are listed."""
_POINTS: Mapping[str, float] = {"passed": 1.0, "partial": 0.5}


@dataclass
class Row:
    """The result for one ``tensor``, whose gradient the notebook calls ``variable``.

    If the notebook lacks an exercise's gradient, both names are the exercise's. The answer is in the ``cell`` and
    ``line``, which are 0 if it is nowhere.
    """

    tensor: str
    variable: str
    outcome: Outcome
    cell: int = 0
    line: int = 0
    message: str = ""
    comparison: Comparison | None = None
    diagnosis: Diagnosis | None = None

    def verdict(self) -> Verdict:
        """The row as it is in a report."""
        return Verdict(
            f"check_{self.variable}",
            self.variable,
            self.outcome,
            _POINTS.get(self.outcome, 0.0),
            1.0,
            self.comparison,
            self.diagnosis,
            self.message,
            self.tensor,
            f"cell {self.cell}, line {self.line}" if self.cell else "",
        )


@dataclass
class Findings:
    """Everything that is reported about a notebook.

    The ``rows`` are in the order of the ``exercise``, if the forward pass is that of one, otherwise in the order of the
    notebook. ``why_not`` says why nothing could be checked; empty if something could. ``notes`` are sentences about the
    whole notebook.
    """

    rows: list[Row] = field(default_factory=list)
    exercise: str = ""
    why_not: str = ""
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data, the rows as verdicts."""
        return {**vars(self), "rows": [row.verdict().to_dict() for row in self.rows]}


def find(
    run: NotebookRun, cells: Sequence[Cell], exercises: Sequence[ExerciseLines], renames: Mapping[str, str]
) -> Findings:
    """What the tape of ``run`` says about the notebook with these ``cells``."""
    return _Finder(run, cells, renames).findings(exercises)


class _Finder:
    def __init__(self, run: NotebookRun, cells: Sequence[Cell], renames: Mapping[str, str]) -> None:
        self.run, self.tape, self.cells = run, run.tape, {cell.number: cell for cell in cells}
        self.graphs = Graphs(run.tape)
        self.answers = Answers(run.tape, self.graphs, run.stand_in_tensors, renames, run.objects())
        self.judge = Judge(run.tape, self.graphs, self.answers, set(_shown_lines(cells)))

    def findings(self, exercises: Sequence[ExerciseLines]) -> Findings:
        if not self.graphs.all:
            return Findings(why_not=self._why_no_graph(), notes=self._notes())
        judged = self._judged()
        lines = self._forward_lines()
        match = match_exercise(exercises, self.answers, self.graphs, lines, self.run)
        variables = {key: several[0].answer.name for key, several in judged.items()}
        self.explanations = Explanations(self.judge, variables, lines, self.run.namespace)
        self.best = {key: min(several, key=lambda judgement: judgement.rank) for key, several in judged.items()}
        rows = {key: self._row(key, several) for key, several in judged.items()}
        rows |= self._unanswered(rows)
        found = Findings(_once(rows.values()), notes=self._notes())
        if match:
            found.rows, found.exercise = self._in_exercise(rows, match), match.name
            found.notes += [match.note] if match.note else []
        if not found.rows:
            found.why_not = self._why_no_answer()
        return found

    # the rows

    def _judged(self) -> dict[int, list[Judgement]]:
        """The judgements of every answered tensor, by its identity."""
        found: dict[int, list[Judgement]] = defaultdict(list)
        for answer in sorted(self.answers.all, key=lambda answer: answer.before):
            if not answer.is_part:
                found[id(answer.tensor)].append(self._judge(answer))
        return self._without_guesses(found)

    def _judge(self, answer: Answer) -> Judgement:
        try:
            return self.judge.judge(answer)
        except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as error:
            return Judgement(answer, "unknown", reason=f"the check of it failed ({type(error).__name__})")

    def _without_guesses(self, found: dict[int, list[Judgement]]) -> dict[int, list[Judgement]]:
        """Without what only a name suggests, where the name stands for several tensors: in a loop over time, say."""
        names = self.answers.names
        several: dict[str, set[int]] = defaultdict(set)
        for key, name in names.items():
            several[name].add(key)
        kept: dict[int, list[Judgement]] = {}
        for key, judged in found.items():
            sure = [
                judgement
                for judgement in judged
                if judgement.verdict in ("right", "carried", "copy")
                or judgement.answer.compared
                or len(several[names.get(key, "")]) <= 1
            ]
            if sure:
                kept[key] = sure
        return kept

    def _row(self, key: int, judged: list[Judgement]) -> Row:
        best = self.best[key]
        answer = best.answer
        row = Row(answer.tensor_name, answer.name, "passed", answer.cell, answer.line)
        row.comparison = self._comparison(best)
        stop = self._stop_of(answer.name) if best.verdict not in ("right", "carried") else None
        if best.verdict == "copy":
            row.outcome = "failed"
            row.message = (
                f"{answer.name} is a copy of {row.tensor}.grad, autograd's own answer: it says nothing about a formula "
                f"of yours. Write {answer.name} as a formula, then compare it with {row.tensor}.grad."
            )
        elif best.verdict in ("wrong", "unknown"):
            self._explain_wrong(row, best, stop)
        elif best.verdict == "loss-only":
            self._explain_loss_only(row, best)
            if stop is not None:
                row.message = f"{_where(stop)}, stops with {stop.text}. {row.message}".rstrip()
        elif not best.shape_is_right:
            row.outcome, row.diagnosis = "partial", self.explanations.shape(best)
            if row.diagnosis is None:
                row.message = (
                    f"The values of {answer.name} are right, but not its shape: a gradient has that of {row.tensor}."
                )
        elif best.verdict == "carried":
            row.diagnosis = self._carried(best)
        texts = [row.message, *self._remarks(best, judged)]
        row.message = " ".join(text for text in texts if text)
        return row

    def _comparison(self, judged: Judgement) -> Comparison | None:
        if judged.graph is None:
            return None
        answer = judged.answer
        true = judged.graph.true[id(answer.tensor)]
        scale = judged.graph.scale * 1e-2 if id(answer.tensor) in judged.graph.zero else None
        return compare(self.answers.value(answer), true.to(answer.tensor.dtype), scale)

    def _stop_of(self, name: str) -> Stop | None:
        """The first statement that raised and assigns a variable."""
        return next((stop for stop in self.run.stops if name in stop.names), None)

    def _explain_wrong(self, row: Row, judged: Judgement, stop: Stop | None) -> None:
        row.outcome = "failed"
        if stop is not None:
            row.outcome = "error"
            row.message = f"{_where(stop)}, stops with {stop.text}. What {row.variable} is then, is not the gradient."
            return
        row.diagnosis = self.explanations.of(judged)
        if row.diagnosis is None:
            row.message = f"{row.variable} is not the gradient of the loss with respect to {row.tensor}."
            if judged.reason and judged.upstream:
                row.message += f" It could not be tested with other upstream gradients, since {judged.reason}."
            elif judged.answer.array is not None:
                row.message += " It is a numpy array, so only its values were compared."

    def _explain_loss_only(self, row: Row, judged: Judgement) -> None:
        row.outcome, row.diagnosis = "partial", self.explanations.of(judged)
        if row.diagnosis is None:
            why = (
                "no upstream gradient was used"
                if not judged.upstream
                else "with other upstream gradients the formula is wrong"
            )
            row.message = f"{row.variable} has the right values on this loss only: {why}."

    def _carried(self, judged: Judgement) -> Diagnosis | None:
        """The wrong upstream gradient that a right formula is made from."""
        for upstream in judged.upstream:
            own = self.best.get(id(upstream.tensor))
            if own is not None and own.verdict not in ("right", "copy"):
                first = self._first_wrong(own, set())
                return diagnosis_of("carried", judged.answer.name, first, first=first)
        return None

    def _first_wrong(self, judged: Judgement, seen: set[int]) -> str:
        """The gradient nearest to the loss with an error of its own, from which ``judged`` is made."""
        seen.add(id(judged.answer.tensor))
        for upstream in judged.upstream if judged.verdict == "carried" else ():
            own = self.best.get(id(upstream.tensor))
            if own is not None and own.verdict not in ("right", "copy") and id(upstream.tensor) not in seen:
                return self._first_wrong(own, seen)
        return judged.answer.name

    def _remarks(self, best: Judgement, judged: list[Judgement]) -> list[str]:
        """What is worth saying about a right answer: what it is made from, what became of it."""
        answer = best.answer
        remarks = []
        if best.verdict in ("right", "carried"):
            autograd = [f"{self._name(id(given.tensor))}.grad" for given in best.upstream if given.is_autograd]
            if autograd:
                verb = "is" if len(autograd) == 1 else "are"
                remarks.append(f"It is made from {listed(dict.fromkeys(autograd))}, which {verb} autograd's.")
            if answer.array is not None:
                remarks.append("It is a numpy array: its values were compared, its formula could not be run again.")
            if best.is_masked:
                upstream = listed(dict.fromkeys(self._name(id(given.tensor)) for given in best.upstream))
                remarks.append(f"The formula counts on the zeros in the gradient of {upstream}.")
            remarks += self._changed_later(answer)
            remarks += self._other_attempts(best, judged)
        return remarks

    def _other_attempts(self, best: Judgement, judged: list[Judgement]) -> list[str]:
        """Which other variables, or the same one in other cells, answer the same tensor and are not right."""
        answer = best.answer
        wrong = [
            judgement.answer
            for judgement in judged
            if judgement.verdict in ("wrong", "unknown", "loss-only") and not self._is_part_of(judgement.answer, answer)
        ]
        remarks = [
            f"{attempt.name}, in cell {attempt.cell}, line {attempt.line}, is not right."
            for attempt in wrong
            if attempt.name != answer.name
        ]
        same = [attempt for attempt in wrong if attempt.name == answer.name and attempt.cell != answer.cell]
        if earlier := sorted({attempt.cell for attempt in same if attempt.before < answer.before}):
            remarks.append(f"An earlier attempt, in {_cells(earlier)}, is not right.")
        if later := sorted({attempt.cell for attempt in same if attempt.before > answer.before}):
            remarks.append(f"A later one, in {_cells(later)}, is not right.")
        return list(dict.fromkeys(remarks))

    def _is_part_of(self, part: Answer, answer: Answer) -> bool:
        """Whether an answer is made from another one: ``dx = dx_1 + dx_2``."""
        if part.array is not None or answer.array is not None:
            return False
        return self.tape.uses(answer.value, answer.before, {part.state}, self.graphs.tensors)

    def _changed_later(self, answer: Answer) -> list[str]:
        """The later cell that changes a right answer through another name of the same tensor."""
        if answer.array is not None:
            return []
        index = self.tape.first_write(answer.value, answer.before)
        if index is None:
            return []
        call = self.tape.calls[index]
        bound = next((binding for binding in self.tape.bindings if binding.position == index + 1), None)
        if bound is None or bound.name == answer.name or not isinstance(bound.value, torch.Tensor):
            return []
        return [
            f"It was right when {'it was compared' if answer.compared else 'its cell had run'}; cell {call.cell}, line "
            f"{bound.line}, changes it, because {bound.name} is another name of the same tensor: use "
            f"{answer.name}.clone() there."
        ]

    def _unanswered(self, rows: Mapping[int, Row]) -> dict[int, Row]:
        """Gradients that are assigned somewhere, and have no tensor: their statement raised, or they are None."""
        found: dict[int, Row] = {}
        answered = {row.variable for row in rows.values()}
        for cell in self.cells.values():
            for name, line in _assignments(cell):
                if name in answered:
                    continue
                held = (self.answers.forward_tensor(asked, self.tape.position) for asked in tensors_of_gradient(name))
                tensor = next((other for other in held if other is not None), None)
                if tensor is None or id(tensor) in rows or id(tensor) in found:
                    continue
                stop = self._stop_of(name)
                row = Row(self._name(id(tensor)), name, "missing", cell.number, line)
                if stop is not None:
                    row.outcome, row.cell, row.line = "error", stop.cell, stop.line
                    row.message = f"{name} has no value: {_where(stop, small=True)}, stops with {stop.text}."
                found[id(tensor)] = row
        return found

    def _name(self, key: int) -> str:
        return self.answers.names.get(key, "?")

    def _in_exercise(self, rows: Mapping[int, Row], match: Match) -> list[Row]:
        """The rows of the exercise's gradients in its order, missing ones too, then the others."""
        ordered, used = [], set()
        for gradient, tensor in match.gradients.items():
            keys = match.tensors.get(tensor, [])
            key = next((known for known in keys if known in rows), None)
            used.update(keys)
            if key is not None:
                ordered.append(rows[key])
            else:
                ordered.append(Row(tensor, gradient, "missing"))
        return _once([*ordered, *(row for key, row in rows.items() if key not in used)])

    # what is said about the whole notebook

    def _forward_lines(self) -> dict[str, str]:
        """For each name of the forward pass, the one line that assigns it."""
        lines: dict[str, str] = {}
        for bound in self.tape.bindings:
            if id(bound.value) in self.graphs.tensors and bound.cell in self.cells and bound.name.isidentifier():
                source = self.cells[bound.cell].source.split("\n")
                line = source[bound.line - 1].strip() if bound.line <= len(source) else ""
                if line.startswith(f"{bound.name} ="):
                    lines.setdefault(bound.name, line)
        return lines

    def _notes(self) -> list[str]:
        run, notes = self.run, []
        if run.out_of_time:
            notes.append(
                f"The check stopped after {run.limits.notebook:g} seconds, in cell {run.out_of_time}: the cells after "
                "it were not run."
            )
        stops = run.first_causes()
        if stops:
            shown = "; ".join(f"{_where(stop, small=True)}: {stop.text}" for stop in stops[:MOST_STOPS])
            more = f"; and {len(stops) - MOST_STOPS} more" if len(stops) > MOST_STOPS else ""
            notes.append(f"These statements stopped, and the rest was run: {shown}{more}.")
        if files := list(dict.fromkeys(run.surroundings.files)):
            verb = "is" if len(files) == 1 else "are"
            notes.append(
                f"{listed(files)} {verb} not here, and there is no network: save what it needs beside the notebook, or "
                "add it with --data FILE."
            )
        notes += self._autograd_notes()
        if run.stand_ins:
            places = [f"{name} in cell {cell}, line {line}" for name, cell, line in run.stand_ins]
            notes.append(
                f"Where a gradient was missing, autograd's was used in its place: {'; '.join(dict.fromkeys(places))}."
            )
        return notes

    def _autograd_notes(self) -> list[str]:
        """What the notebook's own use of autograd leads to."""
        notes = []
        if not any(graph.root.requires_grad for graph in self.graphs.all) and self.graphs.all:
            notes.append(
                "Autograd was off where the loss was computed; handgrad differentiated the forward pass itself."
            )
        without = [tensor for tensor in self.tape.supplied if tensor.requires_grad and not tensor.is_leaf]
        names = list(dict.fromkeys(self._name(id(tensor)) for tensor in without))
        if names:
            was = "was" if len(names) == 1 else "were"
            notes.append(
                f"The .grad of {listed(names)} {was} None: call retain_grad() on it before loss.backward() to see it."
            )
        counts = Counter(id(gradient.root) for gradient in self.tape.gradients if gradient.accumulates)
        if counts and (most := max(counts.values())) > 1:
            notes.append(
                f"backward() was called {most} times on one loss, and adds to .grad each time: what .grad holds is no "
                "longer the gradient. The answers were compared with the gradient itself."
            )
        if loops := self.run.loops_left:
            places = listed(dict.fromkeys(f"cell {cell}, line {line}" for cell, line in loops))
            notes.append(f"Training was left after one turn ({places}): the gradients need no more.")
        return notes

    def _why_no_graph(self) -> str:
        """Why no loss was found, in one sentence that is true of this notebook, and what to do."""
        names = {name for cell in self.cells.values() for name, _ in _assignments(cell)}
        losses = sorted(name for name in names if "loss" in name.lower())
        source = "\n".join(cell.source for cell in self.cells.values())
        for module in ("jax", "tensorflow", "mlx", "cupy", "autograd.numpy"):
            if f"import {module}" in source or f"from {module}" in source:
                return (
                    f"This notebook computes with {module}; handgrad follows torch calls only, so it cannot check it."
                )
        stops = [stop for stop in self.run.stops if set(losses) & stop.names]
        if stops:
            cause = self.run.cause_of(stops[0])
            so = "" if cause is stops[0] else f", so {_where(stops[0], small=True)}, stops too ({stops[0].message})"
            return (
                f"No loss was reached: {_where(cause, small=True)}, stops with {cause.text}{so}. Run the notebook from "
                "the top in a fresh kernel, and repair that cell first."
            )
        if "torch" not in source:
            what = "numpy" if "numpy" in source else "Python numbers"
            return (
                f"This notebook computes with {what} and makes no torch tensor; handgrad follows torch calls only. "
                "Write the forward pass with torch tensors, and the gradients are checked, numpy arrays too."
            )
        if losses:
            return (
                f"{listed(losses)} is not one number made by torch from other tensors, so nothing has a gradient: is "
                "it a tensor of one element, and not the result of .item()?"
            )
        return (
            "No loss was found: nothing calls backward() or torch.autograd.grad(), and no tensor of one element is "
            "called loss. Give the result of the forward pass the name loss."
        )

    def _why_no_answer(self) -> str:
        """Why no gradient was found."""
        roots = {id(graph.root) for graph in self.graphs.all}
        names = list(dict.fromkeys(name for key, name in self.answers.names.items() if key not in roots))[-3:]
        tried = listed(f"d{name}" for name in names)
        return (
            f"No gradient of yours was found: no variable is called like one of a tensor of the forward pass ({tried}, "
            "d_x, grad_x, x_grad and the like were looked for), none is compared with a .grad, and none equals a "
            "gradient. Name them so, or add --rename YOURS=TENSOR."
        )


def _once(rows: Iterable[Row]) -> list[Row]:
    """The rows without the right ones that repeat an earlier right one: a network that runs twice."""
    kept: list[Row] = []
    for row in rows:
        said = [earlier.outcome for earlier in kept if (earlier.tensor, earlier.variable) == (row.tensor, row.variable)]
        if not (row.outcome == "passed" and "passed" in said):
            kept.append(row)
    return kept


def _assignments(cell: Cell) -> Iterable[tuple[str, int]]:
    """The names that the statements of a cell assign, with the line of the statement."""
    tree = tree_of(cell.source)
    for statement in tree.body if tree else ():
        for name in sorted(assigned_names(statement)):
            yield name, statement.lineno


def _shown_lines(cells: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """Cells and lines of the statements that only show or test something: ``print(...)``, ``assert ...``."""
    for cell in cells:
        tree = tree_of(cell.source)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, (ast.Expr, ast.Assert)):
                yield from ((cell.number, line) for line in range(node.lineno, (node.end_lineno or 0) + 1))
            elif isinstance(node, (ast.If, ast.While)):
                yield cell.number, node.test.lineno


def _where(stop: Stop, *, small: bool = False) -> str:
    return f"{'c' if small else 'C'}ell {stop.cell}, line {stop.line}"


def _cells(numbers: Sequence[int]) -> str:
    return f"cell{'s' if len(numbers) > 1 else ''} {listed(map(str, numbers))}"
