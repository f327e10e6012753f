"""The syntax of a cell: which names its statements assign; nothing is run."""

import ast
import functools
import io
import itertools
import re
import warnings
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from handgrad.notebook.shell import to_python, without_heading
from handgrad.notebook.syntax_trees import MAX_CACHED, MAX_SOURCE, parse

__all__ = [
    "ParsedCell",
    "Statement",
    "assigned",
    "assigning_lines",
    "bound_in_blocks",
    "compared",
    "compared_by",
    "gradients_taken",
    "in_place_lines",
    "is_untouched",
    "last_line_that_writes",
    "same",
    "statements_of",
    "steps_of",
]

_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b[^\n]*")
"""A cell magic that is followed by Python."""
_TIMED = re.compile(r"^%time[ \t]+", re.MULTILINE)
"""A line magic that hides an assignment from Python's parser."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
Block = ast.With | ast.If | ast.For
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Statement:
    """A statement, and the ``blocks`` around it, outermost first, that can be left and entered again.

    ``dump`` is its syntax as text, equal for equal statements. ``assignments`` are the names that it assigns, and
    whether to something other than None or ``...``.
    """

    node: ast.stmt
    dump: str
    assignments: tuple[tuple[str, bool], ...]
    blocks: tuple[Block, ...] = ()

    @property
    def lines(self) -> range:
        """Numbers of its lines, with decorators."""
        return range(_first_line(self.node), (self.node.end_lineno or 0) + 1)

    @property
    def all_lines(self) -> set[int]:
        """The same, with the headers of the blocks around it."""
        headers = (range(block.lineno, _first_line(block.body[0])) for block in self.blocks)
        return {*self.lines, *itertools.chain(*headers)}

    @property
    def bound(self) -> set[str]:
        """Every name that it binds, with imports."""
        imported = self.node.names if isinstance(self.node, (ast.Import, ast.ImportFrom)) else []
        names = {alias.asname or alias.name.split(".")[0] for alias in imported}
        return names | {name for name, _ in self.assignments}

    @property
    def rebound(self) -> set[str]:
        """The names whose earlier value is lost after it."""
        match self.node:
            case ast.Assign(targets=targets):
                return {
                    name.id
                    for target in targets
                    for name in getattr(target, "elts", [target])
                    if isinstance(name, ast.Name)
                }
            case ast.FunctionDef() | ast.Import() | ast.ImportFrom():
                return self.bound
        return set()

    def writes(self, name: str) -> bool:
        """Whether it assigns a value other than None and ``...`` to ``name``."""
        return (name, True) in self.assignments


@dataclass(frozen=True)
class ParsedCell:
    """A cell as Python: its ``lines`` after IPython's transformation, and the statements in them, its ``steps``.

    A ``with`` block, and any block that always runs once, is replaced by the statements inside it. A ``whole`` cell
    must not be cut, because it begins with a magic.
    """

    lines: tuple[str, ...]
    steps: tuple[Statement, ...]
    whole: bool

    @staticmethod
    def of(source: str) -> "ParsedCell | None":
        """The cell with this source; None if it is not Python. Short cells are cached."""
        if len(source) > MAX_SOURCE:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _parsed_cell(source) if len(source) <= MAX_CACHED else _parsed_cell.__wrapped__(source)
        # a RecursionError is a RuntimeError
        except (RuntimeError, MemoryError):
            return None

    def names(self) -> set[str]:
        """The names that the cell assigns, with functions and classes, without imports."""
        return {name for step in self.steps for name, _ in step.assignments}

    def bound(self) -> set[str]:
        """The same, with imports."""
        return {name for step in self.steps for name in step.bound}

    def ends(self, names: Collection[str]) -> dict[str, int]:
        """For each of ``names`` that the cell assigns, the index of the last statement that does."""
        ends: dict[str, int] = {}
        for index, step in enumerate(self.steps):
            ends.update({name: index for name, written in step.assignments if written and name in names})
        return ends

    def cut(
        self, names: Collection[str], ends: Mapping[str, int] | None = None, kept: Container[int] | None = None
    ) -> list[tuple[str, tuple[str, ...]]]:
        """Cut the cell into pieces after the statements where answers end; each piece with the names that end in it.

        A piece without kept statements and without names is left out. Lines keep their numbers: in a piece, earlier
        lines are blank, except for the headers of the blocks that it continues. Several of the answers ``names`` that
        end together are listed in this order. The answer of each ends at the statement with its index in ``ends``
        (default: its last assignment). The statements ``kept`` are given by their indices (default: all).
        """
        if self.whole and kept is None:
            return []
        pieces: list[tuple[str, tuple[str, ...]]] = []
        ends = self.ends(names) if ends is None else ends
        start = 0
        waiting: list[str] = []
        runs = False
        for index, step in enumerate(self.steps):
            runs |= kept is None or index in kept
            waiting += [name for name in names if ends.get(name) == index]
            last = index == len(self.steps) - 1
            end = len(self.lines) if last else step.lines[-1]
            if last or (waiting and self.steps[index + 1].lines[0] > end):
                text = self._text(range(start, end), kept)
                if isinstance(step.node, ast.Expr) and not last:
                    text += "pass\n"  # only the last expression of a whole cell shows its value
                if runs or waiting:
                    pieces.append((text, tuple(waiting)))
                start, waiting, runs = end, [], False
        return pieces

    def beside(self, others: Sequence["ParsedCell"]) -> set[int]:
        """Indices of the statements that are in none of ``others`` and assign none of their names."""
        names = {name for other in others for name in other.names()}
        known = {step.dump for other in others for step in other.steps}
        return {
            index
            for index, step in enumerate(self.steps)
            if step.dump not in known and not any(name in names for name, _ in step.assignments)
        }

    def only(self, kept: Container[int]) -> str:
        """The cell with the statements of these indices; other lines are blank and keep their numbers."""
        return self._text(range(len(self.lines)), kept)

    def _text(self, part: range, kept: Container[int] | None = None) -> str:
        """Lines of the cell (from 0) with the statements ``kept``, and the headers that these need."""
        inside = [(index, step) for index, step in enumerate(self.steps) if part.start < step.lines[0] <= part.stop]
        needed = {number for index, step in inside if kept is None or index in kept for number in step.all_lines}
        lines = ["#\n"] * part.start + list(self.lines[part.start : part.stop])
        for number in {number for _, step in inside for number in step.all_lines}:
            lines[number - 1] = self.lines[number - 1] if number in needed else "#\n"
        return "".join(lines)


@functools.lru_cache(maxsize=256)
def _parsed_cell(source: str) -> ParsedCell | None:
    magic, text, tree = None, source, parse(source)
    if tree is None:
        source = _TIMED.sub("", source)
        heading = source.removesuffix(without_heading(source))
        magic = _MAGIC.match(source, len(heading))
        try:
            text = f"{heading}#{source[magic.end() :]}" if magic else to_python(source)
        except (SyntaxError, ValueError):
            return None
        tree = parse(text)
    if tree is None:
        return None
    lines = io.StringIO(text if text.endswith("\n") else text + "\n", newline=None).readlines()
    return ParsedCell(tuple(lines), tuple(statements_of(tree.body)), magic is not None)


def steps_of(source: str) -> tuple[Statement, ...]:
    """The statements of a cell; none if it is not Python."""
    parsed = ParsedCell.of(source)
    return parsed.steps if parsed else ()


def assigned(source: str, name: str) -> bool:
    """Whether the cell assigns a value other than None and ``...`` to ``name`` or to a part of it."""
    return name in source and any(step.writes(name) for step in steps_of(source))


def assigning_lines(sources: Iterable[str]) -> dict[str, str]:
    """For each name, its last plain assignment, if that is on one line and no block assigns the name too.

    A line may assign several names, as in ``q, k = qk.split(8)``.
    """
    sources = list(sources)
    lines: dict[str, str] = {}
    for parsed in filter(None, map(ParsedCell.of, sources)):
        for step in parsed.steps:
            match step.node:
                case ast.Assign(targets=[ast.Name() | ast.Tuple() as target]) if len(step.lines) == 1:
                    names = target.elts if isinstance(target, ast.Tuple) else [target]
                    line = ast.get_source_segment("".join(parsed.lines), step.node) or ""
                    lines |= {name.id: line for name in names if isinstance(name, ast.Name)}
    in_blocks = bound_in_blocks(sources)
    return {name: line for name, line in lines.items() if name not in in_blocks}


def bound_in_blocks(sources: Iterable[str]) -> set[str]:
    """The names that loops and other blocks of the cells assign, such as the variable of a loop."""
    blocks = (ast.For, ast.While, ast.If, ast.With, ast.Try)
    return {
        node.id
        for step in itertools.chain.from_iterable(map(steps_of, sources))
        if isinstance(step.node, blocks)
        for node in ast.walk(step.node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def gradients_taken(sources: Iterable[str]) -> dict[str, str]:
    """The gradients that statements take from autograd, with their tensors: ``dh = h.grad.clone()`` takes ``dh``."""
    tensors: dict[str, str] = {}
    for step in itertools.chain.from_iterable(steps_of(source) for source in sources if ".grad" in source):
        match step.node:
            case ast.Assign(targets=[ast.Name(id=gradient)], value=value) if gradient == f"d{_taken_from(value)}":
                tensors[gradient] = _taken_from(value)
    return tensors


def _taken_from(value: ast.expr) -> str:
    """The tensor whose ``.grad``, or a copy of it, an expression is; empty if it is anything else."""
    match value:
        case ast.Attribute(value=ast.Name(id=tensor), attr="grad"):
            return tensor
        case ast.Call(func=ast.Attribute(value=inner, attr="clone" | "detach")):
            return _taken_from(inner)
    return ""


def in_place_lines(source: str) -> list[int]:
    """Numbers of the lines of a cell that change a value in place: ``+=``, ``x[...] =`` and ``x.add_()``."""
    lines = []
    for node in (node for step in steps_of(source) for node in ast.walk(step.node)):
        match node:
            case ast.AugAssign() | ast.Assign(targets=[ast.Subscript(), *_]):
                lines.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr=method)) if _in_place(method):
                lines.append(node.lineno)
    return sorted(set(lines))


def last_line_that_writes(source: str, name: str) -> int:
    """Number of the last line of the last statement of a cell that assigns ``name``; 0 if none does."""
    return max((step.lines[-1] for step in steps_of(source) if step.writes(name)), default=0)


def is_untouched(source: str, name: str) -> bool:
    """Whether an answer cell for ``name`` is empty or as it was released."""
    parsed = ParsedCell.of(source)
    return parsed is not None and all(_is_nothing(step.node, name) for step in parsed.steps)


def compared(source: str) -> list[str]:
    """Names of the tensors compared by a cell that only calls ``cmp``; empty for any other cell."""
    names = [compared_by(step.node) for step in steps_of(source)] if "cmp" in source else []
    return names if all(names) else []


def compared_by(statement: ast.stmt) -> str:
    """Name of the tensor that a statement compares: ``probs`` in ``cmp('probs', ...)``; empty for any other."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="cmp"), args=[ast.Constant(value=str(name)), *_])):
            return name
    return ""


def same(first: str, second: str) -> bool:
    """Whether two sources are the same except for white space."""
    return "".join(first.split()) == "".join(second.split())


def _first_line(statement: ast.stmt) -> int:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return min(node.lineno for node in (statement, *statement.decorator_list))
    return statement.lineno


def statements_of(body: Sequence[ast.stmt], blocks: tuple[Block, ...] = ()) -> Iterator[Statement]:
    """The statements of ``body``; a block that can be entered again is replaced by those inside it."""
    for statement in body:
        if _can_be_split(statement):
            yield from statements_of(statement.body, (*blocks, statement))
        else:
            yield Statement(statement, ast.dump(statement), tuple(_assignments(statement)), blocks)


def _can_be_split(statement: ast.stmt) -> TypeGuard[Block]:
    """Whether leaving and entering a block again between its statements changes nothing."""
    match statement:
        case ast.With(lineno=line, body=[first, *_]):
            return _first_line(first) > line
        case ast.If(test=ast.Constant() | ast.Compare(left=ast.Name(id="__name__")), orelse=[], lineno=line, body=body):
            return _first_line(body[0]) > line
        case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=1)]), orelse=[], body=body):
            leaves = any(isinstance(node, (ast.Break, ast.Continue)) for node in ast.walk(statement))
            return not leaves and _first_line(body[0]) > statement.lineno
    return False


def _is_nothing(statement: ast.stmt, name: str) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Raise(exc=ast.Name(id="NotImplementedError")):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
        case ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=value)):
            return target == name and (value is None or value is ...)
    return False


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, bool]]:
    """Every name that a statement or a block in it assigns, and whether to a value other than None and ``...``."""
    nodes: list[ast.AST] = [statement]
    while nodes:
        node = nodes.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, True
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name in _bases(target):
                        yield name, not (isinstance(value, ast.Constant) and value.value in (None, ...))
            case ast.AnnAssign(target=target, value=value) if value is not None:
                yield from ((name, True) for name in _bases(target))
            case (
                ast.AugAssign(target=target)
                | ast.NamedExpr(target=target)
                | ast.For(target=target)
                | ast.withitem(optional_vars=ast.expr() as target)
                | ast.keyword(arg="out", value=target)
            ):
                yield from ((name, True) for name in _bases(target))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=method))) if _in_place(method):
                yield from ((name, True) for name in _bases(target))
        if not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):
            nodes += ast.iter_child_nodes(node)


def _in_place(method: str) -> bool:
    """Whether a tensor's method of this name changes the tensor: ``index_add_``."""
    return method.endswith("_") and not method.endswith("__")


def _bases(target: ast.expr) -> Iterator[str]:
    """The names of a target: ``dC`` of ``dC[ix]``, ``a`` and ``b`` of ``(a, *b)``."""
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _bases(part)
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner) | ast.Call(func=inner):
            yield from _bases(inner)


def code_of(source: str) -> str:
    """What Python code does, as text: equal for two sources that differ in comments, docstrings and layout only."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case (
                ast.Module(body=body)
                | ast.ClassDef(body=body)
                | ast.FunctionDef(body=body)
                | ast.AsyncFunctionDef(body=body)
            ):
                # a text alone does nothing: docstrings, also those of constants
                body[:] = [step for step in body if not _is_text(step)]
        # which fields without entries are dumped depends on Python's version
        filled = tuple(name for name in node._fields if getattr(node, name, None) != [])
        node._fields = filled  # type: ignore[misc]  # of this node only
    return ast.dump(tree)


def _is_text(step: ast.stmt) -> bool:
    match step:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False
